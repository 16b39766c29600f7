"""A visitor's webcam: pictures come in one by one, and each is answered by its cartoon."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from model.common.errors import InputError
from model.inference.job import live
from model.inference.look import Look
from model.inference.stylizer import Stylizer
from model.media.frames import Frame

MOST_SIDE = 960  # pixels of a picture that is taken; the page sends smaller ones
QUALITY = 85  # of the JPEG answers


@dataclass(frozen=True)
class Chosen:
    """What the cartoons are to look like."""

    stylizer: Stylizer
    look: Look


class Live:
    """The cartoons of one camera; `answer` takes its pictures in order."""

    def __init__(self) -> None:
        self._lock, self._next, self._chosen, self._size = threading.Lock(), None, None, None
        self._cartoons: Iterator[Frame] | None = None
        self._is_open = True

    def answer(self, jpeg: bytes, seconds: float, chosen: Chosen) -> bytes:
        """The cartoon of a picture taken at this time, as JPEG; the picture itself until a face is seen in it. Raises
        InputError for what is no picture."""
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
        if bgr is None:
            raise InputError("The webcam sent no picture: turn it off and on.")
        if max(bgr.shape) > MOST_SIDE:
            raise InputError(f"The webcam's pictures have more than {MOST_SIDE} pixels a side: reload the page.")
        with self._lock:
            if not self._is_open:
                raise InputError("This page was left.")
            if chosen != self._chosen or bgr.shape != self._size or self._cartoons is None:
                self._chosen, self._size = chosen, bgr.shape
                self._cartoons = live(chosen.stylizer, self._frames(), chosen.look)
            self._next = Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), Fraction(seconds).limit_denominator(1000))
            try:
                cartoon = next(self._cartoons)
            except BaseException:
                self._cartoons = None  # the next picture begins anew
                raise
        return cv2.imencode(".jpg", cartoon.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()

    def _frames(self) -> Iterator[Frame]:
        while self._next is not None:
            frame, self._next = self._next, None
            yield frame

    def close(self) -> None:
        """No more pictures come."""
        with self._lock:
            self._is_open, self._cartoons = False, None
