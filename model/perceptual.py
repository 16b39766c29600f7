"""How far two pictures are apart to the eye: LPIPS (Zhang et al., CVPR 2018), which is VGG-16 with the weights of
`lpips`, and features of VGG-19."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

STYLE_LAYERS = (1, 6, 11, 20, 29)  # of VGG-19: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
LIKENESS_LAYERS = (3, 8, 17)  # of VGG-19: relu1_2, relu2_2, relu3_4
COMPARED = (3, 8, 15, 22, 29)  # numbers of the layers relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
CARTOON_LAYER = 25  # of VGG-19: conv4_4 before its ReLU
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of red, green, blue in levels of 255; its deviation is 1
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation for RGB in [-1, 1]


class Perceptual(nn.Module):
    """LPIPS v0.1 with VGG-16, frozen. VGG-16 is random until its weights are loaded, under torchvision's names."""

    def __init__(self):
        super().__init__()
        self.features = make_layers(cfgs["D"], batch_norm=False)
        weights = Path(find_spec("lpips").origin).parent / "weights" / "v0.1" / "vgg.pth"  # importing it takes a second
        linear = torch.load(weights, map_location="cpu", weights_only=True)
        buffers = {f"linear{i}": linear[f"lin{i}.model.1.weight"] for i in range(len(COMPARED))}
        buffers |= {name: torch.tensor(rgb).view(3, 1, 1) for name, rgb in (("shift", SHIFT), ("scale", SCALE))}
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `[B]` between `a` and `b`, `[B, 3, H, W]`, RGB in [-1, 1], H, W at least 16."""
        pairs = enumerate(zip(self._compared(a), self._compared(b), strict=True))
        return sum(((x - y).square() * getattr(self, f"linear{i}")).sum(1).mean((1, 2)) for i, (x, y) in pairs)

    def _compared(self, picture: Tensor) -> Iterator[Tensor]:
        """Features of the compared layers, each pixel's vector scaled to length 1."""
        x = (picture - self.shift) / self.scale
        for number, layer in enumerate(self.features[: COMPARED[-1] + 1]):
            x = layer(x)
            if number in COMPARED:
                yield F.normalize(x, dim=1)


class VGG19Features(nn.Module):
    """Activations of VGG-19, frozen; random until weights are loaded, under torchvision's names."""

    def __init__(self, last: int = STYLE_LAYERS[-1], shift: Sequence[float] = SHIFT, scale: Sequence[float] = SCALE):
        super().__init__()
        self.features = make_layers(cfgs["E"], batch_norm=False)[: last + 1]
        for name, rgb in (("shift", shift), ("scale", scale)):
            self.register_buffer(name, torch.tensor(rgb).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, picture: Tensor, layers: Sequence[int] = STYLE_LAYERS) -> list[Tensor]:
        """What comes out of `layers`, in ascending order (relu1_1 … relu5_1), `[B, C, h, w]` each, for a picture
        `[B, 3, H, W]`, RGB in [-1, 1], H, W at least 16. Nothing above the last of them is computed."""
        x, found = (picture - self.shift) / self.scale, []
        for number, layer in enumerate(self.features[: layers[-1] + 1]):
            x = layer(x)
            if number in layers:
                found.append(x)
        return found


class Likeness(VGG19Features):
    """Squared differences of VGG-19's features (Texler et al., 2020, eq. 3); random until weights are loaded."""

    def __init__(self):
        super().__init__(LIKENESS_LAYERS[-1])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean squared difference `[B]` of the layers for `a` and `b`, `[B, 3, H, W]`, RGB in [-1, 1], H, W from 8."""
        total = 0.0
        for both in super().forward(torch.cat([a, b]), LIKENESS_LAYERS):
            one, other = both.chunk(2)
            total = total + (one - other).square().mean((1, 2, 3))
        return total / len(LIKENESS_LAYERS)


class CaffeVGG19(VGG19Features):
    """conv4_4 of VGG-19 as its authors published it, for White-box cartoonisation; random until weights are loaded."""

    units = 1.0  # what results are multiplied with

    def __init__(self):
        shift = [level / 127.5 - 1 for level in CAFFE_MEAN]
        super().__init__(CARTOON_LAYER, shift, [1 / 127.5] * 3)

    def forward(self, picture: Tensor) -> Tensor:
        """`[B, 512, H/8, W/8]`, before the ReLU, of `picture [B, 3, H, W]`, RGB in [-1, 1]."""
        return self.units * super().forward(picture, (CARTOON_LAYER,))[0]


class TorchvisionVGG19(CaffeVGG19):
    """The same with torchvision's weights, which are for pictures of unit variance, not for levels of 255; results are
    as large as if they were for levels."""

    units = 127.5 * SCALE[1]

    def __init__(self):
        VGG19Features.__init__(self, CARTOON_LAYER)


def from_caffe(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """VGG-19 by torchvision's names, for red, green, blue, from "conv1_1.filter" `[h, w, in, out]` and "conv1_1.bias"
    for blue, green, red, which is how TensorFlow's programs keep it."""
    numbers, block, place, number = {}, 1, 1, 0
    for width in cfgs["E"]:  # "M" is a pooling layer; each convolution has a ReLU behind it
        if width == "M":
            block, place, number = block + 1, 1, number + 1
        else:
            numbers[f"conv{block}_{place}"], place, number = number, place + 1, number + 2
    found = {}
    for name, value in weights.items():
        layer, _, kind = name.partition(".")
        value = value.permute(3, 2, 0, 1) if kind == "filter" and value.ndim == 4 else value
        value = value.flip(1) if value.ndim == 4 and value.shape[1] == 3 else value
        ours = f"features.{numbers[layer]}" if layer in numbers else layer
        found[f"{ours}.{'weight' if kind == 'filter' else kind}"] = value.contiguous()
    return found
