"""Guides: maps over the exemplar S and over the frame T that say what of S belongs where in T.

Position is where in S a pixel of T would lie, by the landmarks. Labels tell background, hair, clothes, skin and
features apart (`labels`). Appearance is relief on skin and features, where position decides, and broad lightness
elsewhere. Trust is how much the position says: all in the face, little far from it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from model.styles.example.labels import BACKGROUND, CLOTHES, FEATURES, HAIR, INSIDE, LABELS, SKIN, labels_of

GRID = 12  # pixels between the points at which positions are computed
BROAD = 5.0  # pixels of blur below which lightness is a matter of strokes
USUAL = 0.02, 0.98  # shares of a histogram between which levels are usual
LEAST_COUNT = 200  # pixels of which a histogram is made
RELIEF_LEVELS = 5  # halvings of the copy that relief is the difference to (FaceBlit)


@dataclass(frozen=True, eq=False)
class Guides:
    """Guides over a picture `[H, W]`, each uint8: labels, appearance, and trust in the position from 0 to 255."""

    labels: np.ndarray
    appearance: np.ndarray
    trust: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.labels.shape

    @cached_property
    def counts(self) -> np.ndarray:
        """Histograms of the appearance of each label: float32 `[6, 256]`."""
        from model.styles.example import pixels

        return pixels.counts(self.labels, self.appearance).astype(np.float32)


def positions(size: tuple[int, int], target: np.ndarray, source: np.ndarray, step: int = GRID) -> np.ndarray:
    """Where the pixels of a picture `(h, w)` with landmarks `target` lie in one with landmarks `source`: (x, y),
    float32 `[h, w, 2]`.

    Moving least squares with similarities (Schaefer et al. 2006, equations 5 to 7, weights 1/d²), every `step` pixels.
    """
    from model.styles.example import kernels, pixels  # Numba takes a second to import

    height, width = size
    rows, columns = (np.arange(-1, -(-side // step) + 1) * step + (step - 1) / 2 for side in size)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    moved = kernels.moved(grid, target.astype(np.float64), source.astype(np.float64))
    moved = moved.reshape(len(rows), len(columns), 2)
    return pixels.enlarged(moved, step, height, width)


def guides_of(rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray) -> Guides:
    """Guides over RGB uint8 `[H, W, 3]` with landmarks `[68, 2]`, and the masks from `labels.parts_of`."""
    labels, trust = labels_of(landmarks, parts, rgb.shape[:2])
    return Guides(labels, appearance_of(rgb, labels), trust)


def relief(grey: np.ndarray) -> np.ndarray:
    """Grey uint8 `[H, W]` without its broad tones: half the difference to a wide blur around 128, uint8 (FaceBlit)."""
    small = grey
    for _ in range(RELIEF_LEVELS):
        small = cv2.pyrDown(small)
    wide = cv2.resize(small, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.addWeighted(grey, 0.5, wide, -0.5, 128)


def appearance_of(rgb: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Relief on skin and features, broad lightness elsewhere, where strokes are to be copied whole: uint8 `[H, W]`."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.where(labels >= SKIN, relief(grey), cv2.GaussianBlur(grey, (0, 0), BROAD))


def levels_between(guides: Guides, to: Guides) -> np.ndarray:
    """What appearance in T is in S, for each label: its histogram is brought to that of S. float32 `[6, 256]`.

    Only to the usual levels of S: there is next to nothing of its extremes to copy.
    """
    levels = np.tile(np.arange(256, dtype=np.float32), (len(LABELS), 1))
    for kinds in ((BACKGROUND,), (HAIR,), (CLOTHES,), (SKIN, FEATURES, INSIDE)):
        counts = [each.counts[list(kinds)].sum(axis=0) for each in (guides, to)]
        if min(count.sum() for count in counts) >= LEAST_COUNT:
            own, wanted = (np.cumsum(count) / count.sum() for count in counts)
            levels[list(kinds)] = np.interp(np.clip(own, *USUAL), wanted, np.arange(256))
    return levels


def with_levels(guides: Guides, levels: np.ndarray) -> Guides:
    """Guides whose appearance is brought to other levels, float32 `[6, 256]`, for each label."""
    from model.styles.example import pixels

    changed = pixels.levelled(guides.appearance, guides.labels, levels.round().astype(np.uint8))
    return replace(guides, appearance=changed)
