"""A flat brush on canvas: strokes that are laid one over another, compiled.

A stroke is a piece of a parabola, as a hand draws it in one go: with its middle at (x, y), u along its direction there
and v across, its spine is v = k u² / 2. Its colour is the mean of the picture beneath it (Hertzmann 1998 takes that of one
point), and it is laid only where that brings the canvas nearer to the picture than it was.
"""

import math

import numpy as np
from numba import njit

STEPS = 7  # of a stroke each way from its middle
BEND = 1.1  # most that a stroke turns from end to end, in radians
ALONG, ACROSS = 7, 3  # points beneath a stroke at which canvas and picture are compared
TEXTURE = 512  # side of the texture of bristles, see `bristles`
PER_BRISTLE = 8  # of its rows


def bristles(rng: np.random.Generator) -> np.ndarray:
    """Streaks of bristles along the second axis, float32 `[TEXTURE, TEXTURE]` evenly spread in [0, 1]; it tiles."""
    spectrum = np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE)))
    across, along = np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None]
    band = np.exp(-((across * PER_BRISTLE * 1.2) ** 2)) * (0.06 + np.exp(-((along * 90) ** 2)))
    streaks = np.fft.irfft2(spectrum * band, (TEXTURE, TEXTURE))
    ranks = streaks.ravel().argsort().argsort()
    return (ranks / ranks.size).reshape(streaks.shape).astype(np.float32)


@njit(cache=True)
def _distance(first, second):
    """Of two Lab colours."""
    return math.sqrt((first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2 + (first[2] - second[2]) ** 2)


@njit(cache=True)
def _reach(picture, matte, direction, x, y, dx, dy, step, tolerance):
    """How far a stroke goes from (x, y) towards (dx, dy): its length, and by how much it turns, in radians."""
    height, width = matte.shape
    start, inside = picture[int(y), int(x)], matte[int(y), int(x)]
    length, turn = 0.0, 0.0
    for _ in range(STEPS):
        x, y = x + step * dx, y + step * dy
        if not (0 <= x < width and 0 <= y < height):
            break
        column, row = int(x), int(y)
        if _distance(picture[row, column], start) > tolerance or abs(matte[row, column] - inside) > 0.5:
            break
        next_x, next_y = direction[row, column, 0], direction[row, column, 1]
        if next_x * dx + next_y * dy < 0:
            next_x, next_y = -next_x, -next_y
        next_x, next_y = 0.5 * (next_x + dx), 0.5 * (next_y + dy)
        norm = math.sqrt(next_x**2 + next_y**2) + 1e-6
        next_x, next_y = next_x / norm, next_y / norm
        turn += math.asin(min(max(dx * next_y - dy * next_x, -1.0), 1.0))
        dx, dy = next_x, next_y
        length += step
    return length, turn


@njit(cache=True)
def _beneath(canvas, picture, x, y, dx, dy, bend, back, ahead, half, colour):
    """Sets `colour` to the picture's mean beneath a stroke; by how much nearer that is to the picture than the canvas."""
    height, width = canvas.shape[:2]
    seen = np.empty((ALONG * ACROSS, 2), np.int64)
    colour[:] = 0.0
    for i in range(ALONG):
        u = -back + (back + ahead) * (i + 0.5) / ALONG
        for j in range(ACROSS):
            v = 0.5 * bend * u * u + half * 0.7 * (j - (ACROSS - 1) / 2) / ((ACROSS - 1) / 2)
            column = min(max(int(x + u * dx - v * dy), 0), width - 1)
            row = min(max(int(y + u * dy + v * dx), 0), height - 1)
            seen[i * ACROSS + j, 0], seen[i * ACROSS + j, 1] = row, column
            for c in range(3):
                colour[c] += picture[row, column, c] / (ALONG * ACROSS)
    gain = 0.0
    for n in range(len(seen)):
        row, column = seen[n]
        gain += _distance(canvas[row, column], picture[row, column]) - _distance(colour, picture[row, column])
    return gain / len(seen)


@njit(cache=True)
def _lay(canvas, relief, texture, x, y, dx, dy, bend, back, ahead, half, colour, paint, phase):
    """One stroke: colour onto the canvas, thickness onto the relief. `paint`: see `lay_strokes`."""
    height, width = relief.shape
    opacity, thickness, streaks, ragged, dry, fibre = paint
    rise = 0.5 * bend * max(back, ahead) ** 2
    reach_x = abs(dx) * max(back, ahead) + abs(dy) * (half + abs(rise)) + 2 + ragged * half
    reach_y = abs(dy) * max(back, ahead) + abs(dx) * (half + abs(rise)) + 2 + ragged * half
    offset_across, offset_along = int(phase * 7919) % TEXTURE, int(phase * 104729) % TEXTURE
    for row in range(max(int(y - reach_y), 0), min(int(y + reach_y) + 1, height)):
        for column in range(max(int(x - reach_x), 0), min(int(x + reach_x) + 1, width)):
            u = (column - x) * dx + (row - y) * dy
            v = (row - y) * dx - (column - x) * dy - 0.5 * bend * u * u
            side = half - abs(v)
            if side <= -0.5 or u < -back - ragged * half or u > ahead + ragged * half:
                continue
            streak = texture[
                (int((v + half) / fibre * PER_BRISTLE) + offset_across) % TEXTURE,
                (int((u + back) / fibre * PER_BRISTLE * 0.5) + offset_along) % TEXTURE,
            ]
            end = min(u + back, ahead - u) + ragged * half * (2 * streak - 1)
            cover = min(max(side + 0.5, 0.0), 1.0) * min(max(end + 0.5, 0.0), 1.0)
            spent = dry * ((u + back) / (back + ahead)) ** 2
            cover *= opacity * min(max((streak - spent) * 4 + 0.5, 0.0), 1.0)
            if cover <= 0:
                continue
            canvas[row, column, 0] += cover * (colour[0] + streaks * (streak - 0.5) - canvas[row, column, 0])
            canvas[row, column, 1] += cover * (colour[1] - canvas[row, column, 1])
            canvas[row, column, 2] += cover * (colour[2] - canvas[row, column, 2])
            edge = min(abs(v) / half, 1.0) ** 8
            relief[row, column] += cover * (thickness * (0.3 + 0.5 * streak + 0.4 * edge) - 0.75 * relief[row, column])


@njit(cache=True)
def lay_strokes(canvas, relief, picture, matte, direction, texture, places, chances, colours, width, longest, tolerance,
                least_gain, paint):  # fmt: skip
    """Lay strokes of one brush over the canvas, in the order of `places`.

    canvas, picture: Lab float32 `[H, W, 3]`; relief, matte: float32 `[H, W]`; direction: `[H, W, 2]`, see `sight.flow`.
    places: float32 `[N, 2]` (x, y) of their middles; chances: `[N, 3]` in [0, 1] (width, phase, unused) and the angle by
    which each departs from the direction; colours: `[N, 3]` by which their colours depart in Lab.
    width: of the brush in pixels, longest: of a stroke in widths, tolerance: difference in Lab at which a stroke ends;
    least_gain: `[N]`, by how much it must bring the canvas nearer to the picture.
    paint: opacity, thickness in pixels, contrast of streaks in L, raggedness and dryness of the ends, width of a bristle.
    """
    colour = np.zeros(3)
    for n in range(len(places)):
        x, y = places[n]
        half = 0.5 * width * (0.7 + 0.6 * chances[n, 0])
        angle = math.atan2(direction[int(y), int(x), 1], direction[int(y), int(x), 0]) + chances[n, 2]
        dx, dy = math.cos(angle), math.sin(angle)
        step = width * longest / (2 * STEPS)
        ahead, left = _reach(picture, matte, direction, x, y, dx, dy, step, tolerance)
        back, right = _reach(picture, matte, direction, x, y, -dx, -dy, step, tolerance)
        ahead, back = max(ahead, 0.6 * width), max(back, 0.6 * width)
        bend = min(max(left - right, -BEND), BEND) / (ahead + back)
        gain = _beneath(canvas, picture, x, y, dx, dy, bend, back, ahead, half, colour)
        if gain < least_gain[n]:
            continue
        thick = paint[1] * (0.35 + 0.9 * (colour[0] / 100.0) ** 1.5)
        for c in range(3):
            colour[c] += colours[n, c]
        if chances[n, 1] > 0.5:  # the brush comes from either side
            dx, dy, bend, back, ahead = -dx, -dy, -bend, ahead, back
        _lay(canvas, relief, texture, x, y, dx, dy, bend, back, ahead, half, colour,
             (paint[0], thick, paint[2], paint[3], paint[4], paint[5]), chances[n, 1])  # fmt: skip
