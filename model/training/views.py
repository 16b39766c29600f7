"""From a photo at full size and its parsing map to what VToonify sees: the still frame and the moved camera's."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.ops import blur_downsample

PARSING_SCALE = 16.0
"""Parsing logits are divided by this, as in inference."""

WINDOW_SHARE = 7 / 8
"""Side of the moved camera's window as a share of the target's: 896 of 1024 px (VToonify, Sec. 4.1.3)."""


def window_side(size: int) -> int:
    """Side of the moved camera's window for targets of `size` px."""
    return round(size * WINDOW_SHARE)


def student_input(photo: Tensor, logits: Tensor | None) -> Tensor:
    """Still frame: `[B, 3 + C, S/4, S/4]` from the photo and its parsing map, both blurred before each halving.

    photo: `[B, 3, S, S]` in [-1, 1]. logits: `[B, C, S/2, S/2]`, or None for a network without a parser.
    """
    x = blur_downsample(blur_downsample(photo))
    return x if logits is None else torch.cat([x, blur_downsample(logits) / PARSING_SCALE], dim=1)


def moved_input(photo: Tensor, logits: Tensor | None, offsets: Tensor) -> Tensor:
    """Frame of the camera moved by `offsets [B, 2]` (row, column, in pixels of the photo): `[B, 3 + C, k/4, k/4]`.

    The window is cut at full size, so that the move is a fraction of a pixel at the input's size; the parsing map moves
    with the photo, as in the published program (the paper doesn't say). Arguments otherwise as for `student_input`.
    """
    if logits is not None:
        photo = torch.cat([photo, F.interpolate(logits, scale_factor=2, mode="nearest") / PARSING_SCALE], dim=1)
    side = window_side(photo.shape[-1])
    windows = [
        item[:, row : row + side, column : column + side]
        for item, (row, column) in zip(photo, offsets.tolist(), strict=True)
    ]
    return blur_downsample(blur_downsample(torch.stack(windows)))
