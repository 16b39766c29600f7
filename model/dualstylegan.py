"""DualStyleGAN (Yang et al., CVPR 2022): StyleGAN2 with an extrinsic style path. Up to 32 px, ModRes blocks add a
residual that an exemplar styles (structure); above, the exemplar's w+ layers are transformed and mixed with the
intrinsic ones (colour). `interp_weights`: one a w+ layer, 0 = photo, 1 = exemplar."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.config import GeneratorConfig
from model.ops import BiasedLeakyReLU
from model.stylegan2 import EqualConv2d, EqualLinear, FeatureAndSkip, Generator, Noise, mapping_network

Weights = Sequence[float] | Tensor
RESIDUAL_INIT = 0.01  # ModRes blocks begin as nearly nothing, so that training starts from the plain generator
NORM_EPS = 1e-5  # added to the variance in instance norms


def instance_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Normalise `x [B, C, H, W]` over its pixels; `gain` and `bias [B or 1, C, 1, 1]` are float32."""
    variance, mean = torch.var_mean(x.float(), dim=(2, 3), keepdim=True, unbiased=False)
    gain = gain * torch.rsqrt(variance + NORM_EPS)
    return x * gain.to(x.dtype) + (bias - mean * gain).to(x.dtype)


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm whose gain and bias are linear in a style (Huang & Belongie, 2017)."""

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.style = nn.Linear(style_dim, 2 * channels)
        nn.init.constant_(self.style.bias[:channels], 1.0)
        nn.init.zeros_(self.style.bias[channels:])

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Normalise `x [B, C, H, W]` over its pixels and restyle it with `style [B or 1, style_dim]`."""
        return instance_norm(x, *self.style(style)[:, :, None, None].chunk(2, dim=1))


class ModRes(nn.Module):
    """Modulative residual block: two convolutions with adaptive instance norm, added in proportion to the degree."""

    def __init__(self, channels: int, style_dim: int, dilation: int = 1):
        super().__init__()
        self.conv, self.conv2 = (
            nn.Sequential(EqualConv2d(channels, channels, 3, 1, dilation, dilation), BiasedLeakyReLU(channels))
            for _ in range(2)
        )
        self.norm, self.norm2 = (AdaptiveInstanceNorm(channels, style_dim) for _ in range(2))
        self.conv2[0].weight.data.mul_(RESIDUAL_INIT)  # what the first one makes is normalised again

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
        self.style = mapping_network(dim, layers=2)
        self.generator = Generator(config)
        # Each structure convolution has a block: one at 4 px, two at every level, of which level k reaches 8·2^k px.
        self.res = nn.ModuleList()
        for layer in range(config.structure_layers):
            level = (layer - 1) // 2
            is_built = config.first_level == 0 or level >= config.first_level
            self.res.append(ModRes(config.channels[4 << (level + 1)], dim) if is_built else nn.Identity())
        self.res.extend(EqualLinear(dim, dim) for _ in range(config.structure_layers, config.w_layers))

    @property
    def config(self) -> GeneratorConfig:
        return self.generator.config

    def transform_colour(self, w_plus: Tensor) -> Tensor:
        """Transform the colour layers (7 and up) of `w_plus [B, w_layers, D]`; those of structure stay as they are."""
        first = self.config.structure_layers
        colours = [self.res[i](w_plus[:, i]) for i in range(first, self.config.w_layers)]
        return torch.cat([w_plus[:, :first], torch.stack(colours, dim=1)], dim=1)

    def features_at(self, w_plus, exemplar, interp_weights: Weights, size: int, noise="none") -> FeatureAndSkip:
        """Feature and skip image, `size` pixels a side.
        w_plus: intrinsic code `[B, w_layers, D]`; exemplar: extrinsic code `[B, w_layers, D]` in w+, or None for the
        plain generator; interp_weights: `[w_layers]` or `[B, w_layers]`."""
        if exemplar is None:
            return self.generator.features_at(w_plus, size, noise)
        structure = self.config.structure_layers
        weights = torch.as_tensor(interp_weights).to(w_plus).view(-1, self.config.w_layers)
        styles = self.style(exemplar[:, :structure])
        # The exemplar's colour layers are mixed in; of the layers of structure none.
        colour = torch.cat([torch.zeros_like(weights[:, :structure]), weights[:, structure:]], dim=1)[:, :, None]
        w_plus = colour * self.transform_colour(exemplar) + (1 - colour) * w_plus

        def restyle(layer: int, x: Tensor) -> Tensor:
            return self.res[layer](x, styles[:, layer], weights[:, layer]) if layer < structure else x

        return self.generator.features_at(w_plus, size, noise, restyle)

    def forward(self, w_plus, exemplar, interp_weights: Weights = (1.0,) * 18, noise: Noise = "none") -> Tensor:
        """Render pictures `[B, 3, size, size]`, RGB around [-1, 1]; arguments as in `features_at`."""
        return self.features_at(w_plus, exemplar, interp_weights, self.config.size, noise)[1]
