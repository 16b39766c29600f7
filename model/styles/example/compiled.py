"""How functions over pixels are compiled: by Numba, for all cores, once for each machine."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from numba import njit

_in_use = threading.Lock()  # Numba's threads may not be called from two threads at a time


def parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose `prange` runs on all cores; one thread at a time may be in any of them.

    It is compiled at the first call and kept in the cache beside its file, or in the user's where that can't be
    written."""
    compiled = njit(parallel=True, cache=True)(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        with _in_use:
            return compiled(*arguments)

    return call
