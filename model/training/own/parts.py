"""Long work on many pictures, a few at a time: what is done is on disk, and a run that was stopped goes on from
there."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from model import checkpoints
from model.common.cli import check_ranges, free_options, option
from model.common.devices import DEVICES
from model.common.errors import InputError
from model.common.files import alone, write_whole
from model.common.weight_files import write_contents
from model.training.options import BACKBONES, RECIPES, Recipe
from model.training.own.judges import JudgeOptions

DONE = "options.json"


@dataclass
class PartOptions(JudgeOptions):
    """What the programs that optimise codes of pictures share."""

    batch: int = option(4, "pictures that are computed at a time", least=1)
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    runs: str = option("runs", "folder for what is done so far, under NAME/", free=True)
    resume: bool = option(False, "continue the run NAME", free=True)
    seed: int = option(0, "seed of the noise", least=0)
    device: str = option("auto", "where to compute", choices=DEVICES, free=True)
    name: str = ""

    @property
    def recipe(self) -> Recipe:
        """Sizes of the networks."""
        return RECIPES[self.config]

    @property
    def folder(self) -> Path:
        """Where the run keeps what is done."""
        return Path(self.runs) / self.name


def in_parts(options: PartOptions, data: dict[str, Any], count: int, work: Callable[[range], dict]) -> list[dict]:
    """What `work` returns for pictures 0 to `count - 1`, `options.batch` at a time: plain containers of tensors. Each
    is written to the run's folder when it is there. `data`: what the run works on, which a continuation must have, too.
    Raises InputError for a run that has other options, and KeyboardInterrupt that says how to go on."""
    parts = [range(first, min(first + options.batch, count)) for first in range(0, count, options.batch)]
    with alone(options.folder / ".lock", str(options.folder)):
        _begin(options, data)
        found = []
        try:
            for part in tqdm(parts, desc=options.name, unit="part"):
                file = options.folder / f"part-{part.start:05d}.pt"
                if not file.exists():
                    write_contents(file, work(part))
                found.append(checkpoints.load_state(file))
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"stopped after {len(found)} of {len(parts)} parts; --resume goes on."
            ) from interrupt
    return found


def _begin(options: PartOptions, data: dict[str, Any]) -> None:
    file, free = options.folder / DONE, free_options(type(options))
    own = {name: value for name, value in asdict(options).items() if name not in free} | data
    own = json.loads(json.dumps(own))
    if not file.exists():
        if options.resume:
            raise InputError(f"{file} does not exist: start the run without --resume.")
        for part in options.folder.glob("part-*.pt"):
            part.unlink()
        write_whole(file, json.dumps(own, indent=2) + "\n")
    elif not options.resume:
        raise InputError(f"{options.folder} already holds a run: add --resume to go on, or choose another --name.")
    else:
        then = json.loads(file.read_text())
        for name, value in own.items():
            if then.get(name) != value:
                raise InputError(
                    f"{options.folder} was started with another {name}: use that, or choose another --name."
                )


def check(options: PartOptions, *needed: str) -> None:
    """Raise InputError for options that are missing or out of range."""
    for name in needed:
        if not getattr(options, name):
            raise InputError(f"--{name} is missing: --help says what it is.")
    check_ranges(options)
    if options.name in ("", "..") or Path(options.name).name != options.name:
        raise InputError(f"--name is {options.name!r}: give a plain name, which folders get.")
