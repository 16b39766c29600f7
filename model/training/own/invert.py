"""Inversion: the code and the noise with which a generator draws a picture, found by optimisation.

It is the second step of DualStyleGAN's destylisation (Yang et al., CVPR 2022), which starts from an encoder's code and
runs with a generator that was fine-tuned to the pictures; with a generator of photos, it inverts photos. Every picture
is optimised on its own, however many are computed at a time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from model.common.errors import InputError
from model.common.tensors import image_grid
from model.stylegan2 import Generator
from model.training import losses
from model.training.data.sampling import layer_noise

Space = Literal["z+", "w+"]
Distance = Callable[[Tensor, Tensor], Tensor]  # of pictures `[B, 3, S, S]` in pairs: `[B]`
Embedding = Callable[[Tensor], Tensor]  # faces `[B, 3, S, S]` to vectors `[B, N]` of length 1

STEPS, HIGHEST_RATE = 300, 0.1
RISE, FALL = 0.05, 0.25  # shares of the steps in which the learning rate rises and falls
WEIGHTS = {"perceptual": 1.0, "identity": 0.1, "spread": 1.0, "noise": 1e5}
COMPARED_SIZE = 256  # pixels a side at which pictures are compared
SMALLEST_NOISE = 8  # pixels a side, down to which noise is looked at (StyleGAN2, appendix D)


@dataclass(frozen=True)
class Inversion:
    """What was found for B pictures."""

    codes: Tensor  # `[B, w_layers, D]`, in z+ or w+
    noises: list[Tensor]  # one a synthesis layer, `[B, 1, H, W]`
    rendered: Tensor  # what the generator makes of them, `[B, 3, S, S]`, RGB in [-1, 1]


def rate(t: float, highest: float = HIGHEST_RATE) -> float:
    """Learning rate at `t`, from 0 (begin) to 1 (end): a linear rise, and a cosine down to 0."""
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / FALL))
    return highest * fall * min(1.0, t / RISE)


def noise_correlation(noises: Sequence[Tensor], together: bool = False) -> Tensor:
    """How far maps `[B, 1, H, W]` are from white noise: squared correlations with themselves moved by a pixel, at all
    scales (StyleGAN2, appendix D). `[B]`; or one number for all pictures `together`, as in the published program."""
    dims = (0, 1, 2, 3) if together else (1, 2, 3)
    total = 0.0
    for noise in noises:
        while True:
            moved = (noise.roll(1, 3), noise.roll(1, 2))
            total = total + sum((noise * other).mean(dims).square() for other in moved)
            if noise.shape[-1] <= SMALLEST_NOISE:
                break
            noise = F.avg_pool2d(noise, 2)
    return total


def standardised(noise: Tensor, together: bool = False) -> Tensor:
    """`noise [B, 1, H, W]` with mean 0 and deviation 1, for each picture; or over all of them `together`."""
    dims = (0, 1, 2, 3) if together else (1, 2, 3)
    return (noise - noise.mean(dims, keepdim=True)) / noise.std(dims, keepdim=True)


def render(generator: Generator, codes: Tensor, noises, space: Space = "z+", truncation: float = 1.0) -> Tensor:
    """Pictures `[B, 3, S, S]` of codes `[B, w_layers, D]`; `truncation` pulls w+ towards zero, `noises` as for the
    generator."""
    return generator(truncation * (generator.mapping(codes) if space == "z+" else codes), noises)


def terms(
    generator: Generator, codes: Tensor, noises: Sequence[Tensor], pictures: Tensor, *, perceptual: Distance,
    identity: Embedding | None = None, space: Space = "z+",
) -> dict[str, Tensor]:  # fmt: skip
    """The terms of the loss, `[B]` each, before `WEIGHTS`: perceptual distance and identity of what is drawn, how far
    the rows of a code are apart, and how far the noise is from white. Arguments as for `invert`."""
    drawn = render(generator, codes, noises, space)
    size = min(COMPARED_SIZE, drawn.shape[-1])
    result, wanted = resized(drawn, size), resized(pictures, size)
    found = {"perceptual": perceptual(result, wanted)}
    if identity is not None:
        found["identity"] = losses.identity_distance(identity(result), identity(wanted))
    return found | {"spread": codes.std(1).mean(1), "noise": noise_correlation(noises)}


def weighted(found: dict[str, Tensor]) -> Tensor:
    """The loss `[B]` of its terms."""
    return sum(WEIGHTS[name] * term for name, term in found.items())


def resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures `[B, C, S, S]` with `size` pixels a side: averaged over areas, or enlarged."""
    if pictures.shape[-1] < size:
        return F.interpolate(pictures, (size, size), mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(pictures, size)


def invert(
    generator: Generator, pictures: Tensor, start: Tensor, *, perceptual: Distance, identity: Embedding | None = None,
    steps: int = STEPS, space: Space = "z+", seeds: Sequence[int] | None = None, batch: int = 4, progress: bool = True,
) -> Inversion:  # fmt: skip
    """Codes and noise with which `generator` draws `pictures [B, 3, S, S]`, RGB in [-1, 1], aligned as in FFHQ.

    start: codes to begin with, `[B, w_layers, D]` in `space`; z+ goes through the mapping network row by row.
    perceptual: such as LPIPS; identity: such as ArcFace, None leaves the identity out.
    seeds: of the noise of each picture (default: its number); batch: pictures that are computed at a time.
    """
    check_codes(generator, start, len(pictures))
    seeds = range(len(pictures)) if seeds is None else seeds
    device = start.device
    parts = [slice(i, i + batch) for i in range(0, len(pictures), batch)]
    found = []
    with tqdm(total=steps * len(parts), desc="inversion", unit="step", disable=not progress) as bar:
        for part in parts:
            noises = layer_noise(generator.config, seeds[part], device)
            judge = {"perceptual": perceptual, "identity": identity, "space": space}
            found.append(_invert(generator, pictures[part].to(device), start[part], noises, steps, judge, bar))
    noises = [torch.cat(layer) for layer in zip(*(one.noises for one in found), strict=True)]
    return Inversion(torch.cat([one.codes for one in found]), noises, torch.cat([one.rendered for one in found]))


def _invert(generator, pictures: Tensor, start: Tensor, noises: list[Tensor], steps: int, judge: dict, bar):
    learning = [each.detach().float().clone().requires_grad_() for each in (start, *noises)]
    codes, *noises = learning
    optimizer = torch.optim.Adam(learning, HIGHEST_RATE)
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate(step / steps)
            found = terms(generator, codes, noises, pictures, **judge)
            total = weighted(found).sum()
            loss = total.item()
            if not math.isfinite(loss):
                raise InputError(f"the inversion broke down at step {step}: its loss is {loss}.")
            for value, gradient in zip(learning, torch.autograd.grad(total, learning), strict=True):
                value.grad = gradient
            optimizer.step()
            with torch.no_grad():
                for noise in noises:
                    noise.copy_(standardised(noise))
            bar.set_postfix(loss=f"{loss / len(pictures):.3f}", refresh=False)
            bar.update()
    codes, *noises = (value.detach() for value in learning)
    with torch.no_grad():
        return Inversion(codes, noises, render(generator, codes, noises, judge["space"]))


def check_codes(generator: Generator, codes: Tensor, count: int) -> None:
    """Raise InputError for codes that are not `[count, w_layers, D]` of this generator."""
    config = generator.config
    if codes.shape != (wanted := (count, config.w_layers, config.style_dim)):
        raise InputError(f"codes have the shape {list(codes.shape)}, where {list(wanted)} fits generator and pictures.")


def sheet(pictures: Tensor, *inversions: Tensor, size: int = COMPARED_SIZE) -> np.ndarray:
    """A row for each picture: the picture, and beside it what was made of it; RGB uint8 `[B·size, columns·size, 3]`."""
    return image_grid([pictures, *inversions], size)
