"""The only place where pictures (RGB uint8 `[H, W, 3]`) become tensors (RGB in [-1, 1], `[3, H, W]`) and back."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GRID_CELL = 256  # side of a picture in an image grid, in pixels


def to_tensor(rgb: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """RGB uint8 `[..., H, W, 3]` → float32 `[..., 3, H, W]` in [-1, 1], channels last in memory."""
    pixels = torch.tensor(rgb)
    if torch.device(device).type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(device).movedim(-1, -3).float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """`[..., 3, H, W]` in [-1, 1] → RGB uint8 `[..., H, W, 3]`, clamped and rounded, on the same device."""
    pixels = images.detach().movedim(-3, -1).float().clamp(-1, 1).add_(1).mul_(127.5).round_()
    return pixels.to(torch.uint8).contiguous()


def image_grid(columns: Sequence[Tensor], cell: int = GRID_CELL) -> np.ndarray:
    """A row for each sample, a column for each of `columns [B, 1 or 3, h, w]` in [-1, 1], pictures scaled to `cell`
    pixels a side: RGB uint8 `[B·cell, len(columns)·cell, 3]`."""
    scaled = [F.interpolate(column.float().clamp(-1, 1), (cell, cell), mode="area") for column in columns]
    wide = torch.cat([column.expand(-1, 3, -1, -1).cpu() for column in scaled], dim=3)
    return to_uint8(torch.cat([*wide], dim=1)).numpy()


def pixel_grid(height: int, width: int) -> np.ndarray:
    """(x, y) of each pixel: float32 `[height, width, 2]`."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
