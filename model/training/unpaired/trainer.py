"""What trainings without pairs have in common: two folders, their options, and warnings that are told once."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import append_line
from model.training.data.pictures import check_apart, check_no_copies
from model.training.options import SMALLEST_RATE, RunOptions
from model.training.trainer import Trainer, ema_decay
from model.training.unpaired.pictures import CroppedFolder, doubts_about

SETTLED = 0.1  # share of the steps before which a network may do what it is warned of later
UNCHANGED = 5.0  # mean difference of photo and result, in levels of 255, below which nothing was translated
BEYOND, ASTRAY = 1.5, 0.2  # values are far out beyond this, where 1 is white, and the share of such that is too large


@dataclass
class UnpairedOptions(RunOptions):
    """Options that the three trainings share."""

    photos: str = option("", "folder of photos, with its subfolders", metavar="FOLDER", free=True)
    style_images: str = option("", "folder of pictures of the style, with its subfolders", metavar="FOLDER", free=True)
    out: str = option("", "file of the result", free=True)
    iter: int = option(0, "last training step", least=1, free=True)
    batch: int = option(1, "pictures of each folder that are computed at a time, for each process", least=1, free=True)
    accumulate: int = option(1, "such batches in a step", least=1, free=True)
    lr: float = option(1e-4, "learning rate", least=SMALLEST_RATE, free=True)
    size: int = option(256, "pixels a side of the pictures that it learns from", least=32)
    save_every: int = option(2000, "steps between resumable states", least=1, free=True)
    log_every: int = option(500, "steps between lines of the log and image grids", least=1, free=True)
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        for name in ("photos", "style_images"):
            if not getattr(self, name):
                raise InputError(f"--{name} is missing: name a folder of pictures.")
        super().check()
        check_apart(self.photos, self.style_images)
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")


class Warned:
    """What a run has warned of, by a word each."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def state_dict(self) -> dict[str, list[str]]:
        return {"words": list(self.words)}

    def load_state_dict(self, state: dict[str, list[str]]) -> None:
        self.words = list(state["words"])


class UnpairedTrainer(Trainer):
    """A trainer that learns from two folders. A subclass calls `read_folders` before it makes its networks."""

    options: UnpairedOptions
    photos: CroppedFolder
    styles: CroppedFolder
    advice: str  # what to do where nothing is translated

    def read_folders(self, options: UnpairedOptions, loaded: int, faces: bool) -> None:
        """Both folders, of whose pictures of `loaded` pixels squares of `--size` are learnt. Doubts are told."""
        self.photos = CroppedFolder(options.photos, options.size, loaded, "--photos")
        self.styles = CroppedFolder(options.style_images, options.size, loaded, "--style_images")
        check_no_copies(self.photos.paths, self.styles.paths)
        self.data = {"photos": self.photos.names, "style pictures": self.styles.names}
        self.warned = Warned()
        if not options.resume and not options.measure and cli.processes()[0] == 0:
            for doubt in doubts_about(self.photos, self.styles, faces):
                cli.say(doubt)

    def drawn(self, folder: CroppedFolder, rng: np.random.Generator) -> Tensor:
        """A batch `[B, 3, S, S]` on this device."""
        return folder.draw(rng, self.options.batch).to(self.accelerator.device)

    def shown(self) -> tuple[Tensor, Tensor]:
        """Photos and pictures of the style for previews, on this device."""
        return tuple(folder.preview().to(self.accelerator.device) for folder in (self.photos, self.styles))

    def average_decay(self) -> float:
        return ema_decay(self.step, self.pictures_per_step, young=True)

    @property
    def is_settled(self) -> bool:
        """Whether the first tenth of the steps is over, before which results may be anything."""
        return self.step >= SETTLED * self.options.iter

    def change(self, photos: Tensor, results: Tensor) -> float:
        """Mean difference of results and photos, in levels of 255; warns where nothing was translated, and where
        results have gone astray."""
        change = 127.5 * (results.clamp(-1, 1) - photos).abs().mean().item()
        if change < UNCHANGED:
            self.warn("unchanged", f"results are the photos, but for {change:.1f} levels of 255: {self.advice}")
        if (share := (results.abs() > BEYOND).float().mean().item()) > ASTRAY:
            text = f"{share:.0%} of the results is far beyond black and white: begin again with a lower --lr"
            self.warn("astray", text)
        return change

    def warn(self, word: str, text: str) -> None:
        """Tell once in a run, on the terminal and in the log, what looks wrong when it `is_settled`."""
        if not self.is_settled or word in self.warned.words:
            return
        self.warned.words.append(word)
        cli.say(f"at step {self.step} {text}")
        if self.options.folder.is_dir():
            append_line(self.options.folder / "log.jsonl", json.dumps({"step": self.step, "warning": text}))


def one_by_one(network, *inputs: Tensor) -> list[Tensor]:
    """What `network` makes of rows of `inputs [n, ...]`, in no more memory than one of them takes: each of its results
    `[n, ...]`."""
    rows = [network(*(value[number : number + 1] for value in inputs)) for number in range(len(inputs[0]))]
    return [torch.cat(column) for column in zip(*rows, strict=True)]
