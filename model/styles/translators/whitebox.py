"""White-box cartoonisation as a style."""

import cv2
import numpy as np
from torch import Tensor

from model.styles.translators.style import PixelStyle
from model.whitebox import EPSILON, RADIUS, Whitebox, guided_filter

EYE_DISTANCE = 112.0  # pixels between the eyes: crops of a face are about as large as the pictures it was made for
LONGEST_SHORT_SIDE = 720  # pixels, to which the published program reduces


class WhiteboxStyle(PixelStyle):
    """The published network or one of one's own, with the guided filter behind it."""

    letter = "w"
    network: Whitebox

    def __init__(self, network: Whitebox, name: str, licence: str, device: str = "auto", precision: str = "auto"):
        super().__init__(network, name, licence, device, precision, EYE_DISTANCE)

    def paint(self, rgb: np.ndarray) -> np.ndarray:
        """As published, large pictures are reduced first: surfaces are as flat as the picture is small."""
        height, width = rgb.shape[:2]
        share = LONGEST_SHORT_SIDE / min(height, width)
        if share >= 1:
            return super().paint(rgb)
        small = max(round(width * share), 1), max(round(height * share), 1)
        painted = super().paint(cv2.resize(rgb, small, interpolation=cv2.INTER_AREA))
        return cv2.resize(painted, (width, height), interpolation=cv2.INTER_CUBIC)

    def translate(self, x: Tensor) -> Tensor:
        # The filter's variances are differences of large numbers: half precision has no digits for them.
        return guided_filter(x.float(), self.network(x).float(), RADIUS, EPSILON)
