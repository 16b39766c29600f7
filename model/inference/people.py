"""Several people in one clip: each followed, each in a style and at a degree of its own, all in the whole frame."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.errors import InputError
from model.inference.crowd import CrowdTracker
from model.inference.degrees import parse_degree
from model.inference.face import FaceCrop, face_size
from model.inference.full_frame import FullFrame
from model.inference.media import Frame
from model.inference.portrait import Portrait
from model.inference.scene import Look, beside
from model.inference.styles import is_preset
from model.inference.stylizer import Stylizer
from model.inference.window import MovingWindow, WindowPath


@dataclass(frozen=True)
class Choice:
    """What one person is to look like: `[PRESET:]STYLE[@DEGREE]` or `PRESET[@DEGREE]`. None where nothing is said."""

    preset: str | None
    style: str | None
    degree: float | None


def parse_styles(text: str) -> dict[int, Choice]:
    """`1=film@0.5,2=cartoon:26` → what person 1 and person 2 are to look like. InputError for anything else."""
    choices: dict[int, Choice] = {}
    for part in text.split(","):
        number, equals, wanted = part.strip().partition("=")
        if not (equals and number.isdigit() and int(number) > 0 and wanted):
            raise InputError(
                f"--styles has the part {part.strip()!r}: write PERSON=STYLE@DEGREE, as in 1=film@0.5,2=ink."
            )
        if int(number) in choices:
            raise InputError(f"--styles names person {number} twice: give each one style.")
        name, _, degree = wanted.partition("@")
        preset, _, style = name.rpartition(":")
        if not preset and is_preset(style):
            preset, style = style, ""
        chosen = parse_degree(degree, f"The degree of person {number} in --styles") if degree else None
        choices[int(number)] = Choice(preset or None, style or None, chosen)
    return choices


@dataclass(frozen=True)
class Person:
    """One of several people: the model, where and how large they are, and the look."""

    stylizer: Stylizer
    portrait: Portrait
    look: Look


def stylised_people(
    frames: Iterable[Frame], people: Sequence[Person], full_frame: int = 1, compare: bool = False, follow: bool = True
) -> Iterator[Frame]:
    """Whole frames in which everybody is stylised, in order, with the times of `frames`.

    Args:
        people: their portraits have landmarks, all in the same frame. Nearer people (larger faces) cover those behind.
        full_frame: size of the results relative to the frames: 1, 2 or 4.
        compare: input and result side by side.
        follow: move each window with the face; else it stays where it is.
    """
    tracker = CrowdTracker([person.portrait.landmarks for person in people])
    actors = [_Actor(person, full_frame) for person in people]
    for frame in frames:
        for actor, landmarks in zip(actors, tracker.update(frame.rgb), strict=True):
            actor.see(landmarks, frame, tracker.is_cut, follow)
        before = actors[0].back.enlarge(frame.rgb)
        whole = before.copy()
        for actor in sorted(actors, key=lambda actor: actor.size):
            actor.draw(whole, frame)
        yield replace(frame, rgb=beside(before, whole) if compare else whole)


class _Actor:
    """One person while a clip is rendered."""

    def __init__(self, person: Person, full_frame: int):
        crop = person.portrait.crop
        self.back, self.path = FullFrame(full_frame), WindowPath(crop, person.portrait.landmarks, anchored=True)
        self.size = face_size(person.portrait.landmarks)
        self.window = MovingWindow.of(crop)
        self.person = replace(
            person, portrait=replace(person.portrait, crop=FaceCrop.whole_frame((crop.height, crop.width)))
        )

    def see(self, landmarks: np.ndarray | None, frame: Frame, is_cut: bool, follow: bool) -> None:
        """Move to where the face is."""
        if landmarks is not None:
            self.size = face_size(landmarks)
        if follow:
            self.window = self.path.update(landmarks, float(frame.time or 0), is_cut)

    def draw(self, whole: np.ndarray, frame: Frame) -> None:
        """Stylise what the window shows of `frame` and put it into `whole`."""
        crop = self.window.apply(frame.rgb)
        look = self.person.look
        (result,) = self.person.stylizer.render(
            [replace(frame, rgb=crop)],
            self.person.portrait,
            style=look.style,
            degree=look.degree,
            color_transfer=look.color_transfer,
        )
        self.back(whole, frame.rgb, crop, result.rgb, self.window)
