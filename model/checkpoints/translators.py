"""Networks that paint a picture pixel by pixel, and the face finder of the browser's page."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from model.adain import UNUSED_CONVS, Adain, AdainEncoder, from_torchvision
from model.checkpoints.keys import CONFIG_KEY, EMA_KEY, LARGEST_SIZE, LARGEST_WIDTH, VTOONIFY
from model.common import weight_files as files
from model.config import MobileConfig, TranslatorConfig, UgatitConfig
from model.face_finder import FaceFinder
from model.mobile_unet import MobileUNet
from model.translator import Translator
from model.ugatit import Ugatit, UgatitGenerator, config_of
from model.whitebox import Whitebox

TRANSLATOR, TRANSLATOR_KEY = "a network that paints patches", "translator"
MOBILE, MOBILE_KEY = "a student for phones", "mobile"
UGATIT, UGATIT_KEY = "a U-GAT-IT", "genA2B"  # the generator that turns photos into pictures of the style
UGATIT_NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")  # of its file
WHITEBOX, WHITEBOX_KEY = "a White-box cartoonisation network", "whitebox"
ADAIN, ADAIN_KEY = "an AdaIN with its VGG", "adain"  # both networks in one file of one's own
ADAIN_ENCODER, ADAIN_DECODER = "the VGG of AdaIN (vgg_normalised.pth)", "a decoder of AdaIN (decoder.pth)"
Sizes, PixelNetwork = TypeVar("Sizes"), TypeVar("PixelNetwork", bound=nn.Module)


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
