"""Faces through a video: landmarks frame after frame, who is who, and who joins them.

Optical flow carries the landmarks to the next frame, the landmark predictor corrects them there, and the detector
confirms now and then that it is still a face. A face that is cut off by the frame's edge they don't know any more: flow
alone carries it, as long as what is left looks as it did. Without a face the tracker keeps looking.
"""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from model.faces.detect import face_near, find_all_landmarks, find_landmarks_quickly, landmarks_in, shows_face
from model.faces.landmarks import eye_midpoint, face_size, tilt

Box = tuple[float, float, float, float]  # left, top, right, bottom

CONFIRM_EVERY, DOUBTS = 8, 3  # the detector looks at every eighth frame; so many misses in a row, and the face is lost
SEARCH_EVERY = 4  # without a face, one frame in so many is searched
ASTRAY = 0.25  # eye distances by which flow and landmark predictor may disagree; beyond, the face is lost
FAST = 0.04  # eye distances from frame to frame from which on the detector helps flow
WHOLE, LEFT_OVER = 0.7, 0.2  # parts of the landmarks in the frame: for the predictor, and for a face to be followed
ALIKE = 0.6  # correlation of what is left of a face with how it looked
LOOK_SIDE, LOOK_SIZES = 48, 3.0  # side of the pictures that are compared for that, in pixels and in face sizes
TILTED = 15.0  # degrees from which on a head is turned upright before it is looked at
THUMBNAIL, CUT = 32, 40.0  # side of the pictures that are compared to find cuts; mean difference that makes one


class FaceTracker:
    """Follows one face, which `find` looks for in a frame. `update` is called with every frame in order."""

    def __init__(self, find: Callable[[np.ndarray], np.ndarray | None] | None = None):
        self._find = find or find_landmarks_quickly
        self._landmarks: np.ndarray | None = None
        self._grey: np.ndarray | None = None
        self._thumbnail: np.ndarray | None = None
        self._look: np.ndarray | None = None  # of the face when it was last known for sure
        self._since_confirmed = self._doubts = self._since_searched = 0
        self.is_cut = False  # whether the last frame began a new shot

    def update(self, rgb: np.ndarray, known: np.ndarray | None = None) -> np.ndarray | None:
        """Landmarks float32 `[68, 2]` in the next frame RGB uint8 `[H, W, 3]`; None where no face is seen.

        known: the landmarks in this frame, where a slower search than the tracker's has found them.
        """
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        thumbnail = thumbnail_of(grey)
        self.is_cut = self._thumbnail is not None and is_cut(self._thumbnail, thumbnail)
        self._thumbnail = thumbnail
        if self.is_cut:
            self._landmarks = None
        found = self._carry(rgb, grey) if known is None else known
        if known is not None:
            self._look = _look_of(grey, known)
        elif found is not None:
            self._since_confirmed += 1
            if self._since_confirmed >= CONFIRM_EVERY:
                found = self._confirmed(rgb, grey, found)
        if found is None and (found := self._search(rgb)) is not None:
            self._look = _look_of(grey, found)
        self._landmarks, self._grey = found, grey
        return found

    def _carry(self, rgb: np.ndarray, grey: np.ndarray) -> np.ndarray | None:
        """The landmarks of the frame before, moved along and corrected; None when they were lost on the way."""
        if self._landmarks is None or self._grey.shape != grey.shape:
            return None
        before = self._landmarks.astype(np.float32)[:, None]
        distance = face_size(self._landmarks)
        window = max(2 * round(0.2 * distance) + 1, 9)
        settings = {"winSize": (window, window), "maxLevel": 3}
        moved, seen, _ = cv2.calcOpticalFlowPyrLK(self._grey, grey, before, None, **settings)
        inside = _inside(self._landmarks, grey.shape)
        seen = (seen[:, 0] > 0) & inside
        if seen.sum() < 0.5 * inside.sum():
            return None
        carried = self._landmarks + np.median((moved - before)[seen, 0], axis=0)
        if inside.mean() >= WHOLE:
            picture, box, back = _upright(rgb, carried)
            if np.linalg.norm(carried - self._landmarks, axis=1).mean() > FAST * distance:
                box = face_near(picture, box) or box  # flow is not exact there, and the predictor believes the box
            found = (landmarks_in(picture, box) @ back[:, :2].T + back[:, 2]).astype(np.float32)
            shift = np.linalg.norm(found - carried, axis=1).mean()
            if shift < ASTRAY * distance and _is_plausible(found, grey.shape, distance):
                return found
        if inside.all():
            return None
        matrix, _ = cv2.estimateAffinePartial2D(before[seen], moved[seen], ransacReprojThreshold=0.05 * distance)
        carried = self._landmarks if matrix is None else cv2.transform(self._landmarks[None], matrix)[0]
        return carried if self._is_left_over(grey, carried) else None

    def _is_left_over(self, grey: np.ndarray, landmarks: np.ndarray) -> bool:
        """Whether the frame cuts a face off there, and what is left of it looks as it did."""
        if not LEFT_OVER <= _inside(landmarks, grey.shape).mean() < 1:
            return False
        now = _look_of(grey, landmarks)
        both = (now > 0) & (self._look > 0)
        if not both.any() or min(np.ptp(now[both]), np.ptp(self._look[both])) == 0:  # nothing to compare
            return False
        return np.corrcoef(now[both], self._look[both])[0, 1] > ALIKE

    def _confirmed(self, rgb: np.ndarray, grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        """`landmarks` unless the detector has missed a face there several times in a row."""
        self._since_confirmed = 0
        picture, box, _ = _upright(rgb, landmarks)
        if shows_face(picture, box):
            self._doubts, self._look = 0, _look_of(grey, landmarks)
        elif not self._is_left_over(grey, landmarks):
            self._doubts += 1
        return landmarks if self._doubts < DOUBTS else None

    def _search(self, rgb: np.ndarray) -> np.ndarray | None:
        due = self._landmarks is not None or self.is_cut or self._since_searched % SEARCH_EVERY == 0
        self._since_searched = 0 if self._landmarks is not None else self._since_searched + 1
        if due:
            self._doubts = self._since_confirmed = 0
        return self._find(rgb) if due else None


def thumbnail_of(picture: np.ndarray) -> np.ndarray:
    """A small copy of a picture uint8, grey or RGB, for `is_cut`."""
    return cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether two frames are so different that a new shot begins; each is given by its `thumbnail_of`."""
    return float(cv2.absdiff(before, now).mean()) > CUT


class CrowdTracker:
    """Follows one or several faces, each by a `FaceTracker`; no two of them take the same face.

    One face alone is looked for everywhere once it is lost. Of several, a face that belongs to nobody goes to the lost
    person who was last seen nearest to it. With `most`, one that belongs to nobody twice in a row is a newcomer's.
    faces: landmarks `[68, 2]` of each person in one frame, who keep their numbers. most: of people; None: any number.
    """

    NEAR = 3.0  # face sizes from where a person was last seen within which a face may be theirs
    LOOK_EVERY, LOOK_AGAIN = 1.0, 0.2  # seconds until newcomers are looked for, and until one is that was seen once

    def __init__(self, faces: Sequence[np.ndarray], most: int | None = 0):
        self._most = most
        self.last_seen: list[np.ndarray] = []  # landmarks [68, 2] of each person where they were seen last
        self._trackers: list[FaceTracker] = []
        self._found: list[np.ndarray | None] = []
        self._all: list[np.ndarray] | None = None
        self._strangers: list[np.ndarray] = []
        self._next_look: float | None = None
        for face in faces:
            self._add(face)

    def _add(self, face: np.ndarray) -> FaceTracker:
        tracker = FaceTracker(find=partial(self._find, len(self._trackers)))
        self._trackers.append(tracker)
        self.last_seen.append(face)
        self._found.append(None)
        return tracker

    @property
    def is_cut(self) -> bool:  # whether the last frame began a new shot
        return any(tracker.is_cut for tracker in self._trackers)

    def update(
        self, rgb: np.ndarray, time: float = 0.0, known: Sequence[np.ndarray | None] | None = None
    ) -> list[np.ndarray | None]:
        """Landmarks `[68, 2]` of each person in the frame at `time` in seconds, None where one is not seen.

        known: landmarks of the first people in this frame, where they are known already; None for the others.
        """
        self._all = None
        for number, tracker in enumerate(self._trackers):
            theirs = known[number] if known is not None and number < len(known) else None
            self._found[number] = found = tracker.update(rgb, theirs)
            if found is not None:
                self.last_seen[number] = found
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
        pairs = zip(self._found, self.last_seen, strict=True)
        return all(_apart(face, last) >= (self.NEAR if found is None else 1) for found, last in pairs)

    def _everybody(self, rgb: np.ndarray) -> list[np.ndarray]:  # all faces of the frame, which is searched once
        if self._all is None:
            self._all = find_all_landmarks(rgb)
        return self._all

    def _find(self, number: int, rgb: np.ndarray) -> np.ndarray | None:
        """Any face for one person alone; else the free one nearest to where they were, unless another is nearer.

        Who lay is looked for lying, too.
        """
        known = self.last_seen[number]
        last = 0.0 if known is None else tilt(known)  # there may have been nobody yet
        lying = partial(find_all_landmarks, rgb, last) if abs(last) >= TILTED else list
        if len(self._trackers) == 1 and not self._room:
            found = find_landmarks_quickly(rgb)
            return found if found is not None else next(iter(lying()), None)
        others = [face for k, face in enumerate(self._found) if k != number and face is not None]
        best, nearest = None, self.NEAR
        for face in (*self._everybody(rgb), *lying()):
            if any(_apart(face, other) < 1 for other in others):
                continue
            lost = [last for last, found in zip(self.last_seen, self._found, strict=True) if found is None]
            distance = _apart(face, self.last_seen[number])
            if distance < nearest and all(_apart(face, last) >= distance for last in lost):
                best, nearest = face, distance
        return best


def _upright(rgb: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, Box, np.ndarray]:
    """A picture in which the face is upright, its box there, and the matrix `[2, 3]` back to pixels of `rgb`.

    Detector and predictor know upright heads: where one is tilted, its surroundings are turned, else `rgb` it is.
    """
    angle, box = tilt(landmarks), _box(landmarks)
    if abs(angle) < TILTED:
        return rgb, box, np.eye(2, 3)
    x, y = eye_midpoint(landmarks)
    reach = 3 * face_size(landmarks)
    turn = cv2.getRotationMatrix2D((x, y), angle, 1.0)
    turn[:, 2] += (reach - x, reach - y)
    picture = cv2.warpAffine(rgb, turn, (round(2 * reach), round(2 * reach)), borderMode=cv2.BORDER_REPLICATE)
    moved = box[0] + reach - x, box[1] + reach - y, box[2] + reach - x, box[3] + reach - y
    return picture, moved, cv2.invertAffineTransform(turn)


def _box(landmarks: np.ndarray) -> Box:
    """Left, top, right, bottom of what the detector would find: measured on upright faces, in eye distances."""
    x, y = eye_midpoint(landmarks)
    size = face_size(landmarks)
    return x - 1.24 * size, y - 0.77 * size, x + 1.24 * size, y + 1.71 * size


def _is_plausible(landmarks: np.ndarray, frame_size: tuple[int, int], before: float) -> bool:
    """Whether the face is still in the frame and about as large as it was."""
    return _inside(landmarks, frame_size).mean() > 0.5 and 0.8 < face_size(landmarks) / before < 1.25


def _inside(landmarks: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """Which of the landmarks lie in the frame (h, w): bool `[68]`."""
    return ((landmarks >= 0) & (landmarks < frame_size[::-1])).all(axis=1)


def _look_of(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A small picture of a face, upright and of one size: uint8 `[S, S]` of a frame `[H, W]`; 0 beyond the frame."""
    scale = LOOK_SIDE / (LOOK_SIZES * face_size(landmarks))
    eyes, fine = eye_midpoint(landmarks), cv2.blur(grey, [max(round(1 / scale), 1)] * 2)
    matrix = cv2.getRotationMatrix2D(eyes.tolist(), tilt(landmarks), scale)
    matrix[:, 2] += np.array([LOOK_SIDE / 2, LOOK_SIDE / 3]) - eyes
    return cv2.warpAffine(fine, matrix, (LOOK_SIDE, LOOK_SIDE))


def _apart(face: np.ndarray, other: np.ndarray) -> float:
    """Distance of two faces in sizes of the larger one."""
    middles = [points[27:48].mean(0) for points in (face, other)]
    return float(np.linalg.norm(middles[0] - middles[1])) / max(face_size(face), face_size(other))
