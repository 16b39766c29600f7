"""Two networks against each other: a StyleGAN2 generator and its discriminator, step by step (Karras et al., 2020)."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.training import losses
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.finetune.options import Options
from model.training.teachers.blending import SHARED_PARTS
from model.training.trainer import ema_decay, fingerprint, learnt_weights

MIXING = 0.9
"""Share of pictures whose coarse and fine rows come from two codes (StyleGAN2)."""

PENALTY_EVERY = 16
"""Steps between gradient penalties, which are so much heavier instead (StyleGAN2, Sec. 3.1)."""


def gradient_penalty(discriminator: nn.Module, pictures: Tensor) -> Tensor:
    """`E[‖∇D(x)‖²]` at real pictures `[B, 3, H, W]`, R1 of Mescheder et al. (2018), eq. 9; float32.

    It can be differentiated with respect to the discriminator's weights.
    """
    pictures = pictures.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(pictures).sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


@torch.no_grad()
def mixed_codes(generator: Generator, rng: np.random.Generator, count: int) -> Tensor:
    """Codes `[count, rows, D]` in w+: one of mapping's for all rows, or mixed, from a random row on another."""
    config, weight = generator.config, generator.input.input
    z = torch.from_numpy(rng.standard_normal((2, count, 1, config.style_dim), dtype=np.float32))
    first_of_other = rng.integers(1, config.w_layers, count)
    first_of_other[rng.random(count) >= MIXING] = config.w_layers
    one, other = generator.mapping(z.to(weight))
    is_one = torch.arange(config.w_layers) < torch.from_numpy(first_of_other)[:, None]
    return torch.where(is_one[:, :, None].to(weight.device), one, other)


class Game:
    """Generator, its average and discriminator, their optimisers and how far they are.

    Mapping network and constant input stay those of `base`: blending takes them from there (Toonify, Pinkney & Adler
    2020), so the layers had better learn with them. The published program lets them learn and drops what they learnt.
    Of StyleGAN2's training, path-length regularisation is left out, as is the published program's augmentation, whose
    probability cannot rise above 0.04 within its 600 steps.
    """

    def __init__(
        self,
        options: Options,
        base: Generator,
        discriminator: Discriminator,
        pictures: PictureFolder,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        self.options, self.pictures, self.device, self.dtype = options, pictures, device, dtype
        self.base = base.requires_grad_(False).eval().to(device)
        self.ema, self.generator = copy.deepcopy(self.base), copy.deepcopy(self.base)
        self.learning = [name for name, _ in base.named_parameters() if not name.startswith(SHARED_PARTS)]
        learnt = [self.generator.get_parameter(name).requires_grad_() for name in self.learning]
        self.discriminator = discriminator.requires_grad_().train().to(device)
        self.generator_optimizer = torch.optim.Adam(learnt, options.lr, betas=(0.0, 0.99))
        # A step with a penalty is two steps of the optimiser, which is slowed down to make up for it (StyleGAN2, B).
        share = PENALTY_EVERY / (PENALTY_EVERY + 1) if options.r1 else 1.0
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), share * options.lr, betas=(0.0, 0.99**share)
        )
        self.step = 0

    def advance(self) -> dict[str, float]:
        """One step of each network; returns the losses. What it draws depends on the seed and the step alone.

        Raises NotFiniteError when a loss or its gradient is not finite.
        """
        rng = np.random.default_rng((self.options.seed, self.step))
        judge, draw = self.discriminator_optimizer, self.generator_optimizer
        found = {"discriminator": self._descend(judge, "discriminator", lambda: self._discrimination(rng))}
        if self.options.r1 and self.step % PENALTY_EVERY == 0:
            found["penalty"] = self._descend(judge, "penalty", lambda: self._penalty(rng))
        self.discriminator.requires_grad_(False)  # it only passes gradients on
        found["generator"] = self._descend(draw, "generator", lambda: self._adversarial(rng))
        self.discriminator.requires_grad_(True)
        self.step += 1
        self._average()
        return found

    def _descend(self, optimizer: torch.optim.Optimizer, name: str, loss_of_batch: Callable[[], Tensor]) -> float:
        """A step of `optimizer` down the mean loss of all batches, which is returned; `name` is for the message."""
        optimizer.zero_grad()
        total = 0.0
        for _ in range(self.options.accumulate):
            loss = loss_of_batch() / self.options.accumulate
            loss.backward()
            total += loss.item()
        learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(learning, math.inf).item()
        if not math.isfinite(total + norm):
            raise NotFiniteError(f"{name} is {total}, its gradient {norm}")
        optimizer.step()
        return total

    def _discrimination(self, rng: np.random.Generator) -> Tensor:
        real = self._real(rng)
        with torch.no_grad():
            fake = self._fake(rng)
        return losses.discrimination(self._judge(fake), self._judge(real))

    def _penalty(self, rng: np.random.Generator) -> Tensor:
        """`γ/2·E[‖∇D(x)‖²]`, as heavy as all the steps without it; in float32, for it is a second derivative."""
        return self.options.r1 / 2 * PENALTY_EVERY * gradient_penalty(self.discriminator, self._real(rng))

    def _adversarial(self, rng: np.random.Generator) -> Tensor:
        return losses.adversarial(self._judge(self._fake(rng)))

    def _real(self, rng: np.random.Generator) -> Tensor:
        return self.pictures.draw(rng, self.options.batch).to(self.device)

    def _fake(self, rng: np.random.Generator) -> Tensor:
        codes = mixed_codes(self.generator, rng, self.options.batch)
        seeds = rng.integers(2**63, size=self.options.batch).tolist()
        noise = layer_noise(self.generator.config, seeds, self.device)
        with self._arithmetic():
            return self.generator(codes, noise).float()

    def _judge(self, pictures: Tensor) -> Tensor:
        with self._arithmetic():
            return self.discriminator(pictures).float()

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @torch.no_grad()
    def _average(self) -> None:
        decay = ema_decay(self.step, self.options.pictures_a_step, self.options.recipe.young_average)
        own, averaged = dict(self.generator.named_parameters()), dict(self.ema.named_parameters())
        torch._foreach_lerp_([averaged[n] for n in self.learning], [own[n] for n in self.learning], 1 - decay)

    def state(self) -> dict:
        """All that a continuation needs beside the files that the options name."""
        return {
            "generator": learnt_weights(self.generator, self.learning),
            "ema": learnt_weights(self.ema, self.learning),
            "discriminator": self.discriminator.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "step": self.step,
            "base": fingerprint(self.generator),
            "pictures": self.pictures.names,
        }

    def load(self, state: dict) -> None:
        """Take over what `state` returned, but for the learning rate."""
        for network, weights in ((self.generator, state["generator"]), (self.ema, state["ema"])):
            network.load_state_dict(network.state_dict() | weights)
        self.discriminator.load_state_dict(state["discriminator"])
        for optimizer, stored in (
            (self.generator_optimizer, state["generator_optimizer"]),
            (self.discriminator_optimizer, state["discriminator_optimizer"]),
        ):
            (rate,) = (group["lr"] for group in optimizer.param_groups)
            optimizer.load_state_dict(stored)
            optimizer.param_groups[0]["lr"] = rate
        self.step = state["step"]


class NotFiniteError(ArithmeticError):
    """A loss or the gradient is no longer finite."""
