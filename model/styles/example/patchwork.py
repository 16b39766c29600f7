"""Portraits by guided patch synthesis, with the four guides of FaceStyle (Fišer et al. 2017): position, appearance,
segments, and the frame before.

What the engine of chunks has found is where the search begins. Eyes and mouth have maps of their own, whose weight
keeps them apart from all else.
"""

from dataclasses import replace

import cv2
import numpy as np

from model.effects import dense_flow, warp
from model.faces.landmarks import EYES, MOUTH, face_size
from model.styles.example.exemplar import Exemplar
from model.styles.example.guides import Guides
from model.styles.example.labels import HAIRLINE, LABELS, SKIN
from model.styles.example.synthesis import USUAL, Guide, synthesize

APPEARANCE, SEGMENTS, POSITION, PARTS, STEADY = 2.0, 6.0, 1.5, 6.0, 1.5  # weights of the guides
TONES, SOFT = 0.03, 0.015  # eye distances by which tones are blurred, for strokes are no tones, and segments
BLURRED = 0.025  # the same of the picture before, which leaves room for other strokes
FIRST = replace(USUAL, levels=4)  # settings of photos and first frames, and of the frames after them
NEXT = replace(USUAL, levels=2, votes=3)
REACH = 24  # pixels around what was found before within which is tried


class Patchwork:
    """Paints the frames of one person by patches of an exemplar. boil: how much strokes may change between frames."""

    def __init__(self, exemplar: Exemplar, boil: float):
        self._exemplar, self._boil = exemplar, boil
        unit = exemplar.eye_distance
        self._maps = _maps(exemplar.guides, exemplar.landmarks, unit)
        self._blurred = cv2.GaussianBlur(exemplar.picture, (0, 0), BLURRED * unit)
        self.forget()

    def forget(self) -> None:
        """The frames before."""
        self._before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # photo, painting and field

    def __call__(
        self, rgb: np.ndarray, landmarks: np.ndarray, guides: Guides, places: np.ndarray, found: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """A frame RGB uint8 `[h, w, 3]` painted, and where each pixel is copied from, (x, y), float32 `[h, w, 2]`.

        guides: with the exemplar's levels; places: where in the exemplar the pixels lie; found: where the engine of
        chunks copies them from.
        """
        own, unit = self._exemplar, face_size(landmarks)
        shape = own.picture.shape
        trust = guides.trust[..., None] / np.float32(255)  # what lies far from the landmarks stays where it was found
        pairs = [Guide(_grid(shape), (trust * places + (1 - trust) * found) * _per_pixel(shape), POSITION)]
        weights = APPEARANCE, SEGMENTS, PARTS
        pairs += [Guide(*maps) for maps in zip(self._maps, _maps(guides, landmarks, unit), weights, strict=True)]
        settings, start = FIRST, found
        if self._before is not None and self._before[0].shape == rgb.shape:
            photo, picture, field = self._before
            flow = dense_flow(rgb, photo)
            steady = cv2.GaussianBlur(warp(picture, flow), (0, 0), BLURRED * unit)
            if self._boil < 1:
                pairs.append(Guide(self._blurred, steady, STEADY * (1 - self._boil)))
            settings, start = NEXT, warp(field.astype(np.float32), flow.round(), cv2.INTER_NEAREST)
        result = synthesize(own.picture, pairs, settings, places=start, start=start, reach=REACH)
        self._before = rgb, result.picture, result.field
        return result.picture, result.field.astype(np.float32)


def _per_pixel(shape: tuple[int, ...]) -> np.float32:
    """Levels that a pixel's place counts: 255 along the longer side."""
    return np.float32(255 / max(shape[:2]))


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = np.indices(shape[:2], np.float32)
    return np.stack([columns, rows], axis=-1) * _per_pixel(shape)


def _maps(guides: Guides, landmarks: np.ndarray, unit: float) -> list[np.ndarray]:
    """Maps with levels from 0 to 255, float32 `[H, W, C]`: tones without strokes, one for each label, and those of eyes
    and of mouth alone."""
    tones = cv2.GaussianBlur(guides.appearance.astype(np.float32), (0, 0), TONES * unit)
    labels = np.where(guides.labels == HAIRLINE, np.uint8(SKIN), guides.labels)
    segments = [cv2.GaussianBlur((labels == kind).astype(np.float32), (0, 0), SOFT * unit) for kind in LABELS]
    parts = []
    for areas in (EYES, (MOUTH,)):
        mask = np.zeros(labels.shape, np.float32)
        for area in areas:
            cv2.fillConvexPoly(mask, cv2.convexHull(landmarks[area].round().astype(np.int32)), 1)
        parts.append(cv2.GaussianBlur(mask, (0, 0), SOFT * unit))
    return [tones[..., None], 255 * np.dstack(segments), 255 * np.dstack(parts)]
