"""Landmarks over time without the trembling of the predictor."""

import math

import numpy as np

from model.faces.landmarks import face_size

REST_HERTZ, PER_SPEED, SPEED_HERTZ = (
    1.5,
    4.0,
    1.0,
)  # the filter's corner at rest, its rise with speed, and that of speed


class SteadyLandmarks:
    """The one-euro filter (Casiez et al. 2012): what hardly moves is smoothed, what moves is followed at once.

    Speed is measured in eye distances a second. State is of one face; a new one needs a new filter.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self._time = 0.0

    def __call__(self, landmarks: np.ndarray, time: float) -> np.ndarray:
        """Landmarks float32 `[68, 2]` at `time` in seconds, smoothed by those before."""
        if self._last is None or time <= self._time:
            self._last, self._speed, self._time = landmarks, np.zeros(len(landmarks)), time
            return landmarks
        step, self._time = time - self._time, time
        moved = np.linalg.norm(landmarks - self._last, axis=1) / face_size(landmarks) / step
        self._speed = self._speed + _share(SPEED_HERTZ, step) * (moved - self._speed)
        share = _share(REST_HERTZ + PER_SPEED * self._speed, step)
        self._last = (self._last + share[:, None] * (landmarks - self._last)).astype(np.float32)
        return self._last


def _share(hertz: np.ndarray | float, step: float) -> np.ndarray | float:
    """How much of a change a low-pass filter with this corner takes over in a step, in seconds."""
    return 1 / (1 + 1 / (2 * math.pi * hertz * step))
