"""Watercolour: a few transparent washes from light to dark on white paper, with a loose line (after Bousseau et al. 2006)."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import sight, wet
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

MOST_CHROMA = 46.0  # of the wash behind the person, in Lab
ROUNDNESS = 3.0  # of the painted part of the sheet: 2 is an ellipse, more is nearer to a rectangle


@dataclass(frozen=True)
class Painter:
    """A watercolourist; what the values mean is in watercolour.toml."""

    # The motif
    texture_scale: float = between(0, 0.2)
    texture_contrast: float = between(0, 40)
    crispness: float = between(0, 0.1)
    contrast: float = between(0.5, 2)
    local_contrast: float = between(0, 4)
    lift: float = between(-30, 30)
    saturation: float = between(0, 4)
    clear_eyes: float = between(0, 2)
    quiet_teeth: float = between(0, 1)
    zones: float = between(0, 3)
    warm_lights: float = between(-30, 30)
    cool_shadows: float = between(-30, 30)

    # Washes, from light to dark
    steps: list[float] = between(-100, 60)
    looseness: float = between(0, 0.5)
    tension: float = between(0, 0.2)
    paper_white: float = between(0, 3)
    sharp: list[float] = between(0.1, 60)
    soft: float = between(0, 60)
    colour_play: float = between(0, 40)
    wobble: float = between(0, 20)
    modelling: float = between(0, 1)
    fine_modelling: float = between(0, 1)
    bleed: float = between(0, 0.5)

    # Water and paper
    edge_width: float = between(0, 0.1)
    edge: float = between(0, 3)
    flow: float = between(0, 1)
    granulation: float = between(0, 1)
    grain_size: float = between(0.002, 0.2)
    paper: list[float] = between(0, 255)
    paper_relief: float = between(0, 0.2)
    bloom_count: float = between(0, 60)
    bloom_size: float = between(0.02, 2)
    drop_count: float = between(0, 400)
    drop_size: float = between(0, 0.3)

    # Background and borders
    background_reach: float = between(0, 5)
    background_density: list[float] = between(0, 3)
    background_saturation: float = between(0, 4)
    pigments: list[float] = between(-60, 60)
    brushed: float = between(0, 3)
    retreat: float = between(0, 3)
    border: float = between(0, 2)

    # The line
    line: float = between(0, 2)
    line_width: float = between(0.002, 0.1)
    line_contrast: float = between(0.2, 20)
    line_density: list[float] = between(0, 3)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """See `values.Painter`."""
        rng = np.random.default_rng(seed)
        unit, shape = subject.eye_distance, subject.rgb.shape[:2]
        matte = sight.cut_out(subject)
        paper = wet.grain(shape, max(self.grain_size * unit, 2.0), rng)
        motif = self._motif(subject, matte)
        room = self._room(subject, paper, rng)
        pigment = self._person(subject, motif, room, 0.05 * matte + subject.face, rng) * matte[..., None]
        pigment += self._background(subject, motif, matte, paper, rng)
        away = 1 - sight.blur(subject.face, 0.1 * unit)
        sizes = (0.3 * self.bloom_size * unit, self.bloom_size * unit)
        pigment *= wet.blooms(shape, round(self.bloom_count), sizes, np.clip(away, 0, 1), rng)[..., None]
        pigment += self._line(subject, matte, paper, rng)
        pigment *= 1 + self.granulation * np.clip(paper, -2, 2)[..., None] * np.clip(0.3 + pigment, 0, 1) * (1 - 0.4 * subject.face[..., None])
        shade = 1 + self.paper_relief * (paper - np.roll(paper, (1, 1), (0, 1)))[..., None]
        rgb = np.float32(self.paper) * shade * np.exp(-np.maximum(pigment, 0))
        return np.round(rgb.clip(0, 255)).astype(np.uint8)

    def _motif(self, subject: Subject, matte: np.ndarray) -> np.ndarray:
        """What the painter sees in the photo, without fine texture, in luminous colours. Lab."""
        unit = subject.eye_distance
        seen = sight.exposed(sight.to_lab(subject.rgb))
        grey = sight.is_grey(seen)
        lab = sight.without_texture(seen, self.texture_scale * unit, self.texture_contrast)
        fine = np.clip(2.5 * (subject.fineness - 0.55), 0, 1)[..., None]
        lab += fine * (seen - lab)
        lab = sight.crisp_lab(lab, self.crispness * unit, 1 - 0.6 * fine[..., 0])
        lab = sight.quiet_teeth(sight.clear_eyes(lab, subject, self.clear_eyes), subject, self.quiet_teeth)
        lab = sight.zones(lab, subject, self.zones)
        weight = matte + 3 * subject.face
        lab[..., 0] = sight.contrasted(lab[..., 0], weight, 0.5 * unit, self.contrast, self.local_contrast)
        middle = float(np.average(lab[..., 0], weights=weight + 1e-6))
        light = np.tanh((lab[..., 0] - middle) / 25)
        lab[..., 0] += self.lift * np.clip(lab[..., 0] / 50, 0, 1)
        chroma = np.hypot(lab[..., 1], lab[..., 2])
        lab[..., 1:] *= (1 + (self.saturation - 1) * np.exp(-((chroma / 32) ** 2)))[..., None]
        turn = (2.5 if grey else 1.0) * np.where(light > 0, self.warm_lights, self.cool_shadows) * light
        lab[..., 2] += turn
        lab[..., 1] += 0.4 * np.abs(turn)
        return np.ascontiguousarray(lab, np.float32)

    def _person(self, subject: Subject, motif: np.ndarray, room: np.ndarray, weight: np.ndarray, rng) -> np.ndarray:
        """Washes of the person, density `[H, W, 3]`: each makes the paper darker by one step of tone."""
        unit, shape = subject.eye_distance, room.shape
        fine = np.clip(2 * (subject.fineness - 0.5), 0, 1)
        lightness = motif[..., 0]
        tones, loose = self._tones(lightness, weight), self._shapes(lightness, unit)
        seen = loose + fine * (lightness - loose)
        total = np.clip(tones[0] + self.paper_white * (lightness - tones[0]), tones[0], 99)
        painted = np.zeros_like(total)
        for number, (tone, darker) in enumerate(zip(tones, [*tones[1:], 0.5 * tones[-1]], strict=True)):
            wander = sight.noise(shape, 0.5 * unit, rng) - 1
            end = np.clip((room + self.retreat * number * (0.4 * wander - 0.6)) / (0.12 + 0.08 * number) + 0.5, 0, 1)
            end = np.maximum(end, np.clip(1.5 * subject.face, 0, 1))
            painted = np.maximum(painted, end)
            mask = self._wash(seen, fine, tone, number, unit, rng) * end
            wash = wet.wet_edge(mask, max(self.edge_width * unit, 0.7), self.edge * (1 - 0.7 * fine))
            wash *= 1 + 0.5 * self.flow * (1 - 0.6 * subject.face) * sight.noise(shape, 0.8 * unit, rng, octaves=4)
            total -= (tone - darker) * wash
        keep = self.modelling + (self.fine_modelling - self.modelling) * fine
        total += keep * (np.maximum(lightness, total - 25) - total)
        dilution = grey_density(total) / grey_density(lightness)
        pigment = density(np.dstack([lightness, *self._hues(subject, motif, rng)]).astype(np.float32))
        return (painted * dilution.clip(0, 3))[..., None] * pigment

    def _shapes(self, lightness: np.ndarray, unit: float) -> np.ndarray:
        """L in simple shapes with round and sharp outlines, as water takes them."""
        loose = sight.guided(lightness, lightness, max(self.looseness * unit, 0.5), 36.0)
        round_off = max(self.tension * unit, 0.5)
        loose = sight.blur(loose, round_off)
        return sight.crisp(loose, round_off, loose)

    def _tones(self, lightness: np.ndarray, weight: np.ndarray) -> list[float]:
        """The L from which each wash is laid, around the median of the person, most of all of the face."""
        picked, share = lightness[::3, ::3].ravel(), weight[::3, ::3].ravel() + 1e-6
        order = picked.argsort()
        part = np.cumsum(share[order])
        middle = float(picked[order][np.searchsorted(part, 0.5 * part[-1])])
        return [min(max(middle + step, 4.0 - 0.5 * number), 97.0) for number, step in enumerate(self.steps)]

    def _hues(self, subject: Subject, motif: np.ndarray, rng) -> list[np.ndarray]:
        """a and b of the washes: they bleed over outlines, and pigments drift."""
        fades = np.clip(motif[..., 0] / 60, 0, 1) * np.clip((102 - motif[..., 0]) / 40, 0, 1)
        strength = self.colour_play * fades * (1 - 0.5 * subject.face)
        pale = np.clip((103 - motif[..., 0]) / 12, 0, 1)  # whites stay white
        return [
            sight.blur(motif[..., channel] * pale, self.bleed * subject.eye_distance)
            + strength * sight.noise(fades.shape, 0.6 * subject.eye_distance, rng)
            for channel in (1, 2)
        ]

    def _wash(self, seen: np.ndarray, fine: np.ndarray, tone: float, number: int, unit: float, rng) -> np.ndarray:
        """Where the picture is darker than a tone, loosely: the edge wobbles, here sharp and there soft."""
        seen = seen + self.wobble * (1 - fine) * sight.noise(seen.shape, 0.25 * unit, rng)
        wetness = np.clip(0.5 + 0.5 * sight.noise(seen.shape, 0.9 * unit, rng), 0, 1) ** 3
        softness = self.sharp[number] + self.soft * np.maximum(wetness, 0.5 * fine)
        mask = np.clip((tone - seen) / softness + 0.5, 0, 1)
        return mask * mask * (3 - 2 * mask)

    def _background(self, subject: Subject, motif: np.ndarray, matte: np.ndarray, paper: np.ndarray, rng) -> np.ndarray:
        """One loose wash around the person that leaves the paper white towards the borders, density `[H, W, 3]`."""
        unit, shape = subject.eye_distance, matte.shape
        behind = sight.spread(motif, 1 - matte, 0.3 * unit)
        clouds, turns = sight.noise(shape, 1.2 * unit, rng, octaves=4), sight.noise(shape, 1.5 * unit, rng)
        mix = 0.5 + 0.5 * np.tanh(1.5 * turns)[..., None]
        first, second = np.float32(self.pigments[:2]), np.float32(self.pigments[2:])
        behind[..., 1:] = self.background_saturation * behind[..., 1:] + first + mix * (second - first)
        chroma = np.hypot(behind[..., 1], behind[..., 2]) / MOST_CHROMA
        behind[..., 1:] *= (np.tanh(chroma) / (chroma + 1e-6))[..., None]
        behind[..., 0] = np.clip(behind[..., 0], 45, 80)
        target = density(behind)
        target /= target.mean(axis=2, keepdims=True)
        away = cv2.distanceTransform((matte < 0.5).astype(np.uint8), cv2.DIST_L2, 3) / unit
        field = np.exp(-away / max(self.background_reach, 1e-3)) + 0.1 * clouds + 0.4 * self._rough(paper, subject, rng)
        field += 0.2 * self.brushed * wet.sweeps(shape, unit, rng)
        field -= 1.0 * np.exp(-border_distance(shape, unit) / max(self.border, 1e-3))
        mask = np.clip((field - 0.4) / 0.05 + 0.5, 0, 1)
        wash = wet.wet_edge(mask * (1 - matte), max(self.edge_width * unit, 0.7), self.edge)
        darkness = np.clip(density(sight.spread(motif, 1 - matte, 0.3 * unit)).mean(axis=2), *self.background_density)
        fall = np.clip(0.45 + 0.75 * np.exp(-away / 0.6), 0, 1.2) * (1 + self.flow * clouds * 0.6)
        splash = wet.drops(shape, round(self.drop_count), self.drop_size * unit, (1 - matte) * (field > 0), rng)
        splash = wet.wet_edge(splash, max(self.edge_width * unit, 0.7), self.edge) * (1 - matte)
        return (darkness * np.maximum(wash * np.maximum(fall, 0.1), 0.7 * splash))[..., None] * target

    def _room(self, subject: Subject, paper: np.ndarray, rng) -> np.ndarray:
        """How far inside the painted part of the sheet we are, in widths of the border, float32 `[H, W]`; negative on
        the white paper outside. Its rim is that of a broad brush."""
        distance = border_distance(paper.shape, subject.eye_distance) / max(self.border, 1e-3)
        return distance + self.brushed * wet.sweeps(paper.shape, subject.eye_distance, rng) + self._rough(paper, subject, rng) - 0.4

    @staticmethod
    def _rough(paper: np.ndarray, subject: Subject, rng) -> np.ndarray:
        """What the paper does to the rim of a wash: nothing where the brush is wet, specks where it is dry."""
        dry = np.clip(0.6 * sight.noise(paper.shape, 0.7 * subject.eye_distance, rng), 0, 1.2) ** 2
        return 0.1 * dry * paper

    def _line(self, subject: Subject, matte: np.ndarray, paper: np.ndarray, rng) -> np.ndarray:
        """A loose pencil line, density `[H, W, 3]`."""
        unit, shape = subject.eye_distance, matte.shape
        lightness = sight.to_lab(subject.rgb)[..., 0]
        lightness = sight.without_texture(np.dstack([lightness] * 3), 0.02 * unit, 4.0)[..., 0]
        width = max(self.line_width * unit, 0.7)
        lines = wet.drawn_lines(lightness, sight.flow(lightness, 2 * width), width, self.line_contrast)
        pressure = np.clip(0.65 + 0.35 * sight.noise(shape, 0.5 * unit, rng) + 0.18 * paper, 0, 1.2)
        skin = np.clip(subject.face - 1.5 * subject.fineness + 0.6, 0, 1)
        near = np.clip(matte + 0.3, 0, 1) * (1 - 0.6 * skin)
        return (self.line * lines * pressure * near)[..., None] * np.float32(self.line_density)


def density(lab: np.ndarray) -> np.ndarray:
    """Pigment `[H, W, 3]` that paints a colour on white paper."""
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0.03, 1)
    return np.maximum(-np.log(rgb), 1e-3)


def grey_density(lightness: np.ndarray) -> np.ndarray:
    """Pigment of a grey of that L."""
    return np.maximum(-np.log(lightness.clip(2, 99.5) / 100), 5e-3)


def border_distance(shape: tuple[int, int], unit: float) -> np.ndarray:
    """How far it is to the border of a rounded sheet, in eye distances, float32 `[H, W]`; 0 in the corners."""
    y, x = (np.abs(np.linspace(-1, 1, side, dtype=np.float32)) for side in shape)
    out = (y[:, None] ** ROUNDNESS + x[None] ** ROUNDNESS) ** (1 / ROUNDNESS)
    return np.maximum(1 - out, 0) * min(shape) / 2 / unit
