"""Options of fine-tuning a generator."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from model.common.cli import option
from model.common.errors import InputError
from model.stylegan2 import GeneratorConfig
from model.training.options import SMALLEST_RATE, RunOptions, ToonifyOptions
from model.training.recipes import BACKBONES, RECIPES, Recipe

SHARED = ToonifyOptions()
"""Options of the training that takes the result."""

ACCUMULATE = {"published": 8, "tiny": 1}
"""The published run has 8 GPUs with 4 pictures each; sharing them out over time gives the same gradients."""


@dataclass
class Options(RunOptions):
    """Options of the command line."""

    data: str | None = option(
        None, "folder of aligned cartoon faces, searched with its subfolders", metavar="FOLDER", free=True
    )
    stylegan_path: str = option(SHARED.stylegan_path, "StyleGAN2 of photos, to start from", metavar="FILE", free=True)
    out: str = option(SHARED.finetunegan_path, "file of the result, for --finetunegan_path", metavar="FILE", free=True)
    iter: int = option(600, "last training step", least=1, free=True)
    batch: int = option(4, "pictures that are computed at a time", least=1, free=True)
    accumulate: int | None = option(
        None, f"such batches in a step (default: published {ACCUMULATE['published']}, tiny {ACCUMULATE['tiny']})",
        least=1, free=True,
    )  # fmt: skip
    lr: float = option(0.002, "learning rate", least=SMALLEST_RATE, free=True)
    r1: float = option(10.0, "weight of the penalty on the discriminator's gradient", least=0)
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    name: str = option("finetune_cartoon", "name of the run")
    save_every: int = option(100, "steps between resumable states", least=1, free=True)
    log_every: int = option(50, "steps between lines of the log and image grids", least=1, free=True)
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    @property
    def recipe(self) -> Recipe:
        """Sizes, and whether the average starts young."""
        return RECIPES[self.config]

    @property
    def generator(self) -> GeneratorConfig:
        """Sizes of the generator."""
        return self.recipe.network.generator

    def resolved(self) -> Self:
        """A copy in which every value is known."""
        return self if self.accumulate is not None else replace(self, accumulate=ACCUMULATE[self.config])

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        if not self.data:
            raise InputError("--data is missing: name a folder of pictures.")
        super().check()
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")
