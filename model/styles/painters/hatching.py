"""Strokes of charcoal on rough paper, each drawn where the drawing is still too light (after Salisbury et al. 1997)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from model.styles.painters.likeness import step

CANDIDATES = 3.0  # strokes that are tried, as a multiple of those that would cover the paper once
THINNEST = 1.2  # pixels
LEAST_LACK = 0.05  # tone that must be missing for a stroke to be drawn
TURN, LENGTHS, WIDTHS = 0.07, 0.35, 0.3  # how much strokes differ: radians, and parts of their length and width
LIFT = 0.6  # pressure lost, per width of a stroke, beyond where it should end
PRESETS, LANES = 64, 16  # worn edges of the stick, and values across each


@dataclass(frozen=True, eq=False)
class Form:
    """What strokes follow, float32 `[H, W]` each: the slope of the surface (of a height in pixels), by which straight
    hatching is bent as a plane's cut through it is; and directions of strands, with the weight they have against it.

    The directions are (cosine, sine) of twice their angle, so that they can be averaged: (1, 0) and (-1, 0) are one.
    """

    slope_x: np.ndarray
    slope_y: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Hand:
    """Draws on paper with a surface `grain`, float32 `[H, W]` in [0, 1]; `tooth` is how much of it shows."""

    grain: np.ndarray
    form: Form
    tooth: float
    rng: np.random.Generator

    def hatch(
        self, drawn: np.ndarray, wanted: np.ndarray, angle: float | None, length: float, width: np.ndarray,
        strength: float,
    ) -> np.ndarray:  # fmt: skip
        """The drawing float32 `[H, W]` in [0, 1], 1 is black, with strokes up to the tone that is wanted: of one angle
        in degrees as they bend with the form, or along its strands (None). `length` and `width` `[H, W]` are in
        pixels, `strength` is the pressure from 0 to 1."""
        out = np.array(np.clip(drawn, 0, 1), np.float32, order="C")
        width = np.maximum(np.broadcast_to(width, out.shape), THINNEST).astype(np.float32)
        starts = self._starts(out.shape, length, width)
        shakes = self.rng.standard_normal((len(starts), 3)).astype(np.float32) * np.float32((TURN, LENGTHS, WIDTHS))
        worn = self.rng.random((PRESETS, LANES)).astype(np.float32)
        form = np.stack([self.form.slope_x, self.form.slope_y, self.form.cosine, self.form.sine, self.form.weight], -1)
        if angle is None:
            form[..., 4] = 1
        _hatch(
            out, np.ascontiguousarray(wanted, np.float32), np.ascontiguousarray(form, np.float32), self.grain, starts,
            shakes, worn, float(np.radians(angle or 0.0)), float(length), width, float(strength), float(self.tooth),
        )  # fmt: skip
        return out

    def _starts(self, size: tuple[int, int], length: float, width: np.ndarray) -> np.ndarray:
        """Middles of strokes float32 `[N, 2]` (x, y), more of them where they are thin."""
        thinnest = float(width.min())
        places = self.rng.random((int(CANDIDATES * size[0] * size[1] / (length * thinnest)) + 1, 3))
        x, y = places[:, 0] * size[1], places[:, 1] * size[0]
        kept = places[:, 2] * width[y.astype(int), x.astype(int)] < thinnest
        return np.stack([x, y], axis=1)[kept].astype(np.float32)


def rough_paper(size: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """A surface float32 `[H, W]` in [0, 1] with bumps of about `grain` pixels and broader ones."""
    height = np.zeros(size, np.float32)
    for scale, weight in ((1, 1.0), (2.2, 0.7), (6, 0.35)):
        pixels = scale * max(grain, 0.6)
        noise = rng.standard_normal((int(size[0] / pixels) + 3, int(size[1] / pixels) + 3)).astype(np.float32)
        height += weight * cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    return step((height - height.mean()) / (height.std() + 1e-6), -2, 2).astype(np.float32)


@njit(cache=True, nogil=True)
def _hatch(drawn, wanted, form, grain, starts, shakes, worn, angle, length, widths, strength, tooth):
    """Strokes are drawn from their middles both ways; each is lifted where the tone that is wanted falls off."""
    height, across = drawn.shape
    widest = widths.max()
    for number in range(starts.shape[0]):
        x0, y0 = starts[number, 0], starts[number, 1]
        row, column = int(y0), int(x0)
        lack = wanted[row, column] - drawn[row, column]
        if lack < LEAST_LACK:
            continue
        own_width = widths[row, column]
        long = length * np.sqrt(own_width / widest) * min(max(1 + shakes[number, 1], 0.4), 1.8)
        width = own_width * min(max(1 + shakes[number, 2], 0.5), 1.6)
        pressure = strength * min(0.2 + 1.4 * lack, 1.0)
        across_x, across_y = np.cos(angle + shakes[number, 0]), np.sin(angle + shakes[number, 0])
        for way in (-1.0, 1.0):
            x, y, dx, dy, gone, down = x0, y0, 0.0, 0.0, 0.0, 1.0
            while gone < max(long, 4.0) / 2 and down > 0:
                i, j = int(y + 0.5), int(x + 0.5)
                if i < 0 or j < 0 or i >= height or j >= across:
                    break
                if wanted[i, j] < max(0.6 * wanted[row, column], LEAST_LACK):
                    down -= LIFT / width
                nx, ny = _direction(form[i, j], across_x, across_y)
                sign = way if gone == 0 else (1.0 if nx * dx + ny * dy >= 0 else -1.0)
                dx, dy = sign * nx, sign * ny
                press = pressure * max(down, 0.0) * (1 - (2 * gone / max(long, 4.0)) ** 2)
                _mark(drawn, grain, x, y, dx, dy, width, press, worn[number % PRESETS], tooth)
                stride = 1 / max(abs(dx), abs(dy))
                x, y, gone = x + stride * dx, y + stride * dy, gone + stride


@njit(cache=True, nogil=True)
def _direction(form, x, y):
    """Unit vector of a stroke of direction (x, y) on the form."""
    slope = 0.5 * (form[0] * x + form[1] * y)
    x, y = x - slope * y, y + slope * x
    half = 0.5 * np.arctan2(form[3], form[2])
    strand_x, strand_y = np.cos(half), np.sin(half)
    if strand_x * x + strand_y * y < 0:
        strand_x, strand_y = -strand_x, -strand_y
    x, y = x + form[4] * (strand_x - x), y + form[4] * (strand_y - y)
    size = np.sqrt(x * x + y * y) + 1e-6
    return x / size, y / size


@njit(cache=True, nogil=True)
def _mark(drawn, grain, x, y, dx, dy, width, press, worn, tooth):
    """One row or column of pixels across a stroke: coal stays on the grain's heights, less where the stick is worn."""
    upright = abs(dy) > abs(dx)
    lean = max(abs(dx), abs(dy))
    middle, line = (x, int(y + 0.5)) if upright else (y, int(x + 0.5))
    reach = (width / 2 + 0.5) / lean
    limit = drawn.shape[1] if upright else drawn.shape[0]
    for place in range(max(int(middle - reach + 1), 0), min(int(middle + reach) + 1, limit)):
        side = (place - middle) * lean
        row, column = (line, place) if upright else (place, line)
        lane = worn[min(max(int((side / width + 0.5) * LANES), 0), LANES - 1)]
        cover = min(max(width / 2 - abs(side) + 0.5, 0.0), 1.0)
        held = min(max(2.2 * press + 0.3 - tooth * (1.1 * grain[row, column] + 0.5 * lane), 0.0), 1.0)
        drawn[row, column] += (1 - drawn[row, column]) * cover * held * (0.3 + 0.55 * press)
