"""Filters that follow a picture's own directions: smoothing along its edges, and lines drawn along them.

The direction is the minor eigenvector of the smoothed structure tensor (Kyprianidis & Kang 2011), the lines are the
flow-based difference of Gaussians (Kang et al. 2007) with the soft threshold of XDoG (Winnemoeller 2012).
"""

import cv2
import numpy as np
from numba import njit

from model.styles.painters.likeness import blurred

SAMPLES = 3.0  # per standard deviation along a stream: closer ones look the same
TAIL = 2.4  # standard deviations at which a filter is cut off
SHARE = 0.97  # of the wider Gaussian that is taken off the narrow one: below 1, dark areas draw lines more easily

FAINTEST = 0.25  # lightness of a difference between strands that does not count


def directions(lightness: np.ndarray, sigma: float, noise: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 `[H, W, 2]` (x, y) along the edges of float32 `[H, W]`, smoothed over `sigma` pixels, and
    how much they agree, float32 `[H, W]` in [0, 1]; edges much weaker than the square root of `noise` do not count."""
    across, down = cv2.Scharr(lightness, cv2.CV_32F, 1, 0) / 32, cv2.Scharr(lightness, cv2.CV_32F, 0, 1) / 32
    xx, xy, yy = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (across**2, across * down, down**2))
    spread = np.hypot(xx - yy, 2 * xy)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32), spread / (xx + yy + noise)


def blended(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Directions `[H, W, 2]` between two fields of them, of which (1, 0) and (-1, 0) are the same; weight 1: the
    second."""
    a, b = (2 * np.arctan2(field[..., 1], field[..., 0]) for field in (first, second))
    angle = np.arctan2((1 - weight) * np.sin(a) + weight * np.sin(b), (1 - weight) * np.cos(a) + weight * np.cos(b)) / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def smoothed_along(values: np.ndarray, field: np.ndarray, sigma: float) -> np.ndarray:
    """float32 `[H, W]` or `[H, W, C]`, averaged along the directions with a Gaussian of `sigma` pixels."""
    layers = np.ascontiguousarray(values.reshape(*values.shape[:2], -1), dtype=np.float32)
    stride = max(sigma / SAMPLES, 1.0)
    return _along(layers, field, _gaussian(sigma / stride), stride).reshape(values.shape)


def ink_lines(lightness: np.ndarray, field: np.ndarray, width: float, length: float) -> np.ndarray:
    """How dark a line is to be drawn at each pixel, float32 `[H, W]`: positive on lines, in units of lightness. `width`
    is the standard deviation in pixels across the line, `length` the one along it."""
    narrow, wide = _gaussian(width), _gaussian(1.6 * width)
    size = max(len(narrow), len(wide))
    kernel = SHARE * _padded(wide, size) - _padded(narrow, size)
    return smoothed_along(_across(np.ascontiguousarray(lightness, dtype=np.float32), field, kernel), field, length)


def strands(lightness: np.ndarray, field: np.ndarray, width: float, length: float, around: float) -> np.ndarray:
    """Strands of hair, float32 `[H, W]` in [-1, 1]: positive where they are lighter than those beside them, however
    dark the hair is. `around` is the distance in pixels over which strength is compared."""
    found = -ink_lines(lightness, field, width, length) - (1 - SHARE) * lightness
    usual = np.sqrt(np.maximum(blurred(found**2, around), 0)) + FAINTEST
    return np.clip(found / usual, -1, 1)


def _gaussian(sigma: float) -> np.ndarray:
    """One half of a Gaussian kernel and its middle, float32; the whole of it sums to 1."""
    reach = max(int(np.ceil(TAIL * sigma)), 1)
    half = np.exp(-0.5 * (np.arange(reach + 1) / max(sigma, 1e-3)) ** 2)
    return (half / (2 * half.sum() - 1)).astype(np.float32)


def _padded(half: np.ndarray, size: int) -> np.ndarray:
    return np.pad(half, (0, size - len(half)))


@njit(cache=True, nogil=True)
def _along(values, field, half, stride):
    """Each pixel's streamline is followed both ways, `stride` pixels at a time; it ends at the border."""
    height, width, layers = values.shape
    out = np.empty_like(values)
    total = np.empty(layers, np.float32)
    for row in range(height):
        for column in range(width):
            for layer in range(layers):
                total[layer] = values[row, column, layer] * half[0]
            weight = half[0]
            for way in (-1.0, 1.0):
                x, y = float(column), float(row)
                dx, dy = way * field[row, column, 0], way * field[row, column, 1]
                for step in range(1, half.size):
                    x += stride * dx
                    y += stride * dy
                    i, j = int(y + 0.5), int(x + 0.5)
                    if i < 0 or j < 0 or i >= height or j >= width:
                        break
                    for layer in range(layers):
                        total[layer] += values[i, j, layer] * half[step]
                    weight += half[step]
                    nx, ny = field[i, j, 0], field[i, j, 1]
                    if nx * dx + ny * dy < 0:
                        nx, ny = -nx, -ny
                    dx, dy = nx, ny
            for layer in range(layers):
                out[row, column, layer] = total[layer] / weight
    return out


@njit(cache=True, nogil=True)
def _across(values, field, half):
    """A straight filter at right angles to the direction, with values between pixels."""
    height, width = values.shape
    out = np.empty_like(values)
    for row in range(height):
        for column in range(width):
            total = values[row, column] * half[0]
            dx, dy = -field[row, column, 1], field[row, column, 0]
            for step in range(1, half.size):
                for way in (-1, 1):
                    x = min(max(column + way * step * dx, 0.0), width - 1.001)
                    y = min(max(row + way * step * dy, 0.0), height - 1.001)
                    i, j = int(y), int(x)
                    u, v = x - j, y - i
                    top = values[i, j] * (1 - u) + values[i, j + 1] * u
                    low = values[i + 1, j] * (1 - u) + values[i + 1, j + 1] * u
                    total += half[step] * (top * (1 - v) + low * v)
            out[row, column] = total
    return out
