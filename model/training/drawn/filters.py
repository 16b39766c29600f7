"""Edge-preserving and flow-guided filters on float32 images [H, W] or [H, W, C]."""

import cv2
import numpy as np

Flow = tuple[np.ndarray, np.ndarray]


def smoothstep(low: float, high: float, x: np.ndarray | float) -> np.ndarray:
    """0 at `low`, 1 at `high` (which may lie below `low`), smooth in between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; wide ones run on a reduced copy, which looks the same and takes a fraction of the time."""
    if sigma < 4:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape[:2]
    factor = 2 if sigma < 8 else 4
    small = cv2.resize(image, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def masked_blur(image: np.ndarray, mask: np.ndarray, sigma: float, floor: float = 1e-3) -> np.ndarray:
    """Blur `image` [H, W(, C)] inside the soft `mask` [H, W] only, so that nothing bleeds in from outside."""
    weight = mask + floor
    spread = weight if image.ndim == 2 else weight[..., None]
    total = blur(weight, sigma)
    return blur(image * spread, sigma) / (total if image.ndim == 2 else total[..., None])


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided filter (He et al. 2010): `image` [H, W, C] smoothed with the edges of `guide` [H, W]."""
    def mean(x: np.ndarray) -> np.ndarray:
        size = (2 * radius + 1, 2 * radius + 1)
        return cv2.blur(x.squeeze(), size, borderType=cv2.BORDER_REFLECT).reshape(x.shape)

    deep = guide[..., None]
    mean_guide, mean_image = mean(guide), mean(image)
    covariance = mean(deep * image) - mean_guide[..., None] * mean_image
    variance = mean(guide * guide) - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)[..., None]
    return mean(slope) * deep + mean(mean_image - slope * mean_guide[..., None])


def rolling_guidance(lab: np.ndarray, sigma: float, radius: int, epsilon: float, rounds: int = 3) -> np.ndarray:
    """Rolling guidance (Zhang et al. 2014): texture finer than `sigma` px goes, larger edges come back sharp."""
    result = cv2.GaussianBlur(lab, (0, 0), sigma)
    for _ in range(rounds):
        result = guided_filter(np.ascontiguousarray(result[..., 0]), lab, radius, epsilon)
    return result


def bilateral(lab: np.ndarray, range_sigma: float, space_sigma: float, rounds: int = 2) -> np.ndarray:
    for _ in range(rounds):
        lab = cv2.bilateralFilter(lab, 9, range_sigma, space_sigma)
    return lab


def edge_flow(lightness: np.ndarray, sigma: float) -> Flow:
    """Unit vectors (x, y), each [H, W], along the edges: the minor axis of the smoothed structure tensor."""
    dx, dy = cv2.Scharr(lightness, cv2.CV_32F, 1, 0), cv2.Scharr(lightness, cv2.CV_32F, 0, 1)
    xx, xy, yy = (blur(product, sigma) for product in (dx * dx, dx * dy, dy * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def smooth_along(image: np.ndarray, flow: Flow, steps: int, stride: float = 1.0) -> np.ndarray:
    """Line integral convolution: a Gaussian of `steps` samples each way along the stream lines of `flow`.

    `image` [H, W] or [H, W, C <= 4].
    """
    field = np.dstack(flow)
    height, width = field.shape[:2]
    start = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    total, weight_sum = image.astype(np.float32).copy(), 1.0
    for side in (1, -1):
        position, direction = start.copy(), field * side
        for step in range(1, steps + 1):
            position += direction * stride
            weight = float(np.exp(-2 * (step / steps) ** 2))
            total += weight * cv2.remap(image, position, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            weight_sum += weight
            ahead = cv2.remap(field, position, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            # The tensor gives an axis, not a direction: keep going the way we came.
            same = ahead[..., 0] * direction[..., 0] + ahead[..., 1] * direction[..., 1]
            direction = ahead * np.copysign(np.float32(1), same)[..., None]
    return total / weight_sum


def brush_strokes(lab: np.ndarray, flow: Flow, length: float, width: float) -> np.ndarray:
    """Anisotropic Kuwahara filter (Kyprianidis et al. 2009) from shifted Gaussians: each pixel of `lab` [H, W, 3] takes
    the colour of the calmest of eight patches around it, `length` px away along `flow` and `width` px across."""
    sigma = 0.6 * width
    mean = blur(lab, sigma)
    variance = np.maximum(blur(lab[..., 0] ** 2, sigma) - mean[..., 0] ** 2, 0)
    patches = np.dstack([mean, variance])
    along = np.dstack(flow)
    across = along[..., ::-1] * np.float32([-1, 1])
    height, width_px = lab.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width_px), np.arange(height)), -1).astype(np.float32)
    total, weight_sum = np.zeros_like(lab), np.zeros_like(lab[..., :1])
    for angle in np.arange(8) * np.pi / 4:
        place = grid + np.float32(np.cos(angle) * length) * along + np.float32(np.sin(angle) * width) * across
        patch = cv2.remap(patches, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        weight = 1 / (0.5 + patch[..., 3:]) ** 3
        total += weight * patch[..., :3]
        weight_sum += weight
    return total / weight_sum
