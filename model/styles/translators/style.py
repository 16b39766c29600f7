"""A network that paints pixel by pixel as a style: crops of any size to pictures as large."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch

from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.sizes import EYE_DISTANCE
from model.common.tensors import to_tensor, to_uint8
from model.styles.base import Crop, Degree, Pending, Style, constant_or_curve
from model.translator import MULTIPLE, Translator


class TranslatorStyle(Style):
    """One network, one look. The degree blends its picture with the photo."""

    scale, letter, uses, denoises = 1, "n", frozenset(("degree",)), True

    def __init__(
        self, network: Translator, name: str, licence: str, device: str = "auto", precision: str = "auto"
    ):  # fmt: skip
        self.name, self.licence = name, licence
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.eye_distance = network.config.eye_distance or EYE_DISTANCE
        network = network.eval().requires_grad_(False)
        self.network = network.to(self.device, self.dtype, memory_format=torch.channels_last)

    def exemplar_name(self, exemplar: int | str | None = None) -> str | None:
        return None

    def degree(self, degree: float | None = None) -> float | None:
        if degree is not None and not 0 <= degree <= 1:
            raise InputError(f"The style degree is {degree}: give a number from 0 (photo) to 1 (full style).")
        return 1.0 if degree is None else degree

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
    ) -> "TranslatorRenderer":  # fmt: skip
        return TranslatorRenderer(self, constant_or_curve(self, degree), batch_size or 1)


class TranslatorRenderer:
    """Renders crops; see `CropRenderer`."""

    def __init__(self, style: TranslatorStyle, degree_at: Callable[[Fraction | None], float], batch: int):
        self._style, self._degree_at, self.batch = style, degree_at, batch

    def start(self, crops: Sequence[Crop]) -> Pending[np.ndarray]:
        pictures = [self._render(crop) for crop in crops]
        return lambda: pictures

    def _render(self, crop: Crop) -> np.ndarray:
        degree, rgb = self._degree_at(crop.time), crop.rgb
        if degree == 0:
            return rgb
        painted = self._paint(rgb)
        return painted if degree == 1 else cv2.addWeighted(painted, degree, rgb, 1 - degree, 0)

    @torch.inference_mode()
    def _paint(self, rgb: np.ndarray) -> np.ndarray:
        style, (height, width) = self._style, rgb.shape[:2]
        missing = -height % MULTIPLE, -width % MULTIPLE
        if any(missing):
            rgb = cv2.copyMakeBorder(rgb, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        x = to_tensor(rgb[None], style.device).to(style.dtype, memory_format=torch.channels_last)
        return to_uint8(style.network(x))[0].cpu().numpy()[:height, :width]
