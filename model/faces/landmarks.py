"""What is taken from facial landmarks, float32 `[68, 2]` (x, y) in pixels: measures, and the aligned face."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from model.common.errors import InputError

# Height by width of a mouth's inside, and of an eye, up to where it is closed, and from where on open in full.
OPEN_MOUTH, OPEN_EYE = (0.10, 0.22), (0.14, 0.20)
MIN_EYE_DISTANCE = 1.0  # pixels; eyes closer together than this are no face to scale or align by
LEFT_EYE, RIGHT_EYE, MOUTH_CORNERS = slice(36, 42), slice(42, 48), [48, 54]
# An upright face: the mean of many, made symmetric; (x, y) from between the eyes, in hundredths of their distance.
MEAN_FACE = np.float32([
    -114, 3, -113, 33, -110, 63, -105, 92, -95, 120, -78, 144, -55, 164, -29, 180, 0, 185, 29, 180, 55, 164, 78, 144,
    95, 120, 105, 92, 110, 63, 113, 33, 114, 3, -93, -16, -79, -30, -59, -34, -39, -32, -19, -24, 19, -24, 39, -32,
    59, -34, 79, -30, 93, -16, 0, -3, 0, 17, 0, 36, 0, 56, -24, 68, -12, 72, 0, 76, 12, 72, 24, 68, -69, 1, -57, -6,
    -43, -6, -30, 3, -44, 5, -58, 5, 30, 3, 43, -6, 57, -6, 69, 1, 58, 5, 44, 5, -49, 100, -31, 96, -13, 94, 0, 96,
    13, 94, 31, 96, 49, 100, 32, 118, 14, 126, 0, 127, -14, 126, -32, 118, -43, 102, -13, 102, 0, 103, 13, 102, 43, 102,
    14, 112, 0, 114, -14, 112,
]).reshape(68, 2) / 100  # fmt: skip
JAW, BROWS, NOSE, EYES, MOUTH = slice(0, 17), slice(17, 27), slice(27, 36), (LEFT_EYE, RIGHT_EYE), slice(48, 68)


def _eyes_and_mouth(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = np.asarray(landmarks, np.float64)
    return points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0), points[MOUTH_CORNERS].mean(0)


def eye_centres(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of the left and the right eye of an upright face, float64 `[2]` each. InputError if they coincide."""
    left, right, _ = _eyes_and_mouth(landmarks)
    if not math.dist(left, right) >= MIN_EYE_DISTANCE:
        raise InputError("The face is too small to tell its eyes apart; use a picture in which it is larger.")
    return left, right


def eye_midpoint(landmarks: np.ndarray) -> np.ndarray:
    """(x, y) of the point between the eyes, float64 `[2]`."""
    left, right, _ = _eyes_and_mouth(landmarks)
    return (left + right) / 2


def face_size(landmarks: np.ndarray) -> float:
    """Distance of the eyes in pixels; in profile, what the height of the face says it would be."""
    left, right, mouth = _eyes_and_mouth(landmarks)
    return max(math.dist(left, right), 0.95 * math.dist((left + right) / 2, mouth), 1.0)


def open_mouth(landmarks: np.ndarray) -> float:
    """How open a mouth is, from 0 to 1."""
    return float(np.interp(mouth_opening(landmarks), OPEN_MOUTH, (0, 1)))


def open_eye(eye: np.ndarray) -> float:
    """How open an eye is, landmarks `[6, 2]`, from 0 to 1."""
    return float(np.interp(eye_opening(eye), OPEN_EYE, (0, 1)))


def mouth_opening(landmarks: np.ndarray) -> float:
    """Height by width of the mouth's inside."""
    height = np.linalg.norm(landmarks[61:64] - landmarks[[67, 66, 65]], axis=1).mean()
    return float(height / max(np.linalg.norm(landmarks[60] - landmarks[64]), 1))


def eye_opening(eye: np.ndarray) -> float:
    """Height by width of an eye, landmarks `[6, 2]` (the eye aspect ratio)."""
    heights = np.linalg.norm(eye[1:3] - eye[[5, 4]], axis=1).mean()
    return float(heights / max(np.linalg.norm(eye[0] - eye[3]), 1))


def tilt(landmarks: np.ndarray) -> float:
    """How far a head is turned clockwise from upright, in degrees from -180 to 180."""
    x, y = _across(*_eyes_and_mouth(landmarks))
    return math.degrees(math.atan2(y, x))


def _across(left_eye: np.ndarray, right_eye: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """The face's horizontal: the line of the eyes and the perpendicular of the line from eyes to mouth, added up."""
    down = mouth - (left_eye + right_eye) / 2
    return right_eye - left_eye + (down[1], -down[0])


def align_face(rgb: np.ndarray, landmarks: np.ndarray, size: int = 256) -> np.ndarray:
    """The face as in the FFHQ data set: uint8 `[H, W, 3]` → uint8 `[size, size, 3]`.

    The square comes from eyes and mouth (Karras et al. 2019, appendix "FFHQ dataset"). Where it leaves the frame, the
    frame is continued by its mirror image, which fades into a blur and then into its median colour.
    """
    corners = ffhq_square(landmarks)
    side = math.dist(corners[0], corners[1])
    image = Image.fromarray(np.ascontiguousarray(rgb))
    factor = int(side / size / 2)
    if factor > 1:  # the bilinear transform below reduces at most about fourfold without jaggies
        image = image.resize((round(image.width / factor), round(image.height / factor)), Image.Resampling.LANCZOS)
        corners, side = corners / factor, side / factor
    image, corners = _with_border(image, corners, side)
    # Pillow counts positions from the corner of the first pixel, landmarks from its centre.
    quad = tuple((corners + 0.5).flatten())
    return np.asarray(image.transform((size, size), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR))


def ffhq_square(landmarks: np.ndarray) -> np.ndarray:
    """Corners of the tilted square, float64 `[4, 2]`: top left, bottom left, bottom right, top right of the face."""
    left_eye, right_eye = eye_centres(landmarks)
    x = _across(left_eye, right_eye, _eyes_and_mouth(landmarks)[2])
    centre, side = portrait_square(landmarks)
    x *= side / 2 / math.hypot(*x)
    y = np.array((-x[1], x[0]))
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def in_aligned(points: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Where points `[N, 2]` of a picture come to lie in the face that `align_face` cuts out of it: float32 `[N, 2]`."""
    top_left, bottom_left, _, top_right = ffhq_square(landmarks)
    sides = np.stack([top_right - top_left, bottom_left - top_left])
    return ((points - top_left) @ sides.T / np.square(sides).sum(1) * size - 0.5).astype(np.float32)


def face_at(left_eye: Sequence[float], right_eye: Sequence[float], mouth: Sequence[float]) -> np.ndarray:
    """Landmarks float32 `[68, 2]` of a usual face whose eyes and mouth have their centres at these points (x, y).

    Which of the eyes is the left one is told by the mouth, as if no picture were mirrored."""
    eyes, mouth = np.array([left_eye, right_eye], np.float64), np.array(mouth, np.float64)
    across, down = eyes[1] - eyes[0], mouth - eyes.mean(0)
    if across[0] * down[1] - across[1] * down[0] < 0:
        eyes = eyes[::-1]
    usual = np.stack(_eyes_and_mouth(MEAN_FACE))
    placed = np.linalg.solve(np.column_stack([usual, np.ones(3)]), np.vstack([eyes, mouth]))
    return (np.column_stack([MEAN_FACE, np.ones(68)]) @ placed).astype(np.float32)


def portrait_square(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (x, y) and side, in pixels, of the square that FFHQ shows of a face."""
    left_eye, right_eye, mouth = _eyes_and_mouth(landmarks)
    eyes = (left_eye + right_eye) / 2
    side = 2 * max(2.0 * math.dist(left_eye, right_eye), 1.8 * math.dist(mouth, eyes))
    return eyes + 0.1 * (mouth - eyes), side


def _with_border(image: Image.Image, corners: np.ndarray, side: float) -> tuple[Image.Image, np.ndarray]:
    """The part of a picture around a square of this side, continued where it leaves the picture; and its corners."""
    border = max(round(0.1 * side), 3)
    low, high = np.floor(corners.min(axis=0)).astype(int) - border, np.ceil(corners.max(axis=0)).astype(int) + border
    before, after = np.maximum(-low, 0), np.maximum(high - image.size, 0)
    low, high = np.maximum(low, 0), np.minimum(high, image.size)
    image, corners = image.crop((*low, *high)), corners - low
    if max(*before, *after) <= border - 4:
        return image, corners
    least = round(0.3 * side)
    before, after = np.maximum(before, least), np.maximum(after, least)
    padding = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    pixels = np.pad(np.asarray(image, dtype=np.float32), padding, mode="reflect")
    # 1 at the outer edge of the padding, 0 where it meets the picture, negative inside.
    rows, columns = (np.arange(length, dtype=np.float32) for length in pixels.shape[:2])
    inward_x = np.minimum(columns / before[0], columns[::-1] / after[0])
    inward_y = np.minimum(rows / before[1], rows[::-1] / after[1])
    mask = 1 - np.minimum(inward_x[None, :], inward_y[:, None])[..., None]
    blurred = gaussian_filter(pixels, (0.02 * side, 0.02 * side, 0))
    pixels += (blurred - pixels) * np.clip(3 * mask + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(mask, 0, 1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)), corners + before
