"""Fine-tune a StyleGAN2 of photos to cartoon faces, the first step of Toonify (Pinkney & Adler, 2020).

    python -m model.training.finetune --data faces --out checkpoint/mine/finetune.pt --name finetune_mine
    python train_vtoonify_t.py --pretrain --finetunegan_path checkpoint/mine/finetune.pt --name mine

The pictures are to be aligned as those that the generator was trained with. It learns against a discriminator, the one
in its file or a new one (Karras et al., 2020, StyleGAN2). Ctrl-C keeps the state, from which --resume goes on.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tensors import image_grid
from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.training import losses
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.options import BACKBONES, RECIPES, SMALLEST_RATE, Recipe, RunOptions, ToonifyOptions
from model.training.sources import FIRST_HELD_OUT, PREVIEW_ROWS
from model.training.teachers.base import TRUNCATION
from model.training.teachers.variants import SHARED_PARTS
from model.training.train import run
from model.training.trainer import Trainer, mean_losses

ACCUMULATE = {"published": 8, "tiny": 1}  # batches in place of the published run's 8 GPUs
MIXING = 0.9  # share of pictures whose coarse and fine layers come from two codes (StyleGAN2)
PENALTY_EVERY = 16  # steps between gradient penalties, which are so much heavier instead (StyleGAN2, Sec. 3.1)


@dataclass
class Options(RunOptions):
    """Options of the command line."""

    data: str | None = option(None, "folder of aligned cartoon faces, and its subfolders", metavar="FOLDER", free=True)
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 of photos to start from", free=True)
    out: str = option(ToonifyOptions.finetunegan_path, "file of the result, for --finetunegan_path", free=True)
    iter: int = option(600, "last training step", least=1, free=True)
    batch: int = option(4, "pictures that are computed at a time", least=1, free=True)
    accumulate: int | None = option(None, "such batches in a step (default: published 8, tiny 1)", least=1, free=True)
    lr: float = option(0.002, "learning rate", least=SMALLEST_RATE, free=True)
    r1: float = option(10.0, "weight of the penalty on the discriminator's gradient", least=0)
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    name: str = option("finetune_cartoon", "name of the run")
    save_every: int = option(100, "steps between resumable states", least=1, free=True)
    log_every: int = option(50, "steps between lines of the log and image grids", least=1, free=True)
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    @property
    def recipe(self) -> Recipe:
        """Sizes, and whether the average starts young."""
        return RECIPES[self.config]

    def resolved(self) -> Self:
        """A copy in which every value is known."""
        return self if self.accumulate is not None else replace(self, accumulate=ACCUMULATE[self.config])

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        if not self.data:
            raise InputError("--data is missing: name a folder of pictures.")
        super().check()
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")


def gradient_penalty(discriminator: nn.Module, pictures: Tensor) -> Tensor:
    """`E[‖∇D(x)‖²]` at real pictures `[B, 3, H, W]`, R1 of Mescheder et al. (2018), eq. 9; differentiable, float32."""
    pictures = pictures.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(pictures).sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


@torch.no_grad()
def mixed_codes(generator: Generator, rng: np.random.Generator, count: int) -> Tensor:
    """Codes `[count, layers, D]` in w+: one of mapping's for all layers, or mixed, from a random layer on another."""
    config, weight = generator.config, generator.input.input
    z = torch.from_numpy(rng.standard_normal((2, count, 1, config.style_dim), dtype=np.float32))
    first_of_other = rng.integers(1, config.w_layers, count)
    first_of_other[rng.random(count) >= MIXING] = config.w_layers
    one, other = generator.mapping(z.to(weight))
    is_one = torch.arange(config.w_layers) < torch.from_numpy(first_of_other)[:, None]
    return torch.where(is_one[:, :, None].to(weight.device), one, other)


class GANTrainer(Trainer):
    """Fine-tuning of a generator. Mapping network and constant input stay those of `base`, from which blending takes
    them; the published program drops what they learnt. Path-length regularisation is left out, as is the published
    augmentation, whose probability cannot rise above 0.04 within 600 steps."""

    def __init__(self, options: Options, accelerator: Accelerator):
        sizes = options.recipe.network.generator
        self.pictures = PictureFolder(options.data, sizes.size)
        self.data = {"pictures": self.pictures.names}
        base = checkpoints.load_generator(options.stylegan_path, sizes)
        self.base = base.requires_grad_(False).eval().to(accelerator.device)
        discriminator = checkpoints.load_discriminator(options.stylegan_path, sizes)
        if discriminator is None:
            torch.manual_seed(options.seed)
            discriminator = Discriminator(None, sizes.size, sizes.channels)
        network = copy.deepcopy(self.base)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(SHARED_PARTS))
        super().__init__(options, accelerator, network)
        self.discriminator = discriminator.requires_grad_().train().to(accelerator.device)
        # A step with a penalty is two steps of the optimiser, which is slowed down to make up for it (StyleGAN2, B).
        share = PENALTY_EVERY / (PENALTY_EVERY + 1) if options.r1 else 1.0
        self.optimizer = self._adam([network.get_parameter(name) for name in self.learning], 1.0)
        self.discriminator_optimizer = self._adam(list(self.discriminator.parameters()), share)

    def _adam(self, parameters: list[nn.Parameter], share: float) -> torch.optim.Optimizer:
        group = {"params": parameters, "lr_factor": share}
        return self.accelerator.prepare(torch.optim.Adam([group], self.options.lr, betas=(0.0, 0.99**share)))

    def take_step(self) -> dict[str, float]:
        """One step of each network. What it draws depends on the seed and the step alone."""
        rng = np.random.default_rng((self.options.seed, self.step))
        found = self._descend(self.discriminator_optimizer, "discriminator", lambda: self._discrimination(rng))
        if self.options.r1 and self.step % PENALTY_EVERY == 0:
            found |= self._descend(self.discriminator_optimizer, "penalty", lambda: self._penalty(rng))
        self.discriminator.requires_grad_(False)  # it only passes gradients on
        found |= self._descend(self.optimizer, "generator", lambda: losses.adversarial(self._judge(self._fake(rng))))
        self.discriminator.requires_grad_(True)
        return found

    def _descend(self, optimizer: torch.optim.Optimizer, name: str, loss_of_batch: Callable) -> dict[str, float]:
        """A step of `optimizer` down the mean loss of all batches, which is returned under `name`."""
        found = []
        for _ in range(self.options.accumulate):
            with self.accelerator.accumulate(self.network):
                found.append(self.descend(optimizer, {name: loss_of_batch()}))
        return mean_losses(found)

    def _discrimination(self, rng: np.random.Generator) -> Tensor:
        real = self._real(rng)
        with torch.no_grad():
            fake = self._fake(rng)
        return losses.discrimination(self._judge(fake), self._judge(real))

    def _penalty(self, rng: np.random.Generator) -> Tensor:
        # As heavy as all the steps without it; in float32, for it is a second derivative.
        return self.options.r1 / 2 * PENALTY_EVERY * gradient_penalty(self.discriminator, self._real(rng))

    def _real(self, rng: np.random.Generator) -> Tensor:
        return self.pictures.draw(rng, self.options.batch).to(self.accelerator.device)

    def _fake(self, rng: np.random.Generator) -> Tensor:
        codes = mixed_codes(self.network, rng, self.options.batch)
        seeds = rng.integers(2**63, size=self.options.batch).tolist()
        noise = layer_noise(self.network.config, seeds, self.accelerator.device)
        with self.accelerator.autocast():
            return self.network(codes, noise).float()

    def _judge(self, pictures: Tensor) -> Tensor:
        with self.accelerator.autocast():
            return self.discriminator(pictures).float()

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo of the base | cartoon of the average, for truncated codes | pictures that it learns from."""
        config, weight = self.base.config, self.base.input.input
        rng = np.random.default_rng((self.options.seed, FIRST_HELD_OUT))
        z = torch.from_numpy(rng.standard_normal((PREVIEW_ROWS, 1, config.style_dim), dtype=np.float32))
        codes = TRUNCATION * self.base.mapping(z.to(weight)).repeat(1, config.w_layers, 1)
        columns = [torch.cat([network(code[None], "fixed") for code in codes]) for network in (self.base, self.ema)]
        learnt_from = [self.pictures[number % len(self.pictures.paths)] for number in range(PREVIEW_ROWS)]
        return image_grid([*columns, torch.stack(learnt_from)]), {}

    def publish(self) -> Path:
        """Write the average."""
        checkpoints.save_weights(self.options.out, self.ema)
        return Path(self.options.out)


def finetune(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options = options.resolved()
    if cli.processes()[1] > 1:
        raise InputError("Fine-tuning runs in one process: start it without torchrun, with a larger --accumulate.")
    return run(options, partial(GANTrainer, options))


def main() -> None:
    """Parse the command line, fine-tune, and say where the result is."""
    if result := finetune(cli.parse(Options, __doc__)):
        print(f"The fine-tuned generator is {result}.")


if __name__ == "__main__":
    cli.run(main)
