"""Measures taken from facial landmarks: float32 `[68, 2]` in the usual 68-point order, (x, y) in pixels."""

import math

import numpy as np

from model.common.errors import InputError

MIN_EYE_DISTANCE = 1.0  # pixels; eyes closer together than this are no face to scale or align by
LEFT_EYE, RIGHT_EYE, MOUTH_CORNERS = slice(36, 42), slice(42, 48), [48, 54]


def _eyes_and_mouth(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = np.asarray(landmarks, np.float64)
    return points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0), points[MOUTH_CORNERS].mean(0)


def eye_centres(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of the eyes on the left and on the right of an upright face, float64 `[2]` each: means of six landmarks.

    Raises InputError if they coincide.
    """
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
