"""The one error that users are meant to read."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that says what is wrong, where, and what to do about it. Command lines print it
    and exit with code 2, without a traceback; the demo shows it in the page.
    """
