"""What a painter is given: the photo, and what is known of the person in it."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from model.faces.landmarks import BROWS, EYES, JAW, MOUTH, NOSE, face_size

FINE_AROUND = 0.22  # eye distances by which eyes and mouth are surrounded with fine work
USUAL_FACE = 0.22  # eye distance as a part of the longer side, where no face is known


@dataclass(frozen=True, eq=False)
class Subject:
    """A photo RGB uint8 `[H, W, 3]`, with the landmarks float32 `[68, 2]` of the face in its pixels (None: no face is
    known) and the person's matte float32 `[H, W]` in [0, 1]."""

    rgb: np.ndarray
    landmarks: np.ndarray | None
    matte: np.ndarray
    strokes: float = 1.0  # how many times as large strokes are to be

    @cached_property
    def eye_distance(self) -> float:
        """Pixels between the eyes, or more for larger strokes: what the sizes of strokes are measured in."""
        size = USUAL_FACE * max(self.rgb.shape[:2]) if self.landmarks is None else face_size(self.landmarks)
        return self.strokes * size

    @cached_property
    def face(self) -> np.ndarray:
        """Soft mask float32 `[H, W]` of the face, forehead included: 1 inside."""
        if self.landmarks is None:
            return np.zeros(self.rgb.shape[:2], np.float32)
        brows, chin = self.landmarks[BROWS], self.landmarks[8]
        up = brows.mean(axis=0) - chin
        outline = np.concatenate([self.landmarks[JAW], brows + 0.45 * up])
        return self._filled([outline], 0.12)

    @cached_property
    def fineness(self) -> np.ndarray:
        """How fine the work is to be, float32 `[H, W]`: 1 at eyes and mouth, about 0.6 at brows and nose, 0.35 in the
        rest of the face, less on hair and clothes, 0 in the background."""
        fine = np.maximum(0.35 * self.face, 0.2 * self.matte)
        if self.landmarks is not None:
            around = FINE_AROUND * self.eye_distance
            for strength, parts in ((0.6, (BROWS, NOSE)), (1.0, (*EYES, MOUTH))):
                shapes = [_grown(self.landmarks[part], around) for part in parts]
                fine = np.maximum(fine, strength * self._filled(shapes, 0.15))
        return fine.astype(np.float32)

    def _filled(self, shapes: list[np.ndarray], softness: float) -> np.ndarray:
        """Mask of convex shapes, float32 `[H, W]`; softness in eye distances."""
        mask = np.zeros(self.rgb.shape[:2], np.float32)
        for shape in shapes:
            cv2.fillConvexPoly(mask, cv2.convexHull(shape.astype(np.int32)), 1.0)
        return cv2.GaussianBlur(mask, (0, 0), max(softness * self.eye_distance, 0.5))


def _grown(points: np.ndarray, by: float) -> np.ndarray:
    """The corners of a shape, moved outwards by so many pixels."""
    away = points - points.mean(axis=0)
    return points + by * away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
