"""Ctrl-C and SIGTERM during work that must be saved first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Put Ctrl-C and SIGTERM on a list instead of acting on them."""
    seen: list[int] = []
    previous = {number: signal.signal(number, lambda number, _: seen.append(number)) for number in SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
