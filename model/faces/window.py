"""The window around a face: where it lies, how it moves with the face, and how much of the cartoon is seen in it.

A face that is hidden for a moment changes nothing. One that stays away fades out, and fades in when it is back.
"""

import math
from typing import Any

import numpy as np

from model.faces.crop import FaceCrop, MovingWindow, StyleWindow, turn_of, up_to_multiple
from model.faces.landmarks import eye_midpoint, face_size, tilt

GRACE = 0.5  # seconds that a face may be hidden before its cartoon fades; one that was lost at the edge has left
EDGE = 0.7  # face sizes between the eyes and the frame's edge within which a face is about to leave
FADE = 0.3  # seconds from a cartoon that is fully seen to one that is not, and back


class OneEuro:
    """The 1€ filter (Casiez, Roussel and Vogel, CHI 2012) for vectors: steady when still, prompt when moving.

    cutoff: in Hz, when still; the lower, the steadier. beta: how much it grows with speed, in Hz per (unit / s).
    """

    SPEED_CUTOFF = 1.0

    def __init__(self, cutoff: float, beta: float):
        self.cutoff, self.beta = cutoff, beta
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self.time = 0.0  # of the value before; set it where nothing was seen, and the time that was missed won't count

    def state(self) -> list[list[float]]:
        """Value and speed, as JSON can hold them."""
        return [self._value.tolist(), self._speed.tolist()]

    def restore(self, state: list[list[float]], time: float) -> None:
        """Go on from `state` at `time` in seconds."""
        self._value, self._speed, self.time = np.array(state[0]), np.array(state[1]), time

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered value `[n]` at `time` in seconds."""
        if self._value is None:
            self._value, self._speed, self.time = value, np.zeros_like(value), time
            return value
        step = max(time - self.time, 1e-3)
        self._speed = self._mix(self._speed, (value - self._value) / step, self.SPEED_CUTOFF, step)
        cutoff = self.cutoff + self.beta * float(np.linalg.norm(self._speed))
        self._value, self.time = self._mix(self._value, value, cutoff, step), time
        return self._value

    @staticmethod
    def _mix(old: np.ndarray, new: np.ndarray, cutoff: float, step: float) -> np.ndarray:
        share = 1 / (1 + 1 / (2 * math.pi * cutoff * step))
        return old + share * (new - old)


class WindowPath:
    """Where the window of a clip lies, frame after frame: the first crop, moved and scaled with the face, and turned
    with the head where that is tilted.

    Position, size and tilt of the face are smoothed; where no face is seen, the window stays. When a face is found
    again, the window glides there; at a cut it jumps. The first window, `crop`, was fitted to `landmarks` `[68, 2]`.
    What is shown stays within the frame. The style is given the face at about its usual size all the same.

    anchored: let the window go in whole steps over one grid of pixels, so that what stands still does not shimmer.
    """

    CUTOFF, BETA = 0.8, 2.0  # of the 1€ filter for the position, in eye distances
    # Of the one for the size: heads come nearer slowly, landmarks of a half-hidden face shrink and swell at once.
    SIZE_CUTOFF, SIZE_BETA = 0.3, 0.3
    TILT_CUTOFF, TILT_BETA = 1.0, 0.05  # of the one for the tilt, in degrees
    SLACK = 2.0  # degrees of tilt that change nothing
    LARGEST = 1.25  # times its usual size that a face may be for a style
    GLIDE = 5.0  # eye distances a second by which the window catches up with a face that is found again
    GRID, ZOOM = 8, 1.15  # pixels that an anchored window moves at once; growth of the face before its scale follows

    def __init__(self, crop: FaceCrop | StyleWindow, landmarks: np.ndarray, anchored: bool = False):
        self._crop = crop = crop.shown.with_room(landmarks)
        self._anchored = anchored
        self._first_eyes, self._first_size = eye_midpoint(landmarks), face_size(landmarks)
        self._shown = MovingWindow(crop.scale, crop.left / crop.scale, crop.top / crop.scale, crop.width, crop.height)
        self._scale, self._tilt = crop.scale, tilt(landmarks)
        self._shown = self._window_at(self._first_eyes / self._first_size, 1.0)
        self._start()

    def _start(self) -> None:
        settings = (self.CUTOFF, self.BETA), (self.SIZE_CUTOFF, self.SIZE_BETA), (self.TILT_CUTOFF, self.TILT_BETA)
        self._filters = [OneEuro(*one) for one in settings]
        self._place: np.ndarray | None = None
        self._time = 0.0
        self._is_lost = False
        self._behind = np.zeros(2)  # from the face to where the window still is, in eye distances

    def state(self) -> dict[str, Any]:
        """Where window and filters are, as JSON can hold it."""
        window = [self._shown.scale, self._shown.x, self._shown.y, self._scale, self._tilt]
        known = {"window": window, "time": self._time, "lost": self._is_lost, "behind": self._behind.tolist()}
        if self._place is not None:
            known |= {"place": self._place.tolist(), "filters": [f.state() for f in self._filters]}
        return known

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        *place, self._scale, self._tilt = state["window"]
        self._shown = MovingWindow(*place, self._crop.width, self._crop.height)
        self._time, self._is_lost, self._behind = state["time"], state["lost"], np.array(state["behind"])
        if "place" in state:
            self._place = np.array(state["place"])
            for one_filter, known in zip(self._filters, state["filters"], strict=True):
                one_filter.restore(known, self._time)

    @property
    def window(self) -> MovingWindow | StyleWindow:
        """The window for the frame that was seen last; of one size but while the head is turned."""
        shown, turn = self._shown, turn_of(self._tilt)
        scale = min(shown.scale, self.LARGEST * self._scale)
        if not turn and scale == shown.scale:
            return shown
        size = shown.width, shown.height
        if turn:  # a square that has room for the shown part whatever the turn
            size = 2 * up_to_multiple(math.hypot(*size))
        return StyleWindow(shown, turn, scale, *size)

    def update(self, landmarks: np.ndarray | None, time: float, is_cut: bool = False) -> MovingWindow | StyleWindow:
        """The window for the next frame, at `time` in seconds."""
        if is_cut:
            self._start()
        if landmarks is None:
            self._is_lost, self._time = self._place is not None, time
            for one_filter in self._filters:
                one_filter.time = time
            return self.window
        eyes = eye_midpoint(landmarks) / self._first_size
        if self._is_lost:  # found again: it may be far from where it was
            self._is_lost, self._behind = False, self._place - eyes
            self._filters[0] = OneEuro(self.CUTOFF, self.BETA)
        place = self._filters[0](eyes, time)
        log_growth = np.array([math.log(face_size(landmarks) / self._first_size)])
        growth = math.exp(self._filters[1](log_growth, time)[0])
        self._turn_to(tilt(landmarks), time)
        way = float(np.linalg.norm(self._behind))
        self._behind = self._behind * max(1 - self.GLIDE * max(time - self._time, 1e-3) / max(way, 1e-9), 0)
        self._place, self._time = place + self._behind, time
        self._shown = self._window_at(self._place, growth)
        return self.window

    def _turn_to(self, tilted: float, time: float) -> None:
        """Take over a head's tilt in degrees, smoothed; within `SLACK` nothing moves."""
        if self._place is None:
            self._tilt = tilted
        nearest = self._tilt + (tilted - self._tilt + 180) % 360 - 180  # 181 after 179, not -179
        smooth = float(self._filters[2](np.array([nearest]), time)[0])
        self._tilt = min(max(self._tilt, smooth - self.SLACK), smooth + self.SLACK)

    def _window_at(self, place: np.ndarray, growth: float) -> MovingWindow:
        """What is shown for eyes at `place`, in first eye distances, and a face `growth` times as large as first."""
        crop, (height, width) = self._crop, self._crop.frame_size
        scale = crop.scale / growth
        if not (self._anchored and 1 / self.ZOOM < scale / self._scale < self.ZOOM):
            self._scale = scale
        # A window larger than the frame would show nothing more.
        scale = max(self._scale, crop.width / width, crop.height / height)
        offset = (np.array([crop.left, crop.top]) / crop.scale - self._first_eyes) * crop.scale / scale
        left, top = place * self._first_size + offset
        if self._anchored:
            left, top = self._step(left, self._shown.x, scale), self._step(top, self._shown.y, scale)
        left, top = _inside(left, crop.width / scale, width), _inside(top, crop.height / scale, height)
        return MovingWindow(scale, left, top, crop.width, crop.height)

    def _step(self, edge: float, now: float, scale: float) -> float:
        """`edge` on the grid of `scale`; `now` as long as that is near enough."""
        nearest = round(edge * scale / self.GRID) * self.GRID / scale
        stays = scale == self._shown.scale and abs(edge - now) * scale < 0.75 * self.GRID
        return now if stays else nearest


def _inside(start: float, length: float, side: float) -> float:
    """Where an interval of `length` begins that is moved into [0, side] if it fits there, else centred on it."""
    return min(max(start, 0.0), side - length) if length < side else (side - length) / 2


class Visibility:
    """How much of one cartoon is seen, from 0 to 1. At the first frame and at cuts it depends on the face alone.

    is_new: the face appeared in the midst of a shot, so that its cartoon has to fade in.
    """

    def __init__(self, is_new: bool = False):
        self.share = 0.0
        self._begins = not is_new
        self._time: float | None = None
        self.last_seen: float | None = None

    def restore(self, share: float, time: float, last_seen: float | None) -> None:
        """Go on from a share at `time`, with a face that was `last_seen` then, in seconds."""
        self.share, self._begins, self._time, self.last_seen = share, False, time, last_seen

    def update(self, is_seen: bool, time: float, is_cut: bool = False, grace: float = GRACE) -> float:
        """The share at `time` in seconds."""
        if is_cut or self._begins:
            self.share, self.last_seen = float(is_seen), None
            self._begins, self._time = False, time
        step = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        if is_seen:
            self.last_seen = time
        is_there = self.last_seen is not None and time - self.last_seen <= grace
        change = min(step / FADE, 1.0)
        self.share = min(self.share + change, 1.0) if is_there else max(self.share - change, 0.0)
        return self.share


class Presence:
    """The window around one person (see `WindowPath`), and how much of their cartoon is seen in it.

    fades: without a face the cartoon fades out; else it stays, in the window where the face was last.
    """

    def __init__(
        self, crop: FaceCrop | StyleWindow, landmarks: np.ndarray, anchored: bool = False, fades: bool = False,
        is_new: bool = False,
    ):  # fmt: skip
        self._path = WindowPath(crop, landmarks, anchored)
        self._visibility = Visibility(is_new) if fades else None
        self._frame_size = np.array(crop.shown.frame_size)
        self._grace = GRACE
        self.share = 1.0

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on after this frame, as JSON can hold it."""
        last_seen = None if self._visibility is None else self._visibility.last_seen
        return self._path.state() | {"share": self.share, "face_seen": last_seen, "grace": self._grace}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._path.restore(state)
        self.share, self._grace = state["share"], state["grace"]
        if self._visibility is not None:
            self._visibility.restore(self.share, state["time"], state["face_seen"])

    def update(
        self, landmarks: np.ndarray | None, time: float, is_cut: bool = False
    ) -> tuple[MovingWindow | StyleWindow, float]:
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
