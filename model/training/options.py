"""What a training run can be told. One dataclass owns each default; the command line is derived from its fields."""

import math
from dataclasses import dataclass
from pathlib import Path

from model.cli import option
from model.devices import DEVICES
from model.errors import InputError
from model.stylegan2 import GeneratorConfig
from model.vtoonify import VToonifyConfig

CONFIGS = {
    "starter": VToonifyConfig(
        generator=GeneratorConfig(
            size=256,
            style_dim=64,
            mapping_layers=2,
            channels={32: 160, 64: 128, 128: 96, 256: 64},
            noise_buffers=False,
            first_level=3,
        ),
        parsing_channels=0,
        dilations=(4, 2, 1),
        subpixel=4,
        eye_distance=32.0,
    ),
    "tiny": VToonifyConfig(
        generator=GeneratorConfig(
            size=256,
            style_dim=16,
            mapping_layers=2,
            channels={32: 24, 64: 16, 128: 12, 256: 8},
            noise_buffers=False,
            first_level=3,
        ),
        parsing_channels=0,
        stem_channels=8,
        dilations=(2, 1),
        subpixel=4,
        eye_distance=32.0,
    ),
}
"""Named sizes. `starter` does all its wide work at or below the input's resolution, where CPUs are fast; `tiny` has the
same layers but few channels: it shows within minutes that pairs and program work, and draws badly."""


@dataclass
class TrainOptions:
    """Distillation of a small model from stored pairs (photo, cartoon)."""

    pairs: str = option("", "folder with pairs-*.tar shards written by generate_data.py", metavar="FOLDER")
    name: str = option("mystyle", "name of the run and of the folder under --output that the result is written to")
    config: str = option("starter", "size of the model", choices=sorted(CONFIGS))
    output: str = option("checkpoint", "folder that receives NAME/vtoonify_s_d.pt and NAME/exstyle_code.npy")
    runs: str = option("runs", "folder for logs, previews and resumable states, under NAME/")
    iter: int = option(5000, "training steps")
    batch: int = option(8, "pairs in a step")
    lr: float = option(4e-4, "peak learning rate of AdamW; warmed up, then lowered along a cosine")
    grec_loss: float = option(1.0, "weight of the L1 and gradient losses against the cartoon")
    tmp_loss: float = option(1.0, "weight of the flicker loss; it sets in after half of the steps")
    msk_loss: float = option(0.0005, "weight of the loss that keeps fusion masks below their bound")
    save_every: int = option(250, "steps between resumable states and preview sheets")
    log_every: int = option(50, "steps between lines in log.jsonl")
    resume: bool = option(False, "continue the run NAME from its last state")
    seed: int = option(0, "seed of weights, pairs and augmentation")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic of the network", choices=["auto", "bf16", "fp32"])
    workers: int = option(1, "processes that decode and augment pairs")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if not self.pairs:
            raise InputError("--pairs is missing: name a folder of shards written by generate_data.py.")
        for name in ("iter", "batch", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give a number of at least 1.")
        if not 0 < self.lr < math.inf:
            raise InputError(f"--lr is {self.lr}: give a positive learning rate.")
        for name in ("grec_loss", "tmp_loss", "msk_loss", "seed", "workers"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"--{name} is {getattr(self, name)}: give 0 or more.")
        if self.name in ("", "..") or Path(self.name).name != self.name:
            raise InputError(f"--name is {self.name!r}: give a plain name, which folders get.")
