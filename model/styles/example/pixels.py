"""What the engine of example-based styles does to each pixel before strokes are chosen, in Numba, parallel on the CPU.

It is compiled like `kernels`. Where OpenCV has the same in several passes, results are those of OpenCV.
"""

import numpy as np
from numba import njit, prange

from model.styles.example.compiled import parallel
from model.styles.example.labels import BACKGROUND, CLOTHES, FEATURES, HAIR, LABELS, SKIN

KINDS, FRACTIONS = len(LABELS), np.float32(32)  # OpenCV samples at 32nds of a pixel


@parallel
def labelled(parts, height, width, chin_x, chin_y, down_x, down_y, aside, least):
    """Labels and trust, uint8 `[height, width]`, of the masks of `labels.parts_of`, float32 `[h, w, 5]`.

    What is not hair is clothes where it is more than `least` below the chin along `down`, or on a level with it farther
    than `aside` to the side."""
    rows, columns, kinds = parts.shape
    labels, trust = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
    half, one = np.float32(0.5), np.float32(1)
    lefts, rights, shares = _neighbours(columns, width)
    uppers, lowers, downs = _neighbours(rows, height)
    for line in prange(height):
        y = np.int64(line)
        upper, lower, down = parts[uppers[y]], parts[lowers[y]], downs[y]
        masks = np.empty((columns, kinds), np.float32)
        for x in range(columns):
            for k in range(kinds):
                masks[x, k] = upper[x, k] * (one - down) + lower[x, k] * down
        for x in range(width):
            left, right, across = masks[lefts[x]], masks[rights[x]], shares[x]
            before = one - across
            label = BACKGROUND
            if left[0] * before + right[0] * across > half:
                label = HAIR
                if left[2] * before + right[2] * across < half:
                    from_x, from_y = x - chin_x, y - chin_y
                    away = max(abs(from_x * down_y - from_y * down_x) - aside, 0.0)
                    if from_x * down_x + from_y * down_y + 0.7 * away > least:
                        label = CLOTHES
                if left[1] * before + right[1] * across > half:
                    label = SKIN
            if left[3] * before + right[3] * across > half:
                label = FEATURES
            labels[y, x] = label
            trust[y, x] = np.uint8(np.int32(np.float32(255) * min(left[4] * before + right[4] * across, one)))
    return labels, trust


@parallel
def enlarged(grid, step, height, width):
    """A grid `[rows, columns, 2]` of points that are `step` pixels apart, the first one in the middle of a square that
    ends where the picture begins, in between: float32 `[height, width, 2]`."""
    result, columns = np.empty((height, width, 2), np.float32), grid.shape[1]
    for line in prange(height):
        middle = (np.int64(line) + step + 0.5) / step - 0.5
        row = np.int64(middle)
        down = np.float32(middle - row)
        points = np.empty((columns, 2), np.float32)
        for column in range(columns):
            for k in range(2):
                points[column, k] = grid[row, column, k] * (np.float32(1) - down) + grid[row + 1, column, k] * down
        # From the middle of one square to that of the next, places change evenly.
        start = step // 2 - step
        for column in range(columns - 1):
            x0, y0 = points[column, 0], points[column, 1]
            by_x, by_y = (
                (points[column + 1, 0] - x0) / np.float32(step),
                (points[column + 1, 1] - y0) / np.float32(step),
            )
            for x in range(max(start, 0), min(start + step, width)):
                away = np.float32(x - start) + np.float32(0.5 * (1 - step % 2))
                result[line, x, 0], result[line, x, 1] = x0 + away * by_x, y0 + away * by_y
            start += step
    return result


@parallel
def counts(labels, appearance):
    """Histograms of the appearance of each label: int64 `[6, 256]`."""
    strips = 16
    total = np.zeros((strips, 8, 256), np.int64)  # exemplars have two more labels
    for strip in prange(strips):
        own = total[strip]
        for y in range(np.int64(strip), len(labels), strips):
            for x in range(labels.shape[1]):
                own[labels[y, x], appearance[y, x]] += 1
    return total[:, :KINDS].sum(axis=0)


@parallel
def levelled(appearance, labels, levels):
    """Appearance with its levels changed for each label by `levels` uint8 `[6, 256]`; other labels keep theirs."""
    result = np.empty_like(appearance)
    for y in prange(len(labels)):
        for x in range(labels.shape[1]):
            label, own = labels[y, x], appearance[y, x]
            result[y, x] = levels[label, own] if label < KINDS else own
    return result


@parallel
def held(chosen, back, places, labels):
    """The seeds that were chosen in the frame before at what is now at each pixel: int32 `[h, w]`, -1 for none.

    back: where in the frame before the pixels of S were, float32 `[H, W, 2]`; places: where in S those of this frame
    are. The background stays where it is."""
    height, width = labels.shape
    rows, columns = back.shape[:2]
    result = np.empty((height, width), np.int32)
    one = np.float32(1)
    for line in prange(height):
        y = np.int64(line)
        for x in range(width):
            if labels[y, x] == BACKGROUND:
                result[y, x] = chosen[y, x]
                continue
            exact_x, exact_y = np.rint(places[y, x, 0] * FRACTIONS), np.rint(places[y, x, 1] * FRACTIONS)
            left, top = np.int64(np.floor(exact_x / FRACTIONS)), np.int64(np.floor(exact_y / FRACTIONS))
            across = (exact_x - FRACTIONS * np.float32(left)) / FRACTIONS
            down = (exact_y - FRACTIONS * np.float32(top)) / FRACTIONS
            if left >= 0 and top >= 0 and left < columns - 1 and top < rows - 1:
                i, j = np.uint64(top), np.uint64(left)
                first, second, one_more = back[i, j], back[i, j + np.uint64(1)], back[i + np.uint64(1), j]
                last = back[i + np.uint64(1), j + np.uint64(1)]
                there_x = (first[0] * (one - across) + second[0] * across) * (one - down)
                there_x += (one_more[0] * (one - across) + last[0] * across) * down
                there_y = (first[1] * (one - across) + second[1] * across) * (one - down)
                there_y += (one_more[1] * (one - across) + last[1] * across) * down
            else:
                result[y, x] = -1
                continue
            column, row = np.int64(np.rint(there_x)), np.int64(np.rint(there_y))
            result[y, x] = chosen[row, column] if 0 <= row < height and 0 <= column < width else -1
    return result


@parallel
def settle(places, labels, backdrop, width, height):
    """Let the background lie where `backdrop` says, and lead places (x, y) beyond the edges of a picture back into it,
    as in a mirror; in place."""
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    for line in prange(len(places)):
        for column in range(places.shape[1]):
            if labels[line, column] == BACKGROUND:
                places[line, column, 0], places[line, column, 1] = backdrop[line, column, 0], backdrop[line, column, 1]
            x, y = places[line, column, 0], places[line, column, 1]
            if x < 0 or x > last_x:
                places[line, column, 0] = _mirrored(x, last_x)
            if y < 0 or y > last_y:
                places[line, column, 1] = _mirrored(y, last_y)


@njit(cache=True, inline="always")
def _mirrored(x, last):
    return last - abs(abs(x) % (2 * last) - last)


@njit(cache=True)
def _neighbours(size, wanted):
    """For each pixel of a side of `wanted`: the two pixels of one of `size` that it lies between, int64, and how near
    the second one is, float32."""
    first, second = np.empty(wanted, np.int64), np.empty(wanted, np.int64)
    shares = np.empty(wanted, np.float32)
    for x in range(wanted):
        place = min(max((x + 0.5) * (size / wanted) - 0.5, 0.0), size - 1.0)
        first[x] = np.int64(place)
        second[x] = min(first[x] + 1, size - 1)
        shares[x] = np.float32(place - first[x])
    return first, second, shares
