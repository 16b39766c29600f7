"""Small models on disk and in memory, and a small picture with a face, for tests of whole programs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut
from torch import Tensor, nn

from model import checkpoints
from model.common.hub import EXEMPLAR_FILE
from model.config import Backbone, EncoderConfig, GeneratorConfig, VToonifyConfig
from model.inference.clip import stylised
from model.inference.look import Look
from model.inference.scene import Person
from model.inference.stylizer import Portrait, Stylizer
from model.media.frames import Frame
from model.styles.network import VToonifyStyle
from model.styles.presets import VToonifyPreset
from model.vtoonify import VToonify

# Exemplars that fit small networks.
CODES = {name: np.random.default_rng(i).normal(size=(1, 14, 8)) for i, name in enumerate(("ink.jpg", "wash.v2.png"))}
CONTENT_GAIN = 2  # makes up for the small starting weights, with which the picture hardly matters to the output


def small_config(backbone: Backbone = "dualstylegan", parsing_channels: int = 0) -> VToonifyConfig:
    """Output as large as the input; 14 w+ layers of 8 numbers."""
    sizes = {"size": 256, "style_dim": 8, "mapping_layers": 2, "noise_buffers": False, "first_level": 3}
    generator = GeneratorConfig(channels=dict.fromkeys((32, 64, 128, 256), 4), **sizes)
    return VToonifyConfig(backbone, generator, parsing_channels, stem_channels=4, dilations=(2, 1))


def small_network(backbone: Backbone = "dualstylegan", parsing_channels: int = 0, subpixel: int = 1) -> VToonify:
    """Built, run and saved within milliseconds; the output is `subpixel` times as large as the input."""
    torch.manual_seed(0)
    return VToonify(replace(small_config(backbone, parsing_channels), subpixel=subpixel)).eval()


def face_picture() -> np.ndarray:
    """A face with 43 pixels between the eyes: RGB uint8 [192, 192, 3]."""
    return np.ascontiguousarray(astronaut()[16:208, 128:320])


def enlarging_network(backbone: Backbone = "dualstylegan", parsing_channels: int = 0) -> VToonify:
    """A small network whose output is four times as large as the input and depends on it."""
    network = small_network(backbone, parsing_channels, subpixel=4)
    with torch.no_grad():
        for module in [*network.encoder.modules(), *network.fusion_out.modules(), *network.fusion_skip.modules()]:
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(CONTENT_GAIN)
    return network


def save_model(folder: Path, backbone: Backbone = "dualstylegan", parsing_channels: int = 0) -> Path:
    """Writes an enlarging network and the exemplars beside it; returns the path of the network."""
    checkpoints.save_vtoonify(folder / "model.pt", enlarging_network(backbone, parsing_channels))
    checkpoints.save_exemplars(folder / EXEMPLAR_FILE, CODES)
    return folder / "model.pt"


class ColourEncoder(nn.Module):
    """Stands in for pSp: the style code is the mean colour of the face."""

    config = EncoderConfig()

    def __init__(self):
        super().__init__()
        self.calls = 0

    def style_codes(self, face: Tensor) -> Tensor:
        self.calls += 1
        colour = nn.functional.pad(face.mean(dim=(2, 3)), (0, 5))
        return colour[:, None].repeat(1, 14, 1)


class ColourParser(nn.Module):
    """Stands in for BiSeNet: 19 logits that are sums of the colours."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, torch.arange(19) % 3] * torch.arange(1, 20).view(-1, 1, 1)


def dual(parsing_channels: int = 0, **settings) -> Stylizer:
    """A small model of variant D in float32 on the CPU; `settings` are further arguments of its style."""
    preset = VToonifyPreset("small", "dualstylegan", "small.pt")
    parser = ColourParser() if parsing_channels else None
    settings = {"exemplars": CODES, "parser": parser, "device": "cpu", "precision": "fp32"} | settings
    return Stylizer(VToonifyStyle(preset, enlarging_network(parsing_channels=parsing_channels), **settings))


def cartoon(stylizer: Stylizer, frames: Iterable[Frame], portrait: Portrait, look: Look | None = None, **settings):
    """The frames of one person's cartoon; `settings` are further arguments of `stylised`."""
    look = look or Look()
    return stylised(frames, [Person(stylizer, portrait, look)], look, **settings)


def noises(count: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8))


def levels_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int))
