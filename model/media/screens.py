"""Outputs of a live picture: a window of tkinter, which comes with Python, and a virtual camera of pyvirtualcam."""

from contextlib import AbstractContextManager, suppress

import numpy as np
from PIL import Image, ImageOps

from model.common.errors import InputError

SCREEN_PART = 0.8
"""Part of the screen that a window takes at most, of each side."""

VIRTUAL_SIZE, VIRTUAL_RATE = (1280, 720), 20
"""Width and height of the virtual camera's picture, and the frames a second that it promises to other programs."""


class Screen(AbstractContextManager):
    """What is shown on. Subclasses have `show(rgb, title)`; leaving a `with` block closes them."""

    closed = False

    def close(self) -> None:
        """Let go of it; nothing is shown any more."""
        self.closed = True

    def __exit__(self, *exception: object) -> None:
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
        try:
            self._camera = pyvirtualcam.Camera(*VIRTUAL_SIZE, VIRTUAL_RATE)
        except RuntimeError as error:
            raise InputError(
                "No virtual camera was found: on Linux run sudo modprobe v4l2loopback, elsewhere install OBS."
            ) from error

    def show(self, rgb: np.ndarray, title: str) -> None:
        """Send a picture, as large as the camera's allows, between black bars."""
        picture = ImageOps.pad(Image.fromarray(rgb), VIRTUAL_SIZE, Image.Resampling.BILINEAR)
        self._camera.send(np.asarray(picture))

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
