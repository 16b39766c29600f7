"""What fine-tuning a generator can be told."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from model.common.cli import option
from model.common.devices import DEVICES
from model.common.errors import InputError
from model.stylegan2 import GeneratorConfig
from model.training.options import BACKBONES, RECIPES, Recipe, ToonifyOptions

SHARED = ToonifyOptions()
"""What it shares with the training that takes its result."""

ACCUMULATE = {"published": 8, "tiny": 1}
"""The published run has 8 GPUs with 4 pictures each; sharing them out over time gives the same gradients."""


@dataclass
class Options:
    """Options of the command line."""

    data: str | None = option(None, "folder of aligned cartoon faces, searched with its subfolders", metavar="FOLDER")
    stylegan_path: str = option(SHARED.stylegan_path, "StyleGAN2 of photos, to start from", metavar="FILE")
    out: str = option(SHARED.finetunegan_path, "file of the result, for --finetunegan_path", metavar="FILE")
    iter: int = option(600, "last training step")
    batch: int = option(4, "pictures that are computed at a time")
    accumulate: int | None = option(
        None, f"such batches in a step (default: published {ACCUMULATE['published']}, tiny {ACCUMULATE['tiny']})"
    )
    lr: float = option(0.002, "learning rate")
    r1: float = option(10.0, "weight of the penalty on the discriminator's gradient")
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    name: str = option("finetune_cartoon", "name of the run")
    runs: str = option("runs", "folder for the log, pictures and the resumable state, under NAME/")
    save_every: int = option(100, "steps between resumable states")
    log_every: int = option(50, "steps between lines of the log and sheets of pictures")
    resume: bool = option(False, "continue the run NAME from its last state")
    seed: int = option(0, "seed of codes, noise and the order of the pictures")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("fp32", "arithmetic of the networks", choices=["auto", "bf16", "fp32"])
    dry_run: bool = option(False, "show the options and stop")

    @property
    def recipe(self) -> Recipe:
        """Sizes, and whether the average starts young."""
        return RECIPES[self.config]

    @property
    def generator(self) -> GeneratorConfig:
        """Sizes of the generator."""
        return self.recipe.network.generator

    @property
    def folder(self) -> Path:
        """Where the run keeps what it leaves beside the result."""
        return Path(self.runs) / self.name

    @property
    def state_file(self) -> Path:
        """The resumable state."""
        return self.folder / "state.pt"

    @property
    def pictures_a_step(self) -> int:
        """Real pictures, and as many generated ones, that a step looks at."""
        return self.batch * self.accumulate

    def resolved(self) -> Self:
        """A copy in which every value is known."""
        return self if self.accumulate is not None else replace(self, accumulate=ACCUMULATE[self.config])

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        if not self.data:
            raise InputError("--data is missing: name a folder of pictures.")
        for name in ("iter", "batch", "accumulate", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give a number of at least 1.")
        if not 0 < self.lr < math.inf:
            raise InputError(f"--lr is {self.lr}: give a positive learning rate.")
        for name in ("r1", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"--{name} is {getattr(self, name)}: give 0 or more.")
        if self.name in ("", "..") or Path(self.name).name != self.name:
            raise InputError(f"--name is {self.name!r}: give a plain name, which a folder gets.")
