"""Discriminators: StyleGAN2's at 256 px, in variant D conditioned on style and degree (VToonify, Sec. 4.3), and one for
drawn pairs that judges patches at full resolution."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PUBLISHED_CHANNELS
from model.ops import LEAK, BiasedLeakyReLU, FixedFilter
from model.stylegan2 import EqualConv2d, EqualLinear

STDDEV_GROUP = 4  # pictures over which a standard deviation is taken (StyleGAN2)
CONDITION_DIM = 64  # length of the degree's and of the style's embedding


def conv_layer(in_channels: int, out_channels: int, kernel: int, downsample=False, activate=True) -> nn.Sequential:
    """Convolution with optional halving (blur first) and activation."""
    margin = (kernel + 1) // 2
    layers = nn.Sequential(FixedFilter(pad=(margin, margin))) if downsample else nn.Sequential()
    stride, padding = (2, 0) if downsample else (1, kernel // 2)
    layers.append(EqualConv2d(in_channels, out_channels, kernel, stride, padding))
    return layers.append(BiasedLeakyReLU(out_channels)) if activate else layers


class ResidualDown(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = conv_layer(in_channels, in_channels, 3)
        self.conv2 = conv_layer(in_channels, out_channels, 3, downsample=True)
        self.skip = conv_layer(in_channels, out_channels, 1, downsample=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


def minibatch_stddev(x: Tensor) -> Tensor:
    """Append to `x [B, C, H, W]` the mean deviation over groups of 4 pictures (fewer where 4 does not divide B)."""
    batch, channels, height, width = x.shape
    group = max(n for n in range(1, STDDEV_GROUP + 1) if batch % n == 0)
    groups = x.view(group, batch // group, channels, height, width)
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    deviation = deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, deviation], dim=1)


class Discriminator(nn.Module):
    """Judges whether pictures are real; with `num_styles`, given their style and style degree."""

    def __init__(self, num_styles: int | None = None, size: int = 256, channels: dict[int, int] | None = None):
        super().__init__()
        widths = channels or PUBLISHED_CHANNELS
        self.convs = nn.Sequential(conv_layer(3, widths[size], 1))
        while size > 4:
            self.convs.append(ResidualDown(widths[size], widths[size // 2]))
            size //= 2
        self.num_styles = num_styles
        if num_styles is not None:
            act, dim = nn.LeakyReLU(LEAK), CONDITION_DIM
            self.label_mapper = nn.Sequential(nn.Linear(1, dim), act, nn.Linear(dim, dim), act, nn.Linear(dim, dim))
            self.style_mapper = nn.Embedding(num_styles, dim)
        self.final_conv = conv_layer(widths[4] + 1, widths[4], 3)
        out_dim = 1 if num_styles is None else 2 * CONDITION_DIM
        hidden = EqualLinear(widths[4] * 16, widths[4], activate=True)
        self.final_linear = nn.Sequential(hidden, EqualLinear(widths[4], out_dim))

    def forward(self, image: Tensor, degree: Tensor | None = None, style_index: Tensor | None = None) -> Tensor:
        """Logits `[B, 1]` for `image [B, 3, size, size]`, RGB in [-1, 1]. With `num_styles`, `degree` is `[B]` in
        [0, 1] and `style_index` `[B]` integers below `num_styles`."""
        x = self.final_linear(self.final_conv(minibatch_stddev(self.convs(image))).flatten(1))
        if self.num_styles is None:
            return x
        condition = torch.cat([self.label_mapper(degree.view(-1, 1)), self.style_mapper(style_index)], dim=1)
        return (x * condition).sum(1, keepdim=True) / math.sqrt(2 * CONDITION_DIM)


class PatchDiscriminator(nn.Module):
    """Judges each patch of 54 px of a drawing, given its photo, style and degree (pix2pix: Isola et al., 2017): sees
    strokes at full resolution, at a small cost. The photo joins in at the size that the student gets it in."""

    def __init__(self, num_styles: int, width: int = 24):
        super().__init__()
        self.num_styles = num_styles
        act = nn.LeakyReLU(LEAK)
        self.fine = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), act, nn.Conv2d(width, 2 * width, 4, 2, 1), act)
        self.condition = nn.Linear(num_styles + 1, 2 * width)
        wide = 4 * width
        layers = nn.Conv2d(2 * width + 3, wide, 4, 2, 1), act, nn.Conv2d(wide, wide, 3, 1, 1), act
        self.coarse = nn.Sequential(*layers, nn.Conv2d(wide, 1, 3, 1, 1))
        for layer in (*self.fine, *self.coarse[:-1]):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=LEAK)

    def forward(self, image: Tensor, photo: Tensor, degree: Tensor, style_index: Tensor) -> Tensor:
        """Logits `[B, 1, S/8, S/8]` for drawings `image [B, 3, S, S]` of `photo [B, 3, S/4, S/4]`, RGB in [-1, 1]. S is
        a multiple of 8; `degree`: `[B]` in [0, 1], at 0 all styles are one; `style_index`: `[B]` integers."""
        return self.activations(image, photo, degree, style_index)[-1]

    def activations(self, image: Tensor, photo: Tensor, degree: Tensor, style_index: Tensor) -> list[Tensor]:
        """What each layer says, fine to coarse, and last the logits; arguments as in `forward`."""
        share = degree.view(-1, 1).to(image.dtype)
        style = share * F.one_hot(style_index, self.num_styles)
        wanted = self.condition(torch.cat([style, 1 - share], dim=1))[:, :, None, None]
        fine = layers_of(self.fine, image)
        both = torch.cat([fine[-1] + wanted.to(fine[-1].dtype), photo.to(fine[-1].dtype)], dim=1)
        return [*fine, *layers_of(self.coarse, both)]


class StrokeDiscriminator(nn.Sequential):
    """Judges each patch of 22 px of a painting, whatever it shows: two strided layers and two more (pix2pix with
    `n_layers` of 2: Isola et al., 2017), as narrow as for a few painted frames (Texler et al., 2020)."""

    def __init__(self, width: int = 12):
        act = nn.LeakyReLU(LEAK)
        layers = nn.Conv2d(3, width, 4, 2, 1), act, nn.Conv2d(width, 2 * width, 4, 2, 1), act
        super().__init__(*layers, nn.Conv2d(2 * width, 4 * width, 3, 1, 1), act, nn.Conv2d(4 * width, 1, 3, 1, 1))
        for layer in list(self)[:-1]:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=LEAK)

    def activations(self, image: Tensor) -> list[Tensor]:
        """What each layer says about `image [B, 3, S, S]`, RGB in [-1, 1]; last the logits `[B, 1, S/4, S/4]`."""
        return layers_of(self, image)


def layers_of(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    """What comes out of each activation of `layers`, and out of the last layer."""
    found = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU) or layer is layers[-1]:
            found.append(x)
    return found
