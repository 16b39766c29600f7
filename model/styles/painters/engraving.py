"""A steel engraving, as on a banknote: lines that follow the form and swell with its darkness, crossed in the shadows and
broken into dots in the lights."""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from model.styles.painters import streams
from model.styles.painters.likeness import enlarged, eyes, lab_of, person, resized, step, tones
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

PERIOD = 7.0  # pixels from line to line at which the lines are laid out; they are drawn sharply at any size
FINEST = 4.0  # pixels from line to line in the finished picture: finer lines would flicker
TURNS = 48  # directions that kernels are made for


@dataclass(frozen=True)
class Painter:
    """Values in engraving.toml."""

    spacing: float = between(0.01, 0.3)
    angle: float = between(-90, 90)
    cross_angle: float = between(10, 90)
    relief: float = between(0, 3)
    hair_rounds: int = between(0, 40)
    contrast: float = between(0, 3)
    local: float = between(0, 3)
    detail: float = between(0, 3)
    lightest: float = between(0, 1)
    heaviest: float = between(0, 1)
    cross_from: float = between(0, 1)
    third_from: float = between(0, 1)
    dots_below: float = between(0, 1)
    dot_length: float = between(0.5, 10)
    background: float = between(0, 1)
    vignette: float = between(0.5, 10)
    contour: float = between(0, 20)
    ink: list[float] = between(0, 255)
    paper: list[float] = between(0, 255)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """An engraving of the photo, RGB uint8 `[H, W, 3]`."""
        rng = np.random.default_rng(seed)
        spacing = max(self.spacing * subject.eye_distance, FINEST)
        work = resized(subject, subject.eye_distance * PERIOD / spacing)
        matte = person(work)
        picture = subject.rgb
        dark = self._darkness(work, matte)
        hair, field = self._hair(work, matte)
        bend = self._relief(work, matte) + _wobble(matte.shape, rng)
        first, along, second, third = (
            self._phase(matte.shape, bend, turn) for turn in (0, 90, self.cross_angle, -self.cross_angle)
        )
        strands = _grown_lines(np.cos(2 * np.pi * first), field, hair, round(self.hair_rounds))
        large = [enlarged(part.astype(np.float32), picture) for part in (dark, first, along, second, third, strands, hair)]
        ink = self._lines(*large)
        backdrop = self._backdrop(work, matte, picture, spacing)
        inside = enlarged(matte, picture)
        ink = np.where(inside > 0.5, ink, backdrop)
        ink = np.maximum(ink, _crisp(enlarged(self._contours(work, matte), picture) - 1))
        ink = np.maximum(ink, self._blacks(subject))
        ink = self._eyes(ink, subject)
        ink = np.clip(ink, 0, 1)[..., None]
        colour = np.float32(self.paper) + ink * (np.float32(self.ink) - np.float32(self.paper))
        return np.clip(colour + 0.5, 0, 255).astype(np.uint8)

    def _darkness(self, work, matte):
        """How much ink each part of the person takes, float32 `[H, W]` in [0, 1]."""
        light = tones(work, matte, self.local)
        light = cv2.bilateralFilter(light, -1, 0.12, 0.35 * PERIOD)
        around = cv2.GaussianBlur(light, (0, 0), 0.12 * work.eye_distance)
        light = light + self.detail * step(work.fineness, 0.4, 0.9) * (light - around)
        dark = 1 - np.clip(0.5 + self.contrast * (light - 0.5), 0, 1)
        return np.where(dark > self.lightest, dark, 0.5 * dark) * self._fade(work)

    def _fade(self, work):
        """1 in the middle, 0 at the border of the picture."""
        height, width = work.rgb.shape[:2]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x, y = np.abs(2 * columns / width - 1), np.abs(2 * rows / height - 1)
        return 1 - step((x**self.vignette + y**self.vignette) ** (1 / self.vignette), 0.84, 1.0)

    def _hair(self, work, matte):
        """(weight of the lines that follow the photo's own directions, these directions): hair and clothes."""
        light = lab_of(work.rgb)[..., 0] / 100
        field, sure = streams.directions(light, 0.8 * PERIOD, 1e-4)
        wide, surer = streams.directions(light, 2.5 * PERIOD, 1e-4)
        field = streams.blended(wide, field, step(sure, 0.3, 0.7))
        skin = cv2.GaussianBlur(work.face, (0, 0), 1.0)
        weight = (matte > 0.3) * step(skin, 0.6, 0.3) * step(surer, 0.1, 0.3)
        return cv2.GaussianBlur(weight.astype(np.float32), (0, 0), 0.5 * PERIOD), field

    def _relief(self, work, matte):
        """Height of the form in periods: what lines of a plain surface are shifted by."""
        unit = work.eye_distance
        dome = 1.6 * np.sqrt(cv2.GaussianBlur(matte, (0, 0), 0.5 * unit)) + 0.9 * cv2.GaussianBlur(work.face, (0, 0), 0.3 * unit)
        detail = cv2.GaussianBlur(lab_of(work.rgb)[..., 0] / 100, (0, 0), 0.07 * unit)
        return self.relief * unit / PERIOD * (0.4 * dome + 0.2 * detail)

    def _phase(self, size, bend, turn):
        """Number of the line at each pixel: lines of a direction, bent over the form."""
        rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
        angle = np.radians(self.angle + turn)
        return (rows * np.cos(angle) - columns * np.sin(angle)) / PERIOD + bend * np.cos(np.radians(turn) / 2)

    def _lines(self, dark, first, along, second, third, strands, hair):
        """Ink of the person: lines as wide as it is dark."""
        across = (1 - hair) * np.cos(2 * np.pi * first) + hair * strands
        crossing = self.heaviest * step(dark, self.cross_from, 1) * (1 - hair)
        again = self.heaviest * step(dark, self.third_from, 1) * (1 - hair)
        width = np.clip(1 - (1 - dark) / ((1 - crossing) * (1 - again)), 0, 0.93)
        stagger = along / self.dot_length + 0.5 * np.round(first)
        dotted = step(dark, self.dots_below, 0.6 * self.dots_below) * (1 - hair)
        pattern = across - dotted * (0.5 - 0.5 * np.cos(2 * np.pi * stagger)) * 0.9
        ink = _crisp(pattern - np.cos(np.pi * width * (1 + 0.6 * dotted)))
        for phase, wide in ((second, crossing), (third, again)):
            ink = np.maximum(ink, _crisp(np.cos(2 * np.pi * phase) - np.cos(np.pi * wide)) * (wide > 0.04))
        return ink * (dark > self.lightest * 0.5)

    def _backdrop(self, work, matte, picture, spacing):
        """Ruled lines behind the person."""
        height, width = picture.shape[:2]
        gap = step(cv2.GaussianBlur(matte, (0, 0), 0.05 * work.eye_distance), 0.25, 0.05)
        near = cv2.GaussianBlur(matte, (0, 0), 0.7 * work.eye_distance)
        amount = enlarged((self.background * (0.35 + 0.9 * near) * gap * self._fade(work)).astype(np.float32), picture)
        rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
        return _crisp(np.cos(2 * np.pi * rows / spacing) - np.cos(np.pi * amount)) * (amount > 0.03)

    def _contours(self, work, matte):
        """Firm dark lines and points at eyes, mouth, nose and outlines."""
        light = lab_of(work.rgb)[..., 0]
        width = 0.011 * work.eye_distance
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, max(width, 0.6), 4 * width)
        weight = 0.35 + 0.65 * step(work.fineness, 0.3, 0.9)
        return np.minimum(lines * weight * self.contour, 4) * matte * self._fade(work)

    def _blacks(self, subject):
        light = lab_of(subject.rgb)[..., 0]
        around = cv2.GaussianBlur(light, (0, 0), 0.25 * subject.eye_distance)
        light = cv2.bilateralFilter(light, -1, 12, max(0.008 * subject.eye_distance, 0.5))
        return step(subject.fineness, 0.65, 0.95) * step(light / np.maximum(around, 8), 0.55, 0.42)

    def _eyes(self, ink, subject):
        """Clear eyes: bare paper for the white, an iris of fine rays, a black pupil and a light in it."""
        rows, columns = np.mgrid[: ink.shape[0], : ink.shape[1]].astype(np.float32)
        for iris, hull in eyes(subject):
            r = iris.radius
            dx, dy = (columns - iris.x) / r, (rows - iris.y) / r
            away = np.hypot(dx, dy)
            rays = 0.5 + 0.5 * np.cos(np.arctan2(dy, dx) * min(26, int(1.3 * r)))
            shade = np.clip(0.75 - 0.9 * dy, 0.25, 1)  # of the lid
            disc = step(rays + shade, 0.45, 0.75)
            disc = np.maximum(disc, np.maximum(step(away, 0.5, 0.42), step(away, 0.82, 0.92)))
            inside = step(hull, 0.35, 0.65)
            part = inside * step(away, 1.04, 0.98)
            white = inside * (1 - part) * step(hull, 0.5, 0.9)
            ink = ink * (1 - 0.9 * white)
            ink = ink + part * (disc - ink)
            ink = ink * (1 - np.clip((0.27 - np.hypot(dx + 0.34, dy + 0.36)) * r + 0.5, 0, 1))
        return ink


def _crisp(values: np.ndarray) -> np.ndarray:
    """1 where smooth values are above 0, with an edge of one pixel."""
    slope = np.hypot(cv2.Sobel(values, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(values, cv2.CV_32F, 0, 1) / 8)
    return np.clip(0.5 + values / np.maximum(slope, 1e-4), 0, 1)


def _wobble(size, rng):
    """Unsteadiness of the hand, in periods."""
    noise = rng.standard_normal((size[0] // 24 + 2, size[1] // 24 + 2)).astype(np.float32)
    return 0.12 * cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def _grown_lines(start, field, where, rounds):
    """A pattern of lines, values -1 to 1, that follows the directions where it is asked for."""
    lines = start.astype(np.float32)
    kernels = _kernels()
    turns = np.round(np.arctan2(field[..., 1], field[..., 0]) / np.pi * TURNS).astype(np.int32) % TURNS
    places = np.argwhere(where > 0.02).astype(np.int32)
    for _ in range(rounds):
        lines = np.tanh(_filtered(lines, kernels, turns, places) * 3)
    steady = np.sqrt(2 * cv2.GaussianBlur(lines**2, (0, 0), PERIOD)) + 1e-3
    return np.clip(lines / steady, -1, 1)


def _kernels():
    """Filters that answer to lines of one direction each, float32 `[TURNS, K, K]`: Gaussian along them, a wave across."""
    reach = round(1.2 * PERIOD)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    out = []
    for turn in range(TURNS):
        angle = np.pi * turn / TURNS
        v, u = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        envelope = np.exp(-0.5 * (u / (0.45 * PERIOD)) ** 2 - 0.5 * (v / (0.8 * PERIOD)) ** 2)
        kernel = envelope * np.cos(2 * np.pi * u / PERIOD)
        kernel -= envelope * kernel.sum() / envelope.sum()
        out.append(kernel / np.abs(kernel).sum())
    return np.array(out, np.float32)


@njit(cache=True)
def _filtered(values, kernels, turns, places):
    height, width = values.shape
    size = kernels.shape[1]
    reach = size // 2
    out = values.copy()
    for place in range(places.shape[0]):
        row, column = places[place, 0], places[place, 1]
        turn = turns[row, column]
        total = np.float32(0)
        for i in range(size):
            y = min(max(row + i - reach, 0), height - 1)
            for j in range(size):
                x = min(max(column + j - reach, 0), width - 1)
                total += kernels[turn, i, j] * values[y, x]
        out[row, column] = total
    return out
