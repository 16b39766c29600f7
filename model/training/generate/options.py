"""The options of generate_data.py, by teacher. Those of training have their default and help from there."""

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import ClassVar

from model.common.cli import OneLineParser, check_ranges, option
from model.common.errors import InputError
from model.training.drawn.styles import style_names
from model.training.options import RECIPES, DualOptions, ToonifyOptions, TrainOptions

CONFIGS = ["auto", *(name for name, recipe in RECIPES.items() if not recipe.from_scratch)]
"""Sizes that there are teacher networks for."""


def _from_training(training: type[TrainOptions], *names: str) -> type:
    """A dataclass of the fields `names` of `training`."""
    known = {field.name: field for field in fields(training)}
    return make_dataclass(f"From{training.__name__}", [(name, known[name].type, copy(known[name])) for name in names])


@dataclass
class GenerateOptions:
    """What all teachers have in common."""

    teacher: str = option(
        "drawn", "what draws; each has options of its own: --teacher NAME --help",
        choices=("drawn", "toonify", "dualstyle"),
    )  # fmt: skip
    out: Path | None = option(None, "folder for the shards; finished shards in it are kept", metavar="FOLDER")
    seed: int = option(0, "seed of all that is random", least=0)
    pairs_per_shard: int = option(256, "pairs in one tar file; those of one photo stay together", least=1)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.out is None:
            raise InputError("--out is missing: name a folder for the shards; it is made.")
        check_ranges(self)


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
        "is a pair in every style", least=0,
    )  # fmt: skip
    size: int = option(512, "side of the pictures in pixels, at least 128", least=128)
    workers: int = option(os.cpu_count() or 1, "processes that draw", least=1)


@dataclass
class NetworkData(
    _from_training(
        TrainOptions, "batch", "direction_path", "faceparsing_path", "style_encoder_path", "device", "precision"
    ),
    GenerateOptions,
):
    """What the teacher networks have in common: photo and cartoon are both drawn from random codes."""

    count: int = option(1000, "pairs to draw", least=1)
    pretrain: bool = option(False, "write pairs for encoder pre-training: features, no cartoons")
    config: str = option("auto", "sizes; auto: published", choices=CONFIGS)

    training: ClassVar[type[TrainOptions]] = TrainOptions
    """Options of a training with this teacher."""

    def as_training(self) -> TrainOptions:
        """The options of a training with this teacher, resolved."""
        names = {field.name for field in fields(self.training)}
        return self.training(**{name: value for name, value in vars(self).items() if name in names}).resolved()

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        super().check()
        self.as_training().check()


@dataclass
class ToonifyData(_from_training(ToonifyOptions, "stylegan_path", "finetunegan_path", "weight"), NetworkData):
    """The teacher of variant T."""

    training = ToonifyOptions


@dataclass
class DualstyleData(
    _from_training(
        DualOptions,
        "stylegan_path", "exstyle_path", "style_id", "style_degree", "fix_style", "fix_degree", "fix_color",
    ),
    NetworkData,
):  # fmt: skip
    """The teacher of variant D."""

    training = DualOptions


BY_TEACHER = {"drawn": DrawnData, "toonify": ToonifyData, "dualstyle": DualstyleData}


def chosen_options(argv: Sequence[str] | None = None) -> type[GenerateOptions]:
    """The options of the teacher that the command line names; a wrong name ends the program with code 2."""
    parser = OneLineParser(add_help=False)
    parser.add_argument("--teacher", choices=BY_TEACHER, default=GenerateOptions.teacher)
    return BY_TEACHER[parser.parse_known_args(argv)[0].teacher]
