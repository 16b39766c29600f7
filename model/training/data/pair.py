"""What a batch of training data is: the loop knows this and nothing of where it comes from."""

from typing import TypedDict

from torch import Tensor


class Pair(TypedDict, total=False):
    """A batch of B samples. S is the side of the target, h = S/4 that of the input, C the number of parsing classes.

    Distillation needs `x`, `y`, `degree`, `style`, `moved`, `offset`; pre-training `x`, `feature`, `skip`, `degree`,
    `w_plus`. In variant T, `style` is 0 and `degree` 1, and nobody reads them.
    """

    x: Tensor
    """Input of VToonify: `[B, 3 + C, h, h]`, RGB in [-1, 1] and parsing logits / 16."""
    y: Tensor
    """Target: `[B, 3, S, S]`, RGB in [-1, 1]."""
    w_plus: Tensor
    """Style code in w+, `[B, rows, D]`. Absent where the network is to map the exemplar of `style` itself."""
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
