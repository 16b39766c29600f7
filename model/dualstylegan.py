"""DualStyleGAN (Yang et al., CVPR 2022): StyleGAN2 with an extrinsic style path.

Up to 32 px, ModRes blocks add a residual that an exemplar styles (structure); above, the exemplar's rows are
transformed and mixed with the intrinsic ones (colour). `interp_weights` holds one weight a row, 0 = photo,
1 = exemplar.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.ops import BiasedLeakyReLU
from model.stylegan2 import EqualConv2d, EqualLinear, Generator, GeneratorConfig, Noise, PixelNorm

RESIDUAL_INIT = 0.01
"""ModRes blocks begin as nearly nothing, so that training starts from the plain generator. It is the second convolution
that is scaled: what the first one makes is normalised again."""


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm whose gain and bias are linear in a style (Huang & Belongie, 2017)."""

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.style = nn.Linear(style_dim, 2 * channels)
        nn.init.constant_(self.style.bias[:channels], 1.0)
        nn.init.zeros_(self.style.bias[channels:])

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Normalise `x [B, C, H, W]` over its pixels and restyle it with `style [B or 1, style_dim]`."""
        gain, bias = self.style(style)[:, :, None, None].chunk(2, dim=1)
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), keepdim=True, unbiased=False)
        gain = gain * torch.rsqrt(variance + 1e-5)
        return x * gain.to(x.dtype) + (bias - mean * gain).to(x.dtype)


class ModRes(nn.Module):
    """Modulative residual block: two convolutions with adaptive instance norm, added in proportion to the degree."""

    def __init__(self, channels: int, style_dim: int, dilation: int = 1):
        super().__init__()
        self.conv = self._layer(channels, dilation)
        self.conv2 = self._layer(channels, dilation)
        self.norm = AdaptiveInstanceNorm(channels, style_dim)
        self.norm2 = AdaptiveInstanceNorm(channels, style_dim)
        self.conv2[0].weight.data.mul_(RESIDUAL_INIT)

    @staticmethod
    def _layer(channels: int, dilation: int) -> nn.Sequential:
        conv = EqualConv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        return nn.Sequential(conv, BiasedLeakyReLU(channels))

    def forward(self, x: Tensor, style: Tensor, weight: Tensor | float) -> Tensor:
        """Add the residual to `x [B, C, H, W]`; `style [B or 1, style_dim]`, `weight` a number or `[B]`."""
        y = self.conv(self.norm(x, style))
        y = self.conv2(self.norm2(y, style))
        if isinstance(weight, Tensor):
            weight = weight.view(-1, 1, 1, 1).to(y.dtype)
        return x + y * weight


class DualStyleGAN(nn.Module):
    """Generator with the extrinsic path. Parameter names and shapes are those of the published files."""

    def __init__(self, config: GeneratorConfig | None = None):
        super().__init__()
        config = config or GeneratorConfig()
        dim = config.style_dim
        self.style = nn.Sequential(
            PixelNorm(), *[EqualLinear(dim, dim, lr_mul=0.01, activate=True) for _ in range(2)]
        )
        self.generator = Generator(config)
        # Each structure convolution has a block: one at 4 px, two at every level. Level k reaches 8·2^k px.
        levels = [-1, *(k for k in range(config.structure_levels) for _ in range(2))]
        blocks = [
            ModRes(config.channels[8 << level if level >= 0 else 4], dim)
            if config.first_level == 0 or level >= config.first_level
            else nn.Identity()
            for level in levels
        ]
        colours = [EqualLinear(dim, dim) for _ in range(config.rows - config.structure_rows)]
        self.res = nn.ModuleList(blocks + colours)

    @property
    def config(self) -> GeneratorConfig:
        return self.generator.config

    def colour_rows(self, w_plus: Tensor) -> Tensor:
        """Transform rows 7.. of `w_plus [B, rows, D]` by their linear layers; rows 0-6 are returned as they are."""
        first = self.config.structure_rows
        fine = [self.res[i](w_plus[:, i]) for i in range(first, self.config.rows)]
        return torch.cat([w_plus[:, :first], torch.stack(fine, dim=1)], dim=1)

    def mix_rows(self, w_plus: Tensor, exemplar: Tensor, weights: Tensor) -> Tensor:
        """Mix the exemplar's transformed rows 7.. into those of `w_plus`, `weights` being `[1 or B, rows]`."""
        weights = weights[:, :, None].clone()
        weights[:, : self.config.structure_rows] = 0
        return weights * self.colour_rows(exemplar) + (1 - weights) * w_plus

    def features_at(
        self,
        w_plus: Tensor,
        exemplar: Tensor | None,
        interp_weights: Sequence[float] | Tensor,
        size: int,
        noise: Noise = "none",
    ) -> tuple[Tensor, Tensor]:
        """Feature `[B, C, size, size]` and skip image `[B, 3, size, size]` after the level that reaches `size` px.

        Args:
            w_plus: intrinsic code `[B, rows, D]`.
            exemplar: extrinsic code `[B, rows, D]` in w+, or None for the plain generator.
            interp_weights: one weight a row, `[rows]` or `[B, rows]`.
        """
        if exemplar is None:
            return self.generator.features_at(w_plus, size, noise)
        weights = torch.as_tensor(interp_weights, dtype=w_plus.dtype, device=w_plus.device)
        weights = weights.view(-1, self.config.rows)
        rows = self.mix_rows(w_plus, exemplar, weights)
        styles = self.style(exemplar[:, : self.config.structure_rows])
        generator = self.generator
        x = self.res[0](generator.start(rows, noise), styles[:, 0], weights[:, 0])
        skip = generator.to_rgb1(x, rows[:, 1])
        for k in range(int(math.log2(size)) - 2):
            for layer in (2 * k, 2 * k + 1):
                x = generator.convs[layer](x, rows[:, layer + 1], generator.layer_noise(layer + 1, x, noise))
                if layer + 1 < self.config.structure_rows:
                    x = self.res[layer + 1](x, styles[:, layer + 1], weights[:, layer + 1])
            skip = generator.to_rgbs[k](x, rows[:, 2 * k + 3], skip)
        return x, skip

    def forward(
        self,
        w_plus: Tensor,
        exemplar: Tensor | None,
        interp_weights: Sequence[float] | Tensor = (1.0,) * 18,
        noise: Noise = "none",
    ) -> Tensor:
        """Render pictures `[B, 3, size, size]`, RGB around [-1, 1]; arguments as in `features_at`."""
        return self.features_at(w_plus, exemplar, interp_weights, self.config.size, noise)[1]
