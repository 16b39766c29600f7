"""Encoders of faces: pSp, e4e, ArcFace."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.arcface import ArcFace
from model.checkpoints.keys import CONFIG_KEY, LARGEST_WIDTH
from model.common import weight_files as files
from model.config import EncoderConfig
from model.e4e import E4EEncoder
from model.psp import PSPEncoder

PSP, E4E = "a pSp style encoder", "an e4e encoder"
ENCODER_TYPES = {"GradualStyleEncoder": PSP, "Encoder4Editing": E4E}  # `encoder_type` in the options of a file
MEAN_OF_NORMAL = 0.02  # no mean of thousands of normal numbers has a deviation above that
SMALLEST_FACE = 32  # pixels a side of what an encoder takes


def load_style_encoder(path: str | Path) -> PSPEncoder:
    """The pSp encoder with its mean code. File: `state_dict` (prefix "encoder."), `latent_avg [18, 512]`, `opts`; ours
    may have an `EncoderConfig`, as a dictionary, under "config". InputError for an e4e, which has the same names."""
    return _load_encoder(path, PSPEncoder, PSP)


def load_e4e(path: str | Path) -> E4EEncoder:
    """The e4e encoder with its mean code; a file like that of `load_style_encoder`. InputError for a pSp."""
    return _load_encoder(path, E4EEncoder, E4E)


def read_encoder_kind(path: str | Path) -> str | None:
    """`PSP` or `E4E`, whichever the encoder in `path` is, as far as its options or its mean code tell; else None."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        contents = files.read_contents(path, "a style encoder", lazily=True)
    return _encoder_kind(contents)


def _encoder_kind(contents: dict[str, Any]) -> str | None:
    """By the options: the class that the file was trained with. Else by the mean code: e4e's is the mean w in all rows;
    pSp's, in z+, is near zero, because z is normal. Files without either are taken for what they are given for."""
    options = contents.get("opts")
    options = vars(options) if isinstance(options, argparse.Namespace) else options
    kind = options.get("encoder_type") if isinstance(options, Mapping) else None
    if isinstance(kind, str) and kind in ENCODER_TYPES:
        return ENCODER_TYPES[kind]
    mean = contents.get("latent_avg")
    if not isinstance(mean, Tensor) or mean.ndim != 2 or not mean.is_floating_point():
        return None
    if float(mean.std()) < MEAN_OF_NORMAL:
        return PSP
    return E4E if torch.allclose(mean, mean[:1].expand_as(mean), atol=1e-4) else None


def _load_encoder(path: str | Path, kind: type[PSPEncoder], expected: str) -> PSPEncoder:
    prefix = "encoder."

    def encoder_only(weights: dict[str, Tensor]) -> dict[str, Tensor]:  # the decoder is in the file too
        return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}

    with torch.serialization.safe_globals([argparse.Namespace]):  # `opts` may be one: attributes, no code
        contents = files.read_contents(path, expected, lazily=True)
        if _encoder_kind(contents) not in (expected, None):
            raise files.not_one(path, expected, f"it is {_encoder_kind(contents)}, which has the same names")
        config = _encoder_config(contents, path, expected)
        build = kind if config is None else partial(kind, config)
        network = files.load_network(build, path, expected, "state_dict", encoder_only)
    mean_code = files.named_tensors({"latent_avg": contents.get("latent_avg")}, path, expected)["latent_avg"]
    if mean_code.shape != (shape := network.latent_avg.shape):
        raise files.not_one(path, expected, f"latent_avg has shape {list(mean_code.shape)}, not {list(shape)}")
    network.latent_avg = mean_code.clone()
    return network


def _encoder_config(contents: dict[str, Any], path: str | Path, expected: str) -> EncoderConfig | None:
    if CONFIG_KEY not in contents:
        return None
    try:
        sizes = dict(contents[CONFIG_KEY])
        config = EncoderConfig(**sizes | {name: tuple(sizes[name]) for name in ("widths", "blocks")})
        numbers = (config.face_size, config.code_count, config.code_size, *config.widths, *config.blocks)
        if not all(type(number) is int and 0 < number <= LARGEST_WIDTH for number in numbers):
            raise ValueError("a number is out of range")
        if (len(config.widths), len(config.blocks)) != (4, 4) or config.face_size.bit_count() != 1:
            raise ValueError("there are four stages, and the side of a face is a power of two")
        if config.face_size < SMALLEST_FACE:
            raise ValueError(f"faces have at least {SMALLEST_FACE} pixels a side")
    except (TypeError, ValueError, LookupError) as error:
        raise files.not_one(path, expected, f"its '{CONFIG_KEY}' describes no network ({error})") from error
    return config


def save_encoder(path: str | Path, network: PSPEncoder) -> None:
    """Write what `load_style_encoder` reads, or for an e4e `load_e4e`; sizes go along where they differ."""
    names = {kind: name for name, kind in ENCODER_TYPES.items()}
    kind = E4E if isinstance(network, E4EEncoder) else PSP
    weights = {f"encoder.{name}": value for name, value in files.stored(network).items()}
    mean_code = network.latent_avg.detach().cpu().clone()
    contents = {"state_dict": weights, "latent_avg": mean_code, "opts": {"encoder_type": names[kind]}}
    if network.config != EncoderConfig():
        contents[CONFIG_KEY] = asdict(network.config)
    files.write_contents(path, contents)


def load_arcface(path: str | Path) -> ArcFace:
    """ArcFace, frozen. File: its state dict, model_ir_se50.pth."""
    return files.load_network(ArcFace, path, "an ArcFace (IR-SE-50)").requires_grad_(False)
