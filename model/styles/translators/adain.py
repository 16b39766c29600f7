"""AdaIN as a style: pictures whose colours, contrasts and textures the photo takes on."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from model.adain import MULTIPLE, Adain, coral, statistics_of
from model.common.tensors import to_tensor, to_uint8
from model.media.files import read_photo
from model.styles.base import Crop, Degree, constant_or_curve
from model.styles.translators.style import PixelRenderer, PixelStyle

EYE_DISTANCE = 80.0  # pixels between the eyes: crops are about as large as the pictures that it was trained on
STYLE_SIDE = 512  # pixels of the shorter side of a style picture, as published
STEADY = 1.0  # seconds over which a clip's statistics are averaged, lest colours flicker


def read_style_picture(path: str | Path) -> np.ndarray:
    """RGB uint8 `[H, W, 3]`, the shorter side 512 pixels. InputError where it is no picture."""
    rgb = read_photo(path)
    height, width = rgb.shape[:2]
    share = STYLE_SIDE / min(height, width)
    size = max(round(width * share), 1), max(round(height * share), 1)
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)


class AdainStyle(PixelStyle):
    """One or several pictures with weights; the degree is the paper's α, of features, not of pixels."""

    letter, uses, multiple = "a", frozenset(("degree", "recolour")), MULTIPLE
    network: Adain

    def __init__(
        self, network: Adain, pictures: Sequence[np.ndarray], weights: Sequence[float], name: str, licence: str,
        device: str = "auto", precision: str = "auto",
    ):  # fmt: skip
        super().__init__(network, name, licence, device, precision, EYE_DISTANCE)
        self._pictures, self._weights = [self.unit(picture) for picture in pictures], list(weights)
        self._statistics: Tensor | None = None

    def unit(self, rgb: np.ndarray) -> Tensor:
        """`[3, h, w]`, RGB in [0, 1]."""
        return to_tensor(rgb, self.device) / 2 + 0.5

    @torch.inference_mode()
    def statistics(self, photo: Tensor | None = None) -> Tensor:
        """Of the style; with a `photo [3, h, w]`, of the style in the photo's colours."""
        if photo is None and self._statistics is not None:
            return self._statistics
        moved = self._pictures if photo is None else [coral(picture, photo).clamp(0, 1) for picture in self._pictures]
        found = self.network.style_statistics([picture.to(self.dtype) for picture in moved], self._weights)
        if photo is None:
            self._statistics = found
        return found

    def translate(self, x: Tensor) -> Tensor:
        return self.network(x / 2 + 0.5, self.statistics()) * 2 - 1

    def renderer(
        self, code: Any, *, exemplar: int | str | None = None, degree: Degree = None, batch_size: int | None = None,
        keep_colors: bool = False,
    ) -> "AdainRenderer":  # fmt: skip
        return AdainRenderer(self, constant_or_curve(self, degree), keep_colors)


class AdainRenderer(PixelRenderer):
    """Renders the crops of a clip with averages over time: of its statistics, and with the colours of its first crop,
    until there is a cut. Photos have their own."""

    def __init__(self, style: AdainStyle, degree_at: Callable[[Fraction | None], float], keeps_colours: bool):
        super().__init__(style, degree_at, 1)
        self._keeps_colours = keeps_colours
        self._forget()

    def _forget(self) -> None:
        self._own: Tensor | None = None
        self._time, self._wanted = 0.0, None

    @torch.inference_mode()
    def render(self, crop: Crop) -> np.ndarray:
        if crop.time is None or crop.is_cut:
            self._forget()
        style, (height, width) = self._style, crop.rgb.shape[:2]
        photo = style.unit(crop.rgb)
        if self._wanted is None:
            self._wanted = style.statistics(photo if self._keeps_colours else None)
        content = style.network.encoder(photo[None].to(style.dtype))
        own = self._averaged(statistics_of(content), crop.time)
        result = style.network.decode(content, self._wanted, self._degree_at(crop.time), own)
        return to_uint8(result.float() * 2 - 1)[0].cpu().numpy()[:height, :width]

    def _averaged(self, found: Tensor, time: Fraction | None) -> Tensor:
        """Means and deviations, averaged over the last second or so."""
        if time is None:
            return found
        if self._own is not None:
            share = math.exp(-max(float(time) - self._time, 0.0) / STEADY)
            found = torch.lerp(found, self._own, share)
        self._own, self._time = found, float(time)
        return found
