"""Painters and their values: a module beside this file says how, a .toml file with what values."""

import dataclasses
import tomllib
import typing
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from model.common.errors import InputError
from model.styles.painters.presets import SHIPPED, painter_names
from model.styles.painters.subject import Subject


class Painter(Protocol):
    """A painter with its values."""

    def paint(self, subject: Subject, seed: int = 0) -> np.ndarray:
        """A painting of the photo, RGB uint8 `[H, W, 3]`. The same seed gives the same strokes."""


def between(least: float, most: float) -> Any:
    """Field of a painter's dataclass: a number, or a list of numbers, from `least` to `most`."""
    return dataclasses.field(metadata={"least": least, "most": most})


def load_painter(name_or_path: str | Path) -> Painter:
    """A shipped painter by its name, or one of your own by the path of its .toml file, whose `painter` names the
    shipped one that it changes. Raises InputError that names the file and the key at fault."""
    path = Path(name_or_path)
    if str(name_or_path) in painter_names():
        path = SHIPPED / f"{name_or_path}.toml"
    own = _read(path)
    base = own.pop("painter", path.stem)
    if base not in painter_names():
        raise InputError(f"{path}: 'painter' must be one of {', '.join(painter_names())}, not {base!r}.")
    usual = _read(SHIPPED / f"{base}.toml")
    usual.pop("painter", None)
    kind = import_module(f"{__package__}.{base}").Painter
    _check(kind, own, path)
    return kind(**usual | own)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path of the painter.") from error
    except ValueError as error:  # not TOML, or not text
        raise InputError(f"{path} is not a TOML file ({error}): mend it, or copy a shipped painter.") from error


def _check(kind: type, own: dict[str, Any], path: Path) -> None:
    """Raise InputError for a key that the painter does not have, or a value that is none."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, value in own.items():
        if key not in fields:
            raise InputError(f"{path} has an unknown key {key!r}: take one of {', '.join(fields)}.")
        is_list = typing.get_origin(typing.get_type_hints(kind)[key]) is list
        if is_list and not (isinstance(value, list) and value):
            raise InputError(f"{path}: {key!r} must be a list of numbers, not {value!r}.")
        least, most = fields[key].metadata["least"], fields[key].metadata["most"]
        for number in value if is_list else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise InputError(f"{path}: {key!r} must be a number, not {number!r}.")
            if not least <= number <= most:
                raise InputError(f"{path}: {key!r} must lie between {least:g} and {most:g}, not {number:g}.")
