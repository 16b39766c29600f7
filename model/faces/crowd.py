"""Several people's faces through a video: landmarks frame after frame, who is who, and who joins them."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from model.faces.detect import find_all_landmarks
from model.faces.landmarks import face_size
from model.faces.track import FaceTracker


class CrowdTracker:
    """Follows several faces, each by a tracker of its own; no two of them take the same face.

    A face that was lost is looked for among those that nobody follows, and goes to who was last seen nearest to it.
    Now and then all faces are looked for: one that is nobody's, twice in a row, is that of somebody who arrived.
    """

    NEAR = 3.0
    """Face sizes from where a person was last seen within which a face may be theirs."""

    LOOK_EVERY, LOOK_AGAIN = 1.0, 0.2
    """Seconds until newcomers are looked for again, and until one is that was seen once."""

    def __init__(self, faces: Sequence[np.ndarray], most: int | None = 0):
        """Who is known at first.

        faces: landmarks `[68, 2]` of each person in one frame; people keep their numbers. most: how many people there
        may be with those who join them, who get the next numbers; None: any number.
        """
        self._most = most
        self._last: list[np.ndarray] = []
        self._trackers: list[FaceTracker] = []
        self._found: list[np.ndarray | None] = []
        self._all: list[np.ndarray] | None = None
        self._strangers: list[np.ndarray] = []
        self._next_look: float | None = None
        for face in faces:
            self._add(face)

    def _add(self, face: np.ndarray) -> FaceTracker:
        tracker = FaceTracker(find=partial(self._nearest, len(self._trackers)))
        self._trackers.append(tracker)
        self._last.append(face)
        self._found.append(None)
        return tracker

    @property
    def is_cut(self) -> bool:
        """Whether the last frame began a new shot."""
        return any(tracker.is_cut for tracker in self._trackers)

    def update(
        self, rgb: np.ndarray, time: float = 0.0, known: Sequence[np.ndarray] | None = None
    ) -> list[np.ndarray | None]:
        """Landmarks `[68, 2]` of each person in the frame at `time` in seconds, None where one is not seen.

        known: the landmarks of the first people in this frame, if it is the one that they were found in.
        """
        self._all = None
        for number, tracker in enumerate(self._trackers):
            theirs = known[number] if known is not None and number < len(known) else None
            self._found[number] = found = tracker.update(rgb, theirs)
            if found is not None:
                self._last[number] = found
        self._welcome(rgb, time)
        return list(self._found)

    def _welcome(self, rgb: np.ndarray, time: float) -> None:
        """Add whom nobody follows and who was a stranger when faces were last looked for."""
        if self.is_cut or self._next_look is None:
            self._strangers, self._next_look = [], time
        is_due = time >= self._next_look or self._all is not None
        if not self._room or not is_due:
            return
        seen_before = self._strangers
        self._strangers = [face for face in self._everybody(rgb) if self._is_nobodys(face)]
        for face in list(self._strangers):
            if self._room and any(_apart(face, before) < 1 for before in seen_before):
                self._found[-1] = self._add(face).update(rgb, face)
        self._next_look = time + (self.LOOK_AGAIN if self._strangers else self.LOOK_EVERY)

    @property
    def _room(self) -> bool:
        return self._most is None or len(self._trackers) < self._most

    def _is_nobodys(self, face: np.ndarray) -> bool:
        """Whether nobody has that face, nor was anybody lost near to it, whose it would be."""
        pairs = zip(self._found, self._last, strict=True)
        return all(_apart(face, last) >= (self.NEAR if found is None else 1) for found, last in pairs)

    def _everybody(self, rgb: np.ndarray) -> list[np.ndarray]:
        """All faces of the frame, which are searched once."""
        if self._all is None:
            self._all = find_all_landmarks(rgb)
        return self._all

    def _nearest(self, number: int, rgb: np.ndarray) -> np.ndarray | None:
        """The free face nearest to where person `number` was last seen, unless it is nearer to another lost one."""
        others = [face for k, face in enumerate(self._found) if k != number and face is not None]
        best, nearest = None, self.NEAR
        for face in self._everybody(rgb):
            if any(_apart(face, other) < 1 for other in others):
                continue
            lost = [last for last, found in zip(self._last, self._found, strict=True) if found is None]
            distance = _apart(face, self._last[number])
            if distance < nearest and all(_apart(face, last) >= distance for last in lost):
                best, nearest = face, distance
        return best


def _apart(face: np.ndarray, other: np.ndarray) -> float:
    """Distance of two faces in sizes of the larger one."""
    middles = [points[27:48].mean(0) for points in (face, other)]
    return float(np.linalg.norm(middles[0] - middles[1])) / max(face_size(face), face_size(other))
