"""How large a result may be, and how much memory it takes: known before a model is loaded."""

import numpy as np

from model.common import cli
from model.inference.options import Options
from model.media.frames import FrameSource, check_size
from model.media.video_writer import encoder_memory

BASE = 0.9e9  # bytes that the program takes besides
COPIES = {True: 18, False: 8}  # bytes for each pixel of a film's frame on its way to the encoder, or of a photo
MUCH = 3e9  # bytes from which on the need of memory is told


def check_result(source: FrameSource, options: Options, crop: tuple[int, int] | None = None) -> None:
    """Raise InputError where the result is larger than its file can hold; say how much memory it takes where that is
    much. crop: height and width of the crop's cartoon; None: not known yet, and only the whole frame is checked."""
    if not options.full_frame and crop is None:
        return
    height, width = np.multiply(source.size, options.full_frame).tolist() if options.full_frame else crop
    width *= 2 if options.compare else 1
    is_film = source.is_video and not options.preview
    check_size(".mp4" if is_film else ".jpg", height, width)
    memory = BASE + COPIES[is_film] * height * width + (encoder_memory(height * width) if is_film else 0)
    if crop is not None and memory > MUCH:
        cli.say(f"{source.path}: results of {width} x {height} pixels take about {memory / 1e9:.0f} GB of memory")
