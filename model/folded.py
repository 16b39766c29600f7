"""A VToonify with style and degree built in: what is the same for every frame is computed once, not once a frame.

Modulation and demodulation (StyleGAN2, eq. 1-3), equalised learning rates, biases, the gain of the leaky ReLUs, ModRes'
degree and the conditions of the adaptive norms all become numbers in the weights of plain convolutions. Noise is gone:
VToonify renders without. What is left depends on the frame alone, so it can be compiled, captured and exported.
"""

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common.sizes import INPUT_MULTIPLE
from model.dualstylegan import AdaptiveInstanceNorm, ModRes
from model.ops import LEAK, upsample2
from model.stylegan2 import ModulatedConv2d, StyledConv, ToRGB
from model.vtoonify import MaskedFusion, VToonify, enlarge

GAIN = math.sqrt(2)
"""Of StyleGAN2's leaky ReLUs; positive, so that it may be taken into the weights before."""

NORM_EPS = 1e-5
"""Of the instance norms."""

STRIP_ROWS = 64
"""Height of a strip in input pixels, where a picture is rendered in strips."""

HALO = 8
"""Rows of the feature around a strip; two levels and sub-pixel convolutions see less than four."""


def own(module: nn.Module) -> nn.Module:
    """A copy that does not learn."""
    return copy.deepcopy(module).requires_grad_(False)


def plain_conv(weight: Tensor, bias: Tensor | None, padding: int = 0, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """An ordinary convolution that owns copies of `weight [out, in, k, k]` and `bias [out]`."""
    out_channels, in_channels, kernel, _ = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation=dilation, bias=bias is not None
        )  # fmt: skip
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return conv


def modulated(conv: ModulatedConv2d, w: Tensor) -> Tensor:
    """Weights `[out, in, k, k]` of a modulated convolution under the row `w [1, D]` (StyleGAN2, eq. 1-3)."""
    weight = conv.weight[0] * conv.scale
    style = conv.modulation(w)[0]
    folded = weight * style[:, None, None]
    if conv.demodulate:
        folded = folded * torch.rsqrt(folded.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    return folded


def upsampling_weight(weight: Tensor, blur: Tensor) -> Tensor:
    """Weights `[4·out, in, 3, 3]` that give the four pixels of each output square, in the order of `pixel_shuffle`.

    Twofold upsampling is a transposed convolution with `weight [out, in, 3, 3]` and stride 2, then the filter `blur
    [4, 4]`: together a transposed convolution with 6×6 weights, of which each output pixel meets every second one.
    """
    out_channels, in_channels = weight.shape[:2]
    wide = F.conv2d(weight.reshape(-1, 1, 3, 3), blur[None, None].to(weight).flip(2, 3), padding=3)
    wide = wide.reshape(out_channels, in_channels, 6, 6)
    # Output pixel 2i + a gathers the inputs i - 1, i, i + 1 with the weights 4 + a, 2 + a, a of its axis.
    phases = [wide[:, :, a::2, b::2].flip(2, 3) for a in (0, 1) for b in (0, 1)]
    return torch.stack(phases, dim=1).reshape(4 * out_channels, in_channels, 3, 3)


class Activated(nn.Sequential):
    """Convolution and leaky ReLU, whose `gain` is taken into the convolution."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__(conv, nn.LeakyReLU(LEAK, inplace=True))


class FixedNorm(nn.Module):
    """Adaptive instance norm for one style: gain and bias `[1, C, 1, 1]` are numbers, the statistics the frame's."""

    def __init__(self, norm: AdaptiveInstanceNorm, style: Tensor):
        super().__init__()
        gain, bias = norm.style(style)[:, :, None, None].chunk(2, dim=1)
        self.register_buffer("gain", gain.detach().clone())
        self.register_buffer("bias", bias.detach().clone())

    def _apply(self, fn, recurse=True):
        # Its few numbers stay float32, whatever the arithmetic.
        return super()._apply(lambda value: fn(value).float(), recurse)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            # Normalised alone, a frame's own statistics are those of its batch: many times faster there.
            frames = [self._normalise(frame) for frame in x.split(1)]
            return frames[0] if len(frames) == 1 else torch.cat(frames)
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), keepdim=True, unbiased=False)
        gain = self.gain * torch.rsqrt(variance + NORM_EPS)
        return x * gain.to(x.dtype) + (self.bias - mean * gain).to(x.dtype)

    def _normalise(self, frame: Tensor) -> Tensor:
        gain, bias = self.gain.flatten(), self.bias.flatten()
        return torch.batch_norm(frame, gain, bias, None, None, True, 0.0, NORM_EPS, False)


class FoldedModRes(nn.Module):
    """ModRes for one style and one degree."""

    def __init__(self, block: ModRes, style: Tensor, degree: float):
        super().__init__()
        self.degree = degree
        self.body = nn.Sequential(
            FixedNorm(block.norm, style),
            self._conv(block.conv),
            FixedNorm(block.norm2, style),
            self._conv(block.conv2),
        )

    @staticmethod
    def _conv(layer: nn.Sequential) -> Activated:
        conv, activation = layer
        weight, bias = conv.weight * conv.scale * GAIN, activation.bias * GAIN
        return Activated(plain_conv(weight, bias, conv.padding, dilation=conv.dilation))

    def at_degree(self, degree: float) -> "FoldedModRes":
        """The same block, sharing all weights."""
        other = copy.copy(self)
        other.degree = degree
        return other

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.body(x), alpha=self.degree) if self.degree else x


class FoldedFusion(nn.Module):
    """Fusion of variant D for one degree, a tensor `[1, 1]`."""

    def __init__(self, fusion: MaskedFusion, degree: Tensor):
        super().__init__()
        self.norm = FixedNorm(fusion.norm, fusion.linear(degree))
        self.mask, self.conv = own(fusion.conv2), own(fusion.conv)

    def at_degree(self, fusion: MaskedFusion, degree: Tensor) -> "FoldedFusion":
        """The same fusion, sharing its convolutions."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.norm = FixedNorm(fusion.norm, fusion.linear(degree))
        return other

    def forward(self, f_g: Tensor, f_e: Tensor) -> tuple[Tensor, Tensor]:
        """The fused feature, and what of the content is let through."""
        mask = F.relu(self.mask(self.norm(torch.cat([f_g, (f_g - f_e).abs()], dim=1)))).tanh()
        content = mask * f_e
        return self.conv(torch.cat([f_g, content], dim=1)), content


class PlainFusion(nn.Module):
    """Fusion of variant T."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = own(conv)

    def forward(self, f_g: Tensor, f_e: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(torch.cat([f_g, f_e], dim=1)), f_e


class UpsamplingConv(nn.Module):
    """Convolution that doubles the resolution: the four pixels of each square are channels first."""

    def __init__(self, layer: StyledConv, w: Tensor):
        super().__init__()
        weight = upsampling_weight(modulated(layer.conv, w), layer.conv.blur.kernel) * GAIN
        bias = (layer.activate.bias * GAIN).repeat_interleave(4)
        self.conv = Activated(plain_conv(weight, bias, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


class FoldedLevel(nn.Module):
    """One doubling of the resolution under three rows of w+ `[1, 3, D]`."""

    def __init__(self, up: StyledConv, styled: StyledConv, to_rgb: ToRGB, rows: Tensor):
        super().__init__()
        self.up = UpsamplingConv(up, rows[:, 0])
        weight = modulated(styled.conv, rows[:, 1]) * GAIN
        self.conv = Activated(plain_conv(weight, styled.activate.bias * GAIN, padding=1))
        self.to_rgb = plain_conv(modulated(to_rgb.conv, rows[:, 2]), to_rgb.bias.flatten())
        self.register_buffer("kernel", to_rgb.upsample.kernel)

    def forward(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(self.up(x))
        return x, self.to_rgb(x) + upsample2(skip, self.kernel)


class SubpixelFinish(nn.Module):
    """Sub-pixel convolutions on top of the skip image, which is enlarged as `VToonify` does it, in one convolution.

    Bilinear enlargement is linear and local: each pixel of an output square is a sum over 3×3 pixels of the input,
    whose border is repeated.
    """

    def __init__(self, layers: nn.Sequential, factor: int):
        super().__init__()
        self.layers, self.factor = own(layers), factor
        for layer in self.layers:
            if isinstance(layer, nn.LeakyReLU):
                layer.inplace = True
        impulses = torch.eye(9).reshape(9, 1, 3, 3)
        squares = enlarge(impulses, factor)[:, 0, factor:-factor, factor:-factor]  # of the pixel in the middle
        weight = torch.zeros(3, factor * factor, 3, 3, 3)
        for colour in range(3):
            weight[colour, :, colour] = squares.reshape(9, -1).T.reshape(-1, 3, 3)
        self.skip = plain_conv(weight.flatten(0, 1), None)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """`x [B, C, H, W]` and `skip [B, 3, H, W]` to pictures `[B, 3, factor·H, factor·W]`."""
        squares = self.layers(x).add_(self.skip(F.pad(skip, (1, 1, 1, 1), mode="replicate")))
        return F.pixel_shuffle(squares, self.factor)


class FoldedVToonify(nn.Module):
    """A network that stylises frames in one style, at one degree.

    Args:
        network: the VToonify to be folded; it stays as it is, and shares nothing with the result.
        w_plus: `[1, rows, D]` style code in w+.
        degree: style degree in [0, 1]; variant D only.

    Raises ValueError for several codes at once, and in variant D without a degree.
    """

    @torch.no_grad()
    def __init__(self, network: VToonify, w_plus: Tensor, degree: float | None = None):
        super().__init__()
        if len(w_plus) != 1:
            raise ValueError(f"one style code is folded at a time, got {len(w_plus)}")
        if network.has_degree and degree is None:
            raise ValueError("variant D needs a style degree")
        config, generator = network.config, network.config.generator
        *stages, blocks, to_skip = network.encoder
        self.stages, self.blocks, self.to_skip = own(nn.ModuleList(stages)), own(blocks), own(to_skip)
        self.subpixel = SubpixelFinish(network.subpixel, config.subpixel) if config.subpixel > 1 else None
        rows = network.generator.colour_rows(w_plus) if network.has_degree else w_plus
        stylegan, levels = network.stylegan, []
        for k in range(config.decoder_levels):
            level, first = generator.structure_levels + k, generator.structure_rows + 2 * k
            up, styled = stylegan.convs[2 * level : 2 * level + 2]
            levels.append(FoldedLevel(up, styled, stylegan.to_rgbs[level], rows[:, first : first + 3]))
        self.levels = nn.ModuleList(levels)
        self.fusion_skip = own(network.fusion_skip[: config.fusions])
        fusions = network.fusion_out[: config.fusions]
        if not network.has_degree:
            self.res = nn.ModuleList(nn.Identity() for _ in self.blocks)
            self.fusion_out = nn.ModuleList(map(PlainFusion, fusions))
            return
        styles = network.generator.style(w_plus[:, : len(network.res)])
        self.res = nn.ModuleList(
            FoldedModRes(block, styles[:, i], degree) for i, block in enumerate(network.res[1:], 1)
        )
        masked, open_ = fusions[: config.decoder_levels], fusions[config.decoder_levels :]
        number = w_plus.new_full((1, 1), degree)
        self.fusion_out = nn.ModuleList(FoldedFusion(fusion, number) for fusion in masked)
        self.fusion_out.extend(PlainFusion(fusion.conv) for fusion in open_)

    @torch.no_grad()
    def at_degree(self, network: VToonify, degree: float) -> "FoldedVToonify":
        """The same style at another degree, in milliseconds: all weights are shared but the norms of the masks.

        `network` is the one that was folded, of variant D.
        """
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.res = nn.ModuleList(block.at_degree(degree) for block in self.res)
        number = next(network.parameters()).new_full((1, 1), degree)
        other.fusion_out = nn.ModuleList(
            folded.at_degree(fusion, number) if isinstance(folded, FoldedFusion) else folded
            for folded, fusion in zip(self.fusion_out, network.fusion_out, strict=False)
        )
        return other

    def forward(self, x: Tensor) -> Tensor:
        """Frames `[B, 3 + parsing_channels, H, W]` → pictures `[B, 3, 4H, 4W]`, as VToonify.forward has them."""
        return self._finish(*self._look(x))

    def in_strips(self, x: Tensor, rows: int = STRIP_ROWS) -> Iterator[Tensor]:
        """The pictures of `forward` from top to bottom, `rows` input rows at a time: `[B, 3, 4·rows, 4W]` each.

        What sees the whole frame is computed once: the encoder and the fusions, whose norms are over all pixels. The
        rest, which makes large pictures and needs most of the memory, looks `HALO` rows beyond each strip, farther than
        its receptive field: the strips fit without a seam.
        """
        height = x.shape[2]
        x, skip = self._look(x)
        rows = max(rows * x.shape[2] // height, 1)
        for top in range(0, x.shape[2], rows):
            first, last = max(top - HALO, 0), min(top + rows + HALO, x.shape[2])
            strip = self._finish(x[:, :, first:last], skip[:, :, first:last])
            scale = strip.shape[2] // (last - first)
            yield strip[:, :, (top - first) * scale : (top - first + rows) * scale]

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature and skip image after the last fusion, at the resolution of the input where the model has it all."""
        if x.shape[-2] % INPUT_MULTIPLE or x.shape[-1] % INPUT_MULTIPLE:
            raise ValueError(f"input sides must be multiples of {INPUT_MULTIPLE}, got {tuple(x.shape[-2:])}")
        contents = []
        for stage in self.stages:
            x = stage(x)
            contents.append(x)
        for block, res in zip(self.blocks, self.res, strict=True):
            x = res(block(x))
        skip = self.to_skip(x)
        x, skip = self._fuse(0, x, skip, contents.pop())
        for k in range(1, len(self.fusion_out)):
            x, skip = self.levels[k - 1](x, skip)
            x, skip = self._fuse(k, x, skip, contents.pop())
        return x, skip

    def _finish(self, x: Tensor, skip: Tensor) -> Tensor:
        """The levels after the last fusion, and sub-pixel convolutions where the model has them."""
        for level in self.levels[len(self.fusion_out) - 1 :]:
            x, skip = level(x, skip)
        return skip if self.subpixel is None else self.subpixel(x, skip)

    def _fuse(self, k: int, x: Tensor, skip: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        x, content = self.fusion_out[k](x, content)
        return x, self.fusion_skip[k](torch.cat([skip, content], dim=1))
