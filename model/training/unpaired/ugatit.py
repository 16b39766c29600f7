"""The losses and the step of U-GAT-IT (Kim et al., ICLR 2020). Domain A: photos, B: pictures of the style."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from model.ugatit import Ugatit, clip_rho

BETAS, WEIGHT_DECAY = (0.5, 0.999), 1e-4  # of Adam; the decay is part of the gradient, and pulls at ρ too
JUDGES = {"A": ("GA", "LA"), "B": ("GB", "LB")}  # discriminators of a domain: global, local
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """Of the generators' losses, as published."""

    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 10.0
    attention: float = 1000.0


@dataclass(frozen=True)
class Translated:
    """Both translations of a step, `[B, 3, S, S]`, and what their generators' attention says of its input, `[B, 2]`."""

    a2b: Tensor
    b2a: Tensor
    logits_a2b: Tensor
    logits_b2a: Tensor


def translate(networks: Ugatit, a: Tensor, b: Tensor) -> Translated:
    (a2b, logits_a2b, _), (b2a, logits_b2a, _) = networks.genA2B(a), networks.genB2A(b)
    return Translated(a2b.float(), b2a.float(), logits_a2b, logits_b2a)


def error(logits: Tensor, wanted: float) -> Tensor:
    """Mean squared."""
    return F.mse_loss(logits.float(), torch.full_like(logits, wanted, dtype=torch.float32))


def discriminator_terms(networks: Ugatit, a: Tensor, b: Tensor, fakes: Translated) -> Terms:
    """Squared errors of all discriminators, of patches and of attention (`_cam`), for real and translated pictures."""
    found = {}
    for kind, wanted, pictures in (("real", 1.0, (a, b)), ("fake", 0.0, (fakes.b2a.detach(), fakes.a2b.detach()))):
        for domain, picture in zip(JUDGES, pictures, strict=True):
            for judge in JUDGES[domain]:
                logits, attention, _ = networks.get_submodule(f"dis{judge}")(picture)
                found[f"{judge}.{kind}"] = error(logits, wanted)
                found[f"{judge}_cam.{kind}"] = error(attention, wanted)
    return found


def generator_terms(networks: Ugatit, a: Tensor, b: Tensor, fakes: Translated) -> Terms:
    """Every loss of the generators, without weights."""
    cycle_a, cycle_b = networks.genB2A(fakes.a2b)[0], networks.genA2B(fakes.b2a)[0]
    (a2a, logits_a2a, _), (b2b, logits_b2b, _) = networks.genB2A(a), networks.genA2B(b)
    found = {"cycle_A": F.l1_loss(cycle_a.float(), a), "cycle_B": F.l1_loss(cycle_b.float(), b)}
    found |= {"identity_A": F.l1_loss(a2a.float(), a), "identity_B": F.l1_loss(b2b.float(), b)}
    # The attention tells pictures of the other domain, which are to be changed, from those that may stay.
    foreign, own = {"B2A": fakes.logits_b2a, "A2B": fakes.logits_a2b}, {"A2A": logits_a2a, "B2B": logits_b2b}
    for name, logits in (foreign | own).items():
        wanted, logits = float(name in foreign), logits.float()
        found[f"attention_{name}"] = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, wanted))
    for domain, fake in zip(JUDGES, (fakes.b2a, fakes.a2b), strict=True):
        for judge in JUDGES[domain]:
            logits, attention, _ = networks.get_submodule(f"dis{judge}")(fake)
            found[judge] = error(logits, 1.0)
            found[f"{judge}_cam"] = error(attention, 1.0)
    return found


def weight_of(name: str, weights: Weights) -> float:
    """The weight of a generators' term."""
    kind = name.partition("_")[0]
    return getattr(weights, kind) if kind in ("cycle", "identity", "attention") else weights.adversarial


def make_optimizer(networks: nn.Module, rate: float, decay: float = WEIGHT_DECAY) -> Optimizer:
    """For both generators, or for all discriminators."""
    return Adam(networks.parameters(), rate, BETAS, weight_decay=decay)


def rate_at(step: int, total: int, rate: float) -> float:
    """Learning rate of a step, counted from 1: constant for the first half, then linearly to 0 at the last one."""
    return rate * min(1.0, (total - step) / (total / 2))


def learn(
    networks: Ugatit, optimizers: tuple[Optimizer, Optimizer], a: Tensor, b: Tensor, weights: Weights = Weights(),
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> Mapping[str, Tensor]:  # fmt: skip
    """One step: the discriminators, then the generators, whose translations serve both. `a`, `b`: `[B, 3, S, S]`, RGB
    in [-1, 1]; optimizers: of the generators, of the discriminators; backward: how a loss is differentiated. All terms
    without weights, discriminators' with "D." before their names, generators' with "G."."""
    of_generators, of_discriminators = optimizers
    fakes = translate(networks, a, b)
    judged = discriminator_terms(networks, a, b, fakes)
    of_discriminators.zero_grad()
    backward(weights.adversarial * sum(judged.values()))
    of_discriminators.step()
    judges = networks.discriminators.requires_grad_(False)
    found = generator_terms(networks, a, b, fakes)
    of_generators.zero_grad()
    backward(sum(weight_of(name, weights) * term for name, term in found.items()))
    of_generators.step()
    judges.requires_grad_(True)
    clip_rho(networks)
    return {f"D.{name}": term.detach() for name, term in judged.items()} | {
        f"G.{name}": term.detach() for name, term in found.items()
    }
