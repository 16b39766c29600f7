"""CIE Lab; edge-preserving and flow-guided filters on float32 images `[H, W]` or `[H, W, C]`, lengths in pixels."""

import cv2
import numpy as np

from model.common.tensors import pixel_grid


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
    """Blur `image` inside the soft `mask [H, W]` only, so that nothing bleeds in from outside."""
    weight = (mask + floor).reshape(mask.shape + (1,) * (image.ndim - 2))
    return blur(image * weight, sigma) / blur(weight, sigma).reshape(weight.shape)


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided filter (He et al. 2010): `image [H, W, C]` smoothed with the edges of `guide [H, W]`."""

    def mean(x: np.ndarray) -> np.ndarray:
        size = (2 * radius + 1, 2 * radius + 1)
        return cv2.blur(x, size, borderType=cv2.BORDER_REFLECT).reshape(x.shape)

    deep = guide[..., None]
    mean_guide, mean_image = mean(deep), mean(image)
    covariance = mean(deep * image) - mean_guide * mean_image
    slope = covariance / (mean(deep * deep) - mean_guide * mean_guide + epsilon)
    return mean(slope) * deep + mean(mean_image - slope * mean_guide)


def rolling_guidance(lab: np.ndarray, sigma: float, radius: int, epsilon: float, rounds: int = 3) -> np.ndarray:
    """Rolling guidance (Zhang et al. 2014): texture finer than `sigma` vanishes, larger edges come back sharp."""
    result = cv2.GaussianBlur(lab, (0, 0), sigma)
    for _ in range(rounds):
        result = guided_filter(result[..., 0], lab, radius, epsilon)
    return result


def edge_flow(lightness: np.ndarray, sigma: float) -> np.ndarray:
    """Unit vectors (x, y) along the edges, `[H, W, 2]`: the minor axis of the smoothed structure tensor."""
    dx, dy = cv2.Scharr(lightness, cv2.CV_32F, 1, 0), cv2.Scharr(lightness, cv2.CV_32F, 0, 1)
    xx, xy, yy = (blur(product, sigma) for product in (dx * dx, dx * dy, dy * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def smooth_along(image: np.ndarray, flow: np.ndarray, steps: int, stride: float = 1.0) -> np.ndarray:
    """Line integral convolution: a Gaussian of `steps` samples each way along the stream lines of `flow [H, W, 2]`.

    `image` has at most 4 channels.
    """
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


def brush_strokes(lab: np.ndarray, flow: np.ndarray, length: float, width: float) -> np.ndarray:
    """Anisotropic Kuwahara filter (Kyprianidis et al. 2009) made of shifted Gaussians.

    Each pixel of `lab [H, W, 3]` takes the colour of the calmest of eight patches around it, which lie `length` away
    along `flow [H, W, 2]` and `width` across it.
    """
    sigma = 0.6 * width
    mean = blur(lab, sigma)
    variance = np.maximum(blur(lab[..., 0] ** 2, sigma) - mean[..., 0] ** 2, 0)
    patches, grid = np.dstack([mean, variance]), pixel_grid(*lab.shape[:2])
    across = flow[..., ::-1] * np.float32([-1, 1])
    total, weight_sum = np.zeros_like(lab), np.zeros_like(lab[..., :1])
    for angle in np.arange(8) * np.pi / 4:
        place = grid + np.float32(np.cos(angle) * length) * flow + np.float32(np.sin(angle) * width) * across
        patch = cv2.remap(patches, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        weight = 1 / (0.5 + patch[..., 3:]) ** 3
        total += weight * patch[..., :3]
        weight_sum += weight
    return total / weight_sum
