"""A live picture: a camera of which only the newest frame counts, and the screens it is shown on."""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from typing import Self

import cv2
import numpy as np
from PIL import Image, ImageOps

from model.common.errors import InputError
from model.media.frames import Frame

PATIENCE = 5.0  # seconds without a frame after which the camera is taken for gone
RATE_FRAMES = 10  # over which the frames a second in the title are taken
SCREEN_PART = 0.8  # part of each side of the screen that a window takes at most
VIRTUAL_SIZE, VIRTUAL_RATE = (1280, 720), 20  # width, height and frames a second that other programs are promised


class VideoCapture:
    """A camera, or the file of a video, by OpenCV. Raises InputError where there is none."""

    def __init__(self, device: int | str):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it has warnings where we have a sentence
        self._capture = cv2.VideoCapture(device)
        if not self._capture.isOpened() or self.read() is None:
            self._capture.release()
            advice = "connect it, close what uses it, or name another number"
            raise InputError(f"The camera webcam:{device} cannot be opened: {advice}.")

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
        self._is_open = True
        self._newest: queue.SimpleQueue[Frame | Exception | None] = queue.SimpleQueue()  # None at the end
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def _read(self) -> None:
        start = time.monotonic()
        try:
            while self._is_open and (rgb := self._camera.read()) is not None:
                with suppress(queue.Empty):
                    self._newest.get_nowait()
                    self.dropped += 1
                self._newest.put(Frame(rgb, Fraction(time.monotonic() - start).limit_denominator(1000)))
            self._newest.put(None)
        except Exception as error:  # it is raised where the frame would have come
            self._newest.put(error)

    def __iter__(self) -> Iterator[Frame]:
        """Each time the newest frame that was not given yet, until the camera has no more."""
        while True:
            try:
                newest = self._newest.get(timeout=PATIENCE)
            except queue.Empty:
                raise InputError(f"The camera has sent nothing for {PATIENCE:g} seconds: connect it again.") from None
            if isinstance(newest, Exception):
                raise newest
            if newest is None:
                return
            yield newest

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_open = False
        self._thread.join(PATIENCE)


class Screen(AbstractContextManager):
    """Where `show(rgb, title)` shows pictures RGB uint8 `[H, W, 3]`. Leaving a `with` block closes it."""

    closed = False

    def close(self) -> None:
        """Let go of it; nothing is shown any more."""
        self.closed = True

    def __exit__(self, *exception: object) -> None:
        self.close()


class Window(Screen):
    """A window of tkinter that Esc and its own button close. Raises InputError where there is no display."""

    def __init__(self) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise InputError("The window needs tkinter: install python3-tk, or give --virtual_camera.") from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise InputError("There is no display for the window: use a desktop, or give --virtual_camera.") from error
        self._make_photo, self._photo = ImageTk.PhotoImage, None
        self._label = tkinter.Label(self._root, borderwidth=0, background="black")
        self._label.pack(expand=True)
        self._root.configure(background="black")
        self._root.bind("<Escape>", lambda event: self.close())
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        width, height = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        self._largest = int(SCREEN_PART * width), int(SCREEN_PART * height)

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Show a picture, reduced to the screen where it is larger, and heed keys and mouse."""
        if self.closed:
            return
        self._root.title(title)
        image = Image.fromarray(rgb)
        image.thumbnail(self._largest, Image.Resampling.BILINEAR)
        self._photo = self._make_photo(image)  # the label shows only what somebody holds on to
        self._label.configure(image=self._photo)
        self._root.update()

    def close(self) -> None:
        """Close the window, once."""
        if not self.closed:
            self.closed, self._photo = True, None
            self._root.destroy()


class VirtualCamera(Screen):
    """A camera that other programs see. Raises InputError where the package or the driver is missing."""

    def __init__(self) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise InputError("--virtual_camera needs a package: pip install pyvirtualcam.") from error
        try:
            self._camera = pyvirtualcam.Camera(*VIRTUAL_SIZE, VIRTUAL_RATE)
        except RuntimeError as error:
            advice = "on Linux run sudo modprobe v4l2loopback, elsewhere install OBS"
            raise InputError(f"No virtual camera was found: {advice}.") from error

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Send a picture, as large as the camera's allows, between black bars."""
        self._camera.send(np.asarray(ImageOps.pad(Image.fromarray(rgb), VIRTUAL_SIZE, Image.Resampling.BILINEAR)))

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


def open_screens(virtual_camera: bool) -> list[Screen]:
    """The window; or the virtual camera, and the window where there is a display. InputError where one is missing."""
    if not virtual_camera:
        return [Window()]
    screens: list[Screen] = [VirtualCamera()]
    with suppress(InputError):
        screens.append(Window())
    return screens


def play(frames: Iterable[Frame], screens: Sequence[Screen]) -> int:
    """Show frames until there are no more, a screen is closed, or Ctrl-C; returns how many were shown."""
    shown, times = 0, deque(maxlen=RATE_FRAMES)
    with suppress(KeyboardInterrupt):
        for frame in frames:
            times.append(time.monotonic())
            rate = (len(times) - 1) / max(times[-1] - times[0], 1e-3)
            for screen in screens:
                screen.show(frame.rgb, f"VToonify · {rate:.1f} frames a second")
            shown += 1
            if any(screen.closed for screen in screens):
                break
    return shown
