import json

import pytest

from model.tools import benchmark
from tests.small_models import save_model, small_config


def test_models_are_measured_in_all_their_forms(call, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "SHORTEST", 0.0)
    monkeypatch.setattr(benchmark, "VToonifyConfig", lambda: small_config("dualstylegan"))
    out, model = tmp_path / "speed.json", save_model(tmp_path)
    arguments = ["--model", model, "published", "--size", 32, "--precision", "bf16", "--json", out]
    assert call(benchmark.main, *arguments) == 0
    found = json.loads(out.read_text())["models"]
    own = found[str(model)]
    assert list(own) == ["unfolded fp32", "folded fp32", "folded bf16"]
    for numbers in own.values():
        assert numbers["frames/s"] == pytest.approx(1000 / numbers["ms"])
        assert numbers["ratio"] == pytest.approx(own["unfolded fp32"]["ms"] / numbers["ms"])
    assert own["folded fp32"]["error"] < 0.01 < own["folded bf16"]["error"] < 8
    assert found["published"]["parsing"]["ms"] > 0, "it needs no file"
    assert f"| {model} | folded bf16 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--size", 100], "--size is 100"), (["--batch", 0], "--batch is 0"), (["--model", "none.pt"], "none.pt")],
)
def test_wrong_options_are_a_sentence(call, capsys, arguments, told):
    assert call(benchmark.main, *arguments) == 2
    assert told in capsys.readouterr().err
