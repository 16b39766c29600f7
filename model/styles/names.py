"""Names and numbers of styles, and what somebody may have meant by a name that there is not."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from model.common.errors import InputError

FEW = 8  # names that a sentence can list


def resolve_style(names: Iterable[str], style_id: int | str) -> str:
    """The full name of an exemplar, given its index or its name with or without extension. InputError if it is none."""
    names = list(names)
    stems = [Path(name).stem for name in names]
    named = f" ({', '.join(stems)})" if len(names) <= FEW else ""
    has = f"this model has styles 0 to {len(names) - 1}{named}"
    if style_id in names:
        return style_id
    if re.fullmatch(r"-?\d+", str(style_id)):
        if 0 <= int(style_id) < len(names):
            return names[int(style_id)]
        raise InputError(f"There is no style {int(style_id)}; {has}.")
    if style_id in stems:
        return names[stems.index(style_id)]
    close = did_you_mean(str(style_id), stems)
    raise InputError(f"There is no style {style_id!r}{close}; {has}.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ ", perhaps this or that", with the known names that are like `name`; empty where none is."""
    close = difflib.get_close_matches(name.lower(), list(known), n=4, cutoff=0.4)
    return f", perhaps {' or '.join(close)}" if close else ""
