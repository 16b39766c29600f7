"""Where the face is: 68 landmarks of the portrait's main face.

dlib's frontal detector (histograms of oriented gradients) and its 68-point shape predictor, as in the published
program. What that program misses (small, turned and half-hidden faces) is looked for once more in larger and rotated
copies and with dlib's convolutional detector.

Rectangles and landmarks are in pixels, x to the right, y down; pictures are RGB uint8 [H, W, 3].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files

import cv2
import dlib
import numpy as np

from model.common.errors import InputError

# Frames up to this side are searched whole, exactly as published; bigger ones (a phone's 4000 px, 8K) in a copy of
# this size, which still shows every face wider than 3 % of the frame.
ORDINARY_SIDE = 1300
# The frontal detector's window is 80 px; upsampling once finds faces from 40 px.
DETECTOR_UPSAMPLING = 1
# The landmark predictor was fitted to faces of a few hundred pixels; a huge face is reduced to this width for it.
LANDMARK_FACE_WIDTH = 400

# The sides of the copies for the second search. They bound its time: about 4 s for 16:9 without a face, on one core.
LARGE_COPY_SIDE = 3900
ROTATED_COPY_SIDE = 960
CNN_COPY_SIDE = 480
# The last search, for faces from 14 px in small frames: enlarged so many times, then upsampled once more.
TINY_ENLARGEMENT, TINY_COPY_SIDE = 3, 1950
MAX_ENLARGEMENT = 4.0
ROTATIONS = (30, -30, 60, -60, 90, -90, 120, -120, 150, -150, 180)
# Scores of the frontal detector: photos of faces reach 1 to 3, drawings 0.3 and more; chance hits (smooth noise,
# upside-down faces) stay below 0.4. A doubtful hit yields to a rotated one that is surer by the margin. Many rotations
# give chance many chances, and large copies even more: they must be surer than the published search.
SURE_SCORE = 0.5
ROTATED_MIN_SCORE = 0.3
DOUBTFUL_SCORE = 0.2
ROTATED_MARGIN = 0.5

# The frontal detector is five: frontal, half left, half right, and frontal turned by about 30 degrees either way. The
# landmarks of faces that the last two find can slip. They are looked at again in rotated copies of their surroundings.
TILTED_DETECTORS = (3, 4)
TILT_ROTATIONS = (30, -30, 60, -60)
TILTED_COPY_SIDE = 360

# Below this many pixels there is nothing to recognise, even enlarged.
MIN_SIDE = 16

# A face that is followed is confirmed in its surroundings, wider by this part of its width, resized to this width.
CONFIRM_MARGIN, CONFIRM_WIDTH = 0.6, 110

_PACKAGE = "face_recognition_models"
_LANDMARK_FILE = "shape_predictor_68_face_landmarks.dat"
_CNN_FILE = "mmod_human_face_detector.dat"


@dataclass(frozen=True)
class Detection:
    """A rectangle with a face, in pixels of the copy that was searched, and how sure the detector is of it."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    tilted: bool = False

    def prominence(self, width: int, height: int) -> float:
        """Area weighted by nearness to the centre of a frame of this size.

        The weight falls smoothly from 1 at the centre to 1/e in the corners: a face must be e times larger in a
        corner than in the middle to be taken for the portrait's subject.
        """
        dx = (self.left + self.right) / width - 1
        dy = (self.top + self.bottom) / height - 1
        area = (self.right - self.left) * (self.bottom - self.top)
        return area * float(np.exp(-(dx**2 + dy**2) / 2))


@dataclass(frozen=True)
class Match:
    """Landmarks float32 [68, 2] in pixels of the frame and the detection that they come from."""

    landmarks: np.ndarray
    face: Detection


def find_landmarks(rgb: np.ndarray) -> np.ndarray | None:
    """The 68 landmarks of the main face, tried hard: float32 [68, 2] as (x, y) in pixels of `rgb`, or None.

    `rgb` is uint8 [H, W, 3]. The main face is the largest one near the centre, see `Detection.prominence`. What the
    published search is sure of stands; otherwise larger copies, rotated copies and at last the convolutional detector
    are tried.
    """
    if min(rgb.shape[:2]) < MIN_SIDE:
        return None
    match = _search_at_frame_size(rgb, DOUBTFUL_SCORE) or _search_enlarged(rgb)
    if match is None or match.face.score < SURE_SCORE:
        match = _surer(_search_rotated(rgb, ROTATED_COPY_SIDE, ROTATIONS), match)
        match = match or _search_with_cnn(rgb) or _search_tiny(rgb)
    elif match.face.tilted:
        match = _straightened(rgb, match)
    return None if match is None else match.landmarks


def find_landmarks_quickly(rgb: np.ndarray) -> np.ndarray | None:
    """The published search only: the frontal detector, upsampled once. Same contract as `find_landmarks`.

    For frames that may well hold no face, such as the beginning of a video: 0.1 s at 640 x 360, at most 1 s. It finds
    only what it is sure of; a chance hit would fix the crop of the whole video.
    """
    if min(rgb.shape[:2]) < MIN_SIDE:
        return None
    match = _search_at_frame_size(rgb, SURE_SCORE)
    if match is None:
        return None
    return (_straightened(rgb, match) if match.face.tilted else match).landmarks


def find_all_landmarks(rgb: np.ndarray) -> list[np.ndarray]:
    """The landmarks float32 [68, 2] of every face that the published search is sure of, the main face first."""
    if min(rgb.shape[:2]) < MIN_SIDE:
        return []
    height, width = rgb.shape[:2]
    copy, scale = _resized_to(rgb, min(ORDINARY_SIDE, max(height, width)))
    faces = _frontal_faces(copy, DETECTOR_UPSAMPLING, SURE_SCORE)
    faces.sort(key=lambda face: face.prominence(*copy.shape[1::-1]), reverse=True)
    return [_landmarks_of(rgb, face, scale) for face in faces]


def landmarks_in(rgb: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Landmarks float32 [68, 2] of a face whose rectangle (left, top, right, bottom) in pixels of `rgb` is known."""
    return _landmarks_of(np.ascontiguousarray(rgb), Detection(*box, score=0.0), 1.0)


def shows_face(rgb: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    """Whether the detector sees a face about where the rectangle is; milliseconds, for it looks nowhere else."""
    left, top, right, bottom = box
    margin = CONFIRM_MARGIN * (right - left)
    x, y = max(int(left - margin), 0), max(int(top - margin), 0)
    part = rgb[y : int(bottom + margin), x : int(right + margin)]
    if min(part.shape[:2]) < MIN_SIDE:
        return False
    scale = CONFIRM_WIDTH / (right - left)
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    copy = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return bool(_frontal_faces(copy, 0, DOUBTFUL_SCORE))


def _search_at_frame_size(rgb: np.ndarray, min_score: float) -> Match | None:
    """As published, but for the choice among several faces and the reduction of huge frames."""
    copy, scale = _resized_to(rgb, min(ORDINARY_SIDE, max(rgb.shape[:2])))
    return _match(rgb, _frontal_faces(copy, DETECTOR_UPSAMPLING, min_score), copy, scale)


def _search_enlarged(rgb: np.ndarray) -> Match | None:
    """Small faces, in a larger copy (of a huge frame: in a less reduced one)."""
    copy, scale = _resized_to(rgb, LARGE_COPY_SIDE)
    return _match(rgb, _frontal_faces(copy, 0, SURE_SCORE), copy, scale)


def _search_rotated(rgb: np.ndarray, side: int, rotations: tuple[int, ...]) -> Match | None:
    """Tilted, lying and upside-down faces: the main face of the rotated copy in which one is seen most surely.

    A face is found at several rotations; the surest one shows it upright.
    """
    copy, scale = _resized_to(rgb, side)
    best_faces, best_rotated, best_turn = [], None, None
    for rotated, turn in _rotated_copies(copy, rotations):
        faces = _frontal_faces(rotated, 0, ROTATED_MIN_SCORE)
        if max((face.score for face in faces), default=0) > max((face.score for face in best_faces), default=0):
            best_faces, best_rotated, best_turn = faces, rotated, turn
    if not best_faces:
        return None
    face = _main_face(best_faces, best_rotated)
    back = cv2.invertAffineTransform(best_turn)
    points = _predict(best_rotated, face) @ back[:, :2].T + back[:, 2]
    return Match(_to_original(points, scale), face)


def _search_with_cnn(rgb: np.ndarray) -> Match | None:
    """Profiles and half-hidden faces, with dlib's convolutional detector: slow, so on a small copy."""
    copy, scale = _resized_to(rgb, CNN_COPY_SIDE)
    faces = [_detection(found.rect, found.confidence) for found in _cnn_detector()(copy, 0)]
    return _match(rgb, faces, copy, scale)


def _search_tiny(rgb: np.ndarray) -> Match | None:
    """Faces of people who are far away in a small frame; none in a large one, which shows them larger."""
    copy, scale = _resized_to(rgb, min(TINY_ENLARGEMENT * max(rgb.shape[:2]), TINY_COPY_SIDE))
    if 2 * scale <= MAX_ENLARGEMENT:  # that was searched before
        return None
    return _match(rgb, _frontal_faces(copy, DETECTOR_UPSAMPLING, SURE_SCORE), copy, scale)


def _match(rgb: np.ndarray, faces: list[Detection], copy: np.ndarray, scale: float) -> Match | None:
    """The main one of the upright faces in a copy of the frame that was resized by `scale`."""
    face = _main_face(faces, copy)
    return None if face is None else Match(_landmarks_of(rgb, face, scale), face)


def _surer(rotated: Match | None, upright: Match | None) -> Match | None:
    if rotated is None or upright is None:
        return rotated or upright
    return rotated if rotated.face.score >= upright.face.score + ROTATED_MARGIN else upright


def _straightened(rgb: np.ndarray, match: Match) -> Match:
    """The same face seen in rotated copies of its surroundings, if that is the surer view of it."""
    low, high = match.landmarks.min(axis=0), match.landmarks.max(axis=0)
    reach = (high - low).max()
    left, top = np.maximum(low - reach, 0).astype(int)
    right, bottom = (high + reach).astype(int)
    rotated = _search_rotated(rgb[top:bottom, left:right], TILTED_COPY_SIDE, TILT_ROTATIONS)
    if rotated is None or rotated.face.score <= match.face.score:
        return match
    return Match(rotated.landmarks + np.float32((left, top)), rotated.face)


def _frontal_faces(rgb: np.ndarray, upsampling: int, min_score: float) -> list[Detection]:
    found = zip(*_frontal_detector().run(rgb, upsampling, min_score), strict=True)
    return [_detection(rectangle, score, kind in TILTED_DETECTORS) for rectangle, score, kind in found]


def _detection(rectangle: dlib.rectangle, score: float, tilted: bool = False) -> Detection:
    return Detection(rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom(), score, tilted)


def _main_face(faces: list[Detection], rgb: np.ndarray) -> Detection | None:
    height, width = rgb.shape[:2]
    return max(faces, key=lambda face: face.prominence(width, height), default=None)


def _landmarks_of(rgb: np.ndarray, face: Detection, scale: float) -> np.ndarray:
    """Landmarks in pixels of `rgb` for a face found in a copy that was resized by `scale`."""
    width = (face.right - face.left) / scale
    side = max(rgb.shape[:2])
    if side > ORDINARY_SIDE and width > LANDMARK_FACE_WIDTH:
        side = round(side * LANDMARK_FACE_WIDTH / width)
    copy, copy_scale = _resized_to(rgb, side)
    return _to_original(_predict(copy, face, copy_scale / scale), copy_scale)


def _predict(rgb: np.ndarray, face: Detection, scale: float = 1.0) -> np.ndarray:
    """float64 [68, 2] in pixels of `rgb`; the rectangle is multiplied by `scale` first."""
    corners = (round(side * scale) for side in (face.left, face.top, face.right, face.bottom))
    shape = _landmark_predictor()(rgb, dlib.rectangle(*corners))
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


def _resized_to(rgb: np.ndarray, longest_side: int) -> tuple[np.ndarray, float]:
    """A contiguous copy with about this longest side and the factor it was resized by (at most MAX_ENLARGEMENT)."""
    height, width = rgb.shape[:2]
    scale = min(longest_side / max(height, width), MAX_ENLARGEMENT)
    if scale == 1:
        return np.ascontiguousarray(rgb), 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def _to_original(points: np.ndarray, scale: float) -> np.ndarray:
    """From pixels of a resized copy to pixels of the frame. Resizing aligns the corners, not the centres, of pixels."""
    if scale == 1:
        return points.astype(np.float32)
    return ((points + 0.5) / scale - 0.5).astype(np.float32)


def _rotated_copies(rgb: np.ndarray, angles: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(copy rotated counter-clockwise and large enough for the whole frame, affine matrix [2, 3] from frame to copy)"""
    height, width = rgb.shape[:2]
    for angle in angles:
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        # The tiny amount keeps exact quarter turns from growing by a pixel.
        new_width, new_height = np.ceil(np.abs(turn[:, :2]) @ (width, height) - 1e-6).astype(int)
        turn[:, 2] += (new_width - width) / 2, (new_height - height) / 2
        yield cv2.warpAffine(rgb, turn, (int(new_width), int(new_height)), flags=cv2.INTER_LINEAR), turn


def dlib_points(landmarks: np.ndarray) -> dlib.full_object_detection:
    """Landmarks [68, 2] as dlib's networks take them."""
    (left, top), (right, bottom) = np.round(landmarks.min(axis=0)), np.round(landmarks.max(axis=0))
    rectangle = dlib.rectangle(int(left), int(top), int(right), int(bottom))
    return dlib.full_object_detection(rectangle, [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks])


@cache
def _frontal_detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@cache
def _landmark_predictor() -> dlib.shape_predictor:
    return dlib.shape_predictor(model_file(_LANDMARK_FILE))


@cache
def _cnn_detector() -> dlib.cnn_face_detection_model_v1:
    return dlib.cnn_face_detection_model_v1(model_file(_CNN_FILE))


def model_file(name: str) -> str:
    """Path of a file that face_recognition_models installs. Not imported: it needs pkg_resources, which is gone."""
    try:
        installed = files(_PACKAGE) or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == name:
            return str(file.locate())
    raise InputError(f"The face landmark file {name} is missing; install it with: pip install {_PACKAGE}")
