"""Patch synthesis in Numba, parallel on the CPU; `patches` is the reference, and says what the functions do.

Compiled at the first call and kept in the cache beside this file (or in the user's, where that can't be written).
"""

import numpy as np
from numba import njit, prange

from model.styles.example.compiled import parallel
from model.styles.example.patches import BESIDE, STEPS, TILE, WORST

NEIGHBOURS = 4 * len(STEPS)


@njit(cache=True, inline="always")
def _error(target, source, patch, channels, row, column, x, y, most):
    """Error of the patch of S around (x, y) for a pixel of T; or something above `most`. The pictures are flat lines:
    int16 `[h + 2r, (w + 2r) * C]` and `[H, W * C]`; slices of them let the compiler use vectors."""
    radius, length, total = patch // 2, patch * channels, np.int32(0)
    for down in range(patch):
        here = target[row + down, column * channels : column * channels + length]
        there = source[y + down - radius, (x - radius) * channels : (x - radius) * channels + length]
        part = np.int32(0)
        for number in range(length):
            difference = np.int32(here[number]) - np.int32(there[number])
            part += difference * difference
        total += part
        if total > most:
            break
    return np.int64(total)


@njit(cache=True, inline="always")
def _lines(picture):
    return picture.reshape(picture.shape[0], picture.shape[1] * picture.shape[2])


@parallel
def errors_of(target, source, patch, field):
    """As `patches.errors_of`, for all pixels: int64 `[h, w]`."""
    height, width = field.shape[:2]
    channels, target, source = target.shape[2], _lines(target), _lines(source)
    errors = np.empty((height, width), np.int64)
    for line in prange(height):
        row = np.int64(line)
        for column in range(width):
            x, y = np.int64(field[row, column, 0]), np.int64(field[row, column, 1])
            errors[row, column] = _error(target, source, patch, channels, row, column, x, y, WORST)
    return errors


@parallel
def nearest(target, source, patch, height, width):
    """As `patches.nearest`."""
    radius, rows, columns = patch // 2, source.shape[0], source.shape[1]
    channels, target, source = target.shape[2], _lines(target), _lines(source)
    field = np.zeros((height, width, 2), np.int32)
    for line in prange(height):
        row = np.int64(line)
        for column in range(width):
            best = np.int64(WORST)
            for y in range(radius, rows - radius):
                for x in range(radius, columns - radius):
                    error = _error(target, source, patch, channels, row, column, x, y, best)
                    if error < best:
                        best = error
                        field[row, column, 0], field[row, column, 1] = x, y
    return field


@njit(cache=True, inline="always")
def _tried(middle, reach, share, least, most):
    low, high = min(max(middle - reach, least), most), min(max(middle + reach, least), most)
    return low + np.int64(np.floor(share * np.float32(high - low + 1)))


@parallel
def improve(target, source, patch, field, errors, prices, is_open, near, reach, shares, phase):
    """As `patches.improve`, in place."""
    height, width = errors.shape
    rows, columns, radius = source.shape[0], source.shape[1], patch // 2
    channels, target, source = target.shape[2], _lines(target), _lines(source)
    for line in prange(height):
        row = np.int64(line)
        if row % 2 != phase // 2:
            continue
        for column in range(phase % 2, width, 2):
            if not is_open[row, column]:
                continue
            own_x, own_y = field[row, column, 0], field[row, column, 1]
            error = errors[row, column]
            cost = error + prices[own_y, own_x]
            for number in range(NEIGHBOURS + len(shares) + len(BESIDE)):
                if number < NEIGHBOURS:
                    step, side = STEPS[number // 4], number % 4
                    across, down = (-step, step, 0, 0)[side], (0, 0, -step, step)[side]
                    if not (0 <= row + down < height and 0 <= column + across < width):
                        continue
                    x, y = field[row + down, column + across, 0] - across, field[row + down, column + across, 1] - down
                elif number < NEIGHBOURS + len(shares):
                    share = shares[number - NEIGHBOURS, row % TILE, column % TILE]
                    x = _tried(near[row, column, 0], reach, share[0], radius, columns - 1 - radius)
                    y = _tried(near[row, column, 1], reach, share[1], radius, rows - 1 - radius)
                else:
                    across, down = BESIDE[number - NEIGHBOURS - len(shares)]
                    x, y = own_x + across, own_y + down
                if x < radius or y < radius or x >= columns - radius or y >= rows - radius:
                    continue
                if x == own_x and y == own_y:
                    continue
                room = cost - prices[y, x]
                if room <= 0:
                    continue
                found = _error(target, source, patch, channels, row, column, x, y, room)
                if found < room:
                    own_x, own_y, error = x, y, found
                    cost = found + prices[y, x]
            field[row, column, 0], field[row, column, 1] = own_x, own_y
            errors[row, column] = error


@parallel
def vote(field, values, patch):
    """As `patches.vote`; int16."""
    height, width, radius, channels = field.shape[0], field.shape[1], patch // 2, values.shape[2]
    columns, flat = values.shape[1], values.reshape(values.size)
    result = np.empty((height, width, channels), np.int16)
    for line in prange(height):
        row = np.int64(line)
        totals = np.zeros((width, channels), np.int32)
        counts = np.zeros(width, np.int32)
        for down in range(max(-radius, -row), min(radius, height - 1 - row) + 1):
            there = field[row + down]
            for across in range(-radius, radius + 1):
                for column in range(max(0, -across), min(width, width - across)):
                    x, y = np.int64(there[column + across, 0]) - across, np.int64(there[column + across, 1]) - down
                    place = (y * columns + x) * channels
                    for channel in range(channels):
                        totals[column, channel] += flat[place + channel]
                    counts[column] += 1
        for column in range(width):
            for channel in range(channels):
                result[row, column, channel] = (2 * totals[column, channel] + counts[column]) // (2 * counts[column])
    return result


def prices_of(field, height, width, patch, factor):
    """As `patches.prices_of`."""
    used = _uses(field, height, width)
    for _ in range(2):
        used = _box(used, patch)
    return np.floor(used * factor).astype(np.int64)


@njit(cache=True)
def _uses(field, height, width):
    """How many pixels of T each patch of S `(height, width)` serves: int32."""
    used = np.zeros((height, width), np.int32)
    for row in range(field.shape[0]):
        for column in range(field.shape[1]):
            used[field[row, column, 1], field[row, column, 0]] += 1
    return used


@parallel
def _box(values, patch):
    """Sums over the patch around each pixel; there is nothing beyond the edges."""
    height, width, radius = values.shape[0], values.shape[1], patch // 2
    result = np.empty(values.shape, np.int32)
    for line in prange(height):
        row = np.int64(line)
        down = np.zeros(width, np.int32)
        for other in range(max(row - radius, 0), min(row + radius, height - 1) + 1):
            down += values[other]
        total = np.int32(0)
        for column in range(min(radius, width)):
            total += down[column]
        for column in range(width):
            if column + radius < width:
                total += down[column + radius]
            if column - radius - 1 >= 0:
                total -= down[column - radius - 1]
            result[row, column] = total
    return result
