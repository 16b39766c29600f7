"""A clip from a photo: a virtual camera pans, zooms and tilts a little over it, and is back where it began at the end.

    python -m model.media.pan clip.mp4 --photo me.jpg --seconds 4
"""

import argparse
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from model.common import cli
from model.common.errors import InputError
from model.media.files import open_frames, open_sink
from model.media.frames import DEFAULT_RATE, Frame, FrameSource
from model.media.sample import SAMPLE_NAME, sample_portrait

ZOOM = (1.12, 1.24)
"""Least and greatest enlargement; the least leaves room for the pan and the tilt."""

PAN = 0.025
"""Largest shift in each direction, as a fraction of the picture's sides."""

TILT = math.radians(1.5)


class CameraSource(FrameSource):
    """A video of a photo `[H, W, 3]` uint8, of the same size, at 25 frames per second."""

    rate = DEFAULT_RATE

    def __init__(self, path: Path, rgb: np.ndarray, seconds: float):
        super().__init__(path)
        self.expected_frames = max(1, round(seconds * self.rate))
        self._rgb = rgb
        self.first = self._frame(0)

    def _frame(self, number: int) -> Frame:
        height, width = self._rgb.shape[:2]
        view = camera(number / self.expected_frames, (height, width))
        rgb = cv2.warpAffine(
            self._rgb, view, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return Frame(rgb, Fraction(number) / self.rate)

    def _read(self) -> Iterator[Frame]:
        yield from map(self._frame, range(self.expected_frames))
        self.end = Fraction(self.expected_frames) / self.rate


def camera(time: float, size: tuple[int, int]) -> np.ndarray:
    """Affine matrix `[2, 3]` from a picture of `size` (height, width) to what is seen at `time` in [0, 1)."""
    phase = 2 * math.pi * time
    zoom = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * (1 - math.cos(phase)) / 2
    height, width = size
    view = cv2.getRotationMatrix2D((width / 2, height / 2), math.degrees(TILT * math.sin(phase)), zoom)
    view[:, 2] += PAN * width * math.sin(phase), PAN * height * math.sin(2 * phase)
    return view


def main() -> None:
    """Write the clip."""
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the clip, a name that ends in .mp4")
    parser.add_argument("--photo", type=Path, help="the photo (default: the sample portrait)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the clip (default: 4)")
    options = parser.parse_args()
    if not options.seconds > 0 or not math.isfinite(options.seconds):
        raise InputError(f"--seconds is {options.seconds:g}: give a length above 0.")
    if options.out.suffix.lower() != ".mp4":
        raise InputError(f"{options.out} is no name for a clip: give one that ends in .mp4.")
    if options.photo is None:
        path, rgb = Path(SAMPLE_NAME), sample_portrait()
    else:
        with open_frames(options.photo) as photo:
            path, rgb = options.photo, photo.first.rgb
    with CameraSource(path, rgb, options.seconds) as source, open_sink(options.out, source) as sink:
        for frame in source:
            sink.write(frame)


if __name__ == "__main__":
    cli.run(main)
