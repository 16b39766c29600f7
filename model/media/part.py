"""A part of a video."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from model.common.errors import InputError
from model.media.frames import Frame, FrameSource


class PartSource(FrameSource):
    """The frames of a video `source` from `start` to before `end` seconds (None: to its end); their times begin at 0.

    What comes before is decoded, too. Raises InputError where nothing is left.
    """

    is_part = True

    def __init__(self, source: FrameSource, start: float, end: float | None = None):
        super().__init__(source.path)
        self._source, self._start, self._until = source, Fraction(start), None if end is None else Fraction(end)
        self.name, self.rate, self.is_steady, self.time_base = (
            source.name, source.rate, source.is_steady, source.time_base
        )  # fmt: skip
        self.tracks = source.tracks
        if source.expected_frames:
            length = source.expected_frames / source.rate
            self.expected_frames = round((min(self._until or length, length) - self._start) * source.rate) or None
        self._shift = Fraction(0)
        first = next(iter(self), None)
        self.close()
        if first is None:
            raise InputError(f"{source.path} has no picture from {start:g} s on: choose another part.")
        self._shift = first.time
        self.origin, self.first = source.origin + self._shift, replace(first, time=Fraction(0))

    def _read(self) -> Iterator[Frame]:
        self._is_cut = False
        for frame in self._source:
            if self._until is not None and frame.time >= self._until:
                self._is_cut = True
                return
            if frame.time >= self._start:
                yield replace(frame, time=frame.time - self._shift)
        self.end = None if self._source.end is None else self._source.end - self._shift

    def _loop(self) -> Iterator[Frame]:
        yield from super()._loop()
        self.finished = not self._is_cut
        self.warning = self._source.warning
