"""What a teacher returns, and the random numbers that it is made of: those of sample n depend on (seed, n) alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.stylegan2 import GeneratorConfig
from model.training.data.augment import random_affine_matrix
from model.training.data.batch import Batch, moved_input, student_input, window_side


@dataclass
class Sample:
    """B samples, drawn by a teacher or read from disk. S is the side of the target, C the parser's classes.

    What a teacher draws lies on its device, but for `attribute`, `affine` and `offset`, which programs read.
    """

    photo: Tensor
    """`[B, 3, S, S]` in [-1, 1], after the affine transform."""
    logits: Tensor | None
    """Parsing logits of the photo at half its size, `[B, C, S/2, S/2]`; None where the network has no parser."""
    w_plus: Tensor
    """Style code that VToonify gets, `[B, layers, D]`."""
    degree: Tensor
    """Style degree, `[B]` in [0, 1]; 1 in variant T."""
    style: Tensor
    """Index of the exemplar, `[B]` int64; 0 in variant T."""
    attribute: Tensor
    """Row of the editing directions that was added, `[B]` int64; -1: none."""
    affine: Tensor
    """`[B, 3, 3]` as `model.training.data.augment.apply_affine` takes it; the identity where nothing was moved."""
    cartoon: Tensor | None = None
    """Distillation: `[B, 3, S, S]` in [-1, 1], under the same affine transform."""
    feature: Tensor | None = None
    """Pre-training: the teacher's feature at the structure size, `[B, C', s, s]`."""
    skip: Tensor | None = None
    """Pre-training: the teacher's skip image at the structure size, `[B, 3, s, s]`."""
    offset: Tensor | None = None
    """Distillation: window (row, column) of the simulated camera move in pixels of the target, `[B, 2]` int64."""

    def batch(self) -> Batch:
        """What the student sees and is to make of it, float32."""
        photo = self.photo.float()
        logits = None if self.logits is None else self.logits.float()
        batch = Batch(
            x=student_input(photo, logits), w_plus=self.w_plus.float(), degree=self.degree.float(), style=self.style
        )
        targets = {"y": self.cartoon, "feature": self.feature, "skip": self.skip}
        batch |= {name: value.float() for name, value in targets.items() if value is not None}
        if self.offset is not None:
            batch |= Batch(moved=moved_input(photo, logits, self.offset), offset=self.offset)
        return batch


@dataclass(frozen=True)
class Draws:
    """Random numbers of B samples, on the CPU.

    All are drawn, used or not, so that none depends on another or on an option. The arrays are uniform in [0, 1), and a
    teacher makes of them what it needs: an index, a degree.
    """

    z: Tensor
    """`[B, D]`, normal."""
    other_z: Tensor
    """`[B, D]`, normal; of the code that lends its colours."""
    attribute: np.ndarray
    style: np.ndarray
    degree: np.ndarray
    progress: np.ndarray
    """How far the run is that a stored sample belongs to."""
    affine: Tensor
    """`[B, 3, 3]`."""
    offset: Tensor
    """`[B, 2]` int64."""
    noise_seeds: list[int]


def draw(seed: int, numbers: Sequence[int], config: GeneratorConfig) -> Draws:
    """Random numbers of samples `numbers` for a generator of these sizes."""
    items = [_draw_one(np.random.default_rng((seed, number)), config) for number in numbers]
    codes, uniform, affine, offset, noise_seeds = zip(*items, strict=True)
    codes = torch.from_numpy(np.stack(codes))
    return Draws(
        codes[:, 0], codes[:, 1], *np.stack(uniform, axis=1), torch.cat(affine), torch.from_numpy(np.stack(offset)),
        list(noise_seeds),
    )  # fmt: skip


def _draw_one(rng: np.random.Generator, config: GeneratorConfig) -> tuple:
    codes = rng.standard_normal((2, config.style_dim), dtype=np.float32)
    uniform = rng.random(4)
    affine = random_affine_matrix(1, rng, config.size, config.size)
    offset = rng.integers(0, config.size - window_side(config.size) + 1, 2)
    return codes, uniform, affine, offset, int(rng.integers(2**63))


def layer_noise(config: GeneratorConfig, seeds: Sequence[int], device: torch.device) -> list[Tensor]:
    """Noise for every synthesis layer, `[B, 1, H, W]` each, float32: that of one sample follows from its seed.

    Drawn on the device: at the published size it is 2.8 million numbers a sample.
    """
    sizes = [4 << ((layer + 1) // 2) for layer in range(2 * config.levels + 1)]
    noise = torch.empty(len(seeds), sum(size**2 for size in sizes), device=device)
    generator = torch.Generator(device)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=generator.manual_seed(seed))
    layers = noise.split([size**2 for size in sizes], dim=1)
    return [layer.view(-1, 1, size, size) for layer, size in zip(layers, sizes, strict=True)]
