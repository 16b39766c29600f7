"""The picture as a whole: abstraction, brush, cel tones, colour, background. Each step paints on the canvas."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.training.drawn.filters import (
    Flow,
    bilateral,
    blur,
    brush_strokes,
    edge_flow,
    masked_blur,
    rolling_guidance,
    smooth_along,
    smoothstep,
)
from model.training.drawn.geometry import FaceFrame
from model.training.drawn.styles import DrawnStyle

# Chroma beyond which colours are compressed, so that saturated clothes do not clip.
CHROMA_LIMIT = 68.0
# Skin more colourful than this (typical of warm studio light) is not saturated further.
COLOURFUL_SKIN = (24.0, 40.0)
# Lightness of the lightest parts of a photo from which it counts as well exposed.
WELL_EXPOSED = 75.0
# Lightness to both sides of the step from light to shadow that still counts as the step.
TERMINATOR_WIDTH = 4.5
# Backgrounds darker than the first are not lifted towards paper, those lighter than the second fully.
LIFTED_BACKGROUND = (20.0, 60.0)


@dataclass(frozen=True)
class SkinTone:
    """Measured on the photo's face: median Lab colour, and chroma."""

    lightness: float
    a: float
    b: float

    @property
    def chroma(self) -> float:
        return float(np.hypot(self.a, self.b))


@dataclass
class Canvas:
    """A picture being painted. Masks are soft, [H, W] float32 in 0..1; Lab pictures [H, W, 3] float32."""

    lab: np.ndarray  # the paint
    photo: np.ndarray  # the warped photo, to measure on
    landmarks: np.ndarray  # [68, 2], warped
    frame: FaceFrame
    background: np.ndarray  # sharp where the photo has an edge, a soft fade where the parsing cuts through hair
    skin: np.ndarray  # face, ears and neck without the features
    face_skin: np.ndarray
    hair: np.ndarray
    features: np.ndarray  # eyes, brows, mouth
    tone: SkinTone
    white: float  # lightness of the photo's lightest parts
    smooth: np.ndarray | None = None  # edge-preserving version of the photo
    flow: Flow | None = None

    @property
    def eye_distance(self) -> float:
        return self.frame.eye_distance

    @property
    def exposure(self) -> float:
        """1 for a well exposed photo, less for a dark one."""
        return float(np.clip(self.white / WELL_EXPOSED, 0.3, 1))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lab.shape


def lift_exposure(canvas: Canvas, style: DrawnStyle) -> None:
    """Lighten the midtones of underexposed pictures. The measure is the white point of the whole picture, not the
    skin, so that dark skin stays dark."""
    lift = np.clip((88 - canvas.white) * 0.3, 0, 8) + style.exposure_lift
    x = canvas.lab[..., 0] / 100
    canvas.lab[..., 0] += lift * 4 * x * (1 - x)


def abstract(canvas: Canvas, style: DrawnStyle) -> None:
    """Replace texture by paint: rolling guidance, with colour dragged along the edges, strongest in hair."""
    unit = canvas.eye_distance
    smooth = bilateral(canvas.lab, 10.0, max(0.025 * unit, 1.8))
    flat = rolling_guidance(canvas.lab, style.texture_scale * unit, int(0.042 * unit) + 2, 14.0)
    keep = 0.65 * blur(np.maximum(canvas.features, thin_dark_lines(canvas)), 0.0125 * unit)[..., None]
    # Hair keeps its strands: they are the texture that the flow then combs.
    keep = np.maximum(keep, 0.7 * canvas.hair[..., None])
    flat += (smooth - flat) * keep

    canvas.flow = edge_flow(blur(canvas.lab[..., 0], 1.0), 0.022 * unit)
    combed = smooth_along(flat, canvas.flow, int(style.flow_length * unit) + 1)
    weight = np.clip(0.9 * canvas.hair + 0.35, 0, 1) * (1 - 0.8 * canvas.features)
    canvas.lab = flat + (combed - flat) * weight[..., None]
    canvas.smooth = smooth
    gloss = combed[..., 0] - blur(combed[..., 0], 0.03 * unit)
    canvas.lab[..., 0] += style.hair_gloss * canvas.hair * gloss


def lay_brush_strokes(canvas: Canvas, style: DrawnStyle) -> None:
    """Strokes along the edges, sparing the features and half of the hair, whose strands are strokes themselves."""
    if style.brush_size <= 0:
        return
    size = style.brush_size * canvas.eye_distance
    strokes = brush_strokes(canvas.lab, canvas.flow, 1.6 * size, 0.8 * size)
    spared = np.maximum(canvas.features, thin_dark_lines(canvas))
    weight = 1 - np.maximum(0.75 * blur(spared, 0.0125 * canvas.eye_distance), 0.5 * canvas.hair)
    canvas.lab += (strokes - canvas.lab) * weight[..., None]


def thin_dark_lines(canvas: Canvas) -> np.ndarray:
    """Soft mask of dark lines around the eyes that are neither brow nor lid: the frames of glasses."""
    unit = canvas.eye_distance
    size = int(0.07 * unit) | 1
    lightness = blur(canvas.photo[..., 0], 1.0)
    lines = cv2.morphologyEx(lightness, cv2.MORPH_BLACKHAT, np.ones((size, size), np.uint8))
    x, y = np.moveaxis(canvas.frame.to_face(_grid(canvas)), -1, 0)
    zone = smoothstep(1.25, 1.05, abs(x)) * smoothstep(0.45, 0.3, abs(y + 0.12))
    return (smoothstep(10, 18, lines / canvas.exposure) * zone * (1 - canvas.hair)).astype(np.float32)


def _grid(canvas: Canvas) -> np.ndarray:
    height, width = canvas.shape[:2]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def clean_skin(canvas: Canvas, style: DrawnStyle) -> None:
    """Keep the modelling of skin and drop its blemishes; pull its colour towards the face's median."""
    weak = np.float32([1.3, 1.5, 1.5])  # differences below this vanish
    low = masked_blur(canvas.lab, canvas.face_skin, 0.035 * canvas.eye_distance)
    detail = canvas.lab - low
    kept = np.sign(detail) * np.maximum(np.abs(detail) - weak, 0) * np.float32([1.0, 0.9, 0.9])
    weight = (canvas.skin * (1 - np.maximum(canvas.features, thin_dark_lines(canvas))))[..., None]
    canvas.lab += (low + kept - canvas.lab) * weight
    median = np.float32([canvas.tone.a, canvas.tone.b])
    canvas.lab[..., 1:] += (median - canvas.lab[..., 1:]) * 0.40 * weight


def cel_skin(canvas: Canvas, style: DrawnStyle) -> None:
    """Two soft steps of tone on skin, at thresholds that follow the light on this face."""
    face = canvas.face_skin > 0.6
    if face.sum() < 50:
        return
    lightness = canvas.lab[..., 0]
    low, median, high = np.percentile(lightness[face], [12, 50, 88])
    spread = float(np.clip((high - low) / 28, 0.6, 1.25))
    shadow, middle, light = style.skin_tones
    thresholds = median + 0.62 * shadow * spread, median + 0.75 * max(high - median, 3.0)
    smoothed = masked_blur(lightness, canvas.skin, 0.025 * canvas.eye_distance, 0.02)
    levels = (shadow * spread, middle, light * spread)
    tones = median + _steps(smoothed, levels, thresholds, style.tone_softness)
    weight = canvas.skin * (1 - canvas.features)
    lightness += (tones - lightness) * 0.85 * style.skin_cel * weight
    shade = smoothstep(median - 3, median + 1.2 * shadow * spread, lightness) * canvas.skin
    canvas.lab[..., 1:] += shade[..., None] * np.float32(style.shadow_tint) * canvas.exposure
    edge = np.exp(-(((smoothed - thresholds[0]) / TERMINATOR_WIDTH) ** 2)) * weight
    canvas.lab[..., 1:] += edge[..., None] * np.float32(style.terminator_tint)


def _steps(lightness: np.ndarray, levels: tuple, thresholds: tuple, softness: float) -> np.ndarray:
    first, second = (smoothstep(edge - softness, edge + softness, lightness) for edge in thresholds)
    return levels[0] + (levels[1] - levels[0]) * first + (levels[2] - levels[1]) * second


def cel_hair(canvas: Canvas, style: DrawnStyle) -> None:
    """Tones on hair, smoothed along the strands over a wide reach."""
    mask = canvas.hair > 0.6
    if mask.sum() < 200:
        return
    unit, lightness = canvas.eye_distance, canvas.lab[..., 0]
    # Half size is enough for strands this smooth.
    half = cv2.resize(lightness, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    photo = cv2.resize(canvas.photo[..., 0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    flow = edge_flow(blur(photo, 0.006 * unit), 0.02 * unit)
    strands = smooth_along(blur(half, 0.008 * unit), flow, int(0.07 * unit) + 1)
    strands = cv2.resize(strands, lightness.shape[::-1], interpolation=cv2.INTER_LINEAR)
    low, middle, high = np.percentile(strands[mask], [20, 55, 90])
    levels = middle + min(low - middle - 3, -5.0), middle, middle + max(high - middle + 3, 7.0)
    # Steps as soft as the hair is varied: hard ones turn the gentle shades of fair hair into blotches.
    softness = max(1.8, style.tone_softness, 0.22 * (high - low))
    tones = _steps(strands, levels, ((low + middle) / 2, (middle + high) / 2 + 0.5), softness)
    lightness += (tones - lightness) * style.hair_cel * canvas.hair


def cel_elsewhere(canvas: Canvas, style: DrawnStyle, step: float = 9.0) -> None:
    """Soft quantisation of clothes and background."""
    lightness = canvas.lab[..., 0]
    level = np.round(lightness / step) * step
    quantised = level + step / 2 * np.tanh((lightness - level) / step * 2.2)
    weight = np.clip(1 - canvas.skin - canvas.hair, 0, 1) * style.other_cel
    lightness += (quantised - lightness) * weight


def grade_colour(canvas: Canvas, style: DrawnStyle) -> None:
    """Fine detail back, contrast, saturation by region, warmth, split toning."""
    lab = canvas.lab
    detail = canvas.photo[..., 0] - blur(canvas.photo[..., 0], 1.5)
    lab[..., 0] += style.photo_detail * detail * (1 - 0.7 * canvas.skin)
    lab[..., 0] = 50 + style.contrast * (lab[..., 0] - 50)
    darkest = style.darkest * canvas.exposure
    lab[..., 0] = darkest + lab[..., 0].clip(0) * (1 - darkest / 100)

    room = float(smoothstep(COLOURFUL_SKIN[1], COLOURFUL_SKIN[0], canvas.tone.chroma))
    skin_gain = 1 + (style.skin_saturation - 1) * room
    face = np.clip(canvas.skin + canvas.features, 0, 1)
    gain = style.saturation + face * (skin_gain - style.saturation)
    gain += canvas.hair * (style.hair_saturation - style.saturation)
    lab[..., 1:] *= gain[..., None]
    chroma = np.hypot(lab[..., 1], lab[..., 2]) + 1e-3
    lab[..., 1:] *= np.minimum(1, CHROMA_LIMIT * np.tanh(chroma / CHROMA_LIMIT) * 1.02 / chroma)[..., None]
    lab[..., 2] += style.warmth * (0.4 + 0.6 * room * face)

    light = smoothstep(12, 75, lab[..., 0])[..., None]
    tint = np.float32(style.split_shadow) * (1 - light) + np.float32(style.split_light) * light
    spared = 0.55 * face + 0.25 * canvas.features + 0.4 * canvas.hair
    lab[..., 1:] += tint * (canvas.exposure * (1 - spared.clip(0, 1)))[..., None]


def soften_background(canvas: Canvas, style: DrawnStyle) -> None:
    """Blur and tone what lies behind the person; less below the chin, where shoulders may pass for background."""
    unit = canvas.eye_distance
    far = masked_blur(canvas.lab, canvas.background, style.background_blur * unit, 1e-2)
    x = far[..., 0].clip(0, 100) / 100
    reach = smoothstep(*LIFTED_BACKGROUND, far[..., 0]) if style.background_lift > 0 else 1
    far[..., 0] += style.background_lift * 4 * x * (1 - x) * reach
    far[..., 1:] += np.float32(style.background_tint)
    height = canvas.frame.to_face(_grid(canvas))[..., 1] - canvas.frame.to_face(canvas.landmarks[8])[1]
    behind = 0.3 + 0.7 * smoothstep(-0.8, 0.8, height)
    weight = canvas.background * behind * style.background_mix
    canvas.lab += (far - canvas.lab) * weight[..., None]
