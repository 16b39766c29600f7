"""Measuring what steps of the training program cost, to be held against `model.training.costs`."""

import time
from collections.abc import Iterable

import torch

from model.training import costs
from model.training.costs import Case, Hardware
from model.training.data.pair import Pair
from model.training.trainer import Run


def measure(cases: Iterable[Case], device: str, hardware: Hardware, count: int) -> dict[Case, tuple[int, float] | None]:
    """`measure_step` of cases that differ in checkpointing and batch only; None where memory is too small."""
    cases = list(cases)
    run, found = costs.make_run(cases[0], device), {}
    for case in cases:
        try:
            found[case] = measure_step(run, case, hardware, count)
        except torch.OutOfMemoryError:
            found[case] = None
            run.optimizer.zero_grad()
    return found


def measure_step(run: Run, case: Case, hardware: Hardware, count: int) -> tuple[int, float]:
    """Bytes at the worst moment and seconds of the mean step, from about `count` of `run` on its device.

    They are real steps, on random pairs, without a teacher. On a CPU memory is counted, for it can't be asked for.
    """
    run.network.checkpointing = case.checkpointing
    device, steps, seconds = run.engine.device, costs.halves(run), 0.0
    pair = {key: value.to(device) for key, value in costs.make_pair(run, case.batch).items()}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    turns = max(count // len(steps), 1)
    for step in steps:
        _advance(run, pair, step)  # chooses algorithms, so it isn't timed
        start = time.perf_counter()
        for _ in range(turns):
            _advance(run, pair, step)
        seconds += (time.perf_counter() - start) / turns / len(steps)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), seconds
    with hardware.meter() as meter:
        _advance(run, pair, steps[-1])
    moments = 8 * sum(costs.count_parameters(run, True).values())
    static = costs.size_of(run.ema, *costs.networks(run).values()) + moments
    return static + sum(value.nbytes for value in pair.values()) + meter.work().peak, seconds


def _advance(run: Run, pair: Pair, step: int) -> None:
    """One step, as if the run had come to `step`; done when this returns, for the run looks at its losses."""
    run.step = step
    run.advance([pair])
    if run.engine.device.type == "cuda":
        torch.cuda.synchronize(run.engine.device)
