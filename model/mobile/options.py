"""Options of `python -m model.mobile`, on the command line or in a recipe."""

import hashlib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from model.common.cli import check_ranges, option
from model.common.devices import DEVICES
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.config import MOBILE_CLASSES
from model.styles.catalog import BY_NAME
from model.training.chain import Plan
from model.training.data.pictures import check_apart, check_no_copies, pictures_below
from model.training.generate.options import BY_TEACHER, OF_PHOTOS
from model.training.options import BACKBONES

TEACHERS = tuple(name for name, kind in BY_TEACHER.items() if kind in OF_PHOTOS)
FEW = 20  # photos, or pictures of a style, below which nothing can be learnt


@dataclass
class Options(Plan):
    """What a student is made of. A recipe is a TOML file with the same names."""

    unkept = frozenset(("recipe",))

    recipe: str = option("", "TOML file with any of these options; the command line goes before it", metavar="FILE")
    name: str = option("", "name of the student: style_transfer.py --ckpt NAME", metavar="NAME")
    photos: str = option("", "folder of photos, one face each, with subfolders", metavar="FOLDER", free=True)
    teacher: str = option("drawn", "who makes the pictures of the photos (generate_data.py)", choices=TEACHERS)
    style: str = option("", "its style, of drawn, painter and example (default: the teacher's)", metavar="STYLE")
    style_image: list[str] = option(
        [], "pictures in the style, for example and adain", nargs="+", metavar="PICTURE", free=True
    )
    ckpt: str = option("", "network of the teacher: U-GAT-IT, White-box or AdaIN", metavar="FILE", free=True)
    style_images: str = option(
        "", "folder of pictures in the style, framed as FFHQ: a U-GAT-IT learns from them first", metavar="FOLDER",
        free=True,
    )  # fmt: skip
    generator: str = option("", "StyleGAN2 of the style, which draws these pictures first", metavar="FILE", free=True)
    generator_config: str = option("published", "sizes of --generator", choices=BACKBONES["toonify"])
    draw: int = option(500, "pictures that --generator draws", least=FEW)
    unpaired_steps: int | None = option(None, "steps of the U-GAT-IT (default: its own, a million)", least=1)
    unpaired_width: int | None = option(None, "channels of the U-GAT-IT (default: its own, 64)", least=1)
    drop: float = option(0.1, "share of a U-GAT-IT's pairs that is left out, the worst", least=0, most=0.9)
    count: int = option(0, "pairs to make; beyond the number of photos mirrored and reframed; 0: each once", least=0)
    gmac: str = option("0.5", "size of the student, billions of multiplications", choices=list(MOBILE_CLASSES))
    steps: int | None = option(None, "steps of the student (default: 6000)", least=1)
    batch: int | None = option(None, "pairs in a step of the student (default: 8)", least=1)
    compare: bool = option(False, "train it by each set of losses, for the table")
    held_out: str = option("", f"folder of {FEW} photos of others or more, for the table", metavar="FOLDER", free=True)
    held_out_count: int = option(0, "of these at most; 0: all", least=0)
    inception_path: str = option("", "inception-2015-12-05.pt, for FID in the table", metavar="FILE", free=True)
    until: str = option("", "the last stage; the next call goes on", metavar="STAGE", free=True)
    redo: str = option("", "the first stage to do again, and all that follow", metavar="STAGE", free=True)
    dry_run: bool = option(False, "show the stages and their commands, and stop", free=True)
    seed: int = option(0, "seed of all that is random", least=0)
    device: str = option("auto", "where to compute", choices=DEVICES, free=True)
    precision: str = option("auto", "number format of trainings", choices=["auto", "bf16", "fp32"], free=True)
    output: str = option(str(CHECKPOINTS), "folder for NAME/, where --ckpt NAME looks", metavar="FOLDER", free=True)

    @property
    def trains_unpaired(self) -> bool:
        """Whether a U-GAT-IT has to be trained first."""
        return bool(self.style_images or self.generator)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        check_ranges(self)
        if not self.name:
            raise InputError("--name is missing: call the student something, such as --name phone.")
        if self.name == ".." or Path(self.name).name != self.name or self.name.startswith((".", "-")):
            raise InputError(f"--name is {self.name!r}: give a plain name, which a folder gets.")
        if self.name in BY_NAME:
            raise InputError(f"--name {self.name} is the name of a style that there is: choose another.")
        if not self.photos:
            raise InputError("--photos is missing: name a folder of portraits, a few hundred of them.")
        for folder in filter(None, (self.photos, self.held_out, self.style_images)):
            self._check_folder(folder)
        if self.style_images and self.generator:
            raise InputError("--style_images and --generator exclude each other: pictures are given, or drawn.")
        if self.trains_unpaired and self.ckpt:
            raise InputError("--ckpt is a finished network: leave --style_images and --generator out.")
        if self.trains_unpaired and self.teacher != "ugatit":
            raise InputError(f"--style_images and --generator are for --teacher ugatit, not {self.teacher}.")
        if self.teacher == "ugatit" and not self.trains_unpaired and not self.ckpt:
            raise InputError("--teacher ugatit learns from --style_images FOLDER, or is finished: --ckpt FILE.")
        if self.ckpt and self.teacher not in ("ugatit", "whitebox", "adain"):
            raise InputError(f"--ckpt is for the teachers ugatit, whitebox and adain: {self.teacher} takes none.")
        if self.style and self.teacher not in ("drawn", "painter", "example"):
            raise InputError(f"--style is for the teachers drawn, painter and example: {self.teacher} takes none.")
        if self.style_image and self.teacher not in ("example", "adain"):
            raise InputError(f"--style_image is for the teachers example and adain: {self.teacher} takes none.")
        for other in filter(None, (self.style_images, self.held_out)):
            check_apart(self.photos, other, "--style_images" if other == self.style_images else "--held_out")
            check_no_copies(pictures_below(Path(self.photos)), pictures_below(Path(other)))
        if self.folder.exists() and not self.plan_file.exists():
            raise InputError(f"{self.folder} exists, and is no student of this program: choose another --name.")

    def fingerprint(self) -> str:
        """Of the names of all photos, by which others in their place are told."""
        names = sorted(path.name for path in pictures_below(Path(self.photos)))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    @staticmethod
    def _check_folder(folder: str) -> None:
        if not Path(folder).is_dir():
            raise InputError(f"{folder} is no folder: name one that holds pictures.")
        if (count := len(pictures_below(Path(folder)))) < FEW:
            raise InputError(f"{folder} has {count} pictures: give {FEW} or more, a few hundred if you can.")


def words_of(recipe: str, given: Options) -> list[str]:
    """A recipe as words that can stand before those of a command line, whose options are `given`: lists that it has are
    left out, which would be longer else. InputError for a file that is no recipe."""
    path = Path(recipe)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = "does not exist" if not path.exists() else f"is no recipe ({error})"
        raise InputError(f"{recipe} {reason}: give a TOML file with options of this program.") from error
    known, words = {field.name: field for field in fields(Options) if field.name != "recipe"}, []
    for name, value in found.items():
        if name not in known:
            raise InputError(f"{recipe} has an unknown option, {name}: --help lists all.")
        if isinstance(value, bool):
            words += [f"--{name}"] * value
        elif isinstance(value, list):
            words += [] if getattr(given, name) else [f"--{name}", *map(str, value)]
        else:
            words.append(f"--{name}={value}")
    return words
