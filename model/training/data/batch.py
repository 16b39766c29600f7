"""What a batch of training data is, and how a photo and its parsing map become the inputs in it.

The loop knows this and nothing of where batches come from.
"""

from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor

from model.common.sizes import PARSING_SCALE
from model.ops import BLUR_TAPS, blur_downsample

WINDOW_SHARE = 7 / 8
"""Side of the moved camera's window as a share of the target's: 896 of 1024 px (VToonify, Sec. 4.1.3)."""


class Batch(TypedDict, total=False):
    """A batch of B samples. S is the side of the target, h = S/4 that of the input, C the number of parsing classes.

    Distillation needs `x`, `y`, `degree`, `style`, `moved`, `offset`; pre-training `x`, `feature`, `skip`, `degree`,
    `w_plus`. In variant T, `style` is 0 and `degree` 1, and nobody reads them.
    """

    x: Tensor
    """Input of VToonify: `[B, 3 + C, h, h]`, RGB in [-1, 1] and parsing logits / 16."""
    y: Tensor
    """Target: `[B, 3, S, S]`, RGB in [-1, 1]."""
    w_plus: Tensor
    """Style code in w+, `[B, layers, D]`. Absent where the network is to map the exemplar of `style` itself."""
    degree: Tensor
    """Style degree, `[B]` in [0, 1]."""
    style: Tensor
    """Index of the exemplar, `[B]` int64."""
    moved: Tensor
    """Input of the simulated camera move: a window of the photo at full size, `[B, 3 + C, k, k]`, then reduced."""
    offset: Tensor
    """Top-left corner (row, column) of that window in pixels of the target, `[B, 2]` int64."""
    weight: Tensor
    """Weight of the reconstruction loss, `[B, 1, S, S]`; absent: 1 everywhere."""
    feature: Tensor
    """Pre-training: the teacher's feature at the structure size, `[B, C', s, s]`."""
    skip: Tensor
    """Pre-training: the teacher's skip image at the structure size, `[B, 3, s, s]`."""


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
        _window_operator(item, row, side) @ item @ _window_operator(item, column, side).T
        for item, (row, column) in zip(logits, places, strict=True)
    ]
    return torch.cat([moved, torch.stack(maps) / PARSING_SCALE], dim=1)


def _window_operator(item: Tensor, first: int, side: int) -> Tensor:
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
