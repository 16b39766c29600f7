"""The entry of the training programs, and the loop of all runs: flat, with an absolute step, resumable."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from tqdm import tqdm

from model.common.errors import InputError
from model.common.interrupts import noted_signals
from model.training.data.shards import index_pairs, kind_of
from model.training.options import RunOptions, TrainOptions
from model.training.sources import LivePairs, StoredPairs
from model.training.stages import Distillation, Pretraining
from model.training.trainer import Trainer, any_process, make_accelerator, mean_losses


def train(options: TrainOptions) -> Path | None:
    """Train a VToonify to the last step; results, interrupts and errors as for `run`."""
    cv2.setNumThreads(1)  # a process that is forked while OpenCV has threads can wait for their locks forever
    pairs = index_pairs(options.pairs) if options.pairs else []
    options = options.resolved(drawn=bool(pairs) and kind_of(pairs) == "drawn")

    def make_trainer(accelerator: Accelerator) -> Trainer:
        source = StoredPairs(options, accelerator, pairs) if pairs else LivePairs(options, accelerator)
        return (Pretraining if options.pretrain else Distillation)(options, accelerator, source)

    return run(options, make_trainer)


def run(options: RunOptions, make_trainer: Callable[[Accelerator], Trainer]) -> Path | None:
    """Take all steps that are left; returns the finished weight file, None for --dry_run and --measure.

    Ctrl-C and SIGTERM save the state and raise KeyboardInterrupt; `--resume` goes on from there. Raises InputError for
    options, files or data that cannot work, and when the losses are no longer finite.
    """
    options.check()
    accelerator = make_accelerator(options)
    if accelerator.is_main_process:
        for name, value in asdict(options).items():
            print(f"{name}: {' '.join(map(str, value)) if isinstance(value, list) else value}")
        print(f"on: {accelerator.num_processes} x {accelerator.device}, precision {accelerator.mixed_precision}")
        sys.stdout.flush()
    if options.dry_run:
        return None
    trainer = make_trainer(accelerator)
    try:
        if options.measure:
            return measure(trainer, options.measure)
        log = begin(trainer)
        with closing(log) if log else nullcontext():
            go_through(trainer, log)
    except torch.OutOfMemoryError as error:
        also = ", or add --checkpointing" if hasattr(options, "checkpointing") else ""
        raise InputError(
            f"The memory of {accelerator.device} is too small for --batch {options.batch}: give a smaller one with a "
            f"larger --accumulate{also}."
        ) from error
    return trainer.publish()


def measure(trainer: Trainer, count: int) -> None:
    """Print the speed and the peak memory of `count` steps, after one to warm up. Nothing is written.

    They are the last steps of the run, in which all losses take part. On a GPU memory is what tensors took, on the CPU
    what the whole process took.
    """
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


class Log:
    """Metrics and image grids of a run by step, in its folder and for TensorBoard.

    What an earlier run wrote after `step` is dropped, as is a line of log.jsonl that a killed program left unfinished.
    """

    def __init__(self, folder: Path, step: int):
        # Imported here, for it takes a second and not every program that imports this trains.
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.file = folder, folder / "log.jsonl"
        if self.file.exists():
            lines = self.file.read_text(errors="replace").splitlines()
            self.file.write_text("".join(f"{line}\n" for line in lines if _is_until(line, step)))
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, metrics: dict[str, float], rgb: np.ndarray) -> None:
        """Add a line to log.jsonl and a point to each curve, and write `rgb [H, W, 3]`, uint8, as preview-STEP.jpg."""
        path = self.folder / f"preview-{step:06d}.jpg"
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise InputError(f"{path} can't be written: the disk may be full.")
        for name, value in metrics.items():
            self.board.add_scalar(name, value, step)
        self.board.add_image("preview", rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        self.board.close()


def _is_until(line: str, step: int) -> bool:
    """Whether a line of log.jsonl is whole and of a step up to `step`."""
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, LookupError, TypeError):
        return False


def begin(trainer: Trainer) -> Log | None:
    """Take up the last state or start the folder of a new run. Returns the log, which the first process keeps."""
    options = trainer.options
    if options.resume:
        trainer.resume()
    elif options.state_file.exists():
        raise InputError(f"{options.folder} already holds a run: add --resume to go on, or choose another --name.")
    trainer.accelerator.wait_for_everyone()  # all have looked before one writes
    if not trainer.accelerator.is_main_process:
        return None
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.resume:  # an earlier run may have ended before its first state
        (options.folder / "log.jsonl").unlink(missing_ok=True)
    (options.folder / "options.json").write_text(json.dumps(asdict(options), indent=2) + "\n")
    return Log(options.folder, trainer.step)


def go_through(trainer: Trainer, log: Log | None) -> None:
    """All steps that are left, with a state every --save_every and metrics and a preview every --log_every."""
    options, recent = trainer.options, []
    hidden = not trainer.accelerator.is_main_process
    progress = tqdm(initial=trainer.step, total=options.iter, desc=options.name, disable=hidden)
    with noted_signals() as signals, progress:
        while trainer.step < options.iter:
            recent.append(trainer.advance())
            progress.update()
            is_last = trainer.step == options.iter
            if is_last or trainer.step % options.log_every == 0:
                report(trainer, recent, log, progress)
                recent = []
            stopped = any_process(trainer.accelerator, bool(signals))
            if stopped or is_last or trainer.step % options.save_every == 0:
                trainer.save()
            if stopped:
                raise KeyboardInterrupt(f"stopped at step {trainer.step}; --resume goes on from {options.state_file}.")


def report(trainer: Trainer, recent: list[dict[str, float]], log: Log | None, progress: tqdm) -> None:
    """Log the mean losses since the last report, over all processes, and a preview."""
    means, accelerator = mean_losses(recent), trainer.accelerator
    if accelerator.num_processes > 1:
        values = torch.tensor(list(means.values()), device=accelerator.device)
        means = dict(zip(means, accelerator.reduce(values, "mean").tolist(), strict=True))
    if log is None:
        return
    picture, metrics = trainer.preview()
    log.add(trainer.step, means | metrics, picture)
    progress.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
