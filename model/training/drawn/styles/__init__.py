"""Drawn styles: nothing but named numbers, one TOML file each. Copy `film.toml`, change it, and draw with its path.

Lengths are in units of the eye distance, lightness and colour in CIE Lab (L in 0..100), strengths in 0..1. A strength
of 0 leaves its step out. What a file does not mention keeps the default given here.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from model.common.errors import InputError

SHIPPED = Path(__file__).parent
SUFFIX = ".toml"
PLAIN_NAME = re.compile(r"[a-z0-9_-]+")


def within(low: float, high: float, default: float | tuple[float, ...]):
    """A number, or a tuple of numbers, from `low` to `high`."""
    return field(default=default, metadata={"range": (low, high)})


def strength(default: float):
    return within(0.0, 1.0, default)


@dataclass(frozen=True)
class Exaggeration:
    """How far the face is reshaped at degree 1. Factors are relative to the photo, shifts in eye distances."""

    eye_width: float = within(0.8, 1.6, 1.34)
    eye_height: float = within(0.8, 1.8, 1.54)
    eye_apart: float = within(-0.1, 0.1, 0.01)  # each eye moves outwards
    eye_rise: float = within(-0.1, 0.1, 0.0)
    brow_rise: float = within(-0.1, 0.1, 0.02)  # on top of what the taller eye pushes it
    jaw_width: float = within(0.7, 1.2, 0.91)
    chin_rise: float = within(-0.15, 0.15, 0.02)
    forehead_rise: float = within(-0.2, 0.2, 0.02)
    mouth_size: float = within(0.7, 1.3, 0.93)
    mouth_rise: float = within(-0.1, 0.1, 0.0)
    nose_width: float = within(0.6, 1.3, 0.82)
    nose_length: float = within(0.7, 1.3, 0.97)
    head_size: float = within(0.9, 1.2, 1.02)


@dataclass(frozen=True)
class DrawnStyle:
    """Parameters of one drawn style; the defaults are those of `film`."""

    name: str
    shape: Exaggeration = Exaggeration()

    # Exposure and abstraction.
    exposure_lift: float = within(-20, 20, 1.5)  # lightness added to the midtones of every picture
    texture_scale: float = within(0.005, 0.1, 0.019)  # detail finer than this is painted over
    flow_length: float = within(0, 0.2, 0.06)  # how far colour is dragged along edges, each way
    brush_size: float = within(0, 0.15, 0.0)  # width of visible brush strokes
    photo_detail: float = strength(0.10)  # fine detail of the photo laid over the paint
    hair_gloss: float = within(0, 2, 0.75)  # strands sharpened across the flow

    # Cel tones: shadow, middle and light relative to the median lightness of the skin.
    skin_tones: tuple[float, float, float] = within(-40, 30, (-12.0, 0.0, 7.0))
    tone_softness: float = within(0.5, 20, 8.0)  # half width of the step between tones, in L
    skin_cel: float = strength(0.25)
    hair_cel: float = strength(0.35)
    other_cel: float = strength(0.15)
    shadow_tint: tuple[float, float] = within(-30, 30, (5.0, 3.0))  # a, b added in the shadows of skin
    terminator_tint: tuple[float, float] = within(-30, 30, (0.0, 0.0))  # a, b added where light turns to shadow

    # Tone and colour.
    contrast: float = within(0.5, 2, 1.0)  # of lightness, around the middle
    darkest: float = within(0, 40, 0.0)  # lightness of the darkest paint
    saturation: float = within(0, 3, 1.18)
    skin_saturation: float = within(0, 3, 1.14)
    hair_saturation: float = within(0, 3, 1.20)
    warmth: float = within(-20, 20, 2.0)  # b added, mostly to skin
    split_shadow: tuple[float, float] = within(-40, 40, (3.0, -5.0))  # a, b of dark parts (split toning)
    split_light: tuple[float, float] = within(-40, 40, (0.0, 2.0))  # a, b of light parts
    skin_lift: float = within(-10, 10, 0.0)  # how much lighter than the photo's the skin is on average, in L

    # Background.
    background_blur: float = within(0, 0.3, 0.060)
    background_mix: float = strength(0.80)
    background_lift: float = within(-40, 40, 0.0)  # lightness added to it; lifting spares what is dark
    background_tint: tuple[float, float] = within(-40, 40, (0.0, 0.0))  # a, b added to it

    # Make-up.
    blush: float = strength(0.45)
    nose_shine: float = strength(0.70)
    lips: float = strength(0.70)
    lip_saturation: float = within(0, 3, 1.20)
    brows: float = strength(0.70)
    teeth: float = strength(0.85)

    # Ink.
    ink: float = strength(0.18)
    ink_width: float = within(0.004, 0.05, 0.0133)  # finest line
    ink_threshold: float = within(0.05, 20, 1.6)  # contrast in L from which a line is drawn
    ink_softness: float = within(0.1, 20, 4.0)  # contrast in L over which it grows to full strength
    ink_colour: tuple[float, float, float] = within(-60, 100, (22.0, 10.0, 6.0))
    skin_threshold: float = within(1, 20, 3.2)  # how many times that contrast a line on skin needs
    outline: float = strength(0.0)  # around person, face and hair, where the photo has an edge

    # Eyes.
    eyes: float = strength(0.95)
    iris_size: float = within(0.8, 1.6, 1.28)
    iris_saturation: float = within(0, 4, 1.80)
    iris_lift: float = within(-20, 30, 10.0)
    lashes: float = strength(0.85)
    catch_lights: float = strength(1.0)

    # Light and paper.
    rim_light: float = strength(0.0)  # cool light along one side of the person
    glow: float = strength(0.25)
    pigment: float = within(0, 4, 0.0)  # paint pooling on both sides of an edge
    paper: float = strength(0.0)  # bare paper towards the corners


def style_names() -> list[str]:
    """Names of the styles that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def load_style(name_or_path: str | Path) -> DrawnStyle:
    """A shipped style by its name, or a style of your own by the path of its .toml file.

    Raises InputError that names the file and the key at fault.
    """
    path = Path(name_or_path)
    if str(name_or_path) in style_names():
        path = SHIPPED / f"{name_or_path}{SUFFIX}"
    elif path.suffix != SUFFIX:
        names = ", ".join(style_names())
        raise InputError(f"There is no drawn style {str(name_or_path)!r}: take one of {names}, or a {SUFFIX} file.")
    if not PLAIN_NAME.fullmatch(path.stem):
        raise InputError(f"{path} cannot name a style: rename the file to small letters, digits, _ and - only.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path of the style.") from error
    except ValueError as error:  # not TOML, or not text
        raise InputError(f"{path} is not a TOML file ({error}): mend it, or copy a shipped style.") from error
    return DrawnStyle(path.stem, **_checked_table(DrawnStyle, table, path))


def _checked_table(kind: type, table: Mapping, path: Path, prefix: str = "") -> dict:
    """Arguments for the dataclass `kind` from `table`, each checked; `prefix` is the table's name in messages."""
    known = {item.name: item for item in fields(kind) if item.name != "name"}
    values = {}
    for key, value in table.items():
        if key not in known:
            raise InputError(f"{path} has an unknown key {prefix + key!r}: take one of {', '.join(known)}.")
        if key != "shape":
            limits = known[key].metadata["range"]
            values[key] = _checked(value, known[key].default, limits, f"{path}: {prefix + key!r}")
        elif isinstance(value, dict):
            values[key] = Exaggeration(**_checked_table(Exaggeration, value, path, "shape."))
        else:
            raise InputError(f"{path}: {key!r} must be a table, written [{key}], not {value!r}.")
    return values


def _checked(value, default: float | tuple[float, ...], limits: tuple[float, float], what: str):
    """`value` as a float, or as a tuple of floats where the default is one; `what` names it in messages."""
    low, high = limits
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            raise InputError(f"{what} must be a list of {len(default)} numbers, not {value!r}.")
        return tuple(_checked(part, 0.0, limits, what) for part in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} must be a number, not {value!r}.")
    if not low <= value <= high:
        raise InputError(f"{what} must lie between {low:g} and {high:g}, not {value:g}.")
    return float(value)
