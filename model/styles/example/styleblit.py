"""StyleBlit (Sýkora et al. 2019): chunks of the exemplar S, copied to where the frame T's guides call for them.

From coarse to fine, a pixel of T takes the chunk of the nearest seed if the guides fit there; the pixels that no chunk
fits take their own best match. Seeds lie in S, so that strokes stick to a face that moves. Best matches are tabulated
once for each S (FaceBlit).

`blit` and `vote` are the reference, in the functions that NumPy and PyTorch have in common: `xp` is NumPy, or `Torch`
for a device. `kernels` has the same in Numba, for the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

CELL, BINS = 8, 64  # a table has an entry for each square of 8 px of S, class, and appearance in 64 steps
COARSEST, FINEST = 6, 3  # levels of seeds: there is one in each cell of 2^level pixels
BIN = 256 // BINS


@dataclass(frozen=True)
class Weights:
    """Of the guides' errors, for each label: background, hair, clothes, skin, features, a mouth's inside; and how
    large their sum may be in a chunk."""

    position: tuple[float, ...] = (0.15, 0.06, 0.06, 3.0, 3.0, 3.0)  # per pixel in L1, where trust is full
    far: tuple[float, ...] = (0.15, 0.06, 0.06, 0.3, 3.0, 3.0)  # the same where there is none
    appearance: tuple[float, ...] = (0.6, 2.0, 2.0, 2.0, 2.0, 2.0)  # per level
    # Of a pixel with the first label that is copied from one with the second, which may also be a border.
    mismatch: tuple[tuple[float, ...], ...] = (
        (0, 100, 100, 100, 100, 200, 200, 100), (100, 0, 20, 150, 200, 200, 50, 100),
        (100, 20, 0, 150, 200, 200, 50, 150), (100, 60, 60, 0, 0, 200, 100, 45), (100, 50, 60, 0, 0, 200, 100, 40),
        (100, 60, 60, 40, 20, 0, 100, 40),
    )  # fmt: skip
    threshold: float = 60.0
    # What fits to no chunk is taken from the best one up to so many times the threshold: textures stay whole.
    slack: tuple[float, ...] = (3.0, 3.0, 3.0, 1.0, 1.0, 1.0)
    hold: float = 1.6  # a chunk of the frame before stays up to so many times the threshold


USUAL = Weights()


def nearest_seeds(places: Any, seeds: Any, level: Sequence[int], xp: Any = np) -> Any:
    """Number of the seed of a level that is nearest to each place (x, y) of S; of equally near ones, the first."""
    start, rows, columns, size = (int(number) for number in level)
    row, column = (xp.floor(places[..., k] / size) for k in (1, 0))
    best, chosen = None, None
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            number = (
                start
                + _whole(xp.clip(row + down, 0, rows - 1)) * columns
                + _whole(xp.clip(column + across, 0, columns - 1))
            )
            away = seeds[number] - places
            distance = away[..., 0] * away[..., 0] + away[..., 1] * away[..., 1]
            nearer = distance < (distance + 1 if best is None else best)
            best = xp.where(nearer, distance, distance if best is None else best)
            chosen = xp.where(nearer, number, number if chosen is None else chosen)
    return chosen


class Torch:
    """The functions of this file in PyTorch, on a device, by the names that NumPy has for them."""

    def __init__(self, device: torch.device):
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def asarray(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, device=self._device)

    def arange(self, count: int) -> torch.Tensor:
        return torch.arange(count, device=self._device)


def _whole(x: Any) -> Any:
    """Whole numbers to index with, of a NumPy or PyTorch array."""
    return x.astype(np.int64) if isinstance(x, np.ndarray) else x.long()


def _real(x: Any) -> Any:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float()


def matches(places: Any, labels: Any, appearance: Any, table: Any, xp: Any = np) -> Any:
    """Best match (x, y) in S of pixels with these guides, from the table `[rows, columns, 6, BINS, 2]`: the match of
    the middle of their square, and as far from it as they are."""
    rows, columns = table.shape[:2]
    row = xp.clip(xp.floor(places[..., 1] / CELL), 0, rows - 1)
    column = xp.clip(xp.floor(places[..., 0] / CELL), 0, columns - 1)
    match = table[_whole(row), _whole(column), _whole(labels), _whole(appearance) // BIN]
    middle = xp.stack([column, row], -1) * CELL + CELL // 2
    return _whole(match) + _whole(xp.floor(places - _real(middle) + 0.5))


def blit(
    places: Any, guides: Sequence[Any], source_guides: Sequence[Any], table: Any, levels: Any, seeds: Any,
    offsets: Any, held: Any, weights: Weights, xp: Any = np,
) -> tuple[Any, Any]:  # fmt: skip
    """The nearest-neighbour field: for each pixel of T the place (x, y) of S that it is copied from, float32
    `[h, w, 2]`; and the seeds of their chunks, int `[h, w]`, -1 where a pixel is of none.

    Args:
        places: where in S the pixels of T lie, float32 `[h, w, 2]`.
        guides, source_guides: labels and appearance, of T with trust, uint8 `[h, w]` and `[H, W]`.
        table: from `kernels.best_matches`.
        levels: of seeds, from coarse to fine, int `[L, 4]`: number of the first seed, rows, columns, pixels of a cell.
        seeds, offsets: (x, y) in S, and from T to S for their chunks, float32 `[N, 2]`.
        held: the seeds that were chosen there in the frame before, int `[h, w]`, -1 for none: they stay while they fit.
        weights: of the guides.
    """
    labels, appearance, trust = guides
    height, width = labels.shape
    kinds = _whole(labels)
    near, far, alike, mismatch, slack = (
        xp.asarray(np.float32(each))
        for each in (weights.position, weights.far, weights.appearance, weights.mismatch, weights.slack)
    )
    by_position = far[kinds] + (near[kinds] - far[kinds]) * (_real(trust) / 255)
    rows, columns = xp.meshgrid(xp.arange(height), xp.arange(width), indexing="ij")
    here = _real(xp.stack([columns, rows], -1))
    last = (source_guides[0].shape[1] - 1, source_guides[0].shape[0] - 1)
    found = matches(places, labels, appearance, table, xp)
    found = _real(xp.stack([xp.clip(found[..., k], 0, last[k]) for k in (0, 1)], -1))
    chosen, is_open, least = _whole(labels) * 0 - 1, kinds >= 0, slack[kinds] * np.float32(weights.threshold)
    for number in range(-1, len(levels)):
        seed = nearest_seeds(places, seeds, levels[number], xp) if number >= 0 else xp.clip(_whole(held), 0, None)
        limit = np.float32(weights.threshold * (weights.hold if number < 0 else 1))
        there = here + offsets[seed]
        x, y = (_whole(xp.floor(there[..., k] + 0.5)) for k in (0, 1))
        inside = (x >= 0) & (y >= 0) & (x <= last[0]) & (y <= last[1])
        x, y = xp.clip(x, 0, last[0]), xp.clip(y, 0, last[1])
        away = xp.abs(places[..., 0] - _real(x)) + xp.abs(places[..., 1] - _real(y))
        unlike = xp.abs(_real(appearance) - _real(source_guides[1][y, x]))
        error = by_position * away + alike[kinds] * unlike + mismatch[kinds, _whole(source_guides[0][y, x])]
        better = inside & ((error < limit) & (held >= 0) if number < 0 else is_open & (error < least))
        found = xp.where(better[..., None], there, found)
        chosen = xp.where(better, seed, chosen)
        least = xp.where(better, error, least)
        is_open = is_open & ~(better & (error < limit))
    return found, chosen


def vote(field: Any, chosen: Any, picture: Any, radius: int = 1, xp: Any = np) -> Any:
    """The result: at each pixel, the mean of what the patches around it want there, uint8 `[h, w, 3]`; where all are of
    one chunk, its own place, interpolated where it is between pixels. field, chosen: as `blit` gives them."""
    height, width = chosen.shape
    last = (picture.shape[1] - 1, picture.shape[0] - 1)
    rows, columns = xp.meshgrid(xp.arange(height), xp.arange(width), indexing="ij")
    total, count, is_one = 0, 0, chosen >= 0
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            row, column = xp.clip(rows + down, 0, height - 1), xp.clip(columns + across, 0, width - 1)
            is_one = is_one & (chosen[row, column] == chosen)
            x, y = (_whole(xp.floor(field[row, column][..., k] + 0.5)) - (across, down)[k] for k in (0, 1))
            counts = (row == rows + down) & (column == columns + across)
            counts = _whole(counts & (x >= 0) & (y >= 0) & (x <= last[0]) & (y <= last[1]))[..., None]
            total = total + counts * _whole(picture[xp.clip(y, 0, last[1]), xp.clip(x, 0, last[0])])
            count = count + counts
    own = _between(picture, field[..., 0], field[..., 1], last, xp)
    mean = xp.where(is_one[..., None], _whole(xp.floor(own + 0.5)), (2 * total + count) // (2 * count))  # rounded
    return mean.astype(np.uint8) if xp is np else mean.byte()


def _between(picture: Any, x: Any, y: Any, last: tuple[int, int], xp: Any) -> Any:
    """Bilinear colours float32 `[h, w, 3]` at places of a picture; beyond its edge, those of the edge."""
    x, y = xp.clip(x, 0, last[0]), xp.clip(y, 0, last[1])
    left, top = _whole(xp.floor(x)), _whole(xp.floor(y))
    right, bottom = xp.clip(left + 1, 0, last[0]), xp.clip(top + 1, 0, last[1])
    across, down = (x - _real(left))[..., None], (y - _real(top))[..., None]
    upper = _real(picture[top, left]) * (1 - across) + _real(picture[top, right]) * across
    lower = _real(picture[bottom, left]) * (1 - across) + _real(picture[bottom, right]) * across
    return upper * (1 - down) + lower * down
