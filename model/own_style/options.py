"""Options of `python -m model.own_style`, and what they mean."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from model.common.cli import check_ranges, option
from model.common.devices import DEVICES
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.styles.catalog import BY_NAME
from model.training.chain import Plan
from model.training.data.pictures import pictures_below
from model.training.options import BACKBONES, SMALLEST_RATE, ToonifyOptions
from model.training.teachers.variants import NO_FILE

AUTO = "auto"
KINDS = ("jojo", "toonify", "dual")
FEW, USUAL, MANY = 10, 100, 1000  # pictures: fewer can't be learnt from; fewer need care; more are more than it takes
FEW_LAYERS, FEW_RATE = 10, 5e-4  # with fewer than USUAL: frozen layers of the discriminator, and learning rate
E4E_FILE = "checkpoint/e4e_ffhq_encode.pt"


@dataclass
class Options(Plan):
    """Options of the command line. Paths of weight files are those of the training programs."""

    name: str = option("", "name of the style: style_transfer.py --ckpt NAME", metavar="NAME")
    picture: list[str] = option(
        [], "the picture in the style: one face; or a few that look alike", nargs="+", metavar="PICTURE", free=True
    )
    pictures: str = option("", "folder of 100 to 300 pictures in the style, one face each", metavar="FOLDER", free=True)
    kind: str = option(
        AUTO, "jojo: from one picture; toonify: from many, one style; dual: from many, each a style, with a degree "
        "(auto: jojo for --picture, toonify for --pictures)", choices=[AUTO, *KINDS],
    )  # fmt: skip
    colours: str = option("style", "whose colours results have, for jojo", choices=["style", "photo"])
    strength: float = option(1.0, "how much of the fine layers is the style's, for jojo", least=0, most=1)
    points: str = option("", "file that says where faces are that are not found (model.training.own.align)", free=True)
    aligned: bool = option(False, "the pictures are aligned already: they are taken as they are")
    generator: str = option("", "a generator that was fine-tuned elsewhere: nothing is tuned", metavar="FILE")
    until: str = option("", "the last stage, such as sheet; the next call goes on", metavar="STAGE", free=True)
    redo: str = option("", "the first stage to do again, and all that follow", metavar="STAGE", free=True)
    dry_run: bool = option(False, "show the stages and their commands, and stop", free=True)
    encoder_steps: int | None = option(None, "steps of the encoder for a small generator (default: 2000)", least=1)
    dual_steps: int | None = option(
        None, "steps of the DualStyleGAN of photos (default: 3600, small sizes 120)", least=1, free=True
    )
    code_steps: int | None = option(
        None, "steps that codes are optimised with, for dual (default: destylisation 300, refinement 100)", least=1
    )
    tune_steps: int | None = option(None, "steps of fine-tuning (default: jojo 300, others 600)", least=1)
    pretrain_steps: int | None = option(None, "steps of the encoder's pre-training (default: of --config)", least=1)
    train_steps: int | None = option(None, "steps of the last training (default: of --config)", least=1)
    tune_lr: float | None = option(
        None, f"learning rate of fine-tuning (default: 0.002; below {USUAL} pictures {FEW_RATE})", least=SMALLEST_RATE
    )
    batch: int | None = option(None, "pictures at a time in training; less takes less memory", least=1)
    config: str = option("published", "sizes of the generator", choices=BACKBONES["toonify"])
    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 of photos, with its discriminator", free=True)
    encoder_path: str = option(
        AUTO, f"encoder that finds codes of pictures (auto: {E4E_FILE}, for dual {ToonifyOptions.style_encoder_path}; "
        "for small sizes one is trained)", free=True,
    )  # fmt: skip
    style_encoder_path: str = option(
        AUTO,
        f"pSp of VToonify (auto: {ToonifyOptions.style_encoder_path}; for small sizes --encoder_path)",
        free=True,
    )
    direction_path: str = option(AUTO, f"editing directions (auto: {ToonifyOptions.direction_path}; small sizes none)")
    faceparsing_path: str = option(ToonifyOptions.faceparsing_path, "face parser", free=True)
    dual_pretrain_path: str = option(
        "checkpoint/generator-pretrain.pt", "DualStyleGAN of photos, for dual; trained where it is missing", free=True
    )
    judge: str = option(AUTO, "what compares pictures for dual (see model.training.own.refine)", free=True)
    arcface_path: str = option(AUTO, f"ArcFace; {NO_FILE}: without", free=True)
    seed: int = option(0, "seed of all that is random", least=0)
    device: str = option("auto", "where to compute", choices=DEVICES, free=True)
    precision: str = option("auto", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)
    output: str = option(str(CHECKPOINTS), "folder for NAME/, where --ckpt NAME looks", metavar="FOLDER", free=True)

    @property
    def source(self) -> Path:
        """Folder of the pictures: the user's, or that of copies of single ones."""
        return Path(self.pictures) if self.pictures else self.work / "pictures"

    @property
    def is_small(self) -> bool:
        """Whether the generator is one of one's own, for which nobody has published encoders."""
        return self.config != "published"

    def resolved(self) -> Self:
        """A copy in which every value is known. Raises InputError where they can't be."""
        kind = self.kind if self.kind != AUTO else "toonify" if self.pictures else "jojo"
        encoder = ToonifyOptions.style_encoder_path if kind == "dual" else E4E_FILE
        known = {
            "kind": kind,
            "encoder_path": str(self.work / "encoder.pt") if self.is_small else encoder,
            "style_encoder_path": AUTO if self.is_small else ToonifyOptions.style_encoder_path,
            "direction_path": NO_FILE if self.is_small else ToonifyOptions.direction_path,
        }
        return replace(self, **{name: value for name, value in known.items() if getattr(self, name) == AUTO})._closed()

    def _closed(self) -> Self:
        """A small style's own encoder serves in VToonify, too."""
        return replace(self, style_encoder_path=self.encoder_path) if self.style_encoder_path == AUTO else self

    @property
    def trains_encoder(self) -> bool:
        """Whether an encoder has to be trained first."""
        return self.is_small and Path(self.encoder_path) == self.work / "encoder.pt"

    def sources(self) -> list[Path]:
        """The pictures, in order. InputError where there are none, or too few for the kind."""
        if not self.picture and not self.pictures:
            raise InputError("there is no picture: give --picture art.png, or --pictures FOLDER.")
        if self.picture and self.pictures:
            raise InputError("--picture and --pictures exclude each other: put all pictures into the folder.")
        if self.picture:
            paths = [Path(name) for name in self.picture]
            for path in paths:
                if not path.is_file():
                    reason = "is a folder: give it as --pictures" if path.is_dir() else "does not exist: check the name"
                    raise InputError(f"{path} {reason}.")
        elif not Path(self.pictures).is_dir():
            raise InputError(f"--pictures {self.pictures} is no folder: name one that holds pictures.")
        else:
            paths = pictures_below(Path(self.pictures))
        if self.kind == "jojo":
            if not paths:
                raise InputError(f"{self.pictures} holds no pictures: name another folder.")
            return paths
        if len(paths) < FEW:
            where = self.pictures or "--picture"
            advice = "100 to 300 are usual; from one picture or a few learns --kind jojo"
            raise InputError(
                f"{where} has {len(paths)} pictures, and --kind {self.kind} takes {FEW} at least: {advice}."
            )
        return paths

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        check_ranges(self)
        if not self.name:
            raise InputError("--name is missing: call the style something, such as --name mine.")
        if self.name in ("", "..") or Path(self.name).name != self.name or self.name.startswith((".", "-")):
            raise InputError(f"--name is {self.name!r}: give a plain name, which a folder gets.")
        if self.name in BY_NAME or Path(self.name).suffix:
            reason = "is the name of a style that there is" if self.name in BY_NAME else "looks like a file"
            raise InputError(f"--name {self.name} {reason}: choose another.")
        if self.colours == "photo" and self.kind != "jojo":
            raise InputError("--colours photo is for --kind jojo: others blend with --weight (train_vtoonify_t.py).")
        if self.folder.exists() and not self.plan_file.exists():
            raise InputError(f"{self.folder} exists, and is no style of this program: choose another --name.")
