"""Several people's faces through a video: landmarks frame after frame, and who is who."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from model.inference.detect import find_all_landmarks
from model.inference.face import face_size
from model.inference.track import FaceTracker


class CrowdTracker:
    """Follows several faces, each by a tracker of its own; no two of them take the same face.

    A face that was lost is looked for among those that nobody follows, and goes to who was last seen nearest to it.
    """

    NEAR = 3.0
    """Eye distances from where a person was last seen within which a face may be theirs."""

    def __init__(self, faces: Sequence[np.ndarray]):
        """`faces`: landmarks `[68, 2]` of each person in one frame; people keep their numbers."""
        self._last = list(faces)
        self._trackers = [
            FaceTracker(find=partial(self._nearest, number)) for number in range(len(faces))
        ]  # fmt: skip
        self._found: list[np.ndarray | None] = [None] * len(faces)
        self._all: list[np.ndarray] | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the last frame began a new shot."""
        return any(tracker.is_cut for tracker in self._trackers)

    def update(self, rgb: np.ndarray) -> list[np.ndarray | None]:
        """Landmarks `[68, 2]` of each person in the next frame, None where one is not seen."""
        self._all = None
        for number, tracker in enumerate(self._trackers):
            self._found[number] = found = tracker.update(rgb)
            if found is not None:
                self._last[number] = found
        return list(self._found)

    def _nearest(self, number: int, rgb: np.ndarray) -> np.ndarray | None:
        """The free face nearest to where person `number` was last seen, unless somebody else was nearer to it."""
        if self._all is None:
            self._all = find_all_landmarks(rgb)
        others = [face for k, face in enumerate(self._found) if k != number and face is not None]
        best, nearest = None, self.NEAR
        for face in self._all:
            if any(_apart(face, other) < 1 for other in others):
                continue
            distances = [_apart(face, last) for last in self._last]
            if distances[number] < nearest and distances[number] == min(distances):
                best, nearest = face, distances[number]
        return best


def _apart(face: np.ndarray, other: np.ndarray) -> float:
    """Distance of two faces in sizes of the larger one."""
    middles = [points[27:48].mean(0) for points in (face, other)]
    return float(np.linalg.norm(middles[0] - middles[1])) / max(face_size(face), face_size(other))
