"""From the frames of a clip to those of its cartoon: frames → faces → crops → style → composite.

Everything is a chain of generators, so that memory does not grow with the length. A photo is a clip of one frame.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, tee
from typing import Any

import cv2
import numpy as np

from model.effects import FullFrame
from model.inference.look import Look
from model.inference.scene import Newcomer, Person, Scene, Shot, View
from model.inference.stylizer import with_parsing
from model.media.frames import Frame
from model.styles.base import MapsOf, Pending, in_batches


def stylised(
    frames: Iterable[Frame], people: Sequence[Person], look: Look, *, maps_of: MapsOf | None = None,
    newcomer: Newcomer | None = None, most: int | None = 0, state: dict[str, Any] | None = None, is_live: bool = False,
) -> Iterator[Frame]:  # fmt: skip
    """The frames of the cartoon, in order, with the times of `frames`.

    Args:
        people: each in the style of their own look; more than one need `look.full_frame`. Nearer ones cover others.
        look: crop, lost, full_frame, compare and steady are those of the clip.
        maps_of: where the parsing maps of a single person come from; None: each frame is parsed alone.
        newcomer: with `--crop follow`, makes a person of somebody who arrives; None: nobody joins.
        most: how many people there may be with the newcomers; None: any number.
        state: `Frame.state` of the last frame that is done already: the frames up to there are passed over.
        is_live: whether each result comes before the next frame is asked for.

    Raises InputError as `Stylizer.render` does: for styles and degrees at once.
    """
    scene = Scene(people, look, newcomer, most)
    shots = _shots(scene, frames, state)
    return _rendered(scene, shots if maps_of is None else _with_maps(shots, maps_of), look, is_live)


def _shots(scene: Scene, frames: Iterable[Frame], state: dict[str, Any] | None) -> Iterator[Shot]:
    frames = iter(frames)
    for frame in islice(frames, state["frames"] if state else 0):
        scene.pass_over(frame, state)
    yield from map(scene.see, frames)


def _with_maps(shots: Iterator[Shot], maps_of: MapsOf) -> Iterator[Shot]:
    """Shots of one person with parsing maps. What smooths the maps reads ahead; the shots wait in between."""
    shots, ahead = tee(shots)
    maps = maps_of(shot.views[0].crop.rgb for shot in ahead)
    for shot, crop in with_parsing(((shot, shot.views[0].crop) for shot in shots), maps):
        yield replace(shot, views=[replace(shot.views[0], crop=crop)])


def _rendered(scene: Scene, shots: Iterator[Shot], look: Look, is_live: bool) -> Iterator[Frame]:
    results = in_batches(
        shots, lambda: min(person.renderer.batch for person in scene.people), _start,
        0 if is_live else min(person.in_flight for person in scene.people),
    )  # fmt: skip
    for shot, pictures in results:
        after = _compose(shot, pictures, look.full_frame)
        yield replace(shot.frame, rgb=beside(_plain(shot, look.full_frame), after) if look.compare else after)


def _start(shots: list[Shot]) -> Pending[list[np.ndarray | None]]:
    """Begin to render the views of some shots; the pending results are pictures, None where they would not be seen."""
    wanted: dict[Any, list[View]] = {}
    for view in (view for shot in shots for view in shot.views if view.share > 0):
        wanted.setdefault(view.person, []).append(view)
    started = [(views, person.renderer.start([view.crop for view in views])) for person, views in wanted.items()]

    def results() -> list[list[np.ndarray | None]]:
        pictures = {v: picture for views, pending in started for v, picture in zip(views, pending(), strict=True)}
        return [[pictures.get(view) for view in shot.views] for shot in shots]

    return results


def _plain(shot: Shot, full_frame: int) -> np.ndarray:
    """What is shown, unstylised and not enlarged: the crop, or the whole frame."""
    return shot.frame.rgb if full_frame else shot.views[0].window.show(shot.frame.rgb)


def _compose(shot: Shot, pictures: list[np.ndarray | None], full_frame: int) -> np.ndarray:
    """What is shown: the crop, or the whole frame with everybody in it."""
    if not full_frame:
        (view,), (picture,) = shot.views, pictures
        scale = view.person.scale
        cartoon = None if picture is None else view.window.trim(picture, scale)
        return cartoon if view.share == 1 else _faded(_plain(shot, full_frame), cartoon, view.share, scale)
    whole = FullFrame(full_frame).enlarge(shot.frame.rgb)
    for view, picture in sorted(zip(shot.views, pictures, strict=True), key=lambda item: item[0].size):
        if picture is None or view.crop.is_cut:
            view.person.full_frame.forget()
        if picture is not None:
            view.person.full_frame(whole, view.crop.rgb, picture, view.window, view.share)
    return whole


def _faded(crop: np.ndarray, picture: np.ndarray | None, share: float, scale: int) -> np.ndarray:
    """As much of a crop's cartoon as is seen, over the crop enlarged: uint8 `[scale·h, scale·w, 3]`."""
    plain = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return plain if picture is None else cv2.addWeighted(picture, share, plain, 1 - share, 0)


def beside(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Two pictures side by side, the first one enlarged to the size of the second."""
    height, width = after.shape[:2]
    both = np.empty((height, 2 * width, 3), np.uint8)
    cv2.resize(before, (width, height), both[:, :width], interpolation=cv2.INTER_CUBIC)
    both[:, width:] = after
    return both
