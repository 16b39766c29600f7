"""Drawn styles: nothing but named numbers, one TOML file each. Copy `film.toml`, change it, and draw with its path.

`film.toml` says what each number means, and stands in for what another file does not mention.
"""

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from model.common.errors import InputError

SHIPPED = Path(__file__).parent
PLAIN_NAME = re.compile(r"[a-z0-9_-]+")
STRENGTH = (0, 1)  # the range of whatever is not named in RANGES: of a number, or of each number of a list
RANGES = {
    (-60, 100): "ink_colour", (-40, 40): "background_lift background_tint split_light split_shadow",
    (-40, 30): "skin_tones", (-30, 30): "shadow_tint terminator_tint", (-20, 30): "iris_lift",
    (-20, 20): "exposure_lift warmth", (-10, 10): "skin_lift", (-0.2, 0.2): "shape.forehead_rise",
    (-0.15, 0.15): "shape.chin_rise",
    (-0.1, 0.1): "shape.brow_rise shape.eye_apart shape.eye_rise shape.mouth_rise", (0, 0.15): "brush_size",
    (0, 0.2): "flow_length", (0, 0.3): "background_blur", (0, 2): "hair_gloss",
    (0, 3): "hair_saturation lip_saturation saturation skin_saturation", (0, 4): "iris_saturation pigment",
    (0, 40): "darkest", (0.004, 0.05): "ink_width", (0.005, 0.1): "texture_scale",
    (0.05, 20): "ink_threshold", (0.1, 20): "ink_softness", (0.5, 2): "contrast", (0.5, 20): "tone_softness",
    (0.6, 1.3): "shape.nose_width", (0.7, 1.2): "shape.jaw_width",
    (0.7, 1.3): "shape.mouth_size shape.nose_length", (0.8, 1.6): "iris_size shape.eye_width",
    (0.8, 1.8): "shape.eye_height", (0.9, 1.2): "shape.head_size", (1, 20): "skin_threshold",
}  # fmt: skip


class DrawnStyle(SimpleNamespace):
    """What one style is made of: its `name`, the values of film.toml by their names, and in `shape` those of its table
    [shape], which reshape the face."""


def style_names() -> list[str]:
    """Names of the styles that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load_style(name_or_path: str | Path) -> DrawnStyle:
    """A shipped style by its name, or a style of your own by the path of its .toml file. Raises InputError that names
    the file and the key at fault."""
    path = Path(name_or_path)
    if str(name_or_path) in style_names():
        path = SHIPPED / f"{name_or_path}.toml"
    elif path.suffix != ".toml":
        names = ", ".join(style_names())
        raise InputError(f"There is no drawn style {str(name_or_path)!r}: take one of {names}, or a .toml file.")
    if not PLAIN_NAME.fullmatch(path.stem):
        raise InputError(f"{path} cannot name a style: rename the file to small letters, digits, _ and - only.")
    film, own = _read(SHIPPED / "film.toml"), _read(path)
    shape = own.pop("shape", {})
    if not isinstance(shape, dict):
        raise InputError(f"{path}: 'shape' must be a table, written [shape], not {shape!r}.")
    shape = SimpleNamespace(**_merged(film.pop("shape"), shape, path, "shape."))
    return DrawnStyle(name=path.stem, shape=shape, **_merged(film, own, path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path of the style.") from error
    except ValueError as error:  # not TOML, or not text
        raise InputError(f"{path} is not a TOML file ({error}): mend it, or copy a shipped style.") from error


def _merged(film: dict[str, Any], own: dict[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    """A table of film.toml with the values of one's `own` file; `prefix` is the table's name in messages."""
    ranges = {name: limits for limits, names in RANGES.items() for name in names.split()}
    for key, value in own.items():
        name, what = prefix + key, f"{path}: {prefix + key!r}"
        if key not in film:
            raise InputError(f"{path} has an unknown key {name!r}: take one of {', '.join(film)}.")
        count, (low, high) = isinstance(film[key], list) and len(film[key]), ranges.get(name, STRENGTH)
        if count and not (isinstance(value, list) and len(value) == count):
            raise InputError(f"{what} must be a list of {count} numbers, not {value!r}.")
        for number in value if count else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise InputError(f"{what} must be a number, not {number!r}.")
            if not low <= number <= high:
                raise InputError(f"{what} must lie between {low:g} and {high:g}, not {number:g}.")
    return film | own
