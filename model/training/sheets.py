"""Sheets of pictures that show how far a run is."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 256
"""Side of a picture on a sheet in pixels."""


def sheet(columns: Sequence[Tensor], cell: int = CELL) -> np.ndarray:
    """One row for each sample, one column for each of `columns [B, 1 or 3, h, w]` in [-1, 1]; RGB uint8."""
    columns = [F.interpolate(column.float().clamp(-1, 1), (cell, cell), mode="area") for column in columns]
    columns = [column.expand(-1, 3, -1, -1).cpu() for column in columns]
    rows = [torch.cat(row, dim=2) for row in zip(*columns, strict=True)]
    pixels = (torch.cat(rows, dim=1) + 1) * 127.5
    return pixels.round().byte().permute(1, 2, 0).numpy()
