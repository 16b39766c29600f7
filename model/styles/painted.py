"""What painted styles have in common, whether a picture or a painter is the style: steady landmarks and masks over
time, the degree, and the head alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from model.common.devices import pick_device
from model.common.errors import InputError
from model.faces.landmarks import face_size
from model.faces.steady import SteadyLandmarks
from model.faces.track import is_cut, thumbnail_of
from model.parsing.matting import cut_out, matte_around
from model.styles.base import Crop, Pending, Style
from model.styles.example.labels import parts_of
from model.styles.names import resolve_style

STEADY = 0.6  # share of masks and levels that are of the frame before
SURE = 0.08, 0.92  # of the matte, from where on it is the person at all, and is so in full
HEAD_ENDS = 0.1, 0.7  # eye distances below the chin between which a head fades into the frame


class PaintedStyle(Style):
    """One or several looks to choose from, by name. `looks` are what a subclass renders with."""

    scale, uses, needs_landmarks, in_flight = 1, frozenset(("degree", "strokes", "boil")), True, 1

    def __init__(self, looks: dict[str, Any], name: str, licence: str, device: str = "auto"):
        self._looks, self.name, self.licence = looks, name, licence
        self.device = pick_device(device)
        self.exemplar_names = list(looks)
        if len(looks) > 1:
            self.uses |= {"exemplars"}

    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        return self.exemplar_names[0] if exemplar is None else resolve_style(self.exemplar_names, exemplar)

    def degree(self, degree: float | None = None) -> float | None:
        if degree is not None and not 0 <= degree <= 1:
            raise InputError(f"The style degree is {degree}: give a number from 0 (photo) to 1 (full style).")
        return 1.0 if degree is None else degree


class PaintedRenderer(ABC):
    """Renders crops of one person; see `CropRenderer`. `degree_at` gives the degree at a time; head_alone: the rest of
    the frame stays as it is. A subclass paints, and forgets what it knows of frames before where a new shot begins.

    A thread of its own paints, one crop after the other, while the next frame is read and searched for faces."""

    batch = 1

    def __init__(self, degree_at: Callable[[Fraction | None], float], head_alone: bool):
        self._degree_at, self._head_alone = degree_at, head_alone
        self._painter_thread = ThreadPoolExecutor(1, "painter")
        self._thumbnail: np.ndarray | None = None  # of the crop before
        self.forget()

    def start(self, crops: Sequence[Crop]) -> Pending[np.ndarray]:
        started = [self._painter_thread.submit(self._render, crop) for crop in crops]
        return lambda: [each.result() for each in started]

    def forget(self) -> None:
        """All that is known of the frames before: another shot begins."""
        self._steady = SteadyLandmarks()
        self._landmarks: np.ndarray | None = None
        self._parts: np.ndarray | None = None

    @abstractmethod
    def paint(self, crop: Crop, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A painting of the crop, RGB uint8 of its size, and the person's mask float32 `[h, w]`, which may be reduced.
        landmarks: steady ones."""

    def paint_without_face(self, crop: Crop) -> np.ndarray:
        """What is shown of a crop as long as no face has been seen: the photo."""
        return crop.rgb

    def steady_parts(self, crop: Crop, landmarks: np.ndarray) -> np.ndarray:
        """As `labels.parts_of`, in a clip steadied by the frame before."""
        is_photo = crop.time is None
        matte = (cut_out if is_photo else matte_around)(crop.rgb, landmarks)
        self._parts = mixed(None if is_photo else self._parts, parts_of(crop.rgb, landmarks, matte))
        return self._parts

    def _render(self, crop: Crop) -> np.ndarray:
        if crop.time is not None and self._begins_shot(crop):
            self.forget()
        degree = self._degree_at(crop.time)
        found = crop.landmarks if crop.landmarks is not None else self._landmarks
        if degree == 0:
            return crop.rgb
        if found is None:
            painted = self.paint_without_face(crop)
        else:
            self._landmarks = landmarks = found if crop.time is None else self._steady(found, float(crop.time))
            painted, person = self.paint(crop, landmarks)
        if degree == 1 and not self._head_alone:
            return painted
        share = np.float32(degree)
        if self._head_alone and found is not None:
            share = share * head_mask(person, landmarks, crop.rgb.shape[:2])[..., None]
        return (crop.rgb + share * (painted.astype(np.float32) - crop.rgb)).round().astype(np.uint8)

    def _begins_shot(self, crop: Crop) -> bool:
        """Whether a crop of a clip has nothing to do with the one before: its frame has not, or it looks otherwise."""
        before, self._thumbnail = self._thumbnail, thumbnail_of(crop.rgb)
        return crop.is_cut or (before is not None and is_cut(before, self._thumbnail))


def mixed(before: Any, now: Any) -> Any:
    """What holds for a frame, steadied by the frame before; `now` if there is none, or it is of another size."""
    if before is None or np.shape(before) != np.shape(now):
        return now
    return STEADY * before + (1 - STEADY) * now


def head_mask(person: np.ndarray, landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Soft mask float32 `[h, w]` of the head: the person down to the chin, fading into the frame below."""
    around, chin = face_size(landmarks), landmarks[8]
    down = chin - landmarks[17:27].mean(axis=0)
    down = down / np.linalg.norm(down)
    rows, columns = np.ogrid[: size[0], : size[1]]
    below = (columns - chin[0]) * down[0] + (rows - chin[1]) * down[1]
    person = cv2.resize(np.ascontiguousarray(person), size[::-1], interpolation=cv2.INTER_LINEAR)
    person = np.clip((person - SURE[0]) / (SURE[1] - SURE[0]), 0, 1)
    return person * np.interp(below, [end * around for end in HEAD_ENDS], (1, 0)).astype(np.float32)
