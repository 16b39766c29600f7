"""The sheet that shows a generator's new style: on the pictures that it learnt from, and on faces that it never saw.

    python -m model.training.own.sheet --data aligned/faces --finetunegan_path tuned.pt --out sheet.jpg

Above the pictures, with --codes beside their inversions and what the style makes of these; below twelve random faces,
first as photos, then in the style: two lines as samples are shown, two as VToonify's teachers draw them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, pick_device
from model.common.files import write_whole
from model.common.tensors import image_grid
from model.stylegan2 import Generator
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.data.shards import encode_picture
from model.training.options import BACKBONES, RECIPES, ToonifyOptions
from model.training.own.codes import load_picture_codes
from model.training.teachers.base import TRUNCATION

FACES = 12  # random faces, a column each
NATURAL_TRUNCATION, CODES_OF_MEAN = 0.7, 10_000  # about the mean code: how JoJoGAN shows its samples
CELL = 192  # side of a picture, in pixels
NOISE_SEED = 0


def mean_code(generator: Generator, seed: int = 0) -> Tensor:
    """Mean of mapping's codes, `[D]`."""
    weight = generator.input["input"]
    z = np.random.default_rng(seed).standard_normal((CODES_OF_MEAN, generator.config.style_dim), dtype=np.float32)
    return generator.mapping(torch.from_numpy(z).to(weight)).mean(0)


@torch.no_grad()
def random_codes(generator: Generator, seed: int, count: int = FACES) -> tuple[Tensor, Tensor]:
    """The same `count` faces twice, in w+, `[count, layers, D]`: truncated by 0.7 about the mean code, as samples are
    shown, and 0.5·w about zero, as VToonify's teachers draw them."""
    config, weight = generator.config, generator.input["input"]
    z = np.random.default_rng((seed, FACES)).standard_normal((count, 1, config.style_dim), dtype=np.float32)
    w = generator.mapping(torch.from_numpy(z).to(weight)).repeat(1, config.w_layers, 1)
    return torch.lerp(mean_code(generator).expand_as(w), w, NATURAL_TRUNCATION), TRUNCATION * w


@torch.no_grad()
def rendered(generator: Generator, codes: Tensor, side: int = CELL) -> Tensor:
    """Small pictures of `codes [n, layers, D]`, one after the other and all with the same noise: `[n, 3, side, side]`,
    RGB in [-1, 1]."""
    noise = layer_noise(generator.config, [NOISE_SEED], codes.device)
    pictures = [generator(code[None], noise).float().clamp(-1, 1) for code in codes]
    return torch.cat([small(picture, side) for picture in pictures])


def small(pictures: Tensor, side: int = CELL) -> Tensor:
    """`[n, 3, S, S]` at `side` pixels; enlarged ones by repetition."""
    mode = "area" if side < pictures.shape[-1] else "nearest"
    return F.interpolate(pictures, (side, side), mode=mode)


def style_sheet(base: Generator, tuned: Generator, pictures: Tensor, codes: Tensor | None, seed: int = 0) -> np.ndarray:
    """RGB uint8 `[H, W, 3]`. Above, for each of `pictures [n, 3, S, S]`: it | its inversion, `base` at `codes
    [n, layers, D]` | `tuned` there; without codes it alone. Below twelve random faces of `base` and under them of
    `tuned`: two lines as samples are shown, two as VToonify's teachers draw them."""
    columns = [] if codes is None else [rendered(base, codes), rendered(tuned, codes)]
    triples = torch.stack([small(pictures), *columns], dim=1).flatten(0, 1)
    blank = torch.ones(-len(triples) % FACES, *triples.shape[1:], device=triples.device)
    lines = [*torch.cat([triples, blank]).split(FACES)]
    for drawn in random_codes(base, seed):
        lines += [rendered(base, drawn), rendered(tuned, drawn)]
    return image_grid(torch.stack(lines, dim=1).unbind(), CELL)


@dataclass
class Options:
    """Options of the command line."""

    data: str = option("", "folder of the aligned pictures that were learnt from", metavar="FOLDER")
    codes: str = option("", "their codes in w+ (.npy); none: they are shown without", metavar="FILE")
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 of photos")
    finetunegan_path: str = option(ToonifyOptions.finetunegan_path, "the same, fine-tuned")
    out: str = option("sheet.jpg", "picture to write", metavar="FILE")
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    seed: int = option(0, "which random faces", least=0)
    device: str = option("auto", "where to compute", choices=DEVICES)


def write_sheet(options: Options) -> Path:
    """Write the sheet; returns its path. InputError for files that don't fit."""
    sizes, device = RECIPES[options.config].network.generator, pick_device(options.device)
    base, tuned = (
        checkpoints.load_generator(path, sizes).requires_grad_(False).to(device)
        for path in (options.stylegan_path, options.finetunegan_path)
    )
    folder = PictureFolder(options.data, sizes.size)
    count = min(len(folder.paths), FACES)
    pictures = torch.stack([folder[number] for number in range(count)]).to(device)
    codes = load_picture_codes(options.codes, folder.names, sizes)[:count].to(device) if options.codes else None
    write_whole(Path(options.out), encode_picture(style_sheet(base, tuned, pictures, codes, options.seed)))
    return Path(options.out)


def main() -> None:
    """Parse the command line, draw the sheet, and say where it is."""
    print(f"The sheet is {write_sheet(cli.parse(Options, __doc__))}.")


if __name__ == "__main__":
    cli.run(main)
