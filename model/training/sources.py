"""Where batches come from: a teacher that draws them now, or shards that it filled before.

Both have `styles`, names of the exemplars, `exemplars`, their codes in z+ (None in T), `backbone`, weights of the
student's generator (None where all is learnt), and `stored`, the number of stored pairs. `batches(first_step)` yields
this process's batches from there on, `accumulate` for each step; `held_out()` is a batch that is never learnt from.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset, default_collate

from model import checkpoints
from model.common.errors import InputError
from model.common.hub import EXEMPLAR_FILE
from model.training.data.drawn_pairs import DrawnPairs
from model.training.data.framed import FramedPairs, FramedPictures
from model.training.data.patches import Patches, WholePictures, mean_eye_distance
from model.training.data.sampling import Batch
from model.training.data.shards import StoredPair, kind_of, list_styles, split_held_out
from model.training.data.teacher_pairs import TeacherPairs, check_sizes
from model.training.options import DualOptions, TrainOptions
from model.training.teachers.variants import load_backbone, load_teacher

PREVIEW_ROWS = 6  # samples in an image grid
FIRST_HELD_OUT = 1 << 48  # number of the first sample that is drawn for previews only; no run is so long
ADVICE = {  # where pairs of each kind come from
    "drawn": "write them with generate_data.py --teacher drawn, or choose another --config",
    "painted": "write them with generate_data.py --teacher painter or example, or choose another --config",
    "keyframe": "write them with generate_data.py --teacher keyframe, or choose another --config",
    "stylised": "write them with generate_data.py --teacher toonify or dualstyle",
    "features": "write them with generate_data.py --pretrain, or leave --pretrain out here",
}


def local_numbers(options: TrainOptions, accelerator: Accelerator, step: int) -> list[list[int]]:
    """Numbers of the samples that this process takes in `step`, a list for each batch. Those of all processes together
    are consecutive, so that a run is the same however many share it."""
    count = accelerator.num_processes
    first = step * options.accumulate * count
    turns = range(first + accelerator.process_index, first + options.accumulate * count, count)
    return [list(range(turn * options.batch, (turn + 1) * options.batch)) for turn in turns]


class LivePairs:
    """Pairs that a teacher draws on the device of this process."""

    stored = 0

    def __init__(self, options: TrainOptions, accelerator: Accelerator):
        self.options, self.accelerator = options, accelerator
        dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        teacher = load_teacher(options, accelerator.device, dtype)
        self.draw = teacher.sample_features if options.pretrain else teacher.sample
        self.styles, self.backbone = teacher.styles, teacher.cartoons.state_dict()
        self.exemplars = checkpoints.load_exemplars(options.exstyle_path) if isinstance(options, DualOptions) else None

    def batches(self, first_step: int) -> Iterator[Batch]:
        for step in range(first_step, self.options.iter):
            for numbers in local_numbers(self.options, self.accelerator, step):
                yield self.draw(numbers, step / self.options.iter).batch()

    def held_out(self) -> Batch:
        return self.draw(range(FIRST_HELD_OUT, FIRST_HELD_OUT + PREVIEW_ROWS), None).batch()


class StoredPairs:
    """Pairs from shards, decoded by worker processes."""

    def __init__(self, options: TrainOptions, accelerator: Accelerator, pairs: list[StoredPair]):
        self.options, self.accelerator = options, accelerator
        kind, self.stored, (self.learnt, self.kept) = kind_of(pairs), len(pairs), split_held_out(pairs)
        wanted = ("features",) if options.pretrain else options.recipe.kinds
        if kind not in wanted:
            needed = f"{wanted[0]} ones are needed: {ADVICE[wanted[0]]}"
            raise InputError(f"{options.pairs[0]} holds {kind} pairs, but {needed}.")
        if kind == "keyframe":  # few, and all of them matter: what counts are the frames between
            self.learnt = self.kept = pairs
        if not self.learnt:
            raise InputError(f"{options.pairs[0]} holds a single pair, which is held out: draw more.")
        self.styles, self.exemplars, self.backbone = list_styles(pairs), None, None
        if options.student != "vtoonify":
            if len(self.styles) > 1:
                what = f"{options.pairs[0]} holds several styles ({', '.join(self.styles)})"
                raise InputError(f"{what}: --student {options.student} learns one.")
            self.eye_distance = mean_eye_distance(pairs)
            return
        if options.recipe.from_scratch:
            generator = options.recipe.network.generator
            self.exemplars = draw_exemplars(self.styles, generator.w_layers, generator.style_dim, options.seed)
            if options.init_path:
                known = checkpoints.load_exemplars(Path(options.init_path).with_name(EXEMPLAR_FILE))
                self.exemplars |= {name: code for name, code in known.items() if name in self.styles}
            return
        check_sizes(pairs, options.recipe.network)
        self.backbone = load_backbone(options)
        if isinstance(options, DualOptions):
            self.exemplars = checkpoints.load_exemplars(options.exstyle_path)
            self.styles = list(self.exemplars)

    def batches(self, first_step: int) -> Iterator[Batch]:
        steps = range(first_step, self.options.iter)
        numbers = [batch for step in steps for batch in local_numbers(self.options, self.accelerator, step)]
        settings = {"num_workers": self.options.workers, "pin_memory": self.accelerator.device.type == "cuda"}
        loader = DataLoader(self._learnt(), batch_sampler=numbers, worker_init_fn=_start_worker, **settings)
        try:
            yield from loader
        except InputError as error:
            # From a worker comes a whole traceback, which ends with "model.common.errors.InputError: sentence".
            raise InputError(str(error).strip().splitlines()[-1].rpartition("InputError: ")[2]) from error

    def held_out(self) -> Batch:
        samples, rows = self._kept()
        return default_collate([samples[n] for n in range(rows)])

    def _learnt(self) -> Dataset:
        options = self.options
        match options.student:
            case "mobile":
                eyes = options.recipe.network.eye_distance
                return FramedPairs(self.learnt, eyes, options.seed, options.augmented, bool(options.edge_loss))
            case "patch":
                return Patches(self.learnt, options.recipe.patch, options.seed)
        return open_pairs(self.learnt, self.styles, options.seed)

    def _kept(self) -> tuple[Dataset, int]:
        """Items that are never learnt from, and how many a preview has."""
        several = min(len(self.kept), PREVIEW_ROWS)
        match self.options.student:
            case "mobile":
                return FramedPictures(self.kept, self.options.recipe.network.eye_distance), several
            case "patch":
                return WholePictures(self.kept), several
        return open_pairs(self.kept, self.styles, self.options.seed + 1), PREVIEW_ROWS


def open_pairs(pairs: list[StoredPair], styles: list[str], seed: int) -> Dataset:
    """`dataset[n]` is item n of a batch, for any n from 0 on, a function of n and, for drawn pairs, of `seed`. `styles`
    are names in the order of their numbers. InputError for mixed kinds."""
    is_seen = kind_of(pairs) in ("drawn", "painted")
    return DrawnPairs(pairs, styles, seed) if is_seen else TeacherPairs(pairs, styles)


def draw_exemplars(styles: list[str], layers: int, dim: int, seed: int) -> dict[str, np.ndarray]:
    """Random but fixed codes in z+, name → `[1, layers, dim]`: the network learns what each of them looks like."""
    generator = torch.Generator().manual_seed(seed)
    return {style: torch.randn(1, layers, dim, generator=generator).numpy() for style in styles}


def _start_worker(worker: int) -> None:
    """Keep signals to the whole process group away: the loop ends its workers itself, after saving."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()
    cv2.setNumThreads(1)
