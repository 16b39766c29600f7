"""The teacher of variant D: a DualStyleGAN (VToonify, Sec. 4.2.2)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from model.dualstylegan import DualStyleGAN
from model.training.data.sampling import Draws, Sample
from model.training.options import DualOptions
from model.training.teachers.base import Latent, NetworkTeacher

DEGREES = 6  # in distillation the degree is one of 0, 0.2, ... 1
JITTER_START = 1 / 2  # share of a run after which the photo's colours are jittered
DEGREE_START = 1 / 4  # share of pre-training in which the degree stays 0


def takes_photo_code(options: DualOptions) -> bool:
    """Whether layers 7-17 of the code are the photo's: not where one style is learnt with its colours."""
    return options.fix_color or not options.fix_style


class DualStyleTeacher(NetworkTeacher):
    """A DualStyleGAN, whose inner StyleGAN makes the photos; `exemplars` are style codes in z+, `[1, layers, D]` each.

    Degree and style are drawn for each sample; the published program draws one degree for a batch, which makes no
    difference to the mean and would tie samples to their batch.
    """

    def __init__(self, dual: DualStyleGAN, exemplars: Mapping[str, np.ndarray], options: DualOptions, **helpers):
        super().__init__(dual.generator, dual, options.seed, **helpers)
        self.options, self.styles = options, list(exemplars)
        codes = torch.as_tensor(np.concatenate(list(exemplars.values())), dtype=self.precision, device=self.device)
        self.register_buffer("exemplars", dual.generator.mapping(codes), persistent=False)

    @torch.no_grad()
    def sample(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Distillation: y' = Dual(0.5·w, w''), with the degree on layers 0-6 and colour transfer, or none, on 7-17.

        w'' = layers 0-6 of the exemplar and layers 7-17 of the photo G(0.5·w); all of the exemplar's when one style is
        learnt with its colours. The photo that is shown may have other colours.
        """
        latent = self.latent(numbers)
        degree, style = self.degree_and_style(latent.draws, progress)
        changed, shown = self._jittered(latent, progress)
        photo = self.render(self.photos, shown, noise=latent.noise)
        code = self.exemplars[style]
        if takes_photo_code(self.options):
            plain = photo
            if changed and self.style_encoder is not None:
                plain, noise = photo.clone(), [layer[changed] for layer in latent.noise]
                plain[changed] = self.render(self.photos, latent.w_plus[changed], noise=noise)
            code[:, self.colour] = self.colour_code(latent.w_plus, plain)
        weights = degree[:, None].repeat(1, self.config.w_layers)
        weights[:, self.colour] = 0.0 if self.options.fix_color else 1.0
        cartoon = self.render(self.cartoons, latent.w_plus, code, weights, noise=latent.noise)
        return self.moved_sample(latent, photo, cartoon, code, degree, style)

    @torch.no_grad()
    def sample_features(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Pre-training: feature and skip image of Dual(0.5·w, exemplar) at the structure size, where the weights of
        layers 7-17 don't matter."""
        latent = self.latent(numbers)
        degree, style = self.degree_and_style(latent.draws, progress, pretrain=True)
        exemplar, weights = self.exemplars[style], degree[:, None].repeat(1, self.config.w_layers)
        size = self.config.structure_size
        with self.autocast():
            features = self.cartoons.features_at(latent.w_plus, exemplar, weights, size, latent.noise)
        return self.feature_sample(latent, features, exemplar, degree, style)

    def degree_and_style(self, draws: Draws, progress: float | None, pretrain: bool = False) -> tuple[Tensor, Tensor]:
        """Degree, float32, and index of the exemplar, int64, `[B]`: at random, or as the options fix them; the first
        step of distillation takes what they give. The degree is a multiple of 0.2 there, in pre-training 0 in the first
        quarter, then uniform."""
        first = progress == 0 and not pretrain
        degree, style = np.floor(draws.degree * DEGREES) / (DEGREES - 1), draws.style * len(self.styles)
        if pretrain:
            reached = draws.progress if progress is None else progress
            degree = np.where(reached <= DEGREE_START, 0.0, draws.degree)
        if self.options.fix_degree or first:
            degree = np.full_like(degree, self.options.style_degree)
        if self.options.fix_style or first:
            style = np.full_like(style, self.options.style_id)
        return torch.tensor(degree, dtype=torch.float32, device=self.device), torch.tensor(style).long().to(self.device)

    def _jittered(self, latent: Latent, progress: float | None) -> tuple[list[int], Tensor]:
        """Which samples are shown in other colours, and the code `[B, layers, D]` that photos are shown from.

        In the second half of a run, where any style and colour are learnt, layers 7-17 are mixed with another code's,
        in proportion to progress. The published program takes that code from the batch before, not one of its own.
        """
        reached = latent.draws.progress if progress is None else np.full(len(latent.attribute), progress)
        share = np.maximum((reached - JITTER_START) / (1 - JITTER_START), 0.0)
        changed = share.nonzero()[0].tolist()
        if not changed or self.options.fix_color or self.options.fix_style:
            return [], latent.w_plus
        shown = latent.w_plus.clone()
        other = self.truncated_code(latent.draws.other_z[changed])[:, self.colour]
        weight = torch.from_numpy(share[changed]).to(other)[:, None, None]
        shown[changed, self.colour] = torch.lerp(shown[changed, self.colour], other, weight)
        return changed, shown
