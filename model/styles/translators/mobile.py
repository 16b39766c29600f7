"""A student for phones as a style: the same network that the browser runs."""

from torch import Tensor

from model.mobile_unet import MobileUNet
from model.styles.translators.style import FRAMING, PixelStyle


class MobileStyle(PixelStyle):
    """Crops framed as the faces that it learnt from."""

    letter, padding = "m", FRAMING
    network: MobileUNet

    def __init__(self, network: MobileUNet, name: str, licence: str, device: str = "auto", precision: str = "auto"):
        self.multiple = network.multiple
        super().__init__(network, name, licence, device, precision, network.config.eye_distance)

    def translate(self, x: Tensor) -> Tensor:
        return self.network(x)
