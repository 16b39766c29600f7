"""Eyes drawn anew, each in a window around it: shaded white, iris in the photo's own hue, two catch-lights, lashes."""

from collections import namedtuple

import numpy as np

from model.common.tensors import pixel_grid
from model.training.drawn.canvas import Canvas
from model.training.drawn.geometry import EYES, values_at
from model.training.drawn.raster import blur, curve, disk, paint, polygon, smoothstep, stroke
from model.training.drawn.styles import DrawnStyle

# Pairs of bounds are for `smoothstep`: from the first on something is so in part, from the second on wholly.
OPENING = (0.13, 0.26)  # an eye is open: its height over its width
FAR_EYE = (0.30, 0.55)  # it is seen, and not hidden in profile: its width over the other one's
BEHIND_GLASS = (0.45, 0.58)  # no sunglasses: lightness below the eyes over the face's
# Hues as unit vectors (a, b): of brown irises, and of light ones with little colour of their own, cool grey and hazel.
BROWN, PALE, HAZEL = np.float32([[0.45, 0.90], [-0.35, -0.94], [0.10, 0.95]])
TELLING_CHROMA = (1.5, 5.0)  # an iris has a colour of its own: its chroma
HAZEL_TINT = (0.5, 3.5)  # pale irises are hazel: their b, light taken out
DARK_IRIS = (27.0, 20.0)  # irises count as dark: their lightness
DARK_SKIN = (50.0, 40.0)  # so do all in dark skin, where light spots are reflections: its lightness
WARM_TINT = (1.0, 6.0)  # irises are brown: their a
BLUE_TINT = (-14.0, -8.0)  # they are not surely blue: their b
MIRRORED_WARMTH = 1.5  # what skin and lashes mirrored in an iris add to its b

# What both irises have in common: radius in pixels, gaze (offset from the eye's centre along right and up, in widths of
# the eye), lightness, chroma, and hue as a unit vector (a, b).
_Irises = namedtuple("_Irises", "radius gaze lightness chroma hue")


class _Eye:
    """The eye with landmarks `part`. `lab` is a view into the canvas; all positions are in the window around the eye.
    Where the eye lies outside the picture, `is_inside` is false, and nothing else is there."""

    def __init__(self, canvas: Canvas, part: slice):
        points = canvas.landmarks[part]
        self.width = float(np.linalg.norm(points[3] - points[0]))
        size, margin = canvas.shape[1::-1], 0.25 * self.width + 6
        left, top = np.floor(np.clip(points.min(0) - margin, 0, size)).astype(int)
        right, bottom = np.ceil(np.clip(points.max(0) + margin, 0, size)).astype(int)
        self.is_inside = right - left >= 8 and bottom - top >= 8
        if not self.is_inside:
            return
        self.lab, self.photo = canvas.lab[top:bottom, left:right], canvas.photo[top:bottom, left:right]
        self.points = points - np.float32([left, top])
        self.up, self.right, self.skin = canvas.frame.up, canvas.frame.right, canvas.tone.lightness
        self.outer_first = part == EYES[0]  # the outer corner is points[0]
        self.upper = curve(self.points[0:4])
        self.lower = curve(self.points[[3, 4, 5, 0]])
        self.centre = self.points.mean(0)
        self.height = float(np.linalg.norm(self.points[[1, 2]] - self.points[[5, 4]], axis=1).mean())
        self.openness = smoothstep(*OPENING, self.height / (self.width + 1e-3))
        self.grid = pixel_grid(*self.lab.shape[:2])
        self.opening = polygon(self.lab.shape, np.vstack([self.upper, self.lower]), 0.8)
        # 0..1: how dark the upper lid's edge is in the photo. Strong lashes are drawn only where there are some.
        edge = values_at(blur(self.photo[..., 0], 0.8), self.upper + self.up * 0.02 * self.width).mean()
        self.kohl = smoothstep(0.42, 0.78, (self.skin - edge) / max(self.skin, 20))

    def rise(self, origin: np.ndarray, unit: float) -> np.ndarray:
        """Height `[H, W]` above `origin` in units of `unit`."""
        return (self.grid - origin) @ self.up.astype(np.float32) / (unit + 1e-3)

    def distance(self, origin: np.ndarray, unit: float) -> np.ndarray:
        """Distance `[H, W]` from `origin` in units of `unit`."""
        offset = self.grid - origin.astype(np.float32)
        return np.hypot(offset[..., 0], offset[..., 1]) / unit


def draw_eyes(canvas: Canvas, style: DrawnStyle) -> None:
    """Paint both eyes, or one of them in profile, or none behind sunglasses."""
    # Where the skin below both eyes is very dark, it must be sunglasses.
    below = canvas.landmarks[[40, 41, 46, 47]]
    below = np.vstack([below - canvas.frame.up * drop * canvas.eye_distance for drop in (0.06, 0.12)])
    around = np.median(values_at(canvas.photo[..., 0], below))
    seen = smoothstep(*BEHIND_GLASS, around / max(canvas.tone.lightness, 1))
    eyes = [eye for eye in (_Eye(canvas, part) for part in EYES) if eye.is_inside]
    if not eyes or seen <= 0:
        return
    irises, widest, kohl = _shared_irises(eyes, style), max(eye.width for eye in eyes), np.mean([e.kohl for e in eyes])
    for eye in eyes:
        visible = seen * smoothstep(*FAR_EYE, eye.width / (widest + 1e-3))
        _draw_eyeball(eye, irises, style, visible * eye.openness)
        _draw_lashes(eye, style, kohl, visible)
        _draw_crease(eye, canvas, visible * eye.openness)


def _shared_irises(eyes: list[_Eye], style: DrawnStyle) -> _Irises:
    """One size, gaze and colour for both eyes; the wider and more open eye counts for more."""
    weights = np.array([eye.width * (0.02 + eye.openness) for eye in eyes])
    weights /= weights.sum()
    width, height = weights @ [eye.width for eye in eyes], weights @ [eye.height for eye in eyes]
    radius = min(max(0.215 * width * style.iris_size, 0.5 * height * min(1.0, style.iris_size)), 0.34 * width)
    gazes, samples = [], []
    for eye in eyes:
        centre = _iris_centre(eye)
        gazes.append(np.stack([eye.right, eye.up]) @ (centre - eye.centre) / (eye.width + 1e-3))
        samples.append(_iris_sample(eye, centre, radius))
    return _Irises(radius, weights @ gazes, *_iris_colour(weights @ samples, eyes[0].skin, style))


def _iris_centre(eye: _Eye) -> np.ndarray:
    """Centre of the dark mass inside the lids, kept near the middle of the eye."""
    inside = eye.opening > 0.5
    if inside.sum() < 6:
        return eye.centre
    lightness = blur(eye.photo[..., 0], max(1.0, 0.04 * eye.width))
    low, high = np.percentile(lightness[inside], [3, 70])
    along = (eye.grid - eye.centre) @ (eye.points[3] - eye.points[0]) / eye.width**2
    dark = np.clip((high - lightness) / (high - low + 1e-3), 0, 1) ** 2 * inside * np.exp(-0.5 * (along / 0.22) ** 2)
    mass = (eye.grid * dark[..., None]).sum((0, 1)) / (dark.sum() + 1e-6)
    return eye.centre + np.clip(mass - eye.centre, -0.2 * eye.width, 0.2 * eye.width) * (0.9, 0.5)


def _iris_sample(eye: _Eye, centre: np.ndarray, radius: float) -> np.ndarray:
    """Lab colour `[3]` of the photo's iris, the colour of the light taken out."""
    distance, inside = eye.distance(centre, radius), eye.opening > 0.6
    ring = eye.photo[inside & (distance > 0.35) & (distance < 0.85)]
    white = eye.photo[inside & (distance > 1.05)]
    if len(ring) < 8:
        return np.float32([25, *(9 * BROWN)])
    # The middle half by lightness leaves out pupil, lashes and reflections.
    ring = ring[np.argsort(ring[:, 0])][len(ring) // 4 : max(3 * len(ring) // 4, len(ring) // 4 + 1)]
    colour = ring.mean(0)
    # The white of the eye tells the colour of the light; a warm lamp turns blue irises brown otherwise.
    cast = np.median(white, 0)[1:] if len(white) >= 8 else np.zeros(2)
    return np.float32([colour[0], *(colour[1:] - 0.6 * np.clip(cast, -12, 12))])


def _iris_colour(sample: np.ndarray, skin: float, style: DrawnStyle) -> tuple[float, float, np.ndarray]:
    """Lightness, chroma and hue of the paint for an iris that has the Lab colour `sample` in the photo."""
    lightness, tint = float(sample[0]), sample[1:] - np.float32([0, MIRRORED_WARMTH])
    chroma = float(np.hypot(*tint)) + 1e-3
    telling, hazel = smoothstep(*TELLING_CHROMA, chroma), smoothstep(*HAZEL_TINT, sample[2])
    hue = telling * tint / chroma + (1 - telling) * (PALE + (HAZEL - PALE) * hazel)
    # Dark irises are brown, whatever little colour the reflections leave them, and so are warm ones; clearly blue
    # ones stay blue.
    brown = max(smoothstep(*DARK_IRIS, lightness), smoothstep(*DARK_SKIN, skin), smoothstep(*WARM_TINT, tint[0]))
    brown *= smoothstep(*BLUE_TINT, tint[1])
    hue = brown * BROWN + (1 - brown) * hue
    wanted = np.clip(chroma * style.iris_saturation, 11 + 8 * brown, 36 - 8 * brown)
    return lightness, float(wanted), (hue / (np.hypot(*hue) + 1e-3)).astype(np.float32)


def _draw_eyeball(eye: _Eye, irises: _Irises, style: DrawnStyle, seen: float) -> None:
    radius, gaze, chroma, hue = irises.radius, irises.gaze, irises.chroma, irises.hue
    centre = eye.centre + eye.width * (gaze[0] * eye.right + gaze[1] * eye.up)
    height = eye.rise(eye.centre, eye.height / 2)  # 1 at the upper lid
    inside = eye.photo[..., 0][eye.opening > 0.6]
    white = 0.35 * float(np.percentile(inside, 85)) if len(inside) else 24.5
    ball = np.empty_like(eye.lab)
    ball[..., 0] = np.clip(white + 58 + 0.15 * (eye.skin - 60), 64, 92) - 16 * smoothstep(-0.1, 1.1, height)
    ball[..., 1:] = 2, 3
    # The iris is lit from below, as if light fell through it; then a dark rim and the pupil.
    distance, rise = eye.distance(centre, radius), eye.rise(centre, radius)
    level, lit = float(np.clip(irises.lightness + style.iris_lift, 20, 52)), smoothstep(0.2, -0.9, rise)
    iris = np.empty_like(eye.lab)
    iris[..., 0] = level + 12 * lit - 12 * smoothstep(-0.1, 1.0, rise)
    iris[..., 1:] = (chroma * (1 + 0.35 * lit))[..., None] * hue
    paint(iris, smoothstep(0.74, 1.0, distance), [max(level - 20, 6), *(0.65 * chroma * hue)], 0.8)
    paint(iris, smoothstep(0.52, 0.40, distance), [6, 1, 1], 0.92)
    paint(ball, smoothstep(1 + 1 / radius, 1 - 1 / radius, distance), iris)

    ball[..., 0] -= 12 * smoothstep(0.35, 1.05, height)  # the lid's shadow
    large = centre + (-0.30 * eye.right + 0.34 * eye.up) * radius
    paint(ball, disk(ball.shape, large, 0.33 * radius, 0.30 * radius, 0.8), [98, 0, 0], style.catch_lights)
    small = centre + (0.36 * eye.right - 0.38 * eye.up) * radius
    paint(ball, disk(ball.shape, small, 0.18 * radius, 0.18 * radius, 0.8), [95, 0, -2], 0.8 * style.catch_lights)
    paint(eye.lab, eye.opening, ball, style.eyes * seen)


def _draw_lashes(eye: _Eye, style: DrawnStyle, kohl: float, seen: float) -> None:
    """Upper lash line with a small wing, and a faint lower one."""
    lash, width, shape = style.lashes * (0.30 + 0.70 * kohl), eye.width, eye.lab.shape
    colour = np.float32([9, 5, 4] if eye.skin < 70 else [13, 7, 5])
    outer, inner = eye.points[[0, 3]] if eye.outer_first else eye.points[[3, 0]]
    along = np.linspace(1, 0, len(eye.upper)) if eye.outer_first else np.linspace(0, 1, len(eye.upper))
    taper = 0.030 + 0.075 * np.sin(np.clip(0.85 * along + 0.12, 0, 1) * np.pi) ** 0.8 + 0.025 * along
    # As the eye closes, the upper lid comes down to the lower one.
    line = eye.upper + 0.6 * (1 - eye.openness) * (eye.lower[::-1] - eye.upper) + eye.up * 0.012 * width * eye.openness
    paint(eye.lab, stroke(shape, line, width * taper * (0.55 + 0.45 * lash)), colour, (0.60 + 0.35 * lash) * seen)

    outwards = (outer - inner) / width
    way = np.float32([[-0.05, 0.01], [0.05, 0.045], [0.12, 0.10]]) @ np.stack([outwards, eye.up])
    wing = curve(outer + width * way, 5)
    thickness = np.linspace(0.075, 0.01, len(wing)) * width * (0.4 + 0.6 * lash)
    paint(eye.lab, stroke(shape, wing, thickness), colour, 0.75 * lash * (0.15 + 0.85 * kohl) * seen)

    line = stroke(shape, eye.lower - eye.up * 0.008 * width, width * (0.012 + 0.022 * along[::-1]))
    paint(eye.lab, line, colour * np.float32([2.2, 2, 2]), 0.42 * (0.4 + 0.6 * lash) * seen * eye.openness)


def _draw_crease(eye: _Eye, canvas: Canvas, seen: float) -> None:
    """The fold of the upper lid."""
    arch = np.sin(np.linspace(0.12, 0.92, len(eye.upper)) * np.pi)[:, None]
    fold = eye.upper + eye.up * (0.085 * eye.width + 0.10 * eye.height) * arch
    fold = fold[int(0.12 * len(fold)) : int(0.9 * len(fold))]
    taper = np.sin(np.linspace(0.05, 0.95, len(fold)) * np.pi)
    colour = [0.45 * canvas.tone.lightness, canvas.tone.a + 6, 0.9 * canvas.tone.b]
    paint(eye.lab, stroke(eye.lab.shape, fold, 0.028 * eye.width * taper), colour, 0.42 * seen)
