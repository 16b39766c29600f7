"""What both stages of DualStyleGAN's training share (Yang et al., CVPR 2022, Sec. 3.3): its extrinsic path learns,
beside a StyleGAN2 that stays as it is, against a discriminator."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Self

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model.common.cli import option
from model.common.errors import InputError
from model.discriminator import Discriminator
from model.dualstylegan import RESIDUAL_INIT, DualStyleGAN, ModRes
from model.stylegan2 import Generator
from model.training import losses
from model.training.adversarial import AdversarialTrainer
from model.training.data.sampling import layer_noise
from model.training.gan.regularise import PATH_EVERY, PENALTY_EVERY, PathMean, gradient_penalty, path_lengths
from model.training.options import BACKBONES, RECIPES, SMALLEST_RATE, Recipe, RunOptions
from model.training.own.judges import JudgeOptions

LEARNING = ("res.", "style.")  # the extrinsic path; the inner generator never learns
COLOUR_SPREAD = 0.01  # deviation of the layers that transform colours from the identity


@dataclass
class DualTrainingOptions(JudgeOptions, RunOptions):
    """Options of both stages."""

    lengths: ClassVar[dict[str, int]] = {}  # number of steps by configuration
    batches: ClassVar[dict[str, int]] = {}  # of `accumulate`
    iter: int | None = option(
        None, "last training step (default: as published, or a few for small sizes)", least=1, free=True
    )
    batch: int = option(4, "pictures that are computed at a time", least=1, free=True)
    accumulate: int | None = option(
        None, "such batches in a step (default: as published, for small sizes 1)", least=1, free=True
    )
    lr: float = option(0.002, "learning rate", least=SMALLEST_RATE, free=True)
    r1: float = option(10.0, "weight of the penalty on the discriminator's gradient", least=0)
    path: float = option(2.0, "weight of the penalty on path lengths", least=0)
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    save_every: int = option(100, "steps between resumable states", least=1, free=True)
    log_every: int = option(50, "steps between lines of the log and image grids", least=1, free=True)
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    @property
    def recipe(self) -> Recipe:
        """Sizes, and whether the average starts young."""
        return RECIPES[self.config]

    def resolved(self) -> Self:
        """A copy in which every value is known."""
        small = self.lengths["published"] // 30
        iter, accumulate = self.lengths.get(self.config, small), self.batches.get(self.config, 1)
        return replace(self, iter=self.iter or iter, accumulate=self.accumulate or accumulate)

    def missing(self, *names: str) -> None:
        """Raise InputError for the first of these options that has no value."""
        for name in names:
            if not getattr(self, name):
                raise InputError(f"--{name} is missing: --help says what it is.")


def begin_dual(photos: Generator, seed: int = 0) -> DualStyleGAN:
    """The first stage: a DualStyleGAN around `photos` that draws nearly what these draw with an exemplar's colours.
    What its blocks add is nearly nothing, and colours are transformed by nearly the identity."""
    torch.manual_seed(seed)
    with torch.no_grad():
        dual = DualStyleGAN(photos.config)
        dual.generator.load_state_dict(photos.state_dict())
        for block in dual.res:
            if isinstance(block, ModRes):
                for conv in (block.conv[0], block.conv2[0]):
                    conv.weight.normal_(std=RESIDUAL_INIT)
            else:
                dim = photos.config.style_dim
                block.weight.normal_(std=COLOUR_SPREAD).add_(torch.eye(dim) / block.scale)
    return dual


class DualTrainer(AdversarialTrainer):
    """A DualStyleGAN whose extrinsic path learns. All of it is averaged (the published program averages the blocks, and
    publishes the mapping network of the beginning)."""

    in_parts = (*AdversarialTrainer.in_parts, "path_mean")
    losses = ("discriminator", "penalty", "generator", "path")
    adversarial_weight = 1.0

    def __init__(
        self, options: DualTrainingOptions, accelerator: Accelerator, network: DualStyleGAN, judge: Discriminator
    ):  # fmt: skip
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(LEARNING))
        super().__init__(options, accelerator, network)
        self.config, self.photos = network.config, network.generator
        self.weights = [1.0] * self.config.w_layers
        self.discriminator = judge.requires_grad_().train().to(accelerator.device)
        share = PENALTY_EVERY / (PENALTY_EVERY + 1) if options.r1 else 1.0
        path_share = PATH_EVERY / (PATH_EVERY + 1) if options.path else 1.0
        self.optimizer = self._adam([network.get_parameter(name) for name in self.learning], path_share)
        self.discriminator_optimizer = self._adam(list(self.discriminator.parameters()), share)
        self.path_mean = PathMean(None)

    def _adam(self, parameters: list[nn.Parameter], share: float) -> torch.optim.Optimizer:
        # A step with a penalty is two steps of the optimiser, which is slowed down to make up for it (StyleGAN2, B).
        group = {"params": parameters, "lr_factor": share}
        return self.accelerator.prepare(torch.optim.Adam([group], self.options.lr, betas=(0.0, 0.99**share)))

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> dict:
        """What `count` pictures are drawn from: `w_plus` and `exemplar`, codes `[B, layers, D]` in w+, `noise`, and
        what else the losses need. Nothing in it needs a gradient."""

    @abstractmethod
    def terms(self, result: Tensor, batch: dict) -> dict[str, Tensor]:
        """Weighted losses of results `[B, 3, S, S]` beside the adversarial one."""

    @abstractmethod
    def real(self, rng: np.random.Generator, batch: dict) -> Tensor:
        """Pictures `[B, 3, S, S]` that results are to be told from."""

    def take_step(self) -> dict[str, float]:
        options = self.options
        found = self.phase(self.discriminator_optimizer, "discriminator", self._discrimination)
        if options.r1 and self.step % PENALTY_EVERY == 0:
            found |= self.phase(self.discriminator_optimizer, "penalty", self._penalty)
        with self.resting_judges():
            found |= self.phase(self.optimizer, "generator", self._imitation)
            if options.path and self.step % PATH_EVERY == 0:
                means: list[Tensor] = []
                found |= self.phase(self.optimizer, "path", partial(self._path_penalty, means=means))
                self.path_mean.value = self.accelerator.reduce(torch.stack(means).mean(), "mean").item()
        return found

    def _discrimination(self, rng: np.random.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            batch = self.draw(rng, self.options.batch)
            result, real = self.result(batch), self.real(rng, batch)
        of_result, of_real = self._judged(result), self._judged(real)
        loss = self.adversarial_weight * losses.discrimination(of_result, of_real)
        return {"discriminator": loss, "real signs": of_real.detach().sign().mean()}

    def _penalty(self, rng: np.random.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            real = self.real(rng, self.draw(rng, self.options.batch))
        penalty = gradient_penalty(self.discriminator, real)  # in float32, for it is a second derivative
        return {"penalty": self.options.r1 / 2 * PENALTY_EVERY * penalty}

    def _imitation(self, rng: np.random.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            batch = self.draw(rng, self.options.batch)
        result = self.result(batch)
        adversarial = self.adversarial_weight * losses.adversarial(self._judged(result))
        return {"adversarial": adversarial} | self.terms(result, batch)

    def _path_penalty(self, rng: np.random.Generator, means: list[Tensor]) -> dict[str, Tensor]:
        size, count = self.config.size, max(1, self.options.batch // 2)
        with torch.no_grad():
            batch = self.draw(rng, count)
        codes = batch["w_plus"].requires_grad_()
        direction = torch.from_numpy(rng.standard_normal((count, 3, size, size), dtype=np.float32)).to(codes)
        draws = self._with_exemplar(batch["exemplar"])
        penalty, mean, _ = path_lengths(draws, codes, direction, self.path_mean.value, batch["noise"])
        means.append(mean.detach())
        return {"path": self.options.path * PATH_EVERY * penalty}

    def _with_exemplar(self, exemplar: Tensor) -> Callable:
        return lambda w_plus, noise: self.network(w_plus, exemplar, self.weights, noise)

    def result(self, batch: dict, network: DualStyleGAN | None = None) -> Tensor:
        """Pictures `[B, 3, S, S]` of what was drawn."""
        with self.accelerator.autocast():
            codes = batch["w_plus"], batch["exemplar"], self.weights
            return (network or self.network)(*codes, batch["noise"]).float()

    def _judged(self, pictures: Tensor) -> Tensor:
        with self.accelerator.autocast():
            return self.discriminator(pictures).float()

    def normal(self, rng: np.random.Generator, *shape: int) -> Tensor:
        """Standard normal numbers on this device."""
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(self.accelerator.device)

    def noise(self, rng: np.random.Generator, count: int) -> list[Tensor]:
        """Noise of each layer."""
        return layer_noise(self.config, rng.integers(2**63, size=count).tolist(), self.accelerator.device)

    def one_by_one(self, network: Callable, *codes: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Pictures for a preview, `[n, 3, S, S]`, in no more memory than one of them takes."""
        numbers = range(len(codes[0]))
        parts = ([code[n : n + 1] for code in codes] for n in numbers)
        noises = ([layer[n : n + 1] for layer in noise] for n in numbers)
        return torch.cat([network(*part, each) for part, each in zip(parts, noises, strict=True)])
