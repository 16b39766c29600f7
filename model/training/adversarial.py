"""What trainings against discriminators have in common: random numbers of their own for each loss, phases in which one
optimiser steps, and discriminators that rest while the generator learns."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from model.training.trainer import Trainer, mean_losses


class PhaseTrainer(Trainer):
    """A step is a row of phases, in each of which one optimiser takes a step. What a batch draws depends on the seed,
    the step, the loss and its number within the step alone, so that processes share a step's batches as one process
    would go through them."""

    shares_gradients = True
    losses: tuple[str, ...]  # each has random numbers of its own, by its place here

    def phase(
        self, optimizer: torch.optim.Optimizer, loss: str, of_batch: Callable[[np.random.Generator], dict[str, Tensor]]
    ) -> dict[str, float]:
        """A step of `optimizer` down the mean over all batches, of all processes, of the sum of what `of_batch` gives;
        returns these means. What has no gradient is told only."""
        found = []
        for rng in self.draws(loss):
            with self.accelerator.accumulate(self.network):
                terms = of_batch(rng)
                told = {name: value.item() for name, value in terms.items() if not value.requires_grad}
                learnt = {name: value for name, value in terms.items() if value.requires_grad}
                found.append(self.descend(optimizer, learnt) | told)
        return mean_losses(found)

    def draws(self, loss: str) -> Iterator[np.random.Generator]:
        """Random numbers for each batch of this process in the present step."""
        for turn in range(self.options.accumulate):
            number = turn * self.accelerator.num_processes + self.accelerator.process_index
            yield np.random.default_rng((self.options.seed, self.step, self.losses.index(loss), number))


class AdversarialTrainer(PhaseTrainer):
    """Generators against discriminators. A subclass sets `discriminator` and both optimisers, and has in `take_step`
    phases of the discriminator, and within `resting_judges` those of the generator."""

    @property
    def judging(self) -> list[nn.Parameter]:
        """The discriminator's parameters that learn."""
        return [parameter for group in self.discriminator_optimizer.param_groups for parameter in group["params"]]

    @contextmanager
    def resting_judges(self) -> Iterator[None]:
        """Within the block the discriminator only passes gradients on, and collects none."""
        for parameter in self.judging:
            parameter.requires_grad_(False)
        yield
        for parameter in self.judging:
            parameter.requires_grad_(True)

    @abstractmethod
    def take_step(self) -> dict[str, float]:
        """One step of each network."""
