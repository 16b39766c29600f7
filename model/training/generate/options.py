"""Options of generate_data.py, a dataclass for each kind of teacher."""

import os
from copy import copy
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import ClassVar

from model.common.cli import check_ranges, option
from model.common.errors import InputError
from model.styles.example.presets import EXEMPLARS
from model.styles.painters.presets import painter_names
from model.training.drawn.styles import style_names
from model.training.options import RECIPES, DualOptions, ToonifyOptions, TrainOptions

CONFIGS = ["auto", *(name for name, recipe in RECIPES.items() if not recipe.from_scratch)]  # with teacher networks
STYLES = ", ".join(style_names())
TEACHERS = ("drawn", "painter", "example", "ugatit", "whitebox", "adain", "keyframe", "toonify", "dualstyle")


@dataclass
class GenerateOptions:
    """Options of generate_data.py that all teachers have in common."""

    teacher: str = option("drawn", "what draws, see --teacher NAME --help", choices=TEACHERS)
    out: Path | None = option(None, "folder for the shards; finished shards in it are kept", metavar="FOLDER")
    seed: int = option(0, "seed of all that is random", least=0)
    pairs_per_shard: int = option(256, "pairs in one tar file; those of one photo stay together", least=1)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.out is None:
            raise InputError("--out is missing: name a folder for the shards; it is made.")
        check_ranges(self)


@dataclass
class PhotoData(GenerateOptions):
    """What teachers of the user's photos, which are no networks, have in common."""

    photos: list[Path] = option([], "folders of photos, one face each, with subfolders", nargs="+", metavar="FOLDER")
    count: int = option(0, "photos to draw; 0: each once; beyond their number again, mirrored and reframed", least=0)
    size: int = option(512, "side of the pictures in pixels, at least 128", least=128)
    workers: int = option(os.cpu_count() or 1, "processes that draw", least=1)


@dataclass
class DrawnData(PhotoData):
    """The drawn teacher: cartoons."""

    style: list[str] = option(["film"], f"{STYLES}, or .toml files of your own", nargs="+", metavar="STYLE")


@dataclass
class PainterData(PhotoData):
    """Painters: stroke by stroke."""

    style: list[str] = option(
        ["oil"], f"{', '.join(painter_names())}, or .toml files of your own", nargs="+", metavar="STYLE"
    )


@dataclass
class ExampleData(PhotoData):
    """Pictures as styles."""

    style_id: list[str] = option(
        [], f"pictures that come with the project: {', '.join(EXEMPLARS.style_names)}", nargs="+", metavar="STYLE"
    )
    style_image: list[Path] = option([], "pictures of your own, one face each", nargs="+", metavar="PICTURE")


@dataclass
class UgatitData(PhotoData):
    """U-GAT-IT: networks that learnt a style without pairs; photos are framed as FFHQ's."""

    ckpt: list[Path] = option([], "files of U-GAT-IT, each a style of its name", nargs="+", metavar="FILE")


@dataclass
class WhiteboxData(PhotoData):
    """White-box cartoonisation."""

    ckpt: Path | None = option(None, "a file of your own; nothing: the published network", metavar="FILE")


@dataclass
class AdainData(PhotoData):
    """AdaIN: the colours, contrasts and textures of pictures."""

    style_image: list[Path] = option([], "pictures, each a style of its name", nargs="+", metavar="PICTURE")
    ckpt: Path | None = option(None, "a file of your own; nothing: the published networks", metavar="FILE")
    keep_colors: bool = option(False, "the photos' colours")


@dataclass
class KeyframeData(GenerateOptions):
    """Frames of a clip that somebody painted."""

    content: Path | None = option(None, "the clip", metavar="CLIP")
    keyframe: list[str] = option(
        [], "numbers of frames, from 0 on, each with its painting, of the same size", nargs="+", metavar="N=PICTURE"
    )


@dataclass
class NetworkData(GenerateOptions):
    """Options of the teacher networks, beside those that training with them has, too."""

    count: int = option(1000, "pairs to draw", least=1)
    pretrain: bool = option(False, "write pairs for encoder pre-training: features, no cartoons")
    config: str = option("auto", "sizes; auto: published", choices=CONFIGS)

    training: ClassVar[type[TrainOptions]]

    def as_training(self) -> TrainOptions:
        """The options of a training with this teacher, resolved."""
        names = vars(self).keys() & {field.name for field in fields(self.training)}
        return self.training(**{name: getattr(self, name) for name in names}).resolved()

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        super().check()
        self.as_training().check()


SHARED = "batch direction_path faceparsing_path style_encoder_path stylegan_path device precision"
FIXED = "fix_style fix_degree fix_color"


def _network_data(training: type[TrainOptions], names: str) -> type[NetworkData]:
    """NetworkData with the fields of `training` that name the teacher, with their defaults and help."""
    chosen = [(field.name, field.type, copy(field)) for field in fields(training) if field.name in names.split()]
    return make_dataclass(f"{training.__name__}Data", chosen, bases=(NetworkData,), namespace={"training": training})


ToonifyData = _network_data(ToonifyOptions, f"{SHARED} finetunegan_path weight")
DualstyleData = _network_data(DualOptions, f"{SHARED} exstyle_path style_id style_degree {FIXED}")

OF_PHOTOS = DrawnData, PainterData, ExampleData, UgatitData, WhiteboxData, AdainData
KINDS = *OF_PHOTOS, KeyframeData, ToonifyData, DualstyleData
BY_TEACHER: dict[str, type[GenerateOptions]] = dict(zip(TEACHERS, KINDS, strict=True))
