"""Painters as styles. Photos are painted; of a clip some frames are, and these paintings are carried to the others."""

from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from fractions import Fraction
from typing import Any, Self

import cv2
import numpy as np

from model.faces.landmarks import face_size
from model.parsing.matting import cut_out
from model.styles.base import Crop, Degree, constant_or_curve
from model.styles.example.labels import parts_of
from model.styles.example.seeds import DRAWINGS
from model.styles.painted import PaintedRenderer, PaintedStyle
from model.styles.painters.carried import Carrier, Painting, Seen
from model.styles.painters.features import features
from model.styles.painters.subject import Subject
from model.styles.painters.values import Painter

EYE_DISTANCE, LIVE_EYE_DISTANCE = 176.0, 144.0  # pixels between the eyes in what is painted; the same before a camera
RIGID = [*range(5), *range(12, 48)]  # landmarks that do not move with the mouth
TURNED = 0.08  # eye distances, root mean square, by which landmarks may differ from those of a painted frame
MOST_PAINTED, PAUSE, FADE = 6, 0.4, 0.25  # paintings that are kept; seconds until the next is used, and it fades in
CALM = 0.7  # eye distances a second up to which a frame is good to paint
NEARER = 0.7  # by that share of the difference another painting must be nearer, where no new one may be made
AT_ONCE = 3.0  # paintings at the beginning of a scene, after which there is one a second
UNLIKE = 0.08  # part of a person that may look otherwise than where they were painted
TREMOR, TREMBLES = 0.02, 24  # eye distances by which strokes boil, and in how many places along each side of a picture


class PainterStyle(PaintedStyle):
    """One or several painters as the looks."""

    letter, eye_distance, denoises = "p", EYE_DISTANCE, True
    _waits = True

    def live(self) -> Self:
        """The same painters, who do not keep anybody waiting: see `PainterRenderer`."""
        style = copy(self)
        style.eye_distance, style.denoises, style._waits = LIVE_EYE_DISTANCE, False, False
        return style

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, style_size: float = 1.0, example_area: str = "picture",
    ) -> "PainterRenderer":  # fmt: skip
        """As `Style.renderer`; the effects are options of `Look`."""
        painter: Painter = self._looks[self.exemplar_name(exemplar)]
        degree_at = constant_or_curve(self, degree)
        return PainterRenderer(painter, style_size, boil, degree_at, example_area == "head", self._waits)


class CarriedRenderer(PaintedRenderer):
    """Renders crops of one person: some are painted, by a subclass, and these paintings are carried to the others.
    waits: for each painting; if not, a thread of its own paints, the paintings before are carried on as long as that
    takes, and what comes before the first one is the photo."""

    def __init__(
        self, boil: float, degree_at: Callable[[Fraction | None], float], head_alone: bool, waits: bool = True
    ):  # fmt: skip
        self._studio = None if waits else ThreadPoolExecutor(1, "studio")
        super().__init__(degree_at, head_alone)
        self._boil = boil

    @abstractmethod
    def picture(self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, matte: np.ndarray) -> np.ndarray:
        """A painting RGB uint8 `[H, W, 3]` of a photo. parts: as `labels.parts_of`; matte: float32 `[H, W]`."""

    def forget(self) -> None:
        super().forget()
        self._last: Seen | None = None
        self._kept: list[Carrier] = []  # those used last come last
        self._used: Carrier | None = None
        self._before: Carrier | None = None  # what fades out
        self._changed_at = -np.inf
        self._count, self._features = 0, features()
        self._in_work: Future[Painting] | None = None

    def paint(self, crop: Crop, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rgb = crop.rgb
        if crop.time is None:
            painting = self._painting(rgb, landmarks)
            return painting.picture, painting.matte
        before = self._last if self._last is not None and self._last.rgb.shape == rgb.shape else None
        frame = Seen(rgb, landmarks, float(crop.time), before)
        self._last = frame
        if not self._choose(frame):
            frame.forget()
            return rgb, np.zeros(rgb.shape[:2], np.float32)
        boil = trembling(rgb.shape[:2], self._boil * face_size(landmarks), frame.time) if self._boil else None
        result, person = self._used(frame, boil)
        share = (frame.time - self._changed_at) / FADE
        if self._before is not None and share < 1:
            result = cv2.addWeighted(result, share, self._before(frame, boil)[0], 1 - share, 0)
        else:
            self._before = None
        for feature in self._features:
            result = feature.laid_over(result, frame, boil)
        frame.forget()
        return result, person

    def _painting(self, rgb: np.ndarray, landmarks: np.ndarray) -> Painting:
        parts = parts_of(rgb, landmarks, cut_out(rgb, landmarks))
        matte = cv2.resize(np.ascontiguousarray(parts[..., 0], np.float32), rgb.shape[1::-1])
        return Painting(rgb, landmarks, matte, self.picture(rgb, landmarks, parts, matte))

    def _choose(self, frame: Seen) -> bool:
        """Take the painting that is most like this frame; paint the frame where none is like it, or none has such a
        mouth or such eyes. There are few new ones a second. Whether there is any."""
        if self._in_work is not None and self._in_work.done():
            self._keep(self._in_work.result())
            self._in_work = None
        if self._used is None:
            if not self._kept and self._in_work is None:
                self._new(frame)
            if not self._kept:
                return False
            self._used, self._since = self._kept[-1], frame.time
        may_paint = self._in_work is None and self._count < AT_ONCE + frame.time - self._since
        distances = [turned(each.painting.landmarks, frame.landmarks) for each in self._kept]
        best = int(np.argmin(distances))
        away = turned(self._used.painting.landmarks, frame.landmarks)
        is_like = away < TURNED and self._used.unlike < UNLIKE
        may_paint &= frame.speed < CALM or away > 2 * TURNED  # moving faces are blurred
        if not is_like and frame.time - self._changed_at > PAUSE:
            is_better = distances[best] < (NEARER * away if not may_paint else TURNED)
            if is_better and self._kept[best] is not self._used:
                self._use(self._kept[best], frame)
            elif may_paint and (painted := self._new(frame)):
                self._use(painted, frame)
        wanted = [feature.choose(frame, self._used, self._kept) for feature in self._features]
        if any(wanted) and may_paint and self._in_work is None:
            self._new(frame)
        return True

    def _use(self, carrier: Carrier, frame: Seen) -> None:
        self._before, self._used, self._changed_at = self._used, carrier, frame.time

    def _new(self, frame: Seen) -> Carrier | None:
        """This frame, painted; None: it will be."""
        self._count += 1
        if self._studio is not None:
            self._in_work = self._studio.submit(self._painting, frame.rgb, frame.landmarks)
            return None
        return self._keep(self._painting(frame.rgb, frame.landmarks))

    def _keep(self, painting: Painting) -> Carrier:
        """A new painting, for which the one that was not used for the longest time is forgotten."""
        others = [each for each in self._kept if each is not self._used]
        self._kept = [*others[-(MOST_PAINTED - 2) :], *filter(None, [self._used])]
        self._kept.append(Carrier(painting))
        return self._kept[-1]


class PainterRenderer(CarriedRenderer):
    """Renders crops of one person by a painter."""

    def __init__(
        self, painter: Painter, strokes: float, boil: float, degree_at: Callable[[Fraction | None], float],
        head_alone: bool, waits: bool = True,
    ):  # fmt: skip
        super().__init__(boil, degree_at, head_alone, waits)
        self._painter, self._strokes = painter, strokes

    def picture(self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, matte: np.ndarray) -> np.ndarray:
        return self._painter.paint(Subject(rgb, landmarks, matte, self._strokes))


def turned(before: np.ndarray, now: np.ndarray) -> float:
    """How differently a face is turned: what is left between landmarks `[68, 2]` without the mouth when one is laid
    over the other, root mean square in eye distances."""
    unit = face_size(now)
    before, now = before[RIGID], now[RIGID]
    moved, _ = cv2.estimateAffinePartial2D(before, now, method=cv2.LMEDS)
    if moved is None:
        return np.inf
    away = cv2.transform(before[None], moved)[0] - now
    return float(np.sqrt((away**2).sum(axis=1).mean())) / unit


def trembling(size: tuple[int, int], amount: float, time: float) -> np.ndarray:
    """How far strokes are moved in the drawing at `time`, in seconds: float32 `[h, w, 2]`. amount: in pixels."""
    random = np.random.default_rng(int(time * DRAWINGS))
    coarse = random.normal(size=(TREMBLES, TREMBLES, 2)).astype(np.float32)
    return cv2.resize(TREMOR * amount * coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
