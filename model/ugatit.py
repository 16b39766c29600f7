"""U-GAT-IT (Kim et al., ICLR 2020): translation without pairs, with attention by class activation maps (CAM) and norms
that mix instance and layer normalisation. Names are those of UGATIT-pytorch's files, of which it never released any;
the paper's TensorFlow weights are of another network (one CAM weight, biases, biased variances) and don't fit.

    x ─ DownBlock ─ CAM ─ conv1×1 ┬───────────── UpBlock1_1 … n ─ UpBlock2 ─ tanh
                                  └ FC ─ γ, β ─────┴─ AdaLIN
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from model.config import UgatitConfig
from model.ops import LEAK

MULTIPLE = 4  # of which the sides of pictures have to be
EPSILON = 1e-5
ADAPTIVE_RHO, RHO = 0.9, 0.0  # share of instance normalisation when training begins, in AdaLIN and in ILN
LOCAL_LAYERS, GLOBAL_LAYERS = 5, 7  # of the two discriminators
SMALLEST_SIDE = 96  # of pictures that the global discriminator can judge


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Reflected borders and a convolution without bias."""
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(in_channels, out_channels, kernel, stride, bias=False)]


def _mixed(x: Tensor, rho: Tensor) -> Tensor:
    """`ρ·IN(x) + (1 - ρ)·LN(x)` of `x [B, C, H, W]`; both with the unbiased variance."""
    of_instance, of_layer = (
        (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True) + EPSILON).sqrt() for axes in ((2, 3), (1, 2, 3))
    )
    return rho * of_instance + (1 - rho) * of_layer


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation (eq. 1): scale and shift `[B, C]` come from the picture."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), ADAPTIVE_RHO))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return _mixed(x, self.rho) * gamma[:, :, None, None] + beta[:, :, None, None]


class ILN(nn.Module):
    """Layer-instance normalisation with a scale and a shift of its own."""

    def __init__(self, channels: int):
        super().__init__()
        shape = 1, channels, 1, 1
        self.rho = nn.Parameter(torch.full(shape, RHO))
        self.gamma, self.beta = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return _mixed(x, self.rho) * self.gamma + self.beta


class _Residual(nn.Module):
    """`x + f(x)` with two convolutions and instance normalisation."""

    def __init__(self, channels: int):
        super().__init__()
        first, last = _conv(channels, channels, 3), _conv(channels, channels, 3)
        norms = nn.InstanceNorm2d(channels), nn.InstanceNorm2d(channels)
        self.conv_block = nn.Sequential(*first, norms[0], nn.ReLU(), *last, norms[1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class _AdaptiveResidual(nn.Module):
    """The same with AdaLIN."""

    def __init__(self, channels: int):
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, bias=False), AdaLIN(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, bias=False), AdaLIN(channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(self.pad(x)), gamma, beta))
        return x + self.norm2(self.conv2(self.pad(y)), gamma, beta)


class UgatitGenerator(nn.Module):
    """Translates pictures from one domain into the other; the light variant takes pictures of any size."""

    def __init__(self, config: UgatitConfig | None = None):
        super().__init__()
        self.config = config = config or UgatitConfig()
        width, blocks = config.width, config.blocks
        wide = 4 * width
        down = []
        for size_in, size_out, kernel, stride in ((3, width, 7, 1), (width, 2 * width, 3, 2), (2 * width, wide, 3, 2)):
            down += [*_conv(size_in, size_out, kernel, stride), nn.InstanceNorm2d(size_out), nn.ReLU()]
        self.DownBlock = nn.Sequential(*down, *(_Residual(wide) for _ in range(blocks)))
        self.gap_fc, self.gmp_fc = nn.Linear(wide, 1, bias=False), nn.Linear(wide, 1, bias=False)
        self.conv1x1 = nn.Conv2d(2 * wide, wide, 1)
        numbers = wide if config.light else wide * (config.size // MULTIPLE) ** 2
        hidden = nn.Linear(numbers, wide, bias=False), nn.ReLU(), nn.Linear(wide, wide, bias=False), nn.ReLU()
        self.FC = nn.Sequential(*hidden)
        self.gamma, self.beta = nn.Linear(wide, wide, bias=False), nn.Linear(wide, wide, bias=False)
        for number in range(1, blocks + 1):
            self.add_module(f"UpBlock1_{number}", _AdaptiveResidual(wide))
        up = []
        for size_in, size_out in ((wide, 2 * width), (2 * width, width)):
            up += [nn.Upsample(scale_factor=2), *_conv(size_in, size_out, 3), ILN(size_out), nn.ReLU()]
        self.UpBlock2 = nn.Sequential(*up, *_conv(width, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Picture `[B, 3, H, W]` of the other domain, CAM logits `[B, 2]` and heat map `[B, 1, H/4, W/4]` for a picture
        `x [B, 3, H, W]`, RGB in [-1, 1]. H and W are multiples of 4; without `config.light` both are `config.size`."""
        self._check(x)
        x, logits = attend(self.DownBlock(x), self.gap_fc, self.gmp_fc, self.gap_fc.weight, self.gmp_fc.weight)
        x = F.relu(self.conv1x1(x))
        heat = x.sum(1, keepdim=True)
        style = self.FC((F.adaptive_avg_pool2d(x, 1) if self.config.light else x).flatten(1))
        gamma, beta = self.gamma(style), self.beta(style)
        for number in range(1, self.config.blocks + 1):
            x = self.get_submodule(f"UpBlock1_{number}")(x, gamma, beta)
        return self.UpBlock2(x), logits, heat

    def _check(self, x: Tensor) -> None:
        sides, size = tuple(x.shape[-2:]), self.config.size
        if not self.config.light and sides != (size, size):
            raise ValueError(f"the full network takes pictures of {size} x {size} pixels, got {sides}")
        if any(side % MULTIPLE for side in sides):
            raise ValueError(f"input sides must be multiples of {MULTIPLE}, got {sides}")


class UgatitDiscriminator(nn.Module):
    """Judges patches of pictures; each convolution but `conv1x1` has spectral norm 1 (Miyato et al., 2018), estimated
    by one power iteration in each forward pass of training."""

    def __init__(self, width: int = 64, layers: int = LOCAL_LAYERS):
        super().__init__()
        channels = [3, *(width << number for number in range(layers - 1))]
        body = []
        for number in range(layers - 1):
            conv = nn.Conv2d(channels[number], channels[number + 1], 4, stride=2 if number < layers - 2 else 1)
            body += [nn.ReflectionPad2d(1), spectral_norm(conv), nn.LeakyReLU(LEAK)]
        self.model, wide = nn.Sequential(*body), channels[-1]
        self.gap_fc, self.gmp_fc = (spectral_norm(nn.Linear(wide, 1, bias=False)) for _ in range(2))
        self.conv1x1 = nn.Conv2d(2 * wide, wide, 1)
        self.pad = nn.ReflectionPad2d(1)
        self.conv = spectral_norm(nn.Conv2d(wide, 1, 4, bias=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `[B, 1, h, w]` of patches, CAM logits `[B, 2]` and heat map for `x [B, 3, H, W]`, RGB in [-1, 1]."""
        # The published program multiplies by the weights before normalisation, while the logits are of those after it.
        weights = self.gap_fc.weight_orig, self.gmp_fc.weight_orig
        x, logits = attend(self.model(x), self.gap_fc, self.gmp_fc, *weights)
        x = F.leaky_relu(self.conv1x1(x), LEAK)
        return self.conv(self.pad(x)), logits, x.sum(1, keepdim=True)


def attend(x: Tensor, average: nn.Module, most: nn.Module, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """Features `x [B, C, H, W]` times the `weights [1, C]` of both classifiers, `[B, 2·C, H, W]`, and their logits
    `[B, 2]`: of the average and of the largest value in each channel."""
    pooled = F.adaptive_avg_pool2d(x, 1).flatten(1), F.adaptive_max_pool2d(x, 1).flatten(1)
    logits = torch.cat([average(pooled[0]), most(pooled[1])], 1)
    return torch.cat([x * weight[:, :, None, None] for weight in weights], 1), logits


def config_of(weights: Mapping[str, Tensor]) -> UgatitConfig:
    """The sizes of the generator whose parameters are `weights`; of a light one, which any size suits, the default.
    LookupError or ValueError where they are none."""
    width, wide = weights["DownBlock.1.weight"].shape[0], weights["gap_fc.weight"].shape[1]
    blocks = sum(name.endswith(".conv1.weight") and name.startswith("UpBlock1_") for name in weights)
    places = weights["FC.0.weight"].shape[1] / wide
    side = math.isqrt(int(places))
    if wide != 4 * width or side * side != places or not blocks:
        raise ValueError("its sizes do not fit together")
    return UgatitConfig(width, blocks, light=True) if side == 1 else UgatitConfig(width, blocks, side * MULTIPLE, False)


@torch.no_grad()
def clip_rho(generator: nn.Module) -> None:
    """Keep every ρ in [0, 1], as after each step of training."""
    for module in generator.modules():
        if isinstance(module, AdaLIN | ILN):
            module.rho.clamp_(0, 1)


class Ugatit(nn.Module):
    """Both generators and the four discriminators, by the names of the published file."""

    def __init__(self, config: UgatitConfig | None = None, discriminator_width: int = 64):
        super().__init__()
        self.genA2B, self.genB2A = UgatitGenerator(config), UgatitGenerator(config)
        self.disGA, self.disGB = (UgatitDiscriminator(discriminator_width, GLOBAL_LAYERS) for _ in range(2))
        self.disLA, self.disLB = (UgatitDiscriminator(discriminator_width, LOCAL_LAYERS) for _ in range(2))

    @property
    def generators(self) -> nn.ModuleList:
        return nn.ModuleList([self.genA2B, self.genB2A])

    @property
    def discriminators(self) -> nn.ModuleList:
        return nn.ModuleList([self.disGA, self.disGB, self.disLA, self.disLB])
