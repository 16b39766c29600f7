"""One photo, video or camera as the options ask: load the model, find who is in it, write or show the result."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import fields, replace
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path

from tqdm import tqdm

from model.common import cli
from model.common.errors import InputError
from model.effects import FullFrame
from model.faces.detect import find_all_landmarks, find_landmarks_quickly, find_people
from model.inference.clip import beside, stylised
from model.inference.limits import check_result
from model.inference.look import Look
from model.inference.options import Options
from model.inference.scene import People, Person
from model.inference.stylizer import Stylizer
from model.media.files import PhotoSource, open_sink
from model.media.frames import Frame, FrameSink, FrameSource
from model.media.resume import SegmentedSink
from model.media.threads import ahead, behind
from model.media.webcam import Latest, VideoCapture, open_screens, play
from model.parsing.maps import open_maps
from model.styles.base import MapsOf


def make_stylizer(options: Options) -> Stylizer:
    """Load the model that the options ask for. What it cannot render is reported before any frame is read."""
    names = "precision", "exstyle_path", "style_encoder_path", "faceparsing_path", "tile", "compile"
    settings = {name: getattr(options, name) for name in names}
    stylizer = Stylizer.from_preset(options.preset, device="cpu" if options.cpu else options.device, **settings)
    style = stylizer.style
    if options.backbone not in (None, style.backbone):
        kind = f"a {style.backbone} model" if style.backbone else "no VToonify model"
        raise InputError(f"{options.preset} is {kind}: leave --backbone {options.backbone} out.")
    if options.parsing_map_path and not style.parsing_channels:
        raise InputError(f"{options.preset} uses no parsing maps: leave --parsing_map_path out.")
    unused = [  # the published program takes them all the same
        f"--{field.name}" for field in fields(options)
        if not set((field.metadata.get("needs") or "").split()) <= style.uses
        and getattr(options, field.name) != field.default
    ]  # fmt: skip
    if unused:
        cli.say(f"{style.name} has no use for {', '.join(unused)}: left aside")
    for doubt in style.doubts(options.style_id, options.degree):
        cli.say(doubt)
    return stylizer


def load_other(stylizer: Stylizer, options: Options, preset: str) -> Stylizer:
    """The model of a preset for one of several people: `stylizer` for --ckpt itself, others with their own files."""
    if preset == options.preset:
        return stylizer
    own = {
        "style_id": None,
        "style_image": None,
        "exstyle_path": None,
        "style_encoder_path": None,
        "faceparsing_path": None,
    }
    return make_stylizer(replace(options, ckpt=preset, **own))


def stylize(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Stylise one photo or video; returns the path of the result, NAME_vtoonify_X.jpg or .mp4.

    Where one person is stylised, NAME_input.jpg beside it shows what the style was given.
    """
    if options.video and not source.is_video:
        raise InputError(f"{source.path} is a photo, but --video was given: leave --video out.")
    several, is_film = options.most_faces != 1, source.is_video and not options.preview
    check_result(source, options)
    look = replace(options, crop=options.crop if source.is_video else "fixed")
    look.lost = look.lost or ("pass" if several else "keep")
    people = People(stylizer, look, options.choices, partial(load_other, stylizer, options))
    if several:
        shown, faces = find_people(source, options.most_faces)
        if not look.follows and (told := unseen(options, source, len(faces))):  # nobody joins them
            raise InputError(told)
    else:
        shown, *faces = stylizer.find_face(source, not options.no_scale_image)
    persons = [people.person(number, shown, face) for number, face in enumerate(faces, 1)]
    crop = persons[0].portrait.crop.shown
    check_result(source, options, (stylizer.scale * crop.height, stylizer.scale * crop.width))
    kind = "preview" if options.preview else "compare" if options.compare else "vtoonify"
    path = Path(options.output_path) / f"{name}_{kind}_{stylizer.style.letter}{'.mp4' if is_film else '.jpg'}"
    if options.resume and is_film:
        sink = SegmentedSink(path, source, options.facts(str(source.path)), options.keep_audio)
    else:
        sink = open_sink(path, source, options.keep_audio)
    maps_of = parsing_maps(persons[0], source, options, sink.done)
    joining = {"newcomer": people.newcomer, "most": options.most_faces} if several else {}
    cartoon = partial(stylised, people=persons, look=look, maps_of=maps_of, state=sink.state, **joining)
    deliver(source, sink, cartoon, shown if options.preview else None)
    if not several:
        picture = persons[0].portrait.crop.show(shown.rgb)
        with open_sink(path.with_name(f"{name}_input.jpg"), PhotoSource(source.path, picture)) as photo:
            photo.write(Frame(picture))
    elif not options.preview and (told := unseen(options, source, people.count)):
        cli.say(told)  # but the result is there
    return path


def unseen(options: Options, source: FrameSource, count: int) -> str | None:
    """A sentence where --styles names a person beyond the `count` that were seen."""
    missing = [number for number in options.choices if number > count]
    return f"--styles names person {missing[0]}, but {source.path} shows {count}." if missing else None


def deliver(
    source: FrameSource, sink: FrameSink, cartoon: Callable[[Iterator[Frame]], Iterator[Frame]],
    preview: Frame | None = None,
) -> None:  # fmt: skip
    """Write the cartoon of a source, or of the one frame `preview`, with a bar; what Ctrl-C leaves is told."""
    hidden = None if source.is_video and preview is None else True  # None: where stderr is no terminal
    bar = {"desc": source.name, "total": source.expected_frames, "initial": sink.done, "unit": "frame"}
    try:
        with sink, ahead(source if preview is None else [preview]) as frames, behind(sink.write) as write:
            for frame in tqdm(cartoon(frames), disable=hidden, **bar):
                write(frame)
    except KeyboardInterrupt:
        if left := sink.left():
            cli.say(left, all_processes=True)
        raise
    if sink.warning:
        cli.say(sink.warning, all_processes=True)


def parsing_maps(person: Person, source: FrameSource, options: Options, done: int) -> MapsOf | None:
    """Maps for the frames after the first `done`: from a file or smoothed on the way; None: each is parsed alone."""
    style = person.stylizer.style
    if options.parsing_map_path:
        maps = open_maps(options.parsing_map_path, style.parsing_channels, person.portrait.crop)
        return lambda crops: islice(maps, done, None)
    if not options.smooth or options.preview or not source.is_video or not style.parsing_channels:
        return None
    return style.smoothed_parsing(options.raft_path, options.window_size)


def show_camera(options: Options) -> None:
    """Show what a camera sees as a cartoon, until a screen is closed, the camera ends, or Ctrl-C."""
    look = replace(options, crop="follow", lost=options.lost or "pass", batch_size=1)
    with ExitStack() as opened:  # camera and screens first: if one is missing, that is reported without delay
        camera = opened.enter_context(closing(VideoCapture(options.camera)))
        screens = [opened.enter_context(screen) for screen in open_screens(options.virtual_camera)]
        stylizer = make_stylizer(options)
        frames = opened.enter_context(Latest(camera))
        shown = play(live(stylizer, frames, look), screens)
    print(f"webcam:{options.camera}: {shown} frames shown, {frames.dropped} dropped")


def live(stylizer: Stylizer, frames: Iterable[Frame], look: Look) -> Iterator[Frame]:
    """The cartoons of the frames, one by one; until a face is found, the frames as they are.

    Raises InputError as `Stylizer.render` does, before the first frame.
    """
    stylizer = Stylizer(stylizer.style.live())
    people, frames = People(stylizer, look), iter(frames)
    stylizer.style.exemplar_name(look.style_id)
    for frame, turn in zip(frames, cycle((90, -90, 180)), strict=False):
        landmarks = find_landmarks_quickly(frame.rgb)
        if landmarks is None:  # or somebody lies
            landmarks = next(iter(find_all_landmarks(frame.rgb, turn)), None)
        if landmarks is not None:
            yield from stylised(chain([frame], frames), [people.person(1, frame, landmarks)], look, is_live=True)
            return
        picture = FullFrame(look.full_frame).enlarge(frame.rgb) if look.full_frame else frame.rgb
        yield replace(frame, rgb=beside(picture, picture) if look.compare else picture)
