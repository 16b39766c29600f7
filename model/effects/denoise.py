"""Noise of compression and sensors taken out of a video's crops over time, so that drawings of them don't flicker.

A cartoon repeats the noise of its photo, with more contrast where the style has more. Each pixel is mixed with what
was there in the frame before, brought into place by optical flow; where the two differ by more than noise does (a
blink, a hand, a cut) it stays as it is.
"""

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.effects.flow import dense_flow

KEPT = 0.5
"""Share of the frame before, where both agree. More would be steadier still, and lag where light changes slowly."""

NOISE = 8.0
"""Difference in levels at which that share has fallen to a third."""

AROUND = 5
"""Side in pixels of the square over which the difference is taken: noise is told from motion by its surroundings."""


class Steadier:
    """For the crops of one face, given in order, all of one size."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """The next crop, RGB uint8 `[h, w, 3]`, steadied."""
        if self._before is None:
            self._before = crop.astype(np.float32)
            return crop
        moved = self._moved_to(crop)
        difference = cv2.blur(np.abs(crop - moved).max(axis=2), (AROUND, AROUND))
        share = KEPT * np.exp(-((difference / NOISE) ** 2))[..., None]
        self._before = crop + share * (moved - crop)
        return np.clip(np.round(self._before), 0, 255).astype(np.uint8)

    def _moved_to(self, crop: np.ndarray) -> np.ndarray:
        """The crop before, steadied, where its parts are in this one: float32 `[h, w, 3]`."""
        before = np.clip(np.round(self._before), 0, 255).astype(np.uint8)
        place = pixel_grid(*crop.shape[:2]) + dense_flow(crop, before, fast=True)
        return cv2.remap(self._before, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
