"""Drawn styles: nothing but named numbers, one TOML file each. Copy `film.toml`, change it, and draw with its path.

Lengths are in units of the eye distance, lightness and colour in CIE Lab (L in 0..100), strengths in 0..1. A strength
of 0 leaves its step out. What a file does not mention is as in `film.toml`.
"""

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from model.common.errors import InputError

SHIPPED = Path(__file__).parent
SUFFIX = ".toml"
PLAIN_NAME = re.compile(r"[a-z0-9_-]+")


def within(low: float, high: float) -> Any:
    """A number, or a tuple of numbers, from `low` to `high`."""
    return field(metadata={"range": (low, high)})


def strength() -> Any:
    return within(0.0, 1.0)


@dataclass(frozen=True)
class Exaggeration:
    """How far the face is reshaped at degree 1. Factors are relative to the photo, shifts in eye distances."""

    eye_width: float = within(0.8, 1.6)
    eye_height: float = within(0.8, 1.8)
    eye_apart: float = within(-0.1, 0.1)  # each eye moves outwards
    eye_rise: float = within(-0.1, 0.1)
    brow_rise: float = within(-0.1, 0.1)  # on top of what the taller eye pushes it
    jaw_width: float = within(0.7, 1.2)
    chin_rise: float = within(-0.15, 0.15)
    forehead_rise: float = within(-0.2, 0.2)
    mouth_size: float = within(0.7, 1.3)
    mouth_rise: float = within(-0.1, 0.1)
    nose_width: float = within(0.6, 1.3)
    nose_length: float = within(0.7, 1.3)
    head_size: float = within(0.9, 1.2)


@dataclass(frozen=True)
class DrawnStyle:
    """What one style is made of."""

    name: str
    shape: Exaggeration
    # Exposure and abstraction.
    exposure_lift: float = within(-20, 20)  # lightness added to the midtones of every picture
    texture_scale: float = within(0.005, 0.1)  # detail finer than this is painted over
    flow_length: float = within(0, 0.2)  # how far colour is dragged along edges, each way
    brush_size: float = within(0, 0.15)  # width of visible brush strokes
    photo_detail: float = strength()  # fine detail of the photo laid over the paint
    hair_gloss: float = within(0, 2)  # strands sharpened across the flow
    # Cel tones: shadow, middle and light relative to the median lightness of the skin.
    skin_tones: tuple[float, float, float] = within(-40, 30)
    tone_softness: float = within(0.5, 20)  # half width of the step between tones, in L
    skin_cel: float = strength()
    hair_cel: float = strength()
    other_cel: float = strength()
    shadow_tint: tuple[float, float] = within(-30, 30)  # a, b added in the shadows of skin
    terminator_tint: tuple[float, float] = within(-30, 30)  # a, b added where light turns to shadow
    # Tone and colour.
    contrast: float = within(0.5, 2)  # of lightness, around the middle
    darkest: float = within(0, 40)  # lightness of the darkest paint
    saturation: float = within(0, 3)
    skin_saturation: float = within(0, 3)
    hair_saturation: float = within(0, 3)
    warmth: float = within(-20, 20)  # b added, mostly to skin
    split_shadow: tuple[float, float] = within(-40, 40)  # a, b of dark parts (split toning)
    split_light: tuple[float, float] = within(-40, 40)  # a, b of light parts
    skin_lift: float = within(-10, 10)  # how much lighter than the photo's the skin is on average, in L
    # Background.
    background_blur: float = within(0, 0.3)
    background_mix: float = strength()
    background_lift: float = within(-40, 40)  # lightness added to it; lifting spares what is dark
    background_tint: tuple[float, float] = within(-40, 40)  # a, b added to it
    # Make-up.
    blush: float = strength()
    nose_shine: float = strength()
    lips: float = strength()
    lip_saturation: float = within(0, 3)
    brows: float = strength()
    teeth: float = strength()
    # Ink.
    ink: float = strength()
    ink_width: float = within(0.004, 0.05)  # finest line
    ink_threshold: float = within(0.05, 20)  # contrast in L from which a line is drawn
    ink_softness: float = within(0.1, 20)  # contrast in L over which it grows to full strength
    ink_colour: tuple[float, float, float] = within(-60, 100)
    skin_threshold: float = within(1, 20)  # how many times that contrast a line on skin needs
    outline: float = strength()  # around person, face and hair, where the photo has an edge
    # Eyes.
    eyes: float = strength()
    iris_size: float = within(0.8, 1.6)
    iris_saturation: float = within(0, 4)
    iris_lift: float = within(-20, 30)
    lashes: float = strength()
    catch_lights: float = strength()
    # Light and paper.
    rim_light: float = strength()  # cool light along one side of the person
    glow: float = strength()
    pigment: float = within(0, 4)  # paint pooling on both sides of an edge
    paper: float = strength()  # bare paper towards the corners


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
    film, own = _read(SHIPPED / f"film{SUFFIX}"), _read(path)
    shape = own.pop("shape", {})
    if not isinstance(shape, dict):
        raise InputError(f"{path}: 'shape' must be a table, written [shape], not {shape!r}.")
    shape = Exaggeration(**_checked(Exaggeration, film.pop("shape") | shape, path, "shape."))
    return DrawnStyle(name=path.stem, shape=shape, **_checked(DrawnStyle, film | own, path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path of the style.") from error
    except ValueError as error:  # not TOML, or not text
        raise InputError(f"{path} is not a TOML file ({error}): mend it, or copy a shipped style.") from error


def _checked(kind: type, table: dict[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    """The values of `table` if the dataclass `kind` can take them; `prefix` is the table's name in messages."""
    known, values = {item.name: item for item in fields(kind) if item.metadata}, {}
    for key, value in table.items():
        what = f"{path}: {prefix + key!r}"
        if key not in known:
            raise InputError(f"{path} has an unknown key {prefix + key!r}: take one of {', '.join(known)}.")
        count, (low, high) = len(get_args(known[key].type)), known[key].metadata["range"]
        if count and not (isinstance(value, list) and len(value) == count):
            raise InputError(f"{what} must be a list of {count} numbers, not {value!r}.")
        for number in value if count else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise InputError(f"{what} must be a number, not {number!r}.")
            if not low <= number <= high:
                raise InputError(f"{what} must lie between {low:g} and {high:g}, not {number:g}.")
        values[key] = tuple(value) if count else value
    return values
