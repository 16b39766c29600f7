"""What ends a program from outside: Ctrl-C, `kill`, and the terminal that was closed (on systems that tell)."""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

STOPPING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def _heeded() -> list[int]:
    """The signals that end this program; not those that it is to ignore, as `nohup` asks for."""
    return [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]


def raise_on_signals() -> list[int]:
    """From now on each of the signals raises KeyboardInterrupt in the main thread; they are noted in the result."""
    seen: list[int] = []

    def stop(number: int, frame: Any) -> NoReturn:
        seen.append(number)
        if number not in (signal.SIGINT, signal.SIGTERM):
            _let_go_of_terminal()
        raise KeyboardInterrupt

    for number in _heeded():
        signal.signal(number, stop)
    return seen


def _let_go_of_terminal() -> None:
    """Write nowhere from now on, where output went to a terminal: it is gone, and writing to it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Within the block, put the signals that end a program on a list instead of acting on them."""
    seen: list[int] = []
    numbers = _heeded()
    previous = [signal.signal(number, lambda number, _: seen.append(number)) for number in numbers]
    try:
        yield seen
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and what else ends a program back until the block is through, so that what it writes is not torn."""
    if threading.current_thread() is not threading.main_thread():  # no other thread may set handlers, or is hit
        yield
        return
    with noted_signals() as seen:
        yield
    if seen:
        signal.raise_signal(seen[0])
