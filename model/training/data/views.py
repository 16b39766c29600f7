"""From a photo at full size and its parsing map to what VToonify sees: the still frame and the moved camera's."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.common.sizes import PARSING_SCALE
from model.ops import BLUR_TAPS, blur_downsample

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

    The window is cut at full size, so that the move is a fraction of a pixel at the input's size; the parsing map,
    enlarged to that size by repetition, moves with the photo, as in the published program (the paper doesn't say).
    Arguments otherwise as for `student_input`.
    """
    side, places = window_side(photo.shape[-1]), offsets.tolist()
    windows = [
        item[:, row : row + side, column : column + side] for item, (row, column) in zip(photo, places, strict=True)
    ]
    moved = blur_downsample(blur_downsample(torch.stack(windows)))
    if logits is None:
        return moved
    maps = [
        window_operator(item, row, side) @ item @ window_operator(item, column, side).T
        for item, (row, column) in zip(logits, places, strict=True)
    ]
    return torch.cat([moved, torch.stack(maps) / PARSING_SCALE], dim=1)


def window_operator(item: Tensor, first: int, side: int) -> Tensor:
    """What `moved_input` does to the columns of `item [C, h, h]`, as a matrix `[side/4, h]`; to rows it does the same.

    Repeating, cutting and blurring are linear and act on rows and columns apart. As two products they cost a fifth of
    what they do at the photo's size, where a map of many classes is large.
    """
    line = torch.eye(item.shape[-1], dtype=item.dtype, device=item.device)
    line = line.repeat_interleave(2, dim=0)[first : first + side]
    for _ in range(2):
        line = F.pad(line, (0, 0, 1, 1))
        taps = [tap / sum(BLUR_TAPS) * line[k : len(line) - 3 + k : 2] for k, tap in enumerate(BLUR_TAPS)]
        line = torch.stack(taps).sum(dim=0)
    return line
