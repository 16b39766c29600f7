"""Networks that paint pixel by pixel as presets: files of one's own, and published ones. Free of torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.styles.base import FilePreset, Preset, Style

WHITEBOX_FILE = "whitebox/whitebox.pt"
WHITEBOX_PLACE = "https://github.com/SystemErrorWang/White-box-Cartoonization/tree/master/test_code/saved_models"
ADAIN_FILES = "adain/vgg_normalised.pth", "adain/decoder.pth"
ADAIN_PLACE = "https://github.com/naoto0804/pytorch-AdaIN/releases/download/v0.0.0/"


class TranslatorPreset(FilePreset):
    """A network that `train_vtoonify_d.py --student patch` made."""

    variant, licence = "translator", "of whoever trained it"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model import checkpoints
        from model.styles.translators.style import TranslatorStyle

        network = checkpoints.load_translator(self.path)
        return TranslatorStyle(network, self.name, self.licence, device, settings.get("precision", "auto"))


class MobilePreset(FilePreset):
    """A student for phones, as `python -m model.mobile` makes them."""

    variant, licence = "mobile", "of whoever trained it"

    @property
    def name(self) -> str:
        return self.path.absolute().parent.name if self.path.stem == "mobile" else self.path.stem

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model import checkpoints
        from model.styles.translators.mobile import MobileStyle

        network = checkpoints.load_mobile(self.path)
        return MobileStyle(network, self.name, self.licence, device, settings.get("precision", "auto"))


class StudentPreset(MobilePreset):
    """A student that comes with this project."""

    licence = "CC BY-NC-SA 4.0 (non-commercial)"
    choices = "one", "0-1 (1)", "of the style"

    @property
    def name(self) -> str:
        return f"mobile-{self.path.stem}"

    @property
    def source(self) -> str:
        return self.name

    @property
    def files(self) -> Sequence[str]:
        return [f"mobile/{self.path.name}"]


class UgatitPreset(FilePreset):
    """A U-GAT-IT of one's own, full or light."""

    variant, licence = "U-GAT-IT", "of whoever trained it"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model import checkpoints
        from model.styles.translators.ugatit import UgatitStyle

        network = checkpoints.load_ugatit(self.path)
        return UgatitStyle(network, self.name, self.licence, device, settings.get("precision", "auto"))


class WhiteboxFilePreset(FilePreset):
    """A White-box cartoonisation network of one's own."""

    variant, licence = "White-box", "of whoever trained it"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model import checkpoints
        from model.styles.translators.whitebox import WhiteboxStyle

        network = checkpoints.load_whitebox(self.path)
        return WhiteboxStyle(network, self.name, self.licence, device, settings.get("precision", "auto"))


class WhiteboxPreset(Preset):
    """The published White-box cartoonisation network, once it was converted."""

    name, variant, single_style, colour_transfer, fetched = "whitebox", "White-box", True, False, False
    licence = "CC BY-NC-SA 4.0 (non-commercial)"

    @property
    def files(self) -> Sequence[str]:
        return [WHITEBOX_FILE]

    @property
    def choices(self) -> tuple[str, str, str]:
        return "one", "0-1 (1)", "of the photo"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        path = CHECKPOINTS / WHITEBOX_FILE
        if not path.is_file():
            how = "run python -m model.tools.convert_whitebox model-33999"
            raise InputError(
                f"{path} does not exist: download the two files model-33999.* from {WHITEBOX_PLACE}, and {how}."
            )
        style = WhiteboxFilePreset(path).load(device, **settings)
        style.name, style.licence = self.name, self.licence
        return style


@dataclass(frozen=True)
class AdainPreset(Preset):
    """AdaIN: one or several pictures as the style, with weights. The networks are the published ones, or in a file of
    one's own, `path`."""

    pictures: tuple[tuple[Path, float], ...] = ()
    path: Path | None = None
    name, variant, colour_transfer, fetched = "adain", "AdaIN", True, False
    licence = "MIT License; of whoever owns the picture"

    @property
    def source(self) -> "str | AdainPreset":
        return self if self.pictures or self.path else self.name

    @property
    def files(self) -> Sequence[str]:
        networks = ADAIN_FILES if self.path is None else [str(self.path.absolute())]
        return [*networks, *(str(path.absolute()) for path, _ in self.pictures)]

    @property
    def choices(self) -> tuple[str, str, str]:
        return "--style_image", "0-1 (1)", "of the style"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        if not self.pictures:
            raise InputError(
                "AdaIN paints as in a picture: add --style_image PICTURE, or several as one.jpg@2,other.jpg@1."
            )
        for path in (CHECKPOINTS / file for file in ADAIN_FILES if self.path is None):
            if not path.is_file():
                raise InputError(f"{path} does not exist: download {ADAIN_PLACE}{path.name} and put it there.")
        from model import checkpoints
        from model.styles.translators.adain import AdainStyle, read_style_picture

        if self.path is None:
            network = checkpoints.load_adain(*(CHECKPOINTS / file for file in ADAIN_FILES))
        else:
            network = checkpoints.load_own_adain(self.path)
        pictures, weights = (
            [read_style_picture(path) for path, _ in self.pictures],
            [share for _, share in self.pictures],
        )
        name = "+".join(path.stem for path, _ in self.pictures)
        return AdainStyle(network, pictures, weights, name, self.licence, device, settings.get("precision", "auto"))


def parse_pictures(text: str | None, path: Path | None = None) -> AdainPreset:
    """AdaIN with what `--style_image` says: a picture, or several with weights, `one.jpg@2,other.jpg`. path: the file
    of an AdaIN of one's own."""
    if text is None:
        return AdainPreset(path=path)
    if Path(text).exists():
        return AdainPreset(((Path(text), 1.0),), path)
    pictures = []
    for part in text.split(","):
        name, mark, weight = part.strip().rpartition("@")
        name, weight = (name, weight) if mark and not Path(part.strip()).exists() else (part.strip(), "1")
        try:
            share = float(weight)
        except ValueError:
            share = math.nan
        if not 0 < share < math.inf:
            raise InputError(
                f"--style_image has the part {part.strip()!r}: write PICTURE@WEIGHT, as in one.jpg@2,other.jpg@1."
            )
        if not Path(name).is_file():
            raise InputError(f"{name} does not exist: give --style_image a picture.")
        pictures.append((Path(name), share))
    return AdainPreset(tuple(pictures), path)


def is_own_adain(ckpt: str | None) -> bool:
    """Whether `--ckpt` names the file of an AdaIN of one's own."""
    if ckpt is None or not Path(ckpt).is_file():
        return False
    from model import checkpoints

    return checkpoints.kind_of_network(ckpt) == checkpoints.ADAIN


WHITEBOX, ADAIN = WhiteboxPreset(), AdainPreset()
STUDENTS = tuple(StudentPreset(CHECKPOINTS / "mobile" / f"{name}.pt") for name in ("ink", "comic"))
