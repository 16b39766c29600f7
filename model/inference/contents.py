"""Which files are stylised in one call, and under which names their results go."""

import os
import re
from glob import glob
from itertools import count
from pathlib import Path

from model.common.errors import InputError
from model.media.photos import content_name
from model.media.resume import PARTS_SUFFIX

MEDIA_SUFFIXES = {
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif",
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp",
}  # fmt: skip
"""What is taken out of a folder; a file named on its own is recognised from its content."""

RESULT_NAME = re.compile(r"(.+)_(?:input|(?:vtoonify|compare|preview)_[dt])(?:\.partial)?")
"""What a file that this program writes is called, without its suffix; the group is the name of its content."""

LONGEST_NAME = 200
"""Bytes of a content's name that its results keep: systems allow 255 for all of a file's name."""


def find_contents(names: list[str], results: Path) -> list[str]:
    """Resolve folders and patterns into files, in order and without repeats.

    Out of the folder `results` only what this program has not written itself is taken.
    """
    found: list[str] = []
    for name in names:
        if not name:
            raise InputError("--content is empty: name a photo, a video or a folder.")
        try:
            found += _find_content(name, results)
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror}; check the name and the permissions") from error
    return list(dict.fromkeys(found))


def _find_content(name: str, results: Path) -> list[str]:
    path = Path(name)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in MEDIA_SUFFIXES and p.is_file())
        if path.resolve() == results.resolve():
            inside = [p for p in inside if not RESULT_NAME.fullmatch(p.stem)]
        if not inside:
            raise InputError(f"{name} is a folder without photos or videos: name another one.")
        return list(map(str, inside))
    if path.exists() or not any(sign in name for sign in "*?["):
        return [name]
    matches = sorted(m for m in glob(name, recursive=True) if is_content(Path(m)))  # noqa: PTH207 - may be absolute
    if not matches:
        raise InputError(f"No file matches {name}: check the pattern.")
    return matches


def is_content(path: Path) -> bool:
    """Whether it is a file, and no part of an unfinished result (see `media.resume`)."""
    folder = path.parent
    return path.is_file() and not (folder.suffix == PARTS_SUFFIX and RESULT_NAME.fullmatch(folder.stem))


def overwritten_names(contents: list[str], results: Path) -> set[str]:
    """Names, in lower case, whose results would overwrite a content that lies in the folder `results`."""
    there = [Path(content).stem for content in contents if Path(content).parent.resolve() == results.resolve()]
    return {match[1].lower() for match in map(RESULT_NAME.fullmatch, there) if match}


def result_names(contents: list[str], results: Path) -> list[str]:
    """A name of its own for the results of each content, the same whoever stylises it."""
    taken = overwritten_names(contents, results)
    return [unique_name(content_name(Path(content)), taken) for content in contents]


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, or `name-2`, `name-3` … when an earlier content of this call has it; `taken` is in lower case."""
    name = os.fsencode(name)[:LONGEST_NAME].decode(errors="ignore")
    choice, number = name, count(2)
    while choice.lower() in taken:
        choice = f"{name}-{next(number)}"
    taken.add(choice.lower())
    return choice
