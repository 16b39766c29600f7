"""Oil on canvas, alla prima: broad strokes first, finer ones only where the picture asks for them (Hertzmann 1998)."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import sight
from model.styles.painters.brushes import bristles, lay_strokes
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

LIGHT = (-0.64, -0.77)  # where the light on the paint comes from: above, left (x, y)


@dataclass(frozen=True)
class Painter:
    """An oil painter; what the values mean is in oil.toml."""

    # The motif
    texture_scale: float = between(0, 0.2)
    texture_contrast: float = between(0, 40)
    crispness: float = between(0, 0.1)
    contrast: float = between(0.5, 2)
    local_contrast: float = between(0, 4)
    saturation: float = between(0, 3)
    clear_eyes: float = between(0, 2)
    quiet_teeth: float = between(0, 1)
    zones: float = between(0, 3)
    warm_lights: float = between(-30, 30)
    cool_shadows: float = between(-30, 30)
    planes: float = between(0, 1)
    plane_step: float = between(2, 40)
    background_blur: float = between(0.02, 3)
    background_detail: float = between(0, 1)
    background_light: float = between(0, 100)
    pigments: list[float] = between(-60, 60)
    ground: list[float] = between(-60, 100)

    # The brushes, from broad to fine
    widths: list[float] = between(0.005, 2)
    lengths: list[float] = between(1, 20)
    gains: list[float] = between(-50, 50)
    fineness: list[float] = between(0, 1)
    reluctance: float = between(0, 200)
    spacing: float = between(0.15, 2)
    tolerance: float = between(2, 100)
    wander: float = between(0, 3)
    colour_play: list[float] = between(0, 40)

    # The paint
    opacity: float = between(0.05, 1)
    streaks: float = between(0, 60)
    bristle: float = between(0.01, 0.5)
    ragged: float = between(0, 2)
    dryness: float = between(0, 1)
    thickness: float = between(0, 0.2)
    relief: float = between(0, 60)
    weave: float = between(0, 10)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """See `values.Painter`."""
        rng = np.random.default_rng(seed)
        matte = sight.cut_out(subject)
        motif = self._motif(subject, matte, rng)
        canvas = np.empty_like(motif)
        canvas[:] = self.ground
        relief = np.zeros(matte.shape, np.float32)
        texture = bristles(rng)
        for layer in range(len(self.widths)):
            self._paint_layer(layer, canvas, relief, motif, matte, subject, texture, rng)
        return sight.to_rgb(self._lit(canvas, relief, subject.eye_distance, rng))

    def _motif(self, subject: Subject, matte: np.ndarray, rng) -> np.ndarray:
        """What the painter sees in the photo: its tones and colours composed, the background simplified. Lab."""
        unit = subject.eye_distance
        seen = sight.exposed(sight.to_lab(subject.rgb))
        grey = sight.is_grey(seen)
        lab = sight.without_texture(seen, self.texture_scale * unit, self.texture_contrast)
        fine = np.clip(2.5 * (subject.fineness - 0.6), 0, 1)[..., None]
        lab = sight.crisp_lab(lab, self.crispness * unit, 1 - fine[..., 0])
        lab += 1.2 * fine * (seen - lab)
        lab = sight.quiet_teeth(sight.clear_eyes(lab, subject, self.clear_eyes), subject, self.quiet_teeth)
        lab = sight.zones(lab, subject, self.zones)
        weight = matte + 3 * subject.face
        behind = self._coloured(sight.spread(lab, 1 - matte, self.background_blur * unit), unit, rng)
        keep = np.maximum(matte, self.background_detail)[..., None]
        lab = behind + keep * (lab - behind)
        lab[..., 0] = sight.contrasted(lab[..., 0], weight, 0.5 * unit, self.contrast, self.local_contrast)
        lab[..., 0] += self.planes * (1 - fine[..., 0]) * (self._planes(lab[..., 0], 0.03 * unit) - lab[..., 0])
        middle = float(np.average(lab[..., 0], weights=weight + 1e-6))
        light = np.tanh((lab[..., 0] - middle) / 25)
        chroma = np.hypot(lab[..., 1], lab[..., 2])
        lab[..., 1:] *= (self.saturation / (1 + (self.saturation - 1) * (chroma / 60) ** 2).clip(1))[..., None]
        turn = (3.0 if grey else 1.0) * np.where(light > 0, self.warm_lights, self.cool_shadows) * light
        lab[..., 2] += turn
        lab[..., 1] += 0.35 * np.abs(turn)
        lab[..., 0] = lab[..., 0].clip(2, 99)
        return np.ascontiguousarray(lab, np.float32)

    def _coloured(self, behind: np.ndarray, unit: float, rng: np.random.Generator) -> np.ndarray:
        """A background that sets off the person: not too light, and in two pigments where the photo has no colour."""
        light = behind[..., 0]
        light[:] = np.minimum(light, self.background_light + 0.3 * (light - self.background_light))
        mix = 0.5 + 0.5 * np.tanh(1.5 * sight.noise(light.shape, 1.6 * unit, rng))[..., None]
        first, second = np.float32(self.pigments[:2]), np.float32(self.pigments[2:])
        chroma = np.hypot(behind[..., 1], behind[..., 2])
        behind[..., 1:] += np.exp(-chroma / 12)[..., None] * (first + mix * (second - first))
        return behind

    def _planes(self, lightness: np.ndarray, sigma: float) -> np.ndarray:
        """L in flat planes with soft borders."""
        steps = sight.guided(lightness, lightness, sigma, 60.0) / self.plane_step
        whole = np.floor(steps)
        return self.plane_step * (whole + np.clip(3 * (steps - whole - 0.5) + 0.5, 0, 1))

    def _paint_layer(self, layer, canvas, relief, motif, matte, subject, texture, rng) -> None:
        """All strokes of one brush."""
        unit = subject.eye_distance
        width = max(self.widths[layer] * unit, 1.6)
        places = self._places(width * self.spacing, matte.shape, rng)
        rows, columns = places[:, 1].astype(int), places[:, 0].astype(int)
        chosen = self.fineness[layer] - subject.fineness[rows, columns] < 0.35
        order = motif[rows, columns, 0] + 25 * rng.standard_normal(len(places))  # darks first, lights last
        places = places[np.argsort(order, kind="stable")][chosen[np.argsort(order, kind="stable")]]
        rows, columns = places[:, 1].astype(int), places[:, 0].astype(int)
        person = matte[rows, columns]
        chances = rng.random((len(places), 3)).astype(np.float32)
        chances[:, 2] = self.wander * (1 - 0.75 * person) * rng.standard_normal(len(places))
        play = self.colour_play[layer] * (1 - 0.5 * person)
        colours = (play[:, None] * rng.standard_normal((len(places), 3)) * (0.8, 0.7, 1.0)).astype(np.float32)
        lack = np.maximum(self.fineness[layer] - subject.fineness[rows, columns], 0)
        gains = (self.gains[layer] + self.reluctance * lack).astype(np.float32)
        bristle = max(self.bristle * width, 1.3)
        paint = (self.opacity, self.thickness * unit, self.streaks, self.ragged, self.dryness, bristle)
        picture = sight.blur(motif, 0.12 * width)
        lay_strokes(canvas, relief, picture, matte, sight.flow(motif[..., 0], 0.35 * width + 0.02 * unit), texture, places,
                    chances, colours, width, self.lengths[layer], self.tolerance, gains, paint)  # fmt: skip

    @staticmethod
    def _places(spacing: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Middles of strokes on a shaken grid, float32 `[N, 2]` (x, y)."""
        grid = np.stack(np.meshgrid(np.arange(0, shape[1], spacing), np.arange(0, shape[0], spacing)), -1).reshape(-1, 2)
        grid = grid + spacing * (rng.random(grid.shape))
        return np.clip(grid, 0, np.array(shape[::-1]) - 1).astype(np.float32)

    def _lit(self, canvas, relief, unit, rng) -> np.ndarray:
        """The paint lit from one side."""
        smooth = cv2.GaussianBlur(relief, (0, 0), max(0.004 * unit, 0.6))
        dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
        slope = LIGHT[0] * dx + LIGHT[1] * dy
        lit = canvas.copy()
        lit[..., 0] += self.relief * np.tanh(slope / 0.5)
        return lit
