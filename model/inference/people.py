"""Several people in one clip: each followed, each in a style and at a degree of its own, all in the whole frame.

Who arrives later joins them, and who leaves fades out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model.common.errors import InputError
from model.effects.composite import FullFrame
from model.faces.crop import FaceCrop
from model.faces.crowd import CrowdTracker
from model.faces.landmarks import face_size
from model.faces.presence import Presence
from model.faces.search import Portrait
from model.inference.clip import Look, beside
from model.inference.degrees import parse_degree
from model.inference.stylizer import Stylizer
from model.media.frames import Frame
from model.styles.presets import is_preset


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


class Cast:
    """Makes people of numbers and faces.

    Args:
        role: model and look of everybody of whom nothing is said.
        roles: those of others, by number.
        padding: as `Stylizer.fit` takes it.
    """

    def __init__(
        self, role: tuple[Stylizer, Look], roles: dict[int, tuple[Stylizer, Look]], padding: tuple[int, int, int, int]
    ):
        self._role, self._roles, self._padding = role, roles, padding
        self.count = 0
        """The highest number that was asked for."""

    @classmethod
    def of(
        cls,
        stylizer: Stylizer,
        look: Look,
        choices: dict[int, Choice],
        load: Callable[[str], Stylizer],
        padding: tuple[int, int, int, int],
    ) -> "Cast":
        """Everybody in `look`, but for what `choices` say of some; `load` gives the models of other presets.

        They are loaded at once, and a style that one of them does not have raises InputError at once.
        """
        models: dict[str | None, Stylizer] = {None: stylizer}
        roles = {}
        for number, choice in choices.items():
            if choice.preset not in models:
                models[choice.preset] = load(choice.preset)
            model = models[choice.preset]
            style = choice.style or (look.style if model is stylizer else None)
            model.style_name(style)
            degree = look.degree if choice.degree is None else choice.degree
            roles[number] = model, replace(look, style=style, degree=degree)
        return cls((stylizer, look), roles, padding)

    def person(self, number: int, frame: Frame, landmarks: np.ndarray) -> Person:
        """Person `number`, whose face is in `frame` where the landmarks `[68, 2]` are."""
        self.count = max(self.count, number)
        stylizer, look = self._roles.get(number, self._role)
        return Person(stylizer, stylizer.fit(frame, self._padding, True, landmarks), look)

    def newcomer(self, number: int, frame: Frame, landmarks: np.ndarray) -> Person:
        """As `person`, for somebody who comes in: the window is not cut off by the edge at which they are."""
        person = self.person(number, frame, landmarks)
        size = frame.rgb.shape[:2]
        centred = landmarks + np.float32((size[1] / 2, size[0] / 2)) - landmarks[27:48].mean(0)
        crop = person.stylizer.crop_around(centred, size, self._padding)
        return replace(person, portrait=replace(person.portrait, crop=crop, landmarks=centred))


def stylised_people(
    frames: Iterable[Frame],
    people: Sequence[Person],
    full_frame: int = 1,
    compare: bool = False,
    follow: bool = True,
    lost: Literal["keep", "pass"] = "keep",
    most: int | None = 0,
    newcomer: Callable[[int, Frame, np.ndarray], Person] | None = None,
    done: int = 0,
) -> Iterator[Frame]:
    """Whole frames in which everybody is stylised, in order, with the times of `frames`.

    Args:
        people: their portraits have landmarks, all in the same frame. Nearer people (larger faces) cover those behind.
        full_frame: size of the results relative to the frames: 1, 2 or 4.
        compare: input and result side by side.
        follow: move each window with the face; else it stays where it is.
        lost: with `follow`, what becomes of people whose face is not seen: as in `Look`.
        most: with `follow`, how many people there may be with those who arrive later; None: any number.
        newcomer: makes a person of the number, the frame and the landmarks of somebody who has arrived, as
            `Cast.newcomer`; nobody joins without it.
        done: how many frames are looked at only, so that those after them are as if they had been drawn.
    """
    tracker = CrowdTracker(
        [person.portrait.landmarks for person in people], most if follow and newcomer is not None else 0
    )
    back, fades = FullFrame(full_frame), follow and lost == "pass"
    actors = [_Actor(person, full_frame, fades) for person in people]
    for count, frame in enumerate(frames):
        known = [person.portrait.landmarks for person in people if person.portrait.known_in(frame) is not None]
        found = tracker.update(frame.rgb, float(frame.time or 0), known)
        for number in range(len(actors), len(found)):
            arrived = newcomer(number + 1, frame, found[number])
            actors.append(_Actor(arrived, full_frame, fades, is_new=not tracker.is_cut))
        for actor, landmarks in zip(actors, found, strict=True):
            actor.see(landmarks, frame, tracker.is_cut, follow)
        if count < done:
            for actor in actors:
                actor.leave_out(frame)
            continue
        before = back.enlarge(frame.rgb)
        whole = before.copy()
        for actor in sorted(actors, key=lambda actor: actor.size):
            actor.draw(whole, frame)
        yield replace(frame, rgb=beside(before, whole) if compare else whole)


class _Actor:
    """One person while a clip is rendered."""

    def __init__(self, person: Person, full_frame: int, fades: bool, is_new: bool = False):
        crop, landmarks = person.portrait.crop, person.portrait.landmarks
        self.back, self.presence = FullFrame(full_frame), Presence(crop, landmarks, True, fades, is_new)
        self.size = face_size(landmarks)
        self.steadier = person.look.steadier(person.stylizer)
        self.person = replace(
            person, portrait=replace(person.portrait, crop=FaceCrop.whole_frame((crop.height, crop.width)))
        )

    def see(self, landmarks: np.ndarray | None, frame: Frame, is_cut: bool, follow: bool) -> None:
        """Move to where the face is."""
        if landmarks is not None:
            self.size = face_size(landmarks)
        if follow:
            self.presence.update(landmarks, float(frame.time or 0), is_cut)

    def leave_out(self, frame: Frame) -> None:
        """What `draw` would do to frames to come, for one that need not be drawn."""
        if self.presence.share == 0:
            self.back.forget()
        else:
            window = self.presence.window
            self.back.mask_of(frame.rgb, self.steadier(window.apply(frame.rgb)), window)

    def draw(self, whole: np.ndarray, frame: Frame) -> None:
        """Stylise what the window shows of `frame` and put it into `whole`."""
        if self.presence.share == 0:
            self.back.forget()
            return
        window, look = self.presence.window, self.person.look
        crop = self.steadier(window.apply(frame.rgb))
        (result,) = self.person.stylizer.render(
            [replace(frame, rgb=crop)],
            self.person.portrait,
            style=look.style,
            degree=look.degree,
            color_transfer=look.color_transfer,
        )
        self.back(whole, frame.rgb, crop, result.rgb, window, self.presence.share)
