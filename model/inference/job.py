"""One photo or video as the options ask: load the model, find who is in it, write the result."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

from model.common import cli
from model.common.errors import InputError
from model.faces.search import find_people
from model.inference.clip import Look, MapsOf, stylised
from model.inference.delivery import deliver, sink_for
from model.inference.options import Options
from model.inference.people import Cast, stylised_people
from model.inference.stylizer import Portrait, Stylizer
from model.media.files import Frame, FrameSource, open_sink
from model.media.photos import PhotoSource
from model.parsing.maps import open_maps
from model.parsing.smooth import Smoother, load_flow


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
        steady={"auto": None, "on": True, "off": False}[options.steady],
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
