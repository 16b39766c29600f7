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
        dark, behind = (enlarged(part, grain) for part in self._plan(work, matte))
        lines, strands = (enlarged(part, grain) for part in self._lines(work, matte))
        dark = np.clip(dark - 0.4 * strands * step(dark, 0, 0.4), 0, 0.95)
        hand = _Hand(grain, np.ascontiguousarray(enlarged(self._directions(work, matte), grain)), self.tooth, rng)
        fine = step(subject.fineness, 0.3, 0.85)
        length, width = self.stroke_length * unit, self.stroke_width * unit * (1 - 0.6 * fine)
        drawn = self._smudged(dark + 0.6 * behind, fine, grain, unit)
        drawn = hand.hatched(drawn, behind, self.angles[0], 2 * length, 1.4 * width, self.strength)
        for angle in self.angles:
            drawn = hand.hatched(drawn, dark * (1 - 0.5 * fine), angle, length, width, self.strength)
        drawn = hand.hatched(drawn, 1.15 * dark * fine, self.angles[0], 0.4 * length, 0.7 * width, self.strength)
        drawn = self._worked_out(drawn, dark, fine, grain)
        drawn = hand.hatched(drawn, lines, None, length, self.line_width * unit + 0 * width, 1.0)
        drawn = 1 - hand.hatched(1 - drawn, self.rubbed * np.clip(strands, 0, 1), None, length, 0.6 * width, 0.9)
        drawn = self._eyes(drawn, subject)
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
        fade = self._fade(work)
        return (matte * dark * fade).astype(np.float32), ((1 - matte) * behind * fade).astype(np.float32)

    def _fade(self, work):
        """1 in the middle, 0 at the border of the picture."""
        height, width = work.rgb.shape[:2]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x, y = np.abs(2 * columns / width - 1), np.abs(2 * rows / height - 1)
        return 1 - step((x**self.vignette + y**self.vignette) ** (1 / self.vignette), 0.78, 1.0)

    def _directions(self, work, matte):
        """Gradient of the form's height (x, y), by which hatching is bent, and directions of hair with their weight."""
        light = lab_of(work.rgb)[..., 0] / 100
        height = np.sqrt(cv2.GaussianBlur(matte, (0, 0), 0.5 * WORK)) + 0.8 * cv2.GaussianBlur(work.face, (0, 0), 0.3 * WORK)
        height = self.form * WORK * (height + 0.8 * cv2.GaussianBlur(light, (0, 0), 0.08 * WORK))
        field, sure = streams.directions(light, 0.05 * WORK, 1e-4)
        hair = matte * step(work.face, 0.6, 0.3) * step(sure, 0.15, 0.4)
        slope = matte * cv2.Sobel(height, cv2.CV_32F, 1, 0) / 8, matte * cv2.Sobel(height, cv2.CV_32F, 0, 1) / 8
        cos, sin = field[..., 0], field[..., 1]  # of twice the angle below, for (1, 0) and (-1, 0) are the same direction
        return np.stack([*slope, cos**2 - sin**2, 2 * cos * sin, hair], axis=-1).astype(np.float32)

    def _smudged(self, wanted, fine, grain, unit):
        """Tone rubbed into the paper with a finger."""
        soft = cv2.GaussianBlur(wanted, (0, 0), max(self.smudge_size * unit, 0.5))
        sharp = cv2.GaussianBlur(wanted, (0, 0), max(0.12 * self.smudge_size * unit, 0.4))
        soft = soft + step(fine, 0.2, 0.7) * (sharp - soft)
        return self.smudge * soft * (1 - (0.5 + 0.6 * fine) * self.tooth * (grain - 0.35))

    def _worked_out(self, drawn, wanted, fine, grain):
        """Eyes and mouth in full, other dark parts for the most part: charcoal that stays on the paper's grain."""
        lack = np.clip(1.06 * wanted - drawn, 0, 1) * np.maximum(fine, 0.85 * step(wanted, 0.3, 0.8))
        held = np.clip(1.15 + 1.3 * self.tooth * (0.5 - grain), 0, 1.6)
        drawn = drawn + lack * held
        return drawn - 0.8 * fine * np.clip(drawn - wanted, 0, 1)

    def _eyes(self, drawn, subject):
        """A light in each pupil."""
        rows, columns = np.mgrid[: drawn.shape[0], : drawn.shape[1]].astype(np.float32)
        for iris, hull in eyes(subject):
            r = iris.radius
            away = np.hypot(columns - iris.x, rows - iris.y)
            drawn = np.maximum(drawn, 0.95 * step(hull, 0.3, 0.7) * step(away, 0.5 * r, 0.35 * r))
            ring = step(hull, 0.3, 0.7) * step(np.abs(away / r - 0.95), 0.25, 0.0)
            drawn = np.maximum(drawn, 0.75 * ring)
            drawn = drawn * (1 - np.clip(0.2 * r - np.hypot(columns - iris.x + 0.32 * r, rows - iris.y + 0.34 * r) + 0.5, 0, 1))
        return drawn

    def _lines(self, work, matte):
        """Where contours are drawn, and strands of hair: positive where they catch the light."""
        light = lab_of(work.rgb)[..., 0]
        width = self.line_width * WORK
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, width, 5 * width)
        weight = 0.5 + 0.5 * step(work.fineness, 0.3, 0.9)
        shown = matte * self._fade(work)
        hair = shown * step(cv2.GaussianBlur(work.face, (0, 0), 1), 0.5, 0.2)
        strands = -streams.ink_lines(light, field, 1.3 * width, 8 * width) - 0.03 * light
        usual = np.sqrt(cv2.GaussianBlur(strands**2, (0, 0), 0.25 * WORK)) + 0.25
        strands = hair * np.clip(strands / (1.1 * usual), -1, 1)
        return (step(lines * weight * self.lines, 0.4, 3) * shown).astype(np.float32), strands.astype(np.float32)


class _Hand:
    """Draws strokes with charcoal on grain."""

    def __init__(self, grain, form, tooth, rng):
        self.grain, self.form, self.tooth, self.rng = grain, form, tooth, rng

    def hatched(self, drawn, wanted, angle, length, width, strength):
        """Strokes of about one direction wherever the drawing is still too light."""
        height, across = drawn.shape
        width = np.maximum(width, 1.2).astype(np.float32)
        places = self.rng.random((int(3.0 * height * across / (length * width.min()) ), 3))
        x, y = places[:, 0] * across, places[:, 1] * height
        own = width[y.astype(int), x.astype(int)]
        starts = np.stack([x, y], axis=1)[places[:, 2] < width.min() / own * 1.0].astype(np.float32)
        shakes = self.rng.standard_normal((len(starts), 3)).astype(np.float32)
        streaks = self.rng.random((64, 16)).astype(np.float32)
        out = np.ascontiguousarray(np.clip(drawn, 0, 1), dtype=np.float32)
        _hatch(out, np.ascontiguousarray(wanted, dtype=np.float32), self.form, self.grain, starts, shakes, streaks, np.radians(angle or 0), angle is None, length, width, strength, self.tooth)
        return out


@njit(cache=True)
def _hatch(drawn, wanted, form, grain, starts, shakes, streaks, angle, follow, length, widths, strength, tooth):
    """Draw strokes from their middles both ways along the bent direction; each ends where the tone is reached."""
    height, across = drawn.shape
    widest = widths.max()
    for number in range(starts.shape[0]):
        x0, y0 = starts[number, 0], starts[number, 1]
        own = angle + 0.07 * shakes[number, 0]
        row, column = int(y0), int(x0)
        width = widths[row, column] * min(max(1 + 0.3 * shakes[number, 2], 0.5), 1.6)
        long = max(length * np.sqrt(widths[row, column] / widest), 4.0) * min(max(1 + 0.35 * shakes[number, 1], 0.4), 1.8)
        lack = wanted[row, column] - drawn[row, column]
        if lack < 0.05:
            continue
        pressure = strength * min(0.2 + 1.4 * lack, 1.0)
        ux0, uy0 = np.cos(own), np.sin(own)
        for way in (-1.0, 1.0):
            x, y = x0, y0
            dx, dy = 0.0, 0.0
            gone = 0.0
            while gone < long / 2:
                i, j = int(y + 0.5), int(x + 0.5)
                if i < 0 or j < 0 or i >= height or j >= across:
                    break
                if wanted[i, j] < 0.6 * wanted[row, column] or wanted[i, j] < 0.05:
                    break
                # A plane cuts the form: the line bends with its slope.
                slope = form[i, j, 0] * ux0 + form[i, j, 1] * uy0
                ux, uy = ux0 - 0.5 * slope * uy0, uy0 + 0.5 * slope * ux0
                weight = 1.0 if follow else form[i, j, 4]
                half = 0.5 * np.arctan2(form[i, j, 3], form[i, j, 2])
                hx, hy = np.cos(half), np.sin(half)
                if hx * ux + hy * uy < 0:
                    hx, hy = -hx, -hy
                ux, uy = (1 - weight) * ux + weight * hx, (1 - weight) * uy + weight * hy
                size = np.sqrt(ux * ux + uy * uy) + 1e-6
                ux, uy = way * ux / size, way * uy / size
                if gone > 0 and ux * dx + uy * dy < 0:
                    ux, uy = -ux, -uy
                dx, dy = ux, uy
                press = pressure * (1 - (2 * gone / long) ** 2)
                _mark(drawn, grain, x, y, dx, dy, width, press, streaks[number % 64], tooth)
                stride = 1 / max(abs(dx), abs(dy))
                x += dx * stride
                y += dy * stride
                gone += stride


@njit(cache=True)
def _mark(drawn, grain, x, y, dx, dy, width, press, streaks, tooth):
    """One row or column of pixels across a stroke: coal stays on the grain's heights, less where the stick is worn."""
    upright = abs(dy) > abs(dx)
    lean = max(abs(dx), abs(dy))
    middle, line = (x, int(y + 0.5)) if upright else (y, int(x + 0.5))
    reach = (width / 2 + 0.5) / lean
    limit = drawn.shape[1] if upright else drawn.shape[0]
    for place in range(max(int(middle - reach + 1), 0), min(int(middle + reach) + 1, limit)):
        side = (place - middle) * lean
        row, column = (line, place) if upright else (place, line)
        streak = streaks[min(max(int((side / width + 0.5) * 15.9), 0), 15)]
        cover = min(max(width / 2 - abs(side) + 0.5, 0.0), 1.0)
        held = min(max(2.2 * press + 0.3 - tooth * (1.1 * grain[row, column] + 0.5 * streak), 0.0), 1.0)
        drawn[row, column] += (1 - drawn[row, column]) * cover * held * (0.3 + 0.55 * press)
