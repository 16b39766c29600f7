"""Teachers, and the generators that students are put on, from the files that the options name."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.psp import CODE_COUNT, CODE_SIZE
from model.stylegan2 import Generator
from model.training.options import DualOptions, ToonifyOptions, TrainOptions
from model.training.teachers.blending import blend_state_dicts
from model.training.teachers.dualstyle import DualStyleTeacher, takes_photo_code
from model.training.teachers.toonify import ToonifyTeacher
from model.vtoonify import VToonify

NO_FILE = "none"
"""What is given in place of the path of a file that a teacher can do without."""


def load_toonify_teacher(
    options: ToonifyOptions, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> ToonifyTeacher:
    """The teacher of variant T; `options` resolved, `dtype` as for `NetworkTeacher`.

    Raises InputError for files that are missing, damaged or of other sizes.
    """
    photos, cartoons = _load_toonify_generators(options)
    return ToonifyTeacher(photos, cartoons, options, **_load_helpers(options), dtype=dtype).to(device)


def load_dualstyle_teacher(
    options: DualOptions, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> DualStyleTeacher:
    """The teacher of variant D; arguments and errors as for `load_toonify_teacher`."""
    exemplars = _load_exemplars(options)
    dual = checkpoints.load_dualstylegan(options.stylegan_path, options.recipe.network.generator)
    helpers = _load_helpers(options, takes_photo_code(options))
    return DualStyleTeacher(dual, exemplars, options, **helpers, dtype=dtype).to(device)


def load_backbone(options: ToonifyOptions | DualOptions) -> dict[str, Tensor]:
    """Weights for `fill_backbone`, from no more files than they are in: for training on stored pairs.

    Raises InputError for files that are missing, damaged or of other sizes.
    """
    if isinstance(options, ToonifyOptions):
        return _load_toonify_generators(options)[1].state_dict()
    return checkpoints.load_dualstylegan(options.stylegan_path, options.recipe.network.generator).state_dict()


def fill_backbone(network: VToonify, generator_state: Mapping[str, Tensor]) -> None:
    """Put a teacher's generator into `network`, in variant D also its ModRes blocks beside the encoder's.

    generator_state: of the blended Generator (T) or the DualStyleGAN (D), of the sizes of `network`.
    """
    network.generator.load_state_dict(generator_state)
    if network.has_degree:
        for block, trained in zip(network.res, network.generator.res, strict=False):
            block.load_state_dict(trained.state_dict())


def _load_toonify_generators(options: ToonifyOptions) -> tuple[Generator, Generator]:
    """The generator of photos, and the fine-tuned one blended with it."""
    config = options.recipe.network.generator
    photos = checkpoints.load_generator(options.stylegan_path, config)
    cartoons = checkpoints.load_generator(options.finetunegan_path, config)
    cartoons.load_state_dict(blend_state_dicts(photos.state_dict(), cartoons.state_dict(), options.layer_weights))
    return photos, cartoons


def _load_exemplars(options: DualOptions) -> dict[str, np.ndarray]:
    exemplars, generator = checkpoints.load_exemplars(options.exstyle_path), options.recipe.network.generator
    shape, wanted = next(iter(exemplars.values())).shape, (1, generator.w_layers, generator.style_dim)
    if shape != wanted:
        raise InputError(
            f"{options.exstyle_path} holds style codes of shape {list(shape)}, "
            f"but --config {options.config} takes {list(wanted)}: give codes of its generator."
        )
    if not 0 <= options.style_id < len(exemplars):
        last = len(exemplars) - 1
        raise InputError(f"--style_id is {options.style_id}: {options.exstyle_path} has styles 0 to {last}.")
    return exemplars


def _load_helpers(options: TrainOptions, needs_photo_code: bool = True) -> dict[str, object]:
    """Style encoder, parser and editing directions , where they are used, by their names in `NetworkTeacher`."""
    network, generator = options.recipe.network, options.recipe.network.generator
    helpers = {}
    if needs_photo_code and not options.pretrain and options.style_encoder_path != NO_FILE:
        if (generator.w_layers, generator.style_dim) != (CODE_COUNT, CODE_SIZE):
            raise InputError(
                f"--style_encoder_path is {options.style_encoder_path}: codes of {CODE_COUNT} x {CODE_SIZE} numbers "
                f"don't fit --config {options.config}, so give {NO_FILE}."
            )
        helpers["style_encoder"] = checkpoints.load_style_encoder(options.style_encoder_path)
    if network.parsing_channels:
        helpers["parser"] = checkpoints.load_parser(options.faceparsing_path)
    if options.direction_path != NO_FILE:
        path = options.direction_path
        helpers["directions"] = checkpoints.load_directions(path, generator.w_layers, generator.style_dim)
    return helpers
