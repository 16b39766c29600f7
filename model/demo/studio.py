"""From a content and a wish to the picture or video: the networks that all visitors share, and what they render.

It knows nothing of web pages, and the same calls serve them and programs.
"""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import cv2
import numpy as np

from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.common.sizes import INPUT_MULTIPLE
from model.demo.gallery import CLOSE, SIDE, Entry
from model.demo.painted_clip import PaintedClip
from model.demo.wishes import OWN, Wish
from model.effects import FullFrame
from model.faces.crop import FaceCrop, MovingWindow, StyleWindow, cut_out
from model.faces.detect import find_people, landmarks_in
from model.inference.clip import stylised
from model.inference.look import Look
from model.inference.scene import People, Person
from model.inference.stylizer import Portrait, Stylizer
from model.media.files import Frame, FrameSource, PhotoSource, open_frames, open_sink
from model.media.part import PartSource
from model.media.sample import SAMPLE_NAME, PanSource, sample_portrait
from model.media.threads import ahead, behind
from model.styles.example.exemplar import read_picture
from model.styles.example.presets import FOLDER, PHOTO_SUFFIX, PicturePreset
from model.styles.keyframes.presets import KeyframesPreset

KEPT_MODELS = 6  # in memory; the one that was not asked for the longest goes first
MAX_PIXELS = {"photo": 25_000_000, "video": 4096 * 2304, "result": 50_000_000}  # 24 megapixel cameras and 4K fit
LENGTH_TOLERANCE = 0.5  # seconds that a video may be longer: containers round
NAMES_SHOWN = 40  # letters of a file's name that a message shows: the last ones
CLIP, CLIP_SECONDS = "a clip", 3.0  # the example that moves
PORTRAITS = ("fauve", "indigo", "sanguine", "banknote")  # exemplars whose photos are examples
LEAST_BOX = 12  # pixels of a side of a box that is drawn around a face
THUMBNAIL_ROOM = 1.2  # times SIDE that a small picture is painted at, before its square is cut out


class Stopped(InputError):
    """The visitor broke off, or went away."""


@dataclass(frozen=True, eq=False)
class Content:
    """A photo or video that was found to be usable."""

    source: FrameSource
    name: str  # as the visitor knows it
    shown: Frame  # the first frame with a face
    faces: list[np.ndarray]  # landmarks [68, 2] in pixels of `shown`, the most prominent face first; maybe none
    # What `Style.encode` told of them, by number; a style that is kept no longer takes it along.
    codes: WeakKeyDictionary[Stylizer, dict[int, Any]] = field(default_factory=WeakKeyDictionary)

    @property
    def seconds(self) -> float | None:
        """How long a video is, if it tells."""
        source = self.source
        if not (source.is_video and source.expected_frames and source.rate):
            return None
        return float(source.expected_frames / source.rate)

    def boxes(self) -> list[list[float]]:
        """Left, top, right and bottom of each face, as parts of the frame's sides."""
        height, width = self.shown.rgb.shape[:2]
        edges = [[*points.min(axis=0), *points.max(axis=0)] for points in self.faces]
        return (np.array(edges).reshape(-1, 4) / (width, height, width, height)).round(4).tolist()

    def with_box(self, box: Sequence[float]) -> "Content":
        """With a further face, in a box that a visitor drew, given as `boxes` are. InputError where it is no box."""
        height, width = self.shown.rgb.shape[:2]
        if len(box) != 4 or not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in box):
            raise InputError("A box has four edges: draw it again.")
        left, top, right, bottom = np.clip(box, 0, 1) * (width, height, width, height)
        if min(right - left, bottom - top) < LEAST_BOX:
            raise InputError("The box is too small for a face: draw it around the whole face.")
        landmarks = landmarks_in(self.shown.rgb, (left, top, right, bottom))
        return replace(self, faces=[*self.faces, landmarks])

    def part(self, start: float, end: float | None) -> "Content":
        """The part of a video from `start` to `end` seconds; its faces have the numbers of those nearest to them."""
        if not self.source.is_video or (start <= 0 and end is None):
            return self
        source = PartSource(self.source, start, end)
        try:
            shown, faces = find_people(source)
        except InputError:  # somebody drew a box
            return Content(source, self.name, source.first, self.faces)
        nearest = [min(faces, key=lambda other: np.linalg.norm((own - other).mean(axis=0))) for own in self.faces]
        return Content(source, self.name, shown, nearest or faces)


@dataclass(frozen=True)
class Result:
    """A picture before and after, RGB uint8 of one size, and where its crop is: as parts of the frame's sides."""

    before: np.ndarray
    after: np.ndarray
    crop: tuple[float, float, float, float]
    is_draft: bool


class Studio:
    """The networks that all visitors share; `device` and `precision` as in `Stylizer.from_preset`."""

    def __init__(self, device: str = "auto", precision: str = "auto", max_seconds: float = math.inf):
        self.max_seconds, self._device = max_seconds, device
        self._load = lru_cache(KEPT_MODELS)(partial(Stylizer.from_preset, device=device, precision=precision))
        self._loading: dict[str, threading.Lock] = {}
        self.example = lru_cache(self._example)
        self._examples: WeakSet[Content] = WeakSet()

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

    def bring(self, path: Path) -> Content:
        """A visitor's file with its faces, of which there may be none; InputError, in words for them, if unfit."""
        name = short_name(path)
        with in_their_words(path):
            source = open_frames(path)
            _check_pixels(name, source.size, "video" if source.is_video else "photo")
            return _content(source, name)

    @property
    def examples(self) -> list[str]:
        """Names of the contents that come with the page."""
        there = [name for name in PORTRAITS if (CHECKPOINTS / FOLDER / f"{name}{PHOTO_SUFFIX}").is_file()]
        return [SAMPLE_NAME, *there, CLIP]

    def is_example(self, content: Content) -> bool:
        """Whether a content came with the page."""
        return content in self._examples

    def _example(self, name: str) -> Content:
        """A content that comes with the page. Raises InputError for an unknown one."""
        if name not in self.examples:
            raise InputError("There is no such example: reload the page.")
        if name in (SAMPLE_NAME, CLIP):
            photo, path = sample_portrait(), Path(SAMPLE_NAME)
            source = PhotoSource(path, photo) if name == SAMPLE_NAME else PanSource(path, photo, CLIP_SECONDS)
            content = _content(source, "the sample portrait" if name == SAMPLE_NAME else "the sample clip")
        else:
            path = CHECKPOINTS / FOLDER / f"{name}{PHOTO_SUFFIX}"
            content = _content(open_frames(path), "a face that nobody has")
        self._examples.add(content)
        return content

    def bring_clip(self, path: Path) -> PaintedClip:
        """A visitor's video of which frames are to be painted, in a folder of its own; `look_through` comes next.
        InputError, in words for them, if unfit."""
        content = self.bring(path)
        if not content.source.is_video:
            raise InputError(f"{content.name} is a photo: frames are painted of a video.")
        if not content.faces:
            raise InputError(f"No face was found in {content.name}: choose a video with a visible face.")
        if content.seconds is not None:
            self._check_length(content.name, content.seconds)
        return PaintedClip(content, path.parent, self._device)

    def look_through(self, clip: PaintedClip) -> Iterator[int]:
        """Follow the most prominent face of a clip; yields how many frames are done, after each. InputError where it is
        too long."""
        unpainted = Stylizer(KeyframesPreset(()).load(self._device))
        person = self.person(clip.content, unpainted, 0, Look())
        for done, seconds in enumerate(clip.look_through(person), 1):
            self._check_length(clip.content.name, seconds)
            yield done

    def _check_length(self, name: str, seconds: float) -> None:
        if seconds > (most := self.max_seconds) + LENGTH_TOLERANCE:
            raise InputError(f"{name} lasts {seconds:.0f} seconds; this page takes up to {most:g}: cut out a part.")

    def chosen(self, wish: Wish, entry: Entry | None, own: Stylizer | None) -> tuple[Stylizer, Look]:
        """The style that is wished for, and how it is to look; `own` is that for `OWN`, else there is an `entry`."""
        if wish.style == OWN:
            if own is None:
                raise InputError("There is no picture of your own: drop one.")
            return own, wish.look()
        stylizer = self.stylizer(entry.preset.source)
        if wish.exemplar and (entry.style or not stylizer.style.exemplar_names):
            raise InputError(f"{entry.title} is one style: leave the exemplar {wish.exemplar[:40]!r} out.")
        return stylizer, wish.look(entry.style or stylizer.style.exemplar_name(wish.exemplar or None))

    def person(self, content: Content, stylizer: Stylizer, face: int, look: Look) -> Person:
        """Number `face` of the shown frame, encoded once for a style. InputError if nothing is left of the crop."""
        if not 0 <= face < len(content.faces):
            told = (
                f"there are {len(content.faces)} faces" if content.faces else "no face was found: draw a box around it"
            )
            raise InputError(f"{content.name[:1].upper()}{content.name[1:]} has no face {face + 1}: {told}.")
        frame, landmarks = content.shown, content.faces[face]
        try:
            crop = stylizer.crop_around(landmarks, frame.rgb.shape[:2], look.padding)
        except InputError as error:
            raise InputError("Nothing is left of the picture: give more room around the eyes.") from error
        codes = content.codes.setdefault(stylizer, {})
        if face not in codes:
            codes[face] = stylizer.style.encode(frame.rgb, landmarks)
        return Person(stylizer, Portrait(crop, codes[face], landmarks, frame.time), look)

    def people(self, content: Content, wish: Wish, stylizer: Stylizer, look: Look) -> tuple[list[Person], Look]:
        """Who is stylised, the chosen face first, and the look of the whole: several need the whole frame."""
        first = self.person(content, stylizer, wish.face, look)
        if not wish.people:
            return [first], look
        look = replace(look, full_frame=max(look.full_frame, 1))
        people = People(stylizer, look, wish.choices, self.stylizer)
        wanted = (
            range(len(content.faces)) if wish.people == "all" else sorted({wish.face, *(n - 1 for n in wish.choices)})
        )
        if beyond := [n + 1 for n in wanted if n >= len(content.faces)]:
            raise InputError(f"There is no person {beyond[0]}: {content.name} shows {len(content.faces)}.")
        persons = [people.person(number + 1, content.shown, content.faces[number]) for number in wanted]
        return persons, look

    def results(self, content: Content, wish: Wish, stylizer: Stylizer, look: Look) -> Iterator[Result]:
        """The shown frame before and after: a draft with a quarter of the pixels, then, unless it is enough, in full.

        Raises InputError as `stylised` does.
        """
        _check_pixels("The result", np.multiply(content.source.size, max(look.full_frame, 1)), "result")
        persons, look = self.people(content, wish, stylizer, replace(look, crop="fixed", compare=False))
        crop, rgb = persons[0].portrait.crop, content.shown.rgb
        height, width = rgb.shape[:2]
        inner = crop.shown
        edges = np.array([inner.left, inner.top, inner.right, inner.bottom]) / inner.scale
        place = tuple(np.clip(edges / (width, height, width, height), 0, 1).round(4).tolist())
        size = stylizer.scale * inner.height, stylizer.scale * inner.width
        if not look.full_frame:
            _check_pixels("The result", size, "result")
            draft = self._small(content, persons[0], 0.5)
            draft = crop.trim(cv2.resize(draft, np.array((crop.width, crop.height)) * stylizer.scale), stylizer.scale)
            yield Result(photo_in(rgb, crop, stylizer.scale)[: draft.shape[0], : draft.shape[1]], draft, place, True)
            if wish.quick:
                return
        (after,) = stylised([content.shown], persons, look)
        if look.full_frame:
            before = FullFrame(look.full_frame).enlarge(rgb)
        else:
            before = photo_in(rgb, crop, stylizer.scale)[: after.rgb.shape[0], : after.rgb.shape[1]]
        yield Result(before, after.rgb, place, False)

    def _small(self, content: Content, person: Person, share: float) -> np.ndarray:
        """What the style makes of a crop whose sides are reduced to this share."""
        portrait = person.portrait
        crop = portrait.crop.apply(content.shown.rgb)
        size = np.array(crop.shape[1::-1])
        sides = np.maximum(np.round(size * share / INPUT_MULTIPLE), 1).astype(int) * INPUT_MULTIPLE
        landmarks = cv2.transform(portrait.landmarks[None], np.diag(sides / size) @ portrait.crop.matrix)[0]
        small = Portrait(FaceCrop.whole_frame(tuple(sides[::-1])), portrait.code, landmarks)
        frame = Frame(cv2.resize(crop, sides, interpolation=cv2.INTER_AREA))
        look = replace(person.look, crop="fixed", full_frame=0, compare=False, steady="off")
        (drawn,) = stylised([frame], [replace(person, portrait=small)], look)
        return drawn.rgb

    def thumbnail(self, content: Content, face: int, entry: Entry) -> np.ndarray:
        """A face of a content, close, in the style of an entry: RGB uint8, as small as a gallery wants it."""
        stylizer, look = self.chosen(Wish(style=entry.key, padding=CLOSE), entry, None)
        person = self.person(content, stylizer, face, look)
        crop = person.portrait.crop
        side = min(crop.width, crop.height) * stylizer.scale
        drawn = self._small(content, person, min(1.0, THUMBNAIL_ROOM * SIDE / side))
        return cv2.resize(drawn, np.array((crop.width, crop.height)) * SIDE // min(crop.width, crop.height))

    def video(
        self, content: Content, wish: Wish, stylizer: Stylizer, look: Look, path: Path, is_stopped: Callable[[], bool],
    ) -> Iterator[int]:  # fmt: skip
        """Render a video (or photo), or the part that is wished for, into `path`, with its sound; yields how many
        frames are done, after each.

        Raises Stopped, after which nothing is left of it; InputError where it is too long, and as `stylised` does.
        """
        with in_their_words(content.source.path):
            content = content.part(wish.start, wish.end)
        _check_pixels("The result", np.multiply(content.source.size, max(look.full_frame, 1)), "result")
        if not content.source.is_video:
            look = replace(look, crop="fixed")
        elif content.seconds is not None:
            self._check_length(content.name, content.seconds)
        persons, look = self.people(content, wish, stylizer, look)
        yield from self.rendered(content, persons, look, path, is_stopped)

    def rendered(
        self, content: Content, persons: list[Person], look: Look, path: Path, is_stopped: Callable[[], bool]
    ) -> Iterator[int]:
        """As `video`, for people who are known."""
        with (
            in_their_words(content.source.path),
            open_sink(path, content.source) as sink,
            ahead(content.source) as frames,
            behind(sink.write) as write,
        ):
            for done, frame in enumerate(stylised(frames, persons, look), 1):
                self._check_length(content.name, float(frame.time or 0))
                if is_stopped():
                    raise Stopped("Cancelled: nothing was kept.")
                write(frame)
                yield done


def photo_in(rgb: np.ndarray, crop: FaceCrop | StyleWindow, factor: int) -> np.ndarray:
    """What a crop shows of a photo, with the photo's own pixels, `factor` times as large as the style is given it."""
    inner = crop.shown
    x, y = inner.left / inner.scale, inner.top / inner.scale
    window = MovingWindow(inner.scale * factor, x, y, inner.width * factor, inner.height * factor)
    return cut_out(rgb, window)


def short_name(path: Path) -> str:
    """A file's name, as messages show it."""
    return path.name[-NAMES_SHOWN:]


@contextmanager
def in_their_words(path: Path) -> Iterator[None]:
    """InputErrors about a visitor's file name it as they know it: its folder is no business of theirs."""
    try:
        yield
    except Stopped:
        raise
    except InputError as error:
        words = str(error).replace(str(path), short_name(path)).replace(f"{path.parent}{os.sep}", "")
        raise InputError(words) from error


def _content(source: FrameSource, name: str) -> Content:
    try:
        return Content(source, name, *find_people(source))
    except InputError:  # the visitor can draw a box
        return Content(source, name, source.first, [])


def _check_pixels(what: str, size: Sequence[int], kind: str) -> None:
    height, width = map(int, size)
    if height * width > MAX_PIXELS[kind]:
        most = f"{MAX_PIXELS[kind] / 1e6:.0f} megapixels"
        raise InputError(f"{what} has {width} × {height} pixels; this page allows {most}: make it smaller.")
