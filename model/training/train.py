"""The entry of the training programs, and the loop of all runs: flat, with an absolute step, resumable."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import cv2
import torch
from accelerate import Accelerator
from tqdm import tqdm

from model.common.errors import InputError
from model.common.files import alone, append_line, write_whole
from model.common.interrupts import noted_signals
from model.training.data.shards import encode_picture, index_pairs, kind_of
from model.training.options import RunOptions, TrainOptions
from model.training.sources import LivePairs, StoredPairs
from model.training.stages import Distillation, Pretraining
from model.training.trainer import Trainer, any_process, make_accelerator, mean_losses
from model.training.translation import Translation


def train(options: TrainOptions) -> Path | None:
    """Train a VToonify, or what paints patches, to the last step; results, interrupts and errors as for `run`."""
    cv2.setNumThreads(1)  # a process that is forked while OpenCV has threads can wait for their locks forever
    pairs = index_pairs(options.pairs) if options.pairs else []
    options = options.resolved(kind_of(pairs)) if pairs else options.resolved()
    stage = Translation if options.student == "patch" else Pretraining if options.pretrain else Distillation

    def make_trainer(accelerator: Accelerator) -> Trainer:
        source = StoredPairs(options, accelerator, pairs) if pairs else LivePairs(options, accelerator)
        return stage(options, accelerator, source)

    return run(options, make_trainer)


def run(options: RunOptions, make_trainer: Callable[[Accelerator], Trainer]) -> Path | None:
    """Take all steps that are left; returns the finished weight file, None for --dry_run and --measure.

    Ctrl-C and SIGTERM save the state and raise KeyboardInterrupt; `--resume` goes on from there. Raises InputError for
    options, files or data that cannot work, and when the losses are no longer finite.
    """
    options.check()
    accelerator = make_accelerator(options)
    if accelerator.is_main_process and not options.quiet:
        for name, value in asdict(options).items():
            print(f"{name}: {' '.join(map(str, value)) if isinstance(value, list) else value}")
        hardware = f"{accelerator.num_processes} x {accelerator.device}, precision {accelerator.mixed_precision}"
        print(f"on: {hardware}", flush=True)
    if options.dry_run:
        return None
    trainer = make_trainer(accelerator)
    try:
        if options.measure:
            return measure(trainer, options.measure)
        lock = alone(options.folder / ".lock", str(options.folder)) if accelerator.is_main_process else nullcontext()
        with lock, begin(trainer) as board:
            go_through(trainer, board)
    except torch.OutOfMemoryError as error:
        also = ", or add --checkpointing" if hasattr(options, "checkpointing") else ""
        small = f"The memory of {accelerator.device} is too small for --batch {options.batch}"
        raise InputError(f"{small}: give a smaller one with a larger --accumulate{also}.") from error
    return trainer.publish()


def measure(trainer: Trainer, count: int) -> None:
    """Print speed and peak memory (of tensors on a GPU, of the process on the CPU) of the run's last `count` steps,
    which have all losses, after one to warm up. Nothing is written."""
    device, options = trainer.accelerator.device, trainer.options
    trainer.step = options.iter - count - 1
    trainer.advance()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        trainer.advance()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device)
    else:
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    speed, batch = count / (time.perf_counter() - start), options.batch * options.accumulate
    if trainer.accelerator.is_main_process:
        print(f"{speed:.2f} steps/s of {batch} pictures a process, peak memory {peak / 2**30:.2f} GiB ({device})")


def begin(trainer: Trainer) -> AbstractContextManager:
    """Take up the last state or start the folder of a new run. The first process gets TensorBoard, the others None."""
    from torch.utils.tensorboard import SummaryWriter  # takes a second, and not every program that imports this trains

    options = trainer.options
    if options.resume:
        trainer.resume()
    elif options.state_file.exists():
        raise InputError(f"{options.folder} already holds a run: add --resume to go on, or choose another --name.")
    trainer.accelerator.wait_for_everyone()  # all have looked before one writes
    if not trainer.accelerator.is_main_process:
        return nullcontext()
    log = options.folder / "log.jsonl"
    if options.resume and log.exists():
        lines = log.read_text(errors="replace").splitlines()
        write_whole(log, "".join(f"{line}\n" for line in lines if is_until(trainer.step, line)))
    else:  # an earlier run may have ended before its first state
        log.unlink(missing_ok=True)
    write_whole(options.folder / "options.json", json.dumps(asdict(options), indent=2) + "\n")
    return SummaryWriter(str(options.folder / "tensorboard"), purge_step=trainer.step + 1)


def is_until(step: int, line: str) -> bool:
    """Whether a line of log.jsonl is of a step up to `step`, and whole: a killed program may leave half a line."""
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, LookupError, TypeError):
        return False


def go_through(trainer: Trainer, board) -> None:
    """All steps that are left, with a state every --save_every and metrics and a preview every --log_every."""
    options, recent = trainer.options, []
    progress = tqdm(initial=trainer.step, total=options.iter, desc=options.name, disable=board is None)
    with noted_signals() as signals, progress:
        while trainer.step < options.iter:
            recent.append(trainer.advance())
            progress.update()
            is_last = trainer.step == options.iter
            if is_last or trainer.step % options.log_every == 0:
                report(trainer, recent, board, progress)
                recent = []
            stopped = any_process(trainer.accelerator, bool(signals))
            if stopped or is_last or trainer.step % options.save_every == 0:
                trainer.save()
            if stopped:
                raise KeyboardInterrupt(f"stopped at step {trainer.step}; --resume goes on from {options.state_file}.")


def report(trainer: Trainer, recent: list[dict[str, float]], board, progress: tqdm) -> None:
    """Log the mean losses since the last report, over all processes, and a preview, also to TensorBoard's `board`."""
    means, accelerator, step = mean_losses(recent), trainer.accelerator, trainer.step
    if accelerator.num_processes > 1:
        values = torch.tensor(list(means.values()), device=accelerator.device)
        means = dict(zip(means, accelerator.reduce(values, "mean").tolist(), strict=True))
    if board is None:
        return
    picture, metrics = trainer.preview()
    append_line(trainer.options.folder / "log.jsonl", json.dumps({"step": step, **means, **metrics}))
    write_whole(trainer.options.folder / f"preview-{step:06d}.jpg", encode_picture(picture))
    for name, value in (means | metrics).items():
        board.add_scalar(name, value, step)
    board.add_image("preview", picture, step, dataformats="HWC")
    progress.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
