"""All that `--ckpt`, `--style_id` and `--style_image` can name: painters, pictures as styles, VToonify models, and
networks that paint pixel by pixel.

Free of torch: what needs it, loads it. A further kind of style has presets of its own, which are named here.
"""

from pathlib import Path

from model.common.errors import InputError
from model.common.hub import CHECKPOINTS, SHIPPED
from model.common.tables import plain_table
from model.media.files import MEDIA_SUFFIXES
from model.styles import presets as networks
from model.styles.base import Preset
from model.styles.example.presets import EXEMPLARS, PicturePreset
from model.styles.names import did_you_mean
from model.styles.painters.presets import PAINTERS, PainterPreset
from model.styles.translators import presets as translators

DEFAULT = "starter"
PRESETS: tuple[Preset, ...] = (
    PAINTERS,
    EXEMPLARS,
    *networks.PRESETS,
    *translators.STUDENTS,
    translators.WHITEBOX,
    translators.ADAIN,
)  # as lists show them
BY_NAME = {preset.name: preset for preset in PRESETS}
BY_NAME |= {short: BY_NAME[name] for short, name in networks.SHORT_NAMES.items()}


def choose_preset(ckpt: str | Preset) -> Preset:
    """What `--ckpt` means: a preset, or its name, the path of a checkpoint or where a preset's file belongs, a picture
    as a style, or a painter's values.

    Raises InputError, with close matches, when it is none of these.
    """
    if isinstance(ckpt, Preset):
        return ckpt
    if ckpt in BY_NAME:
        return BY_NAME[ckpt]
    path = Path(ckpt)
    if own := networks.own_model(path) or networks.own_model(CHECKPOINTS / path):
        return _of_file(own)
    if path.suffix.lower() == ".toml":
        return PainterPreset(path)
    if path.suffix.lower() in MEDIA_SUFFIXES:
        return PicturePreset(path)
    if path.exists():
        return _of_file(path)
    if preset := networks.preset_of(path) or networks.preset_of(CHECKPOINTS / path):
        return preset
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"{ckpt} does not exist: give a VToonify model or one of the presets of --list_styles.")
    raise InputError(f"There is no preset {ckpt!r}{did_you_mean(ckpt, BY_NAME)}; --list_styles shows them all.")


def _of_file(path: Path) -> Preset:
    """The preset of a network in a file of one's own."""
    from model import checkpoints  # it loads torch, which a wrong name should not wait for

    kinds = {
        checkpoints.TRANSLATOR: translators.TranslatorPreset,
        checkpoints.MOBILE: translators.MobilePreset,
        checkpoints.UGATIT: translators.UgatitPreset,
        checkpoints.WHITEBOX: translators.WhiteboxFilePreset,
        checkpoints.ADAIN: lambda path: translators.AdainPreset(path=path),
    }
    return kinds.get(checkpoints.kind_of_network(path), networks.describe_checkpoint)(path)


def preset_with(style: str) -> str | None:
    """The first preset that has a look of this name; None where none has."""
    return next((preset.name for preset in PRESETS if style in preset.style_names), None)


def list_presets(folder: str | Path = CHECKPOINTS) -> str:
    """Table of all presets for `--list_styles`; `folder` is the checkpoint folder."""
    rows = [("preset", "variant", "style", "degree", "colours", "files")]
    for preset in PRESETS:
        missing = [file for file in preset.files if not (Path(folder) / file).is_file()]
        is_there = missing and Path(missing[0]).parts[0] in SHIPPED
        absent = "missing" if is_there or not preset.fetched else "to be fetched"
        rows.append((preset.name, preset.variant, *preset.choices, absent if missing else "on disk"))
    rows += [networks.own_row(model) for model in networks.own_models(Path(folder))]
    return plain_table(rows)
