"""Ctrl-C and SIGTERM, held back while something is written or a training step is computed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Within the block, put Ctrl-C and SIGTERM on a list instead of acting on them."""
    seen: list[int] = []
    numbers = signal.SIGINT, signal.SIGTERM
    previous = [signal.signal(number, lambda number, _: seen.append(number)) for number in numbers]
    try:
        yield seen
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is through, so that what it writes is not torn."""
    if threading.current_thread() is not threading.main_thread():  # no other thread may set handlers, or is hit
        yield
        return
    with noted_signals() as seen:
        yield
    if seen:
        signal.raise_signal(seen[0])
