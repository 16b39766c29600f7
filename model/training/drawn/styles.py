"""Drawn styles: nothing but named parameters.

Lengths are in units of the eye distance, lightness and colour in CIE Lab (L in 0..100), strengths in 0..1.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exaggeration:
    """How far the face is reshaped at degree 1. Factors are relative to the photo, shifts in eye distances."""

    eye_width: float = 1.36
    eye_height: float = 1.58
    eye_apart: float = 0.02  # each eye moves outwards
    eye_rise: float = -0.01
    brow_rise: float = 0.02  # on top of what the taller eye pushes it
    jaw_width: float = 0.84
    chin_rise: float = 0.05
    forehead_rise: float = 0.08
    mouth_size: float = 0.90
    mouth_rise: float = 0.02
    nose_width: float = 0.74
    nose_length: float = 0.90
    head_size: float = 1.08


@dataclass(frozen=True)
class DrawnStyle:
    """Parameters of one drawn style; the defaults are those of `film`."""

    name: str
    shape: Exaggeration = Exaggeration()

    # Exposure and abstraction.
    exposure_lift: float = 1.5  # lightness added to the midtones of every picture
    texture_scale: float = 0.019  # detail finer than this is painted over
    flow_length: float = 0.06  # how far colour is dragged along edges, each way
    photo_detail: float = 0.10  # fine detail of the photo laid over the paint
    hair_gloss: float = 0.75  # strands sharpened across the flow

    # Cel tones: shadow, middle and light relative to the median lightness of the skin.
    skin_tones: tuple[float, float, float] = (-12.0, 0.0, 7.0)
    tone_softness: float = 8.0  # half width of the step between tones, in L
    skin_cel: float = 0.25
    hair_cel: float = 0.35
    other_cel: float = 0.15
    shadow_tint: tuple[float, float] = (5.0, 3.0)  # a, b added in the shadows of skin

    # Colour.
    saturation: float = 1.18
    skin_saturation: float = 1.14
    hair_saturation: float = 1.20
    warmth: float = 2.0  # b added, mostly to skin
    split_shadow: tuple[float, float] = (3.0, -5.0)  # a, b of dark parts (split toning)
    split_light: tuple[float, float] = (0.0, 2.0)  # a, b of light parts

    # Background.
    background_blur: float = 0.060
    background_mix: float = 0.80

    # Make-up.
    blush: float = 0.45
    nose_shine: float = 0.70
    lips: float = 0.70
    lip_saturation: float = 1.20
    brows: float = 0.70
    teeth: float = 0.85

    # Ink.
    ink: float = 0.18
    ink_threshold: float = 1.6  # contrast in L from which a line is drawn
    ink_softness: float = 4.0
    ink_colour: tuple[float, float, float] = (22.0, 10.0, 6.0)

    # Eyes.
    eyes: float = 0.95
    iris_size: float = 1.28
    iris_saturation: float = 1.80
    iris_lift: float = 10.0
    lashes: float = 0.85
    catch_lights: float = 1.0

    glow: float = 0.25


film = DrawnStyle(name="film")

STYLES = {style.name: style for style in (film,)}
