"""Everybody in a clip who is stylised: where they are in each frame, and what of it the style is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.effects import Denoiser, FullFrame
from model.faces.crop import FaceCrop
from model.faces.landmarks import face_size
from model.faces.presence import Presence
from model.faces.track import CrowdTracker
from model.faces.window import MovingWindow
from model.inference.look import Look
from model.inference.people import Person
from model.media.frames import Frame
from model.styles.base import Crop

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
        self.arrived, self.first_seen = arrived, first_seen
        self.renderer = style.renderer(
            self.portrait.code, exemplar=own.style_id, degree=own.degree, color_transfer=own.color_transfer,
            batch_size=own.batch_size or None,
        )  # fmt: skip
        self.full_frame = FullFrame(look.full_frame) if look.full_frame else None
        wanted = style.denoises if look.steady == "auto" else look.steady == "on"
        self._denoise = Denoiser() if wanted else None
        landmarks = self.portrait.landmarks
        self.size = 0.0 if landmarks is None else face_size(landmarks)
        self.presence = None
        if look.follows:
            self.presence = Presence(self.portrait.crop, landmarks, look.full_frame > 0, look.lost == "pass", fades_in)

    def state(self) -> dict[str, Any]:
        """Where the window is, and how the person came, as JSON can hold it."""
        first_seen = self.first_seen if self.first_seen is None else self.first_seen.tolist()
        return self.presence.state() | {"arrived": self.arrived, "first_seen": first_seen}

    def view(self, frame: Frame, landmarks: np.ndarray | None, is_cut: bool) -> "View":
        """What of `frame` is stylised; landmarks: where the face is in it, None where it is not seen."""
        window, share = self.portrait.crop, 1.0
        if landmarks is not None:
            self.size = face_size(landmarks)
        if self.presence is not None:
            window, share = self.presence.update(landmarks, float(frame.time or 0), is_cut)
        rgb = window.apply(frame.rgb)
        if self._denoise is not None:
            rgb = self._denoise(rgb)
        inside = None if landmarks is None else landmarks @ window.matrix[:, :2].T + window.matrix[:, 2]
        return View(self, window, Crop(rgb, inside, frame.time), share, self.size)


@dataclass(frozen=True, eq=False)
class View:
    """One person in one frame: the window, what it shows, and how much of the cartoon is seen there, from 0 to 1."""

    person: TrackedPerson
    window: FaceCrop | MovingWindow
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
        found = [portrait.known_in(frame) for portrait in self._first]
        is_cut = False
        if self._tracker is not None:
            found = self._tracker.update(frame.rgb, float(frame.time or 0), found)
            is_cut = self._tracker.is_cut
            for landmarks in found[len(self.people) :]:
                self._add(frame, landmarks, fades_in=not is_cut)
        views = [person.view(frame, face, is_cut) for person, face in zip(self.people, found, strict=True)]
        return Shot(replace(frame, state=self._state(found)), views)

    def _add(self, frame: Frame, landmarks: np.ndarray, fades_in: bool = False) -> None:
        person = self._newcomer(len(self.people) + 1, frame, landmarks)
        self.people.append(TrackedPerson(person, self._look, self._count, landmarks, fades_in))

    def _state(self, found: list[np.ndarray | None]) -> dict[str, Any]:
        """What `pass_over` needs to go on after this frame, as JSON can hold it."""
        if not self._look.follows:
            return {"frames": self._count, "people": []}
        known = zip(self.people, found, self._tracker.last_seen, strict=True)
        return {
            "frames": self._count,
            "people": [
                person.state() | {"is_seen": face is not None, "last_seen": last.tolist()}
                for person, face, last in known
            ],
        }

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
