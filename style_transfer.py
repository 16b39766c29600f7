"""Turn portrait photos and videos into cartoons.

    python style_transfer.py                                   the sample portrait in the starter style
    python style_transfer.py --content me.jpg holiday.mp4      your own pictures and videos
    python style_transfer.py --content me.jpg --ckpt cartoon --style_id 26 --style_degree 0.5
    python style_transfer.py --list_styles                     all models
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from tqdm import tqdm

from model import cli
from model.cli import option
from model.devices import DEVICES, PRECISIONS
from model.errors import InputError
from model.inference.frames import Frame, FrameSource, open_frames, open_sink
from model.inference.parsing import open_parsing_maps
from model.inference.sample import SAMPLE_NAME, sample_portrait
from model.inference.styles import list_presets
from model.inference.stylizer import Portrait, Stylizer

MEDIA_SUFFIXES = {
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif",
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp",
}  # fmt: skip
"""What is taken out of a folder; a file named on its own is recognised from its content."""


@dataclass
class Options:
    """Options of the command line, with the published names."""

    content: list[str] = option([], "photos, videos, folders or glob patterns; nothing: the sample portrait", nargs="+")
    ckpt: str = option("starter", "preset (see --list_styles) or file of a VToonify model")
    style_id: str | None = option(None, "style of a D model, as a number or by name; nothing: the preset's own")
    style_degree: float | None = option(None, "style degree of a D model, 0 (photo) to 1; nothing: the preset's own")
    color_transfer: bool = option(False, "take the colours of the style, too (D models)")
    output_path: str = option("output", "folder for the results; it is made")
    scale_image: bool = option(False, "scale the face to the model's size and crop around it (the default)")
    no_scale_image: bool = option(False, "take the whole frame at its own size instead")
    padding: list[int] = option(
        [200, 200, 200, 200],
        "room left, right, above and below the eyes, in pixels at 64 pixels between the eyes",
        nargs=4,
    )
    batch_size: int = option(0, "frames at a time; 0: 1 on the CPU, 4 elsewhere")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic; auto: bf16 where the hardware has units for it", choices=PRECISIONS)
    cpu: bool = option(False, "the same as --device cpu")
    backbone: str | None = option(
        None, "insist on a model of this variant; it is read from the checkpoint", choices=["dualstylegan", "toonify"]
    )
    video: bool = option(False, "insist that the contents are videos; they are recognised without it")
    parsing_map_path: str | None = option(None, "smoothed parsing maps of a video, from smooth_parsing_map.py")
    style_encoder_path: str | None = option(None, "other pSp encoder than the preset's")
    exstyle_path: str | None = option(None, "other exemplar codes than the preset's")
    faceparsing_path: str | None = option(None, "other face parser than the preset's")
    list_styles: bool = option(False, "list the presets and stop")

    def check(self) -> None:
        """Raise InputError for values that cannot work, before anything is loaded."""
        if self.style_degree is not None and not 0 <= self.style_degree <= 1:
            raise InputError(f"--style_degree is {self.style_degree}: give a number from 0 to 1.")
        if min(self.padding) < 0:
            raise InputError(f"--padding has a negative number ({min(self.padding)}): give four numbers from 0 up.")
        if self.batch_size < 0:
            raise InputError(f"--batch_size is {self.batch_size}: give 1 or more, or 0 for the default.")
        if self.scale_image and self.no_scale_image:
            raise InputError("--scale_image and --no_scale_image contradict each other: give one of them.")
        if self.cpu and self.device not in ("auto", "cpu"):
            raise InputError(f"--cpu and --device {self.device} contradict each other: give one of them.")


class ArraySource(FrameSource):
    """A picture in memory as a source of one frame."""

    is_video = False

    def __init__(self, name: str, frame: Frame):
        super().__init__(Path(name))
        self.first = frame

    def _read(self) -> Iterator[Frame]:
        yield self.first


def find_contents(names: list[str]) -> list[str]:
    """Resolve folders and patterns into files, in order and without repeats."""
    found: list[str] = []
    for name in names:
        if Path(name).is_dir():
            inside = sorted(p for p in Path(name).iterdir() if p.suffix.lower() in MEDIA_SUFFIXES)
            if not inside:
                raise InputError(f"{name} is a folder without photos or videos: name another one.")
            found += map(str, inside)
        elif not Path(name).exists() and any(sign in name for sign in "*?["):
            matches = sorted(glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not matches:
                raise InputError(f"No file matches {name}: check the pattern.")
            found += matches
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, or `name-2`, `name-3` … when an earlier content of this call has it."""
    candidates = [name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))]
    choice = next(candidate for candidate in candidates if candidate.lower() not in taken)
    taken.add(choice.lower())
    return choice


def make_stylizer(options: Options) -> Stylizer:
    """Load the model that the options ask for."""
    stylizer = Stylizer.from_preset(
        options.ckpt,
        device="cpu" if options.cpu else options.device,
        precision=options.precision,
        exstyle_path=options.exstyle_path,
        style_encoder_path=options.style_encoder_path,
        faceparsing_path=options.faceparsing_path,
    )
    if options.backbone not in (None, stylizer.backbone):
        raise InputError(f"{options.ckpt} is a {stylizer.backbone} model: leave --backbone {options.backbone} out.")
    # What the model cannot render is reported before any frame is read.
    style, degree = stylizer.style_name(options.style_id), stylizer.degree(options.style_degree)
    if (style, degree) != (stylizer.style_name(), stylizer.degree()) and stylizer.preset.is_fixed:
        print(f"{stylizer.preset.name} was trained for another style or degree: the look may suffer.", file=sys.stderr)
    return stylizer


def stylize(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Stylise one photo or video; writes NAME_input.jpg and NAME_vtoonify_X.jpg or .mp4, returns the latter."""
    if options.video and not source.is_video:
        raise InputError(f"{source.path} is a photo, but --video was given: leave --video out.")
    folder = Path(options.output_path)
    portrait = stylizer.fit_source(source, tuple(options.padding), not options.no_scale_image)
    stem = folder / f"{name}_vtoonify_{stylizer.backbone[0]}"
    path = stem.with_name(stem.name + (".mp4" if source.is_video else ".jpg"))
    with open_sink(path, source) as sink:
        for frame in rendered(stylizer, source, portrait, options):
            sink.write(frame)
    write_input(folder / f"{name}_input.jpg", source, portrait)
    return path


def rendered(stylizer: Stylizer, source: FrameSource, portrait: Portrait, options: Options) -> Iterator[Frame]:
    """Stylised frames of a source, behind a progress bar when it is a video."""
    maps = None
    if options.parsing_map_path:
        channels, crop = stylizer.network.config.parsing_channels, portrait.crop
        if not channels:
            raise InputError(f"{options.ckpt} uses no parsing maps: leave --parsing_map_path out.")
        maps = open_parsing_maps(options.parsing_map_path, channels, (crop.height, crop.width))
    frames = stylizer.render(
        source,
        portrait,
        style=options.style_id,
        degree=options.style_degree,
        color_transfer=options.color_transfer,
        batch_size=options.batch_size or None,
        parsing_maps=maps,
    )
    return tqdm(frames, desc=source.name, total=source.expected_frames, unit="frame", disable=not source.is_video)


def write_input(path: Path, source: FrameSource, portrait: Portrait) -> None:
    """Write what the network saw of the first frame."""
    crop = portrait.crop.trim(portrait.crop.apply(source.first.rgb), factor=1)
    still = ArraySource(source.name, Frame(crop))
    with open_sink(path, still) as sink:
        sink.write(still.first)


def open_content(name: str) -> FrameSource:
    """Open a file, or the sample portrait under its own name."""
    return ArraySource(SAMPLE_NAME, Frame(sample_portrait())) if name == SAMPLE_NAME else open_frames(name)


def main() -> None:
    """Parse the command line and stylise every content; a bad one is reported and the others go on."""
    options = cli.parse(Options, __doc__)
    if options.list_styles:
        print(list_presets())
        return
    options.check()
    contents = find_contents(options.content) or [SAMPLE_NAME]
    stylizer = make_stylizer(options)
    try:
        Path(options.output_path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {options.output_path} cannot be made ({error.strerror}).") from error
    taken: set[str] = set()
    failures: list[InputError] = []
    for content in contents:
        try:
            with open_content(content) as source:
                path = stylize(stylizer, source, unique_name(source.name, taken), options)
                if source.warning:
                    print(source.warning, file=sys.stderr)
            print(f"{content} → {path}")
        except InputError as error:
            if len(contents) == 1:
                raise
            failures.append(error)
            print(error, file=sys.stderr)
    if failures:
        raise InputError(f"{len(failures)} of {len(contents)} contents could not be stylised; see above.")


if __name__ == "__main__":
    cli.run(main)
