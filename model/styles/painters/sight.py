"""How a painter looks at a photo: colours in CIE Lab, tones without fine texture, the person cut out, the way forms run.

Pictures here are float32 `[H, W, 3]` in Lab (L in 0..100) or single planes `[H, W]`; lengths are in pixels.
"""

import cv2
import numpy as np

from model.styles.painters.subject import BROWS, EYES, MOUTH, Subject

INNER_LIPS = slice(60, 68)
LIGHTEST = 0.985  # part of the picture's tones below what counts as its light
LEAST_LIGHT, MOST_GAIN = 88.0, 2.2  # lightness that a photo's lights have at least, and how far a dim one is raised to it
GREY = 4.0  # mean chroma below which a photo counts as grey
OUTLINE_EPSILON = 0.004  # of the guided filter that moves the matte to the photo's edges
SHOCKS, SHOCK_CONTRAST = 2, 6.0  # repetitions of the filter, and bend of an edge from which it works in full
FLOW_SCALES = (1.0, 4.0, 16.0)  # of the surroundings that tell the direction, each ten times weaker than the last


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
    factor = max(int(sigma / 4), 1)
    if factor == 1:
        return cv2.GaussianBlur(plane, (0, 0), sigma)
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (width, height), interpolation=cv2.INTER_LINEAR)


def guided(plane: np.ndarray, guide: np.ndarray, sigma: float, epsilon: float) -> np.ndarray:
    """`plane` smoothed except where `guide` has edges of more than the root of `epsilon` (guided filter, He et al. 2010,
    with Gaussian windows)."""
    mean, mean_guide = blur(plane, sigma), blur(guide, sigma)
    slope = (blur(plane * guide, sigma) - mean * mean_guide) / (blur(guide * guide, sigma) - mean_guide**2 + epsilon)
    return blur(slope, sigma) * guide + blur(mean - slope * mean_guide, sigma)


def without_texture(lab: np.ndarray, sigma: float, contrast: float) -> np.ndarray:
    """Lab without detail that is finer than `sigma` and weaker than `contrast` in L."""
    lightness = lab[..., 0]
    planes = [guided(np.ascontiguousarray(lab[..., i]), lightness, sigma, contrast**2) for i in range(3)]
    return np.dstack(planes)


def crisp(planes: np.ndarray, sigma: float, guide: np.ndarray, where: np.ndarray | float = 1.0) -> np.ndarray:
    """Planes `[H, W]` or `[H, W, C]` with edges that are blurred by up to `sigma` drawn together, as far as `where`
    `[H, W]` says (shock filter, Osher & Rudin 1990): either side of an edge of the guide grows towards it.

    guide: L `[H, W]`. The planes' edges must run the same way, as those of RGB do.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(round(0.5 * sigma), 1) + 1,) * 2)
    sigma, planes = max(sigma, 1.0), planes.copy()
    for _ in range(SHOCKS):
        bend = cv2.Laplacian(blur(guide, sigma), cv2.CV_32F, ksize=3)
        strength = np.clip(np.abs(bend) * sigma**2 / SHOCK_CONTRAST, 0, 1) * where
        both = [planes, guide]
        for number, plane in enumerate(both):
            as_wide = (bend[..., None], strength[..., None]) if plane.ndim == 3 else (bend, strength)
            grown = np.where(as_wide[0] < 0, cv2.dilate(plane, kernel), cv2.erode(plane, kernel))
            both[number] = plane + as_wide[1] * (grown - plane)
        planes, guide = both
    return planes


def crisp_lab(lab: np.ndarray, sigma: float, where: np.ndarray | float = 1.0) -> np.ndarray:
    """`crisp` for a picture in Lab."""
    rgb = crisp(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), sigma, np.ascontiguousarray(lab[..., 0]), where)
    return cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2LAB)


def cut_out(subject: Subject) -> np.ndarray:
    """The person's matte, moved to the edges in the photo and steeper, float32 `[H, W]` in [0, 1]."""
    guide = cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    matte = guided(subject.matte, guide, 0.06 * subject.eye_distance, OUTLINE_EPSILON)
    return np.clip(2.2 * (matte - 0.5) + 0.5, 0, 1)


def spread(lab: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Lab blurred within the mask `weight` `[H, W]`, and continued beyond it."""
    whole = np.average(lab.reshape(-1, 3), axis=0, weights=weight.ravel() + 1e-6).astype(np.float32)
    total = blur(weight, sigma)[..., None] + 1e-3
    return (blur(lab * weight[..., None], sigma) + 1e-3 * whole) / total


def clear_eyes(lab: np.ndarray, subject: Subject, strength: float) -> np.ndarray:
    """Lab with eyes as painters see them: more contrast between white, iris and pupil, and more colour."""
    if subject.landmarks is None:
        return lab
    result, unit = lab.copy(), subject.eye_distance
    for eye in EYES:
        corners = subject.landmarks[eye]
        mask = np.zeros(lab.shape[:2], np.float32)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 1.0)
        mask = blur(cv2.dilate(mask, np.ones((3, 3))), max(0.02 * unit, 0.7))
        middle = float(np.average(lab[..., 0], weights=mask + 1e-9))
        change = (0.6 * (lab[..., 0] - middle) + 4) * np.clip(lab[..., 0] / 20, 0, 1)
        result[..., 0] += strength * mask * change
        result[..., 1:] *= (1 + 0.4 * strength * mask)[..., None]
    return result


def quiet_teeth(lab: np.ndarray, subject: Subject, strength: float) -> np.ndarray:
    """Lab with teeth as one light shape: gaps and edges between them are hinted at."""
    if subject.landmarks is None:
        return lab
    unit, mask = subject.eye_distance, np.zeros(lab.shape[:2], np.float32)
    cv2.fillPoly(mask, [subject.landmarks[INNER_LIPS].astype(np.int32)], 1.0)
    together = blur(lab, 0.04 * unit)
    teeth = np.clip((together[..., 0] - 32) / 18, 0, 1) * np.clip((22 - together[..., 1]) / 10, 0, 1)
    mask = strength * blur(mask, max(0.012 * unit, 0.6)) * teeth
    return lab + mask[..., None] * ((together + np.float32((3, 0, -2))) - lab)


def zones(lab: np.ndarray, subject: Subject, strength: float) -> np.ndarray:
    """Lab with the three zones of colour in a face: golden forehead, ruddy cheeks and nose, cooler chin."""
    if subject.landmarks is None:
        return lab
    brows, mouth = subject.landmarks[BROWS].mean(axis=0), subject.landmarks[MOUTH].mean(axis=0)
    down = mouth - brows
    y, x = (np.arange(side, dtype=np.float32) for side in lab.shape[:2])
    height = ((x[None] - brows[0]) * down[0] + (y[:, None] - brows[1]) * down[1]) / float(down @ down)
    ruddy = np.exp(-(((height - 0.5) / 0.33) ** 2))
    chin, forehead = 1 / (1 + np.exp(-(height - 1.15) / 0.1)), 1 / (1 + np.exp((height + 0.15) / 0.1))
    shift = ruddy[..., None] * (5, 1) + chin[..., None] * (-1, -4) + forehead[..., None] * (-1, 3)
    result = lab.copy()
    room = np.clip(lab[..., 0] / 60, 0, 1.2) * np.clip((34 - lab[..., 1]) / 16, 0, 1)  # none on skin that is red
    result[..., 1:] += strength * (subject.face * room)[..., None] * shift
    return result


def exposed(lab: np.ndarray) -> np.ndarray:
    """A dim photo raised so that its lights are light; others as they are."""
    light = max(float(np.quantile(lab[::4, ::4, 0], LIGHTEST)), 1.0)
    gain = min(max(LEAST_LIGHT / light, 1.0), MOST_GAIN)
    return lab * np.float32(gain)


def is_grey(lab: np.ndarray) -> bool:
    """Whether a photo is black and white."""
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean()) < GREY


def contrasted(lightness: np.ndarray, weight: np.ndarray, scale: float, contrast: float, local: float) -> np.ndarray:
    """L with more contrast around the mean of the person (`weight` `[H, W]`), and of forms smaller than `scale`.

    The base that forms stand out from keeps its edges, so that there are no haloes along outlines.
    """
    base = guided(lightness, lightness, scale, 150.0)
    middle = float(np.average(lightness, weights=weight + 1e-6))
    local = local * (1 + np.clip((30 - base) / 30, 0, 1))  # darks have forms, too
    stretched = middle + contrast * (base - middle) + local * (lightness - base)
    return _shouldered(stretched)


def _shouldered(lightness: np.ndarray) -> np.ndarray:
    """L bent so that nothing is lost beyond black and white."""
    upper = np.where(lightness > 85, 85 + 13 * np.tanh((lightness - 85) / 13), lightness)
    return np.where(upper < 12, 12 + 9 * np.tanh((upper - 12) / 9), upper).astype(np.float32)


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
    return np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def noise(shape: tuple[int, int], scale: float, rng: np.random.Generator, octaves: int = 3) -> np.ndarray:
    """Clouds float32 `[H, W]` of mean 0 and deviation 1, whose largest are about `scale` wide."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(scale / 2**octave, 1.0)
        grid = rng.standard_normal([int(side / cell) + 4 for side in shape]).astype(np.float32)
        size = [max(round(cells * cell), side) for cells, side in zip(grid.shape, shape, strict=True)]
        field = cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]
        total += 0.55**octave * field
    return (total - total.mean()) / (total.std() + 1e-6)
