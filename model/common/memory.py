"""How glibc keeps memory. Pictures come and go by megabytes, in many threads: with its usual settings a server that
runs for long keeps twice what it has in use. Where there is another library, nothing is done."""

import ctypes
from contextlib import suppress
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # numbers of mallopt's parameters
OWN_MAPPING = 2**20  # bytes from which on memory goes back to the system at once when it is let go
ARENAS = 2  # heaps; usually there are eight for each core


@cache
def _libc() -> ctypes.CDLL | None:
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt, library.malloc_trim  # noqa: B018 - other libraries have neither
        return library
    return None


def keep_little() -> None:
    """For programs that run for long: let the library give back what it does not need. Call it first."""
    if library := _libc():
        library.mallopt(ARENA_MAX, ARENAS)
        library.mallopt(MMAP_THRESHOLD, OWN_MAPPING)
        library.mallopt(TRIM_THRESHOLD, OWN_MAPPING)


def give_back() -> None:
    """Give back to the system what lies idle at the moment; milliseconds."""
    if library := _libc():
        library.malloc_trim(0)
