"""The order of steps that makes a drawing out of a photo."""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from model.training.drawn import eyes, features, finish, shading
from model.training.drawn.canvas import Canvas
from model.training.drawn.parsing import Parsing
from model.training.drawn.raster import smoothstep
from model.training.drawn.styles import DrawnStyle
from model.training.drawn.warp import Warp, displace

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
    (partial(finish.hold_skin, features=1), None),  # not painted yet: what lies under them moves with the skin around
    (features.draw_blush, "blush"),
    (features.draw_lips, "lips"),
    (features.draw_teeth, "teeth"),
    (features.draw_brows, "brows"),
    (finish.draw_ink, "ink"),
    (eyes.draw_eyes, None),
    (features.draw_mouth_line, None),
    (features.draw_nose, None),
    (finish.light_rim, "rim_light"),
    (finish.glow, "glow"),
    (finish.pool_pigment, "pigment"),
    (finish.hold_skin, None),
    (finish.bare_paper, "paper"),
    (finish.keep_grey, None),
)
FULL_COLOUR_DEGREE = 0.75  # the colours are the drawing's from here on; the shapes go on changing up to 1


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
