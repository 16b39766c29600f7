"""The teacher of variant T: a Toonify generator (VToonify, Sec. 4.1.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.stylegan2 import Generator
from model.training.data.sampling import Sample
from model.training.options import ToonifyOptions
from model.training.teachers.base import NetworkTeacher


class ToonifyTeacher(NetworkTeacher):
    """A generator of photos G0 and one of cartoons G1, blended with it. One style, at degree 1.

    `helpers` are the further arguments of NetworkTeacher.
    """

    def __init__(self, photos: Generator, cartoons: Generator, options: ToonifyOptions, **helpers):
        super().__init__(photos, options.seed, **helpers)
        self.cartoons = cartoons
        self.styles = [options.name]
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def sample(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Distillation: x' = G0(0.5·w), y' = G1(w''), w'' = layers 0-6 of 0.5·w and the photo's layers 7-17."""
        latent = self.latent(numbers)
        photo = self.render(self.photos, latent.w_plus, noise=latent.noise)
        code = torch.cat([latent.w_plus[:, self.structure], self.colour_code(latent.w_plus, photo)], dim=1)
        cartoon = self.render(self.cartoons, code, noise=latent.noise)
        return self.moved_sample(latent, photo, cartoon, code, *self._labels(numbers))

    @torch.no_grad()
    def sample_features(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Pre-training: feature and skip image of G1(0.5·w) at the structure size."""
        latent = self.latent(numbers)
        with self.autocast():
            features = self.cartoons.features_at(latent.w_plus, self.config.structure_size, latent.noise)
        return self.feature_sample(latent, features, latent.w_plus, *self._labels(numbers))

    def backbone(self) -> dict[str, Tensor]:
        """Weights for `fill_backbone`."""
        return self.cartoons.state_dict()

    def _labels(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Degree and style of every sample, `[B]`."""
        degree = torch.ones(len(numbers), device=self.device)
        return degree, torch.zeros_like(degree, dtype=torch.int64)
