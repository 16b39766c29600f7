"""Painters as styles. Photos are painted; of a clip some frames are, and the engine of example-based styles carries
these paintings to the others."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch

from model.common.devices import pick_device
from model.faces.landmarks import face_size
from model.styles.base import Crop, Degree, Style, constant_or_curve
from model.styles.example.exemplar import Exemplar
from model.styles.example.style import full_unless
from model.styles.example.styleblit import Weights
from model.styles.example.transfer import Transfer
from model.styles.names import resolve_style
from model.styles.painted import PaintedRenderer
from model.styles.painters.subject import Subject
from model.styles.painters.values import Painter

EYE_DISTANCE = 176.0  # pixels between the eyes in what is painted
# Guides where the exemplar is a frame of the clip itself: what is near is right, also beyond the face.
OWN_FRAME = Weights(position=(3.0, 1.0, 1.0, 3.0, 3.0, 3.0), far=(3.0, 1.0, 1.0, 1.0, 3.0, 3.0))
TURNED = 0.07  # eye distances, root mean square, by which landmarks may differ from those of a painted frame
CHANGED = 40.0  # mean difference, in levels, of small pictures of two frames of different scenes
SMALL = 32  # side of these
MOST_PAINTED, PAUSE, FADE = 6, 0.8, 0.4  # frames that are kept; seconds until the next is painted, and it fades in
CORNERS, LEAST_CORNERS = 200, 12  # of the background, by which its movement is found


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
        return PainterRenderer(painter, style_size, boil, self.device, degree_at, example_area == "head")


@dataclass(eq=False)
class PaintedFrame:
    """A frame of a clip that was painted, and what carries it to others. since: when, in seconds."""

    rgb: np.ndarray
    landmarks: np.ndarray
    is_background: np.ndarray  # mask uint8 [h, w]
    transfer: Transfer
    since: float

    def distance(self, landmarks: np.ndarray) -> float:
        """How differently a face is turned: what is left between the landmarks when one is laid over the other, root
        mean square in eye distances."""
        moved, _ = cv2.estimateAffinePartial2D(self.landmarks, landmarks, method=cv2.LMEDS)
        if moved is None:
            return np.inf
        away = cv2.transform(self.landmarks[None], moved)[0] - landmarks
        return float(np.sqrt((away**2).sum(axis=1).mean())) / face_size(landmarks)

    def background(self, rgb: np.ndarray) -> np.ndarray | None:
        """Affine matrix `[2, 3]` from a frame to this one, by the corners of the background; None where it has too
        few."""
        if self.rgb.shape != rgb.shape:
            return None
        before, now = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (self.rgb, rgb))
        corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, 12, mask=self.is_background)
        if corners is None or len(corners) < LEAST_CORNERS:
            return None
        moved, seen, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(21, 21), maxLevel=4)
        seen = seen[:, 0] > 0
        if seen.sum() < LEAST_CORNERS:
            return None
        matrix, fits = cv2.estimateAffinePartial2D(moved[seen], corners[seen], ransacReprojThreshold=2)
        return matrix if matrix is not None and fits.sum() >= LEAST_CORNERS else None


class PainterRenderer(PaintedRenderer):
    """Renders crops of one person by a painter."""

    def __init__(
        self, painter: Painter, strokes: float, boil: float, device: torch.device,
        degree_at: Callable[[Fraction | None], float], head_alone: bool,
    ):  # fmt: skip
        super().__init__(degree_at, head_alone)
        self._painter, self._strokes, self._boil, self._device = painter, strokes, boil, device
        self._painted: list[PaintedFrame] = []  # the one in use last
        self._before: PaintedFrame | None = None  # what fades out
        self._changed_at = -np.inf
        self._small: np.ndarray | None = None

    def paint(self, crop: Crop, landmarks: np.ndarray, parts: np.ndarray) -> np.ndarray:
        if crop.time is None:
            return self._paint(crop.rgb, landmarks, parts)
        time = float(crop.time)
        self._choose(crop.rgb, landmarks, parts, time)
        frame = self._painted[-1]
        result = self._carried(frame, crop.rgb, landmarks, parts, time)
        share = (time - self._changed_at) / FADE
        if self._before is None or share >= 1:
            self._before = None
            return result
        old = self._carried(self._before, crop.rgb, landmarks, parts, time)
        return cv2.addWeighted(result, share, old, 1 - share, 0)

    def _paint(self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray) -> np.ndarray:
        matte = cv2.resize(np.ascontiguousarray(parts[..., 0], np.float32), rgb.shape[1::-1])
        return self._painter.paint(Subject(rgb, landmarks, matte, self._strokes))

    def _carried(
        self, frame: PaintedFrame, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, time: float
    ) -> np.ndarray:  # fmt: skip
        return frame.transfer(rgb, landmarks, parts, time, frame.background(rgb))

    def _choose(self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, time: float) -> None:
        """Take the painted frame that is most like this one; paint this one where none is like it."""
        small = cv2.resize(rgb, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
        is_cut = self._small is not None and float(np.abs(small - self._small).mean()) > CHANGED
        self._small = small
        if is_cut:
            self._painted, self._before, self._changed_at = [], None, -np.inf
        distances = [frame.distance(landmarks) for frame in self._painted]
        if distances and (distances[-1] < TURNED or time - self._changed_at < PAUSE):
            return
        if distances and min(distances) < TURNED:
            chosen = self._painted.pop(int(np.argmin(distances)))
        else:
            chosen = self._new(rgb, landmarks, parts, time)
        if self._painted:
            self._before, self._changed_at = self._painted[-1], time
        self._painted = [*self._painted[-(MOST_PAINTED - 1) :], chosen]

    def _new(self, rgb: np.ndarray, landmarks: np.ndarray, parts: np.ndarray, time: float) -> PaintedFrame:
        exemplar = Exemplar(self._paint(rgb, landmarks, parts), landmarks, likeness=rgb)
        matte = cv2.resize(np.ascontiguousarray(parts[..., 0], np.float32), rgb.shape[1::-1])
        behind = cv2.erode((matte < 0.1).astype(np.uint8), np.ones((9, 9), np.uint8))
        transfer = Transfer(exemplar, self._device, boil=self._boil, weights=OWN_FRAME)
        return PaintedFrame(rgb, landmarks, behind, transfer, time)
