"""A style and the face in the frame: the public interface of three lines.

stylizer = Stylizer.from_preset("starter")
portrait = stylizer.fit(frame)
for cartoon in stylizer.render(frames, portrait):
    ...
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self, TypeVar

import cv2
import numpy as np

from model.common.errors import InputError
from model.faces.crop import FaceCrop, StyleWindow, window_around
from model.faces.detect import find_landmarks, search_face
from model.faces.track import FaceTracker
from model.media.frames import Frame, FrameSource
from model.styles.base import Crop, Degree, Preset, Style, in_batches
from model.styles.catalog import choose_preset

FrameLike = TypeVar("FrameLike", Frame, np.ndarray)
Padding = tuple[int, int, int, int]


@dataclass(frozen=True)
class Portrait:
    """What is known of one person in one clip, the same for all of its frames."""

    crop: FaceCrop | StyleWindow
    code: Any  # from `Style.encode`
    landmarks: np.ndarray | None  # [68, 2] in pixels of the frame that was fitted; None where no face was needed
    time: Fraction | None = None  # when that frame is shown, in seconds of the clip; None for a picture


class Stylizer:
    """Finds and crops faces for a style, and stylises frames. Build it with `from_preset`."""

    def __init__(self, style: Style):
        self.style = style

    @classmethod
    def from_preset(cls, name: str | Preset = "starter", **settings: Any) -> Self:
        """Load a preset by name; or by its path a checkpoint, or a picture as the style; missing published files are
        fetched.

        Args:
            name: preset (`--list_styles` lists them), path of a VToonify checkpoint, of a picture, or of a painter's
            .toml. device: auto, cpu, cuda or mps.
            precision: auto, bf16, fp16 or fp32.
            exstyle_path, style_encoder_path, faceparsing_path: other files than the preset's; a model that needs no
                such file leaves them aside.
            tile: render pictures in strips, with less memory and the same result; those of large frames always are.
            compile: compile the network for the size of the crop: minutes at first, faster for long clips.

        Raises InputError: unknown preset, missing or wrong file, device not there.
        """
        return cls(choose_preset(name).load(**settings))

    @property
    def scale(self) -> int:
        """Side of a result divided by the side of its crop."""
        return self.style.scale

    def fit(
        self, frame: Frame | np.ndarray, padding: Padding | None = None, scale_image: bool = True,
        landmarks: np.ndarray | None = None,
    ) -> Portrait:  # fmt: skip
        """Find the face in a frame and what the style has to know of it, once for a clip.

        Args:
            frame: RGB uint8 `[H, W, 3]`, or a Frame.
            padding: left, right, top, bottom around the point between the eyes, in pixels at an eye distance of 64;
            None:
                the style's.
            scale_image: scale the face to the size the style wants and crop; else take the whole frame.
            landmarks: `[68, 2]` when they are known already.

        Raises InputError when there is no face, and the style or the crop needs one.
        """
        rgb = rgb_of(frame)
        if landmarks is None and (scale_image or self.style.needs_code):
            landmarks = find_landmarks(rgb)
            if landmarks is None:
                raise InputError("No face was found in the picture: choose one with a visible face.")
        size = rgb.shape[:2]
        crop = self.crop_around(landmarks, size, padding) if scale_image else FaceCrop.whole_frame(size)
        return Portrait(crop, self.style.encode(rgb, landmarks), landmarks, getattr(frame, "time", None))

    def crop_around(
        self, landmarks: np.ndarray, frame_size: tuple[int, int], padding: Padding | None = None
    ) -> FaceCrop | StyleWindow:
        """The crop that `fit` takes around a face in a frame `(h, w)`. Raises InputError when nothing is left of it."""
        return window_around(landmarks, frame_size, tuple(padding or self.style.padding), self.style.eye_distance)

    def fit_source(self, source: FrameSource, padding: Padding | None = None, scale_image: bool = True) -> Portrait:
        """As `fit`, on the first frame of `source` in which a face is found; the frames before it are kept."""
        frame, landmarks = self.find_face(source, scale_image)
        return self.fit(frame, padding, scale_image, landmarks)

    def find_face(self, source: FrameSource, scale_image: bool = True) -> tuple[Frame, np.ndarray | None]:
        """The first frame with a face and its landmarks `[68, 2]` (the very first if none is needed); or InputError."""
        return search_face(source) if scale_image or self.style.needs_code else (source.first, None)

    def render(
        self, frames: Iterable[FrameLike], portrait: Portrait, *, style: int | str | None = None, degree: Degree = None,
        batch_size: int | None = None, parsing_maps: Iterable[np.ndarray] | None = None, **effects: Any,
    ) -> Iterator[FrameLike]:  # fmt: skip
        """Yield the stylised crops of frames, `scale` times as large, in order; a batch is taken ahead, on CUDA two.

        Args:
            frames: Frames, or RGB uint8 arrays `[H, W, 3]`; the results are of the same kind.
            portrait: from `fit`.
            style: index or name of the exemplar (variant D).
            degree: style degree in [0, 1], or a function that gives it for the time of a Frame in seconds (variant D).
            batch_size: frames at a time (fewer where memory is short); None: as many as fit on CUDA, 1 elsewhere.
            parsing_maps: smoothed parsing logits `[19, H, W]`, one a frame, instead of parsing each frame.
            effects: options that the style has: color_transfer (variant D), boil, style_size, keep_tone, example_area.

        Raises InputError for a style or degree that the model does not have at once; for a frame or a parsing map
        that does not fit, or too little memory, when it is its turn.
        """
        renderer = self.style.renderer(portrait.code, exemplar=style, degree=degree, batch_size=batch_size, **effects)
        crop = portrait.crop
        crops = self._crops(frames, portrait)
        if parsing_maps is not None:
            crops = with_parsing(crops, parsing_maps)
        results = in_batches(
            crops, lambda: renderer.batch, lambda pairs: renderer.start([crop for _, crop in pairs]),
            self.style.in_flight,
        )  # fmt: skip
        trimmed = ((frame, crop.trim(picture, self.scale)) for (frame, _), picture in results)
        return (replace(frame, rgb=rgb) if isinstance(frame, Frame) else rgb for frame, rgb in trimmed)

    def _crops(self, frames: Iterable[FrameLike], portrait: Portrait) -> Iterator[tuple[FrameLike, Crop]]:
        """Frames with what the style is given of them; the face is followed where the style needs its landmarks."""
        tracker, known, window = FaceTracker(), portrait.landmarks, portrait.crop
        for frame in frames:
            rgb, time, inside = rgb_of(frame), getattr(frame, "time", None), None
            if self.style.needs_landmarks:
                found = tracker.update(rgb, known if time == portrait.time else None)
                known = None  # of pictures without times, the first is the one that was fitted
                inside = None if found is None else cv2.transform(found[None], window.matrix)[0].astype(np.float32)
            yield frame, Crop(window.apply(rgb), inside, time)


def rgb_of(frame: Frame | np.ndarray) -> np.ndarray:
    """The picture of a frame. Raises ValueError for an array of another kind."""
    rgb = frame.rgb if isinstance(frame, Frame) else frame
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"frames are RGB uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
    return rgb


def with_parsing(crops: Iterable[tuple[Any, Crop]], parsing_maps: Iterable[np.ndarray]) -> Iterator[tuple[Any, Crop]]:
    """Crops (each beside what it belongs to) with their parsing maps. InputError if there are not as many."""
    maps = iter(parsing_maps)
    for owner, crop in crops:
        parsing = next(maps, None)
        if parsing is None:
            raise InputError("There are fewer parsing maps than frames: they were made for another clip.")
        yield owner, replace(crop, parsing=parsing)
    if next(maps, None) is not None:
        raise InputError("There are more parsing maps than frames: they were made for another clip.")
