"""Water and pigment on paper. Pigment is float32 density per colour channel: paper shows through as exp(-density).

Masks of washes are float32 `[H, W]` in [0, 1], lengths are in pixels.
"""

import cv2
import numpy as np

from model.styles.painters.sight import blur, noise

LOBES = 0.3  # by how much the rim of a bloom departs from a circle, as a part of its radius


def grain(shape: tuple[int, int], size: float, rng: np.random.Generator) -> np.ndarray:
    """Height of cold-pressed paper, mean 0, deviation 1; its bumps are about `size` wide."""
    bumps = blur(rng.standard_normal(shape).astype(np.float32), max(0.35 * size, 0.6))
    return bumps / bumps.std()


def sweeps(shape: tuple[int, int], size: float, rng: np.random.Generator) -> np.ndarray:
    """Long slanting shapes as of a broad brush, float32 `[H, W]` of mean 0 and deviation 1; `size` is their length."""
    side = int(np.hypot(*shape)) + 4
    clouds = noise((side, side), 0.3 * size, rng, octaves=3)
    slant = rng.uniform(25, 50)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), slant, 1.0)
    turn[0, :] = (turn[0] - (0, 0, side / 2)) * 0.3 + (0, 0, side / 2)
    turn[:, 2] -= turn[:, :2] @ ((side - shape[1]) / 2, (side - shape[0]) / 2) - (turn[:, :2] @ (side - shape[1], side - shape[0]))
    swept = cv2.warpAffine(clouds, turn, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT)
    return (swept - swept.mean()) / (swept.std() + 1e-6)


def wet_edge(mask: np.ndarray, width: float, strength: float) -> np.ndarray:
    """A wash with the pigment that drying water carries to its edge: `mask` with a dark rim inside, and a paler band."""
    rim = mask - blur(mask, width)
    band = mask - blur(mask, 5 * width)
    return mask * (1 + strength * (1.6 * rim + 0.6 * band - 0.12))


def blooms(shape: tuple[int, int], count: int, radii: tuple[float, float], room: np.ndarray, rng) -> np.ndarray:
    """Backruns, where a drop of water pushed pigment away: factors of density float32 `[H, W]` around 1.

    room: where they may be, float32 `[H, W]` in [0, 1].
    """
    factor = np.ones(shape, np.float32)
    lobes = noise(shape, 0.5 * radii[1], rng, octaves=4)
    for _ in range(count):
        x, y, radius = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(*radii)
        dx, dy = np.arange(shape[1]) - x, np.arange(shape[0])[:, None] - y
        out = (np.hypot(dx, dy * 1.2) / radius - 1 + LOBES * lobes).astype(np.float32)
        inside = 1 / (1 + np.exp(np.clip(out / 0.04, -30, 30)))
        rim = np.exp(-((out + 0.03) / 0.05) ** 2)
        factor *= 1 + room * (0.55 * rim - 0.35 * inside * np.clip(1 + 0.4 * out, 0, 1))
    return factor


def drops(shape: tuple[int, int], count: int, largest: float, room: np.ndarray, rng) -> np.ndarray:
    """Splashes from a loaded brush: a mask of small round drops, most of them tiny."""
    mask = np.zeros(shape, np.float32)
    for _ in range(count):
        x, y, size = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), largest * rng.random() ** 3
        if room[int(y), int(x)] > 0.5:
            axes = (max(round(size), 1), max(round(size * rng.uniform(0.7, 1)), 1))
            cv2.ellipse(mask, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    return mask


def drawn_lines(lightness: np.ndarray, direction: np.ndarray, width: float, contrast: float) -> np.ndarray:
    """Lines along dark creases and edges, float32 `[H, W]` in [0, 1]: differences of Gaussians, smoothed along
    `direction` (Kang et al. 2007), from `contrast` in L on."""
    edges = blur(lightness, width) - blur(lightness, 1.6 * width)
    edges = along(edges, direction, 6 * width)
    return np.clip(-edges / contrast - 0.5, 0, 1)


def along(plane: np.ndarray, direction: np.ndarray, length: float) -> np.ndarray:
    """`plane` averaged along `direction`, `length` each way."""
    steps = 5
    rows, columns = np.indices(plane.shape, np.float32)
    total = plane.copy()
    for sign in (-1, 1):
        x, y, heading = columns.copy(), rows.copy(), sign * direction
        for _ in range(steps):
            x, y = x + heading[..., 0] * length / steps, y + heading[..., 1] * length / steps
            total += cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            turned = cv2.remap(direction, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            heading = np.where(((turned * heading).sum(-1) < 0)[..., None], -turned, turned)
    return total / (1 + 2 * steps)
