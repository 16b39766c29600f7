"""Dense optical flow between two pictures, without a network, and the denoiser of a video's crops that follows it.

Pictures are RGB uint8 `[H, W, 3]`; a flow is float32 `[H, W, 2]`, displacements (x, y) in pixels.
"""

import cv2
import numpy as np

from model.common.tensors import pixel_grid

KEPT = 0.5  # share of the frame before, where both agree; more would be steadier still, and lag where light changes
NOISE = 8.0  # difference in levels at which that share has fallen to a third
AROUND = 5  # side of the square in which the difference is taken: noise is told from motion by its surroundings


def dense_flow(first: np.ndarray, second: np.ndarray, fast: bool = False) -> np.ndarray:
    """Where `second` shows what each pixel of `first` shows (DIS; Kroeger et al., ECCV 2016).

    fast: three times as fast, a little less exact.
    """
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    return cv2.DISOpticalFlow_create(preset).calc(*grey, None)


def warp(picture: np.ndarray, flow: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Sample `[H, W]` or `[H, W, C]` where `flow` points; beyond the edge, the edge is repeated."""
    place = pixel_grid(*flow.shape[:2]) + flow
    return cv2.remap(picture, place, None, interpolation, borderMode=cv2.BORDER_REPLICATE)


class Denoiser:
    """Takes the noise of compression and sensors out of one face's crops, in order and all of one size.

    A cartoon repeats the noise of its photo, with more contrast where the style has more, and flickers. Each pixel is
    mixed with what was there in the frame before, brought into place by optical flow; where the two differ by more than
    noise does (a blink, a hand, a cut) it stays as it is.
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """The next crop, RGB uint8 `[h, w, 3]`, without its noise."""
        steady = crop.astype(np.float32)
        if self._before is not None:
            moved = warp(self._before, dense_flow(crop, _levels(self._before), fast=True), cv2.INTER_CUBIC)
            difference = cv2.blur(np.abs(crop - moved).max(axis=2), (AROUND, AROUND))
            steady += KEPT * np.exp(-((difference / NOISE) ** 2))[..., None] * (moved - crop)
        self._before = steady
        return _levels(steady)


def _levels(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
