"""Write photos of stored pairs as pictures, framed as a student sees them: what int8 measures its ranges with.

python -m model.mobile.frames --pairs pairs --count 64 --out frames
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.tensors import to_uint8
from model.config import MobileConfig
from model.training.data.framed import FramedPictures
from model.training.data.shards import StoredPair, index_pairs


@dataclass
class Options:
    """Options of the command line."""

    pairs: list[str] = option([], "pairs of photo and picture", nargs="+", metavar="SHARDS")
    count: int = option(64, "photos to write, spread over all", least=1)
    eye_distance: float = option(MobileConfig.eye_distance, "pixels between the eyes", least=8, most=128)
    out: str = option("", "folder for the photos; it is made", metavar="FOLDER")


def write_frames(options: Options) -> int:
    """Write the photos; returns how many there are. InputError for pairs that have no faces."""
    if not options.pairs or not options.out:
        raise InputError("--pairs and --out are needed: shards of generate_data.py, and a folder for the photos.")
    photos: dict[str, StoredPair] = {}
    for pair in index_pairs(options.pairs):
        photos.setdefault(pair.source, pair)
    pairs = list(photos.values())
    if "landmarks" not in pairs[0].facts():
        raise InputError(f"{options.pairs[0]} holds {pairs[0].kind} pairs, without landmarks: give others.")
    items = FramedPictures(pairs, options.eye_distance)
    numbers = np.unique(np.linspace(0, len(pairs) - 1, min(options.count, len(pairs))).astype(int))
    for place, number in enumerate(numbers):
        rgb = to_uint8(items[int(number)]["x"]).numpy()
        png = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes()
        write_whole(Path(options.out) / f"{place:03d}.png", png)
    return len(numbers)


def main() -> None:
    """Parse the command line, write, and say how many."""
    options = cli.parse(Options, __doc__)
    print(f"{write_frames(options)} photos are in {options.out}.")


if __name__ == "__main__":
    cli.run(main)
