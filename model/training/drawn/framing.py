"""Framing a photo as a square portrait with level eyes, with a little variety."""

import cv2
import numpy as np

from model.faces.landmarks import eye_centres
from model.training.drawn.geometry import MOUTH

# In profile the eyes come close; the distance from eyes to mouth, nearly as long on a frontal face, bounds the scale.
PROFILE_RATIO = 0.95
# Eyes this far apart, as a fraction of the side; the smallest that keeps the square inside the photo is taken, because
# what a border mirrors (ears, chins) would be drawn and learnt.
EYE_FRACTIONS = np.arange(0.16, 0.34, 0.01)
FRAMING_TRIES = 6
MAX_OVERRUN = 0.015
CENTRE, CENTRE_JITTER = (0.5, 0.47), (0.06, 0.05)
ZOOM_JITTER = 1.12
ANGLE_JITTER = 0.05  # radians, standard deviation

# Where each landmark goes when left and right change places: jaw, brows, nose, eyes, lips.
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


def alignment(
    landmarks: np.ndarray, size: int, eye_fraction: float, centre: tuple[float, float] = CENTRE, angle: float = 0.0
) -> np.ndarray:
    """Similarity `[2, 3]` that levels the eyes (then turns by `angle` radians), puts them `eye_fraction * size` apart
    and their middle at `centre * size`."""
    left, right = eye_centres(landmarks)
    middle, across = (left + right) / 2, right - left
    distance = max(np.linalg.norm(across), PROFILE_RATIO * np.linalg.norm(landmarks[MOUTH].mean(0) - middle))
    scale, turn = size * eye_fraction / distance, angle - np.arctan2(across[1], across[0])
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    matrix[:, 2] = size * np.asarray(centre) - matrix[:, :2] @ middle
    return matrix


def overrun(matrix: np.ndarray, shape: tuple[int, ...], size: int) -> float:
    """How far the aligned square sticks out of a photo of `shape`, as a fraction of the square's side; 0 if inside."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse[:, :2].T + inverse[:, 2]
    side = size * np.sqrt(abs(np.linalg.det(inverse[:, :2])))
    return float(max(0.0, -corners.min(), (corners - (shape[1], shape[0])).max()) / side)


def align_portrait(
    rgb: np.ndarray,
    landmarks: np.ndarray,
    size: int = 512,
    eye_fraction: float = 0.27,
    centre: tuple[float, float] = CENTRE,
    angle: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn, scale and crop a photo `[H, W, 3]` uint8 to a square portrait with level eyes, see `alignment`.

    Returns the portrait `[size, size, 3]` uint8 and its landmarks `[68, 2]` float32. What lies beyond the photo is
    mirrored; `eye_fraction` of at least 0.27 keeps FFHQ-framed photos from growing a second ear there.
    """
    matrix = alignment(landmarks, size, eye_fraction, centre, angle)
    aligned = landmarks @ matrix[:, :2].T + matrix[:, 2]
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.5:  # shrink by areas first: the cubic kernel alone would alias
        rgb = cv2.resize(rgb, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= 2 * scale
    portrait = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return portrait, aligned.astype(np.float32)


def frame_portrait(
    rgb: np.ndarray, landmarks: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Align with a little variety; returns the portrait `[size, size, 3]` and its landmarks `[68, 2]`.

    Of a few random places and tilts, the one that shows most without leaving the photo, zoomed in a little.
    """
    framings = []
    for _ in range(FRAMING_TRIES):
        centre = tuple(np.asarray(CENTRE) + rng.uniform(-1, 1, 2) * CENTRE_JITTER)
        angle = rng.normal(0, ANGLE_JITTER)
        fits = (
            fraction
            for fraction in EYE_FRACTIONS
            if overrun(alignment(landmarks, size, fraction, centre, angle), rgb.shape, size) <= MAX_OVERRUN
        )
        framings.append((float(next(fits, EYE_FRACTIONS[-1])), centre, angle))
    fraction, centre, angle = min(framings)
    return align_portrait(rgb, landmarks, size, fraction * rng.uniform(1, ZOOM_JITTER), centre, angle)


def mirror(rgb: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Swap left and right of a portrait and of its landmarks, which keep their meaning."""
    flipped = landmarks[MIRRORED] * np.float32([-1, 1]) + np.float32([rgb.shape[1] - 1, 0])
    return np.ascontiguousarray(rgb[:, ::-1]), flipped
