"""A picture as a style: crops of faces, painted as in it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from model.common.devices import pick_device
from model.common.errors import InputError
from model.effects import light_gain
from model.faces.landmarks import face_size
from model.faces.steady import SteadyLandmarks
from model.parsing.matting import matte_around
from model.styles.base import Crop, Degree, Pending, Style, constant_or_curve
from model.styles.example import engine
from model.styles.example.exemplar import Exemplar, resized_by
from model.styles.example.finish import Finish, head_mask, is_colourful
from model.styles.example.guides import (
    Guides, guides_of, levels_between, mirrored, parts_of, positions, relief, with_levels,
)  # fmt: skip
from model.styles.example.seeds import Seeds

LETTER = "e"
FITTING = 0.8, 1.25  # eye distance of a crop by that of the exemplar, for which this one is taken as it is
STEADY = 0.6  # share of masks and levels that are of the frame before
LACKING = 1.5  # pixels of blur of what relief is compared


class ExampleStyle(Style):
    """One or several exemplars as the looks to choose from. Nothing is computed until it is rendered."""

    scale = 1
    uses = frozenset(("degree", "strokes"))
    denoises = needs_code = needs_landmarks = True

    def __init__(self, exemplars: dict[str, Exemplar], name: str, licence: str, device: str = "auto"):
        self._exemplars, self.name, self.licence, self.letter = exemplars, name, licence, LETTER
        self.device = pick_device(device)
        self.exemplar_names = list(exemplars)
        if len(exemplars) > 1:
            self.uses |= {"exemplars"}
        first = next(iter(exemplars.values()))
        self.eye_distance, self.padding = first.eye_distance, first.padding

    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        from model.styles.presets import resolve_style

        return next(iter(self._exemplars)) if exemplar is None else resolve_style(self._exemplars, exemplar)

    def degree(self, degree: float | None = None) -> float | None:
        if degree is not None and not 0 <= degree <= 1:
            raise InputError(f"The style degree is {degree}: give a number from 0 (photo) to 1 (full style).")
        return 1.0 if degree is None else degree

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        boil: float = 0.0, style_size: float = 1.0, keep_tone: str = "auto", example_area: str = "picture",
    ) -> "ExampleRenderer":  # fmt: skip
        """As `Style.renderer`. boil: how much strokes change over time, in [0, 1]; style_size: how many times as large they
        are; keep_tone: auto (for exemplars without strong colours), on or off; example_area: picture or head."""
        chosen = self._exemplars[self.exemplar_name(exemplar)]
        chosen = resized_by(chosen, style_size)
        engine.warm_up(chosen)
        keeps = not is_colourful(chosen) if keep_tone == "auto" else keep_tone == "on"
        head = example_area == "head"
        return ExampleRenderer(chosen, style_size, constant_or_curve(self, degree), boil, keeps, head, self.device)


class ExampleRenderer:
    """Renders crops of one person as an exemplar; see `CropRenderer`."""

    batch = 1

    def __init__(
        self, exemplar: Exemplar, strokes: float, degree_at: Any, boil: float, keep_tone: bool, head_alone: bool,
        device: torch.device,
    ):  # fmt: skip
        self._whole, self._strokes, self._degree_at = exemplar, strokes, degree_at
        self._boil, self._keep_tone, self._head_alone, self._device = boil, keep_tone, head_alone, device
        self._steady = SteadyLandmarks()
        self._exemplar: Exemplar | None = None
        self._parts: np.ndarray | None = None
        self._levels: np.ndarray | None = None
        self._landmarks: np.ndarray | None = None
        self._gain: float | None = None

    def start(self, crops: Sequence[Crop]) -> Pending[np.ndarray]:
        pictures = [self._render(crop) for crop in crops]
        return lambda: pictures

    def _render(self, crop: Crop) -> np.ndarray:
        degree = self._degree_at(crop.time)
        found = crop.landmarks if crop.landmarks is not None else self._landmarks
        if found is None or degree == 0:
            return crop.rgb
        landmarks = found if crop.time is None else self._steady(found, float(crop.time))
        self._landmarks = landmarks
        self._fit(face_size(landmarks))
        parts = parts_of(crop.rgb, landmarks, matte_around(crop.rgb, landmarks))
        self._parts = parts = _mixed(self._parts, parts)
        guides = guides_of(crop.rgb, landmarks, parts)
        self._levels = _mixed(self._levels, levels_between(guides, self._exemplar.guides))
        painted, field = self._painted(with_levels(guides, self._levels), landmarks, float(crop.time or 0))
        painted = self._finished(painted, field, crop.rgb, landmarks, guides)
        share = degree * (head_mask(guides, parts, landmarks)[..., None] if self._head_alone else 1.0)
        if isinstance(share, float) and share == 1:
            return painted
        return (crop.rgb + share * (painted.astype(np.float32) - crop.rgb)).round().astype(np.uint8)

    def _fit(self, eye_distance: float) -> None:
        """Take the exemplar at a size that fits to the face, and forget all that was of another size."""
        ratio = self._strokes * eye_distance / self._whole.eye_distance
        if self._exemplar is not None and FITTING[0] < self._strokes * eye_distance / self._exemplar.eye_distance < FITTING[1]:
            return
        self._exemplar = self._whole if FITTING[0] < ratio < FITTING[1] else resized_by(self._whole, ratio)
        self._seeds = Seeds(self._exemplar.guides.size, self._boil)
        self._finish = Finish(self._exemplar, self._keep_tone)
        self._levels = None

    def _painted(self, guides: Guides, landmarks: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        exemplar = self._exemplar
        places = mirrored(positions(guides.size, landmarks, exemplar.landmarks), exemplar.guides.size)
        back = positions(exemplar.guides.size, exemplar.landmarks, landmarks)
        self._seeds.draw(time)
        return engine.paint(exemplar, guides, places, back, self._seeds, self._device)

    def _finished(
        self, painted: np.ndarray, field: np.ndarray, rgb: np.ndarray, landmarks: np.ndarray, guides: Guides
    ) -> np.ndarray:  # fmt: skip
        own = relief(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        shown = relief(cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY))
        lacking = cv2.GaussianBlur(own.astype(np.float32) - shown, (0, 0), LACKING)
        self._gain = _mixed(self._gain, light_gain(rgb, landmarks))
        return self._finish(painted, rgb, landmarks, guides, lacking, self._gain)


def _mixed(before: Any, now: Any) -> Any:
    """What holds for a frame, steadied by the frame before, None if there is none or it is of another size."""
    if before is None or np.shape(before) != np.shape(now):
        return now
    return STEADY * before + (1 - STEADY) * now
