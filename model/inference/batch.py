"""All contents of one call: photos, videos, folders and patterns, shared between processes; or the webcam."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from model.common import cli
from model.common.errors import InputError
from model.inference.contents import find_contents, result_names
from model.inference.job import make_stylizer, stylize
from model.inference.live import show_camera
from model.inference.manifest import Manifest
from model.inference.options import Options
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.media.frames import FrameSource
from model.media.photos import PhotoSource
from model.media.sample import SAMPLE_NAME, sample_portrait
from model.media.webcam import open_screens


def run(options: Options) -> None:
    """Stylise every content, or this process's share of them. Raises InputError for what cannot work."""
    options.check()
    if options.camera is not None:
        look = replace(options, crop="follow", lost=options.lost or "pass", batch_size=1)
        screens = partial(open_screens, options.virtual_camera)
        print(show_camera(options.camera, screens, lambda: make_stylizer(options), look))
        return
    results = Path(options.output_path)
    contents = find_contents(options.content, results)
    if options.parsing_map_path and len(contents) > 1:
        raise InputError("--parsing_map_path belongs to one video: name a single content.")
    if options.resume and not contents:
        raise InputError("--resume goes on with photos and videos of yours: name them with --content.")
    if len(contents) == 1:
        open_frames(contents[0]).close()  # what cannot be read is reported before a model is loaded or fetched
    make_folder(results)
    jobs = list(zip(contents, result_names(contents, results), strict=True)) or [(None, SAMPLE_NAME)]
    number, count = cli.processes()
    stylize_all(make_stylizer(options), jobs[number::count], options)


def open_content(content: str | None) -> FrameSource:
    """Open a file, or the sample portrait where none was named."""
    return open_frames(content) if content else PhotoSource(Path(SAMPLE_NAME), sample_portrait())


def make_folder(folder: Path) -> None:
    """Make the folder for the results."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is in its place" if in_the_way else error.strerror
        raise InputError(f"cannot make the folder {folder}: {reason}; choose another --output_path") from error


def stylize_all(stylizer: Stylizer, jobs: list[tuple[str | None, str]], options: Options) -> None:
    """Stylise contents, each with the name of its result; a bad one is reported and the others go on.

    Raises InputError if there was one.
    """
    manifest = Manifest(Path(options.output_path)) if options.resume else None
    failures = 0
    for content, result_name in jobs:
        name = content or "the sample portrait"
        try:
            if manifest is not None and manifest.has(content, options):
                continue
            with open_content(content) as source:
                path = stylize(stylizer, source, result_name, options)
                if source.warning:
                    cli.say(source.warning, all_processes=True)
            print(f"{name} → {path}")
            if manifest is not None:
                manifest.add(content, options, path)
        except InputError as error:
            told = str(error) if name in str(error) else f"{name}: {cli.sentence(error)}"
            if len(jobs) == 1:
                raise InputError(told) from error
            failures += 1
            cli.say(told, all_processes=True)
    if failures:
        raise InputError(f"{failures} of {len(jobs)} contents could not be stylised; see above.")
