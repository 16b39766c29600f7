"""Noise of compression and sensors taken out of a video's crops over time, so that drawings of them don't flicker.

A cartoon repeats the noise of its photo, with more contrast where the style has more. Each pixel is mixed with what
was there in the frame before, brought into place by optical flow; where the two differ by more than noise does (a
blink, a hand, a cut) it stays as it is.
"""

import cv2
import numpy as np

from model.effects.flow import dense_flow, warp

# Share of the frame before, where both agree. More would be steadier still, and lag where light changes slowly.
KEPT = 0.5
NOISE = 8.0  # difference in levels at which that share has fallen to a third
# Side in pixels of the square over which the difference is taken: noise is told from motion by its surroundings.
AROUND = 5


class Steadier:
    """For the crops of one face, given in order, all of one size."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """The next crop, RGB uint8 `[h, w, 3]`, without its noise."""
        steady = crop.astype(np.float32)
        if self._before is not None:
            flow = dense_flow(crop, _levels(self._before), fast=True)
            moved = warp(self._before, flow, cv2.INTER_CUBIC)
            difference = cv2.blur(np.abs(crop - moved).max(axis=2), (AROUND, AROUND))
            steady += KEPT * np.exp(-((difference / NOISE) ** 2))[..., None] * (moved - crop)
        self._before = steady
        return _levels(steady)


def _levels(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
