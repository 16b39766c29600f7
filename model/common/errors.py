"""The one error that users are meant to read."""


class InputError(Exception):
    """Something the user gave cannot be used: one sentence says what is wrong, where, and what to do about it.
    Command lines print it and exit with code 2, without a traceback; the demo shows it in the page."""
