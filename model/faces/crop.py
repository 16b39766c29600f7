"""The windows around a face: what a style is given of a frame, and what of that is shown.

Both are the same, unless the head is turned or larger than the frame: then the style is given a `StyleWindow`.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from model.common.errors import InputError
from model.common.sizes import DEFAULT_PADDING, EYE_DISTANCE, INPUT_MULTIPLE
from model.faces.landmarks import eye_centres, eye_midpoint, face_size, tilt

UPRIGHT_DEGREES = 5.0  # heads more upright get the published horizontal eye distance: crops agree to the pixel
MAX_SCALED_PIXELS = 2**26  # 200 MB: a tiny face in a big frame is enlarged less than asked for
BLUR_KERNEL, BLUR_SCALE = np.array([1, 3, 3, 1]) / 8, 0.75  # against jaggies: once up to this scale, twice up to half
GRID_BLUR = 0.6  # pixels, for results that are enlarged twofold
HEAD = 2.0  # face sizes around the point between the eyes that hold a head
NOT_TURNED = 20.0  # degrees of tilt up to which faces are drawn well as they are; from twice as many on all is turned


class Window:
    """What of a frame is stylised: `width` x `height` pixels of the frame enlarged by `scale`."""

    @property
    def shown(self) -> "FaceCrop | MovingWindow":
        """The part of it that is shown."""
        return self

    def show(self, rgb: np.ndarray) -> np.ndarray:
        """What is shown of a frame, as it is: uint8 `[H, W, 3]` -> `[h, w, 3]`."""
        return self.shown.trim(self.shown.apply(rgb), factor=1)

    def trim(self, result: np.ndarray, factor: int = 4) -> np.ndarray:
        """What is shown of a result: `[factor * height, factor * width, 3]` -> as `show` gives it, `factor` times as
        large."""
        return result


@dataclass(frozen=True)
class FaceCrop(Window):
    """The window of a scaled frame that stays. Beyond the frame it repeats the frame's edge."""

    scale: float
    left: int  # pixels of the scaled frame, multiples of 8, as the other three
    right: int
    top: int
    bottom: int
    frame_size: tuple[int, int]  # (h, w) of the unscaled frames

    @classmethod
    def from_landmarks(
        cls, landmarks: np.ndarray, frame_size: tuple[int, int],
        padding: tuple[int, int, int, int] = DEFAULT_PADDING, eye_distance: float = EYE_DISTANCE,
    ) -> "FaceCrop":  # fmt: skip
        """Scale the face to `eye_distance` pixels between the eyes and cut `padding` around the point between them.

        `padding` is (left, right, top, bottom) in pixels at an eye distance of 64 and grows with `eye_distance`. The
        window is clipped to the frame and floored to multiples of 8. Raises InputError when nothing is left of it.
        """
        if min(padding) < 0:
            raise InputError(f"The padding {tuple(padding)} around the face is negative; give four numbers from 0 up.")
        left_eye, right_eye = eye_centres(landmarks)
        dx, dy = (right_eye - left_eye).tolist()
        is_upright = dx > 0 and abs(dy) <= dx * math.tan(math.radians(UPRIGHT_DEGREES))
        distance = dx if is_upright else math.hypot(dx, dy)
        largest_scale = max(1.0, math.sqrt(MAX_SCALED_PIXELS / (frame_size[0] * frame_size[1])))
        eye_distance = min(eye_distance, largest_scale * distance)
        scale = eye_distance / distance
        height, width = scaled_size(frame_size, scale)
        x, y = (left_eye + right_eye) / 2 * scale
        left, right, top, bottom = (pad * eye_distance / EYE_DISTANCE for pad in padding)
        edges = (max(x - left, 0), min(x + right, width), max(y - top, 0), min(y + bottom, height))
        # Rounding before flooring is what the published crops show: 111.6 becomes 112, not 104.
        crop = cls(scale, *(round(edge) // INPUT_MULTIPLE * INPUT_MULTIPLE for edge in edges), tuple(frame_size))
        if min(crop.height, crop.width) < INPUT_MULTIPLE:
            raise InputError(
                f"The crop around the face would be {max(crop.width, 0)} x {max(crop.height, 0)} pixels and needs "
                f"{INPUT_MULTIPLE} x {INPUT_MULTIPLE}; give a larger padding than {tuple(padding)} or another picture."
            )
        return crop

    @classmethod
    def whole_frame(cls, frame_size: tuple[int, int]) -> "FaceCrop":
        """The whole frame (h, w) unscaled, extended to the right and below to multiples of 8."""
        height, width = up_to_multiple(*frame_size)
        return cls(1.0, left=0, right=width, top=0, bottom=height, frame_size=tuple(frame_size))

    def with_room(self, landmarks: np.ndarray) -> "FaceCrop":
        """The crop with room for a whole head on those sides where it ends with the frame: in a video, there may be
        more to be seen later. The landmarks `[68, 2]` are those that it was made for."""
        height, width = scaled_size(self.frame_size, self.scale)
        x, y = self.scale * eye_midpoint(landmarks)
        reach = self.scale * HEAD * face_size(landmarks)
        right, bottom, left, top = up_to_multiple(x + reach, y + reach, reach - x, reach - y)
        return replace(
            self, left=min(self.left, -left) if self.left == 0 else self.left,
            right=max(self.right, right) if self.right + INPUT_MULTIPLE > width else self.right,
            top=min(self.top, -top) if self.top == 0 else self.top,
            bottom=max(self.bottom, bottom) if self.bottom + INPUT_MULTIPLE > height else self.bottom,
        )  # fmt: skip

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def matrix(self) -> np.ndarray:
        """Affine matrix `[2, 3]` from pixels of the frame to pixels of the crop (centres at whole numbers)."""
        # What `resize_frame` really multiplies by, as it rounds the frame's size.
        down, across = np.divide(scaled_size(self.frame_size, self.scale), self.frame_size)
        return np.array([[across, 0, (across - 1) / 2 - self.left], [0, down, (down - 1) / 2 - self.top]])

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Scale and cut a frame: uint8 [h, w, 3] -> [height, width, 3]. Raises InputError for another frame size."""
        self.check(rgb)
        window = resize_frame(rgb, self.scale)[self.top : self.bottom, self.left : self.right]
        missing = ((0, self.height - window.shape[0]), (0, self.width - window.shape[1]), (0, 0))
        return np.pad(window, missing, mode="edge")

    def check(self, rgb: np.ndarray) -> None:
        """Raise InputError for a frame of another size."""
        if rgb.shape[:2] != self.frame_size:
            (h, w), (first_h, first_w) = rgb.shape[:2], self.frame_size
            raise InputError(f"A frame of {w} x {h} pixels follows frames of {first_w} x {first_h}: give one size.")

    def trim(self, result: np.ndarray, factor: int = 4) -> np.ndarray:
        """Cut off what `apply` added beyond the frame: [factor * height, factor * width, 3] -> at most that size."""
        height, width = scaled_size(self.frame_size, self.scale)
        return result[: (height - self.top) * factor, : (width - self.left) * factor]


@dataclass(frozen=True)
class MovingWindow(Window):
    """A window of constant size in a scaled frame, placed to fractions of a pixel.

    `x`, `y` are the left and upper edge in pixels of the frame, `scale` enlarges the frame; the window shows `width` x
    `height` pixels after scaling.
    """

    scale: float
    x: float
    y: float
    width: int
    height: int

    @property
    def matrix(self) -> np.ndarray:
        """As `FaceCrop.matrix`."""
        half = (self.scale - 1) / 2
        return np.array([[self.scale, 0, half - self.scale * self.x], [0, self.scale, half - self.scale * self.y]])

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """The window's picture uint8 `[height, width, 3]` of a frame uint8 `[H, W, 3]`."""
        return cut_out(rgb, self)


@dataclass(frozen=True)
class StyleWindow(Window):
    """A window around the middle of another one, which is what is shown: a style wants a face upright, at its usual
    size and with all around it, even where there is no more in the frame, which is then continued by its mirror image.

    `turn`, in degrees, is by how much the picture is turned counter-clockwise.
    """

    inner: FaceCrop | MovingWindow
    turn: float
    scale: float
    width: int
    height: int

    @property
    def shown(self) -> FaceCrop | MovingWindow:
        return self.inner

    @property
    def matrix(self) -> np.ndarray:
        """As `FaceCrop.matrix`."""
        inner = self.inner
        centre = cv2.invertAffineTransform(inner.matrix) @ ((inner.width - 1) / 2, (inner.height - 1) / 2, 1)
        matrix = cv2.getRotationMatrix2D(centre.tolist(), self.turn, self.scale)
        matrix[:, 2] += ((self.width - 1) / 2, (self.height - 1) / 2) - centre
        return matrix

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """As `MovingWindow.apply`. InputError where the shown window is of frames of another size."""
        if isinstance(self.inner, FaceCrop):
            self.inner.check(rgb)
        return cut_out(rgb, self)

    def trim(self, result: np.ndarray, factor: int = 4) -> np.ndarray:
        size = factor * self.inner.width, factor * self.inner.height
        matrix = between(self.matrix, self.inner.matrix, factor, factor)
        enlarged = min(self.inner.scale / self.scale, 2) - 1
        if enlarged > 0:  # so would be the faint grid that networks leave
            result = cv2.GaussianBlur(result, (0, 0), GRID_BLUR * enlarged)
        return cv2.warpAffine(result, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def window_around(
    landmarks: np.ndarray, frame_size: tuple[int, int],
    padding: tuple[int, int, int, int] = DEFAULT_PADDING, eye_distance: float = EYE_DISTANCE,
) -> FaceCrop | StyleWindow:  # fmt: skip
    """What a style is given of a photo, or of a clip whose crop stays: `FaceCrop.from_landmarks`, turned with the head.

    Arguments and errors are the same.
    """
    crop = FaceCrop.from_landmarks(landmarks, frame_size, padding, eye_distance)
    turn = turn_of(tilt(landmarks))
    across, down = abs(math.cos(math.radians(turn))), abs(math.sin(math.radians(turn)))
    size = up_to_multiple(crop.width * across + crop.height * down, crop.width * down + crop.height * across)
    return StyleWindow(crop, turn, crop.scale, *size) if turn else crop


def turn_of(tilt: float) -> float:
    """By how much a face is turned that is tilted so, both in degrees: not at all up to `NOT_TURNED`, then more and
    more, and from twice that on until it is upright. It has no steps, so that nothing jumps in a video."""
    tilt = (tilt + 180) % 360 - 180
    return math.copysign(min(abs(tilt), 2 * max(abs(tilt) - NOT_TURNED, 0)), tilt)


def up_to_multiple(*sides: float) -> tuple[int, ...]:
    """The next multiples of 8, as sides of a picture for the network; a tiny excess does not count."""
    return tuple(math.ceil(side / INPUT_MULTIPLE - 1e-6) * INPUT_MULTIPLE for side in sides)


def between(first: np.ndarray, second: np.ndarray, first_factor: float = 1, second_factor: float = 1) -> np.ndarray:
    """Matrix `[2, 3]` from pixels of one picture to those of another; each is given by the matrix that leads to it from
    one frame, and by how many times as large it is as what that matrix leads to."""
    whole = []
    for matrix, factor in ((first, first_factor), (second, second_factor)):
        enlarging = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])
        whole.append(enlarging @ np.vstack([matrix, (0, 0, 1)]))
    return (whole[1] @ np.linalg.inv(whole[0]))[:2]


def cut_out(rgb: np.ndarray, window: MovingWindow | StyleWindow) -> np.ndarray:
    """What a window shows of a frame, bilinear, blurred first when reducing; the frame is continued by its mirror
    image. uint8 `[H, W, 3]` -> `[height, width, 3]`."""
    matrix, frame_sides = window.matrix, np.array(rgb.shape[1::-1])
    corners = np.array([[(0, 0), (window.width, 0), (0, window.height), (window.width, window.height)]], float)
    corners = cv2.transform(corners, cv2.invertAffineTransform(matrix))[0]
    reach = np.ptp(corners, axis=0) + 8  # around the window, for the blur and the mirror image; the rest costs time
    low = np.clip(np.floor(corners.min(axis=0) - reach), 0, frame_sides - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + reach), low + 1, frame_sides).astype(int)
    near = blurred_for(rgb[low[1] : high[1], low[0] : high[0]], window.scale)
    matrix[:, 2] += matrix[:, :2] @ low
    size = window.width, window.height
    return cv2.warpAffine(near, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def scaled_size(frame_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(h, w) of a frame after `resize_frame`."""
    return max(1, round(frame_size[0] * scale)), max(1, round(frame_size[1] * scale))


def resize_frame(rgb: np.ndarray, scale: float) -> np.ndarray:
    """Bilinear resize of uint8 [h, w, 3] to [round(h * scale), round(w * scale), 3], blurred first when reducing."""
    height, width = scaled_size(rgb.shape[:2], scale)
    if (height, width) == rgb.shape[:2]:
        return rgb
    return cv2.resize(blurred_for(rgb, scale), (width, height), interpolation=cv2.INTER_LINEAR)


def blurred_for(rgb: np.ndarray, scale: float) -> np.ndarray:
    """uint8 [h, w, 3] without the detail that a bilinear resize by `scale` would turn into jaggies."""
    for limit in (BLUR_SCALE, BLUR_SCALE / 2):
        if scale <= limit:
            rgb = cv2.sepFilter2D(rgb, -1, BLUR_KERNEL, BLUR_KERNEL)
    return rgb
