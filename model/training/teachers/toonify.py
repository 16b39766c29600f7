"""The teacher of variant T: a Toonify generator, blended of two (VToonify, Sec. 4.1.2; Pinkney & Adler 2020)."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from model.stylegan2 import Generator
from model.training.data.sampling import Sample
from model.training.options import ToonifyOptions
from model.training.teachers.base import NetworkTeacher

SHARED_PARTS = ("style.", "input.", "noises.")  # mapping network, constant input and noise stay the base generator's


class ToonifyTeacher(NetworkTeacher):
    """A generator of photos G0 and a blended one of cartoons G1: one style, at degree 1."""

    def __init__(self, photos: Generator, cartoons: Generator, options: ToonifyOptions, **helpers):
        super().__init__(photos, cartoons, options.seed, **helpers)
        self.styles = [options.name]

    @torch.no_grad()
    def sample(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Distillation: x' = G0(0.5·w), y' = G1(w''), w'' = layers 0-6 of 0.5·w and the photo's layers 7-17."""
        latent = self.latent(numbers)
        photo = self.render(self.photos, latent.w_plus, noise=latent.noise)
        code = torch.cat([latent.w_plus[:, self.structure], self.colour_code(latent.w_plus, photo)], dim=1)
        cartoon = self.render(self.cartoons, code, noise=latent.noise)
        return self.moved_sample(latent, photo, cartoon, code, *self._degree_and_style(numbers))

    @torch.no_grad()
    def sample_features(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Pre-training: feature and skip image of G1(0.5·w) at the structure size."""
        latent = self.latent(numbers)
        with self.autocast():
            features = self.cartoons.features_at(latent.w_plus, self.config.structure_size, latent.noise)
        return self.feature_sample(latent, features, latent.w_plus, *self._degree_and_style(numbers))

    def _degree_and_style(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        degree = torch.ones(len(numbers), device=self.device)
        return degree, torch.zeros_like(degree, dtype=torch.int64)


def blend_state_dicts(
    base: Mapping[str, Tensor], fine: Mapping[str, Tensor], weights: Sequence[float]
) -> dict[str, Tensor]:
    """Blend two StyleGAN2 generators layer by layer: weight·fine + (1 - weight)·base, as a new state dict.

    A convolution takes the weight of the w+ layer that styles it, one of `weights`; what none styles is the base's.
    """
    shared = {name: value.clone() for name, value in base.items() if name.startswith(SHARED_PARTS)}
    styled = {name: value for name, value in base.items() if name not in shared}
    return shared | {name: torch.lerp(value, fine[name], weights[_w_layer(name)]) for name, value in styled.items()}


def _w_layer(name: str) -> int:
    """Layer of w+ that the part of the generator with parameter `name` reads (see model.stylegan2)."""
    part, number = re.match(r"(conv1|to_rgb1|convs|to_rgbs)\.(\d*)", name).groups(default="")
    index = int(number or 0)
    return {"conv1": 0, "to_rgb1": 1, "convs": 1 + index, "to_rgbs": 3 + 2 * index}[part]
