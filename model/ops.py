"""Filters and activations of all networks, in plain PyTorch, as in StyleGAN2 (Karras et al., 2020, app. B)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2  # negative slope of every leaky ReLU in the StyleGAN family
BLUR_TAPS = (1, 3, 3, 1)  # binomial filter that StyleGAN2 uses for every change of resolution


def make_kernel(gain: float = 1.0) -> Tensor:
    """The filter of `BLUR_TAPS` in two dimensions, `[4, 4]`, summing to `gain`."""
    line = torch.tensor(BLUR_TAPS, dtype=torch.float32)
    kernel = torch.outer(line, line)
    return kernel * (gain / kernel.sum())


def upfirdn2d(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """Insert `up - 1` zeros after each pixel, pad, convolve with `kernel [n, m]`, keep every `down`-th pixel.
    x: `[B, C, H, W]`; pad: pixels before and after, on both axes, negative ones crop. Returns
    `[B, C, (H·up + pad0 + pad1 - n) // down + 1, ...]`."""
    batch, channels, height, width = x.shape
    if up > 1:
        x = x.reshape(batch * channels, 1, height, 1, width, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(batch, channels, height * up, width * up)
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    taps = kernel.flip(0, 1).to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, taps, stride=down, groups=channels)


def blur_downsample(x: Tensor) -> Tensor:
    """Halve `x` (`[B, C, H, W]`, even sides) after a [1, 3, 3, 1] blur; the border is padded with zeros."""
    return upfirdn2d(x, make_kernel().to(x.device), down=2, pad=(1, 1))


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU times √2, which keeps the variance of a normal input (StyleGAN2)."""
    return F.leaky_relu(x, LEAK) * math.sqrt(2)


class BiasedLeakyReLU(nn.Module):
    """Add a bias per channel, then `scaled_leaky_relu`. Works on `[B, C]` and `[B, C, H, W]`."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In the input's dtype: a float32 bias would widen bfloat16 activations.
        return scaled_leaky_relu(x + self.bias.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2)))


class FixedFilter(nn.Module):
    """`upfirdn2d` with the [1, 3, 3, 1] filter, which is a buffer because the published files hold it."""

    def __init__(self, pad: tuple[int, int], gain: float = 1.0, up: int = 1):
        super().__init__()
        self.register_buffer("kernel", make_kernel(gain=gain))
        self.pad, self.up = pad, up

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, self.up, pad=self.pad)
