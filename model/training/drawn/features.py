"""Features of the face painted one by one: blush, nose, lips, teeth, brows, mouth line."""

import cv2
import numpy as np

from model.training.drawn.filters import blur, masked_blur, smooth_along, smoothstep
from model.training.drawn.geometry import BROWS, INNER_MOUTH
from model.training.drawn.shading import Canvas
from model.training.drawn.strokes import curve, disk, gaussian_spot, paint, pixel_grid, polygon, stroke
from model.training.drawn.styles import DrawnStyle

UPPER_LIP = ([48, 49, 50, 51, 52, 53, 54], [60, 61, 62, 63, 64])
LOWER_LIP = ([54, 55, 56, 57, 58, 59, 48], [60, 67, 66, 65, 64])
# Distance of the inner lips, in eye distances, from which a mouth begins to open, and at which it is open.
OPEN_MOUTH = (0.02, 0.07)
# Contrast in L from which a brow begins to show, and at which it shows.
VISIBLE_BROW = (3.0, 8.0)


def brow_mask(shape: tuple[int, ...], line: np.ndarray, up: np.ndarray, unit: float) -> np.ndarray:
    """Soft band around the five landmarks `line` of a brow."""
    middle = curve(line, 8)
    thickness = np.interp(np.linspace(0, 1, len(middle)), [0, 0.35, 0.7, 1], [0.35, 1, 1, 0.35])[:, None] * 0.075 * unit
    return polygon(shape, np.vstack([middle + up * thickness * 0.55, (middle - up * thickness * 0.95)[::-1]]), 1.5)


def lip_masks(shape: tuple[int, ...], landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft masks of upper lip, lower lip and the inside of the mouth."""
    upper = np.vstack([curve(landmarks[UPPER_LIP[0]]), curve(landmarks[UPPER_LIP[1]])[::-1]])
    lower = np.vstack([curve(landmarks[LOWER_LIP[0]]), curve(landmarks[LOWER_LIP[1]])])
    inside = curve(landmarks[INNER_MOUTH], 6, closed=True)
    return polygon(shape, upper, 1.0), polygon(shape, lower, 1.0), polygon(shape, inside, 1.0)


def draw_blush(canvas: Canvas, style: DrawnStyle) -> None:
    unit, points = canvas.eye_distance, canvas.landmarks
    spots = 0.5 * gaussian_spot(canvas.shape, points[30], 0.15 * unit, 0.15 * unit)
    for cheek, jaw in (([2, 31, 41], 2), ([14, 35, 46], 14)):
        centre = 0.9 * points[cheek].mean(0) + 0.1 * points[jaw] - 0.02 * unit * canvas.frame.up
        spots += gaussian_spot(canvas.shape, centre, 0.24 * unit, 0.24 * unit)
    # Ruddy skin needs no more red.
    strength = style.blush * float(smoothstep(30, 14, canvas.tone.a)) * 0.7 + style.blush * 0.3
    weight = np.clip(spots, 0, 1) * canvas.skin * strength
    canvas.lab += weight[..., None] * np.float32([-2.5, 16, 4])


def draw_nose(canvas: Canvas, style: DrawnStyle) -> None:
    """A highlight on the tip, and two nostrils."""
    unit, points, up = canvas.eye_distance, canvas.landmarks, canvas.frame.up
    shine = gaussian_spot(canvas.shape, points[30] + 0.05 * unit * up, 0.05 * unit, 0.07 * unit)
    canvas.lab[..., 0] += 7 * style.nose_shine * shine * canvas.skin
    colour = [max(0.36 * canvas.tone.lightness, 14), 0.9 * canvas.tone.a + 5, 0.7 * canvas.tone.b]
    for centre, wing in ((32, 31), (34, 35)):
        middle = 0.75 * points[centre] + 0.25 * points[wing] + 0.012 * unit * up
        paint(canvas.lab, disk(canvas.shape, middle, 0.05 * unit, 0.022 * unit, 0.02 * unit), colour, 0.45)


def draw_lips(canvas: Canvas, style: DrawnStyle) -> None:
    upper, lower, _ = lip_masks(canvas.shape, canvas.landmarks)
    lips = np.clip(upper + lower, 0, 1)
    inside = lips > 0.6
    if inside.sum() < 20:
        return
    lab, unit = canvas.lab, canvas.eye_distance
    colour = np.median(lab[inside], 0)
    red = max(colour[1] * style.lip_saturation, canvas.tone.a * style.saturation + 6)
    target = np.empty_like(lab)
    target[..., 0] = colour[0] + 0.7 * (blur(lab[..., 0], 0.0125 * unit) - colour[0])
    target[..., 1:] = red, colour[2] * 1.02 + 1
    paint(lab, blur(lips, 0.0067 * unit), target, style.lips)
    lab[..., 0] -= 4 * style.lips * blur(upper, 0.01 * unit)
    # A highlight on the fuller part of the lower lip, along the mouth.
    across = canvas.landmarks[54] - canvas.landmarks[48]
    across = across / np.linalg.norm(across)
    offset = pixel_grid(canvas.shape) - (0.45 * canvas.landmarks[57] + 0.55 * canvas.landmarks[66])
    along, over = offset @ across, offset @ np.array([-across[1], across[0]])
    shine = np.exp(-((along / (0.16 * unit)) ** 2) - (over / (0.028 * unit)) ** 2)
    lab[..., 0] += 10 * style.lips * shine * lower


def _mouth_openness(canvas: Canvas) -> float:
    gap = np.linalg.norm(canvas.landmarks[62] - canvas.landmarks[66])
    return float(smoothstep(*OPEN_MOUTH, gap / (canvas.eye_distance + 1e-3)))


def draw_teeth(canvas: Canvas, style: DrawnStyle) -> None:
    """Teeth become one clean light shape; the dark of the mouth and the tongue stay as they are."""
    unit = canvas.eye_distance
    openness = _mouth_openness(canvas)
    if openness <= 0:
        return
    inside = blur(lip_masks(canvas.shape, canvas.landmarks)[2], 0.0067 * unit)
    target = blur(canvas.lab, 0.0167 * unit)
    photo = blur(canvas.photo, 0.0167 * unit)
    teeth = smoothstep(38, 62, target[..., 0]) * smoothstep(26, 14, photo[..., 1])
    target[..., 0] += 0.5 * teeth * (90 - target[..., 0])
    target[..., 1] *= 1 - 0.7 * teeth
    target[..., 2] *= 1 - 0.6 * teeth
    paint(canvas.lab, inside, target, style.teeth * openness)


def draw_brows(canvas: Canvas, style: DrawnStyle) -> None:
    """Brows in one colour: what is darker than the skin around, combed, united with a tapered stroke."""
    unit, up = canvas.eye_distance, canvas.frame.up
    combed = smooth_along(blur(canvas.photo[..., 0], 0.0083 * unit), canvas.flow, max(3, int(0.03 * unit)), 2.0)
    window = np.ones((3, 3), np.uint8)
    for index, brow in enumerate(BROWS):
        line = canvas.landmarks[brow]
        mask = brow_mask(canvas.shape, line, up, unit)
        core = mask > 0.5
        wide = cv2.dilate(mask, window, iterations=max(1, round(0.022 * unit)))
        around = np.clip(canvas.face_skin * (1 - cv2.dilate(wide, window)), 0, 1)
        if core.sum() < 15 or around.sum() < 15:
            continue
        under_hair = float(smoothstep(0.05, 0.3, canvas.hair[wide > 0.3].mean()))
        skin = masked_blur(canvas.photo[..., 0], around, 0.075 * unit, 1e-4)
        contrast = skin - combed
        strength = float(np.percentile(contrast[core], 80))
        if strength <= VISIBLE_BROW[0]:
            continue
        reach = max(strength, 7.0)
        hairs = smoothstep(0.22 * reach, 0.72 * reach, contrast) * np.clip(1.5 * blur(wide, 0.0125 * unit), 0, 1)
        dark = core & (combed <= np.median(combed[core]))
        colour = np.median(canvas.lab[dark], 0)
        # Fair brows stay fair.
        colour[0] = (0.92 - 0.20 * smoothstep(8, 30, strength)) * min(colour[0], skin[core].mean() - 3)
        shape = _brow_stroke(canvas, line, strength, inner_first=index == 1)
        shape = blur(shape, 0.005 * unit) * float(smoothstep(4, 20, strength))
        weight = np.clip(np.maximum(0.8 * hairs, 0.9 * shape), 0, 1) * (1 - under_hair)
        paint(canvas.lab, weight, colour, 0.85 * style.brows * float(smoothstep(*VISIBLE_BROW, strength)))


def _brow_stroke(canvas: Canvas, line: np.ndarray, strength: float, inner_first: bool) -> np.ndarray:
    middle = curve(line, 8)
    along = np.linspace(0, 1, len(middle))
    from_inner = along if inner_first else 1 - along
    width = np.interp(from_inner, [0, 0.08, 0.35, 0.75, 1], [0.55, 0.85, 1.0, 0.62, 0.12])
    weight = float(np.clip(0.55 + strength / 40, 0.6, 1.15))
    return stroke(canvas.shape, middle, width * 0.095 * canvas.eye_distance * weight)


def draw_mouth_line(canvas: Canvas, style: DrawnStyle) -> None:
    """The line between the lips, or under the upper lip of an open mouth."""
    unit, points = canvas.eye_distance, canvas.landmarks
    lower = 0.5 * (1 - _mouth_openness(canvas))
    middle = (1 - lower) * points[61:64] + lower * points[[67, 66, 65]]
    # Landmarks of the corners lie a little outside the mouth when it smiles.
    corners = 0.65 * points[[48, 54]] + 0.35 * points[[60, 64]]
    line = curve(np.vstack([corners[0], middle, corners[1]]))
    taper = 0.2 + 0.8 * np.sin(np.linspace(0, np.pi, len(line)))
    width = taper * 0.020 * unit * (0.6 + 0.5 * style.lashes)
    dark = min(22.0, 0.45 * canvas.tone.lightness)
    paint(canvas.lab, stroke(canvas.shape, line, width), [dark, 20, 10], 0.75)
