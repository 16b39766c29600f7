"""What every source and every sink of frames has in common."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from model.common.errors import InputError
from model.common.files import publish, remove_abandoned, storing, unfinished
from model.common.interrupts import uninterrupted

LARGEST_SIDES = {".mp4": 16384, ".jpg": 65500, ".jpeg": 65500}  # pixels that x264 and libjpeg take at most
MARK = "VToonify"
DEFAULT_RATE = Fraction(25)  # of anything that states none: photos, numbered pictures, streams without a clock


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture."""

    rgb: np.ndarray  # [H, W, 3] uint8
    time: Fraction | None = None  # seconds on the clock of the source, None for a photo
    state: dict[str, Any] | None = None  # of results: what a run that goes on after it has to know, for JSON


class FrameSource(AbstractContextManager):
    """Frames of the file `path`, one by one, for results called after `name`; every loop starts at the first again."""

    first: Frame  # known as soon as the source is open
    is_video = True
    rate: Fraction | None = None  # frames a second, None for a photo; nominal, the times of the frames are what counts
    is_steady = True  # whether the frames are evenly spaced, as far as the file tells
    time_base = 1 / DEFAULT_RATE  # the tick of the clock in seconds; every time is close to a multiple of it
    expected_frames: int | None = None  # what the file claims, for progress bars only
    tracks: tuple[int, ...] = ()  # numbers of the streams in `path` that hold the sound and the subtitles
    origin = Fraction(0)  # what was subtracted from the clock of the file to give the times, in seconds
    is_part = False  # whether it begins in the middle of its file: sound from before that is none of it
    # Of the last loop:
    end: Fraction | None = None  # when its last frame ends on the clock, if known
    warning: str | None = None  # a sentence on what could not be read
    finished = False  # whether it has come to the end

    def __init__(self, path: Path):
        self.path, self.name = path, path.stem
        self._loops: list[Iterator[Frame]] = []

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels, after rotation."""
        return self.first.rgb.shape[:2]

    @abstractmethod
    def _read(self) -> Iterator[Frame]:
        """Yield the frames from the first on, holding files open only while it runs."""

    def _loop(self) -> Iterator[Frame]:
        self.warning, self.finished = None, False
        yield from self._read()
        self.finished = True

    def __iter__(self) -> Iterator[Frame]:
        self._loops.append(self._loop())
        return self._loops[-1]

    def close(self) -> None:
        """Ends every loop over the source and closes its files."""
        while self._loops:
            self._loops.pop().close()

    def __exit__(self, *exception: object) -> None:
        self.close()


class FrameSink(AbstractContextManager):
    """Writes frames into a file of its own next to `path`, which gets that name once all went well.

    After Ctrl-C what was written stays, playable, as `partial`; after any other exception nothing stays of it.
    """

    mark: str | None = MARK  # the maker's, in the file: results are not taken for contents; None: nothing is said
    done = 0  # how many frames an earlier run has written already
    state: dict[str, Any] | None = None  # `Frame.state` of the last of them
    warning: str | None = None  # a sentence on what of the source could not come along

    def __init__(self, path: Path, source: FrameSource):
        """Refuses a place that cannot be written before hours of work go into it."""
        self.path = path
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self.written = 0
        self._source, self._unfinished = source, unfinished(path)
        for target in (self.path, self.partial):
            if target.exists() and source.path.exists() and target.samefile(source.path):
                raise InputError(f"writing {path} would destroy the input {source.path}: choose another output name")
        if path.is_dir():
            raise InputError(f"cannot write {path}: a folder has that name; choose another output name")
        with self._storing():
            if source.is_video:  # what is left of photos is small
                remove_abandoned(path)
            self._unfinished.touch()
            self._unfinished.unlink()

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Turn what the system says within the block into a sentence, and hold Ctrl-C back until it is through."""
        with storing(self.path, av.FFmpegError), uninterrupted():
            yield

    def write(self, frame: Frame) -> None:
        """Adds one frame; all frames of a sink have the same size. Raises InputError if it cannot be stored."""
        if not self.written:
            check_size(self.path.suffix, *frame.rgb.shape[:2])
        with self._storing():
            self._write(frame)
            self.written += 1

    def left(self) -> str | None:
        """After Ctrl-C: what stayed of the work, as a sentence; None for nothing."""
        return f"the part of {self._source.path} that was done is in {self.partial}" if self.written else None

    @abstractmethod
    def _write(self, frame: Frame) -> None:
        """Stores one frame in the unfinished file."""

    def _finish(self, complete: bool) -> None:  # noqa: B027 - a file may be whole with each frame
        """Makes the unfinished file playable; `complete` is False if the user broke off."""

    def _abandon(self) -> None:  # noqa: B027
        """Lets go of the unfinished file, whatever its state."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        if not self.written or (kind is not None and not interrupted):
            self.discard()
            return
        try:
            with self._storing():
                self._finish(complete=not interrupted)
                publish(self._unfinished, self.partial if interrupted else self.path)
                if not interrupted:  # what a run that was broken off had done is surpassed
                    self.partial.unlink(missing_ok=True)
        except InputError:
            self.discard()
            raise

    def discard(self) -> None:
        """Lets go of what was written; an older file at `path` stays."""
        with suppress(OSError, av.FFmpegError):  # on a full disk closing fails as well
            self._abandon()
        self._unfinished.unlink(missing_ok=True)


def check_size(suffix: str, height: int, width: int) -> None:
    """Raise InputError for pictures that files with this `suffix` cannot hold."""
    if max(height, width) > (most := LARGEST_SIDES.get(suffix.lower(), math.inf)):
        told = f"the result would have {width} x {height} pixels, but {suffix} ends at {most} a side"
        raise InputError(f"{told}: lower --full_frame, or make the picture smaller first")


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Lays a picture with straight alpha on white: [H, W, 4] uint8 -> [H, W, 3] uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def unreadable(path: Path, reason: str, advice: str = "pass another file") -> InputError:
    """The error of a file that cannot be used as a source."""
    return InputError(f"cannot read {path}: {reason}; {advice}")
