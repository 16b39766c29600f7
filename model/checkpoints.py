"""Weight files: networks and codes from files, and back.

Loading is strict. Whatever is wrong with a file ends in an `InputError` whose sentence names the file, what was
expected, and for a wrong network the first parameter that differs.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from model.bisenet import BiSeNet
from model.common.errors import InputError
from model.common.hub import ensure_vgg
from model.common.weight_files import (
    as_float32,
    is_plain,
    named_tensors,
    read_array,
    read_contents,
    read_pickled_arrays,
    write_contents,
    write_whole,
)
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN
from model.matte import MatteNet
from model.perceptual import Perceptual
from model.psp import PSPEncoder
from model.raft import RAFT, to_torchvision_names
from model.stylegan2 import Generator, GeneratorConfig
from model.vtoonify import Backbone, VToonify, VToonifyConfig

Network = TypeVar("Network", bound=nn.Module)

EMA_KEY = "g_ema"
"""Where the published files of every generator keep their weights (an exponential moving average)."""

DISCRIMINATOR_KEY = "d"
"""Where a StyleGAN2 file has the discriminator, if it comes with one."""

CONFIG_KEY = "config"
"""Where our files keep sizes that differ from the published ones."""

BACKBONE_MARK = "generator.generator."
"""Parameters with this prefix exist in variant D only: its DualStyleGAN wraps the StyleGAN2."""

LARGEST_SIZE = 1 << 14
"""Sizes, widths and counts above this belong to no network that could be built."""

VTOONIFY = "a VToonify model"

EXEMPLAR_FILE = "exstyle_code.npy"
"""Name of the file beside a VToonify-D model that holds the codes of its exemplars."""


def load_vtoonify(path: str | Path) -> VToonify:
    """A VToonify model, float32, on the CPU, in evaluation mode.

    The file is `{"g_ema": state_dict}` as published, where the parameter names tell the variant, or has its sizes
    beside it under "config" (`VToonifyConfig.to_dict`).
    """
    config = read_vtoonify_config(path)
    return _load(lambda: VToonify(config), path, VTOONIFY, EMA_KEY)


def fill_vtoonify(path: str | Path, network: VToonify) -> None:
    """Fill `network` from a VToonify model of the same variant and sizes; InputError for another one."""
    _fill(network, load_vtoonify(path).state_dict(), path, f"{VTOONIFY} of this size")


def read_vtoonify_config(path: str | Path) -> VToonifyConfig:
    """Variant and sizes of the VToonify model in `path`; its weights stay on disk where the format allows."""
    contents = read_contents(path, VTOONIFY, lazily=True)
    if not isinstance(contents.get(EMA_KEY), Mapping):
        raise InputError(f"{path} is not {VTOONIFY}: it holds no parameters under '{EMA_KEY}'.")
    if CONFIG_KEY not in contents:
        is_dual = any(str(name).startswith(BACKBONE_MARK) for name in contents[EMA_KEY])
        return VToonifyConfig(backbone="dualstylegan" if is_dual else "toonify")
    try:
        config = VToonifyConfig.from_dict(contents[CONFIG_KEY])
        _check_sizes(config)
        with torch.device("meta"):  # sizes that don't fit together fail here, at no cost
            VToonify(config)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not {VTOONIFY}: its '{CONFIG_KEY}' describes no network ({reason}).") from error
    return config


def _check_sizes(config: VToonifyConfig) -> None:
    """Raise ValueError for sizes that no network can be built with."""
    generator = config.generator
    powers = (generator.size, generator.structure_size, config.subpixel)
    widths = (generator.style_dim, config.stem_channels, *generator.channels.values(), *config.dilations)
    counts = (generator.mapping_layers, generator.first_level, config.parsing_channels)
    for size in (*powers, *widths, *counts):
        if type(size) is not int or not 0 <= size <= LARGEST_SIZE:
            raise ValueError(f"{size!r} is no size")
    if 0 in widths or any(size.bit_count() != 1 for size in powers):
        raise ValueError(f"one of {widths} is 0, or one of {powers} no power of two")
    if config.backbone not in get_args(Backbone) or not 0 < config.eye_distance <= LARGEST_SIZE:
        raise ValueError(f"backbone is {config.backbone!r}, eye_distance is {config.eye_distance!r}")


def save_vtoonify(path: str | Path, network: VToonify, half: bool = False, extra: dict | None = None) -> None:
    """Write `network` in the published layout; its sizes go along only where they differ from the published ones.

    Args:
        half: store weights as float16 (they are read as float32 again).
        extra: further entries of the file: plain containers, numbers, strings, tensors.
    """
    contents: dict[str, Any] = {**(extra or {}), EMA_KEY: _stored(network, half)}
    if network.config != VToonifyConfig(backbone=network.config.backbone):
        contents[CONFIG_KEY] = network.config.to_dict()
    write_contents(path, contents)


def load_style_encoder(path: str | Path) -> PSPEncoder:
    """The pSp encoder with its mean code. File: `state_dict` (prefix "encoder."), `latent_avg [18, 512]`, `opts`."""
    expected, prefix = "a pSp style encoder", "encoder."

    def encoder_only(weights: dict[str, Tensor]) -> dict[str, Tensor]:  # the decoder is in the file too
        return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}

    with torch.serialization.safe_globals([argparse.Namespace]):  # `opts` may be one: attributes, no code
        network = _load(PSPEncoder, path, expected, "state_dict", encoder_only)
        mean_code, shape = read_contents(path, expected, lazily=True).get("latent_avg"), network.latent_avg.shape
    if not is_plain(mean_code) or mean_code.shape != shape:
        raise InputError(f"{path} is not {expected}: 'latent_avg' is no tensor of shape {list(shape)}.")
    network.latent_avg = as_float32(mean_code).clone()
    return network


def load_parser(path: str | Path) -> BiSeNet:
    """The face parser. File: its state dict."""
    return _load(BiSeNet, path, "a BiSeNet face parser")


def load_optical_flow(path: str | Path) -> RAFT:
    """RAFT. File: its state dict, with the names of raft-things.pth or torchvision's."""
    return _load(RAFT, path, "a RAFT (large) optical flow model", rename=to_torchvision_names)


def load_matte(path: str | Path) -> MatteNet:
    """The network that cuts people out. File: its state dict."""
    return _load(MatteNet, path, "a person matte")


def load_perceptual() -> Perceptual:
    """LPIPS with trained weights; at first use VGG-16 is fetched, see `ensure_vgg`.

    Raises InputError when the file can't be had or is another one.
    """
    path, expected = ensure_vgg(), "torchvision's VGG-16"
    network = Perceptual()
    try:
        weights = named_tensors(read_contents(path, expected), path, expected)
        features = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
        _fill(network, features, path, expected)
    except InputError as error:
        reason = str(error).rstrip(".")
        raise InputError(f"{reason}; delete it, and it is fetched again, or go on with --perc_loss 0.") from error
    return network


def load_generator(path: str | Path, config: GeneratorConfig | None = None) -> Generator:
    """A StyleGAN2 generator (1024 px unless `config` says otherwise). File: `{"g_ema": state_dict}`."""
    return _load(lambda: Generator(config), path, "a StyleGAN2 generator", EMA_KEY)


def save_generator(path: str | Path, generator: Generator) -> None:
    """Write what `load_generator` reads."""
    write_contents(path, {EMA_KEY: _stored(generator)})


def load_discriminator(path: str | Path, config: GeneratorConfig) -> Discriminator | None:
    """The discriminator that comes with a StyleGAN2 generator of these sizes; None where the file has none."""
    expected = "a StyleGAN2 with its discriminator"
    if DISCRIMINATOR_KEY not in read_contents(path, expected, lazily=True):
        return None
    return _load(lambda: Discriminator(None, config.size, config.channels), path, expected, DISCRIMINATOR_KEY)


def load_dualstylegan(path: str | Path, config: GeneratorConfig | None = None) -> DualStyleGAN:
    """A DualStyleGAN (1024 px unless `config` says otherwise). File: `{"g_ema": state_dict}`."""
    return _load(lambda: DualStyleGAN(config), path, "a DualStyleGAN generator", EMA_KEY)


def load_encoder_pretrain(path: str | Path, network: VToonify) -> None:
    """Fill `network.encoder` from a pre-training file, `{"g_ema": state dict of that module}`."""
    expected = "a pre-trained VToonify encoder"
    weights = named_tensors(read_contents(path, expected).get(EMA_KEY), path, expected, EMA_KEY)
    _fill(network.encoder, weights, path, expected)


def save_encoder_pretrain(path: str | Path, network: VToonify) -> None:
    """Write what `load_encoder_pretrain` reads."""
    write_contents(path, {EMA_KEY: _stored(network.encoder)})


def load_exemplars(path: str | Path) -> dict[str, np.ndarray]:
    """Style codes of exemplars by name: float32 `[1, w_layers, dim]` in z+ (published ones: `[1, 18, 512]`).

    File: a dictionary that `numpy.save` pickled, such as exstyle_code.npy and refined_exstyle_code.npy.
    """
    expected = "a file of exemplar style codes"
    codes = read_pickled_arrays(path, expected)
    if not codes:
        raise InputError(f"{path} is not {expected}: it is an empty dictionary.")
    first = next(iter(codes.values())).shape
    for name, code in codes.items():
        if code.ndim != 3 or len(code) != 1 or code.shape != first:
            raise InputError(f"{path} is not {expected}: {name!r} has shape {list(code.shape)}, not [1, layers, dim].")
        if not np.isfinite(code).all():
            raise InputError(f"{path} is not {expected}: {name!r} holds numbers that are not finite.")
    return {name: np.array(code, dtype=np.float32, order="C") for name, code in codes.items()}


def save_exemplars(path: str | Path, codes: Mapping[str, np.ndarray]) -> None:
    """Write what `load_exemplars` reads; the published programs read it too."""
    plain = {str(name): np.asarray(code, dtype=np.float32) for name, code in codes.items()}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # given a path, numpy.save would add a suffix of its own
            np.save(file, np.array(plain, dtype=object), allow_pickle=True)

    write_whole(path, write)


def load_directions(path: str | Path, w_layers: int = 18, dim: int = 512) -> np.ndarray:
    """Editing directions in w+, float32 `[N, w_layers, dim]`, N > 0. File: directions.npy, published `[5, 18, 512]`."""
    expected = "a file of editing directions"
    directions = read_array(path, expected)
    if directions.dtype.kind != "f" or directions.ndim != 3 or directions.shape[1:] != (w_layers, dim):
        raise InputError(
            f"{path} is not {expected}: it holds {directions.dtype} of shape {list(directions.shape)}, "
            f"not float of shape [N, {w_layers}, {dim}]."
        )
    if not len(directions) or not np.isfinite(directions).all():
        raise InputError(f"{path} is not {expected}: it holds none, or numbers that are not finite.")
    return directions.astype(np.float32)


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write a training state of plain containers and tensors; an older file stays until the new one is complete."""
    write_contents(path, state)


def load_state(path: str | Path) -> dict[str, Any]:
    """Read what `save_state` wrote; tensors come back on the CPU in their own precision."""
    return read_contents(path, "a training state")


def _stored(network: nn.Module, half: bool = False) -> dict[str, Tensor]:
    """The state dict as it is written: on the CPU, contiguous, with `half` in float16."""
    return {
        name: value.detach().to("cpu", torch.float16 if half and value.is_floating_point() else None).contiguous()
        for name, value in network.state_dict().items()
    }


def _load(
    build: Callable[[], Network], path: str | Path, expected: str, key: str = "", rename: Callable[[dict], dict] = dict
) -> Network:
    """The network in `path`, in evaluation mode: its state dict is the file, or stands there under `key`.

    It is built without memory and takes the file's tensors over: random starting weights would take longer than
    reading. So every buffer has to be in the file, or be set by the caller.
    """
    contents = read_contents(path, expected)
    weights = named_tensors(contents.get(key) if key else contents, path, expected, key)
    with torch.device("meta"):
        network = build()
    _fill(network, rename(weights), path, expected, assign=True)
    return network.eval()


def _fill(
    network: nn.Module, weights: Mapping[str, Tensor], path: str | Path, expected: str, assign: bool = False
) -> None:
    """Load `weights` strictly. Raises InputError at the first parameter that is missing, misshapen or left over."""
    own = network.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise InputError(f"{path} is not {expected}: parameter {name} is missing.")
        if weights[name].shape != value.shape:
            shapes = f"{list(weights[name].shape)}, not {list(value.shape)}"
            raise InputError(f"{path} is not {expected}: parameter {name} has shape {shapes}.")
    for name in weights:
        if name not in own:
            raise InputError(f"{path} is not {expected}: parameter {name} is unexpected.")
    network.load_state_dict(weights, assign=assign)
