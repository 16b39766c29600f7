"""One person's face through a video: landmarks frame after frame, and a crop window that moves with them.

Sparse optical flow carries the landmarks of one frame to the next, the landmark predictor corrects them there, and the
detector confirms now and then that it is still a face. Without one (turned away, hidden, out of the picture, cut) the
tracker keeps looking; nothing stops.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from model.inference.detect import find_all_landmarks, find_landmarks_quickly, landmarks_in, shows_face
from model.inference.face import FaceCrop, blurred_for, eye_centres
from model.inference.media import Frame

CONFIRM_EVERY, DOUBTS = 8, 3
"""The detector looks at every eighth tracked frame, and after so many misses in a row the face is taken for lost."""

SEARCH_EVERY = 4
"""Without a face, one frame in so many is searched."""

ASTRAY = 0.25
"""Flow and landmark predictor may disagree by this many eye distances; beyond, the face is lost."""

THUMBNAIL, CUT = 32, 40.0
"""Side of the small pictures that are compared to find cuts, and the mean difference in levels that makes one."""


class FaceTracker:
    """Follows one face. `update` is called with every frame in order."""

    def __init__(
        self, landmarks: np.ndarray | None = None, find: Callable[[np.ndarray], np.ndarray | None] | None = None
    ):
        """What is known at first.

        landmarks: `[68, 2]`, where the face is in the first frame. find: looks for the face in a frame, as
        `find_landmarks_quickly`, which is asked unless told otherwise.
        """
        self._start = landmarks
        self._find = find or find_landmarks_quickly
        self._landmarks: np.ndarray | None = None
        self._grey: np.ndarray | None = None
        self._thumbnail: np.ndarray | None = None
        self._since_confirmed = self._doubts = self._since_searched = 0
        self.is_cut = False
        """Whether the last frame began a new shot."""

    def update(self, rgb: np.ndarray) -> np.ndarray | None:
        """Landmarks float32 `[68, 2]` in the next frame RGB uint8 `[H, W, 3]`; None where no face is seen."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        self.is_cut = self._begins_shot(grey)
        if self.is_cut:
            self._landmarks = None
        found = self._start if self._grey is None and self._start is not None else self._carry(rgb, grey)
        if found is not None and self._must_confirm():
            found = self._confirmed(rgb, found)
        if found is None:
            found = self._search(rgb)
        self._landmarks, self._grey = found, grey
        return found

    def _begins_shot(self, grey: np.ndarray) -> bool:
        thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._thumbnail = self._thumbnail, thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > CUT

    def _carry(self, rgb: np.ndarray, grey: np.ndarray) -> np.ndarray | None:
        """The landmarks of the frame before, moved along and corrected; None when they were lost on the way."""
        if self._landmarks is None or self._grey.shape != grey.shape:
            return None
        before = self._landmarks.astype(np.float32)[:, None]
        distance = face_size(self._landmarks)
        window = max(2 * round(0.2 * distance) + 1, 9)
        settings = {"winSize": (window, window), "maxLevel": 3}
        moved, seen, _ = cv2.calcOpticalFlowPyrLK(self._grey, grey, before, None, **settings)
        if seen.mean() < 0.5:
            return None
        steps = (moved - before)[seen[:, 0] > 0]
        carried = self._landmarks + np.median(steps[:, 0], axis=0)
        found = landmarks_in(rgb, _box(carried))
        shift = np.linalg.norm(found - carried, axis=1).mean()
        return found if shift < ASTRAY * distance and _is_plausible(found, rgb.shape[:2], distance) else None

    def _must_confirm(self) -> bool:
        self._since_confirmed += 1
        return self._since_confirmed >= CONFIRM_EVERY

    def _confirmed(self, rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        """`landmarks` unless the detector has missed a face there several times in a row."""
        self._since_confirmed = 0
        self._doubts = 0 if shows_face(rgb, _box(landmarks)) else self._doubts + 1
        if self._doubts < DOUBTS:
            return landmarks
        self._doubts = 0
        return None

    def _search(self, rgb: np.ndarray) -> np.ndarray | None:
        due = self._landmarks is not None or self.is_cut or self._since_searched % SEARCH_EVERY == 0
        self._since_searched = 0 if self._landmarks is not None else self._since_searched + 1
        if not due:
            return None
        found = self._find(rgb)
        self._doubts = self._since_confirmed = 0
        return found


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


def face_size(landmarks: np.ndarray) -> float:
    """Distance of the eyes in pixels; in profile, what the height of the face says it would be."""
    points = np.asarray(landmarks, np.float64)
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    mouth = points[[48, 54]].mean(0)
    return max(math.dist(left, right), 0.95 * math.dist((left + right) / 2, mouth), 1.0)


def _box(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what the detector would find: measured on upright faces, in eye distances."""
    points = np.asarray(landmarks, np.float64)
    x, y = (points[36:42].mean(0) + points[42:48].mean(0)) / 2
    size = face_size(landmarks)
    return x - 1.24 * size, y - 0.77 * size, x + 1.24 * size, y + 1.71 * size


def _is_plausible(landmarks: np.ndarray, frame_size: tuple[int, int], before: float) -> bool:
    """Whether the face is still in the frame and about as large as it was."""
    height, width = frame_size
    inside = ((landmarks >= 0) & (landmarks < (width, height))).all(axis=1).mean()
    return inside > 0.5 and 0.8 < face_size(landmarks) / before < 1.25


# ---- the window


@dataclass(frozen=True)
class MovingWindow:
    """A window of constant size in a scaled frame, placed to fractions of a pixel.

    `x`, `y` are the left and upper edge in pixels of the frame, `scale` enlarges the frame; the window shows `width` x
    `height` pixels after scaling. What lies outside the frame repeats its edge.
    """

    scale: float
    x: float
    y: float
    width: int
    height: int

    @classmethod
    def of(cls, crop: FaceCrop) -> "MovingWindow":
        """The window that `crop` shows."""
        return cls(crop.scale, crop.left / crop.scale, crop.top / crop.scale, crop.width, crop.height)

    @property
    def matrix(self) -> np.ndarray:
        """Affine matrix `[2, 3]` from pixels of the frame to pixels of the window (centres at whole numbers)."""
        half = (self.scale - 1) / 2
        return np.array([[self.scale, 0, half - self.scale * self.x], [0, self.scale, half - self.scale * self.y]])

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """The window's picture uint8 `[height, width, 3]` of a frame uint8 `[H, W, 3]`."""
        rgb = blurred_for(rgb, self.scale)
        size = (self.width, self.height)
        return cv2.warpAffine(rgb, self.matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class OneEuro:
    """The 1€ filter (Casiez, Roussel and Vogel, CHI 2012) for vectors: steady when still, prompt when moving.

    Args:
        cutoff: in Hz, when still. The lower, the steadier.
        beta: how much the cutoff grows with speed, in Hz per (unit / s).
    """

    SPEED_CUTOFF = 1.0

    def __init__(self, cutoff: float, beta: float):
        self.cutoff, self.beta = cutoff, beta
        self._value: np.ndarray | None = None
        self._speed = 0.0
        self._time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered value at `time` in seconds."""
        value = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._time, self._speed = value, time, np.zeros_like(value)
            return value
        step = max(time - self._time, 1e-3)
        self._speed = self._mix(self._speed, (value - self._value) / step, self.SPEED_CUTOFF, step)
        cutoff = self.cutoff + self.beta * float(np.linalg.norm(self._speed))
        self._value, self._time = self._mix(self._value, value, cutoff, step), time
        return self._value

    def wait(self, time: float) -> None:
        """Nothing was seen until `time`: what comes next is not to count as much as all that was missed."""
        self._time = time

    @staticmethod
    def _mix(old: np.ndarray, new: np.ndarray, cutoff: float, step: float) -> np.ndarray:
        share = 1 / (1 + 1 / (2 * math.pi * cutoff * step))
        return old + share * (new - old)


class WindowPath:
    """Where the window of a clip lies, frame after frame: the first crop, moved and scaled with the face.

    Position and size of the face are smoothed; where no face is seen, the window stays. When a face is found again, the
    window glides there; at a cut it jumps.
    """

    CUTOFF, BETA = 0.8, 2.0
    """Of the 1€ filter for the position, in eye distances."""

    SIZE_CUTOFF, SIZE_BETA = 0.3, 0.3
    """Of the one for the size: heads come nearer slowly, landmarks of a half-hidden face shrink and swell at once."""

    GLIDE = 5.0
    """Eye distances a second that the window moves at most until it has caught up with a face that is found again."""

    GRID, ZOOM = 8, 1.15
    """Pixels that an anchored window moves at once, and how far the face's size may change before its scale follows."""

    def __init__(self, crop: FaceCrop, landmarks: np.ndarray, anchored: bool = False):
        """What the window starts from.

        Args:
            crop: the first window.
            landmarks: `[68, 2]` of the frame that `crop` was fitted to.
            anchored: let the window go in whole steps over one grid of pixels. What stands still in the frame is then
                sampled alike in every frame and does not shimmer; where the result is put back into the frame, the
                steps are not seen.
        """
        self._crop, self._anchored = crop, anchored
        self._first = self._pose(landmarks)
        self.window = MovingWindow.of(crop)
        self._start()

    def _start(self) -> None:
        self._filters = OneEuro(self.CUTOFF, self.BETA), OneEuro(self.SIZE_CUTOFF, self.SIZE_BETA)
        self._place: np.ndarray | None = None
        self._time = 0.0
        self._glides = False

    @staticmethod
    def _pose(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
        """Middle of the eyes `[2]` and size of the face, in pixels."""
        left, right = eye_centres(landmarks)
        return (left + right) / 2, face_size(landmarks)

    def update(self, landmarks: np.ndarray | None, time: float, is_cut: bool = False) -> MovingWindow:
        """The window for the next frame, at `time` in seconds."""
        if is_cut:
            self._start()
        if landmarks is None:
            self._glides = self._place is not None
            self._time = time
            for smooth in self._filters:
                smooth.wait(time)
            return self.window
        (middle, size), (first_middle, first_size) = self._pose(landmarks), self._first
        place = self._filters[0](middle / first_size, time)
        growth = math.exp(self._filters[1](np.array([math.log(size / first_size)]), time)[0])
        if self._glides:
            place = self._towards(place, time - self._time)
        self._place, self._time = place, time
        crop, (height, width) = self._crop, self._crop.frame_size
        # A window larger than the frame would show nothing more.
        scale = max(crop.scale / growth, crop.width / width, crop.height / height)
        held = self.window.scale
        if self._anchored and 1 / self.ZOOM < scale / held < self.ZOOM:
            scale = held
        offset = (np.array([crop.left, crop.top]) / crop.scale - first_middle) * crop.scale / scale
        left, top = place * first_size + offset
        if self._anchored:
            left, top = (self._step(edge, now, scale) for edge, now in ((left, self.window.x), (top, self.window.y)))
        left, top = _inside(left, crop.width / scale, width), _inside(top, crop.height / scale, height)
        self.window = MovingWindow(scale, left, top, crop.width, crop.height)
        return self.window

    def _step(self, edge: float, now: float, scale: float) -> float:
        """`edge` on the grid of `scale`; `now` as long as that is near enough."""
        nearest = round(edge * scale / self.GRID) * self.GRID / scale
        stays = scale == self.window.scale and abs(edge - now) * scale < 0.75 * self.GRID
        return now if stays else nearest

    def _towards(self, place: np.ndarray, seconds: float) -> np.ndarray:
        """`place`, or as near to it as gliding allows."""
        way = place - self._place
        length, reach = float(np.linalg.norm(way)), self.GLIDE * max(seconds, 1e-3)
        self._glides = length > reach
        return self._place + way * min(1.0, reach / max(length, 1e-9))


def _inside(start: float, length: float, side: float) -> float:
    """Where an interval of `length` begins that is moved into [0, side] if it fits there, else centred on it."""
    return min(max(start, 0.0), side - length) if length < side else (side - length) / 2


def followed(
    frames: Iterable[Frame], crop: FaceCrop, landmarks: np.ndarray, anchored: bool = False
) -> Iterator[tuple[Frame, MovingWindow]]:
    """Each frame, and the window around the face in it. Arguments as `WindowPath` has them."""
    tracker, path = FaceTracker(), WindowPath(crop, landmarks, anchored)
    for frame in frames:
        landmarks = tracker.update(frame.rgb)
        yield frame, path.update(landmarks, float(frame.time or 0), tracker.is_cut)
