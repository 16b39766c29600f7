"""Which of two paintings a frame is taken from: in each place one of them, or else there would be ghosts."""

import cv2
import numpy as np

from model.effects import dense_flow, warp
from model.styles.painters.carried import reduced

NEARNESS = 14.0  # levels that a painting's nearness in time is worth
DECIDED = 2.5  # levels of difference that decide
LOCAL, FEATHER = 0.03, 0.006  # blur of the difference, and of the border, in longer sides of the frame
STEADY = 0.7  # share of the choice that is of the frame before
LEAST = 1e-3
STEEP = 8.0  # how much faster a choice is made than the scales tip


class Choice:
    """Chooses between the painting before and the one after, over time."""

    def __init__(self):
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # frame and share, reduced

    def __call__(
        self, rgb: np.ndarray, photos: tuple[np.ndarray, np.ndarray], fields: tuple[np.ndarray, np.ndarray],
        share: float,
    ) -> np.ndarray:  # fmt: skip
        """How much of the later painting is shown where: float32 `[h, w]`.

        rgb: the frame, uint8 `[h, w, 3]`; photos: those that were painted; fields: where in them its pixels come from;
        share: how far the time is on the way from the earlier to the later one, from 0 to 1.
        """
        if not LEAST < share < 1 - LEAST:
            self._before = None
            return np.full(rgb.shape[:2], round(share), np.float32)
        small, side = reduced(rgb), max(rgb.shape[:2]) / 2
        errors = []
        for photo, field in zip(photos, fields, strict=True):
            seen = reduced(cv2.remap(photo, field, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))
            away = cv2.absdiff(small, seen).astype(np.float32).mean(axis=2)
            errors.append(cv2.GaussianBlur(away, (0, 0), LOCAL * side))
        late = np.float32(NEARNESS * np.log(share / (1 - share)))
        chosen = 1 / (1 + np.exp(np.clip(-(errors[0] - errors[1] + late) / DECIDED, -30, 30)))
        if self._before is not None and self._before[0].shape == small.shape:
            photo, before = self._before
            chosen = STEADY * warp(before, dense_flow(small, photo, fast=True)) + (1 - STEADY) * chosen
        self._before = small, chosen
        sharp = np.clip((chosen - 0.5) * STEEP + 0.5, 0, 1).astype(np.float32)
        return cv2.resize(cv2.GaussianBlur(sharp, (0, 0), FEATHER * side), rgb.shape[1::-1])
