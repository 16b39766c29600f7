"""The style that paintings of a clip's own frames are: each frame comes from the paintings before and after it."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from model.common.errors import InputError
from model.faces.landmarks import JAW, face_size
from model.faces.track import is_cut, thumbnail_of
from model.parsing.matting import matte_around
from model.styles.base import Crop, Degree, constant_or_curve
from model.styles.example.finish import colours_by_level, missing_parts
from model.styles.example.labels import parts_of
from model.styles.keyframes.blend import Choice
from model.styles.keyframes.colours import Colours, beyond
from model.styles.keyframes.flowing import FlowCarrier
from model.styles.keyframes.paintings import check_painting, laid_over, read_cover, read_painting
from model.styles.keyframes.patchwork import Patchwork
from model.styles.painted import PaintedRenderer, PaintedStyle
from model.styles.painters.carried import Carrier, Painting, Seen
from model.styles.painters.style import EYE_DISTANCE, trembling


class KeyframeStyle(PaintedStyle):
    """Paintings by the number of their frame. It has to be shown these frames by `learn` before anything is rendered.

    Without landmarks, as of a clip without a face in its whole frames, paintings are carried by optical flow alone.
    """

    letter, eye_distance, denoises = "k", EYE_DISTANCE, True
    uses = frozenset(("degree", "boil", "patches"))

    def __init__(self, paintings: dict[int, Path], device: str = "auto"):
        super().__init__({"keyframes": None}, "keyframes", "of whoever painted the frames", device)
        self._paths, self.wanted_frames = paintings, tuple(sorted(paintings))
        self._pictures = {number: read_painting(path) for number, path in paintings.items()}
        self._covers = {number: read_cover(path) for number, path in paintings.items()}
        self._keys: list[tuple[float, Painting]] = []  # by time in seconds

    def learn(self, crops: dict[int, Crop]) -> None:
        self._keys = []
        for number, picture in sorted(self._pictures.items()):
            crop = crops[number]
            check_painting(self._paths[number], picture, number, crop)
            whole = laid_over(picture, self._covers[number], crop.rgb)
            self._keys.append((float(crop.time or 0), painting_of(crop, whole)))

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, synthesis: str = "blit",
    ) -> "KeyframeRenderer":  # fmt: skip
        """As `Style.renderer`; the effects are options of `Look`."""
        patchwork = Patchwork(boil) if synthesis == "patch" else None
        return KeyframeRenderer(lambda: self._keys, constant_or_curve(self, degree), boil, patchwork)


def painting_of(crop: Crop, picture: np.ndarray) -> Painting:
    """The painted crop of a frame."""
    rgb, landmarks = crop.rgb, crop.landmarks
    if landmarks is None:
        return Painting(rgb, None, None, picture)
    parts = parts_of(rgb, landmarks, matte_around(rgb, landmarks))
    matte = cv2.resize(np.ascontiguousarray(parts[..., 0], np.float32), rgb.shape[1::-1])
    return Painting(rgb, landmarks, matte, picture)


class KeyframeRenderer(PaintedRenderer):
    """Renders the crops of a clip from its painted frames. keys: paintings with their times in seconds, by time."""

    def __init__(
        self, keys: Callable[[], list[tuple[float, Painting]]], degree_at: Callable[[Fraction | None], float],
        boil: float, patchwork: Patchwork | None,
    ):  # fmt: skip
        self._keys, self._boil, self._patchwork = keys, boil, patchwork
        self._colours: dict[Painting, Colours] = {}
        self._shots = 0  # that have begun
        super().__init__(degree_at, head_alone=False)

    def forget(self) -> None:
        super().forget()
        self._last: Seen | None = None
        self._carriers: dict[int, Carrier | FlowCarrier] = {}  # by the number of their painting
        self._choice = Choice()
        self._shots += 1
        self._began: tuple[float, np.ndarray] | None = None  # time and thumbnail of the shot's first frame
        if self._patchwork is not None:
            self._patchwork.forget()

    def paint(self, crop: Crop, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before = self._last if self._last is not None and self._last.rgb.shape == crop.rgb.shape else None
        frame = Seen(crop.rgb, landmarks, float(crop.time or 0), before)
        self._last = frame
        boil = None
        if self._boil and self._patchwork is None:
            boil = trembling(crop.rgb.shape[:2], self._boil * face_size(landmarks), frame.time)
        persons = []

        def carried(carrier: Carrier | FlowCarrier) -> np.ndarray:
            if isinstance(carrier, FlowCarrier):
                return carrier(crop.rgb)
            picture, person = carrier(frame, boil)
            persons.append(person)
            return self._with_parts(picture, frame, carrier.painting)

        picture = self._painted(crop, Carrier, carried)
        frame.forget()
        return picture, persons[0] if persons else np.ones(crop.rgb.shape[:2], np.float32)

    def paint_without_face(self, crop: Crop) -> np.ndarray:
        return self._painted(crop, FlowCarrier, lambda carrier: carrier(crop.rgb))

    def _painted(self, crop: Crop, kind: type, carry: Callable[[Any], np.ndarray]) -> np.ndarray:
        """A crop, from the painting before, the one after, or both; `carry` moves one of a `kind` of carrier."""
        keys, time = self._keys(), float(crop.time or 0)
        if not keys:
            raise InputError("These frames were not shown to the paintings: give the clip that they are of.")
        used = self._used(crop.rgb, time)
        if not used:
            start = self._began[0]
            nearest = min(keys, key=lambda key: abs(key[0] - start))[1]
            return self._in_colours(crop.rgb, nearest).round().astype(np.uint8)
        self._carriers = {number: self._carrier(number, kind) for number in used}
        carriers = list(self._carriers.values())
        pictures = [self._completed(carry(each), crop.rgb, each) for each in carriers]
        chosen, picture = None, pictures[0]
        if len(pictures) == 2:
            (first, _), (second, _) = (keys[number] for number in used)
            chosen = self._choice(
                crop.rgb, tuple(each.painting.rgb for each in carriers), tuple(each.field() for each in carriers),
                (time - first) / (second - first),
            )  # fmt: skip
            picture = cv2.blendLinear(pictures[1], pictures[0], chosen, 1 - chosen)
        if self._patchwork is not None:
            paintings = [each.painting for each in carriers]
            picture = self._patchwork(crop.rgb, paintings, [each.field() for each in carriers], chosen, picture)
        return picture

    def _used(self, rgb: np.ndarray, time: float) -> list[int]:
        """Numbers of the painting before and of the one after, of those that belong to this shot, or look as it does.

        What is still to come may be of another shot; where there is nothing else, the first shot takes it all the same.
        """
        if self._began is None:
            self._began = time, thumbnail_of(rgb)
        start, first = self._began
        keys = self._keys()
        fits = [
            number for number, (when, painting) in enumerate(keys)
            if start <= when <= time or not is_cut(thumbnail_of(painting.rgb), first)
        ]  # fmt: skip
        if not fits and self._shots == 1:
            fits = list(range(len(keys)))
        before, after = ([number for number in fits if (keys[number][0] <= time) is told] for told in (True, False))
        return before[-1:] + after[:1]

    def _in_colours(self, rgb: np.ndarray, painting: Painting) -> np.ndarray:
        """A photo in a painting's colours, float32 `[h, w, 3]`."""
        if painting not in self._colours:
            self._colours[painting] = Colours(painting.rgb, painting.picture)
        return self._colours[painting](rgb)

    def _completed(self, picture: np.ndarray, rgb: np.ndarray, carrier: Carrier | FlowCarrier) -> np.ndarray:
        """A carried picture with what the painting does not reach, in its colours."""
        painting = carrier.painting
        share = beyond(carrier.field(), painting.rgb.shape[:2])
        if share is None:
            return picture
        elsewhere = self._in_colours(rgb, painting)
        return cv2.blendLinear(elsewhere, picture.astype(np.float32), share, 1 - share).astype(np.uint8)

    def _carrier(self, number: int, kind: type) -> Carrier | FlowCarrier:
        """That of a painting. Where no face was found in it, as behind hands, it goes with the flow."""
        painting, known = self._keys()[number][1], self._carriers.get(number)
        kind = FlowCarrier if painting.landmarks is None else kind
        return known if isinstance(known, kind) else kind(painting)

    def _with_parts(self, picture: np.ndarray, frame: Seen, painting: Painting) -> np.ndarray:
        """A carried picture with an open mouth, and closed eyes, where the painting has none: as light and dark as the
        photo is there, in colours of the painted face."""
        mask = missing_parts(frame.landmarks, painting.landmarks, picture.shape[:2])
        if mask is None:
            return picture
        colours = _face_colours(painting)[cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)]
        return (picture + mask[..., None] * (colours - picture)).round().astype(np.uint8)


def _face_colours(painting: Painting) -> np.ndarray:
    """The painting's colours where the photo of the face has each of 256 grey levels: float32 `[256, 3]`."""
    mask = np.zeros(painting.rgb.shape[:2], np.uint8)
    outline = np.concatenate([painting.landmarks[JAW], painting.landmarks[17:27]])
    cv2.fillConvexPoly(mask, cv2.convexHull(outline.round().astype(np.int32)), 1)
    face = mask > 0
    return colours_by_level(painting.picture[face], cv2.cvtColor(painting.rgb, cv2.COLOR_RGB2GRAY)[face])
