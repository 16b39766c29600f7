"""White-box cartoonisation (Wang and Yu, CVPR 2020): a small U-Net, the guided filter behind it, and the
discriminators. The published files are TensorFlow's, for blue, green, red; `from_tensorflow` turns them into ours, for
red, green, blue. Borders and doubling are those of TensorFlow 1, which PyTorch has no names for."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from model.ops import LEAK

MULTIPLE = 4  # of which the sides of pictures have to be
WIDTH, BLOCKS = 32, 4  # of the published network
RADIUS, EPSILON = 1, 0.005  # of the guided filter behind the network (0.01 in training)
DISCRIMINATOR_LEVELS = 3


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" borders of zeros: where they can't be even, one more at the right and
    below, so that a stride of 2 begins with the first pixel."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-1], x.shape[-2])]
        return super().forward(F.pad(x, [pad for each in missing for pad in (each // 2, each - each // 2)]))


def double(x: Tensor) -> Tensor:
    """TensorFlow 1's bilinear `x [B, C, H, W]` of twice the size: even pixels are copies, odd ones the average with the
    next, the last one repeats."""
    for axis in (3, 2):
        last = x.narrow(axis, x.shape[axis] - 1, 1)
        following = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), last], axis)
        x = torch.stack([x, (x + following) / 2], axis + 1).flatten(axis, axis + 1)
    return x


class _Residual(nn.Module):
    """`x + f(x)` with two 3×3 convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = (SameConv2d(channels, channels, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(_leaky(self.conv1(x)))


class Whitebox(nn.Module):
    """The published U-Net; skips are added."""

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS):
        super().__init__()
        self.first = SameConv2d(3, width, 7)
        self.down1 = nn.ModuleList([SameConv2d(width, width, 3, 2), SameConv2d(width, 2 * width, 3)])
        self.down2 = nn.ModuleList([SameConv2d(2 * width, 2 * width, 3, 2), SameConv2d(2 * width, 4 * width, 3)])
        self.blocks = nn.Sequential(*(_Residual(4 * width) for _ in range(blocks)))
        self.narrow = SameConv2d(4 * width, 2 * width, 3)
        self.up1 = nn.ModuleList([SameConv2d(2 * width, 2 * width, 3), SameConv2d(2 * width, width, 3)])
        self.up2 = SameConv2d(width, width, 3)
        self.last = SameConv2d(width, 3, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Cartoon `[B, 3, H, W]`, not clamped, of a photo `x [B, 3, H, W]`, RGB in [-1, 1], H, W multiples of 4."""
        if any(side % MULTIPLE for side in x.shape[-2:]):
            raise ValueError(f"input sides must be multiples of {MULTIPLE}, got {tuple(x.shape[-2:])}")
        fine = _leaky(self.first(x))
        middle = _chain(self.down1, fine)
        x = _leaky(self.narrow(self.blocks(_chain(self.down2, middle))))
        x = _chain(self.up1, double(x) + middle)
        return self.last(_leaky(self.up2(double(x) + fine)))

    def cartoon(self, x: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
        """The result behind the guided filter, whose guide is the photo."""
        return guided_filter(x, self(x), radius, epsilon)


class WhiteboxDiscriminator(nn.Module):
    """Judges patches of surfaces (3 channels) or textures (1 channel); spectral norm as in U-GAT-IT's."""

    def __init__(self, channels: int = 3, width: int = WIDTH):
        super().__init__()
        self.convs = nn.ModuleList()
        for level in range(DISCRIMINATOR_LEVELS):
            wide = width << level
            self.convs += [spectral_norm(SameConv2d(channels, wide, 3, 2)), spectral_norm(SameConv2d(wide, wide, 3))]
            channels = wide
        self.last = spectral_norm(SameConv2d(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 1, H/8, W/8]`, rounded up, for `x [B, 3 or 1, H, W]` in [-1, 1]."""
        return self.last(_chain(self.convs, x))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def _chain(convs: nn.ModuleList, x: Tensor) -> Tensor:
    for conv in convs:
        x = _leaky(conv(x))
    return x


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over the (2·radius + 1)² pixels around each, at the border over those that there are."""
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)


def guided_filter(guide: Tensor, x: Tensor, radius: int, epsilon: float) -> Tensor:
    """`x [B, C, H, W]` smoothed but for the edges of `guide`, of the same shape, channel by channel (He et al.,
    2013)."""
    mean_guide, mean = box_mean(guide, radius), box_mean(x, radius)
    covariance = box_mean(guide * x, radius) - mean_guide * mean
    variance = box_mean(guide * guide, radius) - mean_guide.square()
    slope = covariance / (variance + epsilon)
    return box_mean(slope, radius) * guide + box_mean(mean - slope * mean_guide, radius)


GENERATOR_NAMES = {
    "Conv": "first", "Conv_1": "down1.0", "Conv_2": "down1.1", "Conv_3": "down2.0", "Conv_4": "down2.1",
    **{f"block_{n}/conv{k}": f"blocks.{n}.conv{k}" for n in range(BLOCKS) for k in (1, 2)},
    "Conv_5": "narrow", "Conv_6": "up1.0", "Conv_7": "up1.1", "Conv_8": "up2", "Conv_9": "last",
}  # fmt: skip
DISCRIMINATOR_NAMES = {
    **{f"conv{n}_{k}": f"convs.{2 * n + k - 1}" for n in range(DISCRIMINATOR_LEVELS) for k in (1, 2)},
    "conv_out": "last",
}  # fmt: skip


def from_tensorflow(weights: Mapping[str, Tensor], scope: str = "generator") -> dict[str, Tensor]:
    """Parameters of `Whitebox`, or with the scope of a discriminator of `WhiteboxDiscriminator`, by our names, from
    those of the published program in `scope` (kernels `[h, w, in, out]`). What is not of the network keeps its name, so
    that strict loading tells of it."""
    names = GENERATOR_NAMES if scope == "generator" else DISCRIMINATOR_NAMES
    found: dict[str, Tensor] = {}
    for full_name, value in weights.items():
        layer, _, kind = full_name.removeprefix(f"{scope}/").rpartition("/")
        if not full_name.startswith(f"{scope}/"):
            continue
        ours = names.get(layer, layer)
        if kind in ("weights", "kernel") and value.ndim == 4:
            value = value.permute(3, 2, 0, 1)
            value = value.flip(1) if value.shape[1] == 3 else value
            name = f"{ours}.weight" if kind == "weights" else f"{ours}.weight_orig"
        elif kind == "u":
            name, value = f"{ours}.weight_u", value.flatten()
        else:
            name = f"{ours}.bias" if kind in ("biases", "bias") else f"{ours}.{kind}"
        if ours == "last" and len(value) == 3:
            value = value.flip(0)
        found[name] = value.contiguous()
    return found
