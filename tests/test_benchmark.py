"""The benchmark: what it measures and reports."""

import json
import mmap
import sys

import pytest
import torch

from model.inference.stylizer import Stylizer
from model.tools import benchmark as speed
from tests.clips import make_clip
from tests.small import small_config
from tests.small_models import dual, face_picture, save_model

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(speed, "SHORTEST", 0.0)
    monkeypatch.setattr(speed, "MATRIX_SIDE", 64)


def test_the_figures_of_a_model(call, capsys, tmp_path):
    clip = make_clip(tmp_path / "c.mp4", [face_picture()] * 5, rate=10)
    out, model = tmp_path / "speed.json", save_model(tmp_path)
    settings = ["--size", 32, "--precision", "bf16", "--content", clip, "--frames", 3, "--json", out]
    assert call(speed.main, "--model", model, *settings) == 0
    figures = json.loads(out.read_text())
    own = figures["models"][str(model)]
    assert list(own) == ["unfolded fp32", "folded fp32", "folded bf16", "file"]
    for way in list(own)[:3]:
        assert own[way]["seconds"] > 0 and own[way]["floor"] > 0 and own[way]["memory"] > 0
        assert own[way]["fps"] == pytest.approx(1 / own[way]["seconds"])
        assert own[way]["ratio"] == pytest.approx(own["unfolded fp32"]["seconds"] / own[way]["seconds"])
    assert own["folded fp32"]["error"] < 0.01 < own["folded bf16"]["error"] < 8
    height, width = own["file"]["crop"]
    told = capsys.readouterr().out
    assert "| folded bf16 |" in told and f"crops of {width} x {height}" in told


def test_the_published_size_has_its_ratio_and_its_parsing(monkeypatch):
    monkeypatch.setattr(speed, "VToonifyConfig", lambda: small_config("dualstylegan"))
    figures = speed.run(speed.Options(model=["published"], size=32, precision="bf16"))
    own = figures["models"]["published"]
    assert figures["ratio_bf16_folded_to_fp32_unfolded_d32"] == own["folded bf16"]["ratio"]
    assert own["parsing"] > 0 and "file" not in own


def test_floating_operations_are_counted(monkeypatch):
    monkeypatch.setattr(speed, "matrix_rate", lambda *_: 1e9)
    small, large = (speed.measure_network(dual(), speed.Options(size=size)) for size in (32, 128))
    for a, b in zip(small, large, strict=True):
        assert b.floor == pytest.approx(16 * a.floor, rel=0.1) and a.floor > 1e-4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a process's peak")
def test_the_peak_is_that_of_the_work():
    speed.forget_peak(CPU)
    before = speed.peak_memory(CPU)
    with mmap.mmap(-1, 2**29) as block:  # half a GiB that no allocator had at hand
        for page in range(0, 2**29, mmap.PAGESIZE):
            block[page] = 1
    assert speed.peak_memory(CPU) > before + 0.4
    speed.forget_peak(CPU)
    assert speed.peak_memory(CPU) < before + 0.3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--size", 100], "--size is 100"),
        (["--batch", 0], "--batch is 0"),
        (["--frames", 0], "--frames is 0"),
        (["--model", "none.pt"], "none.pt"),
    ],
)
def test_wrong_options_are_a_sentence(call, capsys, arguments, told):
    assert call(speed.main, *arguments) == 2
    assert told in capsys.readouterr().err


def test_a_model_without_exemplars_is_measured():
    stylizer = dual(exemplars=None)
    assert isinstance(stylizer, Stylizer) and speed.code_of(stylizer).shape[0] == 1
