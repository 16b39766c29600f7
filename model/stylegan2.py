"""StyleGAN2 generator (Karras et al., CVPR 2020), in plain PyTorch. `w_plus` is `[B, w_layers, style_dim]`. `conv1`
takes layer 0 of it, `to_rgb1` layer 1, level k (which doubles the resolution) layers 1+2k and 2+2k for its two
convolutions and 3+2k for its picture: neighbouring levels share one."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import GeneratorConfig
from model.ops import BiasedLeakyReLU, FixedFilter, scaled_leaky_relu

# How noise enters: not at all, from the buffers of the file, drawn anew, or as given: `[1 or B, 1, H, W]` a layer.
Noise = Literal["none", "fixed", "random"] | Sequence[Tensor]
# What follows each convolution, if anything: takes its number and its output, returns what goes on, of the same shape.
Block = Callable[[int, Tensor], Tensor] | None
FeatureAndSkip = tuple[Tensor, Tensor]  # `[B, C, H, W]`, and the picture so far, `[B, 3, H, W]`
MAPPING_LEARNING_RATE = 0.01  # learning-rate multiplier of the mapping network


class PixelNorm(nn.Module):
    """Scale each vector `[..., D]` to unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: weights are stored with unit variance and scaled at run time."""

    def __init__(self, in_dim: int, out_dim: int, bias_init: float = 0.0, lr_mul: float = 1.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_dim,), float(bias_init)))
        self.scale, self.lr_mul, self.activate = lr_mul / math.sqrt(in_dim), lr_mul, activate

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
        return scaled_leaky_relu(y) if self.activate else y


class EqualConv2d(nn.Module):
    """Convolution without bias, with equalised learning rate."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride=1, padding=0, dilation=1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.scale = 1 / math.sqrt(in_channels * kernel**2)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, None, self.stride, self.padding, self.dilation)


class ModulatedConv2d(nn.Module):
    """Convolution whose weights are scaled by a style, per input channel, then normalised (StyleGAN2, eq. 1-3). Input
    and output are scaled in their place: the same sum, in which one convolution serves a batch of styles."""

    def __init__(self, in_channels, out_channels, kernel, style_dim, demodulate=True, upsample=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1)
        self.scale = 1 / math.sqrt(in_channels * kernel**2)
        self.padding, self.demodulate, self.upsample = kernel // 2, demodulate, upsample
        if upsample:
            self.blur = FixedFilter(pad=(1, 1), gain=4.0)  # zero insertion divides the mean by 4

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map `x [B, in, H, W]` under `w [B or 1, style_dim]` to `[B, out, H, W]`, twice as large when upsampling."""
        style = self.modulation(w)
        weight = self.weight[0] * self.scale
        x = x * style[:, :, None, None].to(x.dtype)
        if self.upsample:
            y = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        else:
            y = F.conv2d(x, weight, padding=self.padding)
        if self.demodulate:
            norm = style.square() @ weight.square().sum((2, 3)).t()
            y = y * torch.rsqrt(norm + 1e-8)[:, :, None, None].to(y.dtype)
        return y


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, noise `[1 or B, 1, H, W]` times one learned number, bias and leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, style_dim: int, upsample: bool = False):
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, style_dim, upsample=upsample)
        self.noise = nn.ParameterDict({"weight": torch.zeros(1)})
        self.activate = BiasedLeakyReLU(out_channels)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        x = self.conv(x, w)
        if noise is not None:
            x = x + self.noise["weight"] * noise
        return self.activate(x)


class ToRGB(nn.Module):
    """Picture of one level: modulated 1×1 convolution without normalisation, added to the enlarged skip image."""

    def __init__(self, in_channels: int, style_dim: int, upsample: bool = True):
        super().__init__()
        if upsample:
            self.upsample = FixedFilter(up=2, pad=(2, 1), gain=4.0)
        self.conv = ModulatedConv2d(in_channels, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, w: Tensor, skip: Tensor | None = None) -> Tensor:
        rgb = self.conv(x, w) + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


def mapping_network(dim: int, layers: int) -> nn.Sequential:
    """Pixel norm followed by `layers` activated linear layers: z → w."""
    linear = [EqualLinear(dim, dim, lr_mul=MAPPING_LEARNING_RATE, activate=True) for _ in range(layers)]
    return nn.Sequential(PixelNorm(), *linear)


class Generator(nn.Module):
    """Mapping and synthesis. Parameter names and shapes are those of the published files."""

    def __init__(self, config: GeneratorConfig | None = None):
        super().__init__()
        self.config = config = config or GeneratorConfig()
        dim, widths = config.style_dim, config.channels
        self.style = mapping_network(dim, config.mapping_layers)
        if config.first_level == 0:
            self.input = nn.ParameterDict({"input": torch.randn(1, widths[4], 4, 4)})
            self.conv1 = StyledConv(widths[4], widths[4], dim)
            self.to_rgb1 = ToRGB(widths[4], dim, upsample=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for level in range(config.levels):
            size = 8 << level
            if level < config.first_level:  # Placeholders keep the numbers, hence the names, of the levels above.
                self.convs.extend([nn.Identity(), nn.Identity()])
                self.to_rgbs.append(nn.Identity())
                continue
            self.convs.append(StyledConv(widths[size // 2], widths[size], dim, upsample=True))
            self.convs.append(StyledConv(widths[size], widths[size], dim))
            self.to_rgbs.append(ToRGB(widths[size], dim))
        if config.noise_buffers:
            for layer in range(2 * config.levels + 1):
                size = 4 << ((layer + 1) // 2)
                self.noises.register_buffer(f"noise_{layer}", torch.randn(1, 1, size, size))

    def mapping(self, z: Tensor) -> Tensor:
        """Map `z [..., style_dim]` to w of the same shape."""
        return self.style(z)

    def layer_noise(self, layer: int, x: Tensor, noise: Noise) -> Tensor | None:
        """Noise for synthesis layer `layer` (0 is `conv1`, then two a level) on an input `x [B, C, H, W]`."""
        if noise == "none":
            return None
        if noise != "random":
            return getattr(self.noises, f"noise_{layer}") if noise == "fixed" else noise[layer]
        factor = 2 if layer % 2 else 1
        return x.new_empty(x.shape[0], 1, x.shape[2] * factor, x.shape[3] * factor).normal_()

    def level(self, k: int, x: Tensor, skip: Tensor, w: Tensor, noise: Noise, block: Block = None) -> FeatureAndSkip:
        """Double the resolution of `x [B, C, H, W]` and `skip [B, 3, H, W]` under `w [B or 1, 3, style_dim]`."""
        for layer in (2 * k, 2 * k + 1):
            x = self.convs[layer](x, w[:, layer % 2], self.layer_noise(layer + 1, x, noise))
            x = block(layer + 1, x) if block else x
        return x, self.to_rgbs[k](x, w[:, 2], skip)

    def features_at(self, w_plus: Tensor, size: int, noise: Noise = "none", block: Block = None) -> FeatureAndSkip:
        """Feature and skip image, `size` pixels a side, under `w_plus [B, w_layers, style_dim]`."""
        x = self.input["input"].expand(len(w_plus), -1, -1, -1)
        x = self.conv1(x, w_plus[:, 0], self.layer_noise(0, x, noise))
        x = block(0, x) if block else x
        skip = self.to_rgb1(x, w_plus[:, 1])
        for k in range(int(math.log2(size)) - 2):
            x, skip = self.level(k, x, skip, w_plus[:, 1 + 2 * k : 4 + 2 * k], noise, block)
        return x, skip

    def forward(self, w_plus: Tensor, noise: Noise = "none") -> Tensor:
        """Render `w_plus [B, w_layers, style_dim]` as pictures `[B, 3, size, size]`, RGB around [-1, 1]."""
        return self.features_at(w_plus, self.config.size, noise)[1]
