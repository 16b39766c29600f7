"""A painted frame carried to frames without a face: by optical flow, from frame to frame, and back to what matches."""

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.effects import dense_flow, warp
from model.styles.painters.carried import REDUCED, Painting, reduced

RETURN = 0.15  # share by which places return to where they match, in each frame
EVEN, LOST = 0.01, 0.08  # blur of that correction, and how large it may be, in longer sides of the frame


class FlowCarrier:
    """As `carried.Carrier`, for pictures with no landmarks: all is one surface that bends."""

    def __init__(self, painting: Painting):
        self.painting = painting
        self._last: np.ndarray | None = None
        self._places: np.ndarray | None = None

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """The next frame, RGB uint8 `[h, w, 3]`, painted."""
        small = reduced(rgb)
        own, grid = self.painting.small, pixel_grid(*small.shape[:2])
        if self._last is None or self._last.shape != small.shape:
            self._places = grid + dense_flow(small, own) if own.shape == small.shape else grid
        else:
            moved = warp(self._places, dense_flow(small, self._last))
            seen = cv2.remap(own, moved, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            lacking = warp(moved, dense_flow(small, seen, fast=True)) - moved
            side = max(small.shape[:2])
            lacking = cv2.GaussianBlur(np.clip(lacking, -LOST * side, LOST * side), (0, 0), EVEN * side)
            self._places = moved + RETURN * lacking
        self._last = small
        self._field = pixel_grid(*rgb.shape[:2]) + cv2.resize(REDUCED * (self._places - grid), rgb.shape[1::-1])
        return cv2.remap(self.painting.picture, self._field, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)

    def field(self) -> np.ndarray:
        """Where in the painting the pixels of the last frame come from, (x, y), float32 `[h, w, 2]`."""
        return self._field
