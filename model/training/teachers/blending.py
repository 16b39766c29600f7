"""Blending of two StyleGAN2 generators by layer, which makes a Toonify generator."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SHARED_PARTS = ("style.", "input.", "noises.")
"""Mapping network, constant input and noise stay the base generator's."""


def blend_state_dicts(
    base: Mapping[str, Tensor], fine: Mapping[str, Tensor], weights: Sequence[float]
) -> dict[str, Tensor]:
    """Blend two StyleGAN2 generators layer by layer: weight·fine + (1 - weight)·base (Toonify, Pinkney & Adler 2020).

    `weights` holds one number per row of w+, so a layer takes the weight of the row that styles it; what no row styles
    is taken from `base`. Returns a new state dict with the names of `base`. Raises KeyError where `fine` lacks a layer.
    """
    blended = {}
    for name, value in base.items():
        if name.startswith(SHARED_PARTS):
            blended[name] = value.clone()
        else:
            blended[name] = torch.lerp(value, fine[name], weights[row_of(name)])
    return blended


def row_of(name: str) -> int:
    """Row of w+ that the synthesis layer with parameter `name` reads (see model.stylegan2).

    Raises KeyError for a name that belongs to no synthesis layer.
    """
    match = re.match(r"(conv1|to_rgb1|convs|to_rgbs)\.(\d*)", name)
    if match is None:
        raise KeyError(f"{name} is no parameter of a StyleGAN2 synthesis layer")
    index = int(match[2] or 0)
    return {"conv1": 0, "to_rgb1": 1, "convs": 1 + index, "to_rgbs": 3 + 2 * index}[match[1]]
