"""Pairs of networks that translate without pairs, and how they are learnt from."""

import json

import cv2
import numpy as np
import pytest
import skimage.data
import torch

import generate_data
from model import checkpoints
from model.config import UgatitConfig
from model.faces.landmarks import eye_centres
from model.styles.translators import presets
from model.training.data.drawn_pairs import DrawnPairs
from model.training.data.shards import index_pairs, kind_of
from model.training.generate import translated
from model.ugatit import Ugatit
from tests.test_translation_styles import copying_whitebox, small_pictures, vgg_and_decoder  # noqa: F401 - fixtures

SMALL = ("--size", 128, "--workers", 1)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for module in (presets, translated):
        monkeypatch.setattr(module, "CHECKPOINTS", tmp_path / "checkpoint")
    for name in ("checkpoint/whitebox", "checkpoint/adain", "photos"):
        (tmp_path / name).mkdir(parents=True)
    cv2.imwrite("photos/a.png", skimage.data.astronaut()[:300, :400, ::-1])
    cv2.imwrite("photos/b.png", np.full((64, 64, 3), 128, np.uint8))
    torch.manual_seed(0)
    translated._load.cache_clear()
    return tmp_path / "checkpoint"


@pytest.fixture
def generate(call, folder):
    def generate(teacher, *more, out="pairs") -> int:
        return call(generate_data.main, "--teacher", teacher, "--photos", "photos", "--out", out, *SMALL, *more)

    return generate


def facts_of(pairs) -> list[dict]:
    for pair in pairs:
        facts = pair.facts()
        assert np.shape(facts["landmarks"]) == (68, 2) and facts["landmarks"] == facts["landmarks_full"]
        assert (
            pair.picture("photo").shape == pair.picture("full").shape == pair.picture("partial").shape == (128, 128, 3)
        )
    assert kind_of(pairs) == "drawn"
    return [pair.facts() for pair in pairs]


def test_whitebox_makes_drawn_pairs_that_the_starter_learns(generate, folder, capsys):
    checkpoints.save_whitebox(folder / presets.WHITEBOX_FILE, copying_whitebox())
    assert generate("whitebox", "--count", 2) == 0
    assert "1 drawn, 1 without a face" in capsys.readouterr().out
    pairs = index_pairs(["pairs"])
    (first,) = facts_of(pairs)
    assert first["style"] == "whitebox" and 0.1 <= first["degree"] <= 0.9
    photo, full = (pairs[0].picture(name).astype(int) for name in ("photo", "full"))
    assert 0 < np.abs(photo - full).mean() < 12
    item = DrawnPairs(pairs, ["whitebox"], seed=0)[0]
    assert item["x"].shape == (3, 96, 96) and item["y"].shape == (3, 384, 384)
    note = json.loads((folder.parent / "pairs" / "options.json").read_text())
    assert len(note["styles"][0]["files"][0]) == 16
    before = pairs[0].read("full.jpg")
    (folder.parent / "pairs" / "pairs-00000.tar").unlink()
    assert generate("whitebox", "--count", 2) == 0
    assert index_pairs(["pairs"])[0].read("full.jpg") == before
    network = copying_whitebox()
    network.last.bias.data.add_(0.1)
    checkpoints.save_whitebox(folder / presets.WHITEBOX_FILE, network)
    assert generate("whitebox", "--count", 2) == 2
    assert "other options (styles)" in capsys.readouterr().err


def test_ugatit_takes_photos_as_ffhq_frames_them_and_has_no_degrees(generate, capsys):
    checkpoints.save_ugatit("mine.pt", Ugatit(UgatitConfig(width=4, blocks=1, size=128), 4))
    assert generate("ugatit", "--ckpt", "mine.pt", "--count", 2, "--seed", 1) == 0
    (pair,) = index_pairs(["pairs"])
    (facts,) = facts_of([pair])
    assert (facts["style"], facts["degree"]) == ("mine", 1.0)
    assert pair.read("full.jpg") == pair.read("partial.jpg")
    left, right = np.array(eye_centres(np.float32(facts["landmarks"])))
    assert 0.2 < (right - left)[0] / 128 < 0.3 and abs((left + right)[0] / 2 - 64) < 8
    assert "learnt from pictures" not in capsys.readouterr().out


def test_adain_has_a_style_for_each_picture(generate, vgg_and_decoder, small_pictures, capsys):  # noqa: F811
    assert generate("adain", "--style_image", "one.png", "two.png") == 0
    facts = facts_of(pairs := index_pairs(["pairs"]))
    assert [each["style"] for each in facts] == ["one", "two"] and facts[0]["degree"] != facts[1]["degree"]
    assert facts[0]["own_colours"]
    assert np.abs(pairs[0].picture("full").astype(int) - pairs[1].picture("full")).mean() > 1
    assert np.abs(pairs[0].picture("full").astype(int) - pairs[0].picture("partial")).mean() > 1
    assert generate("adain", "--style_image", "one.png", "--keep_colors", out="kept") == 0
    kept = index_pairs(["kept"])[0]
    assert np.abs(kept.picture("full").astype(int) - pairs[0].picture("full")).mean() > 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ugatit"], "--ckpt is missing"),
        (["ugatit", "--ckpt", "full.pt"], "give --size 64"),
        (["ugatit", "--ckpt", "none.pt"], "none.pt does not exist"),
        (["whitebox"], "convert_whitebox"),
        (["whitebox", "--ckpt", "full.pt"], "full.pt is not a White-box"),
        (["adain"], "--style_image is missing"),
        (["adain", "--style_image", "photos/a.png"], "vgg_normalised.pth"),
        (["adain", "--style_image", "photos/a.png", "photos/a.png"], "names a 2 times"),
    ],
)
def test_what_is_missing_is_one_sentence_before_anything_is_written(generate, folder, capsys, words, message):
    checkpoints.save_ugatit("full.pt", Ugatit(UgatitConfig(width=4, blocks=1, size=64, light=False), 4))
    assert generate(*words) == 2
    told = capsys.readouterr().err.strip()
    assert message in told and "\n" not in told
    assert not (folder.parent / "pairs").exists()
