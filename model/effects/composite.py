"""Stylised crops put back into their frames, without a visible square.

    back = FullFrame(scale=2)
    whole = back(frame, crop, result, window)

The crop's person stays, softly cut out; towards the crop's edge, where that is not the frame's, it fades out; along the
seam its colours come near to those of the frame.
"""

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.effects.flow import dense_flow
from model.faces.crop import blurred_for
from model.faces.window import MovingWindow
from model.parsing.matting import person_matte

EDGE = 0.14
"""Width of the fade at the crop's edge, as a part of the crop's shorter side."""

GROW, SOFTEN = 0.02, 0.012
"""The mask grows by this part of the crop's height, so that outlines and loose hair are in it, and is softened."""

DOUBT = 0.5, 0.95
"""Where the matte is below the first, it is background; above the second, it is the person: half-sure patches of the
background would be seen as smudges, and outlines are in the mask all the same, as it grows."""

ADAPTED = 0.45
"""Within this part of the shorter side, colours go over into those of the frame towards the crop's edge: a style that
lightens a dark coat would else leave a light patch on it."""

SEAM = 0.07
"""How far colours are taken along the seam, and how far into the person they are adapted (part of the height)."""

STEADINESS = 0.75
"""Part of the mask that is taken over from the frame before."""


class FullFrame:
    """Puts back the crops of one face, frame after frame.

    Args:
        scale: size of the result relative to the frame: 1, 2 or 4.
    """

    def __init__(self, scale: int):
        self.scale = scale
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def enlarge(self, rgb: np.ndarray) -> np.ndarray:
        """A frame uint8 `[H, W, 3]` at the size of the result."""
        height, width = rgb.shape[:2]
        size = (self.scale * width, self.scale * height)
        return rgb.copy() if self.scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)

    def forget(self) -> None:
        """What comes next has nothing to do with the frame before: the person was gone."""
        self._before = None

    def __call__(
        self,
        whole: np.ndarray,
        frame: np.ndarray,
        crop: np.ndarray,
        result: np.ndarray,
        window: MovingWindow,
        share: float = 1.0,
    ) -> None:
        """Draw a stylised crop into `whole`.

        Args:
            whole: the enlarged frame, uint8 `[scale·H, scale·W, 3]`; changed in place.
            frame: uint8 `[H, W, 3]`, of which only the size matters.
            crop: what `window` shows of the frame, uint8 `[h, w, 3]`.
            result: the stylised crop, uint8 `[k·h, k·w, 3]`.
            share: how much of it is seen, from 0 to 1.
        """
        mask = self.mask_of(frame, crop, window)
        own = edge_fade(window, frame.shape[:2], ADAPTED) ** 2  # nearly 0 as far as the crop itself fades
        offset = seam_offset(crop, result, mask, own)
        top, bottom, left, right, matrix = self._place(window, whole.shape[:2])
        if bottom <= top or right <= left:
            return
        size = (right - left, bottom - top)
        enlargement = result.shape[0] / crop.shape[0]
        fine = matrix @ _scaling(1 / enlargement)
        picture = blurred_for(result, self.scale / (window.scale * enlargement))
        settings = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
        picture = cv2.warpAffine(picture, fine[:2], size, **settings).astype(np.float32)
        picture += cv2.warpAffine(offset, matrix[:2], size, **settings)
        shown = share * cv2.warpAffine(mask, matrix[:2], size, **settings)[..., None]
        part = whole[top:bottom, left:right]
        mixed = part + shown * (np.clip(picture, 0, 255) - part)
        part[:] = np.round(mixed).astype(np.uint8)

    def mask_of(self, frame: np.ndarray, crop: np.ndarray, window: MovingWindow) -> np.ndarray:
        """What of the next frame's crop is kept, float32 `[h, w]`; mostly the mask of the frame before, moved along."""
        mask = person_mask(crop)
        if self._before is not None:
            crop_before, mask_before = self._before
            place = pixel_grid(*mask.shape) + dense_flow(crop, crop_before, fast=True)
            moved = cv2.remap(mask_before, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            mask = STEADINESS * moved + (1 - STEADINESS) * mask
        self._before = crop, mask
        return mask * edge_fade(window, frame.shape[:2])

    def _place(self, window: MovingWindow, size: tuple[int, int]) -> tuple[int, int, int, int, np.ndarray]:
        """Where the window lies in the result: top, bottom, left, right; and the matrix from it to that part."""
        to_window = np.vstack([window.matrix, [0, 0, 1]])
        matrix = _scaling(self.scale) @ np.linalg.inv(to_window)
        corners = matrix @ np.array([[-0.5, -0.5, 1], [window.width - 0.5, window.height - 0.5, 1]]).T
        (left, right), (top, bottom) = np.round(corners[:2] + 0.5).astype(int)
        top, left = max(top, 0), max(left, 0)
        bottom, right = min(bottom, size[0]), min(right, size[1])
        return top, bottom, left, right, _shift(-left, -top) @ matrix


def _scaling(factor: float) -> np.ndarray:
    """From pixel centres of a picture to those of one `factor` times as large, `[3, 3]`."""
    half = (factor - 1) / 2
    return np.array([[factor, 0, half], [0, factor, half], [0, 0, 1]], np.float64)


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def person_mask(crop: np.ndarray) -> np.ndarray:
    """Soft mask float32 `[h, w]` of the person in a crop, a little larger than the person."""
    height = crop.shape[0]
    reach = 2 * max(round(GROW * height), 1) + 1
    sure = np.clip((person_matte(crop) - DOUBT[0]) / (DOUBT[1] - DOUBT[0]), 0, 1)
    mask = cv2.dilate(sure, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return cv2.GaussianBlur(mask, (0, 0), SOFTEN * height)


def edge_fade(window: MovingWindow, frame_size: tuple[int, int], part: float = EDGE) -> np.ndarray:
    """Float32 `[h, w]`: 1 inside, falling to 0 towards those edges of the window that lie within the frame.

    part: how wide the fall is, as a part of the window's shorter side.
    """
    height, width = frame_size
    reach = part * min(window.height, window.width)
    right, bottom = window.x + window.width / window.scale, window.y + window.height / window.scale
    xs, ys = np.arange(window.width) + 0.5, np.arange(window.height) + 0.5

    def fade(distance: np.ndarray, is_inside: bool) -> np.ndarray:
        share = np.clip(distance / reach, 0, 1) if is_inside else np.ones_like(distance)
        return share * share * (3 - 2 * share)

    across = fade(xs, window.x > 1) * fade(window.width - xs, right < width - 1)
    down = fade(ys, window.y > 1) * fade(window.height - ys, bottom < height - 1)
    return np.outer(down, across).astype(np.float32)


def seam_offset(crop: np.ndarray, result: np.ndarray, mask: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What is added to the result, float32 `[h, w, 3]` in levels, so that it meets the frame's colours at the seam.

    own: float32 `[h, w]`, 1 where the inner parts of the person keep the colours of the style, 0 where they take those
    of the frame.
    """
    height, width = crop.shape[:2]
    small = cv2.resize(result, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = SEAM * height
    seam = 4 * mask * (1 - mask)
    inside = cv2.GaussianBlur(np.clip(2 * mask - 1, 0, 1), (0, 0), sigma / 2)[..., None]
    at_seam = _around(crop - small, seam, sigma) * (1 - np.clip(2 * inside - 1, 0, 1))
    everywhere = _around(crop - small, mask, sigma)
    return (everywhere + own[..., None] * (at_seam - everywhere)).astype(np.float32)


def _around(difference: np.ndarray, weights: np.ndarray, sigma: float) -> np.ndarray:
    """The mean of a difference `[h, w, 3]` around each pixel, weighted by `[h, w]`; 0 where there is no weight."""
    sums = cv2.GaussianBlur(difference * weights[..., None], (0, 0), sigma)
    return sums / (cv2.GaussianBlur(weights, (0, 0), sigma)[..., None] + 0.02)
