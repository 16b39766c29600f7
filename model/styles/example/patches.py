"""Search and voting of patch synthesis, in whole numbers: NumPy, PyTorch and Numba find the same.

The reference, in the functions that NumPy and PyTorch have in common: `xp` is NumPy, or `styleblit.Torch` for a device.
`patch_kernels` has the same in Numba, for the CPU.

A pixel's features are its colours and guides, int16, scaled so that the squared difference of two patches is their
error. The field says for each pixel of T the middle of the patch of S that it is copied from, (x, y): int32
`[h, w, 2]`.
"""

from typing import Any

import numpy as np

TILE = 64  # shares of random tries repeat every so many pixels
STEPS = 1, 3
BESIDE = (-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)  # (across, down)
WORST = 2**31 - 1


def whole(x: Any) -> Any:
    """int64 of a NumPy or PyTorch array."""
    return x.astype(np.int64) if isinstance(x, np.ndarray) else x.long()


def errors_of(target: Any, source: Any, rows: Any, columns: Any, field: Any, patch: int) -> Any:
    """Errors, int64 `[N]`, of the patches of S around `field`, (x, y) `[N, 2]`, for pixels of T in these rows and
    columns.

    target: features int16 `[h + 2r, w + 2r, C]`, with a border as wide as the radius r; source: `[H, W, C]`.
    """
    total, radius = 0, patch // 2
    for down in range(patch):
        for across in range(patch):
            there = source[field[:, 1] + down - radius, field[:, 0] + across - radius]
            difference = whole(target[rows + down, columns + across]) - whole(there)
            total = total + (difference * difference).sum(1)
    return total


def prices_of(field: Any, size: tuple[int, int], patch: int, factor: float, xp: Any = np) -> Any:
    """What it costs to use a patch around each pixel of S `(H, W)` as often as it is, int64 `[H, W]`: `factor` for each
    time that one of its pixels is copied."""
    height, width = size
    flat = whole(field[..., 1]) * width + whole(field[..., 0])
    used = xp.bincount(flat.reshape(-1), minlength=height * width).reshape(height, width)
    for _ in range(2):  # how often pixels are in patches, and how often those of a patch are
        used = _box(used, patch, xp)
    return whole(xp.floor(used * factor))


def _box(values: Any, patch: int, xp: Any) -> Any:
    """Sums over the patch around each pixel; there is nothing beyond the edges."""
    for axis in (0, 1):
        count, radius = values.shape[axis], patch // 2
        sums = xp.cumsum(values, axis)
        last = xp.clip(xp.arange(count) + radius, 0, count - 1)
        before = xp.arange(count) - radius - 1
        lower = xp.where(before >= 0, 1, 0)
        before = xp.clip(before, 0, count - 1)
        values = sums[last] - sums[before] * lower[:, None] if axis == 0 else sums[:, last] - sums[:, before] * lower
    return values


def nearest(target: Any, source: Any, patch: int, size: tuple[int, int], xp: Any = np) -> Any:
    """The best patch of all for each pixel of T `(h, w)`; of equally good ones, the first. For small pictures."""
    radius, (height, width), (rows, columns) = patch // 2, size, source.shape[:2]
    y, x = xp.meshgrid(xp.arange(height), xp.arange(width), indexing="ij")
    y, x = y.reshape(-1), x.reshape(-1)
    best, found = y * 0 + WORST, xp.stack([x * 0, x * 0], -1)
    for row in range(radius, rows - radius):
        for column in range(radius, columns - radius):
            here = xp.stack([x * 0 + column, x * 0 + row], -1)
            error = errors_of(target, source, y, x, here, patch)
            found, best = xp.where((error < best)[:, None], here, found), xp.where(error < best, error, best)
    return found.reshape(height, width, 2)


def improve(
    target: Any, source: Any, patch: int, field: Any, errors: Any, prices: Any, is_open: Any, near: Any, reach: int,
    shares: Any, phase: int, xp: Any = np,
) -> tuple[Any, Any]:  # fmt: skip
    """A better field and its errors, for every fourth pixel: where the patches that its neighbours match go on
    (coherent search, Ashikhmin 2001), one of some random tries, or a place beside its own costs less than what it has.

    Args:
        target, source, patch: as for `errors_of`; errors: int64 `[h, w]`, of `field`.
        prices: from `prices_of`.
        is_open: bool `[h, w]`, whether a pixel is looked at.
        near, reach: middles of the windows for the tries, (x, y), int64 `[h, w, 2]`, and their half side in pixels.
        shares: where in their windows the tries are, float32 `[tries, TILE, TILE, 2]` in [0, 1).
        phase: 0 to 3, in squares of 2 x 2.
    """
    (height, width), (rows, columns), radius = errors.shape, source.shape[:2], patch // 2
    y, x = xp.meshgrid(xp.arange(height), xp.arange(width), indexing="ij")
    chosen = is_open & (2 * (y % 2) + x % 2 == phase)
    y, x = y[chosen], x[chosen]
    field, errors = field + 0, errors + 0  # copies
    own, error = field[y, x], errors[y, x]
    cost = error + prices[own[:, 1], own[:, 0]]

    def try_out(there: Any, is_fit: Any) -> None:
        nonlocal own, cost, error
        is_fit = is_fit & (there[:, 0] >= radius) & (there[:, 1] >= radius)
        is_fit = is_fit & (there[:, 0] < columns - radius) & (there[:, 1] < rows - radius)
        ends = (there[:, 0], columns), (there[:, 1], rows)
        there = xp.stack([xp.clip(each, radius, count - 1 - radius) for each, count in ends], -1)
        found = errors_of(target, source, y, x, there, patch)
        total = found + prices[there[:, 1], there[:, 0]]
        better = is_fit & (total < cost)
        own, cost = xp.where(better[:, None], there, own), xp.where(better, total, cost)
        error = xp.where(better, found, error)

    for step in STEPS:
        for across, down in ((-step, 0), (step, 0), (0, -step), (0, step)):
            inside = (x + across >= 0) & (x + across < width) & (y + down >= 0) & (y + down < height)
            there = field[xp.clip(y + down, 0, height - 1), xp.clip(x + across, 0, width - 1)]
            try_out(xp.stack([there[:, 0] - across, there[:, 1] - down], -1), inside)
    for tries in shares:
        share, middle = tries[y % TILE, x % TILE], near[y, x]
        sides = []
        for axis, count in ((0, columns), (1, rows)):
            low, high = (xp.clip(middle[:, axis] + end, radius, count - 1 - radius) for end in (-reach, reach))
            sides.append(low + whole(xp.floor(share[:, axis] * (high - low + 1))))
        try_out(xp.stack(sides, -1), x >= 0)
    for across, down in BESIDE:
        try_out(xp.stack([own[:, 0] + across, own[:, 1] + down], -1), x >= 0)
    field[y, x], errors[y, x] = own, error
    return field, errors


def vote(field: Any, values: Any, patch: int, xp: Any = np) -> Any:
    """The mean of what the patches around each pixel of T want there, rounded, int64 `[h, w, C]`; values: as the
    colours of S, `[H, W, C]`."""
    (height, width), radius = field.shape[:2], patch // 2
    y, x = xp.meshgrid(xp.arange(height), xp.arange(width), indexing="ij")
    total, count = 0, 0
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            row, column = xp.clip(y + down, 0, height - 1), xp.clip(x + across, 0, width - 1)
            there = field[row, column]
            counts = whole((row == y + down) & (column == x + across))[..., None]  # patches are inside of S
            total = total + counts * whole(values[there[..., 1] - down, there[..., 0] - across])
            count = count + counts
    return (2 * total + count) // (2 * count)
