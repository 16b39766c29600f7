"""Turn portrait photos and videos into cartoons.

    python style_transfer.py                                   the sample portrait in the starter style
    python style_transfer.py --content me.jpg holiday.mp4      your own pictures and videos
    python style_transfer.py --content me.jpg --ckpt cartoon --style_id 26 --style_degree 0.5
    python style_transfer.py --content clip.mp4 --style_degree 0@0s,1@3s --compare
    python style_transfer.py --content clip.mp4 --crop follow --full_frame 2
    python style_transfer.py --content group.jpg --faces all --full_frame 2 --styles 1=ink,2=film@0.6
    python style_transfer.py --content webcam --style_id ink   live, in a window
    python style_transfer.py --list_styles                     all models

Under `torchrun --nproc_per_node=8` each process takes its share of the contents, on a GPU of its own.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from model.common import cli
from model.common.errors import InputError
from model.inference.batch import find_contents, result_names
from model.inference.job import look_of, make_stylizer, stylize
from model.inference.manifest import Manifest
from model.inference.options import Options
from model.inference.stylizer import Stylizer
from model.media.files import FrameSource, open_frames
from model.media.photos import PhotoSource
from model.media.sample import SAMPLE_NAME, sample_portrait
from model.media.screens import open_screens
from model.media.webcam import show_camera
from model.styles.presets import list_presets


def open_content(content: str | None) -> FrameSource:
    """Open a file, or the sample portrait where none was named."""
    return open_frames(content) if content else PhotoSource(Path(SAMPLE_NAME), sample_portrait())


def make_folder(folder: str) -> None:
    """Make the folder for the results."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
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


def main() -> None:
    """Parse the command line and stylise every content, or this process's share of them."""
    options = cli.parse(Options, __doc__)
    if options.list_styles:
        print(list_presets())
        return
    options.check()
    if options.camera is not None:
        look = replace(look_of(options, "follow", "pass"), batch_size=1)
        screens = partial(open_screens, options.virtual_camera)
        print(show_camera(options.camera, screens, lambda: make_stylizer(options), look, tuple(options.padding)))
        return
    results = Path(options.output_path)
    contents = find_contents(options.content, results)
    if options.parsing_map_path and len(contents) > 1:
        raise InputError("--parsing_map_path belongs to one video: name a single content.")
    if options.resume and not contents:
        raise InputError("--resume goes on with photos and videos of yours: name them with --content.")
    if len(contents) == 1:
        open_frames(contents[0]).close()  # what cannot be read is reported before a model is loaded or fetched
    make_folder(options.output_path)
    jobs = list(zip(contents, result_names(contents, results), strict=True)) or [(None, SAMPLE_NAME)]
    number, count = cli.processes()
    stylize_all(make_stylizer(options), jobs[number::count], options)


if __name__ == "__main__":
    cli.run(main)
