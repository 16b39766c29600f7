"""Everybody in a clip who is stylised: how, where they are in each frame, and what of it the style is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.common.errors import InputError
from model.effects import Denoiser, FullFrame
from model.faces.crop import Window
from model.faces.landmarks import face_size
from model.faces.track import CrowdTracker
from model.faces.window import Presence
from model.inference.look import Choice, Look
from model.inference.stylizer import Portrait, Stylizer
from model.media.frames import Frame
from model.styles.base import Crop
from model.styles.catalog import BY_NAME, preset_with
from model.styles.names import did_you_mean


@dataclass(frozen=True)
class Person:
    """One person in a clip: the model, where the face is and how large, and the look (style, degree, colours)."""

    stylizer: Stylizer
    portrait: Portrait
    look: Look


def has_look(stylizer: Stylizer, name: str) -> bool:
    """Whether a model has a look of this name or number, among several."""
    try:
        return bool(stylizer.style.exemplar_names) and stylizer.style.exemplar_name(name) is not None
    except InputError:
        return False


class People:
    """Gives each numbered person of a clip a model and a look: `stylizer` and `look` without a choice of their own.

    choices: what is asked for some, by number; `load` gives models of other presets. InputError for unknown styles.
    """

    def __init__(
        self, stylizer: Stylizer, look: Look, choices: dict[int, Choice] | None = None,
        load: Callable[[str], Stylizer] = Stylizer.from_preset,
    ):  # fmt: skip
        self._usual = stylizer, look
        self._chosen: dict[int, tuple[Stylizer, Look]] = {}
        self.count = 0  # the highest number that was asked for
        models: dict[str | None, Stylizer] = {None: stylizer}
        for number, choice in (choices or {}).items():
            preset = choice.preset
            if preset is None and choice.style is not None and not has_look(stylizer, choice.style):
                preset = preset_with(choice.style)  # a look of another model
            if preset not in models:
                models[preset] = load(preset)
            model = models[preset]
            style = choice.style or (look.style_id if model is stylizer else None)
            model.style.exemplar_name(style)
            if choice.style is not None and not model.style.exemplar_names:
                raise InputError(f"There is no style {choice.style!r}{did_you_mean(choice.style, BY_NAME)}.")
            degree = look.style_degree if choice.degree is None else choice.degree
            self._chosen[number] = model, replace(look, style_id=style, style_degree=degree)

    def person(self, number: int, frame: Frame, landmarks: np.ndarray | None) -> Person:
        """Person `number`, whose face has the landmarks `[68, 2]` in `frame`; None where no face is needed."""
        self.count = max(self.count, number)
        stylizer, look = self._chosen.get(number, self._usual)
        return Person(stylizer, stylizer.fit(frame, look.padding, not look.no_scale_image, landmarks), look)

    def newcomer(self, number: int, frame: Frame, landmarks: np.ndarray) -> Person:
        """As `person`, for somebody who comes in: the window is not cut off by the edge at which they are."""
        person = self.person(number, frame, landmarks)
        size = frame.rgb.shape[:2]
        centred = landmarks + np.float32((size[1] / 2, size[0] / 2)) - landmarks[27:48].mean(0)
        crop = person.stylizer.crop_around(centred, size, person.look.padding)
        return replace(person, portrait=replace(person.portrait, crop=crop, landmarks=centred))


Newcomer = Callable[[int, Frame, np.ndarray], Person]  # of a number, frame and landmarks; as `People.newcomer`


class TrackedPerson:
    """One person while a clip is rendered: their renderer, window, and all that depends on the frames before.

    Newcomers have `arrived` and `first_seen`, the frame's number and their landmarks there; their cartoon may fade in.
    """

    def __init__(
        self, person: Person, look: Look, arrived: int | None = None, first_seen: np.ndarray | None = None,
        fades_in: bool = False,
    ):  # fmt: skip
        style, own = person.stylizer.style, person.look
        self.portrait, self.scale, self.in_flight = person.portrait, style.scale, style.in_flight
        self.needs_landmarks = style.needs_landmarks
        self.arrived, self.first_seen = arrived, None if first_seen is None else first_seen.tolist()
        self.renderer = style.renderer(
            self.portrait.code, exemplar=own.style_id, degree=own.degree, batch_size=own.batch_size or None,
            **own.effects(style.uses),
        )  # fmt: skip
        self.full_frame = FullFrame(look.full_frame) if look.full_frame else None
        wanted = style.denoises if look.steady == "auto" else look.steady == "on"
        self._denoise = Denoiser() if wanted else None
        landmarks = self.portrait.landmarks
        self.size = 0.0 if landmarks is None else face_size(landmarks)
        self.presence = None
        if look.follows:
            self.presence = Presence(self.portrait.crop, landmarks, look.full_frame > 0, look.lost == "pass", fades_in)

    def view(self, frame: Frame, landmarks: np.ndarray | None, is_cut: bool) -> "View":
        """What of `frame` is stylised; landmarks: where the face is in it, None where it is not seen."""
        window, share = self.portrait.crop, 1.0
        if landmarks is not None:
            self.size = face_size(landmarks)
        if self.presence is not None:
            window, share = self.presence.update(landmarks, float(frame.time or 0), is_cut)
        rgb = window.apply(frame.rgb)
        if self._denoise is not None:
            self._denoise = Denoiser() if is_cut else self._denoise
            rgb = self._denoise(rgb)
        inside = None if landmarks is None else landmarks @ window.matrix[:, :2].T + window.matrix[:, 2]
        return View(self, window, Crop(rgb, inside, frame.time, is_cut=is_cut), share, self.size)


@dataclass(frozen=True, eq=False)
class View:
    """One person in one frame: the window, what it shows, and how much of the cartoon is seen there, from 0 to 1."""

    person: TrackedPerson
    window: Window
    crop: Crop
    share: float
    size: float  # of the face, in pixels of the frame


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame and everybody in it who is stylised."""

    frame: Frame
    views: list[View]


class Scene:
    """Follows everybody through a clip; `see` takes its frames in order. Arguments as in `clip.stylised`."""

    def __init__(self, people: Sequence[Person], look: Look, newcomer: Newcomer | None, most: int | None):
        self.people = [TrackedPerson(person, look) for person in people]
        self._look, self._newcomer, self._most, self._count = look, newcomer, most if newcomer else 0, 0
        self._first = [person.portrait for person in people]
        self._tracker: CrowdTracker | None = None
        if look.follows or any(person.needs_landmarks for person in self.people):
            self._tracker = CrowdTracker([portrait.landmarks for portrait in self._first], self._most)

    def see(self, frame: Frame) -> Shot:
        """The next frame, with `state` as a continued run needs it, and the views of everybody."""
        self._count += 1
        found = [portrait.landmarks if frame.time == portrait.time else None for portrait in self._first]
        is_cut = False
        if self._tracker is not None:
            found = self._tracker.update(frame.rgb, float(frame.time or 0), found)
            is_cut = self._tracker.is_cut
            for landmarks in found[len(self.people) :]:
                self._add(frame, landmarks, fades_in=not is_cut)
        elif frame.time is not None:  # the first frame is no exception: all are to be lit alike
            found = [None] * len(found)
        views = [person.view(frame, face, is_cut) for person, face in zip(self.people, found, strict=True)]
        return Shot(replace(frame, state=self._state(found)), views)

    def _add(self, frame: Frame, landmarks: np.ndarray, fades_in: bool = False) -> None:
        person = self._newcomer(len(self.people) + 1, frame, landmarks)
        self.people.append(TrackedPerson(person, self._look, self._count, landmarks, fades_in))

    def _state(self, found: list[np.ndarray | None]) -> dict[str, Any]:
        """What `pass_over` needs to go on after this frame, as JSON can hold it."""
        if not self._look.follows:
            return {"frames": self._count, "people": []}
        entries = []
        for person, face, last in zip(self.people, found, self._tracker.last_seen, strict=True):
            came = {"arrived": person.arrived, "first_seen": person.first_seen}
            entries.append(person.presence.state() | came | {"is_seen": face is not None, "last_seen": last.tolist()})
        return {"frames": self._count, "people": entries}

    def pass_over(self, frame: Frame, state: dict[str, Any]) -> None:
        """Take notice of a frame that is done already; `state` is that of the last one of them."""
        self._count += 1
        entries = state["people"]
        while len(self.people) < len(entries) and entries[len(self.people)]["arrived"] == self._count:
            self._add(frame, np.float32(entries[len(self.people)]["first_seen"]))
        if self._count == state["frames"] and entries:
            for person, entry in zip(self.people, entries, strict=True):
                person.presence.restore(entry)
            faces = [np.float32(entry["last_seen"]) for entry in entries]
            self._tracker = CrowdTracker(faces, self._most)
            seen = [face if entry["is_seen"] else None for face, entry in zip(faces, entries, strict=True)]
            self._tracker.update(frame.rgb, float(frame.time or 0), seen)
