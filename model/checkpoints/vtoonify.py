"""VToonify models, and encoders that were pre-trained."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import torch

from model.checkpoints.keys import CONFIG_KEY, EMA_KEY, LARGEST_SIZE, VTOONIFY
from model.common import weight_files as files
from model.config import Backbone, GeneratorConfig, VToonifyConfig
from model.vtoonify import VToonify

BACKBONE_MARK = "generator.generator."  # begins names in variant D only: its DualStyleGAN wraps the StyleGAN2


def load_vtoonify(path: str | Path) -> VToonify:
    """A VToonify model, float32, on the CPU, in evaluation mode.
    File: `{"g_ema": state_dict}` as published, whose names tell the variant; ours may have a `VToonifyConfig`, as a
    dictionary, beside it under "config"."""
    config = read_vtoonify_config(path)
    return files.load_network(lambda: VToonify(config), path, VTOONIFY, EMA_KEY)


def fill_vtoonify(path: str | Path, network: VToonify) -> None:
    """Fill `network` from a VToonify model of the same variant and sizes; InputError for another one."""
    files.fill(network, load_vtoonify(path).state_dict(), path, f"{VTOONIFY} of this size")


def read_vtoonify_config(path: str | Path) -> VToonifyConfig:
    """Variant and sizes of the VToonify model in `path`; its weights stay on disk where the format allows."""
    contents = files.read_contents(path, VTOONIFY, lazily=True)
    if not isinstance(contents.get(EMA_KEY), Mapping):
        raise files.not_one(path, VTOONIFY, f"it holds no parameters under '{EMA_KEY}'")
    if CONFIG_KEY not in contents:
        is_dual = any(str(name).startswith(BACKBONE_MARK) for name in contents[EMA_KEY])
        return VToonifyConfig(backbone="dualstylegan" if is_dual else "toonify")
    try:
        sizes = dict(contents[CONFIG_KEY])
        sizes |= {"generator": GeneratorConfig(**sizes["generator"]), "dilations": tuple(sizes["dilations"])}
        config = VToonifyConfig(**sizes)
        if not _in_range(config):
            raise ValueError("a number is out of range")
        with torch.device("meta"):  # sizes that don't fit together fail here, at no cost
            VToonify(config)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        raise files.not_one(path, VTOONIFY, f"its '{CONFIG_KEY}' describes no network ({error})") from error
    return config


def _in_range(config: VToonifyConfig) -> bool:
    """Whether every number in `config` is one that a network can be built of."""
    generator = config.generator
    powers = generator.size, generator.structure_size, config.subpixel
    widths = generator.style_dim, config.stem_channels, *generator.channels.values(), *config.dilations
    counts = generator.mapping_layers, generator.first_level, config.parsing_channels
    if not all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in (*powers, *widths, *counts)):
        return False
    whole = 0 not in widths and all(size.bit_count() == 1 for size in powers)
    return whole and config.backbone in get_args(Backbone) and 0 < config.eye_distance <= LARGEST_SIZE


def save_vtoonify(path: str | Path, network: VToonify, half: bool = False, extra: dict | None = None) -> None:
    """Write `network` in the published layout; its sizes go along only where they differ from the published ones.
    half: store weights as float16; extra: further entries, which are plain containers, numbers, strings and tensors."""
    contents = {**(extra or {}), EMA_KEY: files.stored(network, half)}
    if network.config != VToonifyConfig(backbone=network.config.backbone):
        contents[CONFIG_KEY] = asdict(network.config)
    files.write_contents(path, contents)


def load_encoder_pretrain(path: str | Path, network: VToonify) -> None:
    """Fill `network.encoder` from a pre-training file, `{"g_ema": state dict of that module}`."""
    expected = "a pre-trained VToonify encoder"
    weights = files.named_tensors(files.read_contents(path, expected).get(EMA_KEY), path, expected, EMA_KEY)
    files.fill(network.encoder, weights, path, expected)
