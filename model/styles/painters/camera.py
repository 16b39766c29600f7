"""How a camera has moved: what is behind a person in one photo, found again in others.

Least squares over the lightness of many points (Lucas and Kanade 1981, turned round as by Baker and Matthews 2004), so
that faint texture counts as far as it goes, and what shows none stays where it is thought to be.
"""

import cv2
import numpy as np

CELL = 8  # pixels of a square of which the point with the steepest lightness is taken
LEVELS = 4, 1  # times that the copies are reduced, in which a movement is found one after the other
ROUNDS = 4  # of least squares in each
LEAST_POINTS = 60
STAYS = 0.35  # mean square of a slope, in levels a pixel, that is not more than what is thought to be
SOFT = 1.2  # pixels of blur, against noise


class Backdrop:
    """What is behind in a photo RGB uint8 `[H, W, 3]`, where `free`, bool `[H, W]`."""

    def __init__(self, rgb: np.ndarray, free: np.ndarray):
        self._levels = [_Level(rgb, free, times) for times in LEVELS]

    def found(self, rgb: np.ndarray, free: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The similarity `[2, 3]` from the pixels of another photo to those of this one, where one is thought to be."""
        wanted = np.vstack([matrix, (0, 0, 1)])
        for level in self._levels:
            wanted = level.found(_grey(rgb, level.times), free, wanted)
        return wanted[:2]


class _Level:
    """The same in copies that are reduced so many times."""

    def __init__(self, rgb: np.ndarray, free: np.ndarray, times: int):
        self.times, self._grey = times, _grey(rgb, times)
        slopes = [cv2.Sobel(self._grey, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1))]
        steep = cv2.magnitude(*slopes) * _reduced(free.astype(np.float32), times).clip(0, 1)
        x, y = _steepest(steep)
        self._points = np.stack([x, y], axis=1).astype(np.float32)
        self._values = self._grey[y, x]
        across, down = slopes[0][y, x], slopes[1][y, x]
        height, width = self._grey.shape
        self._middle, self._size = np.array([(width - 1) / 2, (height - 1) / 2]), max(height, width) / 2
        u, v = ((self._points - self._middle) / self._size).T
        # By how much lightness changes with a similarity's four numbers, each of them in pixels.
        self._change = np.stack([across * u + down * v, down * u - across * v, across, down], axis=1).astype(np.float64)

    def found(self, grey: np.ndarray, free: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """As `Backdrop.found`, of a reduced copy float32; matrices `[3, 3]` between the whole photos."""
        if len(self._points) < LEAST_POINTS:
            return matrix
        whole = np.diag((self.times, self.times, 1.0))
        whole[:2, 2] = (self.times - 1) / 2
        start = now = np.linalg.inv(whole) @ matrix @ whole
        is_free = _reduced(free.astype(np.float32), self.times)
        moved, errors = np.zeros(4), []
        for _ in range(ROUNDS):
            there = cv2.transform(self._points[None], np.linalg.inv(now)[:2]).astype(np.float32)[0]
            seen, usable = (
                cv2.remap(each, there[:, None], None, cv2.INTER_LINEAR, borderValue=0)[:, 0] for each in (grey, is_free)
            )
            usable = usable > 0.9
            if usable.sum() < LEAST_POINTS:
                return matrix
            left = (seen - self._values)[usable].astype(np.float64)
            left -= np.median(left)  # the light may have changed
            usual = 1.5 * np.median(np.abs(left)) + 1
            errors.append(np.minimum(np.abs(left), 2 * usual).mean())
            change = self._change[usable]
            weighted = change / np.maximum(np.abs(left) / usual, 1)[:, None]
            stays = STAYS * self.times * usable.sum()
            step = np.linalg.solve(weighted.T @ change + stays * np.eye(4), weighted.T @ left - stays * moved)
            moved, now = moved + step, self._similarity(step) @ now
            if np.abs(step).max() < 0.005:
                break
        better = now if errors[-1] <= errors[0] else start
        return whole @ better @ np.linalg.inv(whole)

    def _similarity(self, step: np.ndarray) -> np.ndarray:
        grown, turn, x, y = step
        matrix = np.eye(3)
        matrix[:2, :2] += np.array([(grown, -turn), (turn, grown)]) / self._size
        matrix[:2, 2] = self._middle + (x, y) - matrix[:2, :2] @ self._middle
        return matrix


def _reduced(values: np.ndarray, times: int) -> np.ndarray:
    size = tuple(max(side // times, 1) for side in values.shape[1::-1])
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA)


def _grey(rgb: np.ndarray, times: int) -> np.ndarray:
    return cv2.GaussianBlur(cv2.cvtColor(_reduced(rgb, times), cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), SOFT)


def _steepest(steep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the largest value in each cell, where it is not 0."""
    rows, columns = (side // CELL for side in steep.shape)
    cells = steep[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)
    cells = cells.reshape(rows, columns, CELL * CELL)
    best = cells.argmax(axis=2)
    row, column = np.nonzero(cells.max(axis=2) > 0)
    best = best[row, column]
    return column * CELL + best % CELL, row * CELL + best // CELL
