"""Whether a person is there: where their window lies, and how much of their cartoon is seen.

A face that is hidden for a moment changes nothing. One that stays away fades out, and fades in when it is back.
"""

from typing import Any

import numpy as np

from model.faces.crop import FaceCrop
from model.faces.landmarks import eye_midpoint, face_size
from model.faces.window import MovingWindow, WindowPath

GRACE = 0.5  # seconds that a face may be hidden before its cartoon fades; one that was lost at the edge has left
EDGE = 0.7  # face sizes between the eyes and the frame's edge within which a face is about to leave
FADE = 0.3  # seconds from a cartoon that is fully seen to one that is not, and back


class Visibility:
    """How much of one cartoon is seen, from 0 to 1. At the first frame and at cuts it depends on the face alone.

    is_new: the face appeared in the midst of a shot, so that its cartoon has to fade in.
    """

    def __init__(self, is_new: bool = False):
        self.share = 0.0
        self._begins = not is_new
        self._time: float | None = None
        self._last_seen: float | None = None

    def restore(self, share: float, time: float) -> None:
        """Go on from a share at `time` in seconds."""
        self.share, self._begins, self._time = share, False, time
        self._last_seen = time if share > 0 else None

    def update(self, is_seen: bool, time: float, is_cut: bool = False, grace: float = GRACE) -> float:
        """The share at `time` in seconds."""
        if is_cut or self._begins:
            self.share, self._last_seen = float(is_seen), None
            self._begins, self._time = False, time
        step = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        if is_seen:
            self._last_seen = time
        is_there = self._last_seen is not None and time - self._last_seen <= grace
        change = min(step / FADE, 1.0)
        self.share = min(self.share + change, 1.0) if is_there else max(self.share - change, 0.0)
        return self.share


class Presence:
    """The window around one person (see `WindowPath`), and how much of their cartoon is seen in it.

    fades: without a face the cartoon fades out; else it stays, in the window where the face was last.
    """

    def __init__(
        self, crop: FaceCrop, landmarks: np.ndarray, anchored: bool = False, fades: bool = False, is_new: bool = False
    ):
        self._path = WindowPath(crop, landmarks, anchored)
        self._visibility = Visibility(is_new) if fades else None
        self._frame_size = np.array(crop.frame_size)
        self._grace = GRACE
        self.share = 1.0

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on after this frame, as JSON can hold it."""
        return self._path.state() | {"share": self.share}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._path.restore(state)
        self.share = state["share"]
        if self._visibility is not None:
            self._visibility.restore(self.share, state["time"])

    def update(self, landmarks: np.ndarray | None, time: float, is_cut: bool = False) -> tuple[MovingWindow, float]:
        """The window, and the share of the cartoon from 0 to 1, in the frame at `time` in seconds."""
        # Where nothing was drawn, nobody would see the window glide: it is where the face is at once.
        window = self._path.update(landmarks, time, is_cut or self.share == 0)
        if landmarks is not None:
            eyes, reach = eye_midpoint(landmarks), EDGE * face_size(landmarks)
            is_leaving = (eyes < reach).any() or (eyes > self._frame_size[::-1] - reach).any()
            self._grace = 0.0 if is_leaving else GRACE
        if self._visibility is not None:
            self.share = self._visibility.update(landmarks is not None, time, is_cut, self._grace)
        return window, self.share
