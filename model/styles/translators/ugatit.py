"""A U-GAT-IT of one's own as a style."""

import numpy as np
from torch import Tensor

from model.common.errors import InputError
from model.common.sizes import EYE_DISTANCE
from model.styles.translators.style import PixelStyle
from model.ugatit import UgatitGenerator

FRAMING = (128, 128, 121, 135)  # FFHQ's, at 64 pixels between the eyes, which are a quarter of the picture apart


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
        size = self.config.size
        if not self.config.light and rgb.shape[:2] != (size, size):
            found = f"{rgb.shape[1]} x {rgb.shape[0]}"
            what = f"{self.name} is a full U-GAT-IT, which takes faces of {size} x {size} pixels, not {found}"
            raise InputError(f"{what}: leave --padding and --no_scale_image out, or train a light one.")
        return super().paint(rgb)

    def translate(self, x: Tensor) -> Tensor:
        return self.network(x)[0]
