"""Frames of a clip to be painted over: exported, suggested, and shown to the style that was made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from model.common import cli
from model.common.errors import InputError
from model.inference.look import Look
from model.inference.options import Options
from model.inference.scene import Person, Scene
from model.inference.sheet import arranged
from model.inference.stylizer import Stylizer
from model.media.files import PhotoSource, open_sink
from model.media.frames import Frame, FrameSource
from model.styles.base import Crop
from model.styles.keyframes.paintings import Note, is_changed, write_crop
from model.styles.keyframes.suggest import View, suggested

MOST_VIEWS = 500  # frames that are compared with each other


def crops_of(source: FrameSource, person: Person, look: Look, last: int | None = None) -> Iterator[Crop]:
    """What the style is given of each frame of a clip, up to number `last`."""
    scene = Scene([person], look, None, 0)
    total = source.expected_frames if last is None else last + 1
    for number, frame in enumerate(tqdm(source, desc="looking", total=total, unit="frame", disable=None, leave=False)):
        if last is not None and number > last:
            return
        yield scene.see(frame).views[0].crop


def chosen_crops(source: FrameSource, person: Person, look: Look, numbers: Sequence[int]) -> dict[int, Crop]:
    """The crops of these frames, which count from 0. InputError where a clip is shorter."""
    found, count = {}, 0
    for number, crop in enumerate(crops_of(source, person, look, max(numbers))):
        count = number + 1
        if number in numbers:
            found[number] = replace(crop, rgb=crop.rgb.copy())
    missing = [number for number in numbers if number not in found]
    if missing:
        raise InputError(f"{source.path} has the frames 0 to {count - 1}: there is no frame {missing[0]}.")
    return found


def person_in(stylizer: Stylizer, source: FrameSource, options: Options) -> tuple[Person, Look]:
    """Whose crops the frames of a clip are. InputError for a photo."""
    if not source.is_video:
        raise InputError(f"{source.path} is a photo: key frames are frames of a video.")
    frame, landmarks = stylizer.find_face(source, not options.no_scale_image)
    portrait = stylizer.fit(frame, options.padding, not options.no_scale_image, landmarks)
    return Person(stylizer, portrait, options), options


def export(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Write the frames of --export_keyframe as NAME_key_NUMBER.png; returns the path of the last one. InputError where
    something else has such a name: nobody's painting is lost."""
    person, look = person_in(stylizer, source, options)
    numbers = sorted(set(options.export_keyframe))
    for number, crop in chosen_crops(source, person, look, numbers).items():
        path = Path(options.output_path) / f"{name}_key_{number:06d}.png"
        if is_changed(path, crop):
            raise InputError(
                f"{path} is there and is not frame {number} as it is: you may have painted it; move it away."
            )
        write_crop(path, crop, Note.of(source.path.name, number, crop))
        if number != numbers[-1]:
            print(f"frame {number} → {path}")
    cli.say(f"paint over it and keep its size; then: --keyframe {numbers[-1]}=painted.png")
    return path


def suggest(stylizer: Stylizer, source: FrameSource, name: str, options: Options) -> Path:
    """Name the frames that are worth painting, and write NAME_keyframes.jpg, which shows them. Returns its path."""
    person, look = person_in(stylizer, source, options)
    step = max(1, -(-(source.expected_frames or 0) // MOST_VIEWS))
    views = [View.of(number, crop) for number, crop in enumerate(crops_of(source, person, look)) if number % step == 0]
    numbers = suggested(views, options.suggest_keyframes)
    crops = chosen_crops(source, person, look, numbers)
    times = ", ".join(f"{number} ({float(crop.time or 0):.2f} s)" for number, crop in crops.items())
    print(f"frames worth painting: {times}")
    print(f"to paint over: --export_keyframe {' '.join(map(str, crops))}")
    path = Path(options.output_path) / f"{name}_keyframes.jpg"
    pictures = [(f"frame {number}", f"{float(crop.time or 0):.2f} s", crop.rgb) for number, crop in crops.items()]
    with open_sink(path, PhotoSource(source.path, pictures[0][2])) as sink:
        sink.write(Frame(arranged(pictures)))
    return path
