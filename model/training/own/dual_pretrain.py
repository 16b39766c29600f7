"""Pre-train a DualStyleGAN: its extrinsic path learns to take structure and colours of another face, before it is to
take those of drawn ones (Yang et al., CVPR 2022, Sec. 3.3, stages 1 and 2). Once for all styles.

    python -m model.training.own.dual_pretrain --out checkpoint/generator-pretrain.pt

It learns from what the StyleGAN2 of photos draws: rows of one code below a layer, and of another from there on, at
first where structure ends and then below. Ctrl-C keeps the state, from which --resume goes on.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tensors import image_grid
from model.common.weight_files import stored, write_contents
from model.training.data.pictures import PictureFolder
from model.training.options import ToonifyOptions
from model.training.own import dual_losses
from model.training.own.dual import DualTrainer, DualTrainingOptions, begin_dual
from model.training.own.encoders import FaceEncoder
from model.training.own.judges import load_features
from model.training.own.sheet import small
from model.training.sources import FIRST_HELD_OUT, PREVIEW_ROWS
from model.training.teachers.variants import NO_FILE
from model.training.train import run

GENERATOR_KEY = "g"  # what learns; "g_ema" is its average
FIRST_PARTS = 1 / 12  # of the steps with the layer where structure ends, and as many with the one below
ENCODED_EVERY = 4  # steps between those whose exemplar is what an encoder sees
ADVERSARIAL = 0.1


@dataclass
class Options(DualTrainingOptions):
    """Options of the command line."""

    lengths: ClassVar = {"published": 3600}
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 of photos with its discriminator", free=True)
    encoder_path: str = option(
        "checkpoint/encoder.pt", f"encoder of faces: pSp or one of one's own; {NO_FILE}: learn without", free=True
    )
    data: str = option("", "folder of aligned photos for the discriminator (default: drawn ones)", free=True)
    out: str = option("checkpoint/generator-pretrain.pt", "file of the result", free=True)
    iter: int | None = option(None, "last training step (default: published 3600, small sizes 120)", least=1)
    name: str = option("dual_pretrain", "name of the run")

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        super().check()
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")


def first_of_other(step: int, total: int, structure_layers: int) -> int:
    """The layer from which on the target has the other code: 7, 6, then 5 of 18, in 300, 300 and 3000 of 3600 steps."""
    return max(1, structure_layers - min(2, int(step / (FIRST_PARTS * total))))


class PretrainTrainer(DualTrainer):
    """The second stage."""

    adversarial_weight = ADVERSARIAL

    def __init__(self, options: Options, accelerator: Accelerator):
        sizes, device = options.recipe.network.generator, accelerator.device
        self.folder = PictureFolder(options.data, sizes.size) if options.data else None
        self.data = {"pictures": self.folder.names if self.folder else []}
        photos = checkpoints.load_generator(options.stylegan_path, sizes)
        judge = checkpoints.load_discriminator(options.stylegan_path, sizes)
        if judge is None:
            raise InputError(f"{options.stylegan_path} has no discriminator (under 'd'): give a file that has one.")
        self.features = load_features(options, options.stylegan_path, sizes, device)
        super().__init__(options, accelerator, begin_dual(photos, options.seed), judge)
        path = options.encoder_path
        self.encoder = None if path == NO_FILE else FaceEncoder.load(path, self.photos)

    def draw(self, rng: np.random.Generator, count: int) -> dict:
        """Intrinsic code of one face, extrinsic of another; `target`: what the plain generator makes of both."""
        layers = self.config.w_layers
        one, other = self.photos.mapping(self.normal(rng, 2, count, 1, self.config.style_dim)).repeat(1, 1, layers, 1)
        noise, exemplar = self.noise(rng, count), other
        first = first_of_other(self.step, self.options.iter, self.config.structure_layers)
        target = self.plain(torch.cat([one[:, :first], other[:, first:]], dim=1), noise)
        if self.encoder is not None and self.step % ENCODED_EVERY == 0:
            exemplar = self.encoder.w_codes(self.plain(other, noise).clamp(-1, 1))
        return {"w_plus": one, "exemplar": exemplar, "noise": noise, "target": target, "other": other}

    def plain(self, codes: Tensor, noise: list[Tensor]) -> Tensor:
        """Pictures of the generator of photos."""
        with self.accelerator.autocast():
            return self.photos(codes, noise).float()

    def real(self, rng: np.random.Generator, batch: dict) -> Tensor:
        """Photos, or what the plain generator draws."""
        return (
            batch["target"] if self.folder is None else self.folder.draw(rng, len(batch["target"])).to(batch["target"])
        )

    def terms(self, result: Tensor, batch: dict) -> dict[str, Tensor]:
        with torch.no_grad():
            target = self.features(batch["target"])
        return {"perceptual": dual_losses.pretraining_term(self.features(result), target)}

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Face | the other one | the target | what the average draws; how far it is from the target."""
        batch = self.draw(np.random.default_rng((self.options.seed, FIRST_HELD_OUT)), PREVIEW_ROWS)
        draws = partial(self.one_by_one, noise=batch["noise"])
        columns = [draws(self.photos, batch["w_plus"]), draws(self.photos, batch["other"]), batch["target"]]
        result = draws(lambda w, e, noise: self.ema(w, e, self.weights, noise), batch["w_plus"], batch["exemplar"])
        distance = self.terms(result, batch)["perceptual"].item()
        return image_grid([small(column) for column in [*columns, result]]), {"held_out_perceptual": distance}

    def publish(self) -> Path:
        """Write network, average and discriminator, as published."""
        if self.accelerator.is_main_process:
            networks = {GENERATOR_KEY: self.network, "d": self.discriminator, checkpoints.EMA_KEY: self.ema}
            write_contents(self.options.out, {name: stored(network) for name, network in networks.items()})
        self.accelerator.wait_for_everyone()
        return Path(self.options.out)


def pretrain(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options = options.resolved()
    print(options.told(), flush=True)
    return run(options, partial(PretrainTrainer, options))


def main() -> None:
    """Parse the command line, pre-train, and say where the result is."""
    if result := pretrain(cli.parse(Options, __doc__)):
        print(f"The pre-trained DualStyleGAN is {result}.")


if __name__ == "__main__":
    cli.run(main)
