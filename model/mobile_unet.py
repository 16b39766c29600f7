"""The student for phones and browsers: a U-Net of operators that mobile runtimes and int8 take well.

    x ─ 3×3 ─ ↓ ─ block ─ ↓ ─ block ─ ↓ ─ block ─ ↓ ─ blocks ─ ↑ + block ─ ↑ + block ─ ↑ + block ─ ↑ + 3×3 ─ + x
         └──── 1×1 skips, added ─────────────────────────────────┴───────────┴───────────┴───────────┘

Convolutions, depthwise ones (in inverted residuals: Sandler et al., 2018), PReLU, additions and nearest doubling are
all there is: no normalisation, whose statistics change with what is in the frame, and no concatenation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import MobileConfig

SLOPE = 0.25  # of PReLU for negative values when training begins
STILL = 0.1  # what is left of the random weights that end a residual branch when training begins


def _conv(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    nn.init.zeros_(conv.bias)
    return conv


class InvertedResidual(nn.Module):
    """`x + f(x)`: widened by 1×1, 3×3 channel by channel, narrowed again."""

    def __init__(self, channels: int, expansion: int):
        super().__init__()
        wide = expansion * channels
        self.body = nn.Sequential(
            _conv(channels, wide), nn.PReLU(wide, SLOPE), _conv(wide, wide, 3, groups=wide), nn.PReLU(wide, SLOPE),
            _conv(wide, channels),
        )  # fmt: skip
        with torch.no_grad():
            self.body[-1].weight.mul_(STILL)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class MobileUNet(nn.Module):
    """Photo to picture, of the same size; the network changes the photo, which it begins with."""

    def __init__(self, config: MobileConfig | None = None):
        super().__init__()
        self.config = config = config or MobileConfig()
        widths = config.widths
        self.stem = nn.Sequential(_conv(3, widths[0], 3), nn.PReLU(widths[0], SLOPE))
        steps = list(zip(widths[:-1], widths[1:], config.blocks, strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(
                _conv(fine, coarse, 3, stride=2), nn.PReLU(coarse, SLOPE),
                *(InvertedResidual(coarse, config.expansion) for _ in range(blocks)),
            ) for fine, coarse, blocks in steps
        )  # fmt: skip
        self.narrow = nn.ModuleList(_conv(coarse, fine) for fine, coarse, _ in steps)
        self.skip = nn.ModuleList(_conv(fine, fine) for fine in widths[:-1])
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.PReLU(fine, SLOPE),
                *(InvertedResidual(fine, config.expansion) for _ in range(1 if level else 0)),
            ) for level, fine in enumerate(widths[:-1])
        )  # fmt: skip
        self.tail = nn.Sequential(
            _conv(widths[0], widths[0], 3), nn.PReLU(widths[0], SLOPE), _conv(widths[0], 3, 3)
        )  # fmt: skip
        with torch.no_grad():
            self.tail[-1].weight.mul_(STILL)

    @property
    def multiple(self) -> int:
        """Of which the sides of pictures have to be."""
        return 1 << len(self.down)

    def forward(self, x: Tensor) -> Tensor:
        """The picture of `x [B, 3, H, W]`, RGB in [-1, 1], sides multiples of `multiple`; alike, not clamped."""
        if x.shape[-2] % self.multiple or x.shape[-1] % self.multiple:
            raise ValueError(f"input sides must be multiples of {self.multiple}, got {tuple(x.shape[-2:])}")
        levels = [self.stem(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        y = levels.pop()
        for level in reversed(range(len(self.down))):
            doubled = F.interpolate(self.narrow[level](y), scale_factor=2.0, mode="nearest")
            y = self.up[level](doubled + self.skip[level](levels[level]))
        return x + self.tail(y)
