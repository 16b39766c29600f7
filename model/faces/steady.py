"""Landmarks, and other points, over time without the trembling of what found them."""

import math

import numpy as np

from model.faces.landmarks import face_size

REST_HERTZ, PER_SPEED, SPEED_HERTZ = (
    1.5,
    4.0,
    1.0,
)  # the filter's corner at rest, its rise with speed, of speed


class SteadyPoints:
    """The one-euro filter (Casiez et al. 2012): what hardly moves is smoothed, what moves is followed at once.

    rest_hertz: the corner at rest. State is of the same points; others need a new filter.
    """

    def __init__(self, rest_hertz: float = REST_HERTZ) -> None:
        self._rest_hertz = rest_hertz
        self._last: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self._time = 0.0

    def __call__(self, points: np.ndarray, time: float, unit: float) -> np.ndarray:
        """Points float32 `[N, 2]` at `time` in seconds, smoothed by those before; speeds are in units a second."""
        if self._last is None or time <= self._time:
            self._last, self._speed, self._time = points, np.zeros(len(points)), time
            return points
        step, self._time = time - self._time, time
        moved = np.linalg.norm(points - self._last, axis=1) / unit / step
        self._speed = self._speed + _share(SPEED_HERTZ, step) * (moved - self._speed)
        share = _share(self._rest_hertz + PER_SPEED * self._speed, step)
        self._last = (self._last + share[:, None] * (points - self._last)).astype(np.float32)
        return self._last


class SteadyLandmarks(SteadyPoints):
    """The same for the landmarks `[68, 2]` of one face; the unit is its eye distance."""

    def __call__(self, landmarks: np.ndarray, time: float, unit: float | None = None) -> np.ndarray:
        return super().__call__(landmarks, time, face_size(landmarks) if unit is None else unit)


def _share(hertz: np.ndarray | float, step: float) -> np.ndarray | float:
    """How much of a change a low-pass filter with this corner takes over in a step, in seconds."""
    return 1 / (1 + 1 / (2 * math.pi * hertz * step))
