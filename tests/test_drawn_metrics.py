from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from model import checkpoints
from model.common.hub import EXEMPLAR_FILE
from model.tools import drawn_metrics as module
from model.tools.drawn_metrics import CHEEKS, COLUMNS, cheek_lightness, compare, main, measure
from model.training.data.shards import index_pairs
from tests.portrait import LANDMARKS
from tests.small_models import CODES, enlarging_network


@pytest.fixture(scope="module")
def pairs(pair_folder):
    return index_pairs([pair_folder])


def saved(folder, style="film", **model):
    """Path of a small model with one exemplar."""
    checkpoints.save_vtoonify(folder / "model.pt", enlarging_network(**model))
    checkpoints.save_exemplars(folder / EXEMPLAR_FILE, {style: CODES["ink.jpg"]})
    return folder / "model.pt"


def test_known_pictures_have_known_metrics(pairs):
    full = pairs[0].picture("full")
    found = compare(full, pairs[0])
    assert found["l1"] == found["l1_eyes"] == 0 and found["gradient"] == 1
    assert found["skin"] == found["skin_teacher"] != 0 and found["l1_photo"] > 2
    found = compare(pairs[0].picture("photo"), pairs[0])
    assert found["l1"] == found["l1_photo"] > 2 and found["l1_eyes"] > 2
    assert 0.2 < compare(cv2.GaussianBlur(full, (0, 0), 2), pairs[0])["gradient"] < 0.8


def test_cheek_lightness_looks_at_the_cheeks_alone():
    picture = np.zeros((256, 320, 3), np.uint8)
    for cheek in CHEEKS:
        cv2.fillConvexPoly(picture, cv2.convexHull(LANDMARKS[list(cheek)].astype(np.int32)), (255, 255, 255))
    assert cheek_lightness(picture, LANDMARKS) == pytest.approx(100, abs=0.1)
    assert cheek_lightness(picture // 255 * 119, LANDMARKS) == pytest.approx(50, abs=0.5)


def test_there_is_one_row_for_each_style(pairs):
    shared = [replace(pairs[1], style="wash"), *pairs]
    codes = {"film": np.float32(CODES["ink.jpg"]), "wash": np.float32(CODES["wash.v2.png"])}
    rows = measure(enlarging_network(), codes, shared, torch.float32)
    assert list(rows) == ["film", "wash"] and [row["count"] for row in rows.values()] == [3, 1]
    assert np.isfinite([[row[name] for name in COLUMNS] for row in rows.values()]).all() and rows["film"]["l1"] > 1


def test_the_program_prints_the_pairs_held_out(call, tmp_path, pair_folder, capsys):
    assert call(main, "--pairs", pair_folder, "--ckpt", saved(tmp_path), "--device", "cpu", "--precision", "fp32") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("| film | 1 |")


@pytest.mark.parametrize(
    ("kind", "arguments", "model", "said"),
    [
        ("drawn", [], {}, "--pairs is missing"),
        ("stylised", ["--pairs", "x"], {}, "holds stylised pairs"),
        ("drawn", ["--pairs", "x"], {"style": "wash"}, "pairs of the style film, which is none of wash"),
        ("drawn", ["--pairs", "x"], {"parsing_channels": 19}, "was not trained on drawn pairs"),
    ],
)
def test_what_does_not_fit_is_refused(call, tmp_path, pairs, capsys, monkeypatch, kind, arguments, model, said):
    monkeypatch.setattr(module, "index_pairs", lambda _: [replace(pair, kind=kind) for pair in pairs])
    assert call(main, *arguments, "--ckpt", saved(tmp_path, **model), "--device", "cpu") == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1
