"""How painters look: colours in CIE Lab, tones without fine texture, clear edges, the way forms run, clouds of chance.

Pictures here are float32 `[H, W, 3]` in Lab (L in 0..100), planes are float32 `[H, W]`, lengths are in pixels.
"""

import cv2
import numpy as np

OUTLINE_REACH, OUTLINE_EDGE = 0.06, 0.063  # of `cut_out`, in eye distances and in brightness from 0 to 1
OUTLINE_SLOPE = 2.2  # how much steeper the matte becomes
BASE_EDGE = 12.0  # L from which an edge stays in the base that `contrasted` raises forms from
DARK = 30.0  # L below which forms are raised more, up to twice as much
SHOCKS, SHOCK_CONTRAST = 2, 6.0  # repetitions of the shock filter, and the bend in L at which it works in full
FLOW_SCALES = (1.0, 4.0, 16.0)  # of the surroundings that tell a direction; each counts a tenth of the one before


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """RGB uint8 to Lab."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """Lab to RGB uint8."""
    return np.round(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB).clip(0, 1) * 255).astype(np.uint8)


def blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; broad ones are computed in a smaller copy, which nobody can tell."""
    if sigma < 0.3:
        return plane
    factor = max(int(sigma / 3), 1)
    if factor == 1:
        return cv2.GaussianBlur(plane, (0, 0), sigma)
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (width, height), interpolation=cv2.INTER_LINEAR)


def guided(plane: np.ndarray, guide: np.ndarray, sigma: float, edge: float) -> np.ndarray:
    """`plane` smoothed except where `guide` has edges of more than `edge` (guided filter, He et al. 2010, with Gaussian
    windows)."""
    mean, mean_guide = blur(plane, sigma), blur(guide, sigma)
    slope = (blur(plane * guide, sigma) - mean * mean_guide) / (blur(guide * guide, sigma) - mean_guide**2 + edge**2)
    return blur(slope, sigma) * guide + blur(mean - slope * mean_guide, sigma)


def without_texture(lab: np.ndarray, sigma: float, contrast: float) -> np.ndarray:
    """Lab without detail that is finer than `sigma` and weaker than `contrast` in L."""
    planes = [np.ascontiguousarray(lab[..., channel]) for channel in range(3)]
    return np.dstack([guided(plane, planes[0], sigma, contrast) for plane in planes])


def crisp(planes: np.ndarray, sigma: float, guide: np.ndarray, where: np.ndarray | float = 1.0) -> np.ndarray:
    """`planes` `[H, W]` or `[H, W, C]` with edges that are blurred by up to `sigma` drawn together, as far as `where`
    in [0, 1] says (shock filter, Osher & Rudin 1990): either side of an edge grows towards it.

    guide: L, which tells the sides. The planes must be light where it is, as those of RGB are.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(round(0.5 * sigma), 1) + 1,) * 2)
    sigma = max(sigma, 1.0)
    for _ in range(SHOCKS):
        bend = cv2.Laplacian(blur(guide, sigma), cv2.CV_32F, ksize=3)
        strength = np.clip(np.abs(bend) * sigma**2 / SHOCK_CONTRAST, 0, 1) * where
        planes, guide = (_shocked(plane, kernel, bend, strength) for plane in (planes, guide))
    return planes


def crisp_lab(lab: np.ndarray, sigma: float, where: np.ndarray | float = 1.0) -> np.ndarray:
    """`crisp` for a picture in Lab."""
    rgb = crisp(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), sigma, np.ascontiguousarray(lab[..., 0]), where)
    return cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2LAB)


def cut_out(rgb: np.ndarray, matte: np.ndarray, eye_distance: float) -> np.ndarray:
    """The person's matte, moved to the edges in the photo and made steeper, in [0, 1]."""
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    moved = guided(matte, guide, OUTLINE_REACH * eye_distance, OUTLINE_EDGE)
    return np.clip(OUTLINE_SLOPE * (moved - 0.5) + 0.5, 0, 1)


def spread(lab: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Lab blurred within the mask `weight`, and continued beyond it."""
    whole = np.average(lab.reshape(-1, 3), axis=0, weights=weight.ravel() + 1e-6).astype(np.float32)
    total = blur(weight, sigma)[..., None] + 1e-3
    return (blur(lab * weight[..., None], sigma) + 1e-3 * whole) / total


def contrasted(lightness: np.ndarray, middle: float, scale: float, contrast: float, local: float) -> np.ndarray:
    """L with `contrast` times the contrast around `middle`, and `local` times that of forms smaller than `scale`.

    The base that forms stand out from keeps its edges, so that there are no haloes along outlines.
    """
    base = guided(lightness, lightness, scale, BASE_EDGE)
    local = local * (1 + np.clip((DARK - base) / DARK, 0, 1))
    stretched = middle + contrast * (base - middle) + local * (lightness - base)
    lights = np.where(stretched > 85, 85 + 13 * np.tanh((stretched - 85) / 13), stretched)  # nothing is burnt out
    return np.where(lights < 12, 12 + 9 * np.tanh((lights - 12) / 9), lights).astype(np.float32)


def flow(lightness: np.ndarray, sigma: float) -> np.ndarray:
    """Unit vectors float32 `[H, W, 2]` (x, y) along the forms, from the structure tensor (Kyprianidis & Kang 2011).

    Where nothing is to be seen near by, within `sigma`, they continue those of wider surroundings.
    """
    smooth = blur(lightness, max(0.25 * sigma, 1.0))
    dx, dy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    products, total = np.dstack([dx * dx, dx * dy, dy * dy]), 0.0
    for number, scale in enumerate(FLOW_SCALES):
        total = total + 0.1**number * blur(products, scale * sigma)
    angle = 0.5 * np.arctan2(2 * total[..., 1], total[..., 0] - total[..., 2]) + np.float32(np.pi / 2)
    return np.dstack(cv2.polarToCart(None, angle))


def noise(shape: tuple[int, int], scale: float, rng: np.random.Generator, octaves: int = 3) -> np.ndarray:
    """Clouds of mean 0 and deviation 1, the largest of which are about `scale` wide, the smallest 2^(1 - octaves) of
    that."""
    factor = max(int(scale / 2 ** (octaves + 1)), 1)  # the smallest are still four pixels wide in a copy so reduced
    height, width = (-(-side // factor) for side in shape)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cell = max(scale / factor / 2**octave, 1.0)
        grid = rng.standard_normal((int(height / cell) + 4, int(width / cell) + 4), np.float32)
        size = [max(round(cells * cell), side) for cells, side in zip(grid.shape, (height, width), strict=True)]
        total += 0.55**octave * cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)[:height, :width]
    total = (total - total.mean()) / (total.std() + 1e-6)
    return cv2.resize(total, shape[::-1], interpolation=cv2.INTER_CUBIC) if factor > 1 else total


def logistic(values: np.ndarray) -> np.ndarray:
    """From 0 far below zero to 1 far above."""
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def _shocked(plane: np.ndarray, kernel: np.ndarray, bend: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """One step of the shock filter: what is convex shrinks, what is concave grows."""
    if plane.ndim == 3:
        bend, strength = bend[..., None], strength[..., None]
    grown = np.where(bend < 0, cv2.dilate(plane, kernel), cv2.erode(plane, kernel))
    return plane + strength * (grown - plane)
