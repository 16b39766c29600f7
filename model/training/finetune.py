"""Fine-tune a StyleGAN2 of photos to cartoon faces, the first step of Toonify (Pinkney & Adler, 2020), or train one.

    python -m model.training.finetune --data faces --out checkpoint/mine/finetune.pt --name finetune_mine
    python train_vtoonify_t.py --pretrain --finetunegan_path checkpoint/mine/finetune.pt --name mine

The pictures are to be aligned as those that the generator was trained with. It learns against a discriminator, the one
in its file or a new one (Karras et al., 2020, StyleGAN2), which sees all pictures through random transforms as strong
as it overfits (Karras et al., 2020, ADA). Ctrl-C keeps the state, from which --resume goes on.
"""

import copy
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

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
from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.training import losses
from model.training.adversarial import AdversarialTrainer
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.gan import quality
from model.training.gan.augment import PIPES, Amounts, augment, draw_amounts
from model.training.gan.controller import Controller
from model.training.gan.regularise import (
    AVERAGED_OVER,
    PATH_EVERY,
    PENALTY_EVERY,
    RAMP,
    PathMean,
    average_decay,
    gradient_penalty,
    path_lengths,
)
from model.training.options import BACKBONES, RECIPES, SMALLEST_RATE, Recipe, RunOptions, ToonifyOptions
from model.training.sources import FIRST_HELD_OUT, PREVIEW_ROWS
from model.training.teachers.base import TRUNCATION
from model.training.teachers.variants import NO_FILE, SHARED_PARTS
from model.training.train import run

ACCUMULATE = {"published": 8, "tiny": 1, "small": 1}  # batches in place of the published run's 8 GPUs
SHORT = 0.25  # share of codes at half length, see --truncated
MIXING = 0.9  # share of pictures whose coarse and fine layers come from two codes (StyleGAN2)
TRANSFER_KIMG, SCRATCH_KIMG = 100.0, 500.0  # of --ada_kimg (ADA, Sec. 3.1, and for transfer NVIDIA's program)
MEASURED = 1000  # pictures of each side in a kernel distance, at most; fewer where there are fewer real ones
LEAST_MEASURED = 100


@dataclass
class Options(RunOptions):
    """Options of the command line."""

    data: str | None = option(None, "folder of aligned faces, and its subfolders", metavar="FOLDER", free=True)
    stylegan_path: str = option(
        ToonifyOptions.stylegan_path, f"StyleGAN2 of photos to start from; {NO_FILE}: train a new one", free=True
    )
    out: str = option(ToonifyOptions.finetunegan_path, "file of the result, for --finetunegan_path", free=True)
    iter: int = option(600, "last training step", least=1, free=True)
    batch: int = option(4, "pictures that are computed at a time", least=1, free=True)
    accumulate: int | None = option(None, "such batches in a step (default: published 8, else 1)", least=1, free=True)
    lr: float = option(0.002, "learning rate", least=SMALLEST_RATE, free=True)
    level_lr: list[float] = option(
        [], "factors on the generator's learning rate by resolution, from 4 pixels on; the last one serves all further",
        nargs="+", metavar="F", least=0,
    )  # fmt: skip
    learn: str = option(
        "rendering", "what of the generator learns; rendering: all but mapping network and constant input, which "
        "VToonify-T's blending takes from the base; all: as DualStyleGAN needs it", choices=["rendering", "all"],
    )  # fmt: skip
    r1: float = option(10.0, "weight of the penalty on the discriminator's gradient", least=0)
    path: float = option(2.0, "weight of the penalty on path lengths", least=0)
    mixing: float = option(MIXING, "share of pictures of two codes", least=0, most=1)
    truncated: float | None = option(
        None, "share of pictures of codes at half length, which VToonify's teacher draws (default: 0.25, a new one 0)",
        least=0, most=1,
    )  # fmt: skip
    augment: str = option("bgc", "transforms that the discriminator sees pictures through", choices=list(PIPES))
    ada_target: float = option(0.6, "mean sign of its logits of real pictures at which they stay", least=-1, most=1)
    ada_kimg: float | None = option(
        None,
        "thousands of pictures in which they can go from never to always (default: 100, a new one 500)",
        least=1e-3,
    )
    freeze_d: int = option(0, "layers of the discriminator, from its input on, that don't learn (FreezeD)", least=0)
    kid_every: int = option(200, "steps between kernel distances to the pictures; 0: none", least=0, free=True)
    inception_path: str = option("", "inception-2015-12-05.pt, for published KID and FID", free=True)
    keep: str = option("best", "which average is the result", choices=["best", "last"], free=True)
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    name: str = option("finetune_cartoon", "name of the run")
    save_every: int = option(100, "steps between resumable states", least=1, free=True)
    log_every: int = option(50, "steps between lines of the log and image grids", least=1, free=True)
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    @property
    def recipe(self) -> Recipe:
        """Sizes, and whether the average starts young."""
        return RECIPES[self.config]

    @property
    def is_new(self) -> bool:
        """Whether a generator is trained from nothing."""
        return self.stylegan_path == NO_FILE

    def resolved(self) -> Self:
        """A copy in which every value is known."""
        kimg = SCRATCH_KIMG if self.is_new else TRANSFER_KIMG
        learn = "all" if self.is_new else self.learn
        known = {"accumulate": self.accumulate or ACCUMULATE[self.config], "ada_kimg": self.ada_kimg or kimg}
        if self.truncated is None:
            known["truncated"] = 0.0 if self.is_new else SHORT
        return replace(self, learn=learn, **known)

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        if not self.data:
            raise InputError("--data is missing: name a folder of pictures.")
        super().check()
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")
        if self.kid_every % self.log_every:
            raise InputError(f"--kid_every is {self.kid_every}: give a multiple of --log_every, {self.log_every}.")


def mixed_codes(generator: Generator, rng: np.random.Generator, count: int, mixing=MIXING, truncated=0.0) -> Tensor:
    """Codes `[count, layers, D]` in w+: one of mapping's for all layers, or, with probability `mixing`, from a random
    layer on another; a share `truncated` of them at half length."""
    config, weight = generator.config, generator.input.input
    z = torch.from_numpy(rng.standard_normal((2, count, 1, config.style_dim), dtype=np.float32))
    first_of_other = rng.integers(1, config.w_layers, count)
    first_of_other[rng.random(count) >= mixing] = config.w_layers
    is_short = torch.from_numpy(rng.random(count) < truncated)
    one, other = generator.mapping(z.to(weight))
    is_one = torch.arange(config.w_layers) < torch.from_numpy(first_of_other)[:, None]
    codes = torch.where(is_one[:, :, None].to(weight.device), one, other)
    return torch.where(is_short[:, None, None].to(weight.device), TRUNCATION * codes, codes)


def freeze_first(discriminator: Discriminator, count: int) -> None:
    """Let the first `count` layers of a discriminator stay as they are (FreezeD: Mo et al., 2020): that of colours,
    then of each block both convolutions and the one beside them."""
    layers = [discriminator.convs[0]]
    for block in discriminator.convs[1:]:
        layers += [block.conv1, block.conv2, block.skip]
    if count > len(layers):
        raise InputError(f"--freeze_d is {count}: this discriminator has {len(layers)} layers to freeze.")
    for layer in layers[:count]:
        layer.requires_grad_(False)


class Best:
    """The smallest distance so far, and where it was."""

    def __init__(self) -> None:
        self.value, self.step = math.inf, 0

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value, "step": self.step}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.value, self.step = state["value"], state["step"]


class GANTrainer(AdversarialTrainer):
    """Training of a generator against a discriminator that sees pictures through random transforms."""

    in_parts = (*AdversarialTrainer.in_parts, "controller", "path_mean", "best")
    losses = ("discriminator", "penalty", "generator", "path")

    def __init__(self, options: Options, accelerator: Accelerator):
        sizes = options.recipe.network.generator
        self.pictures = PictureFolder(options.data, sizes.size)
        self.data = {"pictures": self.pictures.names}
        torch.manual_seed(options.seed)
        if options.is_new:
            base, discriminator = Generator(sizes), None
        else:
            base = checkpoints.load_generator(options.stylegan_path, sizes)
            discriminator = checkpoints.load_discriminator(options.stylegan_path, sizes)
        self.base = base.requires_grad_(False).eval().to(accelerator.device)
        discriminator = discriminator or Discriminator(None, sizes.size, sizes.channels)
        network = copy.deepcopy(self.base)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(options.learn == "all" or not name.startswith(SHARED_PARTS))
        super().__init__(options, accelerator, network)
        self.discriminator = discriminator.requires_grad_().train().to(accelerator.device)
        freeze_first(self.discriminator, options.freeze_d)
        # A step with a penalty is two steps of the optimiser, which is slowed down to make up for it (StyleGAN2, B).
        share, path_share = PENALTY_EVERY / (PENALTY_EVERY + 1), PATH_EVERY / (PATH_EVERY + 1)
        share, path_share = share if options.r1 else 1.0, path_share if options.path else 1.0
        groups = [
            {"params": [network.get_parameter(name)], "lr_factor": path_share * self._level_factor(name)}
            for name in self.learning
        ]
        self.optimizer = self._adam(groups, path_share)
        judging = [value for value in self.discriminator.parameters() if value.requires_grad]
        self.discriminator_optimizer = self._adam([{"params": judging, "lr_factor": share}], share)
        self.controller = Controller(options.ada_target, 1000 * options.ada_kimg)
        self.path_mean, self.best = PathMean(0.0 if options.is_new else None), Best()
        self._real_features: np.ndarray | None = None

    def _adam(self, groups: list[dict], share: float) -> torch.optim.Optimizer:
        return self.accelerator.prepare(torch.optim.Adam(groups, self.options.lr, betas=(0.0, 0.99**share)))

    def _level_factor(self, name: str) -> float:
        """Factor of `--level_lr` for a parameter: by the resolution that its layer works at."""
        factors = self.options.level_lr
        if not factors:
            return 1.0
        part, _, rest = name.partition(".")
        number = int(rest.partition(".")[0]) if part in ("convs", "to_rgbs") else -1
        level = 0 if number < 0 else 1 + (number // 2 if part == "convs" else number)
        return factors[min(level, len(factors) - 1)]

    def average_decay(self) -> float:
        half_life, seen = AVERAGED_OVER * self.pictures_per_step, self.step * self.pictures_per_step
        is_young = self.options.is_new or self.options.recipe.young_average
        return average_decay(self.pictures_per_step, half_life, seen, RAMP if is_young else None)

    def take_step(self) -> dict[str, float]:
        options, signs = self.options, []
        found = self.phase(self.discriminator_optimizer, "discriminator", partial(self._discrimination, signs=signs))
        if options.r1 and self.step % PENALTY_EVERY == 0:
            found |= self.phase(self.discriminator_optimizer, "penalty", self._penalty)
        with self.resting_judges():
            found |= self.phase(self.optimizer, "generator", self._deception)
            if options.path and self.step % PATH_EVERY == 0:
                means: list[Tensor] = []
                found |= self.phase(self.optimizer, "path", partial(self._path_penalty, means=means))
                self.path_mean.value = self.accelerator.reduce(torch.stack(means).mean(), "mean").item()
        return found | self._adapt(torch.cat(signs))

    def _adapt(self, signs: Tensor) -> dict[str, float]:
        """Let the augmentation follow the signs of all logits of real pictures; returns how sure they are."""
        both = torch.stack([signs.sum(), torch.tensor(float(len(signs)), device=signs.device)])
        total, count = self.accelerator.reduce(both, "sum").tolist()
        found = {"real signs": total / count}
        if PIPES[self.options.augment]:
            found["augmentation"] = self.controller.note(total, count)
        return found

    def _discrimination(self, rng: np.random.Generator, signs: list[Tensor]) -> dict[str, Tensor]:
        real = self._real(rng)
        with torch.no_grad():
            fake = self._fake(rng)
        of_fake, of_real = self._judge(fake, rng), self._judge(real, rng)
        signs.append(of_real.detach().sign().flatten())
        return {"discriminator": losses.discrimination(of_fake, of_real)}

    def _penalty(self, rng: np.random.Generator) -> dict[str, Tensor]:
        # As heavy as all the steps without it; in float32, for it is a second derivative.
        real = self._real(rng)
        amounts = self._amounts(rng, len(real))
        penalty = gradient_penalty(lambda x: self.discriminator(augment(x, amounts)), real)
        return {"penalty": self.options.r1 / 2 * PENALTY_EVERY * penalty}

    def _deception(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"generator": losses.adversarial(self._judge(self._fake(rng), rng))}

    def _path_penalty(self, rng: np.random.Generator, means: list[Tensor]) -> dict[str, Tensor]:
        count, size = max(1, self.options.batch // 2), self.network.config.size
        codes = mixed_codes(self.network, rng, count, self.options.mixing)
        codes = codes if codes.requires_grad else codes.requires_grad_()
        direction = torch.from_numpy(rng.standard_normal((count, 3, size, size), dtype=np.float32)).to(codes)
        penalty, mean, _ = path_lengths(self.network, codes, direction, self.path_mean.value, self._noise(rng, count))
        means.append(mean.detach())
        return {"path": self.options.path * PATH_EVERY * penalty}

    def _real(self, rng: np.random.Generator) -> Tensor:
        return self.pictures.draw(rng, self.options.batch).to(self.accelerator.device)

    def _fake(self, rng: np.random.Generator) -> Tensor:
        codes = mixed_codes(self.network, rng, self.options.batch, self.options.mixing, self.options.truncated)
        with self.accelerator.autocast():
            return self.network(codes, self._noise(rng, self.options.batch)).float()

    def _noise(self, rng: np.random.Generator, count: int) -> list[Tensor]:
        return layer_noise(self.network.config, rng.integers(2**63, size=count).tolist(), self.accelerator.device)

    def _amounts(self, rng: np.random.Generator, count: int) -> Amounts:
        return draw_amounts(rng, count, self.controller.probability, PIPES[self.options.augment])

    def _judge(self, pictures: Tensor, rng: np.random.Generator) -> Tensor:
        noise = torch.Generator().manual_seed(int(rng.integers(2**63)))
        seen = augment(pictures, self._amounts(rng, len(pictures)), noise)
        with self.accelerator.autocast():
            return self.discriminator(seen).float()

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo of the base (not of a new one) | picture of the average, both for truncated codes | of the average for
        whole codes | pictures that it learns from; distances to these where they are due."""
        config, weight = self.base.config, self.base.input.input
        rng = np.random.default_rng((self.options.seed, FIRST_HELD_OUT))
        z = torch.from_numpy(rng.standard_normal((PREVIEW_ROWS, 1, config.style_dim), dtype=np.float32)).to(weight)
        views = [(self.ema, TRUNCATION), (self.ema, 1.0)]
        views = views if self.options.is_new else [(self.base, TRUNCATION), *views]
        columns = []
        for network, length in views:
            codes = length * network.mapping(z).repeat(1, config.w_layers, 1)
            columns.append(torch.cat([network(code[None], "fixed") for code in codes]))
        learnt_from = [self.pictures[number % len(self.pictures.paths)] for number in range(PREVIEW_ROWS)]
        every = self.options.kid_every
        is_due = every and (self.step % every == 0 or self.step == self.options.iter)
        return image_grid([*columns, torch.stack(learnt_from)]), self._distances() if is_due else {}

    def _distances(self) -> dict[str, float]:
        """Kernel distance of the average's pictures, whole codes, to those it learns from, and with Inception FID; a
        new best one is kept in the run's folder."""
        options, device = self.options, self.accelerator.device
        kind, features = quality.PIXELS, quality.pixel_features
        if options.inception_path:
            kind, features = quality.INCEPTION, quality.inception_features(options.inception_path, device)
        real_count = len(self.pictures.paths)
        count = min(MEASURED, max(real_count, LEAST_MEASURED))
        if self._real_features is None:
            batches = (
                torch.stack([self.pictures[n] for n in numbers]).to(device)
                for numbers in quality.in_batches(min(real_count, MEASURED), options.batch)
            )
            self._real_features = quality.features_of(batches, features)
        fakes = (self._measured(numbers) for numbers in quality.in_batches(count, options.batch))
        fake_features = quality.features_of(fakes, features)
        found = {f"KID of {kind}": quality.kernel_distance(self._real_features, fake_features)}
        if options.inception_path:
            found["FID"] = quality.frechet_distance(self._real_features, fake_features)
        value = found[f"KID of {kind}"]
        if value < self.best.value:  # what is not a number never is
            self.best.value, self.best.step = value, self.step
            write_contents(self._best_file, self._contents())
        return found

    def _measured(self, numbers: range) -> Tensor:
        """Pictures of the average for measuring, the same codes each time."""
        rng = np.random.default_rng((self.options.seed, FIRST_HELD_OUT, numbers.start))
        codes = mixed_codes(self.ema, rng, len(numbers), mixing=0.0)
        return self.ema(codes, self._noise(rng, len(numbers))).clamp(-1, 1)

    @property
    def _best_file(self) -> Path:
        return self.options.folder / "best.pt"

    def _contents(self) -> dict:
        """What is published: the average; of a new generator the discriminator, too, and the weights that learn."""
        contents = {checkpoints.EMA_KEY: stored(self.ema)}
        if self.options.is_new:
            contents |= {"g": stored(self.network), checkpoints.DISCRIMINATOR_KEY: stored(self.discriminator)}
        return contents

    def publish(self) -> Path:
        """Write the average, the best one where distances were measured."""
        contents = self._contents()
        if self.options.keep == "best" and self.best.step and self._best_file.exists():
            contents = checkpoints.load_state(self._best_file)
            print(f"The average of step {self.best.step} was nearest to the pictures (KID {self.best.value:.4g}).")
        write_contents(self.options.out, contents)
        return Path(self.options.out)


def finetune(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options = options.resolved()
    return run(options, partial(GANTrainer, options))


def main() -> None:
    """Parse the command line, fine-tune, and say where the result is."""
    if result := finetune(cli.parse(Options, __doc__)):
        print(f"The fine-tuned generator is {result}.")


if __name__ == "__main__":
    cli.run(main)
