"""Outputs of a live picture: a window of tkinter, which comes with Python, and a virtual camera of pyvirtualcam."""

from contextlib import suppress
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from PIL import Image

from model.common.errors import InputError

SCREEN_PART = 0.8
"""Part of the screen that a window takes at most, of each side."""

VIRTUAL_SIZE, VIRTUAL_RATE = (720, 1280), 20
"""Height and width of the virtual camera's picture, and the frames a second that it promises to other programs."""


class Screen:
    """What windows and virtual cameras have in common: they are closed on leaving a `with` block."""

    closed = False

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Show a picture RGB uint8 `[H, W, 3]`."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of it; nothing is shown any more."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Window(Screen):
    """A window that Esc and its own button close. Raises InputError where there is no display."""

    def __init__(self) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise InputError("The window needs tkinter: install python3-tk, or give --virtual_camera.") from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise InputError(
                "There is no display for the window: start the program on a desktop, or give --virtual_camera."
            ) from error
        self._make_photo = ImageTk.PhotoImage
        self._photo = None
        self._label = tkinter.Label(self._root, borderwidth=0, background="black")
        self._label.pack(expand=True)
        self._root.configure(background="black")
        self._root.bind("<Escape>", lambda event: self.close())
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        self._largest = (
            int(SCREEN_PART * self._root.winfo_screenheight()), int(SCREEN_PART * self._root.winfo_screenwidth()),
        )  # fmt: skip

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Show a picture, reduced to the screen where it is larger, and heed keys and mouse."""
        if self.closed:
            return
        self._root.title(title)
        # The label shows only what somebody holds on to.
        self._photo = self._make_photo(Image.fromarray(reduced(rgb, self._largest)))
        self._label.configure(image=self._photo)
        self._root.update()

    def close(self) -> None:
        """Close the window, once."""
        if not self.closed:
            self.closed = True
            self._photo = None
            self._root.destroy()


class VirtualCamera(Screen):
    """A camera that other programs see. Raises InputError where the package or the driver is missing."""

    def __init__(self) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise InputError("--virtual_camera needs a package: pip install pyvirtualcam.") from error
        height, width = VIRTUAL_SIZE
        try:
            self._camera = pyvirtualcam.Camera(width, height, VIRTUAL_RATE)
        except RuntimeError as error:
            raise InputError(
                "No virtual camera was found: on Linux run sudo modprobe v4l2loopback, elsewhere install OBS."
            ) from error

    @property
    def device(self) -> str:
        """What other programs call it."""
        return self._camera.device

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Send a picture, fitted into the camera's with black bars."""
        self._camera.send(fitted(rgb, VIRTUAL_SIZE))

    def close(self) -> None:
        """Close the camera, once."""
        if not self.closed:
            self.closed = True
            self._camera.close()


def open_screens(virtual_camera: bool) -> list[Screen]:
    """The window; or the virtual camera, and the window where there is a display. InputError where one is missing."""
    if not virtual_camera:
        return [Window()]
    screens: list[Screen] = [VirtualCamera()]
    with suppress(InputError):
        screens.append(Window())
    return screens


def reduced(rgb: np.ndarray, largest: tuple[int, int]) -> np.ndarray:
    """A picture uint8 `[H, W, 3]` no larger than `(h, w)`, in its own proportions."""
    scale = min(largest[0] / rgb.shape[0], largest[1] / rgb.shape[1])
    return rgb if scale >= 1 else _scaled(rgb, scale)


def fitted(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture in the middle of a black one uint8 `[h, w, 3]`, as large as it can be."""
    picture = _scaled(rgb, min(size[0] / rgb.shape[0], size[1] / rgb.shape[1]))
    height, width = picture.shape[:2]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    result = np.zeros((*size, 3), np.uint8)
    result[top : top + height, left : left + width] = picture
    return result


def _scaled(rgb: np.ndarray, scale: float) -> np.ndarray:
    size = max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1)
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
