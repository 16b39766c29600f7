"""Pictures as arrays: CIE Lab, filters, soft shapes and paint.

Pictures are float32 `[H, W]` or `[H, W, C]`, masks `[H, W]` in 0..1; points (x, y) and lengths are in pixels.
"""

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from model.common.tensors import pixel_grid

SUBPIXEL_BITS = 4  # fractional bits of the coordinates that fillPoly takes


def smoothstep(low: float, high: float, x: np.ndarray | float) -> np.ndarray | float:
    """0 at `low`, 1 at `high` (which may lie below `low`), smooth in between. A number gives a float."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    t = t * t * (3 - 2 * t)
    return t if isinstance(x, np.ndarray) else float(t)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """RGB uint8 `[H, W, 3]` → CIE Lab float32 `[H, W, 3]`, L in 0..100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; wide ones run on a reduced copy, which looks the same and takes a fraction of the time."""
    if sigma < 4:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape[:2]
    factor = 2 if sigma < 8 else 4
    small = cv2.resize(image, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (width, height))


def masked_blur(image: np.ndarray, mask: np.ndarray, sigma: float, floor: float = 1e-3) -> np.ndarray:
    """Blur `image` inside the soft `mask` only, so that nothing bleeds in from outside."""
    weight = (mask + floor).reshape(mask.shape + (1,) * (image.ndim - 2))
    return blur(image * weight, sigma) / blur(weight, sigma).reshape(weight.shape)


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided filter (He et al. 2010): `image [H, W, C]` smoothed with the edges of `guide [H, W]`."""

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT).reshape(x.shape)

    deep = guide[..., None]
    mean_guide, mean_image = mean(deep), mean(image)
    covariance = mean(deep * image) - mean_guide * mean_image
    slope = covariance / (mean(deep * deep) - mean_guide * mean_guide + epsilon)
    return mean(slope) * deep + mean(mean_image - slope * mean_guide)


def edge_flow(lightness: np.ndarray, sigma: float) -> np.ndarray:
    """Unit vectors (x, y) along the edges, `[H, W, 2]`: the minor axis of the smoothed structure tensor."""
    dx, dy = cv2.Scharr(lightness, cv2.CV_32F, 1, 0), cv2.Scharr(lightness, cv2.CV_32F, 0, 1)
    xx, xy, yy = (blur(product, sigma) for product in (dx * dx, dx * dy, dy * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def smooth_along(image: np.ndarray, flow: np.ndarray, steps: int, stride: float = 1.0) -> np.ndarray:
    """Line integral convolution of an image of at most 4 channels: a Gaussian of `steps` samples each way along the
    stream lines of `flow [H, W, 2]`."""
    total, weight_sum = image.astype(np.float32), 1.0
    for side in (1, -1):
        position, direction = pixel_grid(*flow.shape[:2]), flow * side
        for step in range(1, steps + 1):
            position += direction * stride
            weight = float(np.exp(-2 * (step / steps) ** 2))
            total += weight * cv2.remap(image, position, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            weight_sum += weight
            ahead = cv2.remap(flow, position, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            # The tensor gives an axis, not a direction: keep going the way we came.
            same = ahead[..., 0] * direction[..., 0] + ahead[..., 1] * direction[..., 1]
            direction = ahead * np.copysign(np.float32(1), same)[..., None]
    return total / weight_sum


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
    """Mask of a filled polygon; `softness` is the sigma of its edge."""
    fixed = np.round(np.asarray(points) * 2**SUBPIXEL_BITS).astype(np.int32)
    mask = cv2.fillPoly(np.zeros(shape[:2], np.uint8), [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    mask = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(mask, (0, 0), softness) if softness > 0 else mask


def stroke(shape: tuple[int, ...], line: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Mask of a tapered stroke along `line [N, 2]` with the full `width [N]` at each point."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    half = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * width[:, None] / 2
    return polygon(shape, np.vstack([line + half, (line - half)[::-1]]), 0.6)


def disk(shape: tuple[int, ...], centre: np.ndarray, radius_x: float, radius_y: float, edge: float) -> np.ndarray:
    """Mask of an ellipse whose edge fades over 2 * `edge`."""
    offset = (pixel_grid(*shape[:2]) - centre) / (radius_x, radius_y)
    softness = edge / max(radius_x, 1.0)
    return smoothstep(1 + softness, 1 - softness, np.hypot(offset[..., 0], offset[..., 1])).astype(np.float32)


def paint(lab: np.ndarray, mask: np.ndarray, colour, opacity: float = 1.0) -> None:
    """Lay `colour` (Lab triple or `[H, W, 3]`) over `lab` in place, where `mask` lets it through."""
    lab += (np.asarray(colour, np.float32) - lab) * (mask * np.float32(opacity))[..., None]
