"""Training pairs from a photo: framed with a little variety, drawn at degree 1 and at one degree in between."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.training.drawn.geometry import align_portrait, alignment, overrun
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.styles import DrawnStyle
from model.training.drawn.teacher import draw_full

PARTIAL_DEGREES = (0.1, 0.9)
"""Range of the degree in between: closer to 0 or 1 it would tell nothing new."""

# Framing: eyes this far apart, as a fraction of the side; the smallest that keeps the square inside the photo is
# taken, because what a border mirrors (ears, chins) would be drawn and learnt.
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


@dataclass(frozen=True)
class DrawnPair:
    """Pictures are RGB uint8 `[S, S, 3]`, landmarks float32 `[68, 2]` as (x, y) in pixels."""

    photo: np.ndarray
    full: np.ndarray
    partial: np.ndarray
    degree: float  # of `partial`
    landmarks: np.ndarray  # in the photo
    landmarks_full: np.ndarray  # in the full drawing; in the partial one they are `degree` of the way there


def draw_pairs(
    rgb: np.ndarray,
    landmarks: np.ndarray,
    styles: Sequence[DrawnStyle],
    size: int,
    rng: np.random.Generator,
    mirrored: bool = False,
) -> list[DrawnPair]:
    """Frame, mirror if asked, and draw a photo `[H, W, 3]` with the face at `landmarks [68, 2]`; side `size`.

    One pair in each style: all show the same framing, at partial degrees of their own.
    """
    photo, aligned = frame_portrait(rgb, landmarks, size, rng)
    if mirrored:
        photo, aligned = mirror(photo, aligned)
    parsing = parse_portrait(photo, aligned)
    pairs = []
    for style in styles:
        drawing = draw_full(photo, style, parsing)
        degree = round(float(rng.uniform(*PARTIAL_DEGREES)), 4)
        partial = drawing.at_degree(degree)
        pairs.append(DrawnPair(photo, drawing.full, partial, degree, aligned, drawing.landmarks_at(1.0)))
    return pairs


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
