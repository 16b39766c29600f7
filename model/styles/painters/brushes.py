"""A flat brush on canvas: strokes that are laid one over another, compiled.

A stroke is a piece of a parabola, as a hand draws it in one go: with u along its direction at its middle (x, y) and v
across, its spine is v = bend u² / 2. Its colour is the mean of the picture beneath it (Hertzmann 1998 takes that of one
point), and it is laid only where that brings the canvas nearer to the picture than it was.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

STEPS = 7  # of a stroke each way from its middle
BEND = 1.1  # most that a stroke turns from end to end, in radians
SHORTEST = 0.6  # of a stroke each way from its middle, in widths
ALONG, ACROSS = 7, 3  # points beneath a stroke at which canvas and picture are compared
TEXTURE = 512  # side of the texture of bristles
PER_BRISTLE = 8  # rows of the texture per bristle


@dataclass(frozen=True)
class Paint:
    """How one brush lays paint."""

    opacity: float
    thickness: float  # pixels
    streaks: float  # contrast of bristles in L
    ragged: float  # ends, in half widths of the stroke
    dryness: float  # part of the bristles that have no paint left at the end
    bristle: float  # width in pixels

    @property
    def values(self) -> tuple[float, ...]:
        """As the kernels take them: always of the same type, so that they are compiled once."""
        return tuple(map(float, vars(self).values()))


def bristles(rng: np.random.Generator) -> np.ndarray:
    """Streaks of bristles along the second axis, float32 `[TEXTURE, TEXTURE]` evenly spread in [0, 1]; they tile."""
    spectrum = np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE)))
    across, along = np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None]
    band = np.exp(-((across * PER_BRISTLE * 1.2) ** 2)) * (0.06 + np.exp(-((along * 90) ** 2)))
    ranks = np.fft.irfft2(spectrum * band, (TEXTURE, TEXTURE)).ravel().argsort().argsort()
    return (ranks / ranks.size).reshape(TEXTURE, TEXTURE).astype(np.float32)


@njit(cache=True, nogil=True)
def lay_strokes(canvas, relief, picture, matte, direction, texture, places, turns, chances, colours, gains,
                width, longest, tolerance, paint):  # fmt: skip
    """Lay strokes of one brush over the canvas, in the order of `places`.

    canvas, picture: Lab float32 `[H, W, 3]`; relief (thickness of the paint in pixels), matte: float32 `[H, W]`;
    direction: float32 `[H, W, 2]`, see `sight.flow`; texture: see `bristles`.
    Of each stroke, float32: places `[N, 2]` (x, y) of its middle; turns `[N]` in radians out of the direction; chances
    `[N, 2]` in [0, 1], of its width and its bristles; colours `[N, 3]` to add in Lab; gains `[N]`, by how much it must
    bring the canvas nearer to the picture.
    width: of the brush in pixels; longest: length in widths; tolerance: difference in Lab at which a stroke ends.
    """
    colour = np.zeros(3)
    for n in range(len(places)):
        x, y = places[n]
        half = 0.5 * width * (0.7 + 0.6 * chances[n, 0])
        angle = math.atan2(direction[int(y), int(x), 1], direction[int(y), int(x), 0]) + turns[n]
        dx, dy = math.cos(angle), math.sin(angle)
        step = width * longest / (2 * STEPS)
        ahead, left = _reach(picture, matte, direction, x, y, dx, dy, step, tolerance)
        back, right = _reach(picture, matte, direction, x, y, -dx, -dy, step, tolerance)
        ahead, back = max(ahead, SHORTEST * width), max(back, SHORTEST * width)
        bend = min(max(left - right, -BEND), BEND) / (ahead + back)
        if chances[n, 1] > 0.5:  # the brush comes from either side
            dx, dy, bend, back, ahead = -dx, -dy, -bend, ahead, back
        stroke = (x, y, dx, dy, bend, back, ahead, half)
        if _mix(canvas, picture, stroke, colour) < gains[n]:
            continue
        body = 0.35 + 0.9 * (max(colour[0], 0.0) / 100.0) ** 1.5  # thick lights, thin darks
        for c in range(3):
            colour[c] += colours[n, c]
        _lay(canvas, relief, texture, stroke, colour, paint, body, chances[n, 1])


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _mix(canvas, picture, stroke, colour):
    """Sets `colour` to the picture's mean beneath a stroke; returns by how much nearer it is to it than the canvas."""
    x, y, dx, dy, bend, back, ahead, half = stroke
    height, width = canvas.shape[:2]
    seen = np.empty((ALONG * ACROSS, 2), np.int64)
    colour[:] = 0.0
    for n in range(ALONG * ACROSS):
        u = -back + (back + ahead) * (n // ACROSS + 0.5) / ALONG
        v = 0.5 * bend * u * u + half * 0.7 * (n % ACROSS - 1)
        row = min(max(int(y + u * dy + v * dx), 0), height - 1)
        column = min(max(int(x + u * dx - v * dy), 0), width - 1)
        seen[n, 0], seen[n, 1] = row, column
        for c in range(3):
            colour[c] += picture[row, column, c] / (ALONG * ACROSS)
    gain = 0.0
    for n in range(ALONG * ACROSS):
        wanted = picture[seen[n, 0], seen[n, 1]]
        gain += _distance(canvas[seen[n, 0], seen[n, 1]], wanted) - _distance(colour, wanted)
    return gain / (ALONG * ACROSS)


@njit(cache=True, nogil=True)
def _lay(canvas, relief, texture, stroke, colour, paint, body, phase):
    """One stroke: colour onto the canvas, and its thickness, `body` times that of the paint, onto the relief."""
    x, y, dx, dy, bend, back, ahead, half = stroke
    opacity, thickness, streaks, ragged, dryness, bristle = paint
    height, width = relief.shape
    reach = max(back, ahead)
    aside = half + 0.5 * abs(bend) * reach**2
    reach_x = abs(dx) * reach + abs(dy) * aside + ragged * half + 2
    reach_y = abs(dy) * reach + abs(dx) * aside + ragged * half + 2
    first_row, first_column = int(phase * 7919) % TEXTURE, int(phase * 104729) % TEXTURE
    for row in range(max(int(y - reach_y), 0), min(int(y + reach_y) + 1, height)):
        for column in range(max(int(x - reach_x), 0), min(int(x + reach_x) + 1, width)):
            u = (column - x) * dx + (row - y) * dy
            v = (row - y) * dx - (column - x) * dy - 0.5 * bend * u * u
            if abs(v) >= half + 0.5 or u < -back - ragged * half or u > ahead + ragged * half:
                continue
            texture_row = (int((v + half) / bristle * PER_BRISTLE) + first_row) % TEXTURE
            texture_column = (int((u + back) / bristle * PER_BRISTLE * 0.5) + first_column) % TEXTURE
            streak = texture[texture_row, texture_column]
            end = min(u + back, ahead - u) + ragged * half * (2 * streak - 1)
            cover = opacity * min(max(half - abs(v) + 0.5, 0.0), 1.0) * min(max(end + 0.5, 0.0), 1.0)
            spent = dryness * ((u + back) / (back + ahead)) ** 2
            cover *= min(max((streak - spent) * 4 + 0.5, 0.0), 1.0)
            for c in range(3):
                wanted = colour[c] + (streaks * (streak - 0.5) if c == 0 else 0.0)
                canvas[row, column, c] += cover * (wanted - canvas[row, column, c])
            ridge = min(abs(v) / half, 1.0) ** 8  # paint is pushed to the sides
            laid = thickness * body * (0.3 + 0.5 * streak + 0.4 * ridge)
            relief[row, column] += cover * (laid - 0.75 * relief[row, column])


@njit(cache=True, nogil=True)
def _distance(first, second):
    """Of two Lab colours."""
    return math.sqrt((first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2 + (first[2] - second[2]) ** 2)
