"""The one error that users are meant to read, and the reason why a file could not be fetched."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that says what is wrong, where, and what to do about it. Command lines print it
    and exit with code 2, without a traceback; the demo shows it in the page.
    """


def fetch_failure(error: Exception) -> str:
    """Why a download failed: one clause in place of the message of urllib, torch.hub or huggingface_hub."""
    if "HF_HUB_OFFLINE" in str(error):
        return "HF_HUB_OFFLINE is set"
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return f"the server answered {status}"
    if isinstance(error, RuntimeError):  # torch.hub compares the beginning of the hash
        return "what came was damaged"
    if isinstance(error, ConnectionError | TimeoutError):
        return "no connection to the server"
    return getattr(error, "strerror", None) or "no connection to the server"
