"""The picture as a whole: abstraction, brush, cel tones, colour, background. Each step paints on the canvas."""

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.training.drawn.canvas import Canvas
from model.training.drawn.raster import blur, edge_flow, guided_filter, masked_blur, paint, smooth_along, smoothstep
from model.training.drawn.styles import DrawnStyle

CHROMA_LIMIT = 68.0  # chroma beyond which colours are compressed, so that saturated clothes do not clip
COLOURFUL_SKIN = (40.0, 24.0)  # chroma of skin, as in warm studio light, that is not saturated further, and that is
TERMINATOR_WIDTH = 4.5  # lightness to both sides of the step from light to shadow that still counts as the step
LIFTED_BACKGROUND = (20.0, 60.0)  # lightness of backgrounds that are not lifted towards paper, and that are
CEL_STEP = 9.0  # lightness between the tones of clothes and background


def lift_exposure(canvas: Canvas, style: DrawnStyle) -> None:
    """Lighten the midtones of underexposed pictures. The measure is the white point of the whole picture, not the
    skin, so that dark skin stays dark."""
    lift = np.clip((88 - canvas.white) * 0.3, 0, 8) + style.exposure_lift
    x = canvas.lab[..., 0] / 100
    canvas.lab[..., 0] += lift * 4 * x * (1 - x)


def abstract(canvas: Canvas, style: DrawnStyle) -> None:
    """Replace texture by paint: smoothed between the edges, with colour dragged along them, strongest in hair."""
    unit = canvas.eye_distance
    canvas.smooth = canvas.lab
    for _ in range(2):
        canvas.smooth = cv2.bilateralFilter(canvas.smooth, 9, 10.0, max(0.025 * unit, 1.8))
    # Rolling guidance (Zhang et al. 2014): fine texture vanishes, larger edges come back sharp.
    flat = cv2.GaussianBlur(canvas.lab, (0, 0), style.texture_scale * unit)
    for _ in range(3):
        flat = guided_filter(flat[..., 0], canvas.lab, int(0.042 * unit) + 2, 14.0)
    # Hair keeps its strands: they are the texture that the flow then combs.
    paint(flat, np.maximum(0.65 * blur(canvas.details, 0.0125 * unit), 0.7 * canvas.hair), canvas.smooth)

    canvas.flow = edge_flow(blur(canvas.lab[..., 0], 1.0), 0.022 * unit)
    combed = smooth_along(flat, canvas.flow, int(style.flow_length * unit) + 1)
    paint(flat, np.clip(0.9 * canvas.hair + 0.35, 0, 1) * (1 - 0.8 * canvas.features), combed)
    flat[..., 0] += style.hair_gloss * canvas.hair * (combed[..., 0] - blur(combed[..., 0], 0.03 * unit))
    canvas.lab = flat


def lay_brush_strokes(canvas: Canvas, style: DrawnStyle) -> None:
    """Strokes along the edges, sparing the features and half of the hair, whose strands are strokes themselves: an
    anisotropic Kuwahara filter (Kyprianidis et al. 2009) made of shifted Gaussians. Each pixel takes the colour of the
    calmest of eight patches around it, which lie twice as far away along the flow as across it."""
    lab, flow, size = canvas.lab, canvas.flow, style.brush_size * canvas.eye_distance
    mean = blur(lab, 0.48 * size)
    variance = np.maximum(blur(lab[..., 0] ** 2, 0.48 * size) - mean[..., 0] ** 2, 0)
    patches, grid = np.dstack([mean, variance]), pixel_grid(*lab.shape[:2])
    along, across = 1.6 * size * flow, 0.8 * size * flow[..., ::-1] * np.float32([-1, 1])
    total, weight_sum = 0, 0
    for angle in np.arange(8) * np.pi / 4:
        place = grid + np.float32(np.cos(angle)) * along + np.float32(np.sin(angle)) * across
        patch = cv2.remap(patches, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        weight = 1 / (0.5 + patch[..., 3:]) ** 3
        total += weight * patch[..., :3]
        weight_sum += weight
    spared = np.maximum(0.75 * blur(canvas.details, 0.0125 * canvas.eye_distance), 0.5 * canvas.hair)
    paint(lab, 1 - spared, total / weight_sum)


def clean_skin(canvas: Canvas, style: DrawnStyle) -> None:
    """Keep the modelling of skin and drop its blemishes; pull its colour towards the face's median."""
    low = masked_blur(canvas.lab, canvas.face_skin, 0.035 * canvas.eye_distance)
    detail = canvas.lab - low
    kept = np.sign(detail) * np.maximum(np.abs(detail) - np.float32([1.3, 1.5, 1.5]), 0) * np.float32([1, 0.9, 0.9])
    weight = canvas.skin * (1 - canvas.details)
    paint(canvas.lab, weight, low + kept)
    paint(canvas.lab[..., 1:], weight, [canvas.tone.a, canvas.tone.b], 0.40)


def cel_skin(canvas: Canvas, style: DrawnStyle) -> None:
    """Two soft steps of tone on skin, at thresholds that follow the light on this face."""
    if not canvas.shows_skin:
        return
    lightness = canvas.lab[..., 0]
    low, median, high = np.percentile(lightness[canvas.face_pixels], [12, 50, 88]).tolist()
    spread = float(np.clip((high - low) / 28, 0.6, 1.25))
    shadow, middle, light = style.skin_tones
    thresholds = median + 0.62 * shadow * spread, median + 0.75 * max(high - median, 3.0)
    smoothed = masked_blur(lightness, canvas.skin, 0.025 * canvas.eye_distance, 0.02)
    tones = median + _steps(smoothed, (shadow * spread, middle, light * spread), thresholds, style.tone_softness)
    weight = canvas.skin * (1 - canvas.features)
    lightness += (tones - lightness) * 0.85 * style.skin_cel * weight
    shade = smoothstep(median - 3, median + 1.2 * shadow * spread, lightness) * canvas.skin
    canvas.lab[..., 1:] += shade[..., None] * np.float32(style.shadow_tint) * canvas.exposure
    edge = np.exp(-(((smoothed - thresholds[0]) / TERMINATOR_WIDTH) ** 2)) * weight
    canvas.lab[..., 1:] += edge[..., None] * np.float32(style.terminator_tint) * canvas.exposure


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
    parts = lightness, canvas.photo[..., 0]
    half, photo = (cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for part in parts)
    flow = edge_flow(blur(photo, 0.006 * unit), 0.02 * unit)
    strands = smooth_along(blur(half, 0.008 * unit), flow, int(0.07 * unit) + 1)
    strands = cv2.resize(strands, lightness.shape[::-1])
    low, middle, high = np.percentile(strands[mask], [20, 55, 90]).tolist()
    levels = middle + min(low - middle - 3, -5.0), middle, middle + max(high - middle + 3, 7.0)
    # Steps as soft as the hair is varied: hard ones turn the gentle shades of fair hair into blotches.
    softness = max(1.8, style.tone_softness, 0.22 * (high - low))
    tones = _steps(strands, levels, ((low + middle) / 2, (middle + high) / 2 + 0.5), softness)
    lightness += (tones - lightness) * style.hair_cel * canvas.hair


def cel_elsewhere(canvas: Canvas, style: DrawnStyle) -> None:
    """Soft quantisation of clothes and background."""
    lightness = canvas.lab[..., 0]
    level = np.round(lightness / CEL_STEP) * CEL_STEP
    quantised = level + CEL_STEP / 2 * np.tanh((lightness - level) / CEL_STEP * 2.2)
    lightness += (quantised - lightness) * np.clip(1 - canvas.skin - canvas.hair, 0, 1) * style.other_cel


def grade_colour(canvas: Canvas, style: DrawnStyle) -> None:
    """Fine detail back, contrast, saturation by region, warmth, split toning."""
    lightness, colour = canvas.lab[..., 0], canvas.lab[..., 1:]
    detail = canvas.photo[..., 0] - blur(canvas.photo[..., 0], 1.5)
    lightness += style.photo_detail * detail * (1 - 0.7 * canvas.skin)
    lightness[:] = 50 + style.contrast * (lightness - 50)
    darkest = style.darkest * canvas.exposure
    lightness[:] = darkest + lightness.clip(0) * (1 - darkest / 100)

    room = smoothstep(*COLOURFUL_SKIN, float(np.hypot(canvas.tone.a, canvas.tone.b)))
    face = np.clip(canvas.skin + canvas.features, 0, 1)
    gain = style.saturation + face * (1 + (style.skin_saturation - 1) * room - style.saturation)
    gain += canvas.hair * (style.hair_saturation - style.saturation)
    colour *= gain[..., None]
    chroma = np.hypot(colour[..., 0], colour[..., 1]) + 1e-3
    colour *= np.minimum(1, CHROMA_LIMIT * np.tanh(chroma / CHROMA_LIMIT) * 1.02 / chroma)[..., None]
    colour[..., 1] += style.warmth * (0.4 + 0.6 * room * face)

    light = smoothstep(12, 75, lightness)[..., None]
    tint = np.float32(style.split_shadow) * (1 - light) + np.float32(style.split_light) * light
    spared = 0.55 * face + 0.25 * canvas.features + 0.4 * canvas.hair
    colour += tint * (canvas.exposure * (1 - spared.clip(0, 1)))[..., None]


def soften_background(canvas: Canvas, style: DrawnStyle) -> None:
    """Blur and tone what lies behind the person; less below the chin, where shoulders may pass for background."""
    far = masked_blur(canvas.lab, canvas.background, style.background_blur * canvas.eye_distance, 1e-2)
    reach = smoothstep(*LIFTED_BACKGROUND, far[..., 0]) if style.background_lift > 0 else 1
    x = far[..., 0].clip(0, 100) / 100
    far[..., 0] += style.background_lift * 4 * x * (1 - x) * reach
    far[..., 1:] += np.float32(style.background_tint)
    above_chin = canvas.position[..., 1] - canvas.frame.to_face(canvas.landmarks[8])[1]
    behind = 0.3 + 0.7 * smoothstep(-0.8, 0.8, above_chin)
    paint(canvas.lab, canvas.background * behind * style.background_mix, far)
