"""Blending of two StyleGAN2 generators by layer, which makes a Toonify generator."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SHARED_PARTS = ("style.", "input.", "noises.")  # mapping network, constant input and noise stay the base generator's


def blend_state_dicts(
    base: Mapping[str, Tensor], fine: Mapping[str, Tensor], weights: Sequence[float]
) -> dict[str, Tensor]:
    """Blend two StyleGAN2 generators layer by layer: weight·fine + (1 - weight)·base (Toonify, Pinkney & Adler 2020).

    `weights` has one number for each layer of w+, which counts for the parameters that this layer styles; what none
    styles is taken from `base`. Returns a new state dict with the names of `base`. KeyError where `fine` lacks one.
    """
    blended = {name: value.clone() for name, value in base.items()}
    for name in blended:
        if not name.startswith(SHARED_PARTS):
            part, index = re.match(r"(conv1|to_rgb1|convs|to_rgbs)\.(\d*)", name).groups(default="")
            layer = {"conv1": 0, "to_rgb1": 1, "convs": 1 + int(index or 0), "to_rgbs": 3 + 2 * int(index or 0)}[part]
            blended[name] = torch.lerp(base[name], fine[name], weights[layer])
    return blended
