"""The webcam as content: which camera is meant, and the cartoon of what it sees."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from model.common.errors import InputError
from model.effects.composite import FullFrame
from model.faces.detect import find_landmarks_quickly
from model.inference.clip import beside, stylised
from model.inference.look import Look
from model.inference.people import People
from model.inference.stylizer import Stylizer
from model.media.frames import Frame
from model.media.webcam import Latest, Screen, VideoCapture, play

NAME = re.compile(r"webcam(?::(\d+))?")
"""How a camera is named among the contents."""

UNFIT = ("video", "no_scale_image", "parsing_map_path", "smooth", "preview", "resume", "styles")
"""Options that a camera has no use for."""


def camera_number(contents: Sequence[str]) -> int | None:
    """The number of the camera that `webcam` or `webcam:1` names; None where the contents are files.

    Raises InputError for a camera next to other contents, or a number that is none.
    """
    named = [name for name in contents if name == "webcam" or name.startswith("webcam:")]
    if not named:
        return None
    if len(contents) > 1:
        raise InputError(f"{named[0]} is a camera and goes alone: leave the other contents out.")
    match = NAME.fullmatch(named[0])
    if match is None:
        raise InputError(f"{named[0]} names no camera: write webcam, or webcam:1 for the second one.")
    return int(match[1] or 0)


def check_options(options: Any) -> None:
    """Raise InputError for options of the program that make no sense with a camera."""
    unfit = [name for name in UNFIT if getattr(options, name)]
    if unfit:
        raise InputError(f"--{unfit[0]} is for files, not for a webcam: leave one of them out.")
    if options.faces not in ("one", "1"):
        raise InputError(f"--faces {options.faces} is for files: a webcam shows one person in style.")


def show_camera(
    number: int,
    open_screens: Callable[[], Sequence[Screen]],
    load: Callable[[], Stylizer],
    look: Look,
) -> str:
    """Show what a camera sees as a cartoon, until a screen is closed, the camera ends, or Ctrl-C; tells how it went.

    Camera and screens are opened before `load` gives the model: what is missing is reported without delay.
    """
    with ExitStack() as opened:
        camera = opened.enter_context(closing(VideoCapture(number)))
        screens = [opened.enter_context(screen) for screen in open_screens()]
        stylizer = load()
        frames = opened.enter_context(Latest(camera))
        shown = play(live(stylizer, frames, look), screens)
    return f"webcam:{number}: {shown} frames shown, {frames.dropped} dropped"


def live(
    stylizer: Stylizer,
    frames: Iterable[Frame],
    look: Look,
    find: Callable[[np.ndarray], np.ndarray | None] = find_landmarks_quickly,
) -> Iterator[Frame]:
    """The cartoons of the frames, one by one; until a face is found, the frames as they are.

    find: looks for the face in a picture. Raises InputError as `Stylizer.render` does, before the first frame.
    """
    people, frames = People(stylizer, look), iter(frames)
    stylizer.style.exemplar_name(look.style_id)
    for frame in frames:
        landmarks = find(frame.rgb)
        if landmarks is not None:
            yield from stylised(chain([frame], frames), [people.person(1, frame, landmarks)], look)
            return
        picture = FullFrame(look.full_frame).enlarge(frame.rgb) if look.full_frame else frame.rgb
        yield replace(frame, rgb=beside(picture, picture) if look.compare else picture)
