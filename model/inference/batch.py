"""All contents of one call: photos, videos, folders and patterns, shared between processes; or the webcam."""

import json
import os
import re
from collections.abc import Callable
from functools import partial
from glob import glob
from itertools import count
from pathlib import Path
from typing import Any

from model.common import cli
from model.common.errors import InputError
from model.common.files import UNFINISHED, append_line
from model.inference.limits import check_result
from model.inference.options import Options
from model.media.files import MEDIA_SUFFIXES, PhotoSource, content_name, is_result, open_frames
from model.media.frames import FrameSource
from model.media.resume import PARTS_SUFFIX
from model.media.sample import SAMPLE_NAME, sample_portrait

Make = Callable[[FrameSource, str, Options], Path]  # a result of that name; returns its path
MANIFEST = "manifest.jsonl"  # in the folder for the results: what --resume leaves out
# What a file that this program writes is called, without its suffix; the group is the name of its content.
RESULT_NAME = re.compile(r"(.+)_(?:input|sheet|keyframes|key_\d+|(?:vtoonify|compare|preview)_[a-z])(?:\.partial)?")
NEXT = "style_transfer.py me.jpg --style_id comic; your own face in all of them: style_transfer.py me.jpg --sheet"
LISTED = 3  # names of files that are left out
LONGEST_NAME = 200  # bytes of a content's name that its results keep: systems allow 255 for all of a file's name


def run(options: Options) -> None:
    """Stylise every content, or this process's share of them. Raises InputError for what cannot work."""
    options.check()
    results = Path(options.output_path)
    if results.suffix.lower() in MEDIA_SUFFIXES and not results.is_dir():
        raise InputError(f"--output_path {results} is the name of a file: name the folder for the results.")
    if options.camera is not None:
        from model.inference.job import show_camera

        show_camera(options)
        return
    if "webcam" in options.content:
        cli.say("webcam is a file or folder here, and taken as that; the camera is webcam:0")
    contents = find_contents(options.content, results)
    if options.parsing_map_path and len(contents) > 1:
        raise InputError("--parsing_map_path belongs to one video: name a single content.")
    if (options.keyframe or options.only_keyframes) and len(contents) != 1:
        raise InputError("Key frames belong to one video: name a single content.")
    if options.resume and not contents:
        raise InputError("--resume goes on with photos and videos of yours: name them with --content.")
    if len(contents) == 1:  # what cannot work is reported before a model is loaded or fetched
        with open_frames(contents[0]) as source:
            check_result(source, options)
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is in its place" if in_the_way else error.strerror
        raise InputError(f"cannot make the folder {results}: {reason}; choose another --output_path") from error
    jobs = list(zip(contents, result_names(contents, results), strict=True)) or [(None, SAMPLE_NAME)]
    number, count = cli.processes()
    # Imported here: they load torch, which a wrong name should not wait for.
    if options.makes_sheet:
        from model.inference.sheet import draw_sheet

        stylize_all(draw_sheet, jobs[number::count], options)
        print(f"each by itself: {NEXT}")
    else:
        from model.inference import keyframes
        from model.inference.job import make_stylizer, stylize

        if options.only_keyframes:
            make = keyframes.export if options.export_keyframe else keyframes.suggest
        else:
            make = stylize
        stylize_all(partial(make, make_stylizer(options)), jobs[number::count], options)


def stylize_all(make: Make, jobs: list[tuple[str | None, str]], options: Options) -> None:
    """Stylise contents, each with the name of its result; a bad one is reported and the others go on. make:
    `job.stylize` with a stylizer, or `sheet.draw_sheet`.

    Raises InputError if there was one.
    """
    manifest = Path(options.output_path) / MANIFEST
    done = read_manifest(manifest) if options.resume else {}
    failures = skipped = 0
    for content, result_name in jobs:
        name = content or "the sample portrait"
        try:
            known = done.get(content)
            is_same = known is not None and known.items() >= options.facts(content).items()
            result = manifest.parent / known["result"] if is_same else None
            if is_same and result.is_file() and result.stat().st_size == known.get("bytes"):
                skipped += 1
                continue
            with open_frames(content) if content else PhotoSource(Path(SAMPLE_NAME), sample_portrait()) as source:
                path = make(source, result_name, options)
                if source.warning:
                    cli.say(source.warning, all_processes=True)
            print(f"{name} → {path}")
            if options.resume:  # several processes may add lines
                made = {"result": path.name, "bytes": path.stat().st_size}  # another run may have replaced it later
                append_line(manifest, json.dumps(options.facts(content) | made))
        except InputError as error:
            told = str(error) if name in str(error) else f"{name}: {cli.sentence(error)}"
            if len(jobs) == 1:
                raise InputError(told) from error
            failures += 1
            cli.say(told, all_processes=True)
    if skipped:
        told = "nothing is left to do" if skipped == len(jobs) else f"{skipped} of {len(jobs)} contents left out"
        print(f"{told}: done before, as {manifest} says")
    if failures:
        raise InputError(f"{failures} of {len(jobs)} contents could not be stylised; see above.")


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """What a manifest notes as done, by content: `Options.facts`, and the name of the result."""
    done: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            done[entry["content"]] = entry
        except (ValueError, KeyError, TypeError):
            continue  # a line that was being written when the power went
    return done


def find_contents(names: list[str], results: Path) -> list[str]:
    """Resolve folders and patterns into files, in order and without repeats.

    Of folders and patterns only what this program has not written itself is taken.
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
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        inside = [p for p in inside if not _is_made(p, results)]
        others = [p.name for p in inside if p.suffix.lower() not in MEDIA_SUFFIXES]
        if len(others) == len(inside):
            raise InputError(f"{name} is a folder without photos or videos: name another one.")
        if others:
            told = ", ".join([*others[:LISTED], *["…"][: len(others) - LISTED]])
            cli.say(f"{name}: {len(others)} of {len(inside)} files left out ({told}): no photos or videos by name")
        return [str(p) for p in inside if p.name not in others]
    if path.exists() or not any(sign in name for sign in "*?["):
        return [name]
    matches = sorted(m for m in glob(name, recursive=True) if _is_content(Path(m)))  # noqa: PTH207 - may be absolute
    if not matches:
        raise InputError(f"No file matches {name}: check the pattern.")
    contents = [match for match in matches if not _is_made(Path(match), results)]
    if not contents:
        raise InputError(f"{name} matches results of this program alone: name those that are to be stylised again.")
    return contents


def _is_made(path: Path, results: Path) -> bool:
    """Whether this program has written the file, as its name in the folder `results` or the file itself says."""
    is_named = RESULT_NAME.fullmatch(path.stem) or path.name == MANIFEST
    return bool(is_named and is_same_place(path.parent, results)) or is_result(path)


def _is_content(path: Path) -> bool:  # a file, and neither an unfinished result nor a part of one (see `media.resume`)
    is_part = path.parent.suffix == PARTS_SUFFIX and RESULT_NAME.fullmatch(path.parent.stem)
    return path.is_file() and not (is_part or UNFINISHED.fullmatch(path.name))


def result_names(contents: list[str], results: Path) -> list[str]:
    """A name of its own for the results of each content, the same in all processes; none overwrites a content."""
    there = [Path(content).stem for content in contents if is_same_place(Path(content).parent, results)]
    taken = {match[1].lower() for match in map(RESULT_NAME.fullmatch, there) if match}
    return [unique_name(content_name(Path(content)), taken) for content in contents]


def is_same_place(path: Path, other: Path) -> bool:
    """Whether two paths name one place, or would; links to themselves are no failure, as `Path.resolve` has it."""
    return os.path.realpath(path) == os.path.realpath(other)


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, or `name-2`, `name-3` … when an earlier content of this call has it; `taken` is in lower case."""
    name = os.fsencode(name)[:LONGEST_NAME].decode(errors="ignore")
    choice, number = name, count(2)
    while choice.lower() in taken:
        choice = f"{name}-{next(number)}"
    taken.add(choice.lower())
    return choice
