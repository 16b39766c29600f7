"""Watercolour: a few transparent washes from light to dark on white paper, with a loose pencil line.

Pigment is laid out as Bousseau et al. 2006 do it, by density; edges, granulation and backruns are those that Curtis et
al. 1997 describe.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import sight, wet
from model.styles.painters.motif import Motif, check_lists
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

ROUNDNESS = 3.0  # of the painted part of the sheet, see `wet.border_distance`
BEHIND_LIGHT = (45.0, 80.0)  # L of the colour of the wash behind the person
PERSON_CHROMA, BEHIND_CHROMA = 62.0, 46.0  # most chroma of colours
DEEPEST = 25.0  # L that modelling may add in darkness to the washes
SKIN_LINES = 0.4  # strength of pencil lines on skin, away from eyes, nose and mouth


@dataclass(frozen=True)
class Painter(Motif):
    """A watercolourist; what the values mean is in watercolour.toml."""

    steps: list[float] = between(-100, 60)
    sharp: list[float] = between(0.1, 60)
    soft: float = between(0, 60)
    looseness: float = between(0, 0.5)
    tension: float = between(0, 0.2)
    wobble: float = between(0, 20)
    modelling: float = between(0, 1)
    fine_modelling: float = between(0, 1)
    paper_white: float = between(0, 3)
    bleed: float = between(0, 0.5)
    colour_play: float = between(0, 40)

    edge: float = between(0, 3)
    edge_width: float = between(0, 0.1)
    flow: float = between(0, 1)
    granulation: float = between(0, 1)
    grain_size: float = between(0.002, 0.2)
    paper: list[float] = between(0, 255)
    paper_relief: float = between(0, 0.2)
    bloom_count: float = between(0, 60)
    bloom_size: float = between(0.02, 2)
    drop_count: float = between(0, 400)
    drop_size: float = between(0, 0.3)

    background_reach: float = between(0.01, 5)
    background_density: list[float] = between(0, 3)
    background_saturation: float = between(0, 4)
    pigments: list[float] = between(-60, 60)
    border: float = between(0.01, 2)
    brushed: float = between(0, 3)
    retreat: float = between(0, 3)

    line: float = between(0, 3)
    line_width: float = between(0.002, 0.1)
    line_contrast: float = between(0.2, 20)
    line_density: list[float] = between(0, 3)

    def __post_init__(self) -> None:
        check_lists(self, "steps", "sharp", paper=3, background_density=2, pigments=4, line_density=3)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """See `values.Painter`."""
        rng, unit, shape = np.random.default_rng(seed), subject.eye_distance, subject.rgb.shape[:2]
        matte = sight.cut_out(subject.rgb, subject.matte, unit)
        paper = wet.grain(shape, max(self.grain_size * unit, 2.0), rng)
        motif = self.seen(subject, matte)
        pigment = matte[..., None] * self._person(subject, motif, matte, self._room(subject, paper, rng), rng)
        pigment += self._background(subject, motif, matte, paper, rng)
        face = 0.8 * matte if subject.landmarks is None else subject.face
        beside = np.clip(1 - sight.blur(face, 0.1 * unit), 0, 1)
        pigment *= wet.blooms(shape, round(self.bloom_count), self.bloom_size * unit, beside, rng)[..., None]
        pigment += self._line(subject, matte, paper, rng)
        settled = self.granulation * np.clip(paper, -2, 2) * (1 - 0.6 * subject.face)
        pigment *= 1 + settled[..., None] * np.clip(0.3 + pigment, 0, 1)  # strong pigment shows it most
        shade = 1 + self.paper_relief * (paper - np.roll(paper, (1, 1), (0, 1)))
        rgb = np.float32(self.paper) * shade[..., None] * np.exp(-np.maximum(pigment, 0))
        return np.round(rgb.clip(0, 255)).astype(np.uint8)

    def _person(self, subject: Subject, motif: np.ndarray, matte: np.ndarray, room: np.ndarray, rng) -> np.ndarray:
        """Washes of the person, density `[H, W, 3]`: each makes the sheet darker by one step of tone."""
        unit, lightness = subject.eye_distance, motif[..., 0]
        fine = np.clip(2 * (subject.fineness - 0.5), 0, 1)
        shapes = self._shapes(lightness, unit)
        shapes += fine * (lightness - shapes)
        tones = self._tones(lightness, 0.05 * matte + subject.face)
        total = np.clip(tones[0] + self.paper_white * (lightness - tones[0]), tones[0], 99)
        painted = np.zeros_like(total)
        for number, (tone, darker) in enumerate(zip(tones, [*tones[1:], 0.5 * tones[-1]], strict=True)):
            end = self._end(number, room, subject, rng)
            painted = np.maximum(painted, end)
            wash = end * self._wash(number, tone, shapes, fine, unit, rng)
            wash = wet.wet_edge(wash, self.edge_width * unit, self.edge * (1 - 0.7 * fine))
            clouds = sight.noise(wash.shape, 0.8 * unit, rng, octaves=4)
            total -= (tone - darker) * wash * (1 + self.flow * (0.5 - 0.3 * subject.face) * clouds)
        keep = self.modelling + (self.fine_modelling - self.modelling) * fine
        total += keep * (np.maximum(lightness, total - DEEPEST) - total)
        dilution = (wet.grey_density(total) / wet.grey_density(lightness)).clip(0, 3)
        return (painted * dilution)[..., None] * wet.density(self._coloured(subject, motif, rng))

    def _shapes(self, lightness: np.ndarray, unit: float) -> np.ndarray:
        """L in simple shapes with round and sharp outlines, as water takes them."""
        rounding = max(self.tension * unit, 0.5)
        loose = sight.blur(sight.guided(lightness, lightness, max(self.looseness * unit, 0.5), 6.0), rounding)
        return sight.crisp(loose, rounding, loose)

    def _tones(self, lightness: np.ndarray, weight: np.ndarray) -> list[float]:
        """The L from which each wash is laid, around the median of the person, most of all of the face."""
        tones, weights = lightness[::3, ::3].ravel(), weight[::3, ::3].ravel() + 1e-6
        order = tones.argsort(kind="stable")
        part = np.cumsum(weights[order], dtype=np.float64)
        middle = float(tones[order][np.searchsorted(part, 0.5 * part[-1])])
        return [min(max(middle + step, 4.0 - 0.5 * number), 97.0) for number, step in enumerate(self.steps)]

    def _end(self, number: int, room: np.ndarray, subject: Subject, rng) -> np.ndarray:
        """Where a wash ends towards the borders, the darker the further inside; faces are spared."""
        wander = sight.noise(room.shape, 0.5 * subject.eye_distance, rng)
        inside = room + self.retreat * number * (0.4 * wander - 1)
        return np.maximum(np.clip(inside / (0.12 + 0.08 * number) + 0.5, 0, 1), np.clip(1.5 * subject.face, 0, 1))

    def _wash(self, number: int, tone: float, shapes: np.ndarray, fine: np.ndarray, unit: float, rng) -> np.ndarray:
        """Where the picture is darker than a tone: the edge wobbles, lost in wet places and found in dry ones."""
        shapes = shapes + self.wobble * (1 - fine) * sight.noise(shapes.shape, 0.25 * unit, rng)
        wetness = np.clip(0.5 + 0.5 * sight.noise(shapes.shape, 0.9 * unit, rng), 0, 1) ** 3
        softness = self.sharp[number] + self.soft * np.maximum(wetness, 0.5 * fine)
        mask = np.clip((tone - shapes) / softness + 0.5, 0, 1)
        return mask * mask * (3 - 2 * mask)

    def _coloured(self, subject: Subject, motif: np.ndarray, rng) -> np.ndarray:
        """The motif with colours that bleed over outlines, and pigments that drift. Whites stay white."""
        unit, lightness = subject.eye_distance, motif[..., 0]
        pale = np.clip((103 - lightness) / 12, 0, 1)
        play = np.clip(lightness / 60, 0, 1) * np.clip((102 - lightness) / 40, 0, 1) * (1 - 0.5 * subject.face)
        planes = [lightness]
        for channel in (1, 2):
            drift = self.colour_play * play * sight.noise(play.shape, 0.6 * unit, rng)
            planes.append(sight.blur(motif[..., channel] * pale, self.bleed * unit) + drift)
        chroma = np.hypot(*planes[1:])
        calmer = _calmed(chroma, PERSON_CHROMA)
        return np.dstack([lightness, planes[1] * calmer, planes[2] * calmer]).astype(np.float32)

    def _background(self, subject: Subject, motif: np.ndarray, matte: np.ndarray, paper: np.ndarray, rng) -> np.ndarray:
        """One loose wash around the person, with splashes, that leaves the paper white towards the borders."""
        unit, shape, outside = subject.eye_distance, matte.shape, 1 - matte
        behind = sight.spread(motif, outside, 0.3 * unit)
        strength = np.clip(wet.density(behind).mean(axis=2), *self.background_density)
        clouds = sight.noise(shape, 1.2 * unit, rng, octaves=4)
        away = cv2.distanceTransform((matte < 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        away = np.minimum(away, sum(shape)) / unit  # it is endless where there is nobody
        field = np.exp(-away / self.background_reach) + 0.1 * clouds + 0.4 * self._rough(paper, subject, rng)
        field += 0.2 * self.brushed * wet.sweeps(shape, unit, rng)
        field -= np.exp(-wet.border_distance(shape, ROUNDNESS) / unit / self.border)
        width = self.edge_width * unit
        wash = wet.wet_edge(np.clip((field - 0.4) / 0.05 + 0.5, 0, 1) * outside, width, self.edge)
        wash *= np.clip(0.45 + 0.75 * np.exp(-away / 0.6), 0, 1.2) * np.maximum(1 + 0.6 * self.flow * clouds, 0.1)
        splash = wet.drops(shape, round(self.drop_count), self.drop_size * unit, (matte < 0.5) & (field > 0), rng)
        splash = 0.7 * wet.wet_edge(splash, width, self.edge) * outside
        return (strength * np.maximum(wash, splash))[..., None] * self._behind_hue(behind, unit, rng)

    def _behind_hue(self, behind: np.ndarray, unit: float, rng) -> np.ndarray:
        """Pigment of density 1 in the photo's colours behind the person, tinted with two of the painter's own."""
        first, second = np.float32(self.pigments).reshape(2, 2)
        mix = sight.logistic(3 * sight.noise(behind.shape[:2], 1.5 * unit, rng))[..., None]
        colour = self.background_saturation * behind[..., 1:] + first + mix * (second - first)
        colour *= _calmed(np.hypot(colour[..., 0], colour[..., 1]), BEHIND_CHROMA)[..., None]
        hue = wet.density(np.dstack([behind[..., 0].clip(*BEHIND_LIGHT), colour]).astype(np.float32))
        return hue / hue.mean(axis=2, keepdims=True)

    def _room(self, subject: Subject, paper: np.ndarray, rng) -> np.ndarray:
        """How far inside the painted part of the sheet it is, in widths of the border; negative on white paper."""
        unit = subject.eye_distance
        distance = wet.border_distance(paper.shape, ROUNDNESS) / unit / self.border
        return distance + self.brushed * wet.sweeps(paper.shape, unit, rng) + self._rough(paper, subject, rng) - 0.4

    @staticmethod
    def _rough(paper: np.ndarray, subject: Subject, rng) -> np.ndarray:
        """What the paper does to the rim of a wash: nothing where the brush is wet, specks where it is dry."""
        dry = np.clip(0.6 * sight.noise(paper.shape, 0.7 * subject.eye_distance, rng), 0, 1.2) ** 2
        return 0.1 * dry * paper

    def _line(self, subject: Subject, matte: np.ndarray, paper: np.ndarray, rng) -> np.ndarray:
        """A loose pencil line, which runs on over white paper, density `[H, W, 3]`."""
        unit, shape = subject.eye_distance, matte.shape
        lightness = np.ascontiguousarray(sight.to_lab(subject.rgb)[..., 0])
        lightness = sight.guided(lightness, lightness, 0.02 * unit, 4.0)
        width = max(self.line_width * unit, 0.7)
        lines = wet.drawn_lines(lightness, sight.flow(lightness, 2 * width), width, self.line_contrast)
        pressure = np.clip(0.65 + 0.35 * sight.noise(shape, 0.5 * unit, rng) + 0.18 * paper, 0, 1.2)
        skin = np.clip(subject.face - 1.5 * subject.fineness + 0.6, 0, 1)
        near = np.clip(matte + 0.3, 0, 1) * (1 - (1 - SKIN_LINES) * skin)
        return (self.line * lines * pressure * near)[..., None] * np.float32(self.line_density)


def _calmed(chroma: np.ndarray, most: float) -> np.ndarray:
    """The factor by which colours are made calmer to stay below `most`; it is near 1 far below it."""
    return np.tanh(chroma / most) / (chroma / most + 1e-6)
