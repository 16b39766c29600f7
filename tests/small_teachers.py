"""Network teachers that are small and in which everything matters: noise, styles, exemplars, edits."""

import numpy as np
import torch
from torch import Tensor, nn

from model.config import EncoderConfig, GeneratorConfig
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from model.training.options import DualOptions, ToonifyOptions
from model.training.teachers.variants import DualStyleTeacher, ToonifyTeacher

SMALL = GeneratorConfig(
    size=64, style_dim=6, mapping_layers=2, channels=dict.fromkeys((4, 8, 16, 32, 64), 4), structure_size=16
)
ROWS, STRUCTURE = SMALL.w_layers, SMALL.structure_layers


class Eye(nn.Module):
    """Stands in for pSp: codes from the mean colours of the face."""

    config = EncoderConfig()

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.weight = nn.Parameter(torch.linspace(-1, 1, 3 * ROWS * 6).view(3, ROWS, 6).double())

    def style_codes(self, face: Tensor) -> Tensor:
        assert face.shape[1:] == (3, 256, 256)
        self.calls += 1
        return torch.einsum("bc,crd->brd", face.mean((2, 3)), self.weight.to(face))


class Parser(nn.Module):
    """Stands in for BiSeNet: 19 logits that are products of the colours."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, torch.arange(19) % 3] * torch.arange(1, 20).view(-1, 1, 1)


@torch.no_grad()
def spread(network: nn.Module, seed: int) -> nn.Module:
    """`network` with weights in which noise, styles and exemplars matter, in float64."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        parameter.normal_(generator=generator)
        if "modulation.bias" in name:
            parameter.add_(1)
        if name.startswith(("style.", "generator.style.")) and name.endswith("weight"):
            parameter.mul_(100)  # the learning-rate multiplier takes it back
        if "to_rgb" in name and name.endswith("conv.weight"):
            parameter.mul_(0.1)
    return network.double().eval()


EXEMPLARS = {name: np.random.default_rng(i).normal(size=(1, ROWS, 6)) for i, name in enumerate(("a.jpg", "b.jpg", "c"))}
DIRECTIONS = np.random.default_rng(9).normal(size=(4, ROWS, 6))


def helpers() -> dict:
    return {"style_encoder": Eye(), "parser": Parser(), "directions": DIRECTIONS}


def toonify(**changed) -> ToonifyTeacher:
    photos, cartoons = (spread(Generator(SMALL), seed) for seed in (1, 2))
    return ToonifyTeacher(photos, cartoons, ToonifyOptions(seed=5), **helpers() | changed)


def dual(changed: dict | None = None, **options) -> DualStyleTeacher:
    options = DualOptions(**{"seed": 5, "style_id": 1} | options)
    return DualStyleTeacher(spread(DualStyleGAN(SMALL), 1), EXEMPLARS, options, **helpers() | (changed or {}))
