"""Pairs of a clip's frames and what somebody painted over them (Texler et al., 2020)."""

import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from model.common.errors import InputError
from model.media.files import open_frames
from model.styles.keyframes.paintings import laid_over, read_cover, read_painting
from model.styles.keyframes.presets import parse_keyframes
from model.training.data.shards import Result, encode_pair
from model.training.generate.options import KeyframeData
from model.training.generate.write import fill_folder


def generate_keyframes(options: KeyframeData) -> Counter[str]:
    """Write the missing shards; returns how many pairs there are. Raises InputError."""
    options.check()
    if options.content is None:
        raise InputError("--content is missing: name the clip whose frames were painted.")
    if not options.keyframe:
        raise InputError("--keyframe is missing: give the number of a frame, =, and its painting, as in 0=painted.png.")
    files = dict(parse_keyframes(options.keyframe).paintings)
    frames, paintings = read_frames(options.content, files), {}
    for number, file in files.items():
        layer = read_painting(file)
        (height, width), found = frames[number].shape[:2], layer.shape[:2]
        if found != (height, width):
            size = f"{found[1]} x {found[0]} pixels, the frame {width} x {height}"
            raise InputError(f"the painting of frame {number} has {size}: paint it at the size of the frame.")
        paintings[number] = laid_over(layer, read_cover(file), frames[number])
    pictures = [each.tobytes() for number in paintings for each in (frames[number], paintings[number])]
    settings = {"teacher": "keyframe", "clip": options.content.name, "frames": list(paintings)}
    settings |= {"pictures": zlib.crc32(b"".join(pictures)), "count": len(paintings)}
    settings["pairs_per_shard"] = options.pairs_per_shard

    def draw(shards: list[range]) -> Iterator[Result]:
        for place in (place for numbers in shards for place in numbers):
            number = list(paintings)[place]
            facts = {"kind": "keyframe", "style": options.content.stem, "frame": number, "source": f"{number}"}
            yield Result(f"{place:06d}", encode_pair(frames[number], paintings[number], None, facts))

    return fill_folder(options.out, settings, draw)


def read_frames(clip: Path, numbers: Collection[int]) -> dict[int, np.ndarray]:
    """The frames of a clip with these numbers, RGB uint8 `[H, W, 3]`. InputError where it is shorter."""
    with open_frames(clip) as source:
        frames = {n: frame.rgb for n, frame in enumerate(islice(source, max(numbers) + 1)) if n in numbers}
        count = max(frames, default=-1)
    if missing := [number for number in numbers if number not in frames]:
        raise InputError(f"{clip} has no frame {missing[0]}; the last one that was painted and is there is {count}.")
    return frames
