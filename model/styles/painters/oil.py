"""Oil on canvas, alla prima: broad strokes first, finer ones only where the picture asks for them (Hertzmann 1998)."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import sight
from model.styles.painters.brushes import Paint, bristles, lay_strokes
from model.styles.painters.motif import Motif, check_lists
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

LIGHT = (-0.64, -0.77)  # where the light on the paint comes from: above, on the left (x, y)
LIT_SLOPE = 0.5  # of the paint, at which it is nearly as light or as dark as it gets
LIGHTS_LAST = 25.0  # disorder, in L, of the order from dark to light in which strokes are laid
OUT_OF_REACH = 0.35  # fineness that a place may lack for a brush; no stroke is tried beyond it
UNKNOWN_FINENESS = 0.6  # of the whole person, where no face is known
FINEST = 1.6  # pixels of the finest stroke, and
FINEST_BRISTLE = 1.3  # of a bristle: finer ones cannot be drawn


@dataclass(frozen=True)
class Easel:
    """A painting in progress, with what it is painted after."""

    canvas: np.ndarray  # Lab float32 [H, W, 3]
    relief: np.ndarray  # thickness of the paint in pixels, float32 [H, W]
    motif: np.ndarray  # Lab float32 [H, W, 3]
    matte: np.ndarray  # of the person, float32 [H, W]
    fineness: np.ndarray  # float32 [H, W], see `Subject`
    unit: float  # eye distance in pixels
    texture: np.ndarray
    rng: np.random.Generator


@dataclass(frozen=True)
class Painter(Motif):
    """An oil painter; what the values mean is in oil.toml."""

    planes: float = between(0, 1)
    plane_step: float = between(2, 40)
    background_blur: float = between(0.02, 3)
    background_detail: float = between(0, 1)
    background_light: float = between(0, 100)
    pigments: list[float] = between(-60, 60)
    ground: list[float] = between(-60, 100)

    widths: list[float] = between(0.005, 2)
    lengths: list[float] = between(1, 20)
    needs: list[float] = between(0, 1)
    gains: list[float] = between(-50, 50)
    colour_play: list[float] = between(0, 40)
    reluctance: float = between(0, 200)
    spacing: float = between(0.2, 2)
    tolerance: float = between(2, 100)
    wander: float = between(0, 3)

    opacity: float = between(0.05, 1)
    streaks: float = between(0, 60)
    bristle: float = between(0.01, 0.5)
    ragged: float = between(0, 2)
    dryness: float = between(0, 1)
    thickness: float = between(0, 0.2)
    relief: float = between(0, 60)

    def __post_init__(self) -> None:
        check_lists(self, "widths", "lengths", "needs", "gains", "colour_play", pigments=4, ground=3)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """See `values.Painter`."""
        rng, unit = np.random.default_rng(seed), subject.eye_distance
        matte = sight.cut_out(subject.rgb, subject.matte, unit)
        motif = self._composed_with_background(self.seen(subject, matte), matte, subject, rng)
        canvas = np.tile(np.float32(self.ground), (*matte.shape, 1))
        relief = np.zeros_like(matte)
        fineness = subject.fineness if subject.landmarks is not None else UNKNOWN_FINENESS * matte
        easel = Easel(canvas, relief, motif, matte, fineness, unit, bristles(rng), rng)
        for brush in range(len(self.widths)):
            if self.widths[brush] * unit > 0.5 * FINEST:
                self._paint_with(brush, easel)
        return sight.to_rgb(self._lit(easel))

    def _composed_with_background(self, lab: np.ndarray, matte: np.ndarray, subject: Subject, rng) -> np.ndarray:
        """The motif in flat planes of tone, but for eyes and mouth, with the background simplified."""
        behind = self._background(lab, matte, subject.eye_distance, rng)
        lab = behind + np.maximum(matte, self.background_detail)[..., None] * (lab - behind)
        flat = self.planes * np.clip(2.5 * (1 - subject.fineness), 0, 1)
        steps = sight.guided(lab[..., 0], lab[..., 0], 0.03 * subject.eye_distance, 8.0) / self.plane_step
        whole = np.floor(steps)
        planes = self.plane_step * (whole + np.clip(3 * (steps - whole - 0.5) + 0.5, 0, 1))
        lab[..., 0] += flat * (planes - lab[..., 0])
        lab[..., 0] = lab[..., 0].clip(2, 99)
        return np.ascontiguousarray(lab, np.float32)

    def _background(self, lab: np.ndarray, matte: np.ndarray, unit: float, rng) -> np.ndarray:
        """What sets off the person: not too light, and in two pigments where the photo has no colour."""
        behind = sight.spread(lab, 1 - matte, self.background_blur * unit)
        light = behind[..., 0]
        behind[..., 0] = np.minimum(light, self.background_light + 0.3 * (light - self.background_light))
        first, second = np.float32(self.pigments).reshape(2, 2)
        mix = sight.logistic(3 * sight.noise(matte.shape, 1.6 * unit, rng))[..., None]
        colourless = np.exp(-np.hypot(behind[..., 1], behind[..., 2]) / 12)[..., None]
        behind[..., 1:] += colourless * (first + mix * (second - first))
        return behind

    def _paint_with(self, brush: int, easel: Easel) -> None:
        """All strokes of one brush: darks first, lights last, none where the work is to be broader."""
        rng, width = easel.rng, max(self.widths[brush] * easel.unit, FINEST)
        places = _shaken_grid(width * self.spacing, easel.matte.shape, rng)
        lack = self.needs[brush] - easel.fineness[_at(places)]
        order = easel.motif[_at(places)][:, 0] + LIGHTS_LAST * rng.standard_normal(len(places))
        order = np.argsort(order, kind="stable")
        places = places[order[lack[order] < OUT_OF_REACH]]
        person, count = easel.matte[_at(places)], len(places)
        gains = self.gains[brush] + self.reluctance * np.maximum(self.needs[brush] - easel.fineness[_at(places)], 0)
        turns = self.wander * (1 - 0.75 * person) * rng.standard_normal(count)
        play = self.colour_play[brush] * (1 - 0.5 * person)[:, None] * (0.8, 0.7, 1.0)
        colours = play * rng.standard_normal((count, 3))
        lay_strokes(
            easel.canvas, easel.relief, sight.blur(easel.motif, 0.12 * width), easel.matte,
            sight.flow(easel.motif[..., 0], 0.35 * width + 0.02 * easel.unit), easel.texture, places,
            turns.astype(np.float32), rng.random((count, 2), np.float32), colours.astype(np.float32),
            gains.astype(np.float32), float(width), float(self.lengths[brush]), float(self.tolerance),
            self._paint(width, easel.unit).values,
        )  # fmt: skip

    def _paint(self, width: float, unit: float) -> Paint:
        """The paint on a brush so wide."""
        bristle = max(self.bristle * width, FINEST_BRISTLE)
        return Paint(self.opacity, self.thickness * unit, self.streaks, self.ragged, self.dryness, bristle)

    def _lit(self, easel: Easel) -> np.ndarray:
        """The painting lit from one side."""
        smooth = sight.blur(easel.relief, max(0.004 * easel.unit, 0.6))
        dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=0.125) for axis in ((1, 0), (0, 1)))
        lit = easel.canvas.copy()
        lit[..., 0] += self.relief * np.tanh((LIGHT[0] * dx + LIGHT[1] * dy) / LIT_SLOPE)
        return lit


def _shaken_grid(spacing: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Middles of strokes, one in each cell of a grid, float32 `[N, 2]` (x, y)."""
    corners = np.stack(np.meshgrid(np.arange(0, shape[1], spacing), np.arange(0, shape[0], spacing)), -1).reshape(-1, 2)
    shaken = corners + spacing * rng.random(corners.shape)
    return np.clip(shaken, 0, np.array(shape[::-1]) - 1).astype(np.float32)


def _at(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of places `[N, 2]`."""
    return places[:, 1].astype(int), places[:, 0].astype(int)
