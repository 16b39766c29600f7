"""The cartoon of what a webcam sees."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

from model.effects import FullFrame
from model.faces.detect import find_landmarks_quickly
from model.inference.clip import beside, stylised
from model.inference.job import make_stylizer
from model.inference.look import Look
from model.inference.options import Options
from model.inference.people import People
from model.inference.stylizer import Stylizer
from model.media.frames import Frame
from model.media.webcam import Latest, VideoCapture, open_screens, play


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
    people, frames = People(stylizer, look), iter(frames)
    stylizer.style.exemplar_name(look.style_id)
    for frame in frames:
        landmarks = find_landmarks_quickly(frame.rgb)
        if landmarks is not None:
            yield from stylised(chain([frame], frames), [people.person(1, frame, landmarks)], look)
            return
        picture = FullFrame(look.full_frame).enlarge(frame.rgb) if look.full_frame else frame.rgb
        yield replace(frame, rgb=beside(picture, picture) if look.compare else picture)
