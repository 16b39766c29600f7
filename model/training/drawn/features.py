"""Features of the face painted one by one: blush, nose, lips, teeth, brows, mouth line."""

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.training.drawn.canvas import Canvas, brow_mask, lip_masks
from model.training.drawn.geometry import BROWS
from model.training.drawn.raster import blur, curve, disk, masked_blur, paint, smooth_along, smoothstep, stroke
from model.training.drawn.styles import DrawnStyle

OPEN_MOUTH = (0.02, 0.07)  # distance of the inner lips, in eye distances, of a closed and of an open mouth
BLUSHING = 70.0  # lightness of skin on which blush is as strong as the style has it
VISIBLE_BROW = (3.0, 8.0)  # contrast in L from which a brow begins to show, and at which it shows


def _spot(canvas: Canvas, centre: np.ndarray, width: float, height: float) -> np.ndarray:
    """Mask `[H, W]` of a Gaussian bump of height 1 with these sigmas in eye distances."""
    x = np.exp(-0.5 * ((np.arange(canvas.shape[1]) - centre[0]) / (width * canvas.eye_distance)) ** 2)
    y = np.exp(-0.5 * ((np.arange(canvas.shape[0]) - centre[1]) / (height * canvas.eye_distance)) ** 2)
    return np.outer(y, x).astype(np.float32)


def draw_blush(canvas: Canvas, style: DrawnStyle) -> None:
    """Red on cheeks and nose, in proportion to the light there; less on skin that is ruddy already."""
    unit, points = canvas.eye_distance, canvas.landmarks
    spots = 0.5 * _spot(canvas, points[30], 0.15, 0.15)
    for cheek, jaw in (([2, 31, 41], 2), ([14, 35, 46], 14)):
        centre = 0.9 * points[cheek].mean(0) + 0.1 * points[jaw] - 0.02 * unit * canvas.frame.up
        spots += _spot(canvas, centre, 0.24, 0.24)
    strength = style.blush * (0.3 + 0.7 * smoothstep(30, 14, canvas.tone.a / canvas.exposure))
    light = (canvas.lab[..., 0].clip(0) + 16) / (BLUSHING + 16)  # a and b of a colour grow with its L + 16
    canvas.lab += (np.clip(spots, 0, 1) * canvas.skin * light * strength)[..., None] * np.float32([-2.5, 16, 4])


def draw_nose(canvas: Canvas, style: DrawnStyle) -> None:
    """A highlight on the tip, and two nostrils."""
    unit, points, up = canvas.eye_distance, canvas.landmarks, canvas.frame.up
    shine = _spot(canvas, points[30] + 0.05 * unit * up, 0.05, 0.07)
    canvas.lab[..., 0] += 7 * style.nose_shine * shine * canvas.skin
    colour = [max(0.36 * canvas.tone.lightness, 14), 0.9 * canvas.tone.a + 5, 0.7 * canvas.tone.b]
    for centre, wing in ((32, 31), (34, 35)):
        middle = 0.75 * points[centre] + 0.25 * points[wing] + 0.012 * unit * up
        paint(canvas.lab, disk(canvas.shape, middle, 0.05 * unit, 0.022 * unit, 0.02 * unit), colour, 0.45)


def draw_lips(canvas: Canvas, style: DrawnStyle) -> None:
    """Lips in their own red, smoothed, the upper one darker, the lower one with a highlight."""
    upper, lower, _ = lip_masks(canvas.shape, canvas.landmarks)
    lips = np.clip(upper + lower, 0, 1)
    inside = lips > 0.6
    if inside.sum() < 20:
        return
    lab, unit = canvas.lab, canvas.eye_distance
    colour = np.median(lab[inside], 0)
    red = max(colour[1] * style.lip_saturation, canvas.tone.a * style.saturation + 6)
    target = np.full_like(lab, (0, red, colour[2] * 1.02 + 1))
    target[..., 0] = colour[0] + 0.7 * (blur(lab[..., 0], 0.0125 * unit) - colour[0])
    paint(lab, blur(lips, 0.0067 * unit), target, style.lips)
    lab[..., 0] -= 4 * style.lips * blur(upper, 0.01 * unit)
    # A highlight on the fuller part of the lower lip, along the mouth.
    across = canvas.landmarks[54] - canvas.landmarks[48]
    across = across / np.linalg.norm(across)
    offset = pixel_grid(*canvas.shape[:2]) - (0.45 * canvas.landmarks[57] + 0.55 * canvas.landmarks[66])
    along, over = offset @ across, offset @ np.array([-across[1], across[0]])
    shine = np.exp(-((along / (0.16 * unit)) ** 2) - (over / (0.028 * unit)) ** 2)
    lab[..., 0] += 10 * style.lips * shine * lower


def _mouth_openness(canvas: Canvas) -> float:
    gap = np.linalg.norm(canvas.landmarks[62] - canvas.landmarks[66])
    return smoothstep(*OPEN_MOUTH, gap / (canvas.eye_distance + 1e-3))


def draw_teeth(canvas: Canvas, style: DrawnStyle) -> None:
    """Teeth become one clean light shape; the dark of the mouth and the tongue stay as they are."""
    unit, openness = canvas.eye_distance, _mouth_openness(canvas)
    inside = blur(lip_masks(canvas.shape, canvas.landmarks)[2], 0.0067 * unit)
    target, photo = blur(canvas.lab, 0.0167 * unit), blur(canvas.photo, 0.0167 * unit)
    teeth = smoothstep(38, 62, target[..., 0]) * smoothstep(26, 14, photo[..., 1])
    target[..., 0] += 0.5 * teeth * (90 - target[..., 0])
    target[..., 1:] *= 1 - teeth[..., None] * np.float32([0.7, 0.6])
    paint(canvas.lab, inside, target, style.teeth * openness)


def draw_brows(canvas: Canvas, style: DrawnStyle) -> None:
    """Brows in one colour: what is darker than the skin around, combed, united with a tapered stroke."""
    unit = canvas.eye_distance
    combed = smooth_along(blur(canvas.photo[..., 0], 0.0083 * unit), canvas.flow, max(3, int(0.03 * unit)), 2.0)
    window = np.ones((3, 3), np.uint8)
    for index, brow in enumerate(BROWS):
        line = canvas.landmarks[brow]
        mask = brow_mask(canvas.shape, line, canvas.frame)
        core, wide = mask > 0.5, cv2.dilate(mask, window, iterations=max(1, round(0.022 * unit)))
        around = np.clip(canvas.face_skin * (1 - cv2.dilate(wide, window)), 0, 1)
        if core.sum() < 15 or around.sum() < 15:
            continue
        skin = masked_blur(canvas.photo[..., 0], around, 0.075 * unit, 1e-4)
        strength = float(np.percentile((skin - combed)[core], 80))
        if strength <= VISIBLE_BROW[0]:
            continue
        hairs = smoothstep(0.22, 0.72, (skin - combed) / max(strength, 7.0))
        hairs *= np.clip(1.5 * blur(wide, 0.0125 * unit), 0, 1)
        colour = np.median(canvas.lab[core & (combed <= np.median(combed[core]))], 0)
        # Fair brows stay fair.
        colour[0] = (0.92 - 0.20 * smoothstep(8, 30, strength)) * min(colour[0], skin[core].mean() - 3)
        middle = curve(line, 8)
        width = np.interp(np.linspace(0, 1, len(middle)), [0, 0.08, 0.35, 0.75, 1], [0.55, 0.85, 1.0, 0.62, 0.12])
        width = (width if index == 1 else width[::-1]) * 0.095 * unit  # from the inner end
        shape = stroke(canvas.shape, middle, width * np.clip(0.55 + strength / 40, 0.6, 1.15))
        shape = blur(shape, 0.005 * unit) * smoothstep(4, 20, strength)
        under_hair = smoothstep(0.05, 0.3, canvas.hair[wide > 0.3].mean())
        weight = np.clip(np.maximum(0.8 * hairs, 0.9 * shape), 0, 1) * (1 - under_hair)
        paint(canvas.lab, weight, colour, 0.85 * style.brows * smoothstep(*VISIBLE_BROW, strength))


def draw_mouth_line(canvas: Canvas, style: DrawnStyle) -> None:
    """The line between the lips, or under the upper lip of an open mouth."""
    unit, points = canvas.eye_distance, canvas.landmarks
    lower = 0.5 * (1 - _mouth_openness(canvas))
    middle = (1 - lower) * points[61:64] + lower * points[[67, 66, 65]]
    # Landmarks of the corners lie a little outside the mouth when it smiles.
    corners = 0.65 * points[[48, 54]] + 0.35 * points[[60, 64]]
    line = curve(np.vstack([corners[0], middle, corners[1]]))
    width = (0.2 + 0.8 * np.sin(np.linspace(0, np.pi, len(line)))) * 0.020 * unit * (0.6 + 0.5 * style.lashes)
    paint(canvas.lab, stroke(canvas.shape, line, width), [min(22.0, 0.45 * canvas.tone.lightness), 20, 10], 0.75)
