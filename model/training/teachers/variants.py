"""The teachers of variants T and D, and the generators that students are put on, from the files that options name."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from model.training.data.sampling import Draws, Sample
from model.training.options import DualOptions, ToonifyOptions
from model.training.teachers.base import Latent, NetworkTeacher
from model.vtoonify import VToonify

SHARED_PARTS = ("style.", "input.", "noises.")  # mapping network, constant input and noise stay the base generator's
DEGREES = 6  # in distillation the degree is one of 0, 0.2, ... 1
JITTER_START = 1 / 2  # share of a run after which the photo's colours are jittered
DEGREE_START = 1 / 4  # share of pre-training in which the degree stays 0
VariantOptions = ToonifyOptions | DualOptions
NO_FILE = "none"  # given in place of the path of a file that a teacher can do without


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
        return self.moved_sample(latent, photo, cartoon, code, *self.degree_and_style(numbers))

    @torch.no_grad()
    def sample_features(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Pre-training: feature and skip image of G1(0.5·w) at the structure size."""
        latent = self.latent(numbers)
        with self.autocast():
            features = self.cartoons.features_at(latent.w_plus, self.config.structure_size, latent.noise)
        return self.feature_sample(latent, features, latent.w_plus, *self.degree_and_style(numbers))

    def degree_and_style(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        degree = torch.ones(len(numbers), device=self.device)
        return degree, torch.zeros_like(degree, dtype=torch.int64)


def blend_state_dicts(base: Mapping, fine: Mapping, weights: Sequence[float]) -> dict[str, Tensor]:
    """Blend two StyleGAN2 generators layer by layer: weight·fine + (1 - weight)·base, as a new state dict.

    A convolution takes the weight of the w+ layer that styles it, one of `weights`; what none styles is the base's.
    """
    blended = {name: value.clone() for name, value in base.items() if name.startswith(SHARED_PARTS)}
    for name in [name for name in base if name not in blended]:
        part, number = re.match(r"(conv1|to_rgb1|convs|to_rgbs)\.(\d*)", name).groups()
        index = int(number or 0)
        layer = {"conv1": 0, "to_rgb1": 1, "convs": 1 + index, "to_rgbs": 3 + 2 * index}[part]  # see model.stylegan2
        blended[name] = torch.lerp(base[name], fine[name], weights[layer])
    return blended


def takes_photo_code(options: DualOptions) -> bool:
    """Whether layers 7-17 of the code are the photo's: not where one style is learnt with its colours."""
    return options.fix_color or not options.fix_style


class DualStyleTeacher(NetworkTeacher):
    """A DualStyleGAN, whose inner StyleGAN makes the photos; `exemplars` are style codes in z+, `[1, layers, D]` each.
    Each sample has a degree of its own; the published program draws one for a batch, which gives the same mean."""

    def __init__(self, dual: DualStyleGAN, exemplars: Mapping[str, np.ndarray], options: DualOptions, **helpers):
        super().__init__(dual.generator, dual, options.seed, **helpers)
        self.options, self.styles = options, list(exemplars)
        codes = torch.as_tensor(np.concatenate(list(exemplars.values())), dtype=self.precision, device=self.device)
        self.register_buffer("exemplars", dual.generator.mapping(codes), persistent=False)

    @torch.no_grad()
    def sample(self, numbers: Sequence[int], progress: float | None) -> Sample:
        """Distillation: y' = Dual(0.5·w, w''), with the degree on layers 0-6 and colour transfer, or none, on 7-17.
        w'' = layers 0-6 of the exemplar and 7-17 of the photo G(0.5·w); all of the exemplar's when one style is learnt
        with its colours. The photo that is shown may have other colours."""
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
        """Which samples are shown in other colours, and the code `[B, layers, D]` that photos are shown from: in the
        second half of a run layers 7-17 are mixed with another code's (published: of the batch before), in proportion
        to progress."""
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


def load_teacher(options: VariantOptions, device: torch.device | str, dtype=torch.float32) -> NetworkTeacher:
    """The teacher of variant T or D; `options` resolved, `dtype` as for `NetworkTeacher`. Raises InputError for files
    that are missing, damaged or of other sizes."""
    if isinstance(options, ToonifyOptions):
        return ToonifyTeacher(*_toonify_generators(options), options, **_load_helpers(options), dtype=dtype).to(device)
    generator, exemplars = options.recipe.network.generator, checkpoints.load_exemplars(options.exstyle_path)
    shape, wanted = next(iter(exemplars.values())).shape, (1, generator.w_layers, generator.style_dim)
    if shape != wanted:
        found = f"{options.exstyle_path} holds style codes of shape {list(shape)}"
        raise InputError(f"{found}, but --config {options.config} takes {list(wanted)}: give codes of its generator.")
    if not 0 <= options.style_id < len(exemplars):
        last = len(exemplars) - 1
        raise InputError(f"--style_id is {options.style_id}: {options.exstyle_path} has styles 0 to {last}.")
    dual = checkpoints.load_dualstylegan(options.stylegan_path, generator)
    return DualStyleTeacher(dual, exemplars, options, **_load_helpers(options), dtype=dtype).to(device)


def load_backbone(options: VariantOptions) -> dict[str, Tensor]:
    """Weights for `fill_backbone`, from no more files than they are in: for training on stored pairs. Raises InputError
    as `load_teacher` does."""
    if isinstance(options, ToonifyOptions):
        return _toonify_generators(options)[1].state_dict()
    return checkpoints.load_dualstylegan(options.stylegan_path, options.recipe.network.generator).state_dict()


def fill_backbone(network: VToonify, generator_state: Mapping[str, Tensor]) -> None:
    """Put a teacher's generator of cartoons, a blended Generator (T) or a DualStyleGAN (D) of the sizes of `network`,
    into it; in variant D also its ModRes blocks beside the encoder's."""
    network.generator.load_state_dict(generator_state)
    if network.has_degree:
        for block, trained in zip(network.res, network.generator.res, strict=False):
            block.load_state_dict(trained.state_dict())


def _toonify_generators(options: ToonifyOptions) -> tuple[Generator, Generator]:
    """The generator of photos, and the fine-tuned one blended with it."""
    config = options.recipe.network.generator
    photos = checkpoints.load_generator(options.stylegan_path, config)
    cartoons = checkpoints.load_generator(options.finetunegan_path, config)
    cartoons.load_state_dict(blend_state_dicts(photos.state_dict(), cartoons.state_dict(), options.layer_weights))
    return photos, cartoons


def _load_helpers(options: VariantOptions) -> dict[str, object]:
    """Style encoder, parser and editing directions, where they are used, by their names in `NetworkTeacher`."""
    generator, helpers = options.recipe.network.generator, {}
    sizes = generator.w_layers, generator.style_dim
    needs_encoder = not options.pretrain and (isinstance(options, ToonifyOptions) or takes_photo_code(options))
    if needs_encoder and options.style_encoder_path != NO_FILE:
        encoder = checkpoints.load_style_encoder(options.style_encoder_path)
        own = encoder.config.code_count, encoder.config.code_size
        if own != sizes:
            misfit = f"codes of {own[0]} x {own[1]} numbers don't fit --config {options.config}"
            raise InputError(f"--style_encoder_path is {options.style_encoder_path}: {misfit}, so give {NO_FILE}.")
        helpers["style_encoder"] = encoder
    if options.recipe.network.parsing_channels:
        helpers["parser"] = checkpoints.load_parser(options.faceparsing_path)
    if options.direction_path != NO_FILE:
        helpers["directions"] = checkpoints.load_directions(options.direction_path, *sizes)
    return helpers
