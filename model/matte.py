"""A small network that tells the person in a portrait from the background."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 128
"""The network was trained on portraits of this side."""
WIDTHS = (16, 24, 40, 64, 64)


def _block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


class MatteNet(nn.Module):
    """U-Net: RGB [B, 3, H, W] in [-1, 1] to logits of the person [B, 1, H, W]; H, W multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(_block(i, o, stride=2), _block(o, o)) for i, o in zip(inputs, WIDTHS, strict=True)
        )
        self.up = nn.ModuleList(_block(i + o, o) for i, o in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            x = up(torch.cat([_double(x), skip], 1))
        return _double(self.head(x))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
