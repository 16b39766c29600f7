"""What the demo does for its visitors: take in a photo or video, show the crop, render a picture, render a video.

It knows nothing of web pages. All visitors share one copy of each network; what is theirs alone is in a `Content` and
in a folder that the caller owns.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from model.common.errors import InputError
from model.common.sizes import INPUT_MULTIPLE
from model.faces.crop import DEFAULT_PADDING, FaceCrop
from model.faces.search import Portrait, find_people
from model.inference.clip import Look, stylised
from model.inference.stylizer import Stylizer
from model.media.files import Frame, FrameSource, open_frames, open_sink
from model.media.photos import PhotoSource
from model.media.sample import SAMPLE_NAME, sample_portrait
from model.media.threads import ahead, behind

KEPT_MODELS = 3
"""Models that stay in memory; the one that was not asked for the longest goes first."""

LENGTH_TOLERANCE = 0.5
"""Seconds that a video may be longer than allowed: containers round."""

NAMES_SHOWN = 40
"""Letters of a file's name that a message shows."""


@dataclass(frozen=True)
class Limits:
    """What a visitor may bring: seconds of a video, and pixels of a photo (24 megapixel cameras fit) or video (4K).

    `result_pixels`: how large whole frames may become.
    """

    seconds: float = 60.0
    photo_pixels: int = 25_000_000
    video_pixels: int = 4096 * 2304
    result_pixels: int = 50_000_000


@dataclass(frozen=True, eq=False)
class Content:
    """A photo or video that was found to be usable."""

    source: FrameSource
    name: str
    """As the visitor knows it."""
    shown: Frame
    """Its first frame with a face."""
    faces: tuple[np.ndarray, ...]
    """Landmarks `[68, 2]` in pixels of `shown`, the most prominent face first."""


@dataclass(frozen=True)
class Wish:
    """How a visitor wants the result; the fields are those of `Look`, with who (`face`, from 0) and `padding`."""

    preset: str
    style: str | None = None
    degree: float | None = None
    color_transfer: bool = False
    face: int = 0
    padding: tuple[int, int, int, int] = DEFAULT_PADDING
    crop: Literal["fixed", "follow"] = "fixed"
    full_frame: int = 0
    compare: bool = False

    @property
    def look(self) -> Look:
        """What `stylised` needs to know."""
        return Look(
            style=self.style, degree=self.degree, color_transfer=self.color_transfer, crop=self.crop,
            full_frame=self.full_frame, compare=self.compare,
        )  # fmt: skip


@dataclass(frozen=True)
class Step:
    """How far a video is."""

    done: int
    total: int | None
    """Frames, as far as the file tells."""
    seconds_left: float | None
    path: Path | None = None
    """The finished file, in the last step."""


def bring(path: str | Path, limits: Limits) -> Content:
    """Open what a visitor uploaded and find the faces in it.

    Raises InputError, in words for the visitor, for anything that cannot be stylised here.
    """
    path = Path(path)
    name = path.name if len(path.name) <= NAMES_SHOWN else f"{path.name[: NAMES_SHOWN - 1]}…"
    try:
        source = open_frames(path)
        _check_size(source, name, limits)
        shown, faces = find_people(source)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error  # its folder is no business of theirs
    return Content(source, name, shown, tuple(faces))


def bring_sample() -> Content:
    """The sample portrait."""
    source = PhotoSource(Path(SAMPLE_NAME), sample_portrait())
    shown, faces = find_people(source)
    return Content(source, "the sample portrait", shown, tuple(faces))


def _check_size(source: FrameSource, name: str, limits: Limits) -> None:
    height, width = source.size
    most = limits.video_pixels if source.is_video else limits.photo_pixels
    if height * width > most:
        kind = "videos" if source.is_video else "photos"
        raise InputError(
            f"{name} has {width} × {height} pixels, and this page takes {kind} of up to {most / 1e6:.0f} megapixels: "
            "make it smaller first."
        )
    if source.is_video and source.expected_frames and source.rate:
        _check_length(float(source.expected_frames / source.rate), name, limits)


def _check_length(seconds: float, name: str, limits: Limits) -> None:
    if seconds > limits.seconds + LENGTH_TOLERANCE:
        raise InputError(
            f"{name} lasts {seconds:.0f} seconds, and this page takes up to {limits.seconds:g}: cut out a part of it."
        )


class Studio:
    """The networks that all visitors share.

    Args:
        device, precision: as `Stylizer.from_preset` takes them.
        limits: what visitors may bring.
    """

    def __init__(self, device: str = "auto", precision: str = "auto", limits: Limits | None = None):
        self.device, self.precision, self.limits = device, precision, limits or Limits()
        self._models: OrderedDict[str, Stylizer] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._portraits: WeakKeyDictionary[Content, dict[tuple[str, int], Portrait]] = WeakKeyDictionary()

    def stylizer(self, preset: str) -> Stylizer:
        """The model of a preset, loaded (and fetched) once whoever asks for it. InputError when it can't be had."""
        with self._lock:
            loading = self._loading.setdefault(preset, threading.Lock())
        with loading:
            if preset not in self._models:
                model = Stylizer.from_preset(preset, device=self.device, precision=self.precision)
                with self._lock:
                    self._models[preset] = model
            with self._lock:
                model = self._models[preset]
                self._models.move_to_end(preset)
                while len(self._models) > KEPT_MODELS:
                    self._models.popitem(last=False)
                return model

    def crop(self, content: Content, wish: Wish) -> FaceCrop:
        """What the model will see of the content. InputError when the padding leaves nothing."""
        distance = self.stylizer(wish.preset).network.config.eye_distance
        return FaceCrop.from_landmarks(content.faces[wish.face], content.shown.rgb.shape[:2], wish.padding, distance)

    def portrait(self, content: Content, wish: Wish) -> Portrait:
        """The person of a content, cropped as wished.

        The style code of the face, which takes a network of its own, is found once for each person.
        """
        known = self._portraits.setdefault(content, {})
        who = (wish.preset, wish.face)
        if who not in known:
            known[who] = self.stylizer(wish.preset).fit(content.shown, landmarks=content.faces[wish.face])
        return replace(known[who], crop=self.crop(content, wish))

    def _check_result(self, content: Content, wish: Wish) -> None:
        height, width = content.source.size
        pixels = height * width * wish.full_frame**2
        if pixels > self.limits.result_pixels:
            raise InputError(
                f"The result would have {pixels / 1e6:.0f} megapixels, and this page makes up to "
                f"{self.limits.result_pixels / 1e6:.0f}: choose a smaller one."
            )

    def picture(self, content: Content, wish: Wish) -> tuple[np.ndarray, np.ndarray]:
        """The shown frame before and after, RGB uint8 of one size. Raises InputError as `Stylizer.render` does."""
        self._check_result(content, wish)
        portrait = self.portrait(content, wish)
        look = replace(wish.look, crop="fixed", compare=True)
        (both,) = stylised(self.stylizer(wish.preset), [content.shown], portrait, look)
        half = both.rgb.shape[1] // 2
        return both.rgb[:, :half], both.rgb[:, half:]

    def draft(self, content: Content, wish: Wish) -> tuple[np.ndarray, np.ndarray]:
        """The crop before and after as `picture` shows it, but rendered with a quarter of the pixels."""
        model, portrait = self.stylizer(wish.preset), self.portrait(content, wish)
        crop = portrait.crop.apply(content.shown.rgb)
        height, width = crop.shape[:2]
        small = cv2.resize(crop, (_half(width), _half(height)), interpolation=cv2.INTER_AREA)
        portrait = replace(portrait, crop=FaceCrop.whole_frame(small.shape[:2]))
        (drawn,) = model.render(
            [small], portrait, style=wish.style, degree=wish.degree, color_transfer=wish.color_transfer
        )
        size = (width * model.scale, height * model.scale)
        before, after = (cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR) for picture in (crop, drawn))
        return before, after

    def video(self, content: Content, wish: Wish, path: Path, is_stopped: Callable[[], bool]) -> Iterator[Step]:
        """Render all of a video into `path`, step by step, with its sound; nothing is left of it when it is stopped.

        Raises InputError when it turns out longer than allowed, and as `Stylizer.render` does.
        """
        self._check_result(content, wish)
        model, portrait, source = self.stylizer(wish.preset), self.portrait(content, wish), content.source
        begun, done = time.monotonic(), 0
        total = source.expected_frames
        # A cancelled sink keeps nothing, as after any other exception.
        with open_sink(path, source) as sink, ahead(source) as frames, behind(sink.write) as write:
            for frame in stylised(model, frames, portrait, wish.look):
                _check_length(float(frame.time or 0), content.name, self.limits)
                if is_stopped():
                    raise Stopped
                write(frame)
                done += 1
                pace = (time.monotonic() - begun) / done
                yield Step(done, total, None if total is None else max(total - done, 0) * pace)
        yield Step(done, done, 0.0, path)


def _half(side: int) -> int:
    """About half of it, and a multiple of what the network takes."""
    return max(round(side / 2 / INPUT_MULTIPLE), 1) * INPUT_MULTIPLE


class Stopped(Exception):
    """The visitor broke off, or went away."""
