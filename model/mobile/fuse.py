"""Fuse two generators of one base, layer by layer: shapes of one, colours of the other.

    python -m model.mobile.fuse --coarse cartoon.pt --fine photo.pt --layer 6 --out fused.pt
    python -m model.mobile.fuse --coarse cartoon.pt --fine photo.pt --weight 1 1 .8 .5 .2 0 0 ... --out fused.pt

Each layer's weights are a mean of both, W = a·W_coarse + (1 - a)·W_fine: a is 1 before --layer and 0 from there on
(Pinkney and Adler, 2020), with --width it falls along a sigmoid. For more than two, fuse the result again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model import checkpoints
from model.common import cli
from model.common.cli import check_ranges, option
from model.common.errors import InputError
from model.common.weight_files import stored, write_contents
from model.training.options import BACKBONES, RECIPES
from model.training.teachers.variants import SHARED_PARTS, blend_state_dicts

SAME = 1e-3  # of the mapping networks, relative: fine-tuning leaves them, or moves them little
TOO_FAR = 0.5


@dataclass
class Options:
    """Options of the command line."""

    coarse: str = option("", "generator whose shapes are wanted", metavar="FILE")
    fine: str = option("", "generator whose colours and textures are wanted", metavar="FILE")
    out: str = option("", "file to write", metavar="FILE")
    layer: int | None = option(None, "first layer of w+ that is the fine one's (default: half of them)", least=0)
    width: float = option(0.0, "how many layers the change takes, about; 0: none", least=0)
    weight: list[float] = option(
        [], "instead, the share of the coarse one for each layer of w+", nargs="+", metavar="W", least=0, most=1
    )
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])

    def shares(self, count: int) -> list[float]:
        """The share of the coarse generator for each of `count` layers; InputError where they don't fit."""
        if self.weight:
            if self.layer is not None or self.width:
                raise InputError("--weight and --layer exclude each other: give one of them.")
            if len(self.weight) != count:
                raise InputError(f"--weight has {len(self.weight)} numbers: give {count}, one for each layer of w+.")
            return self.weight
        layer = count // 2 if self.layer is None else self.layer
        if layer > count:
            raise InputError(f"--layer is {layer}: this generator has {count} layers.")
        return layer_shares(count, layer, self.width)


def layer_shares(count: int, layer: int, width: float) -> list[float]:
    """1 for layers before `layer`, then 0; with a width `1 / (1 + exp((l + 1/2 - layer) / width))`."""
    place = np.arange(count) + 0.5 - layer
    return ((place < 0) if width == 0 else 1 / (1 + np.exp(place / width))).astype(float).tolist()


def fuse(options: Options) -> Path:
    """Write the fused generator; returns its path. InputError for files that don't fit together."""
    check_ranges(options)
    for name in ("coarse", "fine", "out"):
        if not getattr(options, name):
            raise InputError(f"--{name} is missing: give --coarse and --fine generators, and --out a file to write.")
    if Path(options.out).exists():
        raise InputError(f"{options.out} already exists: give --out another file.")
    sizes = RECIPES[options.config].network.generator
    shares = options.shares(sizes.w_layers)
    coarse, fine = (checkpoints.load_generator(path, sizes) for path in (options.coarse, options.fine))
    apart = mapping_distance(coarse, fine)
    if apart > TOO_FAR:
        raise InputError(
            f"{options.coarse} and {options.fine} are of different bases: fuse generators of the same one."
        )
    if apart > SAME:
        cli.say(f"the mapping networks differ by {apart:.1%}, and that of {options.fine} is taken")
    coarse.load_state_dict(blend_state_dicts(fine.state_dict(), coarse.state_dict(), shares))
    write_contents(options.out, {checkpoints.EMA_KEY: stored(coarse)})
    print("share of the coarse one by layer: " + " ".join(f"{share:.2g}" for share in shares))
    return Path(options.out)


def mapping_distance(a: torch.nn.Module, b: torch.nn.Module) -> float:
    """How far apart what generators of one base share is: the norm of the difference, relative to that of one."""
    pairs = [(value, b.get_parameter(name)) for name, value in a.named_parameters() if name.startswith(SHARED_PARTS)]
    apart, size = (torch.stack([norm.norm() for norm in each]).norm() for each in
                   ([x - y for x, y in pairs], [x for x, _ in pairs]))  # fmt: skip
    return (apart / size).item()


def main() -> None:
    """Parse the command line, fuse, and say where the result is."""
    print(f"The fused generator is {fuse(cli.parse(Options, __doc__))}.")


if __name__ == "__main__":
    cli.run(main)
