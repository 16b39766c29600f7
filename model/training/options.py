"""Options of the training programs, a dataclass for each, and recipes: named sizes with the defaults that fit them."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Self

from model.common.cli import check_ranges, option
from model.common.devices import DEVICES
from model.common.errors import InputError
from model.config import Backbone, GeneratorConfig, MobileConfig, TranslatorConfig, VToonifyConfig

UNPAIRED_MARGIN = 30  # pixels that pictures of a U-GAT-IT are larger than what is cut out of them
SMALLEST_RATE = 1e-20  # a learning rate of 0 would learn nothing
RUN_NAME = "name of the run and of the folder under --output for the result"


@dataclass(frozen=True)
class Recipe:
    """Sizes of the networks, and the defaults of the options that depend on them."""

    network: VToonifyConfig | TranslatorConfig | MobileConfig
    discriminator_size: int | None  # side in pixels of what the discriminator sees; None: patches at full size
    iter: int
    pretrain_iter: int
    batch: int
    lr: float
    adv_loss: float
    grec_loss: float
    perc_loss: float
    l1_loss: float
    tmp_loss: float = 1.0  # of a squared error: beside an absolute one it needs a weight as large as 20
    msk_loss: float = 0.0005
    from_scratch: bool = False  # the whole network learns, with a learning rate that rises and sinks again
    # Factor on the rate of weights with an equalised learning rate (Karras et al., 2018), stored with unit variance.
    equalised_lr: float = 1.0
    young_average: bool = False  # the average of the weights forgets faster in the beginning, for short runs
    adv_begin: float = 0.0  # share of the steps before the adversarial loss: at first, drawings are told at a glance
    kinds: tuple[str, ...] = ("stylised",)  # of stored pairs that it learns from; with --pretrain they are features
    discriminator_width: int = 24  # channels of the first layer of a discriminator of patches
    # Paintings: where each stroke lies can't be known, so colours are compared as averages of squares of this side.
    l1_square: int = 1
    # Likeness to a painting by VGG-19, LPIPS or the discriminator's features, whichever is at hand, instead of LPIPS.
    any_perceptual: bool = False
    patch: int = 0  # side of the patches that a network learns from, in pixels; 0: it learns from views of faces


# A quarter of the published resolution, few channels: the whole chain runs on a CPU within minutes.
TINY = GeneratorConfig(
    size=256, style_dim=16, mapping_layers=2, structure_size=8,
    channels={4: 32, 8: 32, 16: 32, 32: 24, 64: 16, 128: 12, 256: 8},
)  # fmt: skip

# Faces at 64 px, for a generator that is trained at home: a night, or a quick trial of two hours, on two CPU cores.
SMALL = GeneratorConfig(
    size=64, style_dim=64, mapping_layers=4, structure_size=8, channels={4: 96, 8: 96, 16: 96, 32: 64, 64: 32}
)

PUBLISHED = Recipe(  # the paper's
    VToonifyConfig(), discriminator_size=256, iter=2000, pretrain_iter=30_000, batch=4, lr=1e-4,
    adv_loss=0.01, grec_loss=0.1, perc_loss=0.01, l1_loss=0.0,
)  # fmt: skip

STARTER_GENERATOR = GeneratorConfig(
    size=256, style_dim=64, mapping_layers=2, noise_buffers=False, first_level=3,
    channels={32: 160, 64: 128, 128: 96, 256: 64},
)  # fmt: skip
# Learns from drawn pairs, without a StyleGAN, and works widely only up to the input's resolution, where CPUs are fast.
STARTER = Recipe(
    VToonifyConfig(generator=STARTER_GENERATOR, parsing_channels=0, dilations=(4, 2, 1), subpixel=4, eye_distance=36.0),
    discriminator_size=None, iter=10_000, pretrain_iter=0, batch=4, lr=8e-4,
    adv_loss=0.04, grec_loss=0.0, perc_loss=0.0, l1_loss=1.0, tmp_loss=20.0,
    from_scratch=True, equalised_lr=10.0, young_average=True, adv_begin=0.5, kinds=("drawn", "painted"),
)  # fmt: skip
# The same network for paintings, whose texture is what matters. L1 alone would average it away.
PAINTED = replace(
    STARTER, lr=4e-4, batch=8, adv_loss=0.1, perc_loss=1.0, tmp_loss=5.0, adv_begin=0.05,
    discriminator_width=48, l1_square=4, any_perceptual=True,
)  # fmt: skip
# Texler et al., 2020, Sec. 3.1, at half of the published widths, with which two CPU cores are fast enough for a film.
KEYFRAMES = Recipe(
    TranslatorConfig(widths=(16, 32, 64)), discriminator_size=None, iter=4000, pretrain_iter=0, batch=40, lr=4e-4,
    adv_loss=0.5, grec_loss=0.0, perc_loss=6.0, l1_loss=4.0, tmp_loss=0.0,
    from_scratch=True, young_average=True, kinds=("keyframe",), discriminator_width=12, any_perceptual=True, patch=32,
)  # fmt: skip

RECIPES = {
    "published": PUBLISHED,
    "tiny": replace(
        PUBLISHED,
        network=VToonifyConfig(generator=TINY, stem_channels=8, dilations=(2, 1), eye_distance=16.0),
        discriminator_size=64, iter=200, pretrain_iter=400, lr=1e-3,
        grec_loss=1.0, perc_loss=0.0, young_average=True,
    ),
    "starter": STARTER,
    "starter_tiny": replace(
        STARTER,
        network=replace(
            STARTER.network, stem_channels=8, dilations=(2, 1),
            generator=replace(STARTER_GENERATOR, style_dim=16, channels={32: 24, 64: 16, 128: 12, 256: 8}),
        ),
        iter=200, batch=8,
    ),
    "painted": PAINTED,
    "keyframes": KEYFRAMES,
    "patch": replace(KEYFRAMES, iter=10_000, batch=4, kinds=("painted", "drawn"), patch=192),
}  # fmt: skip
RECIPES["small"] = replace(
    RECIPES["tiny"],
    network=VToonifyConfig(
        generator=SMALL, parsing_channels=0, stem_channels=16, dilations=(2, 1), eye_distance=16.0,
    ), iter=2000, pretrain_iter=4000,
)  # fmt: skip
RECIPES["painted_tiny"] = replace(PAINTED, network=RECIPES["starter_tiny"].network, iter=200)
# The recipe of --config auto, by student and kind of pairs.
AUTO = {
    ("vtoonify", "drawn"): "starter", ("vtoonify", "painted"): "painted",
    ("patch", "keyframe"): "keyframes", ("patch", "painted"): "patch", ("patch", "drawn"): "patch",
}  # fmt: skip
STUDENTS = ("vtoonify", "patch")

# Recipes of each variant: what learns from scratch has exemplars and degrees.
BACKBONES: dict[Backbone, tuple[str, ...]] = {"toonify": ("published", "tiny", "small"), "dualstylegan": tuple(RECIPES)}


def recipe_option(name: str, help: str, **settings):
    """An option of type `float | None` or `int | None` whose default is the recipe's; `settings` as for `option`."""
    defaults = {recipe: getattr(values, name) for recipe, values in RECIPES.items()}
    listed = ", ".join(f"{recipe} {value}" for recipe, value in defaults.items())
    if len(set(defaults.values())) == 1:
        listed = defaults["published"]
    return option(None, f"{help} (default: {listed})", **settings)


@dataclass
class RunOptions:
    """What training and fine-tuning have in common; each has its own defaults for the first five."""

    name: str = ""
    iter: int | None = None
    batch: int | None = None
    accumulate: int | None = None
    lr: float | None = None
    save_every: int = option(500, "steps between resumable states", least=1, free=True)
    log_every: int = option(200, "steps between lines of the log and image grids", least=1, free=True)
    runs: str = option("runs", "folder for logs, image grids and resumable states, under NAME/", free=True)
    resume: bool = option(False, "continue the run NAME from its last state", free=True)
    seed: int = option(0, "seed of all that is random", least=0)
    device: str = option("auto", "where to compute", choices=DEVICES, free=True)
    precision: str = option("auto", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)
    measure: int = option(0, "time so many steps, print speed and peak memory, and stop", least=0, free=True)
    dry_run: bool = option(False, "show the options and stop", free=True)
    quiet: bool = option(False, "don't list the options", free=True)

    @property
    def folder(self) -> Path:
        """Where the run keeps log, image grids and state."""
        return Path(self.runs) / self.name

    @property
    def state_file(self) -> Path:
        """The resumable state."""
        return self.folder / "state.pt"

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        check_ranges(self)
        if self.name in ("", "..") or Path(self.name).name != self.name:
            raise InputError(f"--name is {self.name!r}: give a plain name, which folders get.")
        if self.measure >= self.iter:
            raise InputError(f"--measure is {self.measure}: give fewer steps than --iter, {self.iter}.")


@dataclass
class StudentOptions(RunOptions):
    """What all that learns from pairs shares; each kind has its own defaults."""

    iter: int | None = None
    batch: int | None = None
    accumulate: int = option(1, "batches whose gradients are added up; saves memory", least=1, free=True)
    lr: float | None = None
    save_begin: int = option(30_000, "keep a weight file with each state from this step on", least=1, free=True)
    adv_loss: float | None = None
    perc_loss: float | None = None
    l1_loss: float | None = None
    pairs: list[str] = option(
        [], "stored pairs: folders, .tar files, pairs-{00000..00026}.tar", nargs="+", metavar="SHARDS", free=True
    )
    output: str = option("checkpoint", "folder that receives NAME/ with the result", free=True)
    workers: int = option(1, "processes that decode stored pairs", least=0, free=True)

    start_iter: int = 0
    pretrain: bool = False
    student: str = "vtoonify"

    @property
    def recipe(self) -> Recipe:
        """Sizes of the network, and how it learns. All values must be known."""
        raise NotImplementedError

    @property
    def result_folder(self) -> Path:
        """Where finished weights go."""
        return Path(self.output) / self.name


PERCEPTUAL_HELP = (
    "LPIPS; for paintings VGG-19's features or LPIPS if the file is on disk, else the discriminator's features"
)


@dataclass
class TrainOptions(StudentOptions):
    """What both variants share."""

    iter: int | None = recipe_option("iter", "last training step; with --pretrain 30000 (tiny 400)", least=1, free=True)
    batch: int | None = recipe_option("batch", "pairs in a step, for each process", least=1, free=True)
    lr: float | None = recipe_option("lr", "learning rate", least=SMALLEST_RATE, free=True)
    start_iter: int = option(0, "first step of a run that starts from --encoder_path", least=0, free=True)
    adv_loss: float | None = recipe_option("adv_loss", "weight of the adversarial loss", least=0)
    grec_loss: float | None = recipe_option("grec_loss", "weight of the mean squared error to the cartoon", least=0)
    perc_loss: float | None = recipe_option("perc_loss", f"weight of the perceptual loss: {PERCEPTUAL_HELP}", least=0)
    l1_loss: float | None = recipe_option("l1_loss", "weight of L1 and gradient losses to the cartoon", least=0)
    tmp_loss: float | None = recipe_option("tmp_loss", "weight of the flicker loss, in the second half", least=0)
    encoder_path: str = option("", "pre-trained encoder (default: that of NAME), or a start for --pretrain", free=True)
    init_path: str = option("", "finished model to start from, where everything is learnt (drawn pairs)", free=True)
    direction_path: str = option("checkpoint/directions.npy", "editing directions in w+", free=True)
    faceparsing_path: str = option("checkpoint/faceparsing.pth", "face parser", free=True)
    style_encoder_path: str = option("checkpoint/encoder.pt", "pSp encoder; none: the code that was drawn", free=True)
    pretrain: bool = option(False, "train the encoder alone, against the teacher's features")
    config: str = option(
        "auto", "sizes; auto: starter for drawn pairs, painted for painted ones, keyframes or patch for --student "
        "patch, else published", choices=["auto", *RECIPES],
    )  # fmt: skip
    checkpointing: bool = option(False, "compute activations again in the backward pass; saves memory", free=True)

    backbone: Backbone = "toonify"

    @property
    def recipe(self) -> Recipe:
        """The recipe, for this variant. The configuration must be known."""
        recipe = RECIPES[self.config]
        if isinstance(recipe.network, TranslatorConfig):
            return recipe
        return replace(recipe, network=replace(recipe.network, backbone=self.backbone))

    @property
    def folder(self) -> Path:
        """Each stage has a place of its own."""
        return super().folder / ("pretrain" if self.pretrain else "")

    def resolved(self, kind: str = "stylised") -> Self:
        """A copy in which every value is known. `kind`: of the stored pairs; without any, as if of a network teacher.
        Raises InputError where the student can't learn from such pairs."""
        known = replace(self)
        if self.config == "auto":
            known.config = AUTO.get((self.student, kind), "published")
            if self.student == "patch" and known.config == "published":
                raise InputError("--student patch learns from --pairs that are painted, drawn or key frames.")
            if self.student == "vtoonify" and kind == "keyframe":
                raise InputError(f"{self.pairs[0]} holds key frames of a clip: add --student patch.")
        defaults = asdict(known.recipe)
        if self.pretrain:
            defaults["iter"] = known.recipe.pretrain_iter
        elif not known.encoder_path and not known.recipe.from_scratch:
            known.encoder_path = str(known.result_folder / "pretrain.pt")
        missing = [field.name for field in fields(self) if getattr(self, field.name) is None]
        return replace(known, **{name: defaults[name] for name in missing})

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        if self.config not in BACKBONES[self.backbone]:  # chosen for drawn pairs
            raise InputError(f"{self.pairs[0]} holds pairs that have degrees: give it to train_vtoonify_d.py.")
        super().check()
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

    stylegan_path: str = option("checkpoint/stylegan2-ffhq-config-f.pt", "StyleGAN2 of photos", free=True)
    finetunegan_path: str = option("checkpoint/cartoon/finetune-000600.pt", "the same, fine-tuned", free=True)
    weight: list[float] = option(
        [], "share of the fine-tuned generator by layer of w+, 0 (photo) to 1 (style); default: 1 in the first half",
        nargs="+", metavar="W", least=0, most=1,
    )  # fmt: skip
    name: str = option("vtoonify_t_cartoon", RUN_NAME)
    config: str = option("auto", "sizes; auto: published", choices=["auto", *BACKBONES["toonify"]])

    @property
    def layer_weights(self) -> list[float]:
        """One blending weight for each layer of w+."""
        count = self.recipe.network.generator.w_layers
        return self.weight or [1.0] * (count // 2) + [0.0] * (count - count // 2)

    def check(self) -> None:
        super().check()
        count = self.recipe.network.generator.w_layers
        if len(self.weight) not in (0, count):
            raise InputError(f"--weight has {len(self.weight)} numbers: give {count}, one for each layer of w+.")


@dataclass
class DualOptions(TrainOptions):
    """Training of VToonify-D: exemplar styles and a style degree."""

    stylegan_path: str = option("checkpoint/cartoon/generator.pt", "DualStyleGAN", free=True)
    exstyle_path: str = option("checkpoint/cartoon/refined_exstyle_code.npy", "style codes of the exemplars", free=True)
    msk_loss: float | None = recipe_option("msk_loss", "weight of the bound on fusion masks", least=0)
    fix_degree: bool = option(False, "train for --style_degree alone")
    fix_style: bool = option(False, "train for --style_id alone")
    fix_color: bool = option(False, "keep the photo's colours: no colour transfer")
    style_id: int = option(26, "the style of --fix_style, and of the first step")
    style_degree: float = option(0.5, "the degree of --fix_degree, and of the first step", least=0, most=1)
    name: str = option("vtoonify_d_cartoon", RUN_NAME)
    student: str = option(
        "vtoonify", "what learns: vtoonify, several styles with degrees; or patch, one painting, pixel by pixel",
        choices=STUDENTS,
    )  # fmt: skip
    backbone: Backbone = "dualstylegan"

    def check(self) -> None:
        super().check()
        is_patch = isinstance(self.recipe.network, TranslatorConfig)
        if is_patch != (self.student == "patch"):
            other = "leave" if self.student == "patch" else "add"
            raise InputError(
                f"--config {self.config} is of another student: {other} --student patch{' out' * (other == 'leave')}."
            )
