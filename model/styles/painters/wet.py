"""Water, pigment and pencil on paper.

Pigment is a density per colour channel, float32 `[H, W, 3]`: paper shows through it as exp(-density). Masks of washes
are float32 `[H, W]` in [0, 1], lengths are in pixels.
"""

import cv2
import numpy as np

from model.styles.painters.sight import blur, logistic, noise

LOBES, RIM = 0.3, 0.05  # of a bloom, as parts of its radius: how far its rim departs from a circle, and its width
LINE_LENGTH, LINE_STEPS = 6.0, 5  # by how many widths each way a line is smoothed along itself, in so many steps


def density(lab: np.ndarray) -> np.ndarray:
    """Pigment that paints the colours Lab `[H, W, 3]` on white paper."""
    return np.maximum(-np.log(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0.03, 1)), 1e-3)


def grey_density(lightness: np.ndarray) -> np.ndarray:
    """Pigment, of one channel, of a grey of that L: for comparing it with that of another."""
    return np.maximum(-np.log(lightness.clip(2, 99.5) / 100), 5e-3)


def grain(shape: tuple[int, int], size: float, rng: np.random.Generator) -> np.ndarray:
    """Height of cold-pressed paper, of deviation 1; its bumps are about `size` wide."""
    bumps = blur(rng.standard_normal(shape, np.float32), max(0.35 * size, 0.6))
    return bumps / (bumps.std() + 1e-6)


def wet_edge(mask: np.ndarray, width: float, strength: float | np.ndarray) -> np.ndarray:
    """A wash with the pigment that drying water carries to its edge (Curtis et al. 1997): a dark rim inside `mask`, and
    a little less pigment in its middle."""
    rim, shore = mask - blur(mask, width), mask - blur(mask, 5 * width)
    return mask * (1 + strength * (1.6 * rim + 0.6 * shore - 0.12))


def blooms(shape: tuple[int, int], count: int, largest: float, room: np.ndarray, rng) -> np.ndarray:
    """Backruns, where a drop of water pushed pigment away: factors of density around 1. `room`: where they may be."""
    factor, lobes = np.ones(shape, np.float32), noise(shape, 0.5 * largest, rng, octaves=4)
    for _ in range(count):
        x, y, radius = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(0.3, 1) * largest
        near = tuple(slice(max(int(c - 2 * radius), 0), int(c + 2 * radius) + 1) for c in (y, x))
        rows, columns = (np.arange(side, dtype=np.float32)[part] for side, part in zip(shape, near, strict=True))
        out = np.hypot(columns - x, 1.2 * (rows[:, None] - y)) / max(radius, 1.0) - 1 + LOBES * lobes[near]
        rim = np.exp(-(((out + 0.6 * RIM) / RIM) ** 2))
        emptied = logistic(-out / (0.8 * RIM)) * np.clip(1 + 0.4 * out, 0, 1)
        factor[near] *= 1 + room[near] * (0.55 * rim - 0.35 * emptied)
    return factor


def drops(shape: tuple[int, int], count: int, largest: float, room: np.ndarray, rng) -> np.ndarray:
    """Splashes from a loaded brush: a mask of small round drops, most of them tiny, in the room `[H, W]` (bool)."""
    mask = np.zeros(shape, np.float32)
    for _ in range(count):
        x, y, radius = int(rng.uniform(0, shape[1])), int(rng.uniform(0, shape[0])), largest * rng.random() ** 3
        axes = max(round(radius), 1), max(round(radius * rng.uniform(0.7, 1)), 1)
        turn = rng.uniform(0, 180)
        if room[y, x]:
            cv2.ellipse(mask, (x, y), axes, turn, 0, 360, 1.0, -1, cv2.LINE_AA)
    return mask


def sweeps(shape: tuple[int, int], length: float, rng: np.random.Generator) -> np.ndarray:
    """Long slanting shapes, as a broad brush leaves them, of mean 0 and deviation 1."""
    side = int(np.hypot(*shape)) + 4
    clouds = noise((side, side), 0.3 * length, rng)
    slant = np.radians(rng.uniform(25, 50))
    # From the picture to the clouds: turned, and three times as long as wide.
    across, along = np.float32([[-np.sin(slant), np.cos(slant)], [np.cos(slant), np.sin(slant)]])
    matrix = np.stack([across, 0.3 * along])
    offset = side / 2 - matrix @ (shape[1] / 2, shape[0] / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    swept = cv2.warpAffine(
        clouds, np.column_stack([matrix, offset]), shape[::-1], flags=flags, borderMode=cv2.BORDER_WRAP
    )
    return (swept - swept.mean()) / (swept.std() + 1e-6)


def drawn_lines(lightness: np.ndarray, direction: np.ndarray, width: float, contrast: float) -> np.ndarray:
    """Lines along dark creases and edges, in [0, 1]: differences of Gaussians smoothed along `direction` (Kang et al.
    2007), from half of `contrast` in L on."""
    edges = blur(lightness, width) - blur(lightness, 1.6 * width)
    return np.clip(-_along(edges, direction, LINE_LENGTH * width / LINE_STEPS) / contrast - 0.5, 0, 1)


def border_distance(shape: tuple[int, int], roundness: float) -> np.ndarray:
    """How far it is to the border of a rounded sheet, in pixels; 0 in the corners. Roundness 2 is an ellipse, more is
    nearer to a rectangle."""
    y, x = (np.abs(np.linspace(-1, 1, side, dtype=np.float32)) for side in shape)
    out = (y[:, None] ** roundness + x[None] ** roundness) ** (1 / roundness)
    return np.maximum(1 - out, 0) * (min(shape) / 2)


def _along(plane: np.ndarray, direction: np.ndarray, step: float) -> np.ndarray:
    """`plane` averaged along the streamlines of `direction`, `LINE_STEPS` steps each way."""
    rows, columns = np.indices(plane.shape, np.float32)
    total = plane.copy()
    for sign in (-1, 1):
        x, y, heading = columns, rows, np.float32(sign) * direction
        for _ in range(LINE_STEPS):
            x, y = x + np.float32(step) * heading[..., 0], y + np.float32(step) * heading[..., 1]
            total += cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            turned = cv2.remap(direction, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            heading = np.where(((turned * heading).sum(axis=-1) < 0)[..., None], -turned, turned)
    return total / (1 + 2 * LINE_STEPS)
