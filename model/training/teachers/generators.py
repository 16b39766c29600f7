"""Network teachers: generators of photos and of cartoons turn random codes into pairs (VToonify, Sec. 4.1.2 and 4.2.2).

Sample n is a pure function of (seed, n, progress), so batches are equal however they are split over processes, and a
resumed run sees what an uninterrupted one would have seen. `progress` is the share of the run that is done, in [0, 1];
it is None for samples that are stored: what depends on progress is then drawn as over a whole run.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from model.training.data.sampling import Draws, Sample
from model.training.options import DualOptions, ToonifyOptions
from model.training.teachers.helpers import Latent, NetworkTeacher, pool_face
from model.vtoonify import VToonify

DEGREES = 6
"""In distillation the degree is one of 0, 0.2, ... 1."""

JITTER_START = 1 / 2
"""Share of a run after which the photo's colours are jittered."""

DEGREE_START = 1 / 4
"""Share of pre-training in which the degree stays 0."""


class ToonifyTeacher(NetworkTeacher):
    """Variant T: a generator of photos G0 and one of cartoons G1, blended with it. One style, at degree 1."""

    def __init__(
        self,
        photos: Generator,
        cartoons: Generator,
        options: ToonifyOptions,
        style_encoder: nn.Module | None = None,
        parser: nn.Module | None = None,
        directions: np.ndarray | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(photos, options.seed, style_encoder, parser, directions, dtype)
        self.cartoons = cartoons
        self.styles = [options.name]
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def sample(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Distillation: x' = G0(0.5·w), y' = G1(w''), w'' = rows 0-6 of 0.5·w and the photo's rows 7-17."""
        latent = self.latent(numbers)
        photo = self.render(self.photos, latent.w_plus, noise=latent.noise)
        fine = self.fine_rows(latent.w_plus, pool_face(photo))
        code = torch.cat([latent.w_plus[:, : self.config.structure_layers], fine], dim=1)
        cartoon = self.render(self.cartoons, code, noise=latent.noise)
        return self.moved_sample(latent, photo, cartoon, code, *self._labels(numbers))

    @torch.no_grad()
    def sample_features(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Pre-training: feature and skip image of G1(0.5·w) at the structure size."""
        latent = self.latent(numbers)
        with self.arithmetic():
            features = self.cartoons.features_at(latent.w_plus, self.config.structure_size, latent.noise)
        return self.feature_sample(latent, features, latent.w_plus, *self._labels(numbers))

    def backbone(self) -> dict[str, Tensor]:
        """Weights for `fill_backbone`."""
        return self.cartoons.state_dict()

    def _labels(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Degree and style of every sample, `[B]`."""
        degree = torch.ones(len(numbers), device=self.device)
        return degree, torch.zeros_like(degree, dtype=torch.int64)


class DualStyleTeacher(NetworkTeacher):
    """Variant D: a DualStyleGAN, whose inner StyleGAN makes the photos.

    Degree and style are drawn for each sample; the published program draws one degree for a batch, which makes no
    difference to the mean and would tie samples to their batch.

    Args:
        exemplars: style codes in z+ by name, `[1, rows, D]` each.
        options: which styles, degrees and colours are asked for (`fix_*`, `style_*`), and the seed.
    """

    def __init__(
        self,
        dual: DualStyleGAN,
        exemplars: Mapping[str, np.ndarray],
        options: DualOptions,
        style_encoder: nn.Module | None = None,
        parser: nn.Module | None = None,
        directions: np.ndarray | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(dual.generator, options.seed, style_encoder, parser, directions, dtype)
        self.dual, self.options = dual, options
        self.styles = list(exemplars)
        codes = torch.as_tensor(np.concatenate(list(exemplars.values())), dtype=self.precision, device=self.device)
        self.eval().requires_grad_(False)
        self.register_buffer("exemplars", dual.generator.mapping(codes), persistent=False)

    @torch.no_grad()
    def sample(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Distillation: y' = Dual(0.5·w, w''), with the degree on rows 0-6 and colour transfer, or none, on the others.

        w'' = rows 0-6 of the exemplar and rows 7-17 of the photo G(0.5·w); all of the exemplar's when one style is
        learnt with its colours. Only the intrinsic code is truncated. The photo that is shown may have other colours.
        """
        latent = self.latent(numbers)
        style, degree = self._style(latent.draws, progress), self._degree(latent.draws, progress)
        changed, shown = self._jittered(latent, progress)
        photo = self.render(self.photos, shown, noise=latent.noise)
        code = self.exemplars[style]
        if takes_photo_code(self.options):
            face = pool_face(photo)
            if changed and self.style_encoder is not None:
                noise = [layer[changed] for layer in latent.noise]
                face[changed] = pool_face(self.render(self.photos, latent.w_plus[changed], noise=noise))
            code[:, self.config.structure_layers :] = self.fine_rows(latent.w_plus, face)
        weights = degree[:, None].repeat(1, self.config.w_layers)
        weights[:, self.config.structure_layers :] = 0.0 if self.options.fix_color else 1.0
        cartoon = self.render(self.dual, latent.w_plus, code, weights, noise=latent.noise)
        return self.moved_sample(latent, photo, cartoon, code, degree, style)

    @torch.no_grad()
    def sample_features(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Pre-training: feature and skip image of Dual(0.5·w, exemplar) at the structure size.

        The degree is 0 in the first quarter, then uniform; the weights of rows 7-17 don't matter there.
        """
        latent = self.latent(numbers)
        style, degree = self._style(latent.draws), self._early_degree(latent.draws, progress)
        exemplar, weights = self.exemplars[style], degree[:, None].repeat(1, self.config.w_layers)
        with self.arithmetic():
            size = self.config.structure_size
            features = self.dual.features_at(latent.w_plus, exemplar, weights, size, latent.noise)
        return self.feature_sample(latent, features, exemplar, degree, style)

    def backbone(self) -> dict[str, Tensor]:
        """Weights for `fill_backbone`."""
        return self.dual.state_dict()

    def _style(self, draws: Draws, progress: float | None = None) -> Tensor:
        """Index of each exemplar, `[B]`: any; the given one when fixed, and in the first step of distillation."""
        style = (draws.style * len(self.styles)).astype(np.int64)
        if self.options.fix_style or progress == 0:
            style[:] = self.options.style_id
        return torch.from_numpy(style).to(self.device)

    def _degree(self, draws: Draws, progress: float | None) -> Tensor:
        """Degree in distillation, `[B]`; the given one when fixed, and in the first step."""
        degree = np.floor(draws.degree * DEGREES) / (DEGREES - 1)
        if self.options.fix_degree or progress == 0:
            degree[:] = self.options.style_degree
        return torch.from_numpy(degree).to(self.device, torch.float32)

    def _early_degree(self, draws: Draws, progress: float | None) -> Tensor:
        """Degree in pre-training, `[B]`."""
        reached = draws.progress if progress is None else progress
        degree = np.where(reached <= DEGREE_START, 0.0, draws.degree)
        if self.options.fix_degree:
            degree[:] = self.options.style_degree
        return torch.from_numpy(degree).to(self.device, torch.float32)

    def _jittered(self, latent: Latent, progress: float | None) -> tuple[list[int], Tensor]:
        """Which samples are shown in other colours, and the code `[B, rows, D]` that photos are shown from.

        In the second half of a run, where any style and colour are learnt, rows 7-17 are mixed with another code's, in
        proportion to progress. The published program takes that code from the batch before; here it is drawn with the
        sample, from the same distribution, so that no state is kept between batches.
        """
        reached = latent.draws.progress if progress is None else np.full(len(latent.attribute), progress)
        share = np.maximum((reached - JITTER_START) / (1 - JITTER_START), 0.0)
        changed = share.nonzero()[0].tolist()
        if not changed or self.options.fix_color or self.options.fix_style:
            return [], latent.w_plus
        fine, shown = slice(self.config.structure_layers, None), latent.w_plus.clone()
        other = self.truncated_code(latent.draws.other_z[changed])[:, fine]
        weight = torch.from_numpy(share[changed]).to(other)[:, None, None]
        shown[changed, fine] = torch.lerp(shown[changed, fine], other, weight)
        return changed, shown


def takes_photo_code(options: DualOptions) -> bool:
    """Whether rows 7-17 of the code are the photo's: not where one style is learnt with its colours."""
    return options.fix_color or not options.fix_style


def fill_backbone(network: VToonify, generator_state: Mapping[str, Tensor]) -> None:
    """Put a teacher's generator into `network`, in variant D also its ModRes blocks beside the encoder's.

    generator_state: of the blended Generator (T) or the DualStyleGAN (D), of the sizes of `network`.
    """
    network.generator.load_state_dict(generator_state)
    if network.has_degree:
        for block, trained in zip(network.res, network.generator.res, strict=False):
            block.load_state_dict(trained.state_dict())
