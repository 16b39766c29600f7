"""From the frames of a clip to those of its cartoon: which part is stylised, how, and where the result goes.

Everything is a chain of generators, so that memory does not grow with the length. Programs and pages share it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, groupby, islice, tee
from typing import Literal

import cv2
import numpy as np

from model.effects.composite import FullFrame
from model.effects.denoise import Steadier
from model.faces.crop import FaceCrop
from model.faces.presence import Presence
from model.faces.search import Portrait
from model.faces.track import FaceTracker
from model.faces.window import MovingWindow
from model.inference.stylizer import Stylizer
from model.media.frames import Frame

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
        lost: where `follow` finds no face; `keep`: the window stays; `pass`: the frame is not stylised.
        steady: take the noise out of the crops over time first; None: as the model's preset has it.
    """

    style: int | str | None = None
    degree: float | Callable[[Fraction], float] | None = None
    color_transfer: bool = False
    batch_size: int | None = None
    crop: Literal["fixed", "follow"] = "fixed"
    full_frame: int = 0
    compare: bool = False
    lost: Literal["keep", "pass"] = "keep"
    steady: bool | None = None

    def steadier(self, stylizer: Stylizer) -> Callable[[np.ndarray], np.ndarray]:
        """What the crops go through, in order, before they are rendered."""
        wanted = stylizer.preset.steady if self.steady is None else self.steady
        return Steadier() if wanted else lambda crop: crop


@dataclass(frozen=True, eq=False)
class View:
    """A frame, the window in it that is stylised, and how much of the cartoon is seen there, from 0 to 1."""

    frame: Frame
    window: MovingWindow
    share: float = 1.0


def stylised(
    stylizer: Stylizer,
    frames: Iterable[Frame],
    portrait: Portrait,
    look: Look,
    maps_of: MapsOf | None = None,
    *,
    done: int = 0,
    neighbours: int = 0,
) -> Iterator[Frame]:
    """The frames of the cartoon, in order, with the times of `frames`.

    Args:
        portrait: from `Stylizer.fit`; with `follow` it must have landmarks.
        maps_of: where the parsing maps come from; None: each frame is parsed alone.
        done: how many frames are looked at only, not rendered: those after them are as if they had been. To the bit
            where frames are rendered one by one; in batches, which may form anew, the last bits may differ.
        neighbours: how many frames before its own a parsing map depends on. `maps_of` is given so many of those that
            are done, before the others.

    Raises InputError as `Stylizer.render` does.
    """
    crop = portrait.crop
    if look.crop == "follow":
        views = followed(frames, portrait, anchored=look.full_frame > 0, fades=look.lost == "pass")
    else:
        window = MovingWindow.of(crop)
        views = (View(frame, window) for frame in frames)
    back, steadier = FullFrame(look.full_frame) if look.full_frame else None, look.steadier(stylizer)
    # Frames that show nothing of the cartoon are not rendered.
    for is_shown, run in groupby(views, lambda view: view.share > 0):
        if back is not None and not is_shown:
            back.forget()
        crops = crops_of(run, crop, look.crop == "follow", steadier)
        passed = deque(maxlen=neighbours)
        for picture, view in islice(crops, done):
            done -= 1
            passed.append(picture.rgb)
            if back is not None and is_shown:
                back.mask_of(view.frame.rgb, picture.rgb, view.window)
        if done:
            continue
        # `tee` holds what one of them is ahead of the others: a batch, and the window where maps are smoothed.
        seen, kept, looked = tee(crops, 3)
        results = (picture for picture, _ in seen)
        if is_shown:
            pictures = chain(passed, (picture.rgb for picture, _ in looked))
            maps = None if maps_of is None else islice(maps_of(pictures), len(passed), None)
            results = rendered(stylizer, results, portrait, look, maps)
            del pictures
        del looked  # else it would hold every frame
        for result, (picture, view) in zip(results, kept, strict=False):
            before, rgb = put_together(stylizer.scale, crop, back, picture.rgb, result.rgb, view)
            yield replace(result, rgb=beside(before, rgb) if look.compare else rgb)


def rendered(
    stylizer: Stylizer,
    pictures: Iterator[Frame],
    portrait: Portrait,
    look: Look,
    parsing_maps: Iterable[np.ndarray] | None,
) -> Iterator[Frame]:
    """The cartoons of crops that are cut already."""
    return stylizer.render(
        pictures,
        replace(portrait, crop=FaceCrop.whole_frame((portrait.crop.height, portrait.crop.width))),
        style=look.style,
        degree=look.degree,
        color_transfer=look.color_transfer,
        batch_size=look.batch_size,
        parsing_maps=parsing_maps,
    )


def put_together(
    scale: int, crop: FaceCrop, back: FullFrame | None, picture: np.ndarray, result: np.ndarray, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """What is shown before and after: the crop, or the whole frame with the crop in it.

    picture: the crop `[h, w, 3]`; result: its cartoon `[scale·h, scale·w, 3]`, of any size where none of it is seen.
    """
    if back is None:
        return crop.trim(picture, 1), crop.trim(faded(picture, result, view.share, scale), scale)
    before = back.enlarge(view.frame.rgb)
    whole = before.copy()
    if view.share > 0:
        back(whole, view.frame.rgb, picture, result, view.window, view.share)
    return before, whole


def faded(picture: np.ndarray, result: np.ndarray, share: float, scale: int) -> np.ndarray:
    """As much of a crop's cartoon as is seen, over the crop enlarged: uint8 `[scale·h, scale·w, 3]`."""
    if share == 1:
        return result
    height, width = picture.shape[:2]
    plain = cv2.resize(picture, (scale * width, scale * height), interpolation=cv2.INTER_CUBIC)
    return plain if share == 0 else cv2.addWeighted(result, share, plain, 1 - share, 0)


def followed(
    frames: Iterable[Frame], portrait: Portrait, anchored: bool = False, fades: bool = False
) -> Iterator[View]:
    """Each frame with the window around the face in it. `anchored`, `fades`: as `Presence` has them."""
    tracker, presence = FaceTracker(), Presence(portrait.crop, portrait.landmarks, anchored, fades)
    for frame in frames:
        landmarks = tracker.update(frame.rgb, portrait.known_in(frame))
        yield View(frame, *presence.update(landmarks, float(frame.time or 0), tracker.is_cut))


def crops_of(
    views: Iterable[View], crop: FaceCrop, follow: bool, steadier: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[Frame, View]]:
    """What the network sees of each frame, and the frame with its window."""
    for view in views:
        rgb = view.window.apply(view.frame.rgb) if follow else crop.apply(view.frame.rgb)
        yield replace(view.frame, rgb=steadier(rgb)), view


def beside(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two pictures side by side, the first one enlarged to the size of the second."""
    height, width = after.shape[:2]
    return np.hstack([cv2.resize(before, (width, height), interpolation=cv2.INTER_CUBIC), after])
