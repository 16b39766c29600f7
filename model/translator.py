"""A network that paints every pixel from its surroundings, at any size (Futschik et al., 2019; Texler et al., 2020):

    x [B, 3, H, W] ── 7×7 ── stride 2 ── stride 2 ── residual blocks ── up ── up ── 7×7, 3×3, 3×3, 1×1 ── tanh
                       └───────┴────────── skips ───────────────────────┴─────┘

It has no normalisation: patches and whole frames, which are of other sizes, would have other statistics."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import TranslatorConfig
from model.ops import LEAK

MULTIPLE = 4  # of which the sides of pictures have to be
LAST_KERNEL = 7  # side of the first convolution at full size, and of the one after the last skip
STILL = 0.1  # what is left of the random weights that end a residual block when training begins


def _conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)
    nn.init.kaiming_normal_(conv.weight, a=LEAK)
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.LeakyReLU(LEAK))


class _Residual(nn.Module):
    """`x + f(x)` with two 3×3 convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(*_conv(channels, channels), *_conv(channels, channels)[:1])
        with torch.no_grad():
            self.body[-1].weight.mul_(STILL)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Translator(nn.Module):
    """Photo to painting, pixel by pixel; the network of the paper with the sizes of `config`."""

    def __init__(self, config: TranslatorConfig | None = None):
        super().__init__()
        self.config = config = config or TranslatorConfig()
        full, half, quarter = config.widths
        self.stem = _conv(3, full, LAST_KERNEL)
        self.down = nn.ModuleList([_conv(full, half, stride=2), _conv(half, quarter, stride=2)])
        self.blocks = nn.Sequential(*(_Residual(quarter) for _ in range(config.blocks)))
        self.up = nn.ModuleList([_conv(quarter + half, half), _conv(half + full, full)])
        self.tail = nn.Sequential(
            _conv(full, full, LAST_KERNEL), _conv(full, full), _conv(full, full), nn.Conv2d(full, 3, 1), nn.Tanh()
        )  # fmt: skip
        with torch.no_grad():
            self.tail[-2].weight.mul_(STILL)

    def forward(self, x: Tensor) -> Tensor:
        """Paint `x [B, 3, H, W]`, RGB in [-1, 1], H, W multiples of 4; the result is of the same size, in (-1, 1)."""
        if x.shape[-2] % MULTIPLE or x.shape[-1] % MULTIPLE:
            raise ValueError(f"input sides must be multiples of {MULTIPLE}, got {tuple(x.shape[-2:])}")
        fine = self.stem(x)
        middle = self.down[0](fine)
        x = self.blocks(self.down[1](middle))
        for up, skip in zip(self.up, (middle, fine), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], dim=1))
        return self.tail(x)
