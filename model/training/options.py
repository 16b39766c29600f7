"""What a training run can be told. One dataclass owns each default; the command line is derived from its fields."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

from model.common.cli import option
from model.common.devices import DEVICES
from model.common.errors import InputError
from model.stylegan2 import GeneratorConfig
from model.vtoonify import Backbone, VToonifyConfig


@dataclass(frozen=True)
class Recipe:
    """Sizes, and what follows from them: the values of the options that are not given.

    With `from_scratch` nothing is trained before: the whole network learns, so the learning rate is warmed up and
    lowered again, and gradients are clipped. Weights with an equalised learning rate (Karras et al., 2018) are stored
    with unit variance, dozens of times larger than those of ordinary convolutions; `equalised_lr` multiplies their
    rate, so that both kinds learn equally fast. With `young_average` the average of the weights forgets faster in the
    beginning, for runs that are short against its memory or begin far from their end. `adv_begin` is the share of the
    steps after which the adversarial loss sets in: at first a discriminator tells drawings at a glance and teaches
    little. The flicker loss is a squared error: beside an absolute one, it counts for something only with a weight as
    large as 20. `discriminator_size` is the side in pixels of what the discriminator sees; None: patches at full size.
    """

    network: VToonifyConfig
    discriminator_size: int | None
    iter: int
    pretrain_iter: int
    batch: int
    lr: float
    adv_loss: float
    grec_loss: float
    perc_loss: float
    l1_loss: float
    tmp_loss: float = 1.0
    msk_loss: float = 0.0005
    from_scratch: bool = False
    equalised_lr: float = 1.0
    young_average: bool = False
    adv_begin: float = 0.0


TINY = GeneratorConfig(
    size=256,
    style_dim=16,
    mapping_layers=2,
    channels={4: 32, 8: 32, 16: 32, 32: 24, 64: 16, 128: 12, 256: 8},
    structure_size=8,
)
"""A quarter of the published sizes: the encoder takes 64 px to 8 px, the generator makes 256 px of them."""

STARTER = GeneratorConfig(
    size=256,
    style_dim=64,
    mapping_layers=2,
    channels={32: 160, 64: 128, 128: 96, 256: 64},
    noise_buffers=False,
    first_level=3,
)

STARTER_TINY = replace(STARTER, style_dim=16, channels={32: 24, 64: 16, 128: 12, 256: 8})

RECIPES = {
    "published": Recipe(
        VToonifyConfig(), discriminator_size=256, iter=2000, pretrain_iter=30_000, batch=4, lr=1e-4,
        adv_loss=0.01, grec_loss=0.1, perc_loss=0.01, l1_loss=0.0,
    ),
    "tiny": Recipe(
        VToonifyConfig(generator=TINY, stem_channels=8, dilations=(2, 1), eye_distance=16.0),
        discriminator_size=64, iter=200, pretrain_iter=400, batch=4, lr=1e-3,
        adv_loss=0.01, grec_loss=1.0, perc_loss=0.0, l1_loss=0.0, young_average=True,
    ),
    "starter": Recipe(
        VToonifyConfig(
            generator=STARTER, parsing_channels=0, dilations=(4, 2, 1), subpixel=4, eye_distance=36.0
        ),
        discriminator_size=None, iter=10_000, pretrain_iter=0, batch=4, lr=8e-4,
        adv_loss=0.04, grec_loss=0.0, perc_loss=0.0, l1_loss=1.0, tmp_loss=20.0,
        from_scratch=True, equalised_lr=10.0, young_average=True, adv_begin=0.5,
    ),
    "starter_tiny": Recipe(
        VToonifyConfig(
            generator=STARTER_TINY, parsing_channels=0, stem_channels=8, dilations=(2, 1), subpixel=4,
            eye_distance=36.0,
        ),
        discriminator_size=None, iter=200, pretrain_iter=0, batch=8, lr=8e-4,
        adv_loss=0.04, grec_loss=0.0, perc_loss=0.0, l1_loss=1.0, tmp_loss=20.0,
        from_scratch=True, equalised_lr=10.0, young_average=True, adv_begin=0.5,
    ),
}  # fmt: skip
"""Named sizes. `published` is the paper's model. `tiny` has its layers at a quarter of the resolution and few channels:
the whole chain runs on a CPU within minutes. `starter` learns from drawn pairs, without a StyleGAN, and does all its
wide work at or below the input's resolution, where CPUs are fast; `starter_tiny` is the same with few channels."""

BACKBONES: dict[str, tuple[str, ...]] = {
    "toonify": ("published", "tiny"),
    "dualstylegan": ("published", "tiny", "starter", "starter_tiny"),
}
"""Recipes of each variant: what learns from scratch has exemplars and degrees."""

OF_THE_RECIPE = ("batch", "lr", "adv_loss", "grec_loss", "perc_loss", "l1_loss", "tmp_loss", "msk_loss")
"""Options whose value is the recipe's unless given; `iter` depends on --pretrain as well."""


def recipe_option(name: str, help: str):
    """An option of type `float | None` or `int | None` whose default is the recipe's."""
    defaults = {recipe: getattr(values, name) for recipe, values in RECIPES.items()}
    if len(set(defaults.values())) == 1:
        return option(None, f"{help} (default: {defaults['published']})")
    return option(None, f"{help} (default: {', '.join(f'{recipe} {value}' for recipe, value in defaults.items())})")


@dataclass
class TrainOptions:
    """What both variants share. Paths are of the published files."""

    iter: int | None = recipe_option("iter", "last training step; with --pretrain 30000 (tiny 400)")
    batch: int | None = recipe_option("batch", "pairs in a step, for each process")
    accumulate: int = option(1, "batches whose gradients are added up before a step; saves memory")
    lr: float | None = recipe_option("lr", "learning rate")
    start_iter: int = option(0, "first step of a run that goes on from weights alone (--encoder_path)")
    save_every: int = option(500, "steps between resumable states")
    save_begin: int = option(30_000, "from this step on, keep a numbered weight file with each state")
    log_every: int = option(200, "steps between lines of the log and sheets of pictures")
    adv_loss: float | None = recipe_option("adv_loss", "weight of the adversarial loss")
    grec_loss: float | None = recipe_option("grec_loss", "weight of the mean squared error against the cartoon")
    perc_loss: float | None = recipe_option("perc_loss", "weight of the perceptual loss (LPIPS)")
    l1_loss: float | None = recipe_option("l1_loss", "weight of the L1 and gradient losses against the cartoon")
    tmp_loss: float | None = recipe_option("tmp_loss", "weight of the flicker loss; it rises from the middle on")
    encoder_path: str = option("", "pre-trained encoder (default: OUTPUT/NAME/pretrain.pt); with --pretrain a start")
    init_path: str = option("", "finished model to start from, where everything is learnt (drawn pairs)")
    direction_path: str = option("checkpoint/directions.npy", "editing directions in w+")
    faceparsing_path: str = option("checkpoint/faceparsing.pth", "face parser")
    style_encoder_path: str = option("checkpoint/encoder.pt", "pSp style encoder; none: the code that was drawn")
    pretrain: bool = option(False, "train the encoder alone, against the teacher's features")
    pairs: list[str] = option(
        [], "learn from stored pairs, not from live ones: folders, .tar files, or http(s) addresses of such",
        nargs="+", metavar="SHARDS",
    )  # fmt: skip
    config: str = option("auto", "sizes; auto: starter for drawn pairs, else published", choices=["auto"])
    output: str = option("checkpoint", "folder that receives NAME/ with the result")
    runs: str = option("runs", "folder for logs, pictures and resumable states, under NAME/")
    resume: bool = option(False, "continue the run NAME from its last state")
    seed: int = option(0, "seed of weights, pairs and augmentation")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic of the networks", choices=["auto", "bf16", "fp32"])
    workers: int = option(1, "processes that decode stored pairs")
    checkpointing: bool = option(False, "save memory: compute activations again in the backward pass")
    dry_run: bool = option(False, "show the options and stop")

    name: str = ""
    stylegan_path: str = ""
    backbone: Backbone = "toonify"

    @property
    def recipe(self) -> Recipe:
        """The recipe, for this variant. The configuration must be known."""
        recipe = RECIPES[self.config]
        return replace(recipe, network=replace(recipe.network, backbone=self.backbone))

    @property
    def from_backbone(self) -> bool:
        """Whether encoder and fusion are put on a trained generator, which stays as it is."""
        return not self.recipe.from_scratch

    def resolved(self, drawn: bool = False) -> Self:
        """A copy in which every value is known. `drawn`: whether the pairs come from the drawn teacher."""
        config = self.config if self.config != "auto" else "starter" if drawn else "published"
        known = replace(self, config=config)
        recipe = known.recipe
        values = {name: getattr(recipe, name) for name in OF_THE_RECIPE if name in {f.name for f in fields(self)}}
        values["iter"] = recipe.pretrain_iter if self.pretrain else recipe.iter
        known = replace(known, **{name: value for name, value in values.items() if getattr(self, name) is None})
        if not known.encoder_path and not known.pretrain and known.from_backbone:
            known = replace(known, encoder_path=str(Path(known.output) / known.name / "pretrain.pt"))
        return known

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        if self.config not in BACKBONES[self.backbone]:  # chosen for drawn pairs
            raise InputError(f"{self.pairs[0]} holds drawn pairs, which have degrees: give it to train_vtoonify_d.py.")
        for name in ("iter", "batch", "accumulate", "save_every", "save_begin", "log_every"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give a number of at least 1.")
        if not 0 < self.lr < math.inf:
            raise InputError(f"--lr is {self.lr}: give a positive learning rate.")
        losses = [field.name for field in fields(self) if field.name.endswith("_loss")]
        for name in (*losses, "seed", "workers", "start_iter"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"--{name} is {getattr(self, name)}: give 0 or more.")
        if self.name in ("", "..") or Path(self.name).name != self.name:
            raise InputError(f"--name is {self.name!r}: give a plain name, which folders get.")
        if self.start_iter >= self.iter:
            raise InputError(f"--start_iter is {self.start_iter}: give a step before the last one, {self.iter}.")
        if self.start_iter and self.resume:
            raise InputError("--start_iter and --resume exclude each other: a state knows its step.")
        if self.pretrain and self.recipe.from_scratch:
            raise InputError(f"--pretrain needs a teacher network: --config {self.config} learns as a whole.")
        if self.init_path and not self.recipe.from_scratch:
            raise InputError(f"--init_path is for drawn pairs: --config {self.config} starts from its generator.")
        if self.recipe.from_scratch and not self.pairs:
            raise InputError(f"--pairs is missing: --config {self.config} learns from pairs of generate_data.py.")


@dataclass
class ToonifyOptions(TrainOptions):
    """Training of VToonify-T: one collection style."""

    stylegan_path: str = option("checkpoint/stylegan2-ffhq-config-f.pt", "StyleGAN2 of photos")
    finetunegan_path: str = option("checkpoint/cartoon/finetune-000600.pt", "the same, fine-tuned to the style")
    weight: list[float] = option(
        [], "share of the fine-tuned generator by row of w+ (default: 1 in the first half, 0 in the second)",
        nargs="+", metavar="W",
    )  # fmt: skip
    name: str = option("vtoonify_t_cartoon", "name of the run and of the folder under --output for the result")
    config: str = option("auto", "sizes; auto: published", choices=["auto", *BACKBONES["toonify"]])
    backbone: Backbone = "toonify"

    @property
    def layer_weights(self) -> list[float]:
        """One blending weight a row."""
        rows = self.recipe.network.generator.w_layers
        return self.weight or [1.0] * (rows // 2) + [0.0] * (rows - rows // 2)

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        super().check()
        rows = self.recipe.network.generator.w_layers
        if len(self.layer_weights) != rows:
            raise InputError(f"--weight has {len(self.weight)} numbers: give {rows}, one for each row of w+.")
        for value in self.layer_weights:
            if not 0 <= value <= 1:
                raise InputError(f"--weight holds {value}: give numbers from 0 (photo) to 1 (style).")


@dataclass
class DualOptions(TrainOptions):
    """Training of VToonify-D: exemplar styles and a style degree."""

    stylegan_path: str = option("checkpoint/cartoon/generator.pt", "DualStyleGAN")
    exstyle_path: str = option("checkpoint/cartoon/refined_exstyle_code.npy", "style codes of the exemplars")
    msk_loss: float | None = recipe_option("msk_loss", "weight of the loss that keeps fusion masks below their bound")
    fix_degree: bool = option(False, "train for --style_degree alone")
    fix_style: bool = option(False, "train for --style_id alone")
    fix_color: bool = option(False, "keep the photo's colours: no colour transfer")
    style_id: int = option(26, "the style of --fix_style, and of the first step")
    style_degree: float = option(0.5, "the degree of --fix_degree, and of the first step")
    name: str = option("vtoonify_d_cartoon", "name of the run and of the folder under --output for the result")
    config: str = option(
        "auto", "sizes; auto: starter for drawn pairs, else published", choices=["auto", *BACKBONES["dualstylegan"]]
    )
    backbone: Backbone = "dualstylegan"

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        super().check()
        if not 0 <= self.style_degree <= 1:
            raise InputError(f"--style_degree is {self.style_degree}: give a number from 0 (photo) to 1 (full style).")
