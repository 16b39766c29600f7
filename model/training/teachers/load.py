"""Teachers, and the generators that students are put on, from the files that the options name."""

from collections.abc import Mapping

import torch
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.psp import CODE_COUNT, CODE_SIZE
from model.stylegan2 import Generator
from model.training.options import DualOptions, ToonifyOptions
from model.training.teachers.base import NetworkTeacher
from model.training.teachers.dualstyle import DualStyleTeacher, takes_photo_code
from model.training.teachers.toonify import ToonifyTeacher, blend_state_dicts
from model.vtoonify import VToonify

NO_FILE = "none"  # given in place of the path of a file that a teacher can do without


def load_teacher(
    options: ToonifyOptions | DualOptions, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> NetworkTeacher:
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


def load_backbone(options: ToonifyOptions | DualOptions) -> dict[str, Tensor]:
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


def _load_helpers(options: ToonifyOptions | DualOptions) -> dict[str, object]:
    """Style encoder, parser and editing directions, where they are used, by their names in `NetworkTeacher`."""
    generator, helpers = options.recipe.network.generator, {}
    sizes = generator.w_layers, generator.style_dim
    needs_encoder = not options.pretrain and (isinstance(options, ToonifyOptions) or takes_photo_code(options))
    if needs_encoder and options.style_encoder_path != NO_FILE:
        if sizes != (CODE_COUNT, CODE_SIZE):
            misfit = f"codes of {CODE_COUNT} x {CODE_SIZE} numbers don't fit --config {options.config}"
            raise InputError(f"--style_encoder_path is {options.style_encoder_path}: {misfit}, so give {NO_FILE}.")
        helpers["style_encoder"] = checkpoints.load_style_encoder(options.style_encoder_path)
    if options.recipe.network.parsing_channels:
        helpers["parser"] = checkpoints.load_parser(options.faceparsing_path)
    if options.direction_path != NO_FILE:
        helpers["directions"] = checkpoints.load_directions(options.direction_path, *sizes)
    return helpers
