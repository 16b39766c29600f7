"""A charcoal drawing: smudged tones, hatching that follows the form, deep blacks, and lights rubbed out again."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import streams
from model.styles.painters.hatching import Form, Hand, rough_paper
from model.styles.painters.likeness import (
    blurred,
    enlarged,
    eyes,
    lab_of,
    person,
    resized,
    step,
    three_numbers,
    tones,
    vignette,
    well_exposed,
)
from model.styles.painters.skin import skin_of, strands_of
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

WORK = 160.0  # pixels between the eyes at which the drawing is planned
EDGE = 20.0  # lightness that the person's outline counts for beside the edges in the photo
BLACKEST = 0.95  # tone that is aimed at in the deepest shadow


@dataclass(frozen=True)
class Painter:
    """Values in charcoal.toml."""

    contrast: float = between(0, 3)
    local: float = between(0, 3)
    detail: float = between(0, 3)
    strands: float = between(0, 1)
    smudge: float = between(0, 1)
    smudge_size: float = between(0.005, 0.5)
    angles: list[float] = between(-180, 180)
    form: float = between(0, 3)
    stroke_length: float = between(0.05, 3)
    stroke_width: float = between(0.003, 0.2)
    strength: float = between(0, 1)
    rubbed: float = between(0, 1)
    contours: float = between(0, 5)
    contour_width: float = between(0.003, 0.1)
    background: float = between(0, 1)
    corners: float = between(1, 10)
    fade: float = between(0, 0.99)
    grain: float = between(0.002, 0.1)
    tooth: float = between(0, 1)
    charcoal: list[float] = between(0, 255)
    paper: list[float] = between(0, 255)

    def __post_init__(self) -> None:
        three_numbers(self, "charcoal", "paper")

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """A charcoal drawing of the photo, RGB uint8 `[H, W, 3]`."""
        subject = well_exposed(subject)
        rng = np.random.default_rng(seed)
        paper = rough_paper(subject.rgb.shape[:2], self.grain * subject.eye_distance, rng)
        work = resized(subject, WORK)
        matte = person(work)
        _, skin = skin_of(work, cv2.bilateralFilter(lab_of(work.rgb), -1, 12, 0.02 * work.eye_distance), matte)
        hair, shown = strands_of(work, skin, matte), vignette(matte.shape, self.corners, self.fade)
        dark, behind = self._tones(work, matte)
        contours, strands = self._edges(work, matte, hair)
        dark = np.clip(dark - self.strands * strands * step(dark, 0, 0.4), 0, BLACKEST)
        dark, behind, contours, strands = (enlarged(shown * part, paper) for part in (dark, behind, contours, strands))
        form = (enlarged(part.astype(np.float32), paper) for part in self._form(work, matte, hair))
        fine = step(subject.fineness, 0.3, 0.85)

        drawn = self._smudged(dark + 0.6 * behind, fine, paper, subject.eye_distance)
        hand = Hand(paper, Form(*form), self.tooth, rng)
        drawn = self._drawn(hand, subject.eye_distance, drawn, dark, behind, contours, strands, fine)
        drawn = np.clip(_eyes(drawn, subject), 0, 1)[..., None]
        picture = np.float32(self.paper) + drawn * (np.float32(self.charcoal) - np.float32(self.paper))
        return np.clip(picture + 5 * (paper[..., None] - 0.5) + 0.5, 0, 255).astype(np.uint8)

    def _tones(self, work: Subject, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(how dark the person is to be, how dark what is behind), float32 `[H, W]` in [0, 1] each."""
        unit = work.eye_distance
        light = cv2.bilateralFilter(tones(work, matte, self.local), -1, 0.15, 0.02 * unit)
        light += self.detail * step(work.fineness, 0.4, 0.9) * (light - blurred(light, 0.12 * unit))
        dark = matte * (1 - np.clip(0.5 + self.contrast * (light - 0.5), 0, 1))
        # Behind the lit side of a head it is darker than behind the other.
        beside = blurred(dark, 0.8 * unit) / np.maximum(blurred(matte, 0.8 * unit), 0.05)
        near = step(blurred(matte, 0.6 * unit), 0.0, 0.6)
        return dark, (1 - matte) * self.background * near * (1 - 0.5 * beside)

    def _edges(self, work: Subject, matte: np.ndarray, hair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(where contours are drawn, from 0 to 1; strands of hair, from -1 to 1), float32 `[H, W]` each."""
        light, width = lab_of(work.rgb)[..., 0], self.contour_width * work.eye_distance
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, width, 5 * width) * (0.5 + 0.5 * step(work.fineness, 0.3, 0.9))
        edge = cv2.GaussianBlur(matte, (0, 0), width)
        contours = np.maximum(step(matte * lines * self.contours, 0.4, 3), 2.8 * edge * (1 - edge))
        return contours, hair * streams.strands(light, field, 1.3 * width, 8 * width, 0.25 * work.eye_distance)

    def _form(self, work: Subject, matte: np.ndarray, hair: np.ndarray) -> tuple[np.ndarray, ...]:
        """The fields of `hatching.Form`: head and body are domes, what is lighter stands out more."""
        light, unit = lab_of(work.rgb)[..., 0] / 100, work.eye_distance
        domes = np.sqrt(np.maximum(blurred(matte, 0.5 * unit), 0)) + 0.8 * blurred(work.face, 0.3 * unit)
        height = self.form * unit * (domes + 0.8 * blurred(light, 0.08 * unit))
        slope_x, slope_y = (matte * cv2.Sobel(height, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
        field, sure = streams.directions(100 * light + EDGE * matte, 0.05 * unit, 1.0)
        cosine, sine = field[..., 0], field[..., 1]
        return slope_x, slope_y, cosine**2 - sine**2, 2 * cosine * sine, hair * step(sure, 0.15, 0.4)

    def _smudged(self, wanted: np.ndarray, fine: np.ndarray, paper: np.ndarray, unit: float) -> np.ndarray:
        """Tone rubbed into the paper: with a finger, and with the tip of a stump at eyes and mouth."""
        soft, sharp = (blurred(wanted, size * self.smudge_size * unit) for size in (1, 0.12))
        rubbed = self.smudge * (1 - 0.3 * fine) * (soft + fine * (sharp - soft))
        return rubbed * (1 - (0.5 + 0.6 * fine) * self.tooth * (paper - 0.35))

    def _drawn(
        self, hand: Hand, unit: float, drawn: np.ndarray, dark: np.ndarray, behind: np.ndarray, contours: np.ndarray,
        strands: np.ndarray, fine: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """The strokes from broad to fine: background, hatching, eyes and mouth, contours, lights in the hair."""
        length, width = self.stroke_length * unit, self.stroke_width * unit * (1 - 0.6 * fine)
        drawn = hand.hatch(drawn, behind, self.angles[0], 2 * length, 1.4 * width, self.strength)
        for angle in self.angles:
            drawn = hand.hatch(drawn, dark * (1 - 0.5 * fine), angle, length, width, self.strength)
        for angle in (self.angles[0], self.angles[-1]):
            drawn = hand.hatch(drawn, 1.2 * dark * fine, angle, 0.4 * length, 0.7 * width, self.strength)
        # What still lacks is worked into the grain: all of it at eyes and mouth, and in the dark.
        lack = np.clip(1.06 * dark - drawn, 0, 1) * np.maximum(fine * step(dark, 0.25, 0.7), 0.6 * step(dark, 0.3, 0.8))
        drawn = drawn + lack * np.clip(1.15 + 1.3 * self.tooth * (0.5 - hand.grain), 0, 1.6)
        drawn = drawn - 0.8 * fine * np.clip(drawn - dark, 0, 1)
        drawn = hand.hatch(drawn, contours, None, length, np.float32(self.contour_width * unit), 1.0)
        lights = self.rubbed * np.clip(strands, 0, 1)
        return 1 - hand.hatch(1 - drawn, lights, None, length, 0.6 * width, 0.9)


def _eyes(drawn: np.ndarray, subject: Subject) -> np.ndarray:
    """Firm pupils and rims of the irises, and a light in each eye."""
    rows, columns = np.mgrid[: drawn.shape[0], : drawn.shape[1]].astype(np.float32)
    for iris, shape in eyes(subject):
        x, y = (columns - iris.x) / iris.radius, (rows - iris.y) / iris.radius
        away, inside = np.hypot(x, y), step(shape, 0.3, 0.7)
        firm = np.maximum(0.95 * step(away, 0.5, 0.35), 0.75 * step(np.abs(away - 0.95), 0.25, 0))
        firm = np.maximum(firm, 0.6 * step(away, 1.0, 0.8))  # over the lights of the photo
        drawn = np.maximum(drawn, inside * firm)
        drawn = drawn * (1 - inside * np.clip((0.2 - np.hypot(x + 0.32, y + 0.34)) * iris.radius + 0.5, 0, 1))
    return drawn
