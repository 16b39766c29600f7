"""The order of steps that makes a drawing out of a photo."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.training.drawn import eyes, features, finish, shading
from model.training.drawn.filters import blur, guided_filter, masked_blur, smoothstep
from model.training.drawn.geometry import EYES, Warp, displace, face_frame
from model.training.drawn.parsing import REGIONS, Parsing, parse_portrait
from model.training.drawn.shading import Canvas, SkinTone
from model.training.drawn.strokes import curve, polygon
from model.training.drawn.styles import DrawnStyle

STEPS = (
    shading.lift_exposure,
    shading.abstract,
    shading.lay_brush_strokes,
    shading.clean_skin,
    shading.cel_skin,
    shading.cel_hair,
    shading.cel_elsewhere,
    shading.grade_colour,
    shading.soften_background,
    finish.hold_face,
    features.draw_blush,
    features.draw_lips,
    features.draw_teeth,
    features.draw_brows,
    finish.draw_ink,
    eyes.draw_eyes,
    features.draw_mouth_line,
    features.draw_nose,
    finish.light_rim,
    finish.glow,
    finish.pool_pigment,
    finish.hold_skin,
    finish.bare_paper,
    finish.keep_grey,
)
# The colours are those of the drawing from this degree on; the shapes go on changing up to 1.
FULL_COLOUR_DEGREE = 0.75
# Lab colour taken for the skin's where a face shows none (all hair, masks).
TYPICAL_SKIN = (60.0, 15.0, 18.0)
# Lab distance to the background's colour at which a pixel near it belongs to it, and at which it does not.
SAME_COLOUR = (7.0, 3.0)


@dataclass(frozen=True)
class Drawing:
    """A photo and its drawing at degree 1; every degree in between follows from the two."""

    photo: np.ndarray  # [H, W, 3] uint8
    full: np.ndarray  # [H, W, 3] uint8, the drawing at degree 1
    warp: Warp

    def at_degree(self, degree: float) -> np.ndarray:
        """Picture [H, W, 3] uint8 at `degree` in [0, 1]: shapes linear in the degree, colours blended; 0 is the
        photo, 1 the full drawing."""
        if degree <= 0:
            return self.photo.copy()
        if degree >= 1:
            return self.full.copy()
        shape = self.photo.shape
        photo = displace(self.photo, self.warp.field(shape, degree)).astype(np.float32)
        full_field = self.warp.field(shape, 1.0)
        drawn = displace(self.full, self.warp.field_from_full(shape, degree, full_field)).astype(np.float32)
        weight = np.float32(smoothstep(0, FULL_COLOUR_DEGREE, degree))
        return np.round(photo + (drawn - photo) * weight).astype(np.uint8)

    def landmarks_at(self, degree: float) -> np.ndarray:
        return self.warp.landmarks_at(degree)


def draw(
    rgb: np.ndarray, landmarks: np.ndarray, style: DrawnStyle, degree: float, parsing: Parsing | None = None
) -> np.ndarray:
    """Draw an aligned portrait.

    `rgb` [H, W, 3] uint8, `landmarks` [68, 2] in its pixels, `degree` in [0, 1]; `parsing` saves parsing the same
    photo again. Returns [H, W, 3] uint8; degree 0 is the photo itself. Deterministic.
    """
    if not 0.0 <= degree <= 1.0:
        raise ValueError(f"degree must lie in [0, 1], got {degree}")
    if degree == 0:
        return rgb.copy()
    return draw_full(rgb, style, parsing or parse_portrait(rgb, landmarks)).at_degree(degree)


def draw_full(rgb: np.ndarray, style: DrawnStyle, parsing: Parsing) -> Drawing:
    """Draw `rgb` at degree 1."""
    warp = Warp.fit(parsing.landmarks, style.shape)
    canvas = _prepare(rgb, parsing, warp)
    for step in STEPS:
        step(canvas, style)
    canvas.lab[..., 0] = canvas.lab[..., 0].clip(2, 99)
    drawn = cv2.cvtColor(canvas.lab, cv2.COLOR_LAB2RGB).clip(0, 1)
    return Drawing(rgb, np.round(drawn * 255).astype(np.uint8), warp)


def _prepare(rgb: np.ndarray, parsing: Parsing, warp: Warp) -> Canvas:
    """Warp photo and regions to degree 1 and measure what the steps need to know."""
    field = warp.field(rgb.shape, 1.0)
    photo = displace(rgb, field)
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    halves = [np.ascontiguousarray(half) for half in (parsing.regions[..., :3], parsing.regions[..., 3:])]
    warped = np.dstack([displace(half, field, cv2.INTER_LINEAR) for half in halves])
    region = {name: np.ascontiguousarray(warped[..., index]) for index, name in enumerate(REGIONS)}

    landmarks = warp.landmarks_at(1.0)
    frame = face_frame(landmarks)
    drawn_over = _feature_mask(lab.shape, landmarks, frame.up, frame.eye_distance)
    face_skin = region["skin"] * (1 - drawn_over)
    skin = np.clip(face_skin + (region["neck"] + region["ears"]) * (1 - drawn_over), 0, 1)
    return Canvas(
        lab=lab,
        photo=lab.copy(),
        landmarks=landmarks,
        frame=frame,
        background=_background_along_edges(region["background"], face_skin, lab, frame.eye_distance),
        skin=blur(skin, 1.5),
        face_skin=face_skin,
        hair=np.clip(region["hair"] * (1 - drawn_over), 0, 1),
        features=drawn_over,
        tone=_skin_tone(lab, face_skin),
        white=float(np.percentile(lab[::4, ::4, 0], 98)),
    )


def _background_along_edges(background: np.ndarray, face: np.ndarray, lab: np.ndarray, unit: float) -> np.ndarray:
    """The parsing's `background` [H, W] with the edges of the picture. What lies close to it and has its very colour
    belongs to it: around a head, a margin left out would show as a halo."""
    mask = smoothstep(0.45, 0.95, background).astype(np.float32)
    colour = masked_blur(lab, mask, 0.2 * unit)
    unlike = np.linalg.norm(blur(lab, 0.02 * unit) - colour, axis=-1)
    close = smoothstep(0.02, 0.12, blur(mask, 0.2 * unit)) * (1 - face)
    mask = np.maximum(mask, smoothstep(*SAME_COLOUR, unlike) * close)
    lightness = np.ascontiguousarray(lab[..., 0])
    return guided_filter(lightness, mask[..., None], max(2, int(0.08 * unit)), 40.0)[..., 0].clip(0, 1)


def _feature_mask(shape: tuple[int, ...], landmarks: np.ndarray, up: np.ndarray, unit: float) -> np.ndarray:
    parts = [features.brow_mask(shape, landmarks[brow], up, unit) for brow in features.BROWS]
    parts += [polygon(shape, curve(landmarks[eye], closed=True), 1.0) for eye in EYES]
    parts += features.lip_masks(shape, landmarks)
    return np.clip(np.max(parts, axis=0), 0, 1)


def _skin_tone(lab: np.ndarray, face_skin: np.ndarray) -> SkinTone:
    face = face_skin > 0.6
    if face.sum() < 50:
        return SkinTone(*TYPICAL_SKIN)
    return SkinTone(*(float(value) for value in np.median(lab[face], 0)))
