"""The estimate of what training costs, held against arithmetic by hand and against steps that are really taken."""

import json
import os
from dataclasses import replace
from functools import partial

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from model.training import costs, estimate
from model.training.costs import Case, Hardware
from model.training.measure import measure_step
from model.training.meter import Meter
from model.training.teachers import base as network_teacher
from model.training.trainer import Run

HARDWARE = Hardware(tflops=1.0, bandwidth=1.0)

TOONIFY = Case("toonify", pretrain=False, precision="fp32", config="tiny")
DUAL = replace(TOONIFY, backbone="dualstylegan")


def fresh_run(case: Case) -> Run:
    """A run in a state of Accelerate of its own, as in a process of its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return costs.make_run(case)


@pytest.fixture
def second_half(monkeypatch):
    """Steps of the second half alone: they have all losses."""
    monkeypatch.setattr(costs, "halves", lambda run: [run.options.iter - 1])


def test_arithmetic_of_a_convolution():
    conv, x = nn.Conv2d(3, 8, 5, padding=2), torch.zeros(2, 3, 16, 24, requires_grad=True)
    with FakeTensorMode(allow_non_fake_inputs=True), Meter({torch.float32: 1e9}, bandwidth=1e30) as meter:
        meter.phase = "there"
        y = conv(x)
        meter.phase = "back"
        y.sum().backward()
    products = 2 * 8 * 16 * 24 * 3 * 5 * 5
    work = meter.work()
    # Backwards there is one such convolution for the gradient of the input and one for that of the weights.
    assert work.flops == {"there": 2 * products, "back": 4 * products}
    assert work.seconds == pytest.approx(6 * products / 1e9)
    assert meter.work(steps=2).flops["back"] == 2 * products


@pytest.mark.parametrize("fake", [False, True])
def test_memory_is_what_lives_at_once(fake):
    with FakeTensorMode() if fake else torch.no_grad(), Meter({}, 1.0) as meter:
        a = torch.ones(1000)  # 4000 bytes
        b = a.double()  # 8000
        c = b.view(10, 100).t()[:5].mul_(2)  # nothing new
        del a, b, c
        d = torch.ones(2500)  # 10000
        d.add_(1)
    assert meter.work().peak == 12000


def test_time_is_bound_by_arithmetic_by_memory_or_by_the_launch():
    a, b = torch.ones(50, 200), torch.ones(200, 100)
    bytes_moved, flops = 4 * (50 * 200 + 200 * 100 + 50 * 100), 2 * 50 * 200 * 100
    cases = (1e3, 1e30, 1, flops / 1e3), (1e30, 1e3, 1, bytes_moved / 1e3), (1e30, 1e30, 1, 1)
    for rate, bandwidth, launch, expected in cases:
        with Meter({torch.float32: rate}, bandwidth, launch) as meter:
            a @ b
        assert meter.work().seconds == pytest.approx(expected)


@pytest.mark.parametrize(
    "case",
    [
        replace(TOONIFY, checkpointing=True),
        DUAL,
        replace(DUAL, pretrain=True, precision="bf16", batch=4),
    ],
    ids=["T, checkpointing", "D", "D, pretrain, bf16"],
)
def test_memory_is_that_of_real_steps(case, second_half):
    run = fresh_run(case)
    before = [parameter.clone() for parameter in run.network.parameters()]
    found = costs.estimate_step(run, case, HARDWARE)
    assert all(torch.equal(old, new) for old, new in zip(before, run.network.parameters(), strict=True))
    measured, seconds = measure_step(run, case, HARDWARE, count=1)
    assert measured == pytest.approx(found.static + found.peak, rel=0.005) and seconds > 0
    assert not all(torch.equal(old, new) for old, new in zip(before, run.network.parameters(), strict=True))


def test_what_autograd_saves_is_most_of_the_memory(second_half):
    run = fresh_run(TOONIFY)
    pair, saved = costs.make_pair(run, 2), {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        rendered = run.student(pair, with_flicker=True)
    frozen = {tensor.untyped_storage().data_ptr() for tensor in (*run.network.parameters(), *run.network.buffers())}
    kept = sum(size for place, size in saved.items() if place not in frozen)
    assert 0.5 < kept / costs.estimate_step(run, replace(TOONIFY, batch=2), HARDWARE).peak < 1
    del rendered


def test_checkpointing_saves_memory_for_a_second_forward_pass(second_half):
    run = fresh_run(TOONIFY)
    kept, again = (costs.estimate_step(run, replace(TOONIFY, checkpointing=on), HARDWARE) for on in (False, True))
    assert again.peak < 0.7 * kept.peak and again.static == kept.static
    assert again.seconds > kept.seconds

    parts = costs.flops_by_network(run, HARDWARE)
    assert parts.keys() == {"VToonify", "discriminator"} and run.critic is not None
    for phase, flops in kept.flops.items():
        assert sum(part[phase] for part in parts.values()) == pytest.approx(flops) and flops > 0
    # Nearly the whole forward pass of VToonify is computed again.
    assert again.flops["forward"] == kept.flops["forward"]
    own = parts["VToonify"]["forward"]
    assert again.flops["backward"] - kept.flops["backward"] == pytest.approx(own, rel=0.1)


def test_bf16_saves_memory_and_time(second_half):
    full, half = (
        costs.estimate_step(fresh_run(case), replace(case, batch=2), Hardware(tflops=1e-3, bandwidth=1.0))
        for case in (TOONIFY, replace(TOONIFY, precision="bf16"))
    )
    assert half.peak < 0.8 * full.peak and half.static == full.static
    assert half.flops == full.flops and half.seconds < 0.8 * full.seconds


def test_memory_and_arithmetic_grow_with_the_batch():
    case = replace(DUAL, pretrain=True)
    run = fresh_run(case)
    one, three, five = (costs.estimate_step(run, replace(case, batch=batch), HARDWARE) for batch in (1, 3, 5))
    assert one.static == three.static == five.static
    assert five.peak - three.peak == pytest.approx(three.peak - one.peak, rel=0.01)
    assert three.peak > 2 * one.peak and three.flops["backward"] == pytest.approx(3 * one.flops["backward"], rel=0.01)


def test_what_is_always_there_is_counted_once():
    run = fresh_run(replace(TOONIFY, pretrain=True))
    learning, frozen = (costs.count_parameters(run, learns)["VToonify"] for learns in (True, False))
    assert learning == sum(value.numel() for value in run.network.encoder.parameters())
    buffers = sum(value.nbytes for value in run.network.buffers())
    found = costs.estimate_step(run, replace(TOONIFY, pretrain=True), HARDWARE)
    # The weights, their average and two moments; the average has buffers of its own, but not the frozen weights.
    assert found.static == 4 * (frozen + 4 * learning) + 2 * buffers


@pytest.mark.parametrize("pretrain", [False, True])
@pytest.mark.parametrize("case", [TOONIFY, DUAL], ids=["T", "D"])
def test_a_teacher_costs_what_its_samples_do(case, pretrain, monkeypatch):
    run = fresh_run(replace(case, pretrain=pretrain))
    found = costs.estimate_teacher(run, 2, HARDWARE)
    run.options.style_id = 0
    teacher = costs.make_teacher(run)
    monkeypatch.setattr(network_teacher, "move_pictures", lambda affine, *pictures: pictures)
    draw = teacher.sample_features if pretrain else teacher.sample
    with HARDWARE.meter() as meter:
        for progress in [0.0] if pretrain else [0.0, 1.0]:
            sample = draw([0, 1], progress)
            if pretrain:
                sample.pair()
    work = meter.work(steps=1 if pretrain else 2)
    assert sum(found.flops.values()) == pytest.approx(sum(work.flops.values()), rel=1e-3)
    assert found.seconds == pytest.approx(work.seconds, rel=0.1)
    assert found.static == costs.size_of(teacher)


@pytest.fixture
def in_this_process(monkeypatch):
    """Work is done here, for new processes take seconds to start."""

    def in_this_process(work, options, at_once):
        (backbone,), (stage,), (precision,) = options.backbones, options.stages, options.precisions
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        return [work(Case(backbone, stage == "pretrain", precision, options.config))]

    monkeypatch.setattr(estimate, "each_by_itself", in_this_process)


ONE = ["--config", "tiny", "--backbones", "toonify", "--stages", "pretrain", "--precisions", "fp32", "--batches", 1, 3]
REALLY = ["--measure", "--device", "cpu", "--steps", 1]


def test_tables_have_a_row_for_every_batch(in_this_process, call, capsys):
    assert call(estimate.main, *ONE, *REALLY) == 0
    paragraphs = capsys.readouterr().out.strip().split("\n\n")
    assert "Estimated, not measured" in paragraphs[0] and "--config tiny" in paragraphs[0]
    tables = [paragraph.splitlines() for paragraph in paragraphs if paragraph.startswith("|")]
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    parts, memory, speed, measured = tables
    assert len(parts) == 3 and parts[2].startswith("| T, pre-training |")
    assert memory[0] == speed[0] == "|  | batch | fp32 | fp32 + checkpointing |"
    assert [line.split(" | ")[1] for line in memory[2:]] == ["1", "3"]
    assert len(measured) == 2 + 4 and all("| T, pre-training, fp32" in line for line in measured[2:])


def test_json_holds_the_figures(in_this_process, call, capsys):
    assert call(estimate.main, *ONE, *REALLY, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (stage,) = found["estimated"]
    assert [result["case"]["batch"] for result in stage["results"]] == [1, 3, 1, 3]
    for result, measured in zip(stage["results"], found["measured"], strict=True):
        assert measured["case"] == result["case"]
        memory, seconds = measured["bytes_and_seconds"]
        step, teacher = result["step"], result["teacher"]
        assert result["gib"] * 2**30 == pytest.approx(
            step["static"] + teacher["static"] + max(step["peak"], teacher["peak"])
        )
        assert 1 / result["steps_per_second"] == pytest.approx(step["seconds"] + teacher["seconds"])
        assert memory == pytest.approx(step["static"] + step["peak"], rel=0.005) and seconds > 0


def test_memory_that_does_not_suffice_is_said(in_this_process, call, capsys, monkeypatch):
    def fail(run, pairs):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Run, "advance", fail)
    assert call(estimate.main, *ONE, *REALLY) == 0
    assert capsys.readouterr().out.count("too small") == 4


def name_and_process(case: Case) -> tuple[str, int]:
    return repr(case), os.getpid()


def test_each_stage_and_arithmetic_has_a_process_of_its_own():
    options = estimate.Options(config="tiny", backbones=["toonify"], stages=["distill"])
    found = estimate.each_by_itself(partial(name_and_process), options, at_once=2)
    names, processes = zip(*found, strict=True)
    assert names == (repr(TOONIFY), repr(replace(TOONIFY, precision="bf16")))
    assert len({os.getpid(), *processes}) == 3


@pytest.mark.parametrize("wrong", [["--batches", 0], ["--tflops", 0], ["--bandwidth", "nan"], ["--steps", -1]])
def test_options_that_cannot_work_are_one_sentence(call, capsys, wrong):
    assert call(estimate.main, *wrong) == 2
    error = capsys.readouterr().err
    assert wrong[0] in error and error.count("\n") == 1


def test_a_gpu_that_is_not_there_is_said_before_work_begins(call, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(estimate, "each_by_itself", None)
    assert call(estimate.main, "--measure", "--device", "cuda") == 2
    assert "cuda is not available" in capsys.readouterr().err
