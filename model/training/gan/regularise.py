"""Penalties on derivatives, and the average of the weights, of StyleGAN2 (Karras et al., 2020)."""

import math

import torch
from torch import Tensor, nn

from model.stylegan2 import Generator, Noise

# Steps between penalties, which are so much heavier instead (StyleGAN2, Sec. 3.1).
PENALTY_EVERY, PATH_EVERY = 16, 4
PATH_DECAY = 0.01  # share of the newest mean in the running mean of path lengths
AVERAGED_OVER = 10_000 / 32  # steps of any batch after which an old weight counts half (10 kimg at 32 pictures)
RAMP = 0.05  # the half-life is at most this share of the pictures that were seen, where the average starts young


def gradient_penalty(discriminator: nn.Module, pictures: Tensor) -> Tensor:
    """`E[‖∇D(x)‖²]` at real pictures `[B, 3, H, W]`, R1 of Mescheder et al. (2018), eq. 9; differentiable, float32.
    What `discriminator` does first, such as an augmentation, belongs to it."""
    pictures = pictures.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(pictures).sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


class PathMean:
    """The running mean of path lengths, as a part of the state: from 0 on as published, but for a generator that is
    trained already, which would first be flattened, from its own mean on (None: not known yet)."""

    def __init__(self, value: float | None) -> None:
        self.value = value

    def state_dict(self) -> dict[str, float | None]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        self.value = state["value"]


def path_lengths(
    generator: Generator, w_plus: Tensor, direction: Tensor, mean: float | None, noise: Noise = "none",
    decay: float = PATH_DECAY,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """`E(ℓ - a)²` with path lengths ℓ = |J_w^T y| (StyleGAN2, eq. 4), the new running mean a, and the lengths `[B]`.

    w_plus: `[B, layers, D]`, part of the graph; direction: pictures y `[B, 3, H, W]` of standard normal numbers; mean:
    a so far, None: that of these pictures. The gradient goes through the new mean, as in the published programs."""
    pictures = generator(w_plus, noise)
    share = (pictures * direction).sum() / math.sqrt(pictures.shape[-2] * pictures.shape[-1])
    (gradient,) = torch.autograd.grad(share, w_plus, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    if mean is None:
        mean = lengths.mean().detach()
    new_mean = mean + decay * (lengths.mean() - mean)
    return (lengths - new_mean).square().mean(), new_mean, lengths


def average_decay(batch: int, half_life: float, seen: float = math.inf, ramp: float | None = None) -> float:
    """Share of an average that a step of `batch` pictures leaves: half after `half_life` pictures, and no more than
    `ramp` times those `seen`, where given."""
    pictures = half_life if ramp is None else min(half_life, ramp * seen)
    return 0.5 ** (batch / max(pictures, 1e-8))
