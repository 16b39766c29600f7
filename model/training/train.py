"""The training loop, for both variants, pre-training and distillation: flat, with an absolute step, resumable."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import fmean

import cv2
import torch
from accelerate import Accelerator
from tqdm import tqdm

from model.common.errors import InputError
from model.common.interrupts import noted_signals
from model.training.accelerator import make_engine, to_device
from model.training.data.pair import Pair
from model.training.data.pairs import kind_of
from model.training.data.shards import index_pairs
from model.training.distill import Distillation
from model.training.log import Log, writing
from model.training.options import TrainOptions
from model.training.pretrain import Pretraining
from model.training.sources import LivePairs, Source, StoredPairs
from model.training.trainer import Run


def train(options: TrainOptions) -> Path | None:
    """Run training to its last step; returns the finished weight file (None for a dry run).

    Ctrl-C and SIGTERM save the state and raise KeyboardInterrupt; `--resume` goes on from there. Raises InputError for
    options, files or pairs that cannot work, and when the losses are no longer finite.
    """
    cv2.setNumThreads(1)  # a process that is forked while OpenCV has threads can wait for their locks forever
    pairs = index_pairs(options.pairs) if options.pairs else []
    options = options.resolved(drawn=bool(pairs) and kind_of(pairs) == "drawn")
    options.check()
    engine = make_engine(options)
    if engine.is_main_process:
        show(options, engine)
    if options.dry_run:
        return None
    source = StoredPairs(options, engine, pairs) if pairs else LivePairs(options, engine)
    kind = Pretraining if options.pretrain else Distillation
    run = kind(options, engine, source.styles, source.backbone, source.exemplars, source.stored)
    log = begin(run)
    try:
        go_through(run, source, log)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"The memory of {engine.device} is too small for --batch {options.batch}: give a smaller one with a larger "
            "--accumulate, or add --checkpointing."
        ) from error
    finally:
        if log is not None:
            log.close()
    return run.publish()


def show(options: TrainOptions, engine: Accelerator) -> None:
    """Print what the run will do, and where."""
    for name, value in asdict(options).items():
        print(f"{name}: {' '.join(map(str, value)) if isinstance(value, list) else value}")
    print(f"on: {engine.num_processes} x {engine.device}, arithmetic {engine.mixed_precision}", flush=True)


def begin(run: Run) -> Log | None:
    """Take up the last state or start the folder of a new run, and note the options there. The log is rank 0's."""
    if run.options.resume:
        run.resume()
    elif run.state_file.exists():
        raise InputError(f"{run.folder} already holds a run: add --resume to go on, or choose another --name.")
    run.engine.wait_for_everyone()  # all have looked before one writes
    if not run.engine.is_main_process:
        return None
    with writing(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        if not run.options.resume:  # an earlier run may have ended before its first state
            (run.folder / "log.jsonl").unlink(missing_ok=True)
        (run.folder / "options.json").write_text(json.dumps(asdict(run.options), indent=2) + "\n")
    return Log(run.folder, run.step)


def go_through(run: Run, source: Source, log: Log | None) -> None:
    """All steps that are left, with a state every --save_every and figures and pictures every --log_every."""
    options, batches = run.options, source.batches(run.step)
    held_out = to_device(source.held_out(), run.engine)
    recent: list[dict[str, float]] = []
    with noted_signals() as signals, progress_bar(run) as bar:
        while run.step < options.iter:
            recent.append(run.advance(islice(batches, options.accumulate)))
            bar.update()
            if run.step % options.log_every == 0 or run.step == options.iter:
                report(run, recent, held_out, log, bar)
                recent = []
            stopped = agreed(run.engine, bool(signals))
            if stopped or run.step % options.save_every == 0 or run.step == options.iter:
                run.save()
            if stopped:
                raise KeyboardInterrupt(f"stopped at step {run.step}; --resume goes on from {run.state_file}.")


def progress_bar(run: Run) -> tqdm:
    """On the first process only."""
    hidden = not run.engine.is_main_process
    return tqdm(initial=run.step, total=run.options.iter, desc=run.options.name, disable=hidden)


def agreed(engine: Accelerator, wish: bool) -> bool:
    """Whether any process wishes it: then all do, at the same step."""
    if engine.num_processes == 1:
        return wish
    return bool(engine.reduce(torch.tensor(float(wish), device=engine.device), "sum") > 0)


def report(run: Run, recent: list[dict[str, float]], held_out: Pair, log: Log | None, bar: tqdm) -> None:
    """Log the mean losses since the last report, over all processes, and what the average makes of `held_out`."""
    means = mean_losses(recent)
    if run.engine.num_processes > 1:
        values = torch.tensor(list(means.values()), device=run.engine.device)
        means = dict(zip(means, run.engine.reduce(values, "mean").tolist(), strict=True))
    if log is None:
        return
    picture, figures = run.sheet(held_out)
    log.figures(run.step, means | figures)
    log.picture(run.step, picture)
    bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})


def mean_losses(recent: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each loss over the steps that had it."""
    names = dict.fromkeys(name for found in recent for name in found)
    return {name: fmean(found[name] for found in recent if name in found) for name in names}
