"""A U-GAT-IT of one's own as a style."""

import cv2
import numpy as np
from torch import Tensor

from model.common.errors import InputError
from model.common.sizes import EYE_DISTANCE
from model.styles.translators.style import FRAMING, PixelStyle
from model.ugatit import UgatitGenerator

LEAST = 0.5  # part of the size that a full network takes, which a crop at the border of the frame may have left


class UgatitStyle(PixelStyle):
    """Crops framed as the faces that it learnt from. It moves shapes, so that there are no degrees in between."""

    letter, uses, padding = "u", frozenset(), FRAMING
    network: UgatitGenerator

    def __init__(
        self, network: UgatitGenerator, name: str, licence: str, device: str = "auto", precision: str = "auto"
    ):
        self.config = network.config
        eyes = EYE_DISTANCE * self.config.size / (FRAMING[0] + FRAMING[1])
        super().__init__(network, name, licence, device, precision, eyes)

    def degree(self, degree: float | None = None) -> float | None:
        return None

    def paint(self, rgb: np.ndarray) -> np.ndarray:
        if self.config.light:
            return super().paint(rgb)
        size, (height, width) = self.config.size, rgb.shape[:2]
        if not LEAST * size <= min(height, width) <= max(height, width) <= size:
            found = f"{width} x {height}"
            what = f"{self.name} is a full U-GAT-IT, which takes faces of {size} x {size} pixels, not {found}"
            raise InputError(f"{what}: leave --padding and --no_scale_image out, or train a light one.")
        top, left = (size - height) // 2, (size - width) // 2  # where the frame ends, crops are smaller
        borders = top, size - height - top, left, size - width - left
        whole = super().paint(cv2.copyMakeBorder(rgb, *borders, cv2.BORDER_REFLECT_101))
        return whole[top : top + height, left : left + width]

    def translate(self, x: Tensor) -> Tensor:
        return self.network(x)[0]
