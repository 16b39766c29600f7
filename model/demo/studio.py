"""What the demo does for its visitors: take in a photo or video, show the crop, render a picture, render a video.

It knows nothing of web pages. All visitors share one copy of each network; what is theirs alone is in a `Content` and
in a folder that the caller owns.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from model.common.errors import InputError
from model.common.sizes import INPUT_MULTIPLE
from model.faces.search import find_people
from model.inference.clip import stylised
from model.inference.look import Look
from model.inference.people import Person
from model.inference.stylizer import Portrait, Stylizer
from model.media.files import Frame, FrameSource, open_frames, open_sink
from model.media.photos import PhotoSource
from model.media.sample import SAMPLE_NAME, sample_portrait
from model.media.threads import ahead, behind
from model.styles.base import Crop

KEPT_MODELS = 3
"""Models that stay in memory; the one that was not asked for the longest goes first."""

LENGTH_TOLERANCE = 0.5
"""Seconds that a video may be longer than allowed: containers round."""

NAMES_SHOWN = 40
"""Letters of a file's name that a message shows: the last ones."""


@dataclass(frozen=True)
class Limits:
    """What a visitor may bring: seconds of a video, and pixels of a photo (24 megapixel cameras fit) or video (4K).

    `result_pixels`: how large whole frames may become.
    """

    seconds: float = 60.0
    photo_pixels: int = 25_000_000
    video_pixels: int = 4096 * 2304
    result_pixels: int = 50_000_000

    def check_source(self, source: FrameSource, name: str) -> None:
        """Raise InputError for a photo or video that is too large, or whose header says that it is too long."""
        height, width = source.size
        kind, most = ("videos", self.video_pixels) if source.is_video else ("photos", self.photo_pixels)
        if height * width > most:
            raise InputError(
                f"{name} has {width} × {height} pixels, and this page takes {kind} of up to {most / 1e6:.0f} "
                "megapixels: make it smaller first."
            )
        if source.is_video and source.expected_frames and source.rate:
            self.check_length(float(source.expected_frames / source.rate), name)

    def check_length(self, seconds: float, name: str) -> None:
        """Raise InputError for a video that lasts too long."""
        if seconds > self.seconds + LENGTH_TOLERANCE:
            raise InputError(
                f"{name} lasts {seconds:.0f} seconds, and this page takes up to {self.seconds:g}: cut out a part of it."
            )

    def check_result(self, source: FrameSource, full_frame: int) -> None:
        """Raise InputError for whole frames that would become too large."""
        pixels = source.size[0] * source.size[1] * full_frame**2
        if pixels > self.result_pixels:
            raise InputError(
                f"The result would have {pixels / 1e6:.0f} megapixels, and this page makes up to "
                f"{self.result_pixels / 1e6:.0f}: choose a smaller one."
            )


@dataclass(frozen=True, eq=False)
class Content:
    """A photo or video that was found to be usable."""

    source: FrameSource
    name: str
    """As the visitor knows it."""
    shown: Frame
    """Its first frame with a face."""
    faces: list[np.ndarray]
    """Landmarks `[68, 2]` in pixels of `shown`, the most prominent face first."""
    codes: dict[Hashable, Any] = field(default_factory=dict)
    """What styles know of the faces (`Style.encode`), by preset and number of the face."""


@dataclass(frozen=True)
class RenderRequest:
    """What a visitor wants rendered: the preset, the number of the face (from 0), and the look."""

    preset: str
    face: int = 0
    look: Look = field(default_factory=Look)


class Stopped(Exception):
    """The visitor broke off, or went away."""


def bring(path: str | Path, limits: Limits) -> Content:
    """Open what a visitor uploaded and find the faces in it.

    Raises InputError, in words for the visitor, for anything that cannot be stylised here.
    """
    path = Path(path)
    name = path.name[-NAMES_SHOWN:]
    try:
        source = open_frames(path)
        limits.check_source(source, name)
        return Content(source, name, *find_people(source))
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error  # its folder is no business of theirs


def bring_sample() -> Content:
    """The sample portrait."""
    source = PhotoSource(Path(SAMPLE_NAME), sample_portrait())
    return Content(source, "the sample portrait", *find_people(source))


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

    def stylizer(self, preset: str) -> Stylizer:
        """The model of a preset, loaded (and fetched) once whoever asks for it. InputError when it can't be had."""
        with self._lock:
            loading = self._loading.setdefault(preset, threading.Lock())
        with loading:
            with self._lock:
                model = self._models.pop(preset, None)
            if model is None:
                model = Stylizer.from_preset(preset, device=self.device, precision=self.precision)
            with self._lock:
                self._models[preset] = model  # the last one is the one that was asked for last
                while len(self._models) > KEPT_MODELS:
                    self._models.popitem(last=False)
        return model

    def person(self, content: Content, request: RenderRequest) -> Person:
        """The person who is meant, with model, crop and look. The code of a face is found once for each style.

        Raises InputError when the padding leaves nothing of the crop.
        """
        stylizer, who = self.stylizer(request.preset), (request.preset, request.face)
        frame, landmarks = content.shown, content.faces[request.face]
        crop = stylizer.crop_around(landmarks, frame.rgb.shape[:2], request.look.padding)
        if who not in content.codes:
            content.codes[who] = stylizer.style.encode(frame.rgb, landmarks)
        return Person(stylizer, Portrait(crop, content.codes[who], landmarks, frame.time), request.look)

    def picture(self, content: Content, request: RenderRequest) -> tuple[np.ndarray, np.ndarray]:
        """The shown frame before and after, RGB uint8 of one size. Raises InputError as `stylised` does."""
        self.limits.check_result(content.source, request.look.full_frame)
        look = replace(request.look, crop="fixed", compare=True)
        (both,) = stylised([content.shown], [self.person(content, request)], look)
        half = both.rgb.shape[1] // 2
        return both.rgb[:, :half], both.rgb[:, half:]

    def draft(self, content: Content, request: RenderRequest) -> tuple[np.ndarray, np.ndarray]:
        """The crop before and after as `picture` shows it, but rendered with a quarter of the pixels."""
        person = self.person(content, request)
        portrait, style, look = person.portrait, person.stylizer.style, person.look
        crop = portrait.crop.apply(content.shown.rgb)
        size = np.array(crop.shape[1::-1])
        half = np.maximum(np.round(size / 2 / INPUT_MULTIPLE), 1).astype(int) * INPUT_MULTIPLE
        landmarks = cv2.transform(portrait.landmarks[None], np.diag(half / size) @ portrait.crop.matrix)[0]
        renderer = style.renderer(
            portrait.code, exemplar=look.style_id, degree=look.degree, color_transfer=look.color_transfer
        )
        small = Crop(cv2.resize(crop, half, interpolation=cv2.INTER_AREA), landmarks)
        (drawn,) = renderer.start([small])()
        before, after = (cv2.resize(picture, size * style.scale) for picture in (crop, drawn))
        return before, after

    def video(
        self, content: Content, request: RenderRequest, path: Path, is_stopped: Callable[[], bool]
    ) -> Iterator[int]:
        """Render all of a video into `path`, with its sound; yields how many frames are done, after each.

        Nothing is left of it when it is stopped.

        Raises Stopped, InputError when it turns out longer than allowed, and InputError as `stylised` does.
        """
        source, person = content.source, self.person(content, request)
        self.limits.check_result(source, request.look.full_frame)
        with open_sink(path, source) as sink, ahead(source) as frames, behind(sink.write) as write:
            for done, frame in enumerate(stylised(frames, [person], request.look), 1):
                self.limits.check_length(float(frame.time or 0), content.name)
                if is_stopped():
                    raise Stopped
                write(frame)
                yield done

