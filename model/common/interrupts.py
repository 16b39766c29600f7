"""Ctrl-C and SIGTERM: work that must be saved first notes them, and `kill` does what Ctrl-C does."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def handled(handler: Callable[..., Any], *numbers: int) -> Iterator[None]:
    """Within the block, `handler` acts on these signals."""
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Within the block, put Ctrl-C and SIGTERM on a list instead of acting on them."""
    seen: list[int] = []
    with handled(lambda number, _: seen.append(number), signal.SIGINT, signal.SIGTERM):
        yield seen


def as_ctrl_c(*_: object) -> None:
    """Handler that does what Ctrl-C does, so that a half-written file is finished in the same way."""
    raise KeyboardInterrupt


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
