"""The training loop: distil stored pairs into a VToonify. Flat, with an absolute step and a full resume."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, default_collate
from tqdm import tqdm

from model.errors import InputError
from model.training.options import TrainOptions
from model.training.pairs import SCALE, PairDataset, split_held_out
from model.training.run import Run
from model.training.shards import StoredPair, index_shards, list_styles

PREVIEW_ROWS = 6
"""Even, for the sheet has two columns."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def train(options: TrainOptions) -> Path:
    """Run training to its last step; returns the finished model file.

    Ctrl-C and SIGTERM save the state and raise KeyboardInterrupt; `--resume` goes on from there. Raises InputError for
    options or pairs that cannot work, and when the losses are no longer finite.
    """
    options.check()
    cv2.setNumThreads(1)  # a process that is forked while OpenCV has threads can wait for their locks forever
    pairs = index_shards(options.pairs)
    learnt, held_out = split_held_out(pairs)
    if not learnt:
        raise InputError(f"{options.pairs} holds a single pair, which is held out: draw more with generate_data.py.")
    run = Run(options, list_styles(pairs))
    begin(run)
    loader = load_from(run, learnt)
    samples = PairDataset(held_out, run.styles, options.seed + 1, PREVIEW_ROWS)
    sheet = default_collate([samples[n] for n in range(PREVIEW_ROWS)])
    with noted_signals() as signals, tqdm(initial=run.step, total=options.iter, desc=options.name) as bar:
        recent: list[dict[str, float]] = []
        for batch in sentences(loader):
            recent.append(run.advance(batch))
            bar.update()
            if run.step % options.log_every == 0:
                means = mean_losses(recent)
                log(run, means)
                bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
                recent = []
            if signals:
                run.save()
                raise KeyboardInterrupt(f"stopped at step {run.step}; --resume goes on from {run.state_file}.")
            if run.step == options.iter or run.step % options.save_every == 0:
                run.save()
                log(run, {"held_out_l1": preview(run, sheet)})
    return run.publish()


def begin(run: Run) -> None:
    """Take up the last state or start the folder of a new run, and note the options there."""
    if run.options.resume:
        run.resume()
    elif run.state_file.exists():
        raise InputError(f"{run.folder} already holds a run: add --resume to go on, or choose another --name.")
    with writing(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        if not run.options.resume:  # an earlier run may have ended before its first state
            (run.folder / "log.jsonl").unlink(missing_ok=True)
        (run.folder / "options.json").write_text(json.dumps(asdict(run.options), indent=2) + "\n")


def load_from(run: Run, pairs: list[StoredPair]) -> DataLoader:
    """Batches from the run's present step to its last."""
    options = run.options
    dataset = PairDataset(pairs, run.styles, options.seed, options.iter * options.batch)
    rest = Subset(dataset, range(run.step * options.batch, len(dataset)))
    return DataLoader(rest, options.batch, num_workers=options.workers, worker_init_fn=_start_worker)


def _start_worker(worker: int) -> None:
    """Keep signals to the whole process group away: the loop ends its workers itself, after saving."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()
    cv2.setNumThreads(1)


def sentences(loader: DataLoader) -> Iterator[dict[str, Tensor]]:
    """The batches of `loader`; an InputError from one of its processes says its sentence only."""
    try:
        yield from loader
    except InputError as error:
        # What the process raised comes back as a whole traceback, which ends with "module.Name: sentence".
        *traceback, last = str(error).strip().splitlines()
        if not traceback:
            raise
        raise InputError(last.partition(": ")[2]) from error


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Put Ctrl-C and SIGTERM on a list instead of acting on them."""
    seen: list[int] = []
    previous = {number: signal.signal(number, lambda number, _: seen.append(number)) for number in SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing to `path` into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror or error}).") from error


def mean_losses(recent: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each loss over the steps that had it."""
    names = dict.fromkeys(name for found in recent for name in found)
    return {name: fmean(found[name] for found in recent if name in found) for name in names}


def log(run: Run, values: dict[str, float]) -> None:
    """Add a line to log.jsonl."""
    path = run.folder / "log.jsonl"
    with writing(path), path.open("a") as file:
        file.write(json.dumps({"step": run.step, **values}) + "\n")


@torch.no_grad()
def preview(run: Run, batch: dict[str, Tensor]) -> float:
    """Write a sheet of photo | target | result of held-out pairs; returns their mean L1 in levels of 255."""
    on_device = [batch[key].to(run.device) for key in ("x", "style", "degree")]
    y = run.render(run.ema, *on_device)[0].clamp(-1, 1).cpu()
    photo = nn.functional.interpolate(batch["x"], scale_factor=SCALE, mode="nearest")
    rows = [torch.cat(row, dim=2) for row in zip(photo, batch["y"], y, strict=True)]
    half = len(rows) // 2
    sheet = torch.cat([torch.cat(rows[:half], dim=1), torch.cat(rows[half:], dim=1)], dim=2)
    sheet = ((sheet + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    path = run.folder / f"preview-{run.step:06d}.jpg"
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]):
        raise InputError(f"{path} can't be written: the disk may be full.")
    return (y - batch["y"]).abs().mean().item() * 127.5
