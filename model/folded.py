"""A VToonify with style and degree built in: what is the same for every frame is computed once, not once a frame.
Modulation (StyleGAN2, eq. 1-3), equalised weights, the gain of the leaky ReLUs and the conditions of the adaptive norms
become weights of plain convolutions. What is left depends on the frame alone: it can be compiled and exported."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.dualstylegan import NORM_EPS, AdaptiveInstanceNorm, ModRes, instance_norm
from model.ops import LEAK
from model.stylegan2 import FeatureAndSkip, ModulatedConv2d, StyledConv, ToRGB
from model.vtoonify import VToonify

GAIN = math.sqrt(2)  # StyleGAN2 multiplies the output of leaky ReLUs by this; the weights before can be instead
STRIP_HEIGHT = 64  # pixels of the input, where a picture is rendered in strips
HALO = 8  # feature pixels above and below a strip; two levels and sub-pixel convolutions see less than four


def frozen_copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(False)


def plain_conv(weight: Tensor, bias: Tensor, dilation: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size and owns copies of `weight [out, in, k, k]` and `bias [out]`."""
    out_channels, in_channels, kernel, _ = weight.shape
    with torch.device("meta"):  # without random values that would be thrown away
        conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2 * dilation, dilation=dilation)
    conv.load_state_dict({"weight": weight.clone(), "bias": bias.clone()}, assign=True)
    return conv.requires_grad_(False)


def activated(weight: Tensor, bias: Tensor, dilation: int = 1) -> nn.Sequential:
    """Convolution and leaky ReLU, as StyleGAN2 has them."""
    return nn.Sequential(plain_conv(weight * GAIN, bias * GAIN, dilation), nn.LeakyReLU(LEAK, inplace=True))


def modulated(conv: ModulatedConv2d, w: Tensor) -> Tensor:
    """Weights `[out, in, k, k]` of a modulated convolution under the code `w [1, D]` (StyleGAN2, eq. 1-3)."""
    weight = conv.weight[0] * conv.scale * conv.modulation(w)[0][:, None, None]
    if conv.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    return weight


def upsampling_weight(weight: Tensor, blur: Tensor) -> Tensor:
    """Weights `[4·out, in, 3, 3]` that give the four pixels of each output square, in the order of `pixel_shuffle`.
    Upsampling is a transposed convolution with `weight [out, in, 3, 3]` and stride 2, then the filter `blur [4, 4]`:
    together a transposed convolution with 6×6 weights, of which each output pixel meets every second one."""
    out_channels, in_channels = weight.shape[:2]
    wide = F.conv2d(weight.reshape(-1, 1, 3, 3), blur[None, None].to(weight).flip(2, 3), padding=3)
    wide = wide.reshape(out_channels, in_channels, 6, 6)
    # Output pixel 2i + a gathers the inputs i - 1, i, i + 1 with the weights 4 + a, 2 + a, a of its axis.
    phases = [wide[:, :, a::2, b::2].flip(2, 3) for a in (0, 1) for b in (0, 1)]
    return torch.stack(phases, dim=1).reshape(4 * out_channels, in_channels, 3, 3)


class FixedNorm(nn.Module):
    """Adaptive instance norm for one style: gain and bias `[1, C, 1, 1]` are fixed, mean and variance the frame's."""

    def __init__(self, norm: AdaptiveInstanceNorm, style: Tensor):
        super().__init__()
        gain, bias = norm.style(style)[:, :, None, None].chunk(2, dim=1)
        self.register_buffer("gain", gain.clone())
        self.register_buffer("bias", bias.clone())

    def _apply(self, fn, recurse=True):  # both stay float32, whatever dtype the network is converted to
        return super()._apply(lambda value: fn(value).float(), recurse)

    def forward(self, x: Tensor, _style: Any) -> Tensor:
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            # Many times faster there: batch norm of a batch of one is instance norm.
            gain, bias = self.gain.flatten(), self.bias.flatten()
            normed = [torch.batch_norm(one, gain, bias, None, None, True, 0.0, NORM_EPS, False) for one in x.split(1)]
            return normed[0] if len(normed) == 1 else torch.cat(normed)
        return instance_norm(x, self.gain, self.bias)


def fold_block(block: ModRes, style: Tensor) -> ModRes:
    """ModRes for one style `[1, D]`; the degree stays an argument."""
    folded = frozen_copy(block)
    folded.norm, folded.norm2 = FixedNorm(block.norm, style), FixedNorm(block.norm2, style)
    pairs = block.conv, block.conv2
    folded.conv, folded.conv2 = (activated(c.weight * c.scale, act.bias, c.dilation) for c, act in pairs)
    return folded


def fold_level(up: StyledConv, styled: StyledConv, to_rgb: ToRGB, w: Tensor) -> nn.ModuleList:
    """One doubling of the resolution under three w+ layers `[1, 3, D]`, as `FoldedVToonify._level` calls its parts."""
    weight = upsampling_weight(modulated(up.conv, w[:, 0]), up.conv.blur.kernel)
    doubled = nn.Sequential(activated(weight, up.activate.bias.repeat_interleave(4)), nn.PixelShuffle(2))
    conv = activated(modulated(styled.conv, w[:, 1]), styled.activate.bias)
    rgb = plain_conv(modulated(to_rgb.conv, w[:, 2]), to_rgb.bias.flatten())
    return nn.ModuleList([doubled, conv, rgb, frozen_copy(to_rgb.upsample)])


class FoldedVToonify(VToonify):
    """The pictures of `network` (within 1e-4) in one style, at one degree, faster: its layers ignore the code.
    network: stays as it is, and shares nothing with the result; w_plus: `[1, w_layers, D]` style code in w+; degree: in
    [0, 1], variant D only. Raises ValueError for several codes at once, and in variant D without a degree."""

    degree = None

    @torch.no_grad()
    def __init__(self, network: VToonify, w_plus: Tensor, degree: float | None = None):
        nn.Module.__init__(self)  # not VToonify's, which builds layers
        if len(w_plus) != 1:
            raise ValueError(f"one style code is folded at a time, got {len(w_plus)}")
        styles, w_plus, _ = network._code(w_plus, degree)
        self.config, self.has_degree, generator = network.config, network.has_degree, network.config.generator
        used = slice(self.config.fusions)
        parts = network.encoder, network.subpixel, network.fusion_out[used], network.fusion_skip[used]
        self.encoder, self.subpixel, self.fusion_out, self.fusion_skip = map(frozen_copy, parts)
        stylegan = network.stylegan
        self.levels = nn.ModuleList(
            fold_level(*stylegan.convs[2 * k : 2 * k + 2], stylegan.to_rgbs[k], w_plus[:, 2 * k + 1 : 2 * k + 4])
            for k in range(generator.structure_levels, generator.levels)
        )
        if self.has_degree:
            blocks = [fold_block(*pair) for pair in zip(network.res[1:], styles[1:], strict=True)]
            self.res = nn.ModuleList([nn.Identity(), *blocks])
            self._set_degree(network, degree)

    def _set_degree(self, network: VToonify, degree: float) -> None:
        self.degree, number = degree, next(network.parameters()).new_full((1, 1), degree)
        for own, fusion in zip(self.fusion_out[: self.config.decoder_levels], network.fusion_out, strict=False):
            own.norm, own.linear = FixedNorm(fusion.norm, fusion.linear(number)), nn.Identity()

    @torch.no_grad()
    def at_degree(self, network: VToonify, degree: float) -> "FoldedVToonify":
        """The same style of `network`, which was folded, at another degree; only the masks' norms are computed anew."""
        other = copy.deepcopy(self, {id(weight): weight for weight in self.parameters()})
        other._set_degree(network, degree)
        return other

    def _code(self, *_: Any) -> tuple[list[None], None, float | None]:
        return [None] * (1 + len(self.config.dilations)), None, self.degree

    def _level(self, k: int, x: Tensor, skip: Tensor, _w_plus: None) -> FeatureAndSkip:
        double, conv, to_rgb, upsample = self.levels[k]
        x = conv(double(x))
        return x, to_rgb(x) + upsample(skip)

    def forward(self, x: Tensor) -> Tensor:
        """Frames `[B, 3 + parsing_channels, H, W]` → pictures `[B, 3, 4H, 4W]`, as VToonify.forward has them."""
        return super().forward(x, None)

    def in_strips(self, x: Tensor, height: int = STRIP_HEIGHT) -> Iterator[Tensor]:
        """The pictures of `forward` from top to bottom, `height` input pixels at a time: `[B, 3, 4·height, 4W]` each.
        Encoder and fusions, whose norms are over all pixels, see the whole frame. The rest, which needs most of the
        memory, looks `HALO` beyond each strip, farther than its receptive field: the strips fit without a seam."""
        whole = x.shape[2]
        x, skip, _ = self._fuse_levels(self.encode(x), None, self.degree)
        height = max(height * x.shape[2] // whole, 1)
        for top in range(0, x.shape[2], height):
            first, last = max(top - HALO, 0), min(top + height + HALO, x.shape[2])
            strip = self._finish(x[:, :, first:last], skip[:, :, first:last], None)
            scale = strip.shape[2] // (last - first)
            yield strip[:, :, (top - first) * scale : (top - first + height) * scale]
