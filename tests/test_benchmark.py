"""The benchmark: what it measures and reports."""

import json
import mmap
import sys

import pytest
import torch

from model.tools import benchmark
from tests.small_models import dual, save_model, small_config

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(benchmark, "SHORTEST", 0.0)
    monkeypatch.setattr(benchmark, "MATRIX_SIDE", 64)


def test_a_model_is_measured_in_all_its_forms(call, capsys, tmp_path):
    out, model = tmp_path / "speed.json", save_model(tmp_path)
    assert call(benchmark.main, "--model", model, "--size", 32, "--precision", "bf16", "--json", out) == 0
    own = json.loads(out.read_text())["models"][str(model)]
    assert list(own) == ["unfolded fp32", "folded fp32", "folded bf16"]
    for numbers in own.values():
        assert numbers["ms"] > 0 and numbers["floor, ms"] > 0 and numbers["GiB"] > 0
        assert numbers["frames/s"] == pytest.approx(1000 / numbers["ms"])
        assert numbers["ratio"] == pytest.approx(own["unfolded fp32"]["ms"] / numbers["ms"])
    assert own["folded fp32"]["error"] < 0.01 < own["folded bf16"]["error"] < 8
    assert f"| {model} | folded bf16 |" in capsys.readouterr().out


def test_the_published_size_needs_no_file_and_has_its_parsing_measured(monkeypatch):
    monkeypatch.setattr(benchmark, "VToonifyConfig", lambda: small_config("dualstylegan"))
    numbers = benchmark.run(benchmark.Options(model=["published"], size=32))
    assert numbers["models"]["published"]["parsing"]["ms"] > 0


def test_floating_operations_are_counted(monkeypatch):
    monkeypatch.setattr(benchmark, "matrix_rate", lambda *_: 1e9)
    model = dual(exemplars=None).style
    small, large = (benchmark.measure(model, benchmark.Options(size=size)) for size in (32, 128))
    for way in small:
        assert large[way]["floor, ms"] == pytest.approx(16 * small[way]["floor, ms"], rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a process's peak")
def test_the_peak_is_that_since_the_last_call():
    benchmark.peak_memory(CPU)
    before = benchmark.peak_memory(CPU)
    with mmap.mmap(-1, 2**29) as block:  # half a GiB that no allocator had at hand
        for page in range(0, 2**29, mmap.PAGESIZE):
            block[page] = 1
    assert benchmark.peak_memory(CPU) > before + 0.4
    assert benchmark.peak_memory(CPU) < before + 0.3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--size", 100], "--size is 100"), (["--batch", 0], "--batch is 0"), (["--model", "none.pt"], "none.pt")],
)
def test_wrong_options_are_a_sentence(call, capsys, arguments, told):
    assert call(benchmark.main, *arguments) == 2
    assert told in capsys.readouterr().err
