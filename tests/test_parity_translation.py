import json
from pathlib import Path

import numpy as np
import pytest

from tests import parity

FOLDER = Path(__file__).parent / "golden" / "translation"
FILES = FOLDER / "cases.json", FOLDER / "golden.npz", FOLDER / "manifest.json.gz"
ROWS = json.loads(FILES[0].read_text(encoding="utf-8"))
MODULES = list(dict.fromkeys(row["module"] for row in ROWS))


@pytest.fixture(scope="module")
def golden() -> parity.Golden:
    return parity.load_golden(*FILES)[1]


@pytest.mark.parametrize("module", MODULES)
def test_all_golden_rows_of_a_module_agree(module, golden):
    rows = [row for row in ROWS if row["module"] == module]
    found = list(parity.evaluate(rows, golden))
    assert [(key, agrees) for key, _, agrees in found] == [(row["key"], True) for row in rows], found


@pytest.mark.parametrize("key", ["ugatit_adalin.out", "whitebox.guided_r5", "adain.coral", "edges.sharpness"])
def test_a_row_that_is_off_by_two_percent_fails(golden, key):
    (row,) = [row for row in ROWS if row["key"] == key]
    figures = golden.figures | {key: golden.figures[key] * np.float32(1.02)}
    ((_, _, agrees),) = parity.evaluate([row], parity.Golden(figures, golden.manifest))
    assert not agrees
