"""The window around a face: where it lies in a frame, and how it moves with the face, smoothly."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from model.faces.crop import FaceCrop, blurred_for
from model.faces.landmarks import eye_centres, face_size


@dataclass(frozen=True)
class MovingWindow:
    """A window of constant size in a scaled frame, placed to fractions of a pixel.

    `x`, `y` are the left and upper edge in pixels of the frame, `scale` enlarges the frame; the window shows `width` x
    `height` pixels after scaling. What lies outside the frame repeats its edge.
    """

    scale: float
    x: float
    y: float
    width: int
    height: int

    @classmethod
    def of(cls, crop: FaceCrop) -> "MovingWindow":
        """The window that `crop` shows."""
        return cls(crop.scale, crop.left / crop.scale, crop.top / crop.scale, crop.width, crop.height)

    @property
    def matrix(self) -> np.ndarray:
        """Affine matrix `[2, 3]` from pixels of the frame to pixels of the window (centres at whole numbers)."""
        half = (self.scale - 1) / 2
        return np.array([[self.scale, 0, half - self.scale * self.x], [0, self.scale, half - self.scale * self.y]])

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """The window's picture uint8 `[height, width, 3]` of a frame uint8 `[H, W, 3]`."""
        rgb = blurred_for(rgb, self.scale)
        size = (self.width, self.height)
        return cv2.warpAffine(rgb, self.matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class OneEuro:
    """The 1€ filter (Casiez, Roussel and Vogel, CHI 2012) for vectors: steady when still, prompt when moving.

    Args:
        cutoff: in Hz, when still. The lower, the steadier.
        beta: how much the cutoff grows with speed, in Hz per (unit / s).
    """

    SPEED_CUTOFF = 1.0

    def __init__(self, cutoff: float, beta: float):
        self.cutoff, self.beta = cutoff, beta
        self._value: np.ndarray | None = None
        self._speed = 0.0
        self._time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered value at `time` in seconds."""
        value = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._time, self._speed = value, time, np.zeros_like(value)
            return value
        step = max(time - self._time, 1e-3)
        self._speed = self._mix(self._speed, (value - self._value) / step, self.SPEED_CUTOFF, step)
        cutoff = self.cutoff + self.beta * float(np.linalg.norm(self._speed))
        self._value, self._time = self._mix(self._value, value, cutoff, step), time
        return self._value

    def wait(self, time: float) -> None:
        """Nothing was seen until `time`: what comes next is not to count as much as all that was missed."""
        self._time = time

    @staticmethod
    def _mix(old: np.ndarray, new: np.ndarray, cutoff: float, step: float) -> np.ndarray:
        share = 1 / (1 + 1 / (2 * math.pi * cutoff * step))
        return old + share * (new - old)


class WindowPath:
    """Where the window of a clip lies, frame after frame: the first crop, moved and scaled with the face.

    Position and size of the face are smoothed; where no face is seen, the window stays. When a face is found again, the
    window glides there; at a cut it jumps.
    """

    CUTOFF, BETA = 0.8, 2.0
    """Of the 1€ filter for the position, in eye distances."""

    SIZE_CUTOFF, SIZE_BETA = 0.3, 0.3
    """Of the one for the size: heads come nearer slowly, landmarks of a half-hidden face shrink and swell at once."""

    GLIDE = 5.0
    """Eye distances a second that the window moves at most until it has caught up with a face that is found again."""

    GRID, ZOOM = 8, 1.15
    """Pixels that an anchored window moves at once, and how far the face's size may change before its scale follows."""

    def __init__(self, crop: FaceCrop, landmarks: np.ndarray, anchored: bool = False):
        """What the window starts from.

        Args:
            crop: the first window.
            landmarks: `[68, 2]` of the frame that `crop` was fitted to.
            anchored: let the window go in whole steps over one grid of pixels. What stands still in the frame is then
                sampled alike in every frame and does not shimmer; where the result is put back into the frame, the
                steps are not seen.
        """
        self._crop, self._anchored = crop, anchored
        self._first = self._pose(landmarks)
        self.window = MovingWindow.of(crop)
        self._start()

    def _start(self) -> None:
        self._filters = OneEuro(self.CUTOFF, self.BETA), OneEuro(self.SIZE_CUTOFF, self.SIZE_BETA)
        self._place: np.ndarray | None = None
        self._time = 0.0
        self._glides = False

    @staticmethod
    def _pose(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
        """Middle of the eyes `[2]` and size of the face, in pixels."""
        left, right = eye_centres(landmarks)
        return (left + right) / 2, face_size(landmarks)

    def update(self, landmarks: np.ndarray | None, time: float, is_cut: bool = False) -> MovingWindow:
        """The window for the next frame, at `time` in seconds."""
        if is_cut:
            self._start()
        if landmarks is None:
            self._glides = self._place is not None
            self._time = time
            for smooth in self._filters:
                smooth.wait(time)
            return self.window
        (middle, size), (first_middle, first_size) = self._pose(landmarks), self._first
        place = self._filters[0](middle / first_size, time)
        growth = math.exp(self._filters[1](np.array([math.log(size / first_size)]), time)[0])
        if self._glides:
            place = self._towards(place, time - self._time)
        self._place, self._time = place, time
        crop, (height, width) = self._crop, self._crop.frame_size
        # A window larger than the frame would show nothing more.
        scale = max(crop.scale / growth, crop.width / width, crop.height / height)
        held = self.window.scale
        if self._anchored and 1 / self.ZOOM < scale / held < self.ZOOM:
            scale = held
        offset = (np.array([crop.left, crop.top]) / crop.scale - first_middle) * crop.scale / scale
        left, top = place * first_size + offset
        if self._anchored:
            left, top = (self._step(edge, now, scale) for edge, now in ((left, self.window.x), (top, self.window.y)))
        left, top = _inside(left, crop.width / scale, width), _inside(top, crop.height / scale, height)
        self.window = MovingWindow(scale, left, top, crop.width, crop.height)
        return self.window

    def _step(self, edge: float, now: float, scale: float) -> float:
        """`edge` on the grid of `scale`; `now` as long as that is near enough."""
        nearest = round(edge * scale / self.GRID) * self.GRID / scale
        stays = scale == self.window.scale and abs(edge - now) * scale < 0.75 * self.GRID
        return now if stays else nearest

    def _towards(self, place: np.ndarray, seconds: float) -> np.ndarray:
        """`place`, or as near to it as gliding allows."""
        way = place - self._place
        length, reach = float(np.linalg.norm(way)), self.GLIDE * max(seconds, 1e-3)
        self._glides = length > reach
        return self._place + way * min(1.0, reach / max(length, 1e-9))


def _inside(start: float, length: float, side: float) -> float:
    """Where an interval of `length` begins that is moved into [0, side] if it fits there, else centred on it."""
    return min(max(start, 0.0), side - length) if length < side else (side - length) / 2
