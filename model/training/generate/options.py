"""What generate_data.py can be told, by teacher. What training can be told as well has its default there."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from model.common.cli import OneLineParser, option
from model.common.errors import InputError
from model.training.drawn.styles import style_names
from model.training.options import RECIPES, DualOptions, ToonifyOptions, TrainOptions, recipe_option

SMALLEST = {"count": 0, "size": 128, "seed": 0, "workers": 1, "pairs_per_shard": 1}
"""Least value of each number that can be asked for."""

CONFIGS = ["auto", *(name for name, recipe in RECIPES.items() if not recipe.from_scratch)]
"""Sizes that there are teacher networks for."""


def shared(options: type[TrainOptions], name: str, help: str | None = None, choices: list | None = None) -> Any:
    """The option `name` of training, with its default; with another help or other choices where these are given."""
    field = next(field for field in fields(options) if field.name == name)
    changed = {key: value for key, value in {"help": help, "choices": choices}.items() if value is not None}
    missing = field.default is dataclasses.MISSING
    default = {"default_factory": field.default_factory} if missing else {"default": field.default}
    return dataclasses.field(**default, metadata={**field.metadata, **changed})


@dataclass
class GenerateOptions:
    """What all teachers have in common."""

    teacher: str = option(
        "drawn", "what draws; each has options of its own: --teacher NAME --help",
        choices=("drawn", "toonify", "dualstyle"),
    )  # fmt: skip
    out: Path | None = option(None, "folder for the shards; finished shards in it are kept", metavar="FOLDER")
    seed: int = shared(TrainOptions, "seed", "seed of all that is random")
    pairs_per_shard: int = option(256, "pairs in one tar file; those of one photo stay together")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.out is None:
            raise InputError("--out is missing: name a folder for the shards; it is made.")
        for name, least in SMALLEST.items():
            if getattr(self, name, least) < least:
                raise InputError(f"--{name} is {getattr(self, name)}: give at least {least}.")


@dataclass
class DrawnData(GenerateOptions):
    """The drawn teacher: cartoons of the user's photos, without a network."""

    photos: list[Path] = option(
        [], "folders of photos, one face each, searched with their subfolders", nargs="+", metavar="FOLDER"
    )
    style: list[str] = option(
        ["film"], f"styles to draw each photo in: {', '.join(style_names())}, or .toml files of your own",
        nargs="+", metavar="STYLE",
    )  # fmt: skip
    count: int = option(
        0, "photos to draw; 0: each once; more than there are: again in other framings, mirrored; for each photo there "
        "is a pair in every style",
    )  # fmt: skip
    size: int = option(512, "side of the pictures in pixels, at least 128")
    workers: int = option(os.cpu_count() or 1, "processes that draw")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if not self.photos:
            raise InputError("--photos is missing: name a folder of pictures.")
        super().check()


@dataclass
class NetworkData(GenerateOptions):
    """What the teacher networks have in common: photo and cartoon are both drawn from random codes."""

    count: int = option(1000, "pairs to draw")
    batch: int | None = recipe_option("batch", "pairs drawn at once, for each process")
    direction_path: str = shared(TrainOptions, "direction_path")
    faceparsing_path: str = shared(TrainOptions, "faceparsing_path")
    style_encoder_path: str = shared(TrainOptions, "style_encoder_path")
    pretrain: bool = shared(TrainOptions, "pretrain", "write pairs for encoder pre-training: features, no cartoons")
    config: str = shared(TrainOptions, "config", "sizes; auto: published", CONFIGS)
    device: str = shared(TrainOptions, "device")
    precision: str = shared(TrainOptions, "precision")

    def training(self) -> TrainOptions:
        """The options of a training with this teacher, resolved."""
        options = TRAINING[type(self)]
        names = {field.name for field in fields(options)}
        return options(**{name: value for name, value in vars(self).items() if name in names}).resolved()

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        super().check()
        if self.count < 1:
            raise InputError(f"--count is {self.count}: give at least 1.")
        self.training().check()


@dataclass
class ToonifyData(NetworkData):
    """The teacher of variant T."""

    stylegan_path: str = shared(ToonifyOptions, "stylegan_path")
    finetunegan_path: str = shared(ToonifyOptions, "finetunegan_path")
    weight: list[float] = shared(ToonifyOptions, "weight")


@dataclass
class DualstyleData(NetworkData):
    """The teacher of variant D."""

    stylegan_path: str = shared(DualOptions, "stylegan_path")
    exstyle_path: str = shared(DualOptions, "exstyle_path")
    style_id: int = shared(DualOptions, "style_id", "the style of --fix_style")
    style_degree: float = shared(DualOptions, "style_degree", "the degree of --fix_degree")
    fix_style: bool = shared(DualOptions, "fix_style", "draw --style_id alone")
    fix_degree: bool = shared(DualOptions, "fix_degree", "draw --style_degree alone")
    fix_color: bool = shared(DualOptions, "fix_color")


TRAINING = {ToonifyData: ToonifyOptions, DualstyleData: DualOptions}
"""Options of training with pairs of each kind."""

BY_TEACHER = {"drawn": DrawnData, "toonify": ToonifyData, "dualstyle": DualstyleData}


def chosen_options(argv: Sequence[str] | None = None) -> type[GenerateOptions]:
    """The options of the teacher that the command line names; a wrong name ends the program with code 2."""
    parser = OneLineParser(add_help=False)
    parser.add_argument("--teacher", choices=BY_TEACHER, default=GenerateOptions.teacher)
    return BY_TEACHER[parser.parse_known_args(argv)[0].teacher]
