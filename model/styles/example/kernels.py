"""The engine in Numba, parallel on the CPU; `styleblit` is the reference for `blit` and `vote`, and says what they do.

Compiled at the first call and kept in the cache beside this file (or in the user's, where that can't be written).
"""

import numpy as np
from numba import njit, prange

from model.styles.example.compiled import parallel

FAR, HALF = np.float32(1e9), np.float32(0.5)


@parallel
def best_matches(appearance, labels, sources, starts, bins, reach, stride, position_weight, appearance_weight):
    """Table of best matches `[rows, columns, 6, bins, 2]` int16 (x, y).

    For each square of S, label and step of appearance: the pixel near `starts` (x, y; int16 `[rows, columns, 6,
    2]`) that looks like it, of the label that `sources` names in its stead. reach, stride: of the search, and the
    weights: for each label."""
    height, width = appearance.shape
    rows, columns = starts.shape[:2]
    step = 256 // bins
    table = np.zeros((rows, columns, len(sources), bins, 2), np.int16)
    levels = (appearance // step).astype(np.uint8)
    for line in prange(rows):
        row, best = np.int64(line), np.empty(bins, np.float32)
        for column in range(columns):
            for kind in range(len(sources)):
                x0, y0 = np.int64(starts[row, column, kind, 0]), np.int64(starts[row, column, kind, 1])
                best[:] = FAR
                entry = table[row, column, kind]
                for y in range(max(0, y0 - reach[kind]), min(height, y0 + reach[kind] + 1), stride[kind]):
                    for x in range(max(0, x0 - reach[kind]), min(width, x0 + reach[kind] + 1), stride[kind]):
                        if labels[y, x] != sources[kind]:
                            continue
                        error = position_weight[kind] * np.float32(abs(y - y0) + abs(x - x0))
                        own = np.int64(levels[y, x])
                        if error < best[own]:
                            best[own] = error
                            entry[own, 0], entry[own, 1] = x, y
                # A match for one step serves the next ones, too, at the price of their difference.
                price = appearance_weight[kind] * np.float32(step)
                for own in range(1, bins):
                    if best[own - 1] + price < best[own]:
                        best[own] = best[own - 1] + price
                        entry[own, 0], entry[own, 1] = entry[own - 1, 0], entry[own - 1, 1]
                for own in range(bins - 2, -1, -1):
                    if best[own + 1] + price < best[own]:
                        best[own] = best[own + 1] + price
                        entry[own, 0], entry[own, 1] = entry[own + 1, 0], entry[own + 1, 1]
                if best[0] >= FAR:  # there is nothing of that label
                    entry[:, 0], entry[:, 1] = x0, y0
    return table


@parallel
def moved(points, p, q):
    """Points `[N, 2]` moved by the moving-least-squares similarity that takes landmarks p to q, float64 `[68, 2]`:
    float32 `[N, 2]`. A similarity is a complex product and a sum: (a, b) below is the factor."""
    result = np.empty((len(points), 2), np.float32)
    for number in prange(len(points)):
        x, y = points[number, 0], points[number, 1]
        total, p_x, p_y, q_x, q_y = 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(len(p)):
            weight = 1 / ((x - p[k, 0]) ** 2 + (y - p[k, 1]) ** 2 + 1e-3)
            total += weight
            p_x, p_y = p_x + weight * p[k, 0], p_y + weight * p[k, 1]
            q_x, q_y = q_x + weight * q[k, 0], q_y + weight * q[k, 1]
        p_x, p_y, q_x, q_y = p_x / total, p_y / total, q_x / total, q_y / total
        a, b, spread = 0.0, 0.0, 1e-9
        for k in range(len(p)):
            weight = 1 / ((x - p[k, 0]) ** 2 + (y - p[k, 1]) ** 2 + 1e-3)
            from_x, from_y, to_x, to_y = p[k, 0] - p_x, p[k, 1] - p_y, q[k, 0] - q_x, q[k, 1] - q_y
            a += weight * (from_x * to_x + from_y * to_y)
            b += weight * (from_x * to_y - from_y * to_x)
            spread += weight * (from_x**2 + from_y**2)
        a, b, x, y = a / spread, b / spread, x - p_x, y - p_y
        result[number, 0], result[number, 1] = a * x - b * y + q_x, b * x + a * y + q_y
    return result


@parallel
def offsets(seeds, before, is_exact, places, back, labels, appearance, source_labels, source_appearance, table, cell,
    inversions, tolerance, none):  # fmt: skip
    """As `Seeds.offsets`: the offsets float32 `[N, 2]`, and the matches int32 `[N, 2]`.

    before: the matches so far, `none` where there are none; inversions: steps of the search for where in T a seed lies;
    tolerance: levels of appearance by which a match may be off and is kept."""
    height, width = labels.shape
    source_height, source_width = source_labels.shape
    result, best = np.empty((len(seeds), 2), np.float32), np.empty((len(seeds), 2), np.int32)
    bin_width = 256 // table.shape[3]
    for number in prange(len(seeds)):
        seed_x, seed_y = np.int64(seeds[number, 0]), np.int64(seeds[number, 1])
        found_x, found_y = np.float64(back[seed_y, seed_x, 0]), np.float64(back[seed_y, seed_x, 1])
        x, y = np.int64(0), np.int64(0)
        for step in range(inversions + 1):
            x, y = np.int64(np.rint(found_x)), np.int64(np.rint(found_y))
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            if step < inversions:
                found_x, found_y = x + (seeds[number, 0] - places[y, x, 0]), y + (seeds[number, 1] - places[y, x, 1])
        label, own = labels[y, x], np.int64(appearance[y, x])
        row, column = min(seed_y // cell, table.shape[0] - 1), min(seed_x // cell, table.shape[1] - 1)
        match = table[row, column, label, own // bin_width]
        best_x = np.int64(match[0]) + seed_x - (column * cell + cell // 2)
        best_y = np.int64(match[1]) + seed_y - (row * cell + cell // 2)
        if before[number, 0] > none:
            there_x = min(max(np.int64(before[number, 0]), 0), source_width - 1)
            there_y = min(max(np.int64(before[number, 1]), 0), source_height - 1)
            unlike = abs(np.int64(source_appearance[there_y, there_x]) - own)
            if unlike <= tolerance and source_labels[there_y, there_x] == label:
                best_x, best_y = np.int64(before[number, 0]), np.int64(before[number, 1])
        best[number, 0], best[number, 1] = best_x, best_y
        away_x, away_y = best_x - found_x, best_y - found_y
        if not is_exact:
            away_x, away_y = np.floor(away_x + 0.5), np.floor(away_y + 0.5)
        if found_x < -1 or found_y < -1 or found_x > width or found_y > height:
            away_x, away_y = none, none
        result[number, 0], result[number, 1] = away_x, away_y
    return result, best


@njit(cache=True, inline="always")
def _nearest(x, y, seeds, level):
    start, rows, columns = np.int64(level[0]), np.int64(level[1]), np.int64(level[2])
    row, column = np.int64(np.floor(y / np.float32(level[3]))), np.int64(np.floor(x / np.float32(level[3])))
    best, chosen = np.float32(3e38), start
    for down in range(-1, 2):
        r = min(max(row + down, 0), rows - 1)
        for across in range(-1, 2):
            c = min(max(column + across, 0), columns - 1)
            number = start + r * columns + c
            dx, dy = seeds[number, 0] - x, seeds[number, 1] - y
            distance = dx * dx + dy * dy
            if distance < best:
                best, chosen = distance, number
    return chosen


@parallel
def blit(
    places, labels, appearance, trust, source_labels, source_appearance, table, cell, levels, seeds, offsets, held,
    near, far, alike, mismatch, threshold, slack, hold,
):  # fmt: skip
    """As `styleblit.blit`: float32 `[h, w, 2]` and int32 `[h, w]`."""
    height, width = labels.shape
    source_height, source_width = source_labels.shape
    step, half = 256 // table.shape[3], cell // 2
    field, chosen = np.empty((height, width, 2), np.float32), np.empty((height, width), np.int32)
    for line in prange(height):
        y = np.int64(line)
        for x in range(width):
            place_x, place_y = places[y, x, 0], places[y, x, 1]
            kind, own = labels[y, x], np.int64(appearance[y, x])
            by_position = far[kind] + (near[kind] - far[kind]) * (np.float32(trust[y, x]) / np.float32(255))
            best, least = np.int64(-1), slack[kind] * threshold
            for number in range(-1, len(levels)):
                limit = threshold * hold if number < 0 else threshold
                seed = np.int64(held[y, x]) if number < 0 else _nearest(place_x, place_y, seeds, levels[number])
                if seed < 0:
                    continue
                exact_x, exact_y = np.float32(x) + offsets[seed, 0], np.float32(y) + offsets[seed, 1]
                there_x, there_y = (
                    np.int64(np.floor(exact_x + np.float32(0.5))),
                    np.int64(np.floor(exact_y + np.float32(0.5))),
                )
                if there_x < 0 or there_y < 0 or there_x >= source_width or there_y >= source_height:
                    continue
                away = abs(place_x - np.float32(there_x)) + abs(place_y - np.float32(there_y))
                unlike = np.float32(abs(own - np.int64(source_appearance[there_y, there_x])))
                error = by_position * away + alike[kind] * unlike + mismatch[kind, source_labels[there_y, there_x]]
                if error < (limit if number < 0 else least):
                    field[y, x, 0], field[y, x, 1] = exact_x, exact_y
                    best, least = seed, error
                    if error < limit:
                        break
            chosen[y, x] = best
            if best < 0:
                row = min(max(np.int64(np.floor(place_y / cell)), 0), table.shape[0] - 1)
                column = min(max(np.int64(np.floor(place_x / cell)), 0), table.shape[1] - 1)
                match = table[row, column, kind, own // step]
                there_x = match[0] + np.int64(np.floor(place_x - np.float32(column * cell + half) + np.float32(0.5)))
                there_y = match[1] + np.int64(np.floor(place_y - np.float32(row * cell + half) + np.float32(0.5)))
                field[y, x, 0] = min(max(there_x, 0), source_width - 1)
                field[y, x, 1] = min(max(there_y, 0), source_height - 1)
    return field, chosen


@parallel
def vote(field, chosen, picture, radius):
    """As `styleblit.vote`; where all patches are of one chunk, one place is all."""
    height, width = chosen.shape
    source_height, source_width = picture.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    for line in prange(height):
        y = np.int64(line)
        first, last = max(y - radius, 0), min(y + radius, height - 1)
        least, most = chosen[y].copy(), chosen[y].copy()  # of the chunks above and below
        for row in range(first, last + 1):
            for x in range(width):
                least[x], most[x] = min(least[x], chosen[row, x]), max(most[x], chosen[row, x])
        for x in range(width):
            left, right = max(x - radius, 0), min(x + radius, width - 1)
            low, high = least[x], most[x]
            for column in range(left, right + 1):
                low, high = min(low, least[column]), max(high, most[column])
            if low == high and low >= 0:
                _sample(picture, field[y, x, 0], field[y, x, 1], result[y, x])
                continue
            red, green, blue, count = 0, 0, 0, 0
            for row in range(first, last + 1):
                for column in range(left, right + 1):
                    there_x = np.int32(np.floor(field[row, column, 0] + HALF)) - np.int32(column - x)
                    there_y = np.int32(np.floor(field[row, column, 1] + HALF)) - np.int32(row - y)
                    if there_x < 0 or there_y < 0 or there_x >= source_width or there_y >= source_height:
                        continue
                    there = picture[np.uint64(there_y), np.uint64(there_x)]
                    red, green, blue = red + np.int64(there[0]), green + np.int64(there[1]), blue + np.int64(there[2])
                    count += 1
            result[y, x, 0] = np.uint32(2 * red + count) // np.uint32(2 * count)
            result[y, x, 1] = np.uint32(2 * green + count) // np.uint32(2 * count)
            result[y, x, 2] = np.uint32(2 * blue + count) // np.uint32(2 * count)
    return result


@njit(cache=True, inline="always")
def _sample(picture, x, y, result):
    """The colours of a picture between its pixels, rounded, into `result` uint8 `[3]`."""
    height, width = picture.shape[:2]
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = np.int64(x), np.int64(y)  # they are not negative
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    across, down = x - np.float32(left), y - np.float32(top)
    left, top, right, bottom = np.uint64(left), np.uint64(top), np.uint64(right), np.uint64(bottom)
    a, b, c, d = picture[top, left], picture[top, right], picture[bottom, left], picture[bottom, right]
    one = np.float32(1)
    for k in range(3):
        upper = np.float32(a[k]) * (one - across) + np.float32(b[k]) * across
        lower = np.float32(c[k]) * (one - across) + np.float32(d[k]) * across
        result[k] = np.uint8(np.int32(upper * (one - down) + lower * down + HALF))
