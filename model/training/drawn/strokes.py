"""Antialiased shapes as soft masks `[H, W]` in 0..1, and laying colour through a mask. Lengths are in pixels."""

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from model.common.tensors import pixel_grid
from model.training.drawn.filters import smoothstep

SUBPIXEL_BITS = 4  # fractional bits of the coordinates that fillPoly takes


def curve(points: np.ndarray, per_segment: int = 8, closed: bool = False) -> np.ndarray:
    """Smooth curve `[N, 2]` through `points [K, 2]`: a cubic spline in centripetal parameters, which does not
    overshoot where points lie close together (Lee 1989)."""
    knots = np.vstack([points, points[:1]]) if closed else np.asarray(points)
    steps = np.sqrt(np.linalg.norm(np.diff(knots, axis=0), axis=1)) + 1e-3
    times = np.concatenate([[0.0], np.cumsum(steps)])
    spline = CubicSpline(times, knots, bc_type="periodic" if closed else "natural")
    index = np.linspace(0, len(knots) - 1, (len(knots) - 1) * per_segment + 1)
    samples = np.interp(index, np.arange(len(knots)), times)
    return spline(samples[:-1] if closed else samples).astype(np.float32)


def polygon(shape: tuple[int, ...], points: np.ndarray, softness: float = 0.8) -> np.ndarray:
    """Filled polygon; `softness` is the sigma of its edge."""
    mask = np.zeros(shape[:2], np.uint8)
    fixed = np.round(np.asarray(points) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    soft = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(soft, (0, 0), softness) if softness > 0 else soft


def stroke(shape: tuple[int, ...], line: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Tapered stroke along `line [N, 2]` with the full `width [N]` at each point."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    half = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * width[:, None] / 2
    return polygon(shape, np.vstack([line + half, (line - half)[::-1]]), 0.6)


def disk(shape: tuple[int, ...], centre: np.ndarray, radius_x: float, radius_y: float, edge: float) -> np.ndarray:
    """Ellipse whose edge fades over 2 * `edge`."""
    offset = (pixel_grid(*shape[:2]) - centre) / (radius_x, radius_y)
    softness = edge / max(radius_x, 1.0)
    return smoothstep(1 + softness, 1 - softness, np.hypot(offset[..., 0], offset[..., 1])).astype(np.float32)


def gaussian_spot(shape: tuple[int, ...], centre: np.ndarray, sigma_x: float, sigma_y: float) -> np.ndarray:
    """Gaussian bump of height 1, axis-aligned."""
    x = np.exp(-0.5 * ((np.arange(shape[1]) - centre[0]) / sigma_x) ** 2)
    y = np.exp(-0.5 * ((np.arange(shape[0]) - centre[1]) / sigma_y) ** 2)
    return np.outer(y, x).astype(np.float32)


def paint(lab: np.ndarray, mask: np.ndarray, colour, opacity: float = 1.0) -> None:
    """Lay `colour` (Lab triple or `[H, W, 3]`) over `lab` in place, where `mask` lets it through."""
    lab += (np.asarray(colour, np.float32) - lab) * (mask * np.float32(opacity))[..., None]
