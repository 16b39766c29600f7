"""Which frames of a clip are worth painting: together, they are like as many others as can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from model.faces.landmarks import EYES, face_size, open_eye, open_mouth
from model.styles.base import Crop
from model.styles.painters.style import turned

SIDE = 24  # pixels of the small pictures that are compared
TURN, LOOK, MOUTH, EYE = 0.08, 14.0, 0.6, 0.6  # differences that count as one: eye distances, levels, openness
SHARP = 0.25  # how much a frame's sharpness counts beside how many others are like it


@dataclass(frozen=True, eq=False)
class View:
    """What is compared of a frame: number, landmarks `[68, 2]` or None, a small picture `[S, S, 3]`, and its
    sharpness."""

    number: int
    landmarks: np.ndarray | None
    look: np.ndarray
    sharpness: float

    @classmethod
    def of(cls, number: int, crop: Crop) -> Self:
        look = cv2.resize(crop.rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        grey, points = cv2.cvtColor(crop.rgb, cv2.COLOR_RGB2GRAY), crop.landmarks
        if points is not None:
            around = round(face_size(points))
            x, y = np.clip(points[30].round().astype(int), 0, np.array(grey.shape[::-1]) - 1)
            grey = grey[max(y - around, 0) : y + around, max(x - around, 0) : x + around]
        return cls(number, points, look, float(cv2.Laplacian(grey, cv2.CV_32F).var()))


def suggested(views: Sequence[View], count: int) -> list[int]:
    """The numbers of up to `count` frames, in order: each adds most to how well all frames are like one of them
    (a greedy choice of facilities)."""
    alike = np.exp(-np.array([[difference(one, other) for other in views] for one in views]))
    order = np.argsort(np.argsort([view.sharpness for view in views])) / max(len(views) - 1, 1)
    worth = 1 - SHARP + SHARP * order
    best, chosen = np.zeros(len(views)), []
    for _ in range(min(count, len(views))):
        gains = np.maximum(alike * worth[:, None] - best, 0).sum(axis=1)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        best = np.maximum(best, alike[chosen[-1]] * worth[chosen[-1]])
    return sorted(views[index].number for index in chosen)


def difference(one: View, other: View) -> float:
    """How differently two frames look: 0 for the same, above 1 for what should be painted by itself."""
    away = float(np.abs(one.look - other.look).mean()) / LOOK
    if one.landmarks is None or other.landmarks is None:
        return away + (one.landmarks is not other.landmarks)
    away += turned(one.landmarks, other.landmarks) / TURN
    away += abs(open_mouth(one.landmarks) - open_mouth(other.landmarks)) / MOUTH
    eyes = (np.mean([open_eye(view.landmarks[eye]) for eye in EYES]) for view in (one, other))
    return away + abs(float(next(eyes) - next(eyes))) / EYE
