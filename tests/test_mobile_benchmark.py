import json

import pytest

from model.tools import mobile_benchmark as benchmark

pytest.importorskip("onnxruntime", reason="networks are timed in onnxruntime")


def test_students_are_counted_and_timed(call, capsys, tmp_path):
    out = tmp_path / "speed.json"
    arguments = ["--sizes", 64, "--threads", 1, "--rounds", 1, "--only", "student 0.5", "--json", out]
    assert call(benchmark.main, *arguments) == 0
    (numbers,) = json.loads(out.read_text())["networks"].values()
    assert numbers["GMAC"] == pytest.approx(0.5, rel=0.1) and numbers["parameters"] == pytest.approx(0.58, rel=0.01)
    told = capsys.readouterr().out
    assert numbers["ms at 64"] > 0 and "| student 0.5 | 0.58 |" in told
    assert "| AnimeGANv2 (published) | 2.14 | 26.3 | – |" in told


@pytest.mark.parametrize(("name", "gmac"), [("student 2", 2), ("student 8", 8), ("White-box", 8.2),
                                            ("AdaIN", 31.6), ("U-GAT-IT light", 52.5)])  # fmt: skip
def test_multiplications_are_those_that_are_known(name, gmac):
    assert benchmark.multiplications(benchmark.NETWORKS[name]().eval(), 256) == pytest.approx(gmac, rel=0.06)


def test_turns_alternate_and_the_first_does_not_count():
    order = []
    taken = benchmark.in_turns([lambda: order.append("a"), lambda: order.append("b")], rounds=2)
    assert order == ["a", "b"] * 3 and len(taken) == 2


@pytest.mark.parametrize(("arguments", "told"), [("--sizes 100", "--sizes has 100"), ("--only no", "--only has 'no'")])
def test_wrong_options_are_a_sentence(call, capsys, arguments, told):
    assert call(benchmark.main, *arguments.split()) == 2 and told in capsys.readouterr().err
