"""Bilinear resampling that can be differentiated twice, which gradient penalties behind an augmentation need and
torch's own function can't: it is linear in the picture, so its backward pass is its transpose, and the transpose's
backward pass the resampling itself."""

import torch
import torch.nn.functional as F
from torch import Tensor

BILINEAR, ZEROS = 0, 0  # torch's numbers of the interpolation and of what lies outside


def resample(images: Tensor, grid: Tensor) -> Tensor:
    """`F.grid_sample(images, grid, "bilinear", align_corners=False)`; the grid gets no gradient.

    images: `[B, C, H, W]`; grid: `[B, h, w, 2]`, (x, y) in [-1, 1]. Returns `[B, C, h, w]`."""
    return _Resampling.apply(images, grid)


class _Resampling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Transpose.apply(gradient, grid, ctx.shape), None


class _Transpose(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        unused = gradient.new_zeros(()).expand(shape)  # the values of the pictures don't matter to their gradient
        spread = torch.ops.aten.grid_sampler_2d_backward
        return spread(gradient.contiguous(), unused, grid, BILINEAR, ZEROS, False, (True, False))[0]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Resampling.apply(gradient, grid), None, None
