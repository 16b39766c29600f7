"""From the frames of a clip to those of its cartoon: which part is stylised, how, and where the result goes.

Everything is a chain of generators, so that memory does not grow with the length. Programs and pages share it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import tee
from typing import Literal

import cv2
import numpy as np

from model.inference.face import FaceCrop
from model.inference.full_frame import FullFrame
from model.inference.media import Frame
from model.inference.portrait import Portrait
from model.inference.stylizer import Stylizer
from model.inference.track import FaceTracker
from model.inference.window import MovingWindow, WindowPath

MapsOf = Callable[[Iterator[np.ndarray]], Iterable[np.ndarray]]
"""Parsing maps `[C, H, W]`, one for each of the crops uint8 `[H, W, 3]` that are given."""


@dataclass(frozen=True)
class Look:
    """How a clip is to look.

    Args:
        style, degree, color_transfer, batch_size: as `Stylizer.render` takes them.
        crop: `fixed`: the window of the first face stays; `follow`: it moves with the face.
        full_frame: 0: the result is the crop; 1, 2, 4: the whole frame, so many times as large, with the crop in it.
        compare: input and result side by side.
    """

    style: int | str | None = None
    degree: float | Callable[[Fraction], float] | None = None
    color_transfer: bool = False
    batch_size: int | None = None
    crop: Literal["fixed", "follow"] = "fixed"
    full_frame: int = 0
    compare: bool = False


def stylised(
    stylizer: Stylizer, frames: Iterable[Frame], portrait: Portrait, look: Look, maps_of: MapsOf | None = None
) -> Iterator[Frame]:
    """The frames of the cartoon, in order, with the times of `frames`.

    portrait: from `Stylizer.fit`; with `follow` it must have landmarks. maps_of: where the parsing maps come from;
    None: each frame is parsed alone. Raises InputError as `Stylizer.render` does.
    """
    crop = portrait.crop
    if look.crop == "follow":
        views = followed(frames, crop, portrait.landmarks, anchored=look.full_frame > 0)
    else:
        window = MovingWindow.of(crop)
        views = ((frame, window) for frame in frames)
    # `tee` holds what one of them is ahead of the others: a batch, and the window where maps are smoothed.
    seen, kept, looked = tee(crops_of(views, crop, look.crop == "follow"), 3)
    results = stylizer.render(
        (picture for picture, _, _ in seen),
        replace(portrait, crop=FaceCrop.whole_frame((crop.height, crop.width))),
        style=look.style,
        degree=look.degree,
        color_transfer=look.color_transfer,
        batch_size=look.batch_size,
        parsing_maps=None if maps_of is None else maps_of(picture.rgb for picture, _, _ in looked),
    )
    del looked  # else it would hold every frame
    back = FullFrame(look.full_frame) if look.full_frame else None
    for result, (picture, frame, window) in zip(results, kept, strict=False):
        if back is None:
            before, rgb = crop.trim(picture.rgb, 1), crop.trim(result.rgb, stylizer.scale)
        else:
            before = back.enlarge(frame.rgb)
            rgb = before.copy()
            back(rgb, frame.rgb, picture.rgb, result.rgb, window)
        yield replace(result, rgb=beside(before, rgb) if look.compare else rgb)


def followed(
    frames: Iterable[Frame], crop: FaceCrop, landmarks: np.ndarray, anchored: bool = False
) -> Iterator[tuple[Frame, MovingWindow]]:
    """Each frame, and the window around the face in it. Arguments as `WindowPath` has them."""
    tracker, path = FaceTracker(), WindowPath(crop, landmarks, anchored)
    for frame in frames:
        landmarks = tracker.update(frame.rgb)
        yield frame, path.update(landmarks, float(frame.time or 0), tracker.is_cut)


def crops_of(
    views: Iterable[tuple[Frame, MovingWindow]], crop: FaceCrop, follow: bool
) -> Iterator[tuple[Frame, Frame, MovingWindow]]:
    """What the network sees of each frame, the frame, and the window."""
    for frame, window in views:
        yield replace(frame, rgb=window.apply(frame.rgb) if follow else crop.apply(frame.rgb)), frame, window


def beside(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two pictures side by side, the first one enlarged to the size of the second."""
    height, width = after.shape[:2]
    return np.hstack([cv2.resize(before, (width, height), interpolation=cv2.INTER_CUBIC), after])
