"""Estimate what training costs, without a GPU: memory, arithmetic, time.

    python -m model.training.estimate
    python -m model.training.estimate --measure --device cuda

Steps of the training program are gone through with tensors that have shapes but no contents. Memory is all that PyTorch
holds at the worst moment: weights, the average, Adam's moments, the batch, activations, gradients and passing results,
and the teacher's weights; not the CUDA context, cuDNN's workspaces and fragmentation, which add one to three GiB. Time
takes each operation to be bound by arithmetic or by memory traffic at the given rates, or by its launch; a step of
distillation is the mean of the halves without and with the flicker loss. Affine transforms of photos are left out.
With --measure, steps with random weights and random pairs are really taken and shown beside their estimates.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from tqdm import tqdm

from model import cli
from model.cli import option
from model.devices import DEVICES, pick_device
from model.errors import InputError
from model.training import costs
from model.training.costs import TERA, Case, Cost, Hardware
from model.training.measure import measure as measure_all
from model.training.options import BACKBONES

GIB, MILLION, HOUR = 1 << 30, 1e6, 3600

VARIANTS = {"toonify": "T", "dualstylegan": "D"}
PRECISIONS = ("fp32", "bf16")

Measured = dict[Case, tuple[int, float] | None]
"""Bytes and seconds of a step; None where memory was too small."""


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


@dataclass(frozen=True)
class Result:
    """What is known of a case."""

    case: Case
    step: Cost
    teacher: Cost
    iterations: int
    """Steps of the whole stage."""

    @property
    def memory(self) -> float:
        """GiB in training on live pairs; the teacher is at rest while VToonify learns."""
        return (self.step.static + self.teacher.static + max(self.step.peak, self.teacher.peak)) / GIB

    @property
    def flops(self) -> float:
        """10^12 operations of a step, the teacher's with them."""
        return (sum(self.step.flops.values()) + sum(self.teacher.flops.values())) / TERA

    @property
    def rate(self) -> float:
        """Steps a second on live pairs."""
        return 1 / (self.step.seconds + self.teacher.seconds)

    @property
    def hours(self) -> float:
        """Of the whole stage, on live pairs."""
        return self.iterations / self.rate / HOUR


@dataclass(frozen=True)
class Stage:
    """What is known of a stage of a variant in one arithmetic."""

    learning: dict[str, int]
    """Parameters by network."""
    frozen: dict[str, int]
    flops: dict[str, dict[str, float]]
    """Operations for one pair, by network, forward and backward."""
    results: list[Result]


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
    processes = multiprocessing.get_context("spawn").Pool(at_once, _leave_ctrl_c_to_the_parent, maxtasksperchild=1)
    with processes as pool:
        return list(tqdm(pool.imap(work, cases), total=len(cases), desc=work.func.__name__))


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; all but the first column is to the right."""
    header = list(header)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def title(case: Case) -> str:
    """Variant and stage."""
    return f"{VARIANTS[case.backbone]}, {'pre-training' if case.pretrain else 'distillation'}"


def way(case: Case) -> str:
    """How it is computed."""
    return case.precision + (", checkpointing" if case.checkpointing else "")


def cost_table(results: list[Result], figure: Callable[[Result], str]) -> str:
    """One row for each variant, stage and batch; a column for each way to compute."""
    ways = list(dict.fromkeys(way(result.case) for result in results))
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for result in results:
        row = rows.setdefault((title(result.case), result.case.batch), {})
        row[way(result.case)] = figure(result)
    return table(
        ["", "batch", *ways],
        ([name, str(batch), *(row.get(way, "") for way in ways)] for (name, batch), row in rows.items()),
    )


def network_table(stages: list[Stage]) -> str:
    """Parameters, and the arithmetic for one pair, by network."""
    header = [
        "for one pair", "M parameters: learning", "frozen", "teacher's weights, GiB", "TFLOP: VToonify forward",
        "backward", "discriminator", "LPIPS", "teacher", "all",
    ]  # fmt: skip
    rows: dict[str, list[str]] = {}
    for stage in stages:
        first = stage.results[0]
        own = stage.flops["VToonify"]
        parts = [own["forward"], own["backward"]]
        parts += [sum(stage.flops.get(name, {}).values()) for name in costs.HELPERS.values()]
        parts.append(sum(first.teacher.flops.values()) / first.case.batch)
        counts = [sum(count.values()) / MILLION for count in (stage.learning, stage.frozen)]
        figures = [*(f"{count:.1f}" for count in counts), f"{first.teacher.static / GIB:.2f}"]
        figures += [f"{flops / TERA:.2f}" for flops in (*parts, sum(parts))]
        rows.setdefault(title(first.case), figures)
    return table(header, ([name, *figures] for name, figures in rows.items()))


def measured_table(results: list[Result], measured: Measured) -> str:
    """Steps that were really taken beside their estimates, without a teacher."""
    rows = []
    for result in results:
        case, step, found = result.case, result.step, measured[result.case]
        memory, rate = ("too small", "") if found is None else (f"{found[0] / GIB:.2f}", f"{1 / found[1]:.2f}")
        estimated = f"{(step.static + step.peak) / GIB:.2f}", f"{1 / step.seconds:.2f}"
        rows.append([f"{title(case)}, {way(case)}", str(case.batch), estimated[0], memory, estimated[1], rate])
    header = ["without a teacher", "batch", "GiB: estimated", "measured", "steps/s: estimated", "measured"]
    return table(header, rows)


def report(stages: list[Stage], measured: Measured, options: Options) -> str:
    """All tables, each under a sentence that says what it holds."""
    results = [result for stage in stages for result in stage.results]
    stage_names = dict.fromkeys(f"{result.iterations} steps of {title(result.case)}" for result in results)
    parts = [
        f"Estimated, not measured, for --config {options.config} on a GPU that achieves {options.tflops:g} TFLOP/s in "
        f"bfloat16, half of that in float32, and {options.bandwidth:g} TB/s of memory.",
        network_table(stages),
        "GPU memory in GiB, live pairs:",
        cost_table(results, lambda result: f"{result.memory:.1f}"),
        f"Steps a second on one GPU, live pairs, and hours for {', '.join(stage_names)}:",
        cost_table(results, lambda result: f"{result.rate:.2f}, {result.hours:.1f} h"),
    ]
    if measured:
        device = pick_device(options.device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
        parts += [f"Measured on {name}:", measured_table(results, measured)]
    return "\n\n".join(parts)


def main() -> None:
    """Parse the command line and print tables."""
    options = cli.parse(Options, __doc__)
    options.check()
    stages = each_by_itself(partial(examine, options=options), options, at_once=os.cpu_count() or 1)
    measured: Measured = {}
    if options.measure:
        for found in each_by_itself(partial(measure, options=options), options, at_once=1):
            measured |= found
    if not options.json:
        print(report(stages, measured, options))
        return
    found = [{"case": asdict(case), "bytes_and_seconds": found} for case, found in measured.items()]
    print(json.dumps({"estimated": [asdict(stage) for stage in stages], "measured": found}, indent=2))


if __name__ == "__main__":
    cli.run(main)
