"""Which weight file holds what: networks and codes from files, and back. `model.common.weight_files` reads and writes.
Loading is strict; an `InputError` says what is wrong with a file."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from model.adain import UNUSED_CONVS, Adain, AdainEncoder, from_torchvision
from model.arcface import ArcFace
from model.bisenet import BiSeNet
from model.common import weight_files as files
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.hub import ensure_vgg
from model.config import (
    Backbone,
    EncoderConfig,
    GeneratorConfig,
    MobileConfig,
    TranslatorConfig,
    UgatitConfig,
    VToonifyConfig,
)
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN
from model.e4e import E4EEncoder
from model.face_finder import FaceFinder
from model.mobile_unet import MobileUNet
from model.perceptual import CaffeVGG19, Likeness, Perceptual, TorchvisionVGG19, VGG19Features, from_caffe
from model.psp import PSPEncoder
from model.raft import RAFT, to_torchvision_names
from model.stylegan2 import Generator
from model.translator import Translator
from model.ugatit import Ugatit, UgatitGenerator, config_of
from model.vtoonify import VToonify
from model.whitebox import Whitebox

EMA_KEY = "g_ema"  # where the published files of every generator keep their weights (an exponential moving average)
DISCRIMINATOR_KEY = "d"  # where a StyleGAN2 file has the discriminator, if it comes with one
CONFIG_KEY = "config"  # where our files keep sizes that differ from the published ones
BACKBONE_MARK = "generator.generator."  # begins names in variant D only: its DualStyleGAN wraps the StyleGAN2
# Names that tell sizes: one for each doubling, one for each layer of the mapping network, one for each halving.
GENERATOR_PARTS, DISCRIMINATOR_BLOCK = (r"to_rgbs\.\d+\.bias", r"style\.\d+\.weight"), r"convs\.\d+\.conv1\.0\.weight"
LARGEST_SIZE = 1 << 14  # sizes, widths and counts above this belong to no network that could be built
TRANSLATOR, TRANSLATOR_KEY = "a network that paints patches", "translator"
MOBILE, MOBILE_KEY = "a student for phones", "mobile"
UGATIT, UGATIT_KEY = "a U-GAT-IT", "genA2B"  # the generator that turns photos into pictures of the style
UGATIT_NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")  # of its file
WHITEBOX, WHITEBOX_KEY = "a White-box cartoonisation network", "whitebox"
ADAIN, ADAIN_KEY = "an AdaIN with its VGG", "adain"  # both networks in one file of one's own
CAFFE_VGG = "Caffe's VGG-19 (vgg19.npy)"
ADAIN_ENCODER, ADAIN_DECODER = "the VGG of AdaIN (vgg_normalised.pth)", "a decoder of AdaIN (decoder.pth)"
LARGEST_WIDTH = 1024  # channels and blocks of such a network
PSP, E4E = "a pSp style encoder", "an e4e encoder"
ENCODER_TYPES = {"GradualStyleEncoder": PSP, "Encoder4Editing": E4E}  # `encoder_type` in the options of a file
MEAN_OF_NORMAL = 0.02  # no mean of thousands of normal numbers has a deviation above that
SMALLEST_FACE = 32  # pixels a side of what an encoder takes
Vgg = TypeVar("Vgg", bound=VGG19Features)
Sizes, PixelNetwork = TypeVar("Sizes"), TypeVar("PixelNetwork", bound=nn.Module)
VTOONIFY, EXEMPLARS, DIRECTIONS = "a VToonify model", "a file of exemplar style codes", "a file of editing directions"
CODES = "a file of codes for this generator"


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


def load_parser(path: str | Path) -> BiSeNet:
    """The face parser. File: its state dict."""
    return files.load_network(BiSeNet, path, "a BiSeNet face parser")


def load_optical_flow(path: str | Path) -> RAFT:
    """RAFT. File: its state dict, with the names of raft-things.pth or torchvision's."""
    return files.load_network(RAFT, path, "a RAFT (large) optical flow model", rename=to_torchvision_names)


def load_perceptual(without: str = "--perc_loss 0") -> Perceptual:
    """LPIPS with trained weights; at first use VGG-16 is fetched. InputError when it can't be had or is another, which
    names the options that do `without`."""
    path, expected, network = ensure_vgg(without), "torchvision's VGG-16", Perceptual()
    try:
        weights = files.named_tensors(files.read_contents(path, expected), path, expected)
        features = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
        files.fill(network, features, path, expected)
    except InputError as error:
        reason = f"{error}".rstrip(".")
        raise InputError(f"{reason}; delete it, and it is fetched again, or go on with {without}.") from error
    return network


def load_vgg19(path: str | Path) -> VGG19Features:
    """Features of VGG-19. File: torchvision's state dict."""
    return _fill_vgg19(VGG19Features(), path)


def load_likeness(path: str | Path) -> Likeness:
    """Differences of VGG-19's features. File: torchvision's state dict."""
    return _fill_vgg19(Likeness(), path)


def _fill_vgg19(network: Vgg, path: str | Path) -> Vgg:
    expected, known = "torchvision's VGG-19", network.state_dict()
    weights = files.named_tensors(files.read_contents(path, expected), path, expected)
    files.fill(network, {name: value for name, value in weights.items() if name in known}, path, expected)
    return network.eval()


def load_cartoon_vgg19(path: str | Path) -> CaffeVGG19:
    """conv4_4 of VGG-19, for White-box cartoonisation. File: Caffe's weights as vgg19.npy, a pickled dictionary
    `{"conv1_1": [filter [h, w, in, out], bias], ...}`, or torchvision's state dict."""
    if not files.is_array_file(path):
        return _fill_vgg19(TorchvisionVGG19(), path)
    layers = files.read_pickled_layers(path, CAFFE_VGG)
    network, arrays = CaffeVGG19(), {}
    for layer, found in layers.items():
        if layer.startswith("conv"):
            if len(found) != 2:
                raise files.not_one(path, CAFFE_VGG, f"{layer} has {len(found)} arrays, not filter and bias")
            arrays |= {
                f"{layer}.{kind}": torch.tensor(array) for kind, array in zip(("filter", "bias"), found, strict=True)
            }
    known = network.state_dict()
    weights = {name: value.float() for name, value in from_caffe(arrays).items() if name in known}
    files.fill(network, weights, path, CAFFE_VGG)
    return network.eval()


def kind_of_network(path: str | Path) -> str:
    """What a file holds, of what works as a style: one of `TRANSLATOR`, `MOBILE`, `UGATIT`, `WHITEBOX`, `ADAIN`; for
    all else, which may be no network, `VTOONIFY`."""
    contents = files.read_contents(path, VTOONIFY, lazily=True)
    marks = {
        TRANSLATOR_KEY: TRANSLATOR,
        MOBILE_KEY: MOBILE,
        UGATIT_KEY: UGATIT,
        WHITEBOX_KEY: WHITEBOX,
        ADAIN_KEY: ADAIN,
    }
    return next((kind for key, kind in marks.items() if key in contents), VTOONIFY)


def load_translator(path: str | Path) -> Translator:
    """A network that paints patches. File: `{"g_ema": state_dict, "translator": TranslatorConfig as a dictionary}`."""
    return _load_sized(path, TRANSLATOR, TRANSLATOR_KEY, TranslatorConfig, Translator)


def load_mobile(path: str | Path) -> MobileUNet:
    """A student for phones. File: `{"g_ema": state_dict, "mobile": MobileConfig as a dictionary}`."""
    return _load_sized(path, MOBILE, MOBILE_KEY, MobileConfig, MobileUNet)


def load_face_finder(path: str | Path) -> FaceFinder:
    """The small face finder, in evaluation mode. File: its state dict."""
    return files.load_network(FaceFinder, path, "a face finder")


def fill_pixel_network(path: str | Path, network: Translator | MobileUNet) -> None:
    """Fill `network` from a file of its kind and sizes; InputError for another one."""
    load, expected = (load_mobile, MOBILE) if isinstance(network, MobileUNet) else (load_translator, TRANSLATOR)
    files.fill(network, load(path).state_dict(), path, f"{expected} of this size")


def save_pixel_network(path: str | Path, network: Translator | MobileUNet) -> None:
    """Write a file that `load_translator` or `load_mobile` reads, in half precision."""
    key = MOBILE_KEY if isinstance(network, MobileUNet) else TRANSLATOR_KEY
    sizes = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(network.config).items()}
    files.write_contents(path, {EMA_KEY: files.stored(network, half=True), key: sizes})


def _load_sized(
    path: str | Path, expected: str, key: str, config_type: type[Sizes], network: Callable[[Sizes], PixelNetwork]
) -> PixelNetwork:
    """A network whose file has its sizes, a flat dataclass with an eye distance, under `key`."""
    sizes = files.read_contents(path, expected, lazily=True).get(key)
    try:
        known = asdict(config_type())
        config = config_type(**{name: tuple(v) if isinstance(known[name], tuple) else v for name, v in sizes.items()})
        for name, usual in known.items():
            value = getattr(config, name)
            if name == "eye_distance":
                is_right = isinstance(value, int | float) and 0 <= value <= LARGEST_SIZE
            else:
                whole = value if isinstance(usual, tuple) else [value]
                is_right = all(type(size) is int and 0 < size <= LARGEST_WIDTH for size in whole)
            if not is_right:
                raise ValueError(f"{name} is out of range")
        return files.load_network(lambda: network(config), path, expected, EMA_KEY)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise files.not_one(path, expected, f"its '{key}' describes no network ({error})") from error


def load_ugatit(path: str | Path) -> UgatitGenerator:
    """The generator from photos to pictures of the style, full or light, whichever the file holds. File: `{"genA2B":
    state dict, ...}` as the published program writes it; ours has a `UgatitConfig`, as a dictionary, under "config"."""
    config = read_ugatit_config(path)
    return files.load_network(lambda: UgatitGenerator(config), path, UGATIT, UGATIT_KEY)


def read_ugatit_config(path: str | Path) -> UgatitConfig:
    """Sizes of the generators in `path`, from their parameters; the pictures' size of a light one from "config"."""
    contents = files.read_contents(path, UGATIT, lazily=True)
    weights = contents.get(UGATIT_KEY)
    if not isinstance(weights, Mapping):
        raise files.not_one(path, UGATIT, f"it holds no parameters under '{UGATIT_KEY}'")
    try:
        config = config_of(weights)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        reason = (
            f"parameter {error.args[0]} is missing" if isinstance(error, KeyError) else "its sizes don't fit together"
        )
        raise files.not_one(path, UGATIT, reason) from error
    if CONFIG_KEY not in contents:
        return config
    size = contents[CONFIG_KEY].get("size") if isinstance(contents[CONFIG_KEY], Mapping) else None
    if type(size) is not int or not 0 < size <= LARGEST_SIZE or (not config.light and size != config.size):
        raise files.not_one(path, UGATIT, f"its '{CONFIG_KEY}' describes no network")
    return replace(config, size=size)


def fill_ugatit(path: str | Path, networks: Ugatit) -> None:
    """Fill all six networks from a file of the same variant and sizes; InputError for another one."""
    contents, expected = files.read_contents(path, UGATIT), f"{UGATIT} of this variant and size"
    for name in UGATIT_NETWORKS:
        weights = files.named_tensors(contents.get(name), path, expected, name)
        files.fill(networks.get_submodule(name), weights, path, expected)


def load_ugatit_networks(path: str | Path) -> Ugatit:
    """All six networks; the discriminators' width is that of the file."""
    config, judge = read_ugatit_config(path), files.read_contents(path, UGATIT, lazily=True).get("disLA")
    first = judge.get("model.1.weight_orig") if isinstance(judge, Mapping) else None
    if not isinstance(first, Tensor) or first.ndim != 4 or not 0 < len(first) <= LARGEST_WIDTH:
        raise files.not_one(path, UGATIT, "its discriminators are missing")
    networks = Ugatit(config, len(first))
    fill_ugatit(path, networks)
    return networks


def save_ugatit(path: str | Path, networks: Ugatit) -> None:
    """Write what `load_ugatit`, `fill_ugatit` and the published program read."""
    contents = {name: files.stored(networks.get_submodule(name)) for name in UGATIT_NETWORKS}
    files.write_contents(path, contents | {CONFIG_KEY: asdict(networks.genA2B.config)})


def load_whitebox(path: str | Path) -> Whitebox:
    """White-box cartoonisation. File: `{"whitebox": state_dict}`, which `python -m model.tools.convert_whitebox` makes
    of the published checkpoint."""
    return files.load_network(Whitebox, path, WHITEBOX, WHITEBOX_KEY)


def save_whitebox(path: str | Path, network: Whitebox) -> None:
    """Write what `load_whitebox` reads."""
    files.write_contents(path, {WHITEBOX_KEY: files.stored(network)})


def load_adain(encoder: str | Path, decoder: str | Path) -> Adain:
    """AdaIN. Files: state dicts as published, vgg_normalised.pth, of which what comes after relu4_1 is not used, and
    decoder.pth."""
    network = Adain()
    fill_adain_encoder(encoder, network.encoder)
    weights = files.named_tensors(files.read_contents(decoder, ADAIN_DECODER), decoder, ADAIN_DECODER)
    files.fill(network.decoder, weights, decoder, ADAIN_DECODER)
    return network.eval()


def fill_adain_encoder(path: str | Path, encoder: AdainEncoder) -> bool:
    """Fill the encoder from vgg_normalised.pth, or from torchvision's VGG-19; returns whether it is normalised, which
    torchvision's is not."""
    weights = files.named_tensors(files.read_contents(path, ADAIN_ENCODER), path, ADAIN_ENCODER)
    is_normalised = "features.0.weight" not in weights
    if is_normalised:
        unused = {f"{number}.{kind}" for number in UNUSED_CONVS for kind in ("weight", "bias")}
        weights = {name: value for name, value in weights.items() if name not in unused}
    else:
        weights = from_torchvision(weights)
    files.fill(encoder, weights, path, ADAIN_ENCODER)
    return is_normalised


def load_own_adain(path: str | Path) -> Adain:
    """AdaIN whose decoder was trained here. File: `{"adain": state dict of both networks}`."""
    return files.load_network(Adain, path, ADAIN, ADAIN_KEY)


def save_own_adain(path: str | Path, network: Adain) -> None:
    """Write what `load_own_adain` reads."""
    files.write_contents(path, {ADAIN_KEY: files.stored(network)})


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


def load_encoder_pretrain(path: str | Path, network: VToonify) -> None:
    """Fill `network.encoder` from a pre-training file, `{"g_ema": state dict of that module}`."""
    expected = "a pre-trained VToonify encoder"
    weights = files.named_tensors(files.read_contents(path, expected).get(EMA_KEY), path, expected, EMA_KEY)
    files.fill(network.encoder, weights, path, expected)


def save_weights(path: str | Path, network: nn.Module) -> None:
    """Write a file that `load_generator` or, for a VToonify's encoder, `load_encoder_pretrain` reads."""
    files.write_contents(path, {EMA_KEY: files.stored(network)})


def load_exemplars(path: str | Path) -> dict[str, np.ndarray]:
    """Style codes of exemplars by name: float32 `[1, w_layers, dim]` in z+ (published ones: `[1, 18, 512]`).
    File: a dictionary that `numpy.save` pickled, such as exstyle_code.npy and refined_exstyle_code.npy."""
    codes = files.read_pickled_arrays(path, EXEMPLARS)
    if not codes:
        raise files.not_one(path, EXEMPLARS, "it is an empty dictionary")
    first = next(iter(codes.values())).shape
    for name, code in codes.items():
        if code.ndim != 3 or len(code) != 1 or code.shape != first or not np.isfinite(code).all():
            what = f"{name!r} of shape {list(code.shape)}"
            raise files.not_one(path, EXEMPLARS, f"{what} is no finite array [1, layers, dim] like the others")
    return {name: np.array(code, dtype=np.float32, order="C") for name, code in codes.items()}


def save_exemplars(path: str | Path, codes: Mapping[str, np.ndarray]) -> None:
    """Write what `load_exemplars` reads; the published programs read it too."""
    plain = {str(name): np.asarray(code, dtype=np.float32) for name, code in codes.items()}
    write_whole(path, bytes_of(np.save, np.array(plain, dtype=object), allow_pickle=True))


def load_codes(path: str | Path, w_layers: int, dim: int) -> np.ndarray | dict[str, np.ndarray]:
    """Codes of pictures, float32: by name, `[1, w_layers, dim]` each, from a file of exemplars, or one after the other,
    `[N, w_layers, dim]`, from an array. InputError for other sizes."""
    if files.holds_objects(path, CODES):
        codes = load_exemplars(path)
        shape = list(next(iter(codes.values())).shape)
        if shape[1:] != [w_layers, dim]:
            raise files.not_one(path, CODES, f"its codes are of shape {shape}, not [1, {w_layers}, {dim}]")
        return codes
    array = files.read_array(path, CODES)
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[1:] != (w_layers, dim):
        found = f"it holds {array.dtype} of shape {list(array.shape)}"
        raise files.not_one(path, CODES, f"{found}, not float of shape [N, {w_layers}, {dim}]")
    if not np.isfinite(array).all():
        raise files.not_one(path, CODES, "it holds numbers that are not finite")
    return array.astype(np.float32)


def load_directions(path: str | Path, w_layers: int = 18, dim: int = 512) -> np.ndarray:
    """Editing directions in w+, float32 `[N, w_layers, dim]`, N > 0. File: directions.npy, published `[5, 18, 512]`."""
    array = files.read_array(path, DIRECTIONS)
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[1:] != (w_layers, dim):
        found = f"it holds {array.dtype} of shape {list(array.shape)}"
        raise files.not_one(path, DIRECTIONS, f"{found}, not float of shape [N, {w_layers}, {dim}]")
    if not len(array) or not np.isfinite(array).all():
        raise files.not_one(path, DIRECTIONS, "it holds none, or numbers that are not finite")
    return array.astype(np.float32)


def load_state(path: str | Path) -> dict[str, Any]:
    """A training state that `write_contents` wrote; tensors come back on the CPU in their own precision."""
    return files.read_contents(path, "a training state")
