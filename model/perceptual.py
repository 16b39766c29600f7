"""How far two pictures are apart to the eye: LPIPS (Zhang et al., CVPR 2018), which is VGG-16 with the weights of
`lpips`, and features of VGG-19."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

STYLE_LAYERS = (1, 6, 11, 20, 29)  # of VGG-19: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
LIKENESS_LAYERS = (3, 8, 17)  # of VGG-19: relu1_2, relu2_2, relu3_4
COMPARED = (3, 8, 15, 22, 29)  # numbers of the layers relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
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

    def __init__(self, last: int = STYLE_LAYERS[-1]):
        super().__init__()
        self.features = make_layers(cfgs["E"], batch_norm=False)[: last + 1]
        for name, rgb in (("shift", SHIFT), ("scale", SCALE)):
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
