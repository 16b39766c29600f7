"""Estimate what training costs, without a GPU: memory, arithmetic, time.

    python -m model.training.estimate
    python -m model.training.estimate --measure --device cuda

Steps of the training program are gone through with tensors that have shapes but no contents. Memory is all that PyTorch
holds at the worst moment: weights, the average, Adam's moments, the batch, activations, gradients and passing results,
and the teacher's weights; not the CUDA context, cuDNN's workspaces and fragmentation, which add one to three GiB. Time
takes each operation to be bound by arithmetic or by memory traffic at the given rates, or by its launch; a step of
distillation is the mean of the halves without and with the flicker loss. Affine transforms of photos are left out. The
published runs had eight GPUs, each with a batch of 1 in pre-training and of 4 in distillation.
With --measure, steps with random weights and random pairs are really taken and shown beside their estimates.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from tqdm import tqdm

from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, pick_device
from model.common.errors import InputError
from model.training import costs
from model.training.cost_tables import (
    GIB,
    VARIANTS,
    Measured,
    Result,
    Stage,
    cost_table,
    measured_table,
    network_table,
    savings,
    title,
)
from model.training.costs import Case, Hardware
from model.training.measure import measure as measure_all
from model.training.options import BACKBONES

PRECISIONS = ("fp32", "bf16")

AT_ONCE = 4
"""Processes that estimate at the same time, at most: each takes about two GiB at the published size."""


@dataclass
class Options:
    """Options of the command line."""

    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    backbones: list[str] = option(list(VARIANTS), "variants", nargs="+", choices=list(VARIANTS))
    stages: list[str] = option(["pretrain", "distill"], "stages", nargs="+", choices=["pretrain", "distill"])
    precisions: list[str] = option(list(PRECISIONS), "arithmetic", nargs="+", choices=PRECISIONS)
    batches: list[int] = option([1, 2, 4, 8], "pairs in a step", nargs="+", metavar="B")
    tflops: float = option(100.0, "bfloat16 TFLOP/s that are achieved, twice those of float32; an A100's peak is 312")
    bandwidth: float = option(1.2, "TB/s of memory that are achieved; the peak of an A100 with 80 GB is 2.0")
    measure: bool = option(False, "really take steps, on --device")
    device: str = option("auto", "where to measure", choices=DEVICES)
    steps: int = option(10, "steps to be timed")
    json: bool = option(False, "print JSON, with more figures, instead of tables")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        for name in ("batches", "tflops", "bandwidth", "steps"):
            value = getattr(self, name)
            if not min(value if isinstance(value, list) else [value]) > 0:
                raise InputError(f"--{name} is {value}: give more than 0.")
        if self.measure:
            pick_device(self.device)

    @property
    def hardware(self) -> Hardware:
        """The rates."""
        return Hardware(self.tflops, self.bandwidth)


def variations(case: Case, options: Options) -> list[Case]:
    """`case` without and with checkpointing, for all batches."""
    ways = product((False, True), options.batches)
    return [replace(case, checkpointing=checkpointing, batch=batch) for checkpointing, batch in ways]


def examine(case: Case, options: Options) -> Stage:
    """Estimate all variations of `case`."""
    run, hardware = costs.make_run(case), options.hardware
    parameters = [costs.count_parameters(run, learning) for learning in (True, False)]
    flops = costs.flops_by_network(run, hardware)
    teachers = {batch: costs.estimate_teacher(run, batch, hardware) for batch in options.batches}
    results = [
        Result(now, costs.estimate_step(run, now, hardware), teachers[now.batch], run.options.iter)
        for now in variations(case, options)
    ]
    return Stage(*parameters, flops, results)


def measure(case: Case, options: Options) -> Measured:
    """Measure all variations of `case`."""
    return measure_all(variations(case, options), options.device, options.hardware, options.steps)


def each_by_itself(work: Callable[[Case], Any], options: Options, at_once: int) -> list:
    """`work` for each variant, stage and arithmetic, in a process of its own: Accelerate keeps the first arithmetic."""
    asked = product(options.backbones, options.stages, options.precisions)
    cases = [Case(backbone, stage == "pretrain", precision, options.config) for backbone, stage, precision in asked]
    context, at_once = multiprocessing.get_context("spawn"), min(at_once, len(cases))
    with context.Pool(at_once, _leave_ctrl_c_to_the_parent, maxtasksperchild=1) as pool:
        return list(tqdm(pool.imap(work, cases), total=len(cases), desc=work.func.__name__))


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def report(stages: list[Stage], measured: Measured, options: Options) -> str:
    """All tables, each under a sentence that says what it holds."""
    results = [result for stage in stages for result in stage.results]
    iterations = dict.fromkeys(f"{r.iterations} steps of {title(r.case).split()[-1]}" for r in results)
    parts = [
        f"Estimated, not measured, for --config {options.config} on a GPU that achieves {options.tflops:g} TFLOP/s in "
        f"bfloat16, half of that in float32, and {options.bandwidth:g} TB/s of memory.",
        network_table(stages),
        "GPU memory in GiB on live pairs, in brackets what goes up and down in a step: batch, activations, gradients:",
        cost_table(results, lambda result: f"{result.memory:.3g} ({result.step.peak / GIB:.3g})"),
        savings(results),
        f"Steps a second of one GPU on live pairs, in brackets hours for {', '.join(iterations)}:",
        cost_table(results, lambda result: f"{result.rate:.3g} ({result.hours:.2g})"),
    ]
    if measured:
        device = pick_device(options.device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
        parts += [f"Measured on {name}:", measured_table(results, measured)]
    return "\n\n".join(parts)


def figures(stages: list[Stage], measured: Measured) -> dict[str, list]:
    """All that is known, in plain containers."""
    estimated = []
    for stage in stages:
        results = [
            asdict(result) | {"gib": result.memory, "steps_per_second": result.rate, "hours": result.hours}
            for result in stage.results
        ]
        estimated.append(asdict(stage) | {"results": results})
    found = [{"case": asdict(case), "bytes_and_seconds": found} for case, found in measured.items()]
    return {"estimated": estimated, "measured": found}


def main() -> None:
    """Parse the command line and print tables."""
    options = cli.parse(Options, __doc__)
    options.check()
    stages = each_by_itself(partial(examine, options=options), options, min(AT_ONCE, os.cpu_count() or 1))
    measured: Measured = {}
    if options.measure:
        for found in each_by_itself(partial(measure, options=options), options, at_once=1):
            measured |= found
    if options.json:
        print(json.dumps(figures(stages, measured), indent=2))
    else:
        print(report(stages, measured, options))


if __name__ == "__main__":
    cli.run(main)
