"""A steel engraving, as on a banknote: lines that follow the form and swell with its darkness, crossed in the shadows
and broken into dots in the lights.

All is planned on a copy in which lines are `ruling.PERIOD` apart, and cut sharply at the size of the photo.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import ruling, streams
from model.styles.painters.flats import crisp
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

FINEST = 3.2  # pixels from line to line in the picture: finer ones would flicker
WIDEST = 0.93  # part of a period that one line covers at most
LONGEST_RAYS = 26  # rays in an iris


@dataclass(frozen=True)
class Painter:
    """Values in engraving.toml."""

    spacing: float = between(0.01, 0.3)
    angle: float = between(-90, 90)
    cross_angle: float = between(10, 90)
    relief: float = between(0, 3)
    unsteadiness: float = between(0, 1)
    contrast: float = between(0, 3)
    local: float = between(0, 3)
    detail: float = between(0, 3)
    bare: float = between(0, 0.5)
    dots_below: float = between(0, 1)
    dot_length: float = between(0.5, 10)
    cross_from: float = between(0, 0.99)
    third_from: float = between(0, 0.99)
    cross_width: float = between(0, 0.9)
    hair_rounds: int = between(0, 40)
    strands: float = between(0, 1)
    contours: float = between(0, 20)
    contour_width: float = between(0.002, 0.1)
    background: float = between(0, 0.9)
    corners: float = between(1, 10)
    fade: float = between(0, 0.99)
    ink: list[float] = between(0, 255)
    paper: list[float] = between(0, 255)

    def __post_init__(self) -> None:
        three_numbers(self, "ink", "paper")

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """An engraving of the photo, RGB uint8 `[H, W, 3]`."""
        subject = well_exposed(subject)
        spacing = max(self.spacing * subject.eye_distance, FINEST)
        work = resized(subject, subject.eye_distance * ruling.PERIOD / spacing)
        matte, shown = person(work), vignette(work.rgb.shape[:2], self.corners, self.fade)
        rng = np.random.default_rng(seed)
        shift = self._relief(work, matte) + ruling.unsteady(matte.shape, self.unsteadiness, rng) + rng.random()
        hair, field, lit = self._hair(work, matte)
        dark = (self._darkness(work, matte) - self.strands * hair * lit) * shown

        ink = self._lines(dark, hair, field, shift, subject.rgb)
        behind = self._background(work, matte, shown, spacing, subject.rgb)
        inside = crisp(enlarged(matte, subject.rgb), 0.5)
        ink = behind + inside * (ink - behind)
        ink = np.maximum(ink, crisp(enlarged(self._contours(work) * matte * shown, subject.rgb), 1.0))
        ink = _eyes(np.maximum(ink, _accents(subject)), subject)[..., None]
        picture = np.float32(self.paper) + ink * (np.float32(self.ink) - np.float32(self.paper))
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def _darkness(self, work: Subject, matte: np.ndarray) -> np.ndarray:
        """How much of the paper ink is to cover, float32 `[H, W]` in [0, 1]; eyes and mouth stand out."""
        light = cv2.bilateralFilter(tones(work, matte, self.local), -1, 0.12, 0.35 * ruling.PERIOD)
        around = blurred(light, 0.12 * work.eye_distance)
        light = light + self.detail * step(work.fineness, 0.4, 0.9) * (light - around)
        return 1 - np.clip(0.5 + self.contrast * (light - 0.5), 0, 1)

    def _relief(self, work: Subject, matte: np.ndarray) -> np.ndarray:
        """Height of the form in lines, float32 `[H, W]`: head and body are domes, what is lighter stands out more."""
        unit = work.eye_distance
        domes = 0.64 * np.sqrt(np.maximum(blurred(matte, 0.5 * unit), 0)) + 0.26 * blurred(work.face, 0.3 * unit)
        light = blurred(lab_of(work.rgb)[..., 0] / 100, 0.07 * unit)
        return self.relief * unit / ruling.PERIOD * (domes + 0.09 * light)

    def _hair(self, work: Subject, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(where lines follow the photo's own directions, as they do in hair and clothes, float32 `[H, W]`; the
        directions; the strands that catch the light)."""
        light = lab_of(work.rgb)[..., 0]
        near, sure = streams.directions(light, 0.8 * ruling.PERIOD, 0.5)
        wide, surer = streams.directions(light, 2.5 * ruling.PERIOD, 0.5)
        field = streams.blended(wide, near, step(sure, 0.3, 0.7))
        _, skin = skin_of(work, cv2.bilateralFilter(lab_of(work.rgb), -1, 12, ruling.PERIOD), matte)
        weight = strands_of(work, skin, matte) * step(surer, 0.08, 0.25)
        lit = streams.strands(light, field, 0.3 * ruling.PERIOD, 1.5 * ruling.PERIOD, 0.3 * work.eye_distance)
        return cv2.GaussianBlur(weight.astype(np.float32), (0, 0), 0.5 * ruling.PERIOD), field, lit

    def _lines(
        self, dark: np.ndarray, hair: np.ndarray, field: np.ndarray, shift: np.ndarray, like: np.ndarray
    ) -> np.ndarray:
        """Ink of the person: lines as wide as it is dark, helped by crossing ones where there is no hair."""
        angles = self.angle, self.angle + self.cross_angle, self.angle - self.cross_angle
        bends = 1.0, np.cos(np.radians(self.cross_angle) / 2), np.cos(np.radians(self.cross_angle) / 2)
        numbers = [ruling.ruled(dark.shape, turn, bend * shift) for turn, bend in zip(angles, bends, strict=True)]
        along = ruling.ruled(dark.shape, self.angle + 90, np.float32(0))
        strands = ruling.grown(ruling.wave(numbers[0]), field, hair > 0.02, round(self.hair_rounds))
        first, second, third, along, strands, hair, dark = (
            enlarged(part.astype(np.float32), like) for part in (*numbers, along, strands, hair, dark)
        )
        dark, face = np.clip(dark, 0, 1), 1 - np.clip(hair, 0, 1)
        crossing, again = (
            self.cross_width * face * step(dark, begin, 1) for begin in (self.cross_from, self.third_from)
        )
        width = np.clip(1 - (1 - dark) / ((1 - crossing) * (1 - again)), 0, WIDEST)
        width = width * step(dark, 0.5 * self.bare, self.bare)
        dotted = face * step(dark, self.dots_below, 0.6 * self.dots_below)
        # Dots of neighbouring lines are staggered; they are wider than the line was, for there is less of it.
        between_dots = 0.5 - 0.5 * ruling.wave(along / self.dot_length + 0.5 * np.round(first))
        pattern = face * ruling.wave(first) + (1 - face) * strands - 0.9 * dotted * between_dots
        lines = ruling.cut(pattern, np.minimum(width * (1 + 0.6 * dotted), WIDEST))
        crossed = np.maximum(ruling.cut(ruling.wave(second), crossing), ruling.cut(ruling.wave(third), again))
        return np.maximum(lines, crossed)

    def _background(
        self, work: Subject, matte: np.ndarray, shown: np.ndarray, spacing: float, like: np.ndarray
    ) -> np.ndarray:
        """Ruled lines behind the person, heavier near the head, with a gap of bare paper around it."""
        gap = step(cv2.GaussianBlur(matte, (0, 0), 0.05 * work.eye_distance), 0.25, 0.05)
        near = blurred(matte, 0.7 * work.eye_distance)
        amount = enlarged((self.background * (0.35 + 0.9 * near) * gap * shown).astype(np.float32), like)
        rows = np.arange(like.shape[0], dtype=np.float32)[:, None] / spacing
        return ruling.cut(ruling.wave(np.broadcast_to(rows, like.shape[:2])), np.clip(amount, 0, WIDEST))

    def _contours(self, work: Subject) -> np.ndarray:
        """Firm lines along edges, above 1 where they are drawn; most of them in the face."""
        light, width = lab_of(work.rgb)[..., 0], max(self.contour_width * work.eye_distance, 0.6)
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, width, 4 * width)
        return np.minimum(self.contours * lines * (0.35 + 0.65 * step(work.fineness, 0.3, 0.9)), 4)


def _accents(subject: Subject) -> np.ndarray:
    """Solid ink float32 `[H, W]` in eyes and mouth where it is much darker than around: lashes, nostrils, corners."""
    light = lab_of(subject.rgb)[..., 0]
    around = blurred(light, 0.25 * subject.eye_distance)
    light = cv2.bilateralFilter(light, -1, 12, max(0.008 * subject.eye_distance, 0.5))
    return step(subject.fineness, 0.65, 0.95) * step(light / np.maximum(around, 8), 0.55, 0.42)


def _eyes(ink: np.ndarray, subject: Subject) -> np.ndarray:
    """Clear eyes: bare paper for the white, an iris of fine rays, a black pupil and a light in it."""
    rows, columns = np.mgrid[: ink.shape[0], : ink.shape[1]].astype(np.float32)
    for iris, shape in eyes(subject):
        x, y = (columns - iris.x) / iris.radius, (rows - iris.y) / iris.radius
        away, inside = np.hypot(x, y), step(shape, 0.35, 0.65)
        rays = 0.5 + 0.5 * np.cos(np.arctan2(y, x) * min(LONGEST_RAYS, int(1.3 * iris.radius)))
        shade = np.clip(0.75 - 0.9 * y, 0.25, 1)  # below the upper lid
        disc = np.maximum(step(rays + shade, 0.45, 0.75), np.maximum(step(away, 0.5, 0.42), step(away, 0.82, 0.92)))
        part = inside * step(away, 1.04, 0.98)
        ink = ink * (1 - 0.9 * inside * (1 - part) * step(shape, 0.5, 0.9))
        ink = ink + part * (disc - ink)
        ink = ink * (1 - inside * np.clip((0.27 - np.hypot(x + 0.34, y + 0.36)) * iris.radius + 0.5, 0, 1))
    return np.clip(ink, 0, 1)
