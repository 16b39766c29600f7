"""What compares faces and their styles while DualStyleGAN learns: LPIPS, VGG-19's features and ArcFace, as published;
or features of a discriminator, which need no file of their own."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from model import checkpoints
from model.common.cli import option
from model.common.errors import InputError
from model.common.hub import vgg_on_disk
from model.config import GeneratorConfig
from model.training.own.critic import Critic
from model.training.own.invert import COMPARED_SIZE, resized
from model.training.teachers.variants import NO_FILE

VGG, CRITIC = "vgg", "critic"
LEAVE_OUT = f"or leave out who a face is with --arcface_path {NO_FILE}"
VGG19_FILE = "vgg19-dcbb9e9d.pth"
LARGEST_MAP = (
    64  # pixels a side of what stands in for relu3_1: memory of the contextual loss grows with its fourth power
)


@dataclass
class JudgeOptions:
    """Options of what compares pictures."""

    judge: str = option(
        "auto", "what compares pictures: vgg, LPIPS and VGG-19; critic, features of the discriminator; auto: critic "
        "for small sizes", choices=["auto", VGG, CRITIC],
    )  # fmt: skip
    arcface_path: str = option(
        "auto", f"ArcFace; {NO_FILE}: none; auto: checkpoint/model_ir_se50.pth, for small sizes none", free=True
    )
    config: str = "published"

    @property
    def judged_by(self) -> str:
        """`VGG` or `CRITIC`."""
        return self.judge if self.judge != "auto" else VGG if self.config == "published" else CRITIC

    @property
    def arcface_file(self) -> str | None:
        """Path of ArcFace; None where it is left out."""
        if self.arcface_path == "auto":
            return "checkpoint/model_ir_se50.pth" if self.config == "published" else None
        return None if self.arcface_path == NO_FILE else self.arcface_path

    def told(self) -> str:
        """What compares pictures, in words for the log."""
        what = {VGG: "LPIPS and VGG-19", CRITIC: "features of the discriminator"}[self.judged_by]
        return f"pictures are compared by {what}, {'with' if self.arcface_file else 'without'} ArcFace"


class CriticFeatures(nn.Module):
    """Stands in for VGG-19's relu1_1, relu2_1 and relu3_1: three blocks of a discriminator, each half the size of the
    one before."""

    def __init__(self, critic: Critic):
        super().__init__()
        self.critic = critic

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """`[B, C, h, w]` each, for pictures `[B, 3, S, S]`, RGB in [-1, 1]."""
        first = max(0, int(math.log2(pictures.shape[-1] / (4 * LARGEST_MAP))))
        return self.critic.outputs(pictures, range(first, first + 3))


def compared(network: nn.Module, *pictures: Tensor) -> Tensor | list[Tensor]:
    """What a network that was trained with small pictures says of `[B, 3, S, S]`."""
    size = min(COMPARED_SIZE, pictures[0].shape[-1])
    return network(*(resized(each, size) for each in pictures))


def load_critic(path: str, sizes: GeneratorConfig) -> Critic:
    """The critic in the file of a generator of these sizes."""
    discriminator = checkpoints.load_discriminator(path, sizes)
    if discriminator is None:
        raise InputError(f"{path} has no discriminator (under 'd'): give a file that has one, or --judge {VGG}.")
    return Critic(discriminator)


def load_distance(options: JudgeOptions, path: str, sizes: GeneratorConfig, device: torch.device) -> Callable:
    """Distance `[B]` of pictures in pairs, `[B, 3, S, S]`, RGB in [-1, 1]; `path`: the file that has the critic."""
    if options.judged_by == CRITIC:
        return load_critic(path, sizes).to(device)
    return partial(compared, checkpoints.load_perceptual(f"--judge {CRITIC}").to(device))


def load_features(options: JudgeOptions, path: str, sizes: GeneratorConfig, device: torch.device) -> Callable:
    """Features of pictures `[B, 3, S, S]`, RGB in [-1, 1]: relu1_1, relu2_1, relu3_1 and perhaps more, or what stands
    in for these three; `path` as in `load_distance`."""
    if options.judged_by == CRITIC:
        return CriticFeatures(load_critic(path, sizes)).to(device)
    if (file := vgg_on_disk(19)) is None:
        folder = Path(torch.hub.get_dir(), "checkpoints")
        raise InputError(f"VGG-19 is missing: put torchvision's {VGG19_FILE} into {folder}, or add --judge {CRITIC}.")
    return partial(compared, checkpoints.load_vgg19(file).to(device))


def load_identity(options: JudgeOptions, device: torch.device) -> nn.Module | None:
    """ArcFace, or None where it is left out."""
    if (file := options.arcface_file) is None:
        return None
    if not Path(file).is_file():
        raise InputError(f"{file} (ArcFace) does not exist: put it there, {LEAVE_OUT}.")
    return checkpoints.load_arcface(file).to(device)
