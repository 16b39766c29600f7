"""Fields of parallel lines: ruled ones that bend over a relief, and ones that grow along given directions.

A field is a smooth wave, 1 in the middle of each line and -1 between two, so lines of any width are cut from it.
"""

import cv2
import numpy as np
from numba import njit

from model.styles.painters.flats import crisp

PERIOD = 5.2  # pixels from line to line on the copy on which lines are laid out
TURNS = 48  # directions that filters are made for
GAIN = 3.0  # by which a wave is raised after each round, as filters weaken it
WOBBLE = 24  # pixels over which the hand is unsteady


def ruled(size: tuple[int, int], angle: float, shift: np.ndarray) -> np.ndarray:
    """Number of the line at each pixel, float32 `[H, W]`, for lines that rise to the right by so many degrees, moved by
    `shift` lines."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    turn = np.radians(angle)
    return ((rows * np.cos(turn) + columns * np.sin(turn)) / PERIOD + shift).astype(np.float32)


def wave(number: np.ndarray) -> np.ndarray:
    """The field of lines that are numbered so."""
    return np.cos(2 * np.pi * number)


def cut(field: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Ink float32 `[H, W]` of lines that cover a part `width` of each period: 0 is no line, 1 is solid."""
    return crisp(field - np.cos(np.pi * width)) * (width > 0.02)


def unsteady(size: tuple[int, int], by: float, rng: np.random.Generator) -> np.ndarray:
    """How far a hand strays, float32 `[H, W]`: smooth noise."""
    noise = rng.standard_normal((size[0] // WOBBLE + 2, size[1] // WOBBLE + 2)).astype(np.float32)
    return by * cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def grown(start: np.ndarray, directions: np.ndarray, where: np.ndarray, rounds: int) -> np.ndarray:
    """A field of lines `PERIOD` apart along unit vectors `[H, W, 2]`, where asked for; elsewhere it is the one to start
    with. Lines fork where they must: what is kept of the field in each round is what a filter for lines of the local
    direction sees in it, as prints of fingers are grown (Cappelli et al. 2000)."""
    lines = start.astype(np.float32)
    turns = np.round(np.arctan2(directions[..., 1], directions[..., 0]) / np.pi * TURNS).astype(np.int32) % TURNS
    places, filters = np.argwhere(where).astype(np.int32), _filters()
    for _ in range(rounds):
        lines = _filtered(lines, filters, turns, places)
    strength = np.sqrt(2 * cv2.GaussianBlur(lines**2, (0, 0), PERIOD)) + 1e-3
    return np.clip(lines / strength, -1, 1)


def _filters() -> np.ndarray:
    """One for lines of each direction, float32 `[TURNS, K, K]`: a wave across them under a long Gaussian."""
    reach = round(1.15 * PERIOD)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    filters = []
    for angle in np.pi * np.arange(TURNS) / TURNS:
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        envelope = np.exp(-0.5 * (across / (0.45 * PERIOD)) ** 2 - 0.5 * (along / (0.8 * PERIOD)) ** 2)
        kernel = envelope * np.cos(2 * np.pi * across / PERIOD)
        kernel -= envelope * kernel.sum() / envelope.sum()
        filters.append(GAIN * kernel / np.abs(kernel).sum())
    return np.array(filters, np.float32)


@njit(cache=True, nogil=True)
def _filtered(values, filters, turns, places):
    """One round at the places: the filter of the place's direction, then a soft limit of 1."""
    height, width = values.shape
    size = filters.shape[1]
    reach = size // 2
    out = values.copy()
    for number in range(places.shape[0]):
        row, column = places[number, 0], places[number, 1]
        top, left = row - reach, column - reach
        turn = turns[row, column]
        total = np.float32(0)
        if top >= 0 and left >= 0 and top + size <= height and left + size <= width:
            for i in range(size):
                for j in range(size):
                    total += filters[turn, i, j] * values[top + i, left + j]
        else:
            for i in range(size):
                for j in range(size):
                    y, x = min(max(top + i, 0), height - 1), min(max(left + j, 0), width - 1)
                    total += filters[turn, i, j] * values[y, x]
        out[row, column] = np.tanh(total)
    return out
