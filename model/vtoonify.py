"""VToonify (Yang et al., SIGGRAPH Asia 2022): an encoder takes the place of StyleGAN's low-resolution half.

    x [B, 3+19, H, W] ── encoder ──► feature, skip at H/8 ──► decoder level 0..4 ──► y [B, 3, 4H, 4W]
                            └ features at H/8, H/4, H/2, H ──► fused into levels 0..3

Two variants share the class: `toonify` (T, one collection style) and `dualstylegan` (D, exemplar style and degree)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.common.sizes import INPUT_MULTIPLE
from model.config import FEATURES, VToonifyConfig
from model.dualstylegan import AdaptiveInstanceNorm, DualStyleGAN, ModRes
from model.ops import LEAK
from model.stylegan2 import FeatureAndSkip, Generator

Degree = float | Tensor | None  # a number or `[B]`, in [0, 1]; None in variant T

DEGREE_DIM = 128  # length of the vector that a style degree is mapped to inside a fusion module
PASS_THROUGH_SCALE = 0.01  # what is left of random fusion weights when training begins


class Encoded(NamedTuple):
    """What the encoder hands to the decoder."""

    features: list[Tensor]  # of the content, coarse to fine: `[B, C, H/8, W/8]`, H/4, H/2, H
    feature: Tensor  # input of decoder level 0, `[B, C, H/8, W/8]`
    skip: Tensor  # first skip image, `[B, 3, H/8, W/8]`


class ResBlock(nn.Module):
    """`(x + f(x)) / √2` with two activated 3×3 convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return (x + F.leaky_relu(self.conv2(F.leaky_relu(self.conv(x), LEAK)), LEAK)) / math.sqrt(2)


class PlainFusion(nn.Conv2d):
    """Fusion of variant T: one convolution of both features."""

    def forward(self, f_g: Tensor, f_e: Tensor, _degree: None) -> tuple[Tensor, Tensor]:
        """Fuse `f_g` and `f_e`, `[B, C, H, W]` each; returns the feature, and `f_e`, all of which is let through."""
        return super().forward(torch.cat([f_g, f_e], dim=1)), f_e


class MaskedFusion(nn.Module):
    """Fusion of variant D: a mask, predicted from both features and the degree, gates the content feature."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.norm = AdaptiveInstanceNorm(2 * channels, DEGREE_DIM)
        self.conv2 = nn.Conv2d(2 * channels, 1, 3, padding=1)
        half, act = DEGREE_DIM // 2, nn.LeakyReLU(LEAK)
        self.linear = nn.Sequential(nn.Linear(1, half), act, nn.Linear(half, DEGREE_DIM), act)

    def forward(self, f_g: Tensor, f_e: Tensor, degree: Tensor | None) -> tuple[Tensor, ...]:
        """Fuse `f_g` and `f_e`, `[B, C, H, W]` each, at `degree [B or 1, 1]`; None: without a mask. Returns the
        feature, what is let through of `f_e`, and the mask `[B, 1, H, W]`, if there is one."""
        if degree is None:
            return self.conv(torch.cat([f_g, f_e], dim=1)), f_e
        both = self.norm(torch.cat([f_g, (f_g - f_e).abs()], dim=1), self.linear(degree))
        mask = F.relu(self.conv2(both)).tanh()
        return self.conv(torch.cat([f_g, mask * f_e], dim=1)), mask * f_e, mask


def conv_pair(in_channels: int, middle: int, out_channels: int, stride: int) -> nn.Sequential:
    """Two activated 3×3 convolutions, the first one with `stride`."""
    first, second = nn.Conv2d(in_channels, middle, 3, stride, 1), nn.Conv2d(middle, out_channels, 3, 1, 1)
    return nn.Sequential(first, nn.LeakyReLU(LEAK), second, nn.LeakyReLU(LEAK))


def build_encoder(config: VToonifyConfig) -> nn.ModuleList:
    """Four stages from full to 1/8 size, the residual blocks, and the convolution that makes the skip image."""
    widths = [config.generator.channels[config.in_size >> i] for i in range(FEATURES)]
    stages = [conv_pair(3 + config.parsing_channels, config.stem_channels, widths[0], stride=1)]
    stages += [conv_pair(a, b, b, stride=2) for a, b in zip(widths, widths[1:], strict=False)]
    blocks = nn.ModuleList(ResBlock(widths[-1]) for _ in config.dilations)
    return nn.ModuleList([*stages, blocks, nn.Conv2d(widths[-1], 3, 1)])


def enlarge(skip: Tensor, factor: int) -> Tensor:
    """`[B, 3, H, W]` to `[B, 3, factor·H, factor·W]`, factor a power of two, by StyleGAN2's filter, without dark edges:
    bilinear doubling repeats the picture beyond the border."""
    for _ in range(int(math.log2(factor))):
        skip = F.interpolate(skip, scale_factor=2, mode="bilinear", align_corners=False)
    return skip


class VToonify(nn.Module):
    """Encoder, fusion and the high-resolution half of a generator. Parameter names are those of the published files."""

    checkpointing = False  # True saves memory in training: activations are computed again in the backward pass

    def __init__(self, config: VToonifyConfig | None = None):
        super().__init__()
        self.config = config = config or VToonifyConfig()
        gen = config.generator
        self.has_degree = config.backbone == "dualstylegan"
        self.generator = DualStyleGAN(gen) if self.has_degree else Generator(gen)
        self.encoder = build_encoder(config)
        widths = [gen.channels[gen.structure_size << k] for k in range(FEATURES)]
        fuse = MaskedFusion if self.has_degree else (lambda c: PlainFusion(2 * c, c, 3, padding=1))
        self.fusion_out = nn.ModuleList(fuse(width) for width in widths)
        self.fusion_skip = nn.ModuleList(nn.Conv2d(3 + width, 3, 3, padding=1) for width in widths)
        if self.has_degree:
            # Block 0 answers to the 4 px layer, which the encoder replaces; the published files keep it, unused.
            unused = ModRes(widths[0], gen.style_dim) if gen.first_level == 0 else nn.Identity()
            blocks = [ModRes(widths[0], gen.style_dim, dilation) for dilation in config.dilations]
            self.res = nn.ModuleList([unused, *blocks])
        self.subpixel = nn.Identity()
        if config.subpixel > 1:
            width = gen.channels[gen.size]
            wide, last = nn.Conv2d(width, 2 * width, 3, 1, 1), nn.Conv2d(2 * width, 3 * config.subpixel**2, 3, 1, 1)
            self.subpixel = nn.Sequential(wide, nn.LeakyReLU(LEAK, inplace=True), last)

    def start_as_pass_through(self) -> None:
        """Make fusion begin as nearly the identity on the decoder's own feature and skip image (VToonify, Sec. 4.3)."""
        for module in [*self.fusion_out, *self.fusion_skip]:
            weight = (module.conv if isinstance(module, MaskedFusion) else module).weight.data
            weight.mul_(PASS_THROUGH_SCALE)
            own = torch.arange(len(weight))
            weight[own, own, 1, 1] += 1.0

    def keep_what_renders(self) -> None:
        """Drop the weights that rendering does not read, two fifths of the published network: the generator's low
        levels, which the encoder replaces, and unused fusions. The network can't be trained or saved any more."""
        generator, stylegan = self.config.generator, self.stylegan
        for name in ("input", "conv1", "to_rgb1", "noises"):
            stylegan._modules.pop(name, None)
        replaced = [(stylegan.convs, 2 * generator.structure_levels), (stylegan.to_rgbs, generator.structure_levels)]
        if self.has_degree:
            replaced += [(self.generator.res, generator.structure_layers), (self.res, 1)]
        for modules, count in replaced:
            for number in range(count):  # their numbers are the names of those that stay
                modules[number] = nn.Identity()
        del self.fusion_out[self.config.fusions :], self.fusion_skip[self.config.fusions :]

    @property
    def stylegan(self) -> Generator:
        """The StyleGAN2 generator inside the backbone."""
        return self.generator.generator if self.has_degree else self.generator

    def zplus_to_wplus(self, z_plus: Tensor) -> Tensor:
        """Map each layer of `z_plus [B, w_layers, D]` through StyleGAN's mapping network."""
        return self.stylegan.mapping(z_plus)

    def _code(self, w_plus: Tensor | None, degree: Degree) -> tuple[Sequence[Tensor], Tensor | None, Tensor | None]:
        """The styles of the ModRes blocks, the code of the decoder, and the degree `[B or 1, 1]`."""
        if not self.has_degree:
            return (), w_plus, None
        if degree is None:
            raise ValueError("variant D needs a style degree")
        degree = torch.as_tensor(degree, dtype=w_plus.dtype, device=w_plus.device).view(-1, 1)
        styles = self.generator.style(w_plus[:, : len(self.res)]).unbind(1)
        return styles, self.generator.transform_colour(w_plus), degree

    def encode(self, x: Tensor, w_plus: Tensor | None = None, degree: Degree = None) -> Encoded:
        """Run the encoder; arguments as in `forward` (variant T needs `x` only)."""
        if x.shape[-2] % INPUT_MULTIPLE or x.shape[-1] % INPUT_MULTIPLE:
            raise ValueError(f"input sides must be multiples of {INPUT_MULTIPLE}, got {tuple(x.shape[-2:])}")
        features, (*stages, blocks, to_skip) = [], self.encoder
        for stage in stages:
            x = self._call(stage, x)
            features.append(x)
        styles, _, degree = self._code(w_plus, degree)
        for i, block in enumerate(blocks, 1):
            x = self._call(block, x)
            if self.has_degree:
                x = self._call(self.res[i], x, styles[i], degree)
        return Encoded(features[::-1], x, to_skip(x))

    def decode(self, encoded: Encoded, w_plus: Tensor, degree: Degree = None) -> tuple[Tensor, list[Tensor]]:
        """Render `encoded` as `[B, 3, 4H, 4W]`, with the masks `[B, 1, h, w]` of the fusions (none in T)."""
        _, w_plus, degree = self._code(w_plus, degree)
        x, skip, masks = self._fuse_levels(encoded, w_plus, degree)
        return self._finish(x, skip, w_plus), masks

    def _fuse_levels(self, encoded: Encoded, w_plus: Tensor, degree: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Feature and skip image after the last fusion, which is at the input's resolution in most models; masks."""
        masks, x, skip = [], encoded.feature, encoded.skip
        for k in range(self.config.fusions):
            if k:
                x, skip = self._call(self._level, k - 1, x, skip, w_plus)
            x, skip, *mask = self._call(self._fuse, k, x, skip, encoded.features[k], degree)
            masks += mask
        return x, skip, masks

    def _fuse(self, k: int, x: Tensor, skip: Tensor, content: Tensor, degree: Tensor | None) -> tuple[Tensor, ...]:
        """Join the encoder's feature `content` into `x` and `skip` of level k; in variant D the mask comes along."""
        # Before sub-pixel convolutions there is none: it would close before the finest detail is of use.
        x, content, *mask = self.fusion_out[k](x, content, degree if k < self.config.decoder_levels else None)
        return x, self.fusion_skip[k](torch.cat([skip, content], dim=1)), *mask

    def _level(self, k: int, x: Tensor, skip: Tensor, w_plus: Tensor) -> FeatureAndSkip:
        """Level k of the decoder, which doubles the resolution."""
        k += self.config.generator.structure_levels
        return self.stylegan.level(k, x, skip, w_plus[:, 2 * k + 1 : 2 * k + 4], "none")

    def _finish(self, x: Tensor, skip: Tensor, w_plus: Tensor) -> Tensor:
        """The levels after the last fusion, and sub-pixel convolutions (Shi et al., 2016) on an enlarged skip image."""
        for k in range(self.config.fusions - 1, self.config.decoder_levels):
            x, skip = self._call(self._level, k, x, skip, w_plus)
        factor = self.config.subpixel
        return skip if factor == 1 else enlarge(skip, factor) + F.pixel_shuffle(self.subpixel(x), factor)

    def _call(self, function: Callable, *inputs: Any) -> Any:
        """`function(*inputs)`; where `checkpointing` is on, without keeping its activations."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)

    def forward_with_masks(self, x: Tensor, w_plus: Tensor, degree: Degree = None) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the fusion masks `[B, 1, h, w]` from H/8 to H (none in variant T)."""
        return self.decode(self.encode(x, w_plus, degree), w_plus, degree)

    def forward(self, x: Tensor, w_plus: Tensor, degree: Degree = None) -> Tensor:
        """Stylise frames: returns `[B, 3, 4H, 4W]`, RGB around [-1, 1], not clamped.
        x: `[B, 3 + parsing_channels, H, W]`: RGB in [-1, 1], then parsing logits / 16; H, W multiples of 8.
        w_plus: `[B or 1, w_layers, D]` style code in w+; degree: in [0, 1], a number or `[B]`, variant D only."""
        return self.forward_with_masks(x, w_plus, degree)[0]
