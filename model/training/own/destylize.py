"""Destylisation: faces of photos that look like drawn ones, and the style codes of both, from which DualStyleGAN learns
(Yang et al., CVPR 2022, Sec. 3.2).

    python -m model.training.own.destylize --data FOLDER --finetunegan_path finetuned.pt --out checkpoint/mine

The pictures are to be aligned; the generator is to be fine-tuned to them, its mapping network included. What an encoder
sees in a drawn face is its extrinsic code, exstyle_code.npy. The code with which the fine-tuned generator draws the
picture gives a photo with the one of photos, and what the encoder sees there is the intrinsic code, instyle_code.npy.
Where photos of the same faces are at hand, they take the place of all that: --pairs. A run that was stopped goes on
with --resume.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import pick_device
from model.common.errors import InputError
from model.common.files import write_whole
from model.config import GeneratorConfig
from model.stylegan2 import Generator
from model.training.data.pictures import PictureFolder
from model.training.data.shards import encode_picture
from model.training.options import ToonifyOptions
from model.training.own import invert
from model.training.own.codes import EXSTYLE_FILE, INSTYLE_FILE
from model.training.own.encoders import FaceEncoder
from model.training.own.judges import load_distance, load_identity
from model.training.own.parts import PartOptions, check, in_parts
from model.training.own.sheet import small

SHEET_ROWS = 12


@dataclass
class Options(PartOptions):
    """Options of the command line."""

    data: str = option("", "folder of aligned pictures in the style", metavar="FOLDER", free=True)
    pairs: str = option(
        "", "folder of aligned photos of the same faces, under the same names", metavar="FOLDER", free=True
    )
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 of photos", free=True)
    finetunegan_path: str = option(ToonifyOptions.finetunegan_path, "the same, fine-tuned to the pictures", free=True)
    encoder_path: str = option("checkpoint/encoder.pt", "encoder into z+: pSp, or one of one's own", free=True)
    out: str = option("checkpoint/mine", "folder for the codes and a sheet", metavar="FOLDER", free=True)
    steps: int = option(invert.STEPS, "steps of optimisation", least=1)
    truncation: float = option(
        0.7, "how far photos are from the mean one; for styles far from photos 0.5", least=0, most=1
    )
    name: str = option("destylize", "name of the run")


def own_rows(config: GeneratorConfig) -> slice:
    """The layers of codes that stay the exemplar's: 8 to 17 of 18."""
    return slice(config.structure_layers + 1, None)


@torch.no_grad()
def photo_like(base: Generator, codes: Tensor, seen: Tensor, noises: Sequence[Tensor], truncation: float) -> Tensor:
    """The third step's photo `[B, 3, S, S]`, of optimised `codes` with the upper layers of those `seen` by the encoder,
    both `[B, layers, D]` in z+."""
    rows = own_rows(base.config)
    codes = codes.clone()
    codes[:, rows] = seen[:, rows]
    return invert.render(base, codes, noises, truncation=truncation)


def intrinsic(encoder: FaceEncoder, photo: Tensor, seen: Tensor) -> Tensor:
    """Intrinsic codes `[B, layers, D]` in z+: what the encoder sees in `photo`, with the upper layers of `seen`."""
    codes = encoder.z_codes(photo.clamp(-1, 1)).clone()
    rows = own_rows(encoder.generator.config)
    codes[:, rows] = seen[:, rows]
    return codes


class Destylizer:
    """The networks and pictures of a run; called with numbers of pictures, it gives their codes and small pictures."""

    def __init__(self, options: Options, sizes: GeneratorConfig):
        self.options, device = options, pick_device(options.device)
        self.pictures = PictureFolder(options.data, sizes.size)
        self.photos = PictureFolder(options.pairs, sizes.size, "--pairs") if options.pairs else None
        if self.photos and (missing := sorted(set(self.pictures.names) - set(self.photos.names))):
            raise InputError(f"{options.pairs} has no photo named {missing[0]}: each picture needs one.")
        self.base = checkpoints.load_generator(options.stylegan_path, sizes).requires_grad_(False).to(device)
        self.encoder = FaceEncoder.load(options.encoder_path, self.base)
        if self.encoder.makes_w:
            raise InputError(f"{options.encoder_path} is an e4e, whose codes are in w+: destylisation needs a pSp.")
        if self.photos:
            return
        tuned = checkpoints.load_generator(options.finetunegan_path, sizes)
        self.tuned = tuned.requires_grad_(False).to(device)
        self.distance = load_distance(options, options.stylegan_path, sizes, device)
        self.arcface = load_identity(options, device)

    def __call__(self, part: Sequence[int]) -> dict:
        pictures = torch.stack([self.pictures[number] for number in part]).to(self.base.input["input"])
        seen = self.encoder.z_codes(pictures)
        if self.photos:
            numbers = {name: number for number, name in enumerate(self.photos.names)}
            photos = torch.stack([self.photos[numbers[self.pictures.names[number]]] for number in part]).to(pictures)
            columns = [pictures, photos]
        else:
            seeds = [self.options.seed + number for number in part]
            found = invert.invert(
                self.tuned, pictures, seen, perceptual=self.distance, identity=self.arcface, seeds=seeds,
                steps=self.options.steps, batch=len(part), progress=False,
            )  # fmt: skip
            photos = photo_like(self.base, found.codes, seen, found.noises, self.options.truncation)
            columns = [pictures, found.rendered, photos]
        codes = intrinsic(self.encoder, photos, seen)
        with torch.no_grad():
            columns.append(invert.render(self.base, codes, "fixed" if self.base.config.noise_buffers else "none"))
        found = {"extrinsic": seen.cpu(), "intrinsic": codes.cpu()}
        if part[0] < SHEET_ROWS:  # thousands of pictures would fill the memory
            found["shown"] = torch.stack([small(column) for column in columns]).cpu()
        return found


def destylize(options: Options) -> Path:
    """Find the codes of all pictures; returns the folder that has them. Errors and interrupts as for `in_parts`."""
    check(options, "data")
    sizes = options.recipe.network.generator
    if not options.pairs:
        print(options.told(), flush=True)
    work = Destylizer(options, sizes)
    sums = [zlib.crc32(path.read_bytes()) for path in work.pictures.paths]
    data = {
        "pictures": dict(zip(work.pictures.names, sums, strict=True)),
        "kind": "pairs" if options.pairs else "drawn",
    }
    parts = in_parts(options, data, len(sums), work)
    for file, kind in ((EXSTYLE_FILE, "extrinsic"), (INSTYLE_FILE, "intrinsic")):
        codes = torch.cat([part[kind] for part in parts])[:, None].numpy()
        checkpoints.save_exemplars(Path(options.out, file), dict(zip(work.pictures.names, codes, strict=True)))
    shown = torch.cat([part["shown"] for part in parts if "shown" in part], dim=1)[:, :SHEET_ROWS]
    write_whole(Path(options.out, "destylized.jpg"), encode_picture(invert.sheet(*shown)))
    return Path(options.out)


def main() -> None:
    """Parse the command line, find the codes, and say where they are."""
    out = destylize(cli.parse(Options, __doc__))
    print(f"The codes are {out / EXSTYLE_FILE} and {out / INSTYLE_FILE}.")


if __name__ == "__main__":
    cli.run(main)
