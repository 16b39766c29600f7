"""A charcoal drawing: smudged tones, hatching that follows the form, deep blacks, lights that are rubbed out again."""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from model.styles.painters import streams
from model.styles.painters.likeness import enlarged, eyes, lab_of, person, resized, step, tones
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

WORK = 160.0  # pixels between the eyes for what is planned before drawing
PAD = 0.25  # eye distances that strokes may begin beyond the picture


@dataclass(frozen=True)
class Painter:
    """Values in charcoal.toml."""

    local: float = between(0, 3)
    contrast: float = between(0, 3)
    smudge: float = between(0, 1)
    smudge_size: float = between(0.005, 0.3)
    angles: list[float] = between(-180, 180)
    form: float = between(0, 3)
    stroke_length: float = between(0.05, 3)
    stroke_width: float = between(0.003, 0.2)
    strength: float = between(0, 1)
    tooth: float = between(0, 1)
    grain_size: float = between(0.002, 0.1)
    lines: float = between(0, 5)
    line_width: float = between(0.003, 0.1)
    background: float = between(0, 1)
    vignette: float = between(0.5, 10)
    rubbed: float = between(0, 1)
    charcoal: list[float] = between(0, 255)
    paper: list[float] = between(0, 255)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """A charcoal drawing of the photo, RGB uint8 `[H, W, 3]`."""
        rng = np.random.default_rng(seed)
        unit = subject.eye_distance
        grain = self._grain(subject.rgb.shape[:2], unit, rng)
        work = resized(subject, WORK)
        matte = person(work)
        dark = self._plan(work, matte)
        field = self._directions(work, matte)
        wanted, form = enlarged(dark, grain), enlarged(field, grain)
        drawn = self._smudged(wanted, grain, unit)
        for angle in self.angles:
            drawn = self._hatched(drawn, wanted, form, angle, grain, unit, rng)
        drawn = self._contours(drawn, work, matte, grain, unit, rng)
        drawn = np.clip(drawn, 0, 1)[..., None]
        colour = np.float32(self.paper) + drawn * (np.float32(self.charcoal) - np.float32(self.paper))
        colour += 5 * (grain[..., None] - 0.5)
        return np.clip(colour + 0.5, 0, 255).astype(np.uint8)

    def _grain(self, size, unit, rng):
        """Height of the paper's surface, float32 in [0, 1], mean about 0.5."""
        total = np.zeros(size, np.float32)
        for scale, weight in ((1, 1.0), (2.2, 0.7), (6, 0.35)):
            pixels = max(self.grain_size * unit * scale, 0.6 * scale)
            noise = rng.standard_normal((int(size[0] / pixels) + 3, int(size[1] / pixels) + 3)).astype(np.float32)
            total += weight * cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
        rank = (total - total.mean()) / (total.std() + 1e-6)
        return (1 / (1 + np.exp(-1.7 * rank))).astype(np.float32)

    def _plan(self, work, matte):
        """How dark the drawing is to be, float32 `[H, W]` in [0, 1]."""
        light = tones(work, matte, self.local)
        light = cv2.bilateralFilter(light, -1, 0.15, 0.02 * WORK)
        dark = 1 - np.clip(0.5 + self.contrast * (light - 0.5), 0, 1)
        near = cv2.GaussianBlur(matte, (0, 0), 0.6 * WORK)
        side = cv2.GaussianBlur(dark * matte, (0, 0), 0.8 * WORK) / np.maximum(cv2.GaussianBlur(matte, (0, 0), 0.8 * WORK), 0.05)
        behind = self.background * step(near, 0.0, 0.6) * (1 - 0.5 * side)
        return ((matte * dark + (1 - matte) * behind) * self._fade(work)).astype(np.float32)

    def _fade(self, work):
        """1 in the middle, 0 at the border of the picture."""
        height, width = work.rgb.shape[:2]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x, y = np.abs(2 * columns / width - 1), np.abs(2 * rows / height - 1)
        return 1 - step((x**self.vignette + y**self.vignette) ** (1 / self.vignette), 0.65, 1.0)

    def _directions(self, work, matte):
        """Gradient of the form's height (x, y), by which hatching is bent, and directions of hair with their weight."""
        light = lab_of(work.rgb)[..., 0] / 100
        height = np.sqrt(cv2.GaussianBlur(matte, (0, 0), 0.5 * WORK)) + 0.8 * cv2.GaussianBlur(work.face, (0, 0), 0.3 * WORK)
        height = self.form * WORK * (height + 0.8 * cv2.GaussianBlur(light, (0, 0), 0.08 * WORK))
        field, sure = streams.directions(light, 0.05 * WORK, 1e-4)
        hair = matte * step(work.face, 0.6, 0.3) * step(sure, 0.15, 0.4)
        slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(height, cv2.CV_32F, 0, 1) / 8
        return np.stack([*slope, *np.moveaxis(field, -1, 0), hair], axis=-1).astype(np.float32)

    def _smudged(self, wanted, grain, unit):
        """Tone rubbed into the paper with a finger."""
        soft = cv2.GaussianBlur(wanted, (0, 0), self.smudge_size * unit)
        return self.smudge * soft * (1 - 0.45 * self.tooth * grain)

    def _hatched(self, drawn, wanted, form, angle, grain, unit, rng):
        """Strokes of about one direction wherever the drawing is still too light."""
        length, width = self.stroke_length * unit, max(self.stroke_width * unit, 1.2)
        height, across = drawn.shape
        count = int(2.2 * height * across / (length * width))
        starts = rng.uniform((0, 0), (across, height), (count, 2)).astype(np.float32)
        shakes = rng.standard_normal((count, 3)).astype(np.float32)
        out = np.ascontiguousarray(drawn, dtype=np.float32)
        _hatch(out, wanted, np.ascontiguousarray(form), grain, starts, shakes, np.radians(angle), length, width, self.strength, self.tooth)
        return out

    def _contours(self, drawn, work, matte, grain, unit, rng):
        light = lab_of(work.rgb)[..., 0]
        width = self.line_width * WORK
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, width, 5 * width)
        weight = 0.5 + 0.5 * step(work.fineness, 0.3, 0.9)
        lines = step(lines * weight * self.lines, 0.8, 4) * matte * self._fade(work)
        large = enlarged(lines.astype(np.float32), drawn)
        return drawn + (1 - drawn) * large * (1 - self.tooth * step(grain, 0.55, 0.9))


@njit(cache=True)
def _hatch(drawn, wanted, form, grain, starts, shakes, angle, length, width, strength, tooth):
    """Draw strokes from their middles both ways along the bent direction; each ends where the tone is reached."""
    height, across = drawn.shape
    steps = max(int(length), 3)
    reach = int(width / 2 + 1.5)
    for number in range(starts.shape[0]):
        x0, y0 = starts[number, 0], starts[number, 1]
        own = angle + 0.09 * shakes[number, 0]
        long = steps * min(max(1 + 0.35 * shakes[number, 1], 0.4), 1.8)
        row, column = int(y0), int(x0)
        lack = wanted[row, column] - drawn[row, column]
        if lack < 0.06:
            continue
        pressure = strength * min(0.35 + 1.4 * lack, 1.0)
        for way in (-1.0, 1.0):
            x, y = x0, y0
            dx, dy = 0.0, 0.0
            for step_number in range(int(long / 2)):
                i, j = int(y + 0.5), int(x + 0.5)
                if i < 0 or j < 0 or i >= height or j >= across:
                    break
                if wanted[i, j] < 0.6 * wanted[row, column] or wanted[i, j] < 0.05:
                    break
                # A plane cuts the form: the line bends with its slope.
                ux, uy = np.cos(own), np.sin(own)
                slope = form[i, j, 0] * ux + form[i, j, 1] * uy
                ux, uy = ux - 0.5 * slope * uy, uy + 0.5 * slope * ux
                weight = form[i, j, 4]
                hx, hy = form[i, j, 2], form[i, j, 3]
                if hx * ux + hy * uy < 0:
                    hx, hy = -hx, -hy
                ux, uy = (1 - weight) * ux + weight * hx, (1 - weight) * uy + weight * hy
                size = np.sqrt(ux * ux + uy * uy) + 1e-6
                ux, uy = way * ux / size, way * uy / size
                if step_number > 0 and ux * dx + uy * dy < 0:
                    ux, uy = -ux, -uy
                dx, dy = ux, uy
                fade = 1 - (2 * step_number / long) ** 2
                press = pressure * fade
                for v in range(i - reach, i + reach + 1):
                    for u in range(j - reach, j + reach + 1):
                        if v < 0 or u < 0 or v >= height or u >= across:
                            continue
                        away = abs((v - y) * dx - (u - x) * dy)
                        ahead = abs((v - y) * dy + (u - x) * dx)
                        if ahead > 0.5:
                            continue
                        cover = min(max(width / 2 - away + 0.5, 0.0), 1.0)
                        if cover > 0:
                            held = press * 1.4 - tooth * grain[v, u]
                            held = min(max(held * 2.2, 0.0), 1.0)
                            mark = cover * held * (0.35 + 0.65 * press)
                            drawn[v, u] += (1 - drawn[v, u]) * mark
                x += dx
                y += dy
