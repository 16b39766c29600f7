"""A camera as a source: the newest frame only, shown at once.

    with closing(VideoCapture(0)) as camera, Window() as window, Latest(camera) as frames:
        play(frames, [window])

Nothing waits in a queue: while a frame is worked on, the camera's next ones replace each other, so that what is shown
is never older than one frame's work. Tests put objects of their own in the place of cameras and outputs.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Protocol, Self

import cv2
import numpy as np

from model.common.errors import InputError
from model.media.frames import Frame

PATIENCE = 5.0
"""Seconds without a frame after which the camera is taken for gone."""

FPS_FRAMES = 10
"""Frames over which the figure in the title is taken."""


class Output(Protocol):
    """Where frames go, see `model.media.screens`."""

    closed: bool

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Show a picture RGB uint8 `[H, W, 3]`."""


class VideoCapture:
    """A camera, or the file of a video, by OpenCV. Raises InputError where there is none."""

    def __init__(self, device: int | str):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it has warnings where we have a sentence
        self._capture = cv2.VideoCapture(device)
        if not self._capture.isOpened() or self.read() is None:
            self._capture.release()
            raise InputError(
                f"The camera webcam:{device} cannot be opened: connect it, close other programs that use it, "
                "or name another number."
            )

    def read(self) -> np.ndarray | None:
        """The next picture RGB uint8 `[H, W, 3]`, as soon as there is one; None when there are no more."""
        is_there, bgr = self._capture.read()
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if is_there else None

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()


class Latest:
    """The frames of a camera, read by a thread that keeps only the newest one; the times are seconds since the start.

    dropped: how many frames were replaced by newer ones before anybody asked for them.
    """

    def __init__(self, camera: VideoCapture):
        self.dropped = 0
        self._camera = camera
        self._newest: Frame | None = None
        self._has_ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def _read(self) -> None:
        start = time.monotonic()
        try:
            while not self._has_ended and (rgb := self._camera.read()) is not None:
                frame = Frame(rgb, Fraction(time.monotonic() - start).limit_denominator(1000))
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()
        except Exception as error:  # it is raised where the frame would have come
            self._error = error
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def __iter__(self) -> Iterator[Frame]:
        """Each time the newest frame that was not given yet, until the camera has no more."""
        while True:
            with self._changed:
                came = self._changed.wait_for(lambda: self._newest is not None or self._has_ended, PATIENCE)
                frame, self._newest = self._newest, None
            if self._error is not None:
                raise self._error
            if not came:
                raise InputError(f"The camera has sent nothing for {PATIENCE:g} seconds: connect it again.")
            if frame is None:
                return
            yield frame

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._has_ended = True
        self._thread.join(PATIENCE)


def play(frames: Iterable[Frame], outputs: Sequence[Output]) -> int:
    """Show frames until there are no more, an output is closed, or Ctrl-C; returns how many were shown."""
    shown, times = 0, deque(maxlen=FPS_FRAMES)
    with suppress(KeyboardInterrupt):
        for frame in frames:
            times.append(time.monotonic())
            rate = (len(times) - 1) / max(times[-1] - times[0], 1e-3)
            for output in outputs:
                output.show(frame.rgb, f"VToonify · {rate:.1f} frames a second")
            shown += 1
            if any(output.closed for output in outputs):
                break
    return shown
