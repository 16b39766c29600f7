"""A panel of a printed comic: flat colours with black contours and shadows, dots of the print, and rays behind.

Shapes are planned on a copy of one size and cut sharply at the size of the photo.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.faces.landmarks import BROWS, open_mouth
from model.styles.painters import flats, streams
from model.styles.painters.flats import crisp, over, polar
from model.styles.painters.likeness import (
    blurred,
    enlarged,
    eyes,
    lab_of,
    person,
    resized,
    rgb_of,
    step,
    three_numbers,
    well_exposed,
)
from model.styles.painters.skin import skin_of, strands_of
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

WORK = 150.0  # pixels between the eyes at which shapes are planned
SOFT = 0.012  # eye distances by which their edges are smoothed
SAMPLES = 4000  # pixels of the person that the palette is made from
LEAST_SPACING = 4.0  # pixels between dots: closer ones would be grey
BROW = 28  # percent of where a brow may be that it covers at least
BROW_WIDTH, LEAST_BROW = 0.24, -2.0  # eye distances that a brow is wide at most, and L by which it is darker at least
TONGUE, DEEP = 4.0, 0.4  # redder than skin by that in Lab, and as light by skin, is a tongue
OUTER_LIPS, INNER_LIPS = slice(48, 60), slice(60, 68)
BLACK, WHITE, TEETH = np.float32((16, 14, 20)), np.float32((255, 255, 255)), np.float32((252, 250, 246))


@dataclass(frozen=True, eq=False)
class Plan:
    """What is found on the copy before shapes are cut: Lab without texture float32 `[H, W, 3]`, the person's matte and
    the skin's mask float32 `[H, W]`, the distance inwards from the person's outline in pixels, and Lab of the skin."""

    work: Subject
    lab: np.ndarray
    matte: np.ndarray
    skin: np.ndarray
    edge: np.ndarray
    colour: np.ndarray

    @property
    def unit(self) -> float:
        """Eye distance in pixels of the copy."""
        return self.work.eye_distance

    def soft(self, mask: np.ndarray, times: float = 1.0) -> np.ndarray:
        """A mask `[H, W]` with smoothed edges."""
        return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), times * SOFT * self.unit)


@dataclass(frozen=True)
class Painter:
    """Values in comic.toml."""

    smoothing: float = between(0.005, 0.1)
    palette: int = between(2, 12)
    saturation: float = between(0, 3)
    skin_saturation: float = between(0, 3)
    skin_tones: list[float] = between(-60, 60)
    black: float = between(0, 60)
    brows: float = between(0, 1)
    sheen_width: float = between(0.005, 0.2)
    line_width: float = between(0.003, 0.1)
    line_threshold: float = between(0.1, 20)
    skin_threshold: float = between(1, 10)
    shortest_line: float = between(0, 1)
    teeth: float = between(0, 2)
    outline: float = between(0, 0.3)
    rim: float = between(0, 0.5)
    dot_spacing: float = between(0, 0.5)
    dot_angle: float = between(0, 90)
    backgrounds: list[float] = between(0, 360)
    rays: int = between(0, 60)

    def __post_init__(self) -> None:
        three_numbers(self, "skin_tones")

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """A comic picture of the photo, RGB uint8 `[H, W, 3]`."""
        subject = well_exposed(subject)
        rng = np.random.default_rng(seed)
        plan = self._plan(resized(subject, WORK))
        edge = enlarged(plan.edge, subject.rgb)
        person_here = crisp(edge)

        picture = self._background(subject, rng)
        picture = over(picture, WHITE, crisp(enlarged(plan.edge / plan.unit, subject.rgb), -self.rim))
        flat = self._flat_colours(plan, subject, rng)
        flat = over(flat, self._skin_tones(plan, subject), crisp(enlarged(plan.soft(plan.skin), subject.rgb), 0.5))
        flat = _eyes(self._mouth(flat, plan, subject), subject)
        picture = over(picture, flat, person_here)

        ink = np.maximum(self._shadows(plan, subject), self._lines(plan, subject))
        ink = np.maximum(ink, self._pen(subject)) * person_here
        ink = np.maximum(ink * (1 - self._sheen(plan, subject)), self._outline(plan, subject))
        picture = _catch_lights(over(picture, BLACK, ink), subject)
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def _plan(self, work: Subject) -> Plan:
        matte, lab = person(work), self._flattened(work)
        soft = cv2.GaussianBlur(matte, (0, 0), SOFT * work.eye_distance)
        edge = flats.distance_inwards(soft > 0.5, 0.08 * work.eye_distance, SOFT * work.eye_distance)
        colour, skin = skin_of(work, lab, matte)
        return Plan(work, lab, matte, skin, edge, colour)

    def _flattened(self, work: Subject) -> np.ndarray:
        """Lab without texture: a few rounds of the bilateral filter, then averages along the edges; less of both at
        eyes and mouth."""
        sigma = self.smoothing * work.eye_distance
        lab = lab_of(work.rgb)
        fine = cv2.bilateralFilter(lab, -1, 9.0, 0.5 * sigma)
        for _ in range(3):
            lab = cv2.bilateralFilter(lab, -1, 9.0, sigma)
        field, _ = streams.directions(lab[..., 0], 2 * sigma)
        lab = streams.smoothed_along(lab, field, 2.5 * sigma)
        return lab + step(work.fineness, 0.5, 0.9)[..., None] * (fine - lab)

    def _background(self, subject: Subject, rng: np.random.Generator) -> np.ndarray:
        """Rays of two colours from behind the head, with dots that grow outwards; plain where there are neither."""
        height, width = subject.rgb.shape[:2]
        hue = self.backgrounds[rng.integers(len(self.backgrounds))]
        inks = rgb_of(np.float32([[polar(_strongest(hue + turn), hue + turn, 80) for turn in (0, -22)]]))[0]
        x, y = (width / 2, 0.45 * height) if subject.landmarks is None else subject.landmarks[27]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        away = np.hypot(columns - x, rows - y)
        picture = np.broadcast_to(inks[0], (height, width, 3))
        if rays := round(self.rays):
            turn = np.arctan2(rows - y, columns - x) * rays / (2 * np.pi) + rng.random()
            beside = 2 * np.abs(turn - np.round(turn))  # 0 in the middle of a ray, 1 between two
            share = np.clip(0.5 + (beside - 0.5) * np.pi * np.maximum(away, 1) / rays, 0, 1)
            picture = over(picture, inks[1], share.astype(np.float32))
        if not self.dot_spacing:
            return picture
        far = step(away / np.hypot(height, width), 0.27, 0.7)
        return over(picture, WHITE, self._screen(subject, 1.6, 0.7, far))

    def _screen(self, subject: Subject, size: float, most: float, share: np.ndarray) -> np.ndarray:
        """How much of each pixel dots cover, which cover a `share` of `most` of their surroundings; without dots, it is
        all or nothing."""
        if not self.dot_spacing:
            return crisp(share, 0.5)
        spacing = max(size * self.dot_spacing * subject.eye_distance, LEAST_SPACING)
        return flats.dots(subject.rgb.shape[:2], spacing, self.dot_angle, most * share)

    def _flat_colours(self, plan: Plan, subject: Subject, rng: np.random.Generator) -> np.ndarray:
        """All but the skin in the few colours of a palette, RGB float32."""
        dressed = plan.matte * (1 - plan.skin) > 0.5
        some = plan.lab[dressed] if dressed.any() else plan.lab.reshape(-1, 3)
        palette = flats.palette_of(some[rng.integers(0, len(some), SAMPLES)], round(self.palette), rng)
        areas = enlarged(flats.flat_areas(plan.lab, palette, 1.5 * SOFT * plan.unit), subject.rgb)
        return flats.filled(areas, rgb_of(self._printed(palette)[None])[0])

    def _printed(self, lab: np.ndarray) -> np.ndarray:
        """Colours `[N, 3]` as printed: more saturated and contrasting; greys turn bluish, dark ones more."""
        light, a, b = lab.T
        chroma = np.hypot(a, b)
        gain = np.minimum(self.saturation * step(chroma, 1, 9) + 0.3, (12 + 1.1 * light) / np.maximum(chroma, 1))
        blue = step(chroma, 9, 3) * (8 + 15 * step(light, 38, 20))
        light = np.clip(50 + (light - 50) * np.where(light < 50, 1.1, 1.15), 6, 97)
        return np.stack([light, a * gain, b * gain - blue], axis=-1).astype(np.float32)

    def _skin_tones(self, plan: Plan, subject: Subject) -> np.ndarray:
        """Skin in four flat tones of its own colour, the last but one of them in dots, RGB float32."""
        light, hue, chroma = self._clear(plan.colour)
        tones = [(12, 7, 0.9 - 0.2 * step(light, 55, 75)), (0, 0, 1), (-17, -17, 1.3), (-24, -17, 1.25)]
        inks = rgb_of(np.float32([[polar(light + up, hue + turn, gain * chroma) for up, turn, gain in tones]]))[0]
        shadow, dotted, high = self.skin_tones
        shade = enlarged(plan.lab[..., 0] - plan.colour[0], subject.rgb)
        flat = over(np.broadcast_to(inks[1], subject.rgb.shape), inks[0], crisp(shade, high))
        flat = over(flat, inks[2], self._screen(subject, 1.0, 0.6, step(shade, 0, dotted)))
        return over(flat, inks[3], crisp(-shade, -shadow))

    def _clear(self, colour: np.ndarray) -> tuple[float, float, float]:
        """Lightness, hue in degrees and chroma of skin as printed: warm and clear, the darker the more."""
        light, a, b = colour
        hue = np.clip(np.degrees(np.arctan2(b, a)), 54 - 9 * step(light, 50, 70), 66)
        chroma = np.clip(self.skin_saturation * np.hypot(a, b), 46 - 0.28 * light, 45)
        return 1.06 * light + 3 + 4 * step(light, 55, 70), hue, chroma

    def _mouth(self, picture: np.ndarray, plan: Plan, subject: Subject) -> np.ndarray:
        """Lips of a red like their own with a gloss, and white teeth."""
        if subject.landmarks is None:
            return picture
        parts = (flats.shape_of(subject, subject.landmarks[part]) for part in (OUTER_LIPS, INNER_LIPS))
        outer, inner = (crisp(part, 0.5) for part in parts)
        lips = outer * (1 - inner)
        if not (lips > 0.5).any():
            return picture
        lab = np.dstack([enlarged(plan.soft(layer), picture) for layer in np.moveaxis(plan.lab, -1, 0)])
        _, a, b = np.median(lab[lips > 0.5], axis=0)
        hue, chroma = np.clip(np.degrees(np.arctan2(b, a)), 10, 38), np.clip(1.7 * np.hypot(a, b), 26, 62)
        light = 0.72 * self._clear(plan.colour)[0]
        reds = rgb_of(np.float32([[polar(light + up, hue, chroma) for up in (0, 14)]]))[0]
        gloss = lips * crisp(lab[..., 0], float(np.percentile(lab[lips > 0.5, 0], 80)))
        picture = over(over(picture, reds[0], lips), reds[1], gloss)
        if open_mouth(subject.landmarks) == 0:
            return picture
        picture = over(picture, BLACK, inner)
        red = crisp(lab[..., 1], float(plan.colour[1]) + TONGUE) * crisp(lab[..., 0], DEEP * float(plan.colour[0]))
        picture = over(picture, 0.8 * reds[0], inner * red)
        return over(picture, TEETH, inner * (1 - red) * crisp(lab[..., 0], self.teeth * float(plan.colour[0])))

    def _pen(self, subject: Subject) -> np.ndarray:
        """What is drawn whether the photo shows it or not: lids, nostrils, and the line between the lips."""
        points, size, unit = subject.landmarks, subject.rgb.shape[:2], subject.eye_distance
        ink = np.zeros(size, np.float32)
        if points is None:
            return ink
        middle = (points[61:64] + points[[67, 66, 65]]) / 2
        lines = [(points[first : first + 4], 1.0) for first in (36, 42)]  # upper lids
        lines += [(points[[39, 40, 41, 36]], 0.5), (points[[42, 47, 46, 45]], 0.5)]  # lower ones
        lines += [(points[31:33], 0.9), (points[34:36], 0.9), (points[32:35], 0.5)]  # the nose from below
        if open_mouth(points) == 0:
            lines.append((np.concatenate([points[48:49], middle, points[54:55]]), 0.9))
        for line, width in lines:
            ink = np.maximum(ink, flats.stroke(size, line, max(2.2 * width * self.line_width * unit, 1.0)))
        return ink

    def _lines(self, plan: Plan, subject: Subject) -> np.ndarray:
        """Contours, more readily at eyes, mouth, nose and brows, less so in bare skin: wrinkles stay out."""
        width = self.line_width * plan.unit
        light = cv2.bilateralFilter(lab_of(plan.work.rgb)[..., 0], -1, 7.0, max(width, 1.0))
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, width, 4 * width)
        fine = step(plan.work.fineness, 0.36, 0.6)
        threshold = self.line_threshold * (1 - 0.5 * fine) * (1 + (self.skin_threshold - 1) * plan.skin * (1 - fine))
        threshold = threshold * np.clip(plan.colour[0] / 70, 0.5, 1.1) / np.maximum(plan.matte, 0.15)
        return self._cut(lines / threshold, 1.0, plan, subject)

    def _shadows(self, plan: Plan, subject: Subject) -> np.ndarray:
        """Solid black where it is darkest, and brows; dark skin keeps its own tones."""
        limit = np.where(plan.skin > 0.5, min(self.black, 0.42 * plan.colour[0]), self.black)
        light = cv2.GaussianBlur(plan.lab[..., 0], (0, 0), 0.02 * plan.unit)
        thick = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(round(BROW_WIDTH / 2 * plan.unit), 1) + 1,) * 2)
        around = cv2.morphologyEx(light, cv2.MORPH_CLOSE, thick)  # brows are darker than that; broad shadows are not
        darker = light - around
        for brow in _brows(plan.work):
            least = np.percentile(darker[brow > 0], BROW) if brow.any() else 0.0
            most = max(min(least, LEAST_BROW), (self.brows - 1) * float(plan.colour[0]))
            limit = np.where(brow > 0, np.maximum(limit, around + most), limit)
        return self._cut(plan.soft(limit - plan.lab[..., 0]), 0.0, plan, subject)

    def _sheen(self, plan: Plan, subject: Subject) -> np.ndarray:
        """Shapes of light along the strands of black hair, where its own colour shows."""
        light, width = plan.lab[..., 0], self.sheen_width * plan.unit
        field, sure = streams.directions(light, 0.05 * plan.unit, 0.05)
        lit = streams.strands(light, field, width, 5 * width, 0.4 * plan.unit)
        lit += 0.12 * (light - blurred(light, 0.25 * plan.unit))
        hair = strands_of(plan.work, plan.skin, plan.matte)
        black = step(light, self.black + 8, self.black) * step(sure, 0.2, 0.5)
        return self._cut(plan.soft(hair * black * lit, 0.7), 0.55, plan, subject)

    def _cut(self, values: np.ndarray, threshold: float, plan: Plan, subject: Subject) -> np.ndarray:
        """Sharp shapes at the size of the photo, without those that are too short."""
        return crisp(
            enlarged(flats.without_specks(values, threshold, self.shortest_line * plan.unit), subject.rgb), threshold
        )

    def _outline(self, plan: Plan, subject: Subject) -> np.ndarray:
        """The person's contour, heavier below and to the right, where light from the upper left leaves shade."""
        dx, dy = cv2.Sobel(plan.edge, cv2.CV_32F, 1, 0), cv2.Sobel(plan.edge, cv2.CV_32F, 0, 1)
        shaded = 0.85 - 0.35 * (dx + dy) / np.maximum(np.hypot(dx, dy), 1e-3)
        return crisp(enlarged(self.outline * plan.unit * shaded - np.abs(plan.edge), subject.rgb))


def _brows(work: Subject) -> list[np.ndarray]:
    """Masks `[H, W]` of where the brows may be."""
    if work.landmarks is None:
        return []
    masks = []
    for points in np.split(work.landmarks[BROWS], 2):
        line = [np.round(points * 16).astype(np.int32)]
        width = max(round(0.18 * work.eye_distance), 1)
        masks.append(cv2.polylines(np.zeros(work.rgb.shape[:2], np.uint8), line, False, 1, width, cv2.LINE_8, 4))
    return masks


def _eyes(picture: np.ndarray, subject: Subject) -> np.ndarray:
    """White eyes with coloured irises and dark pupils."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    for iris, shape in eyes(subject):
        inside, away = crisp(shape, 0.5), np.hypot(columns - iris.x, rows - iris.y)
        _, a, b = lab_of(subject.rgb[int(iris.y) : int(iris.y) + 1, int(iris.x) : int(iris.x) + 1])[0, 0]
        gain = max(2.0, 26 / np.hypot(a, b)) if np.hypot(a, b) > 1.5 else 0.0
        own = rgb_of(np.float32([[(48, gain * a, gain * b)]]))[0, 0]
        picture = over(picture, WHITE, inside)
        for colour, size in ((BLACK, 1.0), (own, 0.86), (BLACK, 0.48)):
            picture = over(picture, colour, inside * np.clip(size * iris.radius - away + 0.5, 0, 1))
    return picture


def _catch_lights(picture: np.ndarray, subject: Subject) -> np.ndarray:
    """A white dot at the upper left of each pupil."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    for iris, shape in eyes(subject):
        away = np.hypot(columns - iris.x + 0.33 * iris.radius, rows - iris.y + 0.36 * iris.radius)
        picture = over(picture, WHITE, np.clip(0.3 * iris.radius - away + 0.5, 0, 1) * crisp(shape, 0.4))
    return picture


def _strongest(hue: float) -> float:
    """Lightness of the strongest printed colour of a hue in degrees: yellow is light, blue dark."""
    return 68 + 20 * np.cos(np.radians(hue - 100))
