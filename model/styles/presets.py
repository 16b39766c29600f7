"""Which VToonify models there are, and which styles and degrees they take."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.common.hub import CHECKPOINTS, EXEMPLAR_FILE, PARSER_FILE
from model.config import Backbone, GeneratorConfig
from model.styles.base import Preset, Style

ENCODER_FILE = "encoder.pt"  # the pSp encoder; an own one beside an own model
AUTHORS_LICENCE = "S-Lab License 1.0 (non-commercial)"
# How the authors name files: `_sXXX` for one style, `_dX.X` for one degree, `_c` for colour transfer.
MOBILE_FILES = "mobile*.pt"  # what students for phones are called
PUBLISHED_NAME = re.compile(r"vtoonify_s(\d*)(?:_d(\d+\.\d+|))?(_c)?")


@dataclass(frozen=True)
class VToonifyPreset(Preset):
    """A model and all that is needed to run it. Files are below the checkpoint folder unless absolute."""

    name: str
    backbone: Backbone
    file: str
    exemplars: str | None = None
    styles: int | None = None  # how many exemplars there are to choose from, where known
    style_names: tuple[str, ...] = ()  # of the exemplars, where they tell something
    mark: str = ""  # tells its styles from those of the same names in another model
    style: int | None = None  # the only one that the model was trained for
    degree: float | None = None  # the only one that the model was trained for
    colour_transfer: bool = False  # whether the result takes the exemplar's colours, too
    style_encoder: str | None = ENCODER_FILE
    parser: str | None = PARSER_FILE
    default_style: int = 26
    default_degree: float = 0.5
    steady: bool = False  # whether noise is taken out of videos first; published models get frames as they are
    corrected: bool = False  # whether effects make up for what it was not taught: dim light, and black and white
    licence: str = AUTHORS_LICENCE

    @property
    def source(self) -> str:
        return self.file

    @property
    def files(self) -> list[str]:
        return [file for file in (self.file, self.exemplars, self.style_encoder, self.parser) if file is not None]

    @property
    def single_style(self) -> bool:
        return self.style is not None

    @property
    def variant(self) -> str:
        return "T" if self.backbone == "toonify" else "D"

    @property
    def choices(self) -> tuple[str, str, str]:
        if self.backbone == "toonify":
            return "collection", "-", "-"
        last = f"0-{self.styles - 1}" if self.styles else "any"
        several = ", ".join(self.style_names) or f"{last} ({self.default_style})"
        style = several if self.style is None else f"{self.style} only"
        degree = f"{self.degree} only" if self.degree is not None else f"0-1 ({self.default_degree})"
        return style, degree, "of the style" if self.colour_transfer else "of the photo"

    def load(self, device: str = "auto", **settings: Any) -> Style:
        from model.styles.network import VToonifyStyle  # it loads torch

        return VToonifyStyle.load(self, device=device, **settings)


def _dual(name: str, collection: str, stem: str, styles: int, default_style: int, **fixed) -> VToonifyPreset:
    """A published model of variant D; `fixed`: what it was trained for alone."""
    folder = f"vtoonify_d_{collection}/"
    files = folder + f"{stem}.pt", folder + EXEMPLAR_FILE
    return VToonifyPreset(name, "dualstylegan", *files, styles, default_style=default_style, **fixed)


def _toonify(collection: str) -> VToonifyPreset:
    """A published model of variant T: one collection style, no exemplars."""
    return VToonifyPreset(f"{collection}-t", "toonify", f"vtoonify_t_{collection}/vtoonify.pt")


def _starter(name: str, folder: str, licence: str, mark: str = "") -> VToonifyPreset:
    """A model that comes with this project: four styles that a drawn teacher taught."""
    return VToonifyPreset(
        name, "dualstylegan", f"{folder}/vtoonify_s_d.pt", f"{folder}/{EXEMPLAR_FILE}",
        styles=4, style_names=("film", "ink", "painterly", "watercolour"), mark=mark,
        colour_transfer=True, style_encoder=None, parser=None, default_style=0, default_degree=1.0,
        steady=True, corrected=True, licence=licence,
    )  # fmt: skip


PRESETS = (  # the starters, and the models that the authors of VToonify published
    _starter("starter", "starter", "CC BY-NC-SA 4.0 (non-commercial)"),
    _starter("starter-pd", "starter_pd", "Apache License 2.0 (learnt from public-domain photos)", mark="PD"),
    _dual("cartoon", "cartoon", "vtoonify_s_d", 317, 26),
    _dual("cartoon-c", "cartoon", "vtoonify_s_d_c", 317, 26, colour_transfer=True),
    _dual("cartoon-s026-d0.5", "cartoon", "vtoonify_s026_d0.5", 317, 26, style=26, degree=0.5),
    _dual("cartoon-s299-d0.5", "cartoon", "vtoonify_s299_d0.5", 317, 299, style=299, degree=0.5),
    _toonify("cartoon"),
    _dual("caricature-s039-d0.5", "caricature", "vtoonify_s039_d0.5", 199, 39, style=39, degree=0.5),
    _dual("caricature-s068-d0.5", "caricature", "vtoonify_s068_d0.5", 199, 68, style=68, degree=0.5),
    _toonify("caricature"),
    _dual("arcane", "arcane", "vtoonify_s_d", 100, 77),
    _dual("arcane-s000-d0.5", "arcane", "vtoonify_s000_d0.5", 100, 0, style=0, degree=0.5),
    _dual("arcane-s077-d0.5", "arcane", "vtoonify_s077_d0.5", 100, 77, style=77, degree=0.5),
    _toonify("arcane"),
    _dual("comic", "comic", "vtoonify_s_d", 101, 28),
    _toonify("comic"),
    _dual("pixar", "pixar", "vtoonify_s_d", 122, 52),
    _dual("pixar-s052-d0.5", "pixar", "vtoonify_s052_d0.5", 122, 52, style=52, degree=0.5),
    _toonify("pixar"),
    _dual("illustration-s004-c", "illustration", "vtoonify_s004_d_c", 156, 4, style=4, colour_transfer=True),
    _dual("illustration-s009-c", "illustration", "vtoonify_s009_d_c", 156, 9, style=9, colour_transfer=True),
    _dual("illustration-s043-c", "illustration", "vtoonify_s043_d_c", 156, 43, style=43, colour_transfer=True),
    _dual("illustration-s054-c", "illustration", "vtoonify_s054_d_c", 156, 54, style=54, colour_transfer=True),
    _dual("illustration-s086-c", "illustration", "vtoonify_s086_d_c", 156, 86, style=86, colour_transfer=True),
)  # fmt: skip

SHORT_NAMES = {"caricature": "caricature-s039-d0.5", "illustration": "illustration-s054-c"}  # no model of all styles


def preset_of(path: Path) -> VToonifyPreset | None:
    """The preset whose file belongs at this path."""
    place = os.path.realpath(path)  # Path.resolve() fails on a link to itself
    return next((preset for preset in PRESETS if os.path.realpath(CHECKPOINTS / preset.file) == place), None)


def own_model(folder: Path) -> Path | None:
    """The model in a folder that holds a single one, as training leaves it; None for any other place."""
    models = sorted([*folder.glob("vtoonify*.pt"), *folder.glob(MOBILE_FILES)]) if folder.is_dir() else []
    return models[0] if len(models) == 1 else None


def own_models(folder: Path = CHECKPOINTS) -> list[Path]:
    """Models of the user's own in the folders below `folder`, for each of which its folder's name is enough."""
    found = (own_model(below) for below in sorted(folder.glob("*/")))
    return [model for model in found if model and preset_of(CHECKPOINTS / model.relative_to(folder)) is None]


def own_row(model: Path) -> tuple[str, ...]:
    """What `--list_styles` says of a model of the user's own, by its name alone."""
    if model.match(MOBILE_FILES):
        return model.parent.name, "mobile", "one", "0-1 (1)", "see its file", "on disk"
    is_dual = PUBLISHED_NAME.fullmatch(model.stem) is not None
    looks = ("any", "0-1 (0.5)", "see its file") if is_dual else ("collection", "-", "-")
    return model.parent.name, "D" if is_dual else "T", *looks, "on disk"


def describe_checkpoint(path: str | Path) -> VToonifyPreset:
    """A preset for the model in `path`: variant and sizes from the file, style and degree from a `PUBLISHED_NAME`."""
    from model.checkpoints import read_vtoonify_config  # it loads torch, which a wrong name should not wait for

    path = Path(path).absolute()
    config = read_vtoonify_config(path)
    if preset := preset_of(path):
        return preset
    is_dual = config.backbone == "dualstylegan"
    named = PUBLISHED_NAME.fullmatch(path.stem) if is_dual else None
    style, degree, colour = named.groups() if named else (None, None, None)
    published = GeneratorConfig()
    own_encoder = path.with_name(ENCODER_FILE) if path.parent != CHECKPOINTS else Path()
    encoder = str(own_encoder) if own_encoder.is_file() else ENCODER_FILE
    codes_fit = (config.generator.w_layers, config.generator.style_dim) == (published.w_layers, published.style_dim)
    return VToonifyPreset(
        path.parent.name if own_model(path.parent) == path else path.stem, config.backbone, str(path),
        exemplars=str(path.with_name(EXEMPLAR_FILE)) if is_dual else None,
        style=int(style) if style else None, default_style=int(style or VToonifyPreset.default_style),
        degree=float(degree) if degree else None, colour_transfer=colour is not None,
        style_encoder=encoder if codes_fit or own_encoder.is_file() else None,
        parser=VToonifyPreset.parser if config.parsing_channels else None,
        steady=not config.parsing_channels, licence="of whoever trained it",
    )  # fmt: skip
