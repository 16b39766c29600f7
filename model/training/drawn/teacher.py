"""The order of steps that makes a drawing out of a photo, and the last of them: ink, light, pigment, paper; and the
promises that every style keeps."""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from model.effects import GREY
from model.training.drawn import eyes, features, shading
from model.training.drawn.canvas import Canvas
from model.training.drawn.parsing import Parsing
from model.training.drawn.raster import blur, paint, smooth_along, smoothstep
from model.training.drawn.styles import DrawnStyle
from model.training.drawn.warp import Warp, displace

FULL_COLOUR_DEGREE = 0.75  # the colours are the drawing's from here on; the shapes go on changing up to 1
OUTLINE_CONTRAST = (3.0, 10.0)  # contrast in L of an edge from which, and at which, an outline is drawn along it
RIM_COLOUR = (74.0, -9.0, -22.0)
PAPER_COLOUR = (96.5, 0.0, 3.5)
PAPER_OVAL, PAPER_FADE = (2.3, 2.6), (0.80, 1.65)  # half axes in eye distances; paint thins out between these parts
# Skin this dark in a picture without light parts is underexposed, and may be lightened by up to NIGHT_LIFT.
NIGHT_SKIN, NIGHT_WHITE, NIGHT_LIFT = (26.0, 14.0), (70.0, 45.0), 8.0


def draw_ink(canvas: Canvas, style: DrawnStyle) -> None:
    """Lines where the difference of two Gaussians along the flow finds a dark ridge; few on skin and background.
    Outlines of person, face and hair are added where the photo has an edge."""
    unit, sigma = canvas.eye_distance, max(style.ink_width * canvas.eye_distance, 1.0)
    source = 0.55 * canvas.smooth[..., 0] + 0.45 * canvas.lab[..., 0]
    lines = np.dstack([blur(source, 1.6 * sigma) - blur(source, sigma), _outline(canvas, sigma)])
    ridge, outline = np.moveaxis(smooth_along(lines, canvas.flow, max(3, int(0.04 * unit)), 2.0), -1, 0)
    # Features get lines of their own; between the strands of fair hair every shadow would become a blot.
    hair = canvas.hair * (0.35 + 2.0 * smoothstep(30, 65, canvas.lab[..., 0]))
    skin = (style.skin_threshold - 1) * np.clip(canvas.skin + canvas.features, 0, 1)
    threshold = style.ink_threshold * (1 + skin + 0.75 * canvas.background + hair)
    ink = np.maximum(np.clip((ridge - threshold) / style.ink_softness, 0, 1), style.outline * outline)
    # Pieces shorter than this are speckle.
    length = 0.14 * unit
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((ink > 0.15).astype(np.uint8))
    long = (stats[:, 2:4].max(1) > length) & (stats[:, cv2.CC_STAT_AREA] > 0.4 * length**2)  # 2, 3: width, height
    long[0] = False  # the paper
    ink = blur(ink * blur(long[pieces].astype(np.float32), 0.6), 0.5)
    # Coloured lines: the local colour, darkened, mixed with the ink's; in hair mostly its own colour.
    hair = blur(canvas.hair, 0.04 * unit)[..., None]
    own = 0.5 + 0.4 * hair
    line = own * canvas.lab + (1 - own) * np.float32(style.ink_colour)
    line[..., :1] -= own * canvas.lab[..., :1] * (0.65 - 0.2 * hair)
    paint(canvas.lab, ink, line, style.ink)


def _outline(canvas: Canvas, sigma: float) -> np.ndarray:
    """Thin lines `[H, W]` in 0..1 on the edges of the photo that lie near the border of a region."""
    masks = canvas.background, canvas.hair, canvas.face_skin + canvas.features
    border = np.maximum.reduce([_step(blur(mask, 2.5 * sigma), 2.5 * sigma) for mask in masks])
    contrast = _step(blur(canvas.photo[..., 0], sigma), sigma)
    crest = np.maximum(contrast - 0.85 * blur(contrast, 2.2 * sigma), 0) * 2.5
    size = 2 * max(1, int(0.03 * canvas.eye_distance)) + 1
    features = cv2.dilate(canvas.features, np.ones((size, size), np.uint8))
    return smoothstep(*OUTLINE_CONTRAST, crest).astype(np.float32) * smoothstep(0.2, 0.6, border) * (1 - features)


def _step(blurred: np.ndarray, sigma: float) -> np.ndarray:
    """Height of the steps in a picture that was blurred by `sigma` px: the gradient over that of a step of height 1."""
    dx, dy = (cv2.Scharr(blurred, cv2.CV_32F, *axis) / 32 for axis in ((1, 0), (0, 1)))
    return np.hypot(dx, dy) * (sigma * np.sqrt(2 * np.pi))


def light_rim(canvas: Canvas, style: DrawnStyle) -> None:
    """Cool light along the right-hand side of the person, where the photo has an edge."""
    sigma = 0.035 * canvas.eye_distance
    side = cv2.Scharr(blur(canvas.background, sigma), cv2.CV_32F, 1, 0) / 32 * sigma * np.sqrt(2 * np.pi)
    edge = smoothstep(6, 22, _step(blur(canvas.photo[..., 0], sigma), sigma))
    weight = np.clip(1.3 * side, 0, 1) * (1 - canvas.background) * edge
    paint(canvas.lab, blur(weight, 1.0), RIM_COLOUR, 0.75 * style.rim_light)


def glow(canvas: Canvas, style: DrawnStyle) -> None:
    """Light parts shine over their surroundings (screen blending of a wide blur)."""
    lightness = canvas.lab[..., 0]
    halo = np.maximum(blur(lightness, 0.083 * canvas.eye_distance) - 35, 0) * 0.6
    screened = 100 - (100 - lightness) * (100 - halo) / 100
    lightness += (screened - lightness) * style.glow


def pool_pigment(canvas: Canvas, style: DrawnStyle) -> None:
    """Paint dries darkest and most colourful at the edges of its areas."""
    unit, lightness = canvas.eye_distance, canvas.lab[..., 0]
    pooled = np.abs(blur(lightness, 0.0125 * unit) - blur(lightness, 0.042 * unit)).clip(0, 7)
    pooled *= style.pigment * (1 - canvas.features)
    lightness -= 0.55 * pooled
    canvas.lab[..., 1:] *= (1 + 0.03 * pooled)[..., None]


def hold_skin(canvas: Canvas, style: DrawnStyle, features: float = 0) -> None:
    """The mean lightness of the face's skin becomes the photo's plus the style's lift, and its saturation (chroma over
    lightness) no less than the photo's: nobody is drawn paler, darker or greyer. `features`: 1 changes them alike."""
    if not canvas.shows_skin:
        return
    weight = np.clip(canvas.skin + features * canvas.features, 0, 1)
    before, after = canvas.photo[canvas.face_pixels], canvas.lab[canvas.face_pixels]
    lightness = float(before[:, 0].mean())
    night = smoothstep(*NIGHT_SKIN, lightness) * smoothstep(*NIGHT_WHITE, canvas.white)
    wanted = lightness + style.skin_lift + NIGHT_LIFT * night
    canvas.lab[..., 0] += (wanted - after[:, 0].mean()) * weight
    chroma = [np.hypot(colours[:, 1], colours[:, 2]).mean() for colours in (before, after)]
    gain = max(1.0, chroma[0] * max(1.0, wanted / max(lightness, 4.0)) / max(chroma[1], 1.0))
    canvas.lab[..., 1:] *= (1 + (gain - 1) * weight)[..., None]


def bare_paper(canvas: Canvas, style: DrawnStyle) -> None:
    """Paint thins out towards the corners, in an uneven oval, less where there is hair or skin. Thin paint is light
    and still colourful: its density fades, so that dark washes turn to colour and not to grey fog."""
    x, y = canvas.position[..., 0] / PAPER_OVAL[0], (canvas.position[..., 1] + 0.35) / PAPER_OVAL[1]
    turn = np.arctan2(y, x)
    bare = smoothstep(*PAPER_FADE, np.hypot(x, y) + 0.05 * np.sin(5 * turn + 1) + 0.03 * np.sin(11 * turn))
    person = blur(np.clip(canvas.hair + canvas.skin, 0, 1), 0.1 * canvas.eye_distance)
    thin = style.paper * bare * (1 - 0.6 * person)
    lightness, colour, paper = canvas.lab[..., 0], canvas.lab[..., 1:], np.float32(PAPER_COLOUR)
    lightness[:] = paper[0] * (lightness.clip(1, 99) / paper[0]) ** (1 - thin)
    paint(colour, thin**2, paper[1:])


def keep_grey(canvas: Canvas, style: DrawnStyle) -> None:
    """A black-and-white photo makes a black-and-white drawing; a dark one has little chroma, but may be in colour."""
    chroma = np.hypot(canvas.photo[::4, ::4, 1], canvas.photo[::4, ::4, 2])
    canvas.lab[..., 1:] *= smoothstep(*GREY, np.percentile(chroma, 90) / canvas.exposure)


# Each step with the strength in the style without which it is left out.
STEPS = (
    (shading.lift_exposure, None),
    (shading.abstract, None),
    (shading.lay_brush_strokes, "brush_size"),
    (shading.clean_skin, None),
    (shading.cel_skin, None),
    (shading.cel_hair, "hair_cel"),
    (shading.cel_elsewhere, "other_cel"),
    (shading.grade_colour, None),
    (shading.soften_background, "background_mix"),
    (partial(hold_skin, features=1), None),  # not painted yet: what lies under them moves with the skin around
    (features.draw_blush, "blush"),
    (features.draw_lips, "lips"),
    (features.draw_teeth, "teeth"),
    (features.draw_brows, "brows"),
    (draw_ink, "ink"),
    (eyes.draw_eyes, None),
    (features.draw_mouth_line, None),
    (features.draw_nose, None),
    (light_rim, "rim_light"),
    (glow, "glow"),
    (pool_pigment, "pigment"),
    (hold_skin, None),
    (bare_paper, "paper"),
    (keep_grey, None),
)


@dataclass(frozen=True)
class Drawing:
    """A photo and its drawing at degree 1, both `[H, W, 3]` uint8; the degrees in between follow from the two."""

    photo: np.ndarray
    full: np.ndarray
    warp: Warp

    def at_degree(self, degree: float) -> np.ndarray:
        """Picture `[H, W, 3]` uint8 at `degree`, from 0 (photo) to 1 (full): shapes linear in it, colours blended."""
        if degree in (0, 1):
            return (self.full if degree else self.photo).copy()
        shape = self.photo.shape
        photo = displace(self.photo, self.warp.field(shape, degree)).astype(np.float32)
        drawn = displace(self.full, self.warp.field_from_full(shape, degree)).astype(np.float32)
        return np.round(photo + (drawn - photo) * smoothstep(0, FULL_COLOUR_DEGREE, degree)).astype(np.uint8)


def draw_full(rgb: np.ndarray, style: DrawnStyle, parsing: Parsing) -> Drawing:
    """Draw an aligned portrait `[H, W, 3]` uint8, parsed by `parse_portrait`, at degree 1. Deterministic."""
    warp = Warp(parsing.landmarks, style.shape)
    canvas = Canvas(rgb, parsing, warp)
    for step, strength in STEPS:
        if strength is None or getattr(style, strength) > 0:
            step(canvas, style)
    canvas.lab[..., 0] = canvas.lab[..., 0].clip(2, 99)
    drawn = cv2.cvtColor(canvas.lab, cv2.COLOR_LAB2RGB).clip(0, 1)
    return Drawing(rgb, np.round(drawn * 255).astype(np.uint8), warp)
