"""Leave the worst pairs of a U-GAT-IT out: those that its own discriminators believe least, or that lead back worst.

    python -m model.mobile.sift --pairs pairs --ckpt ugatit.pt --drop 0.1 --out sifted

A picture's score is the mean of two ranks among all: of what the discriminators of the style say, and of how far the
photo is that the second generator makes of it from the photo that it was. Shards are written anew; sheet.jpg shows the
best and the worst.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from tqdm import tqdm

from model import checkpoints
from model.common import cli
from model.common.cli import check_ranges, option
from model.common.devices import DEVICES, pick_device
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.tensors import image_grid, to_tensor
from model.training.data.shards import StoredPair, encode_picture, index_pairs, write_shard
from model.ugatit import Ugatit

SHOWN, CELL = 8, 192  # pairs of each kind on the sheet
PAIRS_PER_SHARD = 256


@dataclass
class Options:
    """Options of the command line."""

    pairs: list[str] = option([], "pairs of generate_data.py --teacher ugatit", nargs="+", metavar="SHARDS")
    ckpt: str = option("", "the U-GAT-IT, with its discriminators, as training leaves it", metavar="FILE")
    drop: float = option(0.1, "share of the pairs to leave out", least=0, most=0.9)
    out: str = option("", "folder for the other pairs; it is made", metavar="FOLDER")
    device: str = option("auto", "where to compute", choices=DEVICES)


@torch.no_grad()
def score(networks: Ugatit, photo: torch.Tensor, picture: torch.Tensor) -> tuple[float, float]:
    """How far the discriminators of pictures `[1, 3, S, S]` are from believing one, and how far the photo it leads back
    to is from the photo that it was made of: less is better."""
    doubt = 0.0
    for judge in (networks.disGB, networks.disLB):
        logits, attention, _ = judge(picture)
        doubt += (1 - logits).square().mean().item() + (1 - attention).square().mean().item()
    back = networks.genB2A(picture)[0]
    return doubt, F.l1_loss(back, photo).item()


def order_of(scores: np.ndarray) -> np.ndarray:
    """Numbers of the pairs from best to worst: by the mean of the ranks in each column of `scores [n, k]`."""
    return np.argsort(np.mean([rankdata(column) for column in scores.T], axis=0), kind="stable")


def sift(options: Options) -> tuple[int, int]:
    """Write the better pairs; returns how many stay and how many go. InputError for files that don't fit."""
    check_ranges(options)
    out = Path(options.out)
    if not options.pairs or not options.ckpt or not options.out:
        raise InputError("--pairs, --ckpt and --out are needed: shards, a U-GAT-IT, and a folder for the better pairs.")
    if list(out.glob("pairs-*.tar")):
        raise InputError(f"{out} holds pairs already: give --out another folder.")
    pairs, device = index_pairs(options.pairs), pick_device(options.device)
    networks = checkpoints.load_ugatit_networks(options.ckpt).eval().requires_grad_(False).to(device)
    side, scores = networks.genA2B.config.size, []
    for pair in tqdm(pairs, unit="pair"):
        photo, picture = (_tensor(pair, name, side, device) for name in ("photo", "full"))
        scores.append(score(networks, photo, picture))
    order = order_of(np.array(scores))
    kept = set(order[: max(1, round(len(pairs) * (1 - options.drop)))].tolist())
    chosen = [pair for number, pair in enumerate(pairs) if number in kept]
    for number, first in enumerate(range(0, len(chosen), PAIRS_PER_SHARD)):
        write_shard(out / f"pairs-{number:05d}.tar", _parts(chosen[first : first + PAIRS_PER_SHARD], first))
    ends = [*order[:SHOWN], *order[-SHOWN:]]
    columns = [torch.cat([_tensor(pairs[n], name, CELL, "cpu") for n in ends]) for name in ("photo", "full")]
    halves = [half for column in columns for half in (column[:SHOWN], column[-SHOWN:])]
    write_whole(out / "sheet.jpg", encode_picture(image_grid([halves[0], halves[2], halves[1], halves[3]], CELL)))
    return len(chosen), len(pairs) - len(chosen)


def _tensor(pair: StoredPair, name: str, side: int, device: torch.device | str) -> torch.Tensor:
    return F.interpolate(to_tensor(pair.picture(name)[None], device), (side, side), mode="area")


def _parts(pairs: list[StoredPair], first: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    for number, pair in enumerate(pairs, first):
        yield f"{number:06d}", {part: pair.read(part) for part in pair.parts}


def main() -> None:
    """Parse the command line, sift, and say how many pairs stay."""
    options = cli.parse(Options, __doc__)
    stay, go = sift(options)
    print(f"{stay} pairs are in {options.out}, {go} were left out: look at {Path(options.out) / 'sheet.jpg'}.")


if __name__ == "__main__":
    cli.run(main)
