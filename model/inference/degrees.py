"""A style degree, or one that moves along a curve while a video plays."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

from model.common.errors import InputError

STEP = 0.01
"""Degrees on a curve are multiples of this: neighbours look alike, and frames of one degree are rendered together."""

_POINT = re.compile(r"([^@]+)@([^@]+?)s?")


@dataclass(frozen=True)
class DegreeCurve:
    """Straight lines between `(seconds, degree)` points in order of time; level before the first and after the last."""

    points: tuple[tuple[float, float], ...]

    def __call__(self, time: float | Fraction) -> float:
        """The degree at `time`, in seconds of the video."""
        after = bisect_right(self.points, float(time), key=lambda point: point[0])
        if after in (0, len(self.points)):
            degree = self.points[min(after, len(self.points) - 1)][1]
        else:
            (start, low), (end, high) = self.points[after - 1 : after + 1]
            degree = low + (high - low) * (float(time) - start) / (end - start)
        return round(degree / STEP) * STEP


def parse_degree(text: str, option: str = "--style_degree") -> float | DegreeCurve:
    """`0.7`, or a curve as `0@0s,1@3s`: degree 0 at the start, 1 after three seconds.

    Raises InputError for anything else, with `option` as the name of what was given.
    """
    if "@" not in text:
        return _degree(text, option)
    points: list[tuple[float, float]] = []
    for part in text.split(","):
        match = _POINT.fullmatch(part.strip())
        if match is None:
            raise InputError(f"{option} has the point {part.strip()!r}: write DEGREE@SECONDS, as in 0@0s,1@3s.")
        degree, time = _degree(match[1], option), _number(match[2], option)
        if points and time <= points[-1][0]:
            raise InputError(f"{option} goes back in time at {part.strip()}: give later points later.")
        points.append((time, degree))
    return DegreeCurve(tuple(points))


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option}: {text!r} is not a number; --help lists the options") from error


def _degree(text: str, option: str) -> float:
    degree = _number(text, option)
    if not 0 <= degree <= 1:
        raise InputError(f"{option} is {degree:g}: give a number from 0 to 1.")
    return degree
