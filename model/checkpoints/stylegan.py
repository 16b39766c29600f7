"""Generators and their discriminators."""

import re
from functools import partial
from pathlib import Path

from torch import nn

from model.checkpoints.keys import DISCRIMINATOR_KEY, EMA_KEY
from model.common import weight_files as files
from model.config import GeneratorConfig
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator

# Names that tell sizes: one for each doubling, one for each layer of the mapping network, one for each halving.
GENERATOR_PARTS, DISCRIMINATOR_BLOCK = (r"to_rgbs\.\d+\.bias", r"style\.\d+\.weight"), r"convs\.\d+\.conv1\.0\.weight"


def load_generator(path: str | Path, config: GeneratorConfig | None = None) -> Generator:
    """A StyleGAN2 generator (1024 px unless `config` says otherwise). File: `{"g_ema": state_dict}`."""
    expected = "a StyleGAN2 generator"
    check = partial(_check_generator, config or GeneratorConfig(), path, expected)
    return files.load_network(lambda: Generator(config), path, expected, EMA_KEY, check)


def _check_generator(config: GeneratorConfig, path: str | Path, expected: str, weights: dict, inside: str = "") -> dict:
    """The weights of a generator, whose names begin with `inside`. InputError, with the sizes, where they are of
    another size than `config` says; what has no such sizes is left to stricter checks."""
    prefix, first = re.escape(inside), weights.get(f"{inside}style.1.weight")
    counts = [sum(bool(re.fullmatch(prefix + name, key)) for key in weights) for name in GENERATOR_PARTS]
    if first is None or first.ndim != 2 or not counts[0]:
        return weights
    own = 8 << (counts[0] - 1), counts[1], first.shape[1]
    if own != (wanted := (config.size, config.mapping_layers, config.style_dim)):
        has, fits = ("{} px, {} layers in its mapping and codes of {}".format(*sizes) for sizes in (own, wanted))
        raise files.not_one(path, f"{expected} of this size", f"it has {has}, not {fits}")
    return weights


def load_discriminator(path: str | Path, config: GeneratorConfig) -> Discriminator | None:
    """The discriminator that comes with a StyleGAN2 generator of these sizes; None where the file has none."""
    expected, build = "a StyleGAN2 with its discriminator", partial(Discriminator, None, config.size, config.channels)
    if DISCRIMINATOR_KEY not in files.read_contents(path, expected, lazily=True):
        return None

    def check(weights: dict) -> dict:
        blocks = sum(bool(re.fullmatch(DISCRIMINATOR_BLOCK, name)) for name in weights)
        if blocks and (size := 4 << blocks) != config.size:
            reason = f"its discriminator is for {size} px, and the generator has {config.size}"
            raise files.not_one(path, f"{expected} of this size", reason)
        return weights

    return files.load_network(build, path, expected, DISCRIMINATOR_KEY, check)


def load_dualstylegan(path: str | Path, config: GeneratorConfig | None = None, key: str = EMA_KEY) -> DualStyleGAN:
    """A DualStyleGAN (1024 px unless `config` says otherwise). File: `{"g_ema": state_dict}`; that of pre-training has
    under the key "g" what learns, of which the other is the average."""
    expected = "a DualStyleGAN generator"
    check = partial(_check_generator, config or GeneratorConfig(), path, expected, inside="generator.")
    return files.load_network(lambda: DualStyleGAN(config), path, expected, key, check)


def save_weights(path: str | Path, network: nn.Module) -> None:
    """Write a file that `load_generator` or, for a VToonify's encoder, `load_encoder_pretrain` reads."""
    files.write_contents(path, {EMA_KEY: files.stored(network)})
