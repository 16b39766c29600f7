"""Codes of aligned faces, photos or drawings, and a sheet that shows each beside what a generator makes of its code.

    python -m model.training.own.invert_folder --data aligned --encoder_path checkpoint/e4e_ffhq_encode.pt --out mine

Writes, by the pictures' names and in w+: codes.npy, what the encoder sees, from which JoJoGAN starts, since it looks
like a photo; and optimised_codes.npy, which comes nearer to the picture after --steps steps, with the noise that goes
with it. A run that was stopped goes on with --resume.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import pick_device
from model.common.files import write_whole
from model.config import GeneratorConfig
from model.training.data.pictures import PictureFolder
from model.training.data.shards import encode_picture
from model.training.options import ToonifyOptions
from model.training.own import invert
from model.training.own.encoders import FaceEncoder
from model.training.own.judges import load_distance, load_identity
from model.training.own.parts import PartOptions, check, in_parts
from model.training.own.sheet import small

CODES_FILE, OPTIMISED_FILE, SHEET_FILE = "codes.npy", "optimised_codes.npy", "inversions.jpg"
SHEET_ROWS = 40


@dataclass
class Options(PartOptions):
    """Options of the command line."""

    data: str = option("", "folder of aligned faces", metavar="FOLDER", free=True)
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "the StyleGAN2 that is to draw them", free=True)
    encoder_path: str = option("checkpoint/e4e_ffhq_encode.pt", "encoder: e4e, pSp, or one of one's own", free=True)
    out: str = option("inverted", "folder for codes and sheet; it is made", metavar="FOLDER", free=True)
    steps: int = option(invert.STEPS, "steps of optimisation; 0: the encoder's codes alone", least=0)
    name: str = option("invert", "name of the run")


class Inverter:
    """The networks and pictures of a run; called with numbers of pictures, it gives their codes and small pictures."""

    def __init__(self, options: Options, sizes: GeneratorConfig):
        self.options, device = options, pick_device(options.device)
        self.pictures = PictureFolder(options.data, sizes.size)
        generator = checkpoints.load_generator(options.stylegan_path, sizes)
        self.generator = generator.requires_grad_(False).to(device)
        self.encoder = FaceEncoder.load(options.encoder_path, self.generator)
        if options.steps:
            self.distance = load_distance(options, options.stylegan_path, sizes, device)
            self.arcface = load_identity(options, device)

    @torch.no_grad()
    def __call__(self, part: Sequence[int]) -> dict[str, Tensor]:
        options, space = self.options, "w+" if self.encoder.makes_w else "z+"
        pictures = torch.stack([self.pictures[number] for number in part]).to(self.generator.input["input"])
        seen = self.encoder.w_codes(pictures)
        noise = "fixed" if self.generator.config.noise_buffers else "none"
        found, columns = {"codes": seen.cpu()}, [pictures, self.generator(seen, noise)]
        if options.steps:
            inversion = invert.invert(
                self.generator, pictures, seen if self.encoder.makes_w else self.encoder.z_codes(pictures),
                perceptual=self.distance, identity=self.arcface, seeds=[options.seed + number for number in part],
                steps=options.steps, space=space, batch=len(part), progress=False,
            )  # fmt: skip
            codes = inversion.codes if self.encoder.makes_w else self.generator.mapping(inversion.codes)
            found["optimised"] = codes.cpu()
            columns.append(inversion.rendered)
        if part[0] < SHEET_ROWS:  # thousands of pictures would fill the memory
            found["shown"] = torch.stack([small(column) for column in columns]).cpu()
        return found


def invert_folder(options: Options) -> Path:
    """Find the codes of all pictures; returns the folder that has them. Errors and interrupts as for `in_parts`."""
    check(options, "data")
    if options.steps:
        print(options.told(), flush=True)
    work = Inverter(options, options.recipe.network.generator)
    names = work.pictures.names
    sums = {name: zlib.crc32(path.read_bytes()) for name, path in zip(names, work.pictures.paths, strict=True)}
    parts, out = in_parts(options, {"pictures": sums}, len(sums), work), Path(options.out)
    for file, kind in ((CODES_FILE, "codes"), (OPTIMISED_FILE, "optimised")):
        if kind in parts[0]:
            codes: np.ndarray = torch.cat([part[kind] for part in parts])[:, None].numpy()
            checkpoints.save_exemplars(out / file, dict(zip(names, codes, strict=True)))
    shown = torch.cat([part["shown"] for part in parts if "shown" in part], dim=1)[:, :SHEET_ROWS]
    write_whole(out / SHEET_FILE, encode_picture(invert.sheet(*shown)))
    return out


def main() -> None:
    """Parse the command line, find the codes, and say where they are."""
    out = invert_folder(cli.parse(Options, __doc__))
    print(f"The codes are in {out}: look at {out / SHEET_FILE} (picture | encoder | optimised).")


if __name__ == "__main__":
    cli.run(main)
