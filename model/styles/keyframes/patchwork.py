"""Frames made of patches of the painted ones, so that strokes keep their size where carried ones are stretched."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from model.effects import dense_flow, warp
from model.styles.example.synthesis import USUAL, Guide, synthesize
from model.styles.painters.carried import Painting

APPEARANCE, POSITION, CARRIED, STEADY = 3.0, 3.0, 1.0, 1.0  # weights of the guides
SOFT = 0.003  # blur of the photos, of what was carried and of the picture before, in longer sides of the frame
SETTINGS = replace(USUAL, levels=2, votes=3)
REACH = 16  # pixels around where it was carried from within which a patch is tried


class Patchwork:
    """Makes the frames of a clip, in order. boil: how much strokes may change between them, from 0 to 1."""

    def __init__(self, boil: float):
        self._boil = boil
        self.forget()

    def forget(self) -> None:
        """The frames before."""
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(
        self, rgb: np.ndarray, paintings: Sequence[Painting], fields: Sequence[np.ndarray], chosen: np.ndarray | None,
        carried: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """A frame, RGB uint8 `[h, w, 3]`. fields: where in one or two paintings its pixels come from; chosen: how much
        of the second one is shown, float32 `[h, w]`; carried: what is shown of them."""
        height = max(painting.rgb.shape[0] for painting in paintings)
        style, photo, steady = (
            _side_by_side(pictures, height)
            for pictures in zip(*((each.picture, each.rgb, _soft(each.picture)) for each in paintings), strict=True)
        )
        start = fields[0]
        if chosen is not None:
            beside = fields[1] + np.float32((paintings[0].rgb.shape[1], 0))
            start = np.where(chosen[..., None] > 0.5, beside, start)
        per_pixel = np.float32(255 / max(style.shape[:2]))
        grid = np.stack(np.meshgrid(*(np.arange(side, dtype=np.float32) for side in style.shape[1::-1])), axis=-1)
        guides = [
            Guide(_soft(photo), _soft(rgb), APPEARANCE),
            Guide(grid * per_pixel, start * per_pixel, POSITION),
            Guide(steady, _soft(carried), CARRIED),
        ]
        if self._before is not None and self._before[0].shape == rgb.shape and self._boil < 1:
            before, picture = self._before
            moved = warp(picture, dense_flow(rgb, before))
            guides.append(Guide(steady, _soft(moved), STEADY * (1 - self._boil)))
        result = synthesize(style, guides, SETTINGS, places=start, start=start, reach=REACH)
        self._before = rgb, result.picture
        return result.picture


def _soft(rgb: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(rgb, (0, 0), max(SOFT * max(rgb.shape[:2]), 0.5))


def _side_by_side(pictures: Sequence[np.ndarray], height: int) -> np.ndarray:
    """Pictures in one, with the edge repeated below those that are less high."""
    return np.hstack([
        cv2.copyMakeBorder(each, 0, height - each.shape[0], 0, 0, cv2.BORDER_REPLICATE) for each in pictures
    ])  # fmt: skip
