"""The crop around a face that the network sees: which scale, which window, and how it is cut out of a frame."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from model.common.errors import InputError
from model.common.sizes import DEFAULT_PADDING, EYE_DISTANCE, INPUT_MULTIPLE
from model.faces.landmarks import eye_centres

UPRIGHT_DEGREES = 5.0  # heads more upright get the published horizontal eye distance: crops agree to the pixel
MAX_SCALED_PIXELS = 2**26  # 200 MB: a tiny face in a big frame is enlarged less than asked for
BLUR_KERNEL, BLUR_SCALE = np.array([1, 3, 3, 1]) / 8, 0.75  # against jaggies: once up to this scale, twice up to half


@dataclass(frozen=True)
class FaceCrop:
    """The window of a scaled frame that is stylised. Beyond the frame it repeats the frame's edge."""

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
        height, width = (-(-side // INPUT_MULTIPLE) * INPUT_MULTIPLE for side in frame_size)
        return cls(1.0, left=0, right=width, top=0, bottom=height, frame_size=tuple(frame_size))

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
        if rgb.shape[:2] != self.frame_size:
            (h, w), (first_h, first_w) = rgb.shape[:2], self.frame_size
            raise InputError(f"A frame of {w} x {h} pixels follows frames of {first_w} x {first_h}: give one size.")
        window = resize_frame(rgb, self.scale)[self.top : self.bottom, self.left : self.right]
        missing = ((0, self.height - window.shape[0]), (0, self.width - window.shape[1]), (0, 0))
        return np.pad(window, missing, mode="edge")

    def trim(self, result: np.ndarray, factor: int = 4) -> np.ndarray:
        """Cut off what `apply` added beyond the frame: [factor * height, factor * width, 3] -> at most that size."""
        height, width = scaled_size(self.frame_size, self.scale)
        return result[: (height - self.top) * factor, : (width - self.left) * factor]


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
