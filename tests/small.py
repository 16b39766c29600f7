"""Networks small enough to be built, run and saved within milliseconds."""

import torch

from model.stylegan2 import GeneratorConfig
from model.vtoonify import Backbone, VToonify, VToonifyConfig


def small_config(backbone: Backbone = "dualstylegan") -> VToonifyConfig:
    """No parser; output as large as the input; 14 style rows of 8 numbers."""
    widths = dict.fromkeys((32, 64, 128, 256), 4)
    generator = GeneratorConfig(
        size=256, style_dim=8, mapping_layers=2, channels=widths, noise_buffers=False, first_level=3
    )
    return VToonifyConfig(backbone, generator, parsing_channels=0, stem_channels=4, dilations=(2, 1))


def small_network(backbone: Backbone = "dualstylegan") -> VToonify:
    torch.manual_seed(0)
    return VToonify(small_config(backbone)).eval()
