"""Painters as styles. Photos are painted; of a clip some frames are, and these paintings are carried to the others."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from model.common.devices import pick_device
from model.faces.landmarks import face_size
from model.parsing.matting import matte_around
from model.styles.base import Crop, Degree, Style, constant_or_curve
from model.styles.example.guides import parts_of
from model.styles.example.seeds import DRAWINGS
from model.styles.example.style import full_unless
from model.styles.names import resolve_style
from model.styles.painted import PaintedRenderer
from model.styles.painters.carried import Carrier, Painting, Seen
from model.styles.painters.subject import Subject
from model.styles.painters.values import Painter

EYE_DISTANCE = 176.0  # pixels between the eyes in what is painted
TURNED = 0.07  # eye distances, root mean square, by which landmarks may differ from those of a painted frame
MOST_PAINTED, PAUSE, FADE = 6, 0.8, 0.4  # frames that are kept; seconds until the next is painted, and it fades in
UNLIKE = 0.05  # part of a person that may look otherwise than where they were painted
TREMOR, TREMBLES = 0.012, 24  # eye distances by which strokes boil, and in how many places along each side of a picture


class PainterStyle(Style):
    """One or several painters as the looks to choose from."""

    letter, scale, eye_distance = "p", 1, EYE_DISTANCE
    uses = frozenset(("degree", "strokes"))
    denoises = needs_landmarks = True

    def __init__(self, painters: dict[str, Painter], name: str, licence: str, device: str = "auto"):
        self._painters, self.name, self.licence = painters, name, licence
        self.device = pick_device(device)
        self.exemplar_names = list(painters)
        if len(painters) > 1:
            self.uses |= {"exemplars"}

    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        return self.exemplar_names[0] if exemplar is None else resolve_style(self.exemplar_names, exemplar)

    def degree(self, degree: float | None = None) -> float | None:
        return full_unless(degree)

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, style_size: float = 1.0, example_area: str = "picture",
    ) -> "PainterRenderer":  # fmt: skip
        """As `Style.renderer`; the effects are options of `Look`."""
        painter = self._painters[self.exemplar_name(exemplar)]
        degree_at = constant_or_curve(self, degree)
        return PainterRenderer(painter, style_size, boil, degree_at, example_area == "head")


class PainterRenderer(PaintedRenderer):
    """Renders crops of one person by a painter."""

    def __init__(
        self, painter: Painter, strokes: float, boil: float, degree_at: Callable[[Fraction | None], float],
        head_alone: bool,
    ):  # fmt: skip
        super().__init__(degree_at, head_alone)
        self._painter, self._strokes, self._boil = painter, strokes, boil
        self._kept: list[Carrier] = []  # the one in use last
        self._before: Carrier | None = None  # what fades out
        self._changed_at = -np.inf
        self._last: Seen | None = None

    def paint(self, crop: Crop, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rgb = crop.rgb
        if crop.time is None:
            painting = self._painting(rgb, landmarks)
            return painting.picture, painting.matte
        frame = Seen(rgb, landmarks, float(crop.time), self._last)
        self._choose(frame)
        boil = trembling(rgb.shape[:2], self._boil * face_size(landmarks), frame.time) if self._boil else None
        result, person = self._kept[-1](frame, boil)
        share = (frame.time - self._changed_at) / FADE
        if self._before is None or share >= 1:
            self._before = None
        else:
            old, _ = self._before(frame, boil)
            result = cv2.addWeighted(result, share, old, 1 - share, 0)
        self._last = frame
        frame.forget()
        return result, person

    def _painting(self, rgb: np.ndarray, landmarks: np.ndarray) -> Painting:
        parts = parts_of(rgb, landmarks, matte_around(rgb, landmarks))
        matte = cv2.resize(np.ascontiguousarray(parts[..., 0], np.float32), rgb.shape[1::-1])
        return Painting(rgb, landmarks, matte, self._painter.paint(Subject(rgb, landmarks, matte, self._strokes)))

    def _choose(self, frame: Seen) -> None:
        """Take the painted frame that is most like this one; paint this one where none is like it."""
        if frame.is_cut:
            self._kept, self._before, self._changed_at = [], None, -np.inf
        distances = [turned(each.painting.landmarks, frame.landmarks) for each in self._kept]
        fits = distances and distances[-1] < TURNED and self._kept[-1].unlike < UNLIKE
        if fits or (distances and frame.time - self._changed_at < PAUSE):
            return
        if distances and min(distances[:-1], default=np.inf) < TURNED:
            chosen = self._kept.pop(int(np.argmin(distances[:-1])))
        else:
            chosen = Carrier(self._painting(frame.rgb, frame.landmarks))
        if self._kept:
            self._before, self._changed_at = self._kept[-1], frame.time
        self._kept = [*self._kept[-(MOST_PAINTED - 1) :], chosen]


def turned(before: np.ndarray, now: np.ndarray) -> float:
    """How differently a face is turned: what is left between landmarks `[68, 2]` when one is laid over the other, root
    mean square in eye distances."""
    moved, _ = cv2.estimateAffinePartial2D(before, now, method=cv2.LMEDS)
    if moved is None:
        return np.inf
    away = cv2.transform(before[None], moved)[0] - now
    return float(np.sqrt((away**2).sum(axis=1).mean())) / face_size(now)


def trembling(size: tuple[int, int], amount: float, time: float) -> np.ndarray:
    """How far strokes are moved in the drawing at `time`, in seconds: float32 `[h, w, 2]`. amount: in pixels."""
    random = np.random.default_rng(int(time * DRAWINGS))
    coarse = random.normal(size=(TREMBLES, TREMBLES, 2)).astype(np.float32)
    return cv2.resize(TREMOR * amount * coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
