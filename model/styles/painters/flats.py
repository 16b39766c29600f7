"""Sharp shapes, flat colours and dots: what printed pictures are made of.

Shapes come from smooth values that are enlarged and then cut at a threshold, so they are as sharp at any size.
"""

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from model.styles.painters.subject import Subject

PALETTE_WEIGHTS = np.float32((0.7, 1, 1))  # of L, a, b: a colour in light and shade is one rather than two near hues
ROUNDS = 12  # of Lloyd's algorithm, by when palettes hardly change
SAMPLES = 40  # discs that a stroke of the pen is made of
LEAST_DOT = 0.01  # part of the area under which a dot is not printed


def crisp(values: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """1 where smooth values float32 `[H, W]` are above the threshold, with an edge of one pixel."""
    slope = np.hypot(cv2.Sobel(values, cv2.CV_32F, 1, 0), cv2.Sobel(values, cv2.CV_32F, 0, 1)) / 8
    return np.clip(0.5 + (values - threshold) / np.maximum(slope, 1e-4), 0, 1)


def over(below: np.ndarray, colour: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A picture `[H, W, 3]` under a colour, or another picture, that covers a share `[H, W]` of each pixel."""
    return below + share[..., None] * (colour - below)


def shape_of(subject: Subject, points: np.ndarray) -> np.ndarray:
    """Smooth values float32 `[H, W]` to cut at 0.5 for the shape within an outline `[N, 2]`."""
    mask = np.zeros(subject.rgb.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), max(0.015 * subject.eye_distance, 0.5))


def stroke(size: tuple[int, int], points: np.ndarray, width: float) -> np.ndarray:
    """Ink float32 `[H, W]` of a pointed stroke along points `[N, 2]`, so many pixels wide in the middle."""
    along = np.linspace(0, 1, SAMPLES)
    smooth = CubicSpline(np.linspace(0, 1, len(points)), points)(along)
    radii = width / 2 * (0.3 + 0.7 * np.sin(np.pi * along))
    ink = np.zeros(size, np.float32)
    low = np.maximum(np.floor(smooth.min(axis=0) - width - 1), 0).astype(int)
    high = np.minimum(np.ceil(smooth.max(axis=0) + width + 2), size[::-1]).astype(int)
    if (high > low).all():
        rows, columns = np.mgrid[low[1] : high[1], low[0] : high[0], :1][:2].astype(np.float32)
        away = np.hypot(columns - smooth[:, 0], rows - smooth[:, 1]) - radii
        ink[low[1] : high[1], low[0] : high[0]] = np.clip(0.5 - away.min(axis=-1), 0, 1)
    return ink


def distance_inwards(mask: np.ndarray, smallest: float, smoothness: float) -> np.ndarray:
    """Pixels to the outline of a mask `[H, W]` of bool, float32, positive inside. Islands and holes narrower than
    `smallest` pixels are left out."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(smallest / 2) + 1,) * 2)
    solid = cv2.morphologyEx(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    inward, outward = (cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (solid, 1 - solid))
    inward, outward = (
        np.minimum(side, sum(mask.shape)) for side in (inward, outward)
    )  # infinite where all is one side
    return cv2.GaussianBlur(inward - outward, (0, 0), smoothness)


def without_specks(values: np.ndarray, threshold: float, least: float) -> np.ndarray:
    """The values, with those shapes above the threshold lowered that are shorter than `least` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((values > threshold).astype(np.uint8), connectivity=8)
    short = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) < least
    short[0] = False  # the ground
    # Their surroundings, too, and smoothly: a step would swing above the threshold when it is enlarged.
    specks = cv2.dilate(short[labels].astype(np.float32), np.ones((5, 5), np.uint8))
    specks = np.minimum(2 * cv2.GaussianBlur(specks, (0, 0), 1.5), 1)
    low = np.minimum(values, threshold - 0.5 * abs(threshold) - 1)
    return (values + specks * (low - values)).astype(np.float32)


def dots(size: tuple[int, int], spacing: float, angle: float, amount: np.ndarray) -> np.ndarray:
    """Coverage float32 `[H, W]` by a screen of round dots, `spacing` pixels apart and turned by so many degrees, which
    cover `amount` of the area, 0 to 0.78."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    cos, sin = np.cos(np.radians(angle)) / spacing, np.sin(np.radians(angle)) / spacing
    u, v = columns * cos + rows * sin, rows * cos - columns * sin
    away = np.hypot(u - np.round(u), v - np.round(v))
    return np.clip(0.5 + (np.sqrt(amount / np.pi) - away) * spacing, 0, 1) * (amount > LEAST_DOT)


def palette_of(samples: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Means `[count, 3]` of groups of similar colours Lab `[N, 3]` (Lloyd 1982), begun far from one another."""
    points = samples * PALETTE_WEIGHTS
    means = points[rng.integers(len(points))][None]
    for _ in range(count - 1):
        farthest = ((points[:, None] - means) ** 2).sum(axis=-1).min(axis=1).argmax()
        means = np.concatenate([means, points[farthest][None]])
    for _ in range(ROUNDS):
        nearest = ((points[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
        groups = (points[nearest == index] for index in range(count))
        means = np.array([own.mean(axis=0) if len(own) else mean for own, mean in zip(groups, means, strict=True)])
    return (means / PALETTE_WEIGHTS).astype(np.float32)


def flat_areas(lab: np.ndarray, palette: np.ndarray, softness: float) -> np.ndarray:
    """Shares float32 `[H, W, N]` of the colours of a palette, each pixel with its nearest, the borders smoothed."""
    distances = [(((lab - colour) * PALETTE_WEIGHTS) ** 2).sum(axis=-1) for colour in palette]
    nearest = np.argmin(distances, axis=0)
    areas = [cv2.GaussianBlur((nearest == index).astype(np.float32), (0, 0), softness) for index in range(len(palette))]
    return np.stack(areas, axis=-1)


def filled(areas: np.ndarray, inks: np.ndarray) -> np.ndarray:
    """The colour RGB float32 `[H, W, 3]` of the largest share at each pixel; `inks` is `[N, 3]`."""
    picture, total = np.zeros((*areas.shape[:2], 3), np.float32), np.zeros(areas.shape[:2], np.float32)
    runners_up = np.partition(areas, -2, axis=-1)[..., -2:]
    for index, ink in enumerate(inks):
        own = areas[..., index]
        share = crisp(own - np.where(own >= runners_up[..., 1], runners_up[..., 0], runners_up[..., 1]))
        picture += share[..., None] * ink
        total += share
    return picture / np.maximum(total, 1e-3)[..., None]


def polar(light: float, hue: float, chroma: float) -> tuple[float, float, float]:
    """CIE Lab of a lightness, a hue in degrees and a chroma."""
    return float(np.clip(light, 5, 97)), chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
