import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.common.errors import InputError
from model.psp import PSPEncoder
from model.training.teachers.variants import blend_state_dicts
from tests import parity

FOLDER = Path(__file__).parent / "golden"
FILES = FOLDER / "cases.json", FOLDER / "golden.npz", FOLDER / "manifest.json.gz"
ROWS = json.loads(FILES[0].read_text(encoding="utf-8"))
MODULES = list(dict.fromkeys(row["module"] for row in ROWS))


@pytest.fixture(scope="module")
def golden() -> parity.Golden:
    return parity.load_golden(*FILES)[1]


@pytest.fixture
def function_files(tmp_path):
    """A cases file and a golden file with the rows that need no network, free to be altered."""
    rows = [row for row in ROWS if row["key"] in ("down.out", "smooth.parsing", "preprocess.0.3")]
    (tmp_path / "cases.json").write_text(json.dumps(rows), encoding="utf-8")
    with np.load(FILES[1]) as arrays:
        figures = {name: arrays[name] for name in arrays for row in rows if name.startswith(row["key"])}
    return tmp_path, rows, figures


def run_parity(folder: Path, figures: dict[str, np.ndarray]) -> int:
    np.savez(folder / "golden.npz", **figures)
    return parity.main([str(folder / "cases.json"), str(folder / "golden.npz"), str(FILES[2])])


@pytest.mark.parametrize("module", MODULES)
def test_all_golden_rows_of_a_module_agree(module, golden):
    rows = [row for row in ROWS if row["module"] == module]
    found = list(parity.evaluate(rows, golden))
    assert [(key, agrees) for key, _, agrees in found] == [(row["key"], True) for row in rows], found


def test_style_codes_add_the_mean_code_and_want_an_aligned_face():
    encoder = PSPEncoder().eval()
    encoder.latent_avg.copy_(torch.randn(18, 512, generator=torch.Generator().manual_seed(1)))
    face = torch.zeros(1, 3, 256, 256)
    with torch.inference_mode():
        assert torch.allclose(encoder.style_codes(face), encoder(face) + encoder.latent_avg)
        with pytest.raises(InputError, match="256, 256"):
            encoder(torch.zeros(1, 3, 128, 128))
    assert "latent_avg" not in encoder.state_dict()


def test_blended_generator_takes_each_layer_by_its_row(golden):
    expected = json.loads((FOLDER / "blend.json").read_text(encoding="utf-8"))
    shapes = {name: golden.manifest["stylegan2"][name][0] for name in expected["values"]}
    base, fine = (
        {name: torch.from_numpy(golden.fill(f"{which}:{name}", shape)) for name, shape in shapes.items()}
        for which in ("base", "fine")
    )
    for name, value in blend_state_dicts(base, fine, expected["weight"]).items():
        ours = [value.flatten()[0].item(), value.double().mean().item()]
        assert ours == pytest.approx(expected["values"].pop(name), abs=1e-5), name
    assert not expected["values"]


@pytest.mark.parametrize(
    ("figure", "change"),
    [("down.out", lambda x: x + 0.01 * np.abs(x).max() * (np.arange(x.size) == 99).reshape(x.shape)),
     ("down.out.stat", lambda x: x * [1, 1, 1.01]),
     ("preprocess.0.3", lambda x: x ^ 4 * (np.arange(x.size) == 0).reshape(x.shape)), ("smooth.parsing", None)],
)  # fmt: skip
def test_runner_exits_1_and_names_the_row_whose_figure_differs_or_is_missing(function_files, capsys, figure, change):
    folder, rows, figures = function_files
    assert run_parity(folder, figures) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(rows)]] == [row["key"] for row in rows]
    value = figures.pop(figure)
    if change is not None:
        figures[figure] = change(value).astype(value.dtype)
    assert run_parity(folder, figures) == 1
    (failing,) = [line for line in capsys.readouterr().out.splitlines() if "FAILS" in line]
    assert failing.startswith(figure.removesuffix(".stat") + " ")


def test_unknown_modules_and_calls_fail_their_rows_only(function_files, capsys):
    folder, rows, figures = function_files
    rows = [{**rows[0], "call": "sharpen"}, {**rows[0], "module": "vae"}, *rows[1:]]
    (folder / "cases.json").write_text(json.dumps(rows), encoding="utf-8")
    assert run_parity(folder, figures) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("FAILS" in line for line in lines) == 2
    assert lines[-1] == f"{len(rows) - 2} of {len(rows)} rows agree"


@pytest.mark.parametrize("broken", [0, 1, 2])
@pytest.mark.parametrize("content", [None, b"", b"not what it should be"])
def test_a_file_that_cannot_be_read_gives_one_sentence_and_exit_code_2(broken, content, tmp_path, capsys):
    path = tmp_path / "broken"
    if content is not None:
        path.write_bytes(content)
    assert parity.main([str(path if place == broken else file) for place, file in enumerate(FILES)]) == 2
    message = capsys.readouterr().err.strip()
    assert str(path) in message and "\n" not in message
