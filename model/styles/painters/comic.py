"""A panel of a printed comic: flat colours with black contours and shadows, dots of the print, rays or dots behind."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.styles.painters import streams
from model.styles.painters.likeness import enlarged, eyes, lab_of, person, resized, rgb_of, step
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

WORK = 150.0  # pixels between the eyes at which shapes are found; they are sharp at any size
SAMPLES = 4000  # pixels of the person that the palette is made from
ROUNDS = 12  # of Lloyd's algorithm for the palette
CHEEKS = [1, 2, 3, 4, 12, 13, 14, 15, 31, 35, 29]  # landmarks that have skin between them


@dataclass(frozen=True)
class Painter:
    """Values in comic.toml."""

    smoothing: float = between(0.005, 0.1)
    palette: int = between(2, 12)
    saturation: float = between(0, 3)
    skin_tones: list[float] = between(-60, 60)
    skin_saturation: float = between(0, 3)
    black: float = between(0, 60)
    line_width: float = between(0.003, 0.1)
    line_threshold: float = between(0.1, 20)
    skin_threshold: float = between(1, 10)
    shortest_line: float = between(0, 1)
    outline: float = between(0, 0.3)
    rim: float = between(0, 0.5)
    dot_spacing: float = between(0.02, 0.5)
    dot_angle: float = between(0, 90)
    backgrounds: list[float] = between(0, 360)
    rays: float = between(0, 60)

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """A comic picture of the photo, RGB uint8 `[H, W, 3]`."""
        rng = np.random.default_rng(seed)
        work = resized(subject, WORK)
        matte, lab = person(work), self._flattened(work)
        skin_colour, skin = self._skin(work, lab, matte)
        picture = self._background(subject, skin_colour, rng)
        edge = self._distance(matte)
        picture = _over(picture, np.float32((255, 255, 255)), _crisp(enlarged(edge, picture), -self.rim * WORK))
        inside = _crisp(enlarged(cv2.GaussianBlur(matte, (0, 0), 0.012 * WORK), picture), 0.5)
        flat = self._flat_colours(lab, matte * (1 - skin), picture, rng)
        face = self._skin_colours(lab, skin_colour, subject, picture)
        flat = _over(flat, face, _crisp(enlarged(cv2.GaussianBlur(skin, (0, 0), 0.012 * WORK), picture), 0.5))
        picture = _over(picture, flat, inside)
        if subject.landmarks is not None:
            picture = self._mouth(picture, subject, lab, skin_colour)
        picture = self._eyes(picture, subject, skin_colour)
        ink = self._ink(work, lab, matte, skin, skin_colour, picture)
        picture = self._lights(_over(picture, np.float32((16, 14, 20)), ink), subject)
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def _flattened(self, work: Subject) -> np.ndarray:
        """Lab without texture: a few rounds of the bilateral filter, then averages along the edges; less of both at
        eyes and mouth."""
        sharp, sigma = lab_of(work.rgb), self.smoothing * work.eye_distance
        lab = fine = cv2.bilateralFilter(sharp, -1, 9.0, 0.5 * sigma)
        for _ in range(3):
            lab = cv2.bilateralFilter(lab, -1, 9.0, sigma)
        field, _ = streams.directions(lab[..., 0], 2 * sigma)
        lab = streams.smoothed_along(lab, field, 2.5 * sigma)
        return lab + step(work.fineness, 0.5, 0.9)[..., None] * (fine - lab)


    def _skin(self, work: Subject, lab: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(Lab of the skin, soft mask float32 of all skin of the person)."""
        if work.landmarks is None:
            return np.float32((70, 14, 20)), np.zeros(matte.shape, np.float32)
        cheeks = np.zeros(matte.shape, np.uint8)
        cv2.fillConvexPoly(cheeks, cv2.convexHull(work.landmarks[CHEEKS].astype(np.int32)), 1)
        here = lab[cheeks > 0] if cheeks.any() else lab.reshape(-1, 3)
        colour = np.median(here[here[:, 0] >= np.median(here[:, 0])], axis=0)
        light, a, b = np.abs(np.moveaxis(lab - colour, -1, 0))
        skin = step(np.hypot(light / 2.2, 1.6 * np.hypot(a, b)), 24, 16) * matte
        inside = step(np.hypot(light / 6, np.hypot(a, b)), 34, 26) * step(work.face, 0.6, 0.8)
        skin = np.maximum(skin, inside).astype(np.float32)
        return colour, cv2.medianBlur((255 * skin).astype(np.uint8), 2 * round(0.03 * WORK) + 1).astype(np.float32) / 255


    def _flat_colours(self, lab, where, picture, rng):
        """The rest of the person in the few colours of a palette, RGB float32."""
        some = lab[where > 0.5]
        if not len(some):
            some = lab.reshape(-1, 3)
        palette = _palette(some[rng.integers(0, len(some), SAMPLES)], round(self.palette), rng)
        weights = np.float32((0.7, 1, 1))
        distances = np.stack([(((lab - colour) * weights) ** 2).sum(axis=-1) for colour in palette], axis=-1)
        nearest = np.eye(len(palette), dtype=np.float32)[distances.argmin(axis=-1)]
        shares = enlarged(cv2.GaussianBlur(nearest, (0, 0), 0.018 * WORK), picture).reshape(*picture.shape[:2], -1)
        flat = np.zeros_like(picture)
        inks = rgb_of(self._printed(palette)[None])[0]
        order = np.partition(shares, -2, axis=-1)[..., -2:] if len(palette) > 1 else None
        total = np.zeros(picture.shape[:2], np.float32)
        for index, ink in enumerate(inks):
            own = shares[..., index]
            other = np.where(own >= order[..., 1], order[..., 0], order[..., 1])
            share = _crisp(own - other, 0.0)
            flat += share[..., None] * ink
            total += share
        return flat / np.maximum(total, 1e-3)[..., None]

    def _printed(self, lab: np.ndarray) -> np.ndarray:
        """Colours as printed: more saturated, with what is nearly black or white made so."""
        light, a, b = np.moveaxis(lab, -1, 0)
        chroma = np.hypot(a, b)
        gain = self.saturation * step(chroma, 1, 9) + 0.3
        light = np.where(light < 50, 50 - (50 - light) * 1.1, 50 + (light - 50) * 1.15)
        cool = step(chroma, 10, 3)  # greys get a little blue
        return np.stack([np.clip(light, 6, 97), a * gain, b * gain - 9 * cool], axis=-1).astype(np.float32)

    def _skin_colours(self, lab, colour, subject, picture):
        """Skin in four flat tones, the darkest but one of them in dots."""
        shade = enlarged(lab[..., 0] - colour[0], picture)
        light, hue, chroma = _bright(colour, self.skin_saturation)
        tones = [(12, 0.12, 0.7), (0, 0, 1), (-17, -0.3, 1.3), (-24, -0.3, 1.25)]
        inks = rgb_of(np.float32([[_polar(light + lift, hue + turn, gain * chroma) for lift, turn, gain in tones]]))[0]
        shadow, dots, high = self.skin_tones
        flat = np.broadcast_to(inks[1], picture.shape).astype(np.float32)
        flat = _over(flat, inks[0], _crisp(shade, high))
        amount = step(shade, 0, dots) * 0.6
        spots = _dots(picture.shape[:2], self.dot_spacing * subject.eye_distance, self.dot_angle, amount)
        flat = _over(flat, inks[2], spots)
        return _over(flat, inks[3], _crisp(-shade, -shadow))

    def _eyes(self, picture, subject, skin_colour):
        """White eyes with coloured irises, dark pupils and a light in each."""
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
        for iris, hull in eyes(subject):
            inside = _crisp(hull, 0.5)
            picture = _over(picture, np.float32((250, 250, 252)), inside)
            away = np.hypot(columns - iris.x, rows - iris.y)
            colour = np.float32(lab_of(subject.rgb)[int(iris.y), int(iris.x)])
            _, a, b = colour
            chroma = np.hypot(a, b) + 1e-3
            gain = max(2.0, 26 / chroma) if chroma > 1.5 else 0
            colour = rgb_of(np.float32([[(48, a * gain, b * gain)]]))[0, 0]
            picture = _over(picture, np.float32((16, 14, 20)), inside * np.clip(iris.radius - away + 0.5, 0, 1))
            picture = _over(picture, colour, inside * np.clip(0.86 * iris.radius - away + 0.5, 0, 1))
            picture = _over(picture, np.float32((16, 14, 20)), inside * np.clip(0.48 * iris.radius - away + 0.5, 0, 1))
        return picture

    def _mouth(self, picture, subject, lab, skin_colour):
        """Red lips and white teeth."""
        outer, inner = (_shape(subject, subject.landmarks[part]) for part in (slice(48, 60), slice(60, 68)))
        light, _, chroma = _bright(skin_colour, self.skin_saturation)
        reds = rgb_of(np.float32([[_polar(0.72 * light + lift, np.radians(24), 1.2 * chroma + 14) for lift in (0, 14)]]))[0]
        large = enlarged(lab[..., 0], picture)
        lips = _crisp(outer, 0.5) * (1 - _crisp(inner, 0.5))
        here = large[lips > 0.5]
        gloss = _crisp(large, float(np.percentile(here, 80))) if len(here) else 0 * large
        picture = _over(_over(picture, reds[0], lips), reds[1], lips * gloss)
        teeth = _crisp(inner, 0.5) * _crisp(large, 0.62 * skin_colour[0])
        return _over(picture, np.float32((252, 250, 246)), teeth)

    def _lights(self, picture, subject):
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
        for iris, _ in eyes(subject):
            r = iris.radius
            away = np.hypot(columns - iris.x + 0.33 * r, rows - iris.y + 0.36 * r)
            picture = _over(picture, np.float32((255, 255, 255)), np.clip(0.3 * r - away + 0.5, 0, 1))
        return picture

    def _ink(self, work, lab, matte, skin, skin_colour, picture):
        """How much of each pixel is black ink: contours, shadows, the person's outline."""
        width = self.line_width * work.eye_distance
        light = cv2.bilateralFilter(lab_of(work.rgb)[..., 0], -1, 7.0, max(width, 1.0))
        fine = step(work.fineness, 0.36, 0.6)
        field, _ = streams.directions(light, 2.5 * width)
        lines = streams.ink_lines(light, field, width, 4 * width)
        plain = skin * step(work.fineness, 0.6, 0.36)
        threshold = self.line_threshold * (1 - 0.5 * fine) * (1 + (self.skin_threshold - 1) * plain) / np.maximum(matte, 0.15)
        threshold = threshold * np.clip(skin_colour[0] / 70, 0.5, 1.1)
        lines = _without_specks(lines / threshold, 1.0, self.shortest_line * work.eye_distance)
        black = np.where(skin > 0.5, min(self.black, 0.42 * skin_colour[0]), self.black) - lab[..., 0]
        black = cv2.GaussianBlur(black.astype(np.float32), (0, 0), 0.01 * WORK)
        ink = _crisp(enlarged(lines, picture), 1.0)
        ink = np.maximum(ink, _crisp(enlarged(black, picture), 0.0) * _crisp(enlarged(matte, picture), 0.5))
        return np.maximum(ink, self._outline(work, matte, picture))

    def _distance(self, matte):
        """Pixels to the person's outline: positive inside."""
        inside = cv2.GaussianBlur(matte, (0, 0), 0.02 * WORK) > 0.5
        inward = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
        outward = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
        return cv2.GaussianBlur(inward - outward, (0, 0), 0.015 * WORK)

    def _outline(self, work, matte, picture):
        signed = self._distance(matte)
        dx, dy = cv2.Sobel(signed, cv2.CV_32F, 1, 0), cv2.Sobel(signed, cv2.CV_32F, 0, 1)
        shaded = 0.5 - 0.35 * (dx + dy) / np.maximum(np.hypot(dx, dy), 1e-3)
        reach = self.outline * work.eye_distance * (0.35 + shaded)
        return _crisp(enlarged(reach - np.abs(signed), picture), 0.0)

    def _background(self, subject, skin_colour, rng):
        """Rays of two colours from behind the head, with dots."""
        height, width = subject.rgb.shape[:2]
        hue = self.backgrounds[rng.integers(len(self.backgrounds))]
        inks = rgb_of(np.float32([[_polar(_lightness(hue + turn), np.radians(hue + turn), 80) for turn in (0, -22)]]))[0]
        x, y = (width / 2, 0.45 * height) if subject.landmarks is None else subject.landmarks[27]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        dx, dy = columns - x, rows - y
        turn = np.arctan2(dy, dx) * self.rays / (2 * np.pi) + rng.random()
        tooth = np.abs(turn - np.round(turn)) * 2  # 0 in the middle of a ray, 1 between two
        per_pixel = self.rays / np.pi / np.maximum(np.hypot(dx, dy), 1)
        ray = np.clip(0.5 + (tooth - 0.5) / per_pixel, 0, 1)
        paper = np.broadcast_to(inks[0], (height, width, 3)).astype(np.float32)
        far = np.hypot(dx, dy) / (0.5 * np.hypot(height, width))
        spots = _dots((height, width), 1.6 * self.dot_spacing * subject.eye_distance, self.dot_angle, 0.7 * step(far, 0.55, 1.4))
        return _over(_over(paper, inks[1], ray.astype(np.float32)), np.float32((255, 255, 255)), spots)


def _lightness(hue):
    """Lightness of the strongest printed colour of a hue in degrees: yellow is light, blue dark."""
    return 68 + 20 * np.cos(np.radians(hue - 100))


def _crisp(values: np.ndarray, threshold: float) -> np.ndarray:
    """1 where smooth values lie above the threshold, with an edge of one pixel."""
    slope = np.hypot(cv2.Sobel(values, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(values, cv2.CV_32F, 0, 1) / 8)
    return np.clip(0.5 + (values - threshold) / np.maximum(slope, 1e-4), 0, 1)


def _shape(subject, points):
    """Soft mask of a closed outline."""
    mask = np.zeros(subject.rgb.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), max(0.015 * subject.eye_distance, 0.5))


def _polar(light, hue, chroma):
    return np.clip(light, 5, 97), chroma * np.cos(hue), chroma * np.sin(hue)


def _bright(colour, saturation):
    """Lightness, hue and chroma of skin as printed: warm and clear."""
    light, a, b = colour
    hue = np.clip(np.arctan2(b, a), 0.95 - 0.15 * step(light, 50, 70), 1.15)
    return 1.06 * light + 5, hue, np.clip(saturation * np.hypot(a, b), 48 - 0.3 * light, 50)


def _over(below: np.ndarray, colour: np.ndarray, share: np.ndarray) -> np.ndarray:
    return below + share[..., None] * (colour - below)


def _dots(size, spacing, angle, amount):
    """Coverage of each pixel by a screen of round dots that cover `amount` of the area."""
    spacing = max(spacing, 4.0)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    cos, sin = np.cos(np.radians(angle)) / spacing, np.sin(np.radians(angle)) / spacing
    u, v = columns * cos + rows * sin, rows * cos - columns * sin
    away = np.hypot(u - np.round(u), v - np.round(v))
    return np.clip(0.5 + (np.sqrt(amount / np.pi) - away) * spacing, 0, 1) * (amount > 0.01)


def _palette(samples, count, rng):
    """Means of `count` groups of similar colours (Lloyd 1982), begun far from one another."""
    weights = np.float32((0.7, 1, 1))
    points = samples * weights
    means = [points[rng.integers(len(points))]]
    for _ in range(count - 1):
        means.append(points[np.min([((points - m) ** 2).sum(axis=1) for m in means], axis=0).argmax()])
    means = np.array(means)
    for _ in range(ROUNDS):
        nearest = ((points[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
        means = np.array([points[nearest == k].mean(axis=0) if (nearest == k).any() else m for k, m in enumerate(means)])
    return means / weights


def _without_specks(lines, threshold, least):
    """Lines shorter than `least` pixels fall below the threshold."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((lines > threshold).astype(np.uint8), connectivity=8)
    span = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    short = span < least
    short[0] = False
    return np.where(short[labels], 0.5 * threshold, lines).astype(np.float32)
