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

from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from model import cli
from model.cli import option
from model.devices import DEVICES, PRECISIONS, pick_own_gpu
from model.errors import InputError
from model.inference.contents import MEDIA_SUFFIXES, find_contents, result_names
from model.inference.degrees import DegreeCurve, parse_degree
from model.inference.delivery import deliver, sink_for
from model.inference.face import DEFAULT_PADDING
from model.inference.frames import Frame, FrameSource, open_frames, open_sink
from model.inference.manifest import Manifest
from model.inference.parsing import RADIUS
from model.inference.people import Cast, Choice, parse_styles, stylised_people
from model.inference.photos import PhotoSource
from model.inference.portrait import find_people
from model.inference.sample import SAMPLE_NAME, sample_portrait
from model.inference.scene import Look, MapsOf, stylised
from model.inference.screens import open_screens
from model.inference.smoothing import RAFT_PATH, Smoother, load_flow, open_maps
from model.inference.styles import list_presets
from model.inference.stylizer import Portrait, Stylizer
from model.inference.webcam import camera_number, check_options, show_camera


@dataclass
class Options:
    """Options of the command line, with the published names."""

    content: list[str] = option(
        [], "photos, videos, folders or glob patterns, or webcam; nothing: the sample portrait", nargs="+"
    )
    ckpt: str = option("starter", "preset (see --list_styles) or file of a VToonify model")
    style_id: str | None = option(None, "style of a D model, as a number or by name; nothing: the preset's own")
    style_degree: str | None = option(
        None, "style degree of a D model, 0 (photo) to 1, or a curve as 0@0s,1@3s; nothing: the preset's own"
    )
    color_transfer: bool = option(False, "take the colours of the style, too (D models)")
    output_path: str = option("output", "folder for the results; it is made")
    scale_image: bool = option(False, "scale the face to the model's size and crop around it (the default)")
    no_scale_image: bool = option(False, "take the whole frame at its own size instead")
    padding: list[int] = option(
        list(DEFAULT_PADDING),
        "room left, right, above and below the eyes, in pixels at 64 pixels between the eyes",
        nargs=4,
        metavar=("LEFT", "RIGHT", "TOP", "BOTTOM"),
    )
    batch_size: int = option(0, "frames at a time; 0: as many as fit on CUDA, 1 elsewhere")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic; auto: bf16 where the hardware has units for it", choices=PRECISIONS)
    tile: bool = option(False, "render in strips: less memory, the same picture; large frames always are")
    compile: bool = option(False, "compile the network for the crop's size: minutes at first, faster for long clips")
    cpu: bool = option(False, "the same as --device cpu")
    backbone: str | None = option(
        None, "insist on a model of this variant; it is read from the checkpoint", choices=["dualstylegan", "toonify"]
    )
    video: bool = option(False, "insist that the contents are videos; they are recognised without it")
    parsing_map_path: str | None = option(None, "smoothed parsing maps of a video, from smooth_parsing_map.py")
    smooth: bool = option(False, "smooth the parsing maps of videos over time on the way")
    raft_path: str = option(RAFT_PATH, "optical flow network for --smooth")
    window_size: int = option(RADIUS, "neighbours on each side for --smooth")
    style_encoder_path: str | None = option(None, "other pSp encoder than the preset's")
    exstyle_path: str | None = option(None, "other exemplar codes than the preset's")
    faceparsing_path: str | None = option(None, "other face parser than the preset's")
    crop: str = option("fixed", "in videos: fixed, or follow the face as it moves", choices=["fixed", "follow"])
    lost: str | None = option(
        None,
        "with --crop follow, where no face is seen: keep the last crop, or pass the frame on unstylised; "
        "nothing: keep, with --faces pass",
        choices=["keep", "pass"],
    )
    full_frame: int = option(
        0, "put the crop back into the whole frame, enlarged so many times; 0: the crop alone", choices=[0, 1, 2, 4]
    )
    faces: str = option("one", "who is stylised: one, all, or the N most prominent; more than one need --full_frame")
    styles: str | None = option(
        None, "style and degree of each person, from the most prominent on: 1=film@0.5,2=ink or 2=PRESET:STYLE@DEGREE"
    )
    virtual_camera: bool = option(False, "show the webcam's cartoon to other programs as a camera (pyvirtualcam)")
    compare: bool = option(False, "write input and result side by side, as NAME_compare_X")
    preview: bool = option(False, "stylise one frame only, as NAME_preview_X.jpg")
    resume: bool = option(
        False, "leave out what manifest.jsonl in the output folder notes as done, and go on with what is half done"
    )
    list_styles: bool = option(False, "list the presets and stop")

    @property
    def degree(self) -> float | DegreeCurve | None:
        """The style degree, or what it is over time; None for the preset's own. Raises InputError for anything else."""
        return None if self.style_degree is None else parse_degree(self.style_degree)

    @property
    def camera(self) -> int | None:
        """The number of the camera that is the content; None for files. Raises InputError for anything else."""
        return camera_number(self.content)

    @property
    def most_faces(self) -> int | None:
        """How many faces are stylised at most; None for all. Raises InputError for anything else."""
        if self.faces in ("one", "all"):
            return 1 if self.faces == "one" else None
        if not self.faces.isdigit() or int(self.faces) < 1:
            raise InputError(f"--faces is {self.faces!r}: give one, all, or a number from 1 up.")
        return int(self.faces)

    @property
    def choices(self) -> dict[int, Choice]:
        """What is said of each person, by number. Raises InputError for anything else."""
        return parse_styles(self.styles) if self.styles else {}

    def check(self) -> None:
        """Raise InputError for values that cannot work, before anything is loaded."""
        self.degree  # noqa: B018 - read for its errors
        if min(self.padding) < 0:
            raise InputError(f"--padding has a negative number ({min(self.padding)}): give four numbers from 0 up.")
        if self.batch_size < 0:
            raise InputError(f"--batch_size is {self.batch_size}: give 1 or more, or 0 for the default.")
        if self.scale_image and self.no_scale_image:
            raise InputError("--scale_image and --no_scale_image contradict each other: give one of them.")
        if self.window_size < 1:
            raise InputError(f"--window_size is {self.window_size}: give 1 or more.")
        if self.parsing_map_path and (self.smooth or self.preview):
            other = "--smooth" if self.smooth else "--preview"
            raise InputError(f"--parsing_map_path and {other} exclude each other: give one of them.")
        if self.full_frame and self.no_scale_image:
            raise InputError("--full_frame and --no_scale_image exclude each other: that is the whole frame.")
        if self.parsing_map_path and self.crop == "follow":
            raise InputError("--parsing_map_path is for --crop fixed: use --smooth, or leave --crop follow out.")
        if self.camera is not None:
            check_options(self)
        elif self.virtual_camera:
            raise InputError("--virtual_camera is for --content webcam: leave one of them out.")
        if self.lost and self.crop != "follow" and self.camera is None:
            raise InputError(f"--lost {self.lost} is for --crop follow: add that, or leave it out.")
        self.choices  # noqa: B018 - read for its errors
        if self.most_faces != 1:
            if not self.full_frame:
                raise InputError(f"--faces {self.faces} needs --full_frame 1, 2 or 4: several crops are no picture.")
            unfit = [name for name in ("parsing_map_path", "smooth", "compile") if getattr(self, name)]
            if unfit:
                raise InputError(f"--{unfit[0]} is for one face: leave it or --faces {self.faces} out.")
            last = max(self.choices, default=0)
            if self.most_faces is not None and last > self.most_faces:
                raise InputError(f"--styles names person {last}, but --faces is {self.faces}: raise that number.")
        elif self.styles:
            raise InputError("--styles is for several people: add --faces all, or give --style_id and --style_degree.")
        if self.tile and self.compile:
            raise InputError("--tile and --compile exclude each other: give one of them.")
        if self.cpu and self.device not in ("auto", "cpu"):
            raise InputError(f"--cpu and --device {self.device} contradict each other: give one of them.")
        folder = Path(self.output_path)
        if folder.suffix.lower() in MEDIA_SUFFIXES and not folder.is_dir():
            raise InputError(f"--output_path {folder} is the name of a file: name the folder for the results.")


def make_stylizer(options: Options) -> Stylizer:
    """Load the model that the options ask for."""
    stylizer = Stylizer.from_preset(
        options.ckpt,
        device="cpu" if options.cpu else options.device,
        precision=options.precision,
        exstyle_path=options.exstyle_path,
        style_encoder_path=options.style_encoder_path,
        faceparsing_path=options.faceparsing_path,
        tile=options.tile,
        compile=options.compile,
    )
    if options.backbone not in (None, stylizer.backbone):
        raise InputError(f"{options.ckpt} is a {stylizer.backbone} model: leave --backbone {options.backbone} out.")
    if options.parsing_map_path and not stylizer.network.config.parsing_channels:
        raise InputError(f"{options.ckpt} uses no parsing maps: leave --parsing_map_path out.")
    note_unused(stylizer, options)
    # What the model cannot render is reported before any frame is read.
    preset = stylizer.preset
    style, degree = stylizer.style_name(options.style_id), options.degree
    known = degree if callable(degree) else stylizer.degree(degree)
    if preset.style is not None and style != stylizer.style_name():
        cli.say(f"{preset.name} was trained for style {preset.style} alone: the look may suffer")
    if preset.degree not in (None, known):
        cli.say(f"{preset.name} was trained for degree {preset.degree} alone: the look may suffer")
    return stylizer


def note_unused(stylizer: Stylizer, options: Options) -> None:
    """Say which options the model has no use for; the published program takes them all the same."""
    unused: list[str] = []
    if not stylizer.network.has_degree:
        unused += ["style_id", "style_degree", "exstyle_path", "color_transfer"]
    if stylizer.style_encoder is None:
        unused += ["style_encoder_path", "color_transfer"]  # without a photo's code, all colour rows are the style's
    if stylizer.parser is None:
        unused += ["faceparsing_path", "smooth"]
    given = [f"--{name}" for name in dict.fromkeys(unused) if getattr(options, name) not in (None, False)]
    if given:
        cli.say(f"{stylizer.preset.name} has no use for {', '.join(given)}: left aside")


def stylize(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Stylise one photo or video; writes NAME_input.jpg and NAME_vtoonify_X.jpg or .mp4, returns the latter."""
    if options.video and not source.is_video:
        raise InputError(f"{source.path} is a photo, but --video was given: leave --video out.")
    if options.most_faces != 1:
        return stylize_people(stylizer, source, name, options)
    scaled = not options.no_scale_image
    shown, landmarks = stylizer.find_face(source, scaled)
    portrait = stylizer.fit(shown, tuple(options.padding), scaled, landmarks)
    look = look_of(options, options.crop if source.is_video and scaled else "fixed", "keep")
    path = result_path(stylizer, source, name, options)
    sink = sink_for(path, source, options, [(stylizer, portrait)])
    maps = parsing_maps(stylizer, source, portrait, options, sink.done)
    resumed = {"done": sink.done, "neighbours": options.window_size if options.smooth else 0}
    deliver(
        source,
        sink,
        lambda frames: stylised(stylizer, frames, portrait, look, maps, **resumed),
        preview=shown if options.preview else None,
    )
    write_input(path.with_name(f"{name}_input.jpg"), source, shown, portrait)
    return path


def stylize_people(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Stylise several people in one photo or video; writes NAME_vtoonify_X.jpg or .mp4, returns it."""
    shown, faces = find_people(source, options.most_faces)
    follow = source.is_video and options.crop == "follow"
    if not follow:  # nobody joins them
        check_all_seen(options, source, len(faces))
    look = look_of(options, "follow" if follow else "fixed", "pass")

    def load(preset: str) -> Stylizer:
        same = preset == options.ckpt
        return stylizer if same else make_stylizer(replace(options, ckpt=preset, style_id=None))

    cast = Cast.of(stylizer, look, options.choices, load, tuple(options.padding))
    people = [cast.person(number, shown, landmarks) for number, landmarks in enumerate(faces, 1)]
    path = result_path(stylizer, source, name, options)
    sink = sink_for(path, source, options, [(person.stylizer, person.portrait) for person in people])
    settings = {
        "full_frame": look.full_frame,
        "compare": look.compare,
        "follow": follow,
        "lost": look.lost,
        "most": options.most_faces,
        "newcomer": cast.newcomer,
        "done": sink.done,
    }
    deliver(
        source,
        sink,
        lambda frames: stylised_people(frames, people, **settings),
        preview=shown if options.preview else None,
    )
    if not options.preview:
        try:
            check_all_seen(options, source, cast.count)
        except InputError as unseen:  # the result is there
            cli.say(unseen)
    return path


def check_all_seen(options: Options, source: FrameSource, count: int) -> None:
    """Raise InputError where --styles names a person beyond the `count` that were seen."""
    missing = [number for number in options.choices if number > count]
    if missing:
        raise InputError(f"--styles names person {missing[0]}, but {source.path} shows {count}.")


def look_of(options: Options, crop: str, lost: str) -> Look:
    """What the options say of the look."""
    return Look(
        style=options.style_id,
        degree=options.degree,
        color_transfer=options.color_transfer,
        batch_size=options.batch_size or None,
        crop=crop,
        full_frame=options.full_frame,
        compare=options.compare,
        lost=options.lost or lost,
    )


def result_path(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Where the result goes."""
    kind = "preview" if options.preview else "compare" if options.compare else "vtoonify"
    suffix = ".mp4" if source.is_video and not options.preview else ".jpg"
    return Path(options.output_path) / f"{name}_{kind}_{stylizer.backbone[0]}{suffix}"


def parsing_maps(
    stylizer: Stylizer, source: FrameSource, portrait: Portrait, options: Options, done: int = 0
) -> MapsOf | None:
    """Where smoothed parsing maps come from: a file, or they are made on the way; None: each frame is parsed alone.

    done: how many frames are left out.
    """
    if options.parsing_map_path:
        maps = open_maps(options.parsing_map_path, stylizer.network.config.parsing_channels, portrait.crop)
        return lambda crops: islice(maps, done, None)
    if not options.smooth or options.preview or not source.is_video or stylizer.parser is None:
        return None
    flow = load_flow(options.raft_path, stylizer.device)
    return Smoother(stylizer.parser, flow, stylizer.device, stylizer.dtype, options.window_size).maps


def write_input(path: Path, source: FrameSource, frame: Frame, portrait: Portrait) -> None:
    """Write what the network saw of `frame`."""
    crop = portrait.crop.trim(portrait.crop.apply(frame.rgb), factor=1)
    with open_sink(path, PhotoSource(source.path, crop)) as sink:
        sink.write(Frame(crop))


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
        pick_own_gpu()
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
    pick_own_gpu()
    stylize_all(make_stylizer(options), jobs[number::count], options)


if __name__ == "__main__":
    cli.run(main)
