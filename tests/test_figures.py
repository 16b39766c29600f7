"""How close a model comes to the drawn teacher: figures of known pictures, and the program."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from model import checkpoints
from model.tools import drawn_metrics as module
from model.tools.drawn_metrics import COLUMNS, LEFT_CHEEK, RIGHT_CHEEK, cheek_lightness, compare, figures, main
from model.training.data.shards import index_pairs
from tests.portrait import LANDMARKS
from tests.small_models import CODES, enlarging_network


@pytest.fixture(scope="module")
def pairs(pair_folder):
    return index_pairs([pair_folder])


@pytest.fixture
def saved(tmp_path):
    """A function that saves a small model with one exemplar and returns its path."""

    def saved(style: str = "film", **model):
        checkpoints.save_vtoonify(tmp_path / "model.pt", enlarging_network(**model))
        checkpoints.save_exemplars(tmp_path / checkpoints.EXEMPLAR_FILE, {style: CODES["ink.jpg"]})
        return tmp_path / "model.pt"

    return saved


def test_the_teachers_own_picture_is_perfect(pairs):
    found = compare(pairs[0].picture("full"), pairs[0])
    assert found["l1"] == found["l1_eyes"] == 0 and found["gradient"] == 1
    assert found["skin"] == found["skin_teacher"] != 0 and found["l1_photo"] > 2


def test_the_photo_itself_is_as_far_as_the_photo(pairs):
    found = compare(pairs[0].picture("photo"), pairs[0])
    assert found["l1"] == found["l1_photo"] > 2 and found["l1_eyes"] > 2


def test_a_blurred_picture_has_less_gradient(pairs):
    blurred = cv2.GaussianBlur(pairs[0].picture("full"), (0, 0), 2)
    assert 0.2 < compare(blurred, pairs[0])["gradient"] < 0.8


def test_cheek_lightness_looks_at_the_cheeks_alone():
    picture = np.zeros((256, 320, 3), np.uint8)
    for cheek in (LEFT_CHEEK, RIGHT_CHEEK):
        cv2.fillConvexPoly(picture, cv2.convexHull(LANDMARKS[list(cheek)].astype(np.int32)), (255, 255, 255))
    assert cheek_lightness(picture, LANDMARKS) == pytest.approx(100, abs=0.1)
    assert cheek_lightness(picture // 255 * 119, LANDMARKS) == pytest.approx(50, abs=0.5)


def test_there_is_one_row_for_each_style(pairs):
    shared = [replace(pairs[1], style="wash"), *pairs]
    codes = {"film": np.float32(CODES["ink.jpg"]), "wash": np.float32(CODES["wash.v2.png"])}
    rows = figures(enlarging_network(), codes, shared, torch.float32)
    assert list(rows) == ["film", "wash"] and [row["count"] for row in rows.values()] == [3, 1]
    for row in rows.values():
        assert np.isfinite([row[name] for name in COLUMNS]).all()
    assert rows["film"]["l1"] > 1


def test_the_program_prints_the_pairs_held_out(call, saved, pair_folder, capsys):
    assert call(main, "--pairs", pair_folder, "--ckpt", saved(), "--device", "cpu", "--precision", "fp32") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("| film | 1 |")


def assert_refused(call, capsys, said, *arguments):
    assert call(main, *arguments, "--device", "cpu") == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1


def test_missing_pairs_are_asked_for(call, saved, capsys):
    assert_refused(call, capsys, "--pairs is missing", "--ckpt", saved())


def test_pairs_of_another_kind_are_refused(call, saved, pairs, capsys, monkeypatch):
    monkeypatch.setattr(module, "index_pairs", lambda _: [replace(pair, kind="stylised") for pair in pairs])
    assert_refused(call, capsys, "holds stylised pairs", "--pairs", "there", "--ckpt", saved())


def test_a_style_that_the_model_does_not_know_is_refused(call, saved, pair_folder, capsys):
    said = "pairs of the style film, which is none of wash"
    assert_refused(call, capsys, said, "--pairs", pair_folder, "--ckpt", saved("wash"))


def test_a_model_with_a_parser_is_refused(call, saved, pair_folder, capsys):
    ckpt = saved(parsing_channels=19)
    assert_refused(call, capsys, "was not trained on drawn pairs", "--pairs", pair_folder, "--ckpt", ckpt)
