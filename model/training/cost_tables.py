"""Tables of what training costs, in Markdown."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from model.training import costs
from model.training.costs import TERA, Case, Cost

GIB, MILLION, HOUR = 1 << 30, 1e6, 3600

VARIANTS = {"toonify": "T", "dualstylegan": "D"}

Measured = dict[Case, tuple[int, float] | None]
"""Bytes and seconds of a step; None where memory was too small."""


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
    return case.precision + (" + checkpointing" if case.checkpointing else "")


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
        "for one pair", "M parameters: learning", "frozen", "GiB: weights, average, Adam", "teacher",
        "TFLOP: VToonify forward", "backward", "discriminator", "LPIPS", "teacher", "all",
    ]  # fmt: skip
    rows: dict[str, list[str]] = {}
    for stage in stages:
        first = stage.results[0]
        own = stage.flops["VToonify"]
        parts = [own["forward"], own["backward"]]
        parts += [sum(stage.flops.get(name, {}).values()) for name in costs.HELPERS.values()]
        parts.append(sum(first.teacher.flops.values()) / first.case.batch)
        counts = [sum(count.values()) / MILLION for count in (stage.learning, stage.frozen)]
        figures = [f"{count:.3g}" for count in counts]
        figures += [f"{cost.static / GIB:.3g}" for cost in (first.step, first.teacher)]
        figures += [f"{flops / TERA:.3g}" for flops in (*parts, sum(parts))]
        rows.setdefault(title(first.case), figures)
    return table(header, ([name, *figures] for name, figures in rows.items()))


def measured_table(results: list[Result], measured: Measured) -> str:
    """Steps that were really taken beside their estimates, without a teacher."""
    rows = []
    for result in results:
        case, step, found = result.case, result.step, measured[result.case]
        memory, rate = ("too small", "") if found is None else (f"{found[0] / GIB:.3g}", f"{1 / found[1]:.3g}")
        estimated = f"{(step.static + step.peak) / GIB:.3g}", f"{1 / step.seconds:.3g}"
        rows.append([f"{title(case)}, {way(case)}", str(case.batch), estimated[0], memory, estimated[1], rate])
    header = ["without a teacher", "batch", "GiB: estimated", "measured", "steps/s: estimated", "measured"]
    return table(header, rows)


def savings(results: list[Result]) -> str:
    """What each way to compute takes of the memory that goes up and down, relative to the first way."""
    largest = max(result.case.batch for result in results)
    rows: dict[str, list[str]] = {}
    for name, group in groupby((r for r in results if r.case.batch == largest), lambda r: title(r.case)):
        first, *others = group
        for other in others:
            share = other.step.peak / first.step.peak
            rows.setdefault(name, []).append(f"{way(other.case)} {share:.0%}")
    found = "; ".join(f"{name}: {', '.join(shares)}" for name, shares in rows.items())
    return f"Batch, activations and gradients relative to {way(results[0].case)}, at batch {largest}: {found}."
