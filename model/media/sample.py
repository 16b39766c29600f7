"""The sample portrait, which is stylised when nothing else is given, and clips from a photo.

python -m model.media.sample clip.mp4 --photo me.jpg --seconds 4
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from model.common import cli
from model.common.errors import InputError
from model.media.files import open_frames, open_sink
from model.media.frames import DEFAULT_RATE, Frame, FrameSource

SAMPLE_NAME = "astronaut"
ZOOM = (1.12, 1.24)  # least and greatest enlargement; the least leaves room for the pan and the tilt
PAN = 0.025  # largest shift in each direction, as a fraction of the picture's sides
TILT = 1.5  # degrees


def sample_portrait() -> np.ndarray:
    """The astronaut Eileen Collins by NASA, public domain, from inside scikit-image: RGB uint8 `[512, 512, 3]`."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut())


class PanSource(FrameSource):
    """A video of a photo `[H, W, 3]` uint8, of the same size, at 25 frames per second; `path` names it."""

    rate = DEFAULT_RATE

    def __init__(self, path: Path, rgb: np.ndarray, seconds: float):
        super().__init__(path)
        self.expected_frames = max(1, round(seconds * self.rate))
        self._rgb = rgb
        self.first = next(self._read())

    def _read(self) -> Iterator[Frame]:
        size, settings = self._rgb.shape[:2], {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
        for number in range(self.expected_frames):
            view = view_at(number / self.expected_frames, size)
            yield Frame(cv2.warpAffine(self._rgb, view, size[::-1], **settings), number / self.rate)
        self.end = self.expected_frames / self.rate


def view_at(time: float, size: tuple[int, int]) -> np.ndarray:
    """Affine matrix `[2, 3]` from a picture of `size` (height, width) to what is seen at `time` in [0, 1)."""
    phase = 2 * math.pi * time
    zoom = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * (1 - math.cos(phase)) / 2
    height, width = size
    view = cv2.getRotationMatrix2D((width / 2, height / 2), TILT * math.sin(phase), zoom)
    view[:, 2] += PAN * width * math.sin(phase), PAN * height * math.sin(2 * phase)
    return view


def main() -> None:
    """Write the clip."""
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the clip, a name that ends in .mp4")
    parser.add_argument("--photo", type=Path, help="the photo (default: the sample portrait)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the clip (default: 4)")
    options = parser.parse_args()
    if not 0 < options.seconds < math.inf:
        raise InputError(f"--seconds is {options.seconds:g}: give a length above 0.")
    if options.out.suffix.lower() != ".mp4":
        raise InputError(f"{options.out} is no name for a clip: give one that ends in .mp4.")
    path, rgb = Path(SAMPLE_NAME), sample_portrait()
    if options.photo is not None:
        with open_frames(options.photo) as photo:
            path, rgb = options.photo, photo.first.rgb
    with PanSource(path, rgb, options.seconds) as source, open_sink(options.out, source) as sink:
        sink.mark = None  # it is for programs to take, as the photo is
        for frame in source:
            sink.write(frame)


if __name__ == "__main__":
    cli.run(main)
