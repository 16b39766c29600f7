"""Networks that paint pixel by pixel as styles: crops of any size to pictures as large."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.sizes import EYE_DISTANCE
from model.common.tensors import to_tensor, to_uint8
from model.styles.base import Crop, Degree, Pending, Style, constant_or_curve
from model.translator import MULTIPLE, Translator

FRAMING = (128, 128, 121, 135)  # FFHQ's, at 64 pixels between the eyes, which are a quarter of the picture apart


class PixelStyle(Style):
    """One network, one look. The degree blends its picture with the photo."""

    scale, letter, uses, denoises = 1, "n", frozenset(("degree",)), True
    multiple = MULTIPLE  # of which the sides of pictures have to be

    def __init__(
        self, network: nn.Module, name: str, licence: str, device: str = "auto", precision: str = "auto",
        eye_distance: float = EYE_DISTANCE,
    ):  # fmt: skip
        self.name, self.licence, self.eye_distance = name, licence, eye_distance
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
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
    ) -> "PixelRenderer":  # fmt: skip
        return PixelRenderer(self, constant_or_curve(self, degree), batch_size or 1)

    @abstractmethod
    def translate(self, x: Tensor) -> Tensor:
        """Pictures for `x [B, 3, H, W]`, RGB in [-1, 1], of the network's dtype; sides are multiples of `multiple`."""

    @torch.inference_mode()
    def paint(self, rgb: np.ndarray) -> np.ndarray:
        """The picture, RGB uint8 `[H, W, 3]`, for one of any size."""
        x, (height, width) = self.as_input(rgb), rgb.shape[:2]
        return to_uint8(self.translate(x))[0].cpu().numpy()[:height, :width]

    def as_input(self, rgb: np.ndarray) -> Tensor:
        """`[1, 3, h, w]` in [-1, 1], borders repeated until the sides are multiples."""
        missing = -rgb.shape[0] % self.multiple, -rgb.shape[1] % self.multiple
        if any(missing):
            rgb = cv2.copyMakeBorder(rgb, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        return to_tensor(rgb[None], self.device).to(self.dtype, memory_format=torch.channels_last)


class PixelRenderer:
    """Renders crops; see `CropRenderer`."""

    def __init__(self, style: PixelStyle, degree_at: Callable[[Fraction | None], float | None], batch: int):
        self._style, self._degree_at, self.batch = style, degree_at, batch

    def start(self, crops: Sequence[Crop]) -> Pending[np.ndarray]:
        pictures = [self.render(crop) for crop in crops]
        return lambda: pictures

    def render(self, crop: Crop) -> np.ndarray:
        """One picture."""
        degree, rgb = self._degree_at(crop.time), crop.rgb
        if degree == 0:
            return rgb
        painted = self._style.paint(rgb)
        return painted if degree in (1, None) else cv2.addWeighted(painted, degree, rgb, 1 - degree, 0)


class TranslatorStyle(PixelStyle):
    """A network that learnt from painted frames or photos."""

    def __init__(
        self, network: Translator, name: str, licence: str, device: str = "auto", precision: str = "auto"
    ):  # fmt: skip
        super().__init__(network, name, licence, device, precision, network.config.eye_distance or EYE_DISTANCE)

    def translate(self, x: Tensor) -> Tensor:
        return self.network(x)
