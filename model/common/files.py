"""Files that are there whole or not at all, lines added to logs, and locks on what only one run may work at."""

import errno
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from filelock import FileLock, Timeout

from model.common.errors import InputError

UNFINISHED = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.partial(\.\w+)?")  # names that `unfinished` gives
ABANDONED = 24 * 3600  # seconds without a change after which an unfinished file is one of a run that was killed
FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG  # disk, quota, largest size of a file


@contextmanager
def storing(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Turn OSErrors, and `others`, of a block that writes `path` into an InputError."""
    try:
        yield
    except (OSError, *others) as error:
        reason, code = getattr(error, "strerror", None), getattr(error, "errno", None)
        is_full = code in FULL or reason is None  # NumPy and torch give no reason
        advice = "free some space there" if is_full else "choose a folder that exists and can be written"
        raise InputError(f"cannot write {path}: {reason or 'the disk may be full'}; {advice}") from error


def unfinished(path: Path) -> Path:
    """A name for a file on its way to `path`: this run's own, beside it, of its kind, and hidden from patterns."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{token_hex(4)}.partial{path.suffix}")


def publish(partial: Path, path: Path) -> None:
    """Give a finished file its name, in place of an older one, once it is safe on the disk. Raises OSError."""
    with partial.open("r+b") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    with suppress(OSError):  # Windows opens no folders, and some file systems cannot sync them
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_abandoned(path: Path) -> None:
    """Remove the unfinished files that runs which were killed long ago left of `path`."""
    with suppress(OSError):
        for file in path.parent.iterdir():
            is_one = UNFINISHED.fullmatch(file.name) and file.name.startswith(f".{path.stem}.")
            if is_one and file.stat().st_mtime < time.time() - ABANDONED:
                file.unlink()


def write_whole(path: str | Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Write a file, or let `content` fill one that becomes it: until it is whole, an older one stays as it is. Folders
    are made. Raises InputError when the disk is full or the place can't be written."""
    path = Path(path)
    partial = unfinished(path)
    with storing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(path)
            if callable(content):
                content(partial)
            else:
                partial.write_bytes(content.encode() if isinstance(content, str) else content)
            publish(partial, path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def bytes_of(save: Callable[..., object], *arguments: Any, **settings: Any) -> bytes:
    """What `save` writes into the file that is its first argument. Pillow and NumPy, when they write into a file
    themselves, do not notice that a full disk took less of the last bytes."""
    file = io.BytesIO()
    save(file, *arguments, **settings)
    return file.getvalue()


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that several processes may add to; what was cut off before stays a line of its own. Raises
    InputError when the disk is full or the place can't be written."""
    with storing(path), path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        data = b"\n" * (file.read(1) not in (b"", b"\n")) + line.encode() + b"\n"
        if file.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())


@contextmanager
def alone(lock: Path, work: str) -> Iterator[None]:
    """Within the block no other run gets into a block with this lock, a file that is made, and removed in the end; the
    lock of a run that was killed bars nobody. Raises InputError while another run is at `work` ("clip.mp4"). Where the
    place can't be written, or has no locks, it is as if nobody else were there."""
    held, made = FileLock(lock, timeout=0), [folder for folder in lock.parents if not folder.exists()]
    with suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire()
        except Timeout as error:
            raise InputError(f"another run is at work on {work}: wait for its end, or choose another name") from error
    try:
        yield
    finally:
        if held.is_locked:
            with suppress(OSError):  # Windows removes it on release
                lock.unlink(missing_ok=True)
            held.release()
        with suppress(OSError):  # where the work came to nothing
            for folder in made:
                folder.rmdir()
