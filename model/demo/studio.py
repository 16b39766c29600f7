"""What the demo does for its visitors: take in a photo or video, show the crop, render a picture, render a video.

It knows nothing of web pages. All visitors share one copy of each network; what is theirs alone is in a `Visit`.
"""

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from PIL import Image, ImageDraw

from model.common.errors import InputError
from model.common.sizes import INPUT_MULTIPLE
from model.demo.own_picture import OwnPicture
from model.demo.painted_clip import PaintedClip
from model.faces.crop import FaceCrop, StyleWindow
from model.faces.detect import find_people
from model.inference.clip import stylised
from model.inference.look import Look
from model.inference.scene import Person
from model.inference.stylizer import Portrait, Stylizer
from model.media.files import Frame, FrameSource, PhotoSource, open_frames, open_sink
from model.media.sample import SAMPLE_NAME, sample_portrait
from model.media.threads import ahead, behind
from model.styles.example.exemplar import read_picture
from model.styles.example.presets import PicturePreset
from model.styles.keyframes.presets import KeyframesPreset

IDLE = 3600.0  # seconds after which a visitor of whom nothing was heard counts as gone
KEPT_MODELS = 3  # in memory; the one that was not asked for the longest goes first
LENGTH_TOLERANCE = 0.5  # seconds that a video may be longer: containers round
MAX_PIXELS = {"photo": 25_000_000, "video": 4096 * 2304, "result": 50_000_000}  # 24 megapixel cameras and 4K fit
NAMES_SHOWN = 40  # letters of a file's name that a message shows: the last ones
VIEW_SIDE = 900  # the frame is shown with so many pixels on its longer side at most
DIMMED = 0.4  # brightness of what lies outside the crop
CHOSEN, OTHER = (255, 140, 0), (190, 190, 190)  # colours of the chosen person's marks and of the others'
BOX_MARGIN = 0.12  # the box around a face is wider than its landmarks by this part of its size


class Stopped(InputError):
    """The visitor broke off, or went away."""


@dataclass(frozen=True, eq=False)
class Content:
    """A photo or video that was found to be usable."""

    source: FrameSource
    name: str  # as the visitor knows it
    shown: Frame  # the first frame with a face
    faces: list[np.ndarray]  # landmarks [68, 2] in pixels of `shown`, the most prominent face first
    # What `Style.encode` told of them, by number; a style that is kept no longer takes it along.
    codes: WeakKeyDictionary[Stylizer, dict[int, Any]] = field(default_factory=WeakKeyDictionary)

    @property
    def view_scale(self) -> float:  # size of `crop_view` relative to the frame
        return min(1.0, VIEW_SIDE / max(self.source.size))

    def crop_view(self, face: int, crop: FaceCrop | StyleWindow) -> Image.Image:
        """The frame with all faces marked, number `face` as the chosen one, and all but what is shown dimmed."""
        bright, scale, crop = reduced(self.shown.rgb, VIEW_SIDE), self.view_scale, crop.shown
        edges = np.array([crop.left, crop.top, crop.right, crop.bottom]) / crop.scale * scale
        box = np.clip(edges.round(), 0, bright.size * 2).astype(int).tolist()
        view = bright.point(lambda level: DIMMED * level)
        view.paste(bright.crop(box), box)
        pen, line = ImageDraw.Draw(view), max(2, round(max(view.size) / 300))
        pen.rectangle(box, outline=CHOSEN, width=line)
        for number, landmarks in enumerate(self.faces):
            corners = np.stack([landmarks.min(axis=0), landmarks.max(axis=0)]) * scale
            (left, top), end = corners + BOX_MARGIN * np.ptp(corners, axis=0).max() * np.array([[-1], [1]])
            pen.rectangle((left, top, *end), outline=CHOSEN if number == face else OTHER, width=max(1, line // 2))
            if len(self.faces) > 1:
                ink = {"fill": "white", "stroke_fill": "black", "stroke_width": line, "font_size": 9 * line}
                pen.text((left + line, top - line), str(number + 1), anchor="lb", **ink)
        return view

    def nearest_face(self, x: float, y: float) -> int:
        """Number of the face nearest to a point of `crop_view`, in its pixels."""
        middles = np.stack([landmarks.mean(axis=0) for landmarks in self.faces]) * self.view_scale
        return int(np.linalg.norm(middles - (x, y), axis=1).argmin())


class Studio:
    """The networks that all visitors share; `device` and `precision` as in `Stylizer.from_preset`."""

    def __init__(self, device: str = "auto", precision: str = "auto", max_seconds: float = math.inf):
        self.max_seconds, self._device = max_seconds, device
        self._load = lru_cache(KEPT_MODELS)(partial(Stylizer.from_preset, device=device, precision=precision))
        self._loading: dict[str, threading.Lock] = {}

    def stylizer(self, preset: str) -> Stylizer:
        """The model of a preset, loaded (and fetched) once whoever asks for it. InputError when it can't be had."""
        with self._loading.setdefault(preset, threading.Lock()):  # one loads, the others wait
            return self._load(preset)

    def read_picture(self, path: Path) -> np.ndarray:
        """A visitor's picture for the style, RGB uint8 `[H, W, 3]`; InputError, in words for them, if unfit."""
        with in_their_words(path):
            rgb = read_picture(path)
            _check_pixels(short_name(path), rgb.shape[:2], "photo")
            return rgb

    def picture_style(self, path: Path) -> Stylizer:
        """A visitor's picture as the style, with the points beside it. It is theirs alone: kept by nobody else. Raises
        InputError, in words for them, if unfit."""
        with in_their_words(path):
            return Stylizer(PicturePreset(path).load(self._device))

    def bring_picture(self, path: Path) -> OwnPicture:
        """As `read_picture`, with points where its face is."""
        with in_their_words(path):
            return OwnPicture.find(path, self.read_picture(path))

    def bring_clip(self, path: Path) -> PaintedClip:
        """A visitor's video of which frames are to be painted, in a folder of its own; `look_through` comes next.
        InputError, in words for them, if unfit."""
        content = self.bring(path)
        if not content.source.is_video:
            raise InputError(f"{content.name} is a photo: frames are painted of a video.")
        return PaintedClip(content, path.parent, self._device)

    def look_through(self, clip: PaintedClip) -> Iterator[int]:
        """Follow the most prominent face of a clip; yields how many frames are done, after each. InputError where it is
        too long."""
        unpainted = Stylizer(KeyframesPreset(()).load(self._device))
        person = self.person(clip.content, unpainted, 0, Look())
        for done, seconds in enumerate(clip.look_through(person), 1):
            self._check_length(clip.content.name, seconds)
            yield done

    def bring(self, path: str | Path | None = None) -> Content:
        """A visitor's file (None: the sample portrait) with its faces; InputError, in words for them, if unfit."""
        if path is None:
            source = PhotoSource(Path(SAMPLE_NAME), sample_portrait())
            return Content(source, "the sample portrait", *find_people(source))
        path = Path(path)
        name = short_name(path)
        with in_their_words(path):
            source = open_frames(path)
            _check_pixels(name, source.size, "video" if source.is_video else "photo")
            if source.is_video and source.expected_frames and source.rate:
                self._check_length(name, float(source.expected_frames / source.rate))
            return Content(source, name, *find_people(source))

    def _check_length(self, name: str, seconds: float) -> None:
        if seconds > (most := self.max_seconds) + LENGTH_TOLERANCE:
            raise InputError(f"{name} lasts {seconds:.0f} seconds; this page takes up to {most:g}: cut out a part.")

    def person(self, content: Content, style: str | Stylizer, face: int, look: Look) -> Person:
        """Number `face` of the shown frame, encoded once for a style: a preset's name, or one that is loaded.

        Raises InputError if nothing is left of the crop.
        """
        stylizer = self.stylizer(style) if isinstance(style, str) else style
        frame, landmarks = content.shown, content.faces[face]
        crop = stylizer.crop_around(landmarks, frame.rgb.shape[:2], look.padding)
        codes = content.codes.setdefault(stylizer, {})
        if face not in codes:
            codes[face] = stylizer.style.encode(frame.rgb, landmarks)
        return Person(stylizer, Portrait(crop, codes[face], landmarks, frame.time), look)

    def picture(self, content: Content, person: Person) -> tuple[np.ndarray, np.ndarray]:
        """The shown frame before and after, RGB uint8 of one size. Raises InputError as `stylised` does."""
        _check_pixels("The result", np.multiply(content.source.size, person.look.full_frame), "result")
        look = replace(person.look, crop="fixed", compare=True)
        (both,) = stylised([content.shown], [person], look)
        return tuple(np.split(both.rgb, 2, axis=1))

    def draft(self, content: Content, person: Person) -> tuple[np.ndarray, np.ndarray]:
        """The crop before and after as `picture` shows it, but rendered with a quarter of the pixels."""
        portrait = person.portrait
        crop = portrait.crop.apply(content.shown.rgb)
        size = np.array(crop.shape[1::-1])
        half = np.maximum(np.round(size / 2 / INPUT_MULTIPLE), 1).astype(int) * INPUT_MULTIPLE
        landmarks = cv2.transform(portrait.landmarks[None], np.diag(half / size) @ portrait.crop.matrix)[0]
        small = Portrait(FaceCrop.whole_frame(tuple(half[::-1])), portrait.code, landmarks)
        frame = Frame(cv2.resize(crop, half, interpolation=cv2.INTER_AREA))
        (drawn,) = stylised([frame], [replace(person, portrait=small)], Look(crop="fixed", steady="off"))
        scale = person.stylizer.scale
        return tuple(portrait.crop.trim(cv2.resize(rgb, size * scale), scale) for rgb in (crop, drawn.rgb))

    def video(self, content: Content, person: Person, path: Path, is_stopped: Callable[[], bool]) -> Iterator[int]:
        """Render a video (or photo) into `path`, with its sound; yields how many frames are done, after each.

        Raises Stopped, after which nothing is left of it; InputError where it is too long, and as `stylised` does.
        """
        _check_pixels("The result", np.multiply(content.source.size, person.look.full_frame), "result")
        source, look = content.source, person.look
        if not source.is_video:
            look = replace(look, crop="fixed")
        with open_sink(path, source) as sink, ahead(source) as frames, behind(sink.write) as write:
            for done, frame in enumerate(stylised(frames, [person], look), 1):
                self._check_length(content.name, float(frame.time or 0))
                if is_stopped():
                    raise Stopped("Cancelled: nothing was kept.")
                write(frame)
                yield done


def reduced(rgb: np.ndarray, side: int) -> Image.Image:
    """A picture whose longer side is `side` pixels at most."""
    picture = Image.fromarray(rgb)
    picture.thumbnail((side, side))
    return picture


def short_name(path: Path) -> str:
    """A file's name, as messages show it."""
    return path.name[-NAMES_SHOWN:]


@contextmanager
def in_their_words(path: Path) -> Iterator[None]:
    """InputErrors about a visitor's file name it as they know it: its folder is no business of theirs."""
    try:
        yield
    except InputError as error:
        words = str(error).replace(str(path), short_name(path)).replace(f"{path.parent}{os.sep}", "")
        raise InputError(words) from error


def _check_pixels(what: str, size: Sequence[int], kind: str) -> None:
    height, width = map(int, size)
    if height * width > MAX_PIXELS[kind]:
        most = f"{MAX_PIXELS[kind] / 1e6:.0f} megapixels"
        raise InputError(f"{what} has {width} × {height} pixels; this page allows {most}: make it smaller.")


@dataclass(eq=False)
class Visit:
    """One open page: what is shown on it, and a folder of the visitor's own that goes when they go."""

    folder: Path  # its name can't be guessed
    content: Content | None = None
    picture: OwnPicture | None = None  # of their own, for the style
    picture_style: Stylizer | None = None  # that style, once the points were at the face
    clip: PaintedClip | None = None  # of which they paint frames
    newest: dict[str, Any] | None = None  # the controls of what was asked for last; what is older may be given up
    stop: threading.Event = field(default_factory=threading.Event)  # set to end the video that is being rendered
    last_seen: float = field(default_factory=time.monotonic)

    def fresh(self, kind: str) -> Path:
        """A new folder (browsers keep what has the same name); older ones of this kind go, but for what is shown.

        Raises Stopped after the visitor's end.
        """
        shown = [*(self.content.source.path.parents if self.content else ()), self.picture and self.picture.path.parent]
        shown.append(self.clip and self.clip.folder)
        for old in self.folder.glob(f"{kind}-*"):
            if old not in shown:
                shutil.rmtree(old, ignore_errors=True)
        folder = self.folder / f"{kind}-{token_urlsafe(8)}"
        try:
            folder.mkdir()
        except FileNotFoundError as error:  # all of it is gone
            raise Stopped("This page was left.") from error
        return folder


class Visits:
    """The visits by the name of the browser's session, their folders all under `root`."""

    def __init__(self, root: Path):
        self._root, self._visits = root, {}

    def of(self, session: str) -> Visit:
        """The visit of a session, begun if it is new. Visits that were idle for long end."""
        visit = self._visits.setdefault(session, Visit(self._root / token_urlsafe(16)))
        visit.folder.mkdir(parents=True, exist_ok=True)
        visit.last_seen = time.monotonic()
        for name, other in list(self._visits.items()):
            if time.monotonic() - other.last_seen > IDLE:
                self.end(name)
        return visit

    def known(self, session: str) -> Visit | None:
        """The visit of a session, if it goes on: what is late must not begin a new one."""
        if visit := self._visits.get(session):
            visit.last_seen = time.monotonic()
        return visit

    def end(self, session: str) -> None:
        """The visitor left: stop what is going on, and remove the folder."""
        if visit := self._visits.pop(session, None):
            visit.stop.set()
            if visit.clip:
                visit.clip.stop.set()
            shutil.rmtree(visit.folder, ignore_errors=True)
