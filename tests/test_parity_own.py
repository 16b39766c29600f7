import json
from pathlib import Path

import numpy as np
import pytest

from tests import parity, parity_own

FOLDER = Path(__file__).parent / "golden" / "own"
FILES = FOLDER / "cases.json", FOLDER / "golden.npz", FOLDER / "manifest.json.gz"
ROWS = [
    row for row in json.loads(FILES[0].read_text(encoding="utf-8")) if row["call"].partition(":")[0] in parity_own.CALLS
]
GROUPS = list(dict.fromkeys((row["module"], row["key"].partition(".")[0]) for row in ROWS))


@pytest.fixture(scope="module")
def golden() -> parity.Golden:
    return parity.load_golden(*FILES)[1]


LARGE = "critic_1024", "dualstylegan_256", "e4e", "generator_128", "generator_256+"  # networks that take seconds
PARAMETERS = [pytest.param(*g, marks=[pytest.mark.slow] if g[0].startswith(LARGE) else []) for g in GROUPS]


@pytest.mark.parametrize(("module", "part"), PARAMETERS)
def test_all_golden_rows_of_a_part_agree(module, part, golden):
    rows = [row for row in ROWS if row["module"] == module and row["key"].partition(".")[0] == part]
    found = list(parity.evaluate(rows, golden))
    assert [(key, agrees) for key, _, agrees in found] == [(row["key"], True) for row in rows], found


def test_a_row_whose_gradient_is_off_by_two_percent_fails(golden):
    (row,) = [row for row in ROWS if row["key"] == "cx.grad_0.2"]
    figures = dict(golden.figures)
    figures[row["key"]] = figures[row["key"]] + 0.02 * np.abs(figures[row["key"]]).max()
    ((_, _, agrees),) = parity.evaluate([row], parity.Golden(figures, golden.manifest))
    assert not agrees
