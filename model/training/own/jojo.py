"""Fine-tune a StyleGAN2 of photos to the style of one picture, or of a few that look alike (JoJoGAN: Chong & Forsyth,
2022).

    python -m model.training.own.jojo --references FOLDER --out checkpoint/mine/jojo.pt --name mine
    python train_vtoonify_t.py --pretrain --finetunegan_path checkpoint/mine/jojo.pt --name mine

The pictures are to be aligned as those that the generator was trained with. Their codes are what an encoder sees, or
those of --codes. A code whose fine layers are replaced by those of random faces stands for many faces that the style
would draw alike, and the generator learns to draw the reference for all of them. Ctrl-C keeps the state, from which
--resume goes on."""

import copy
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.weight_files import stored, write_contents
from model.config import GeneratorConfig
from model.stylegan2 import Generator, Noise
from model.training import losses
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.options import BACKBONES, RECIPES, SMALLEST_RATE, Recipe, RunOptions, ToonifyOptions
from model.training.own.codes import load_picture_codes
from model.training.own.critic import Critic
from model.training.own.encoders import FaceEncoder
from model.training.own.sheet import rendered, style_sheet
from model.training.sources import local_numbers
from model.training.student import OneCall
from model.training.teachers.base import TRUNCATION
from model.training.train import run
from model.training.trainer import Trainer, mean_losses, weight_sum

BETAS = (0.0, 0.99)  # of Adam
LPIPS_SIZE = 256  # side of the pictures that LPIPS compares
GENERATOR_KEY = "g"  # where the published program keeps its result; ours read "g_ema", and the file has both
MOST_AT_ONCE = 8  # references in a batch, unless --batch says otherwise
FIRST_MIXED, LEAST_MIXED = 7, 5  # first layer of family x, and how many it has at least
COLOUR_KEEPING = (2, 4, 8, 9, 10)  # layers of family c, counted from the first one of x
SHOWN = 8  # references on the sheet, at most


@dataclass
class Options(RunOptions):
    """Options of the command line."""

    references: str = option("", "folder of aligned pictures in the style: one, or a few alike", free=True)
    codes: str = option(
        "", "their inversions in w+: .npy (default: what --encoder_path sees)", metavar="FILE", free=True
    )
    encoder_path: str = option(
        "checkpoint/e4e_ffhq_encode.pt", "encoder of faces, where no --codes are given", free=True
    )
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 of photos to start from", free=True)
    critic_path: str = option("", "file of its discriminator (default: --stylegan_path)", metavar="FILE", free=True)
    out: str = option("checkpoint/jojo/finetuned.pt", "file of the result, for --finetunegan_path", free=True)
    family: str = option(
        "x", "which layers are random faces': x, all that are not coarse; c, some of them, so that faces keep colours "
        "of their own", choices=["x", "c"],
    )  # fmt: skip
    rows: list[int] = option([], "these layers instead, from 0", nargs="+", metavar="ROW", least=0)
    strength: float = option(1.0, "how far these layers go from the reference's to the face's", least=0, most=1)
    truncated_share: float = option(
        0.5, "share of the faces that are drawn as VToonify's teacher does, with 0.5·w", least=0, most=1
    )
    loss: str = option(
        "critic", "likeness: critic, features of the discriminator; lpips, less detailed", choices=["critic", "lpips"]
    )
    id_loss: float = option(0.0, "weight of a loss that keeps who the face is, as ArcFace tells", least=0)
    arcface_path: str = option("checkpoint/model_ir_se50.pth", "ArcFace, for --id_loss", free=True)
    freeze_input: bool = option(False, "keep the constant input, which blending for VToonify takes from the base")
    freeze_noise: str = option(
        "auto",
        "keep how strong noise is; auto: for small sizes, where noise is no fine grain",
        choices=["auto", "on", "off"],
    )
    iter: int = option(300, "last training step: 200 to 500", least=1, free=True)
    batch: int | None = option(None, f"pictures at a time (default: the references, {MOST_AT_ONCE} at most)", least=1)
    accumulate: int = option(1, "such batches in a step", least=1)
    lr: float = option(0.002, "learning rate", least=SMALLEST_RATE, free=True)
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    name: str = option("jojo", "name of the run")
    save_every: int = option(100, "steps between resumable states", least=1, free=True)
    log_every: int = option(50, "steps between lines of the log and sheets", least=1, free=True)
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    @property
    def recipe(self) -> Recipe:
        """Sizes of the networks."""
        return RECIPES[self.config]

    @property
    def keeps_noise(self) -> bool:
        """Whether the strengths of noise don't learn."""
        return self.freeze_noise == "on" or (self.freeze_noise == "auto" and self.config != "published")

    @property
    def mixed_rows(self) -> list[int]:
        """The layers of w+ that are random faces'."""
        return self.rows or family_rows(self.family, self.recipe.network.generator)

    def resolved(self, references: int) -> Self:
        """A copy in which every value is known, for so many pictures."""
        return self if self.batch else replace(self, batch=min(references, MOST_AT_ONCE))

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        super().check()
        layers = self.recipe.network.generator.w_layers
        if wrong := [row for row in self.rows if row >= layers]:
            raise InputError(f"--rows has {wrong[0]}: this generator has the layers 0 to {layers - 1}.")
        if not self.mixed_rows:
            raise InputError(f"Family {self.family} has none of the {layers} layers of this generator: give --rows.")
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")


def family_rows(family: str, config: GeneratorConfig) -> list[int]:
    """The layers of w+ of a family. x: all from 7 on of 18, where maps have 64 px; c: 9, 11, 15, 16 and 17, so that the
    colours stay in the other layers. Maps of a size show the same of a face, however large the picture is: generators
    of fewer layers have those of these that are there, or the last five."""
    layers = config.w_layers
    first = max(1, min(FIRST_MIXED, layers - LEAST_MIXED))
    rows = range(first, layers) if family == "x" else [first + number for number in COLOUR_KEEPING]
    return [row for row in rows if row < layers]


def style_codes(codes: Tensor, faces: Tensor, rows: Sequence[int], strength: float = 1.0) -> Tensor:
    """`codes [B, layers, D]` of references, whose `rows` go to w of random faces, `faces [B, D]`, by `strength`."""
    mixed = codes.clone()
    mixed[:, rows] = torch.lerp(codes[:, rows], faces[:, None].expand(-1, len(rows), -1), strength)
    return mixed


def learning_parts(generator: Generator, freeze_input=False, freeze_noise=False) -> dict[str, nn.Parameter]:
    """What learns, by name: all but the mapping network and, where asked, the constant input and how strong noise
    is."""
    begins = ("style.", "input.") if freeze_input else ("style.",)
    ends = (".noise.weight",) if freeze_noise else ()
    parameters = generator.named_parameters()
    return {name: value for name, value in parameters if not (name.startswith(begins) or name.endswith(ends))}


def make_optimizer(parameters: Sequence[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([{"params": list(parameters), "lr_factor": 1.0}], lr, betas=BETAS)


def interpolate_features(
    base: Generator, tuned: Generator, w_plus: Tensor, shares: Sequence[float], noise: Noise = "none"
) -> Tensor:
    """Render `w_plus [B, layers, D]` with features of `base` and `tuned` blended where a level ends: `shares`, one for
    4 px and one for each doubling, go from 0, the base's, to 1, the tuned one's. What `tuned` draws at a level follows
    from the blended features below it, so that coarse levels keep the photo's shapes, and fine ones its texture.
    Returns pictures `[B, 3, S, S]`, RGB around [-1, 1]."""
    plain = base.features_at(w_plus, 4, noise)
    styled = tuned.features_at(w_plus, 4, noise)
    for level in range(base.config.levels + 1):
        if level:
            codes = w_plus[:, 2 * level - 1 : 2 * level + 2]
            plain = base.level(level - 1, *plain, codes, noise)
            styled = tuned.level(level - 1, *styled, codes, noise)
        styled = tuple(torch.lerp(a, b, shares[level]) for a, b in zip(plain, styled, strict=True))
    return styled[1]


class JojoTrainer(Trainer):
    """Fine-tuning of a generator to references. As published, there is no average of the weights. What a sample draws
    depends on the seed and its number alone."""

    def __init__(self, options: Options, accelerator: Accelerator, references: PictureFolder, codes: Tensor | None):
        """`codes`: of the references in w+, `[n, layers, D]`; None: those that the encoder sees."""
        sizes, device = options.recipe.network.generator, accelerator.device
        base = checkpoints.load_generator(options.stylegan_path, sizes)
        self.base = base.requires_grad_(False).to(device)
        if codes is None:
            pictures = torch.stack([references[number] for number in range(len(references.paths))])
            codes = FaceEncoder.load(options.encoder_path, self.base).w_codes(pictures).cpu()
        self.references, self.codes = references, codes.to(device)
        self.data = {"pictures": references.names, "codes": zlib.crc32(codes.numpy().tobytes())}
        self.likeness = load_likeness(options).to(device)
        self.arcface = checkpoints.load_arcface(options.arcface_path).to(device) if options.id_loss else None
        network = copy.deepcopy(self.base)
        for parameter in learning_parts(network, options.freeze_input, options.keeps_noise).values():
            parameter.requires_grad_(True)
        super().__init__(options, accelerator, network)
        self.ema = self.network
        self.frozen_sum = weight_sum([*self.base.parameters(), *self.likeness.parameters()])
        parameters = [network.get_parameter(name) for name in self.learning]
        student, optimizer = OneCall(network, render), make_optimizer(parameters, options.lr)
        self.student, self.optimizer = accelerator.prepare(student, optimizer)

    def take_step(self) -> dict[str, float]:
        found = []
        for numbers in local_numbers(self.options, self.accelerator, self.step):
            with self.accelerator.accumulate(self.student):
                found.append(self.descend(self.optimizer, self.losses(numbers)))
        return mean_losses(found)

    def losses(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Losses of samples `numbers`, which go through the references in turn, with a new face each time."""
        which = [number % len(self.codes) for number in numbers]
        faces, seeds = self.draw(numbers)
        codes = style_codes(self.codes[which], faces, self.options.mixed_rows, self.options.strength)
        noise = layer_noise(self.base.config, seeds, self.accelerator.device)
        result = self.student(codes, *noise).float()
        target = torch.stack([self.references[number] for number in which]).to(result)
        found = {"style": self.likeness(result, target).mean()}
        if self.arcface is not None:
            with torch.no_grad():
                same = self.arcface(self.base(codes, noise).float())
            found["identity"] = self.options.id_loss * losses.identity(self.arcface(result), same)
        return found

    def draw(self, numbers: Sequence[int]) -> tuple[Tensor, list[int]]:
        """w of a random face for each sample, `[B, D]`, and the seed of its noise."""
        rngs = [np.random.default_rng((self.options.seed, number)) for number in numbers]
        z = np.stack([rng.standard_normal(self.base.config.style_dim, dtype=np.float32) for rng in rngs])
        is_truncated = torch.tensor([rng.random() < self.options.truncated_share for rng in rngs])
        w = self.base.mapping(torch.from_numpy(z).to(self.codes))
        w = torch.where(is_truncated[:, None].to(w.device), TRUNCATION * w, w)
        return w, [int(rng.integers(2**63)) for rng in rngs]

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """The sheet of the style, and how far base and result are from the references."""
        count = min(len(self.codes), SHOWN)
        pictures = torch.stack([self.references[number] for number in range(count)]).to(self.codes)
        codes, side = self.codes[:count], self.base.config.size
        drawn = {"base": self.base, "result": self.network}
        distances = {
            f"{name}_to_reference": self.likeness(rendered(network, codes, side), pictures).mean().item()
            for name, network in drawn.items()
        }
        return style_sheet(self.base, self.network, pictures, codes, self.options.seed), distances

    def publish(self) -> Path:
        """Write the result, for this program and for the published one."""
        if self.accelerator.is_main_process:
            weights = stored(self.network)
            write_contents(self.options.out, {GENERATOR_KEY: weights, checkpoints.EMA_KEY: weights})
        self.accelerator.wait_for_everyone()
        return Path(self.options.out)


def render(generator: Generator, w_plus: Tensor, *noise: Tensor) -> Tensor:
    """Pictures `[B, 3, S, S]` of codes, with noise for each layer."""
    return generator(w_plus, noise)


class LargeLPIPS(nn.Module):
    """LPIPS of large pictures, made smaller first."""

    def __init__(self):
        super().__init__()
        self.lpips = checkpoints.load_perceptual("--loss critic")

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `[B]` of pictures `[B, 3, S, S]`, RGB in [-1, 1]."""
        side = min(LPIPS_SIZE, a.shape[-1])
        return self.lpips(*(F.interpolate(each, (side, side), mode="area") for each in (a, b)))


def load_likeness(options: Options) -> nn.Module:
    """What tells how far results are from references: called with two pictures, it gives distances `[B]`."""
    if options.loss == "lpips":
        return LargeLPIPS()
    path = options.critic_path or options.stylegan_path
    discriminator = checkpoints.load_discriminator(path, options.recipe.network.generator)
    if discriminator is None:
        advice = "name a file that has one with --critic_path, or choose --loss lpips"
        raise InputError(f"{path} has no discriminator (under 'd'): {advice}.")
    return Critic(discriminator)


def finetune(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    if not options.references:
        raise InputError("--references is missing: name a folder of aligned pictures.")
    sizes = options.recipe.network.generator
    references = PictureFolder(options.references, sizes.size, "--references")
    codes = load_picture_codes(options.codes, references.names, sizes) if options.codes else None
    options = options.resolved(len(references.names))
    return run(options, partial(JojoTrainer, options, references=references, codes=codes))


def main() -> None:
    """Parse the command line, fine-tune, and say where the result is."""
    if result := finetune(cli.parse(Options, __doc__)):
        print(f"The fine-tuned generator is {result}.")


if __name__ == "__main__":
    cli.run(main)
