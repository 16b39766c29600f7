"""Training of a student for phones: what it learns from, its steps of losses, its state."""

import numpy as np
import pytest
import torch

from model import checkpoints
from model.common.errors import InputError
from model.config import MOBILE_CLASSES, MobileConfig
from model.mobile.student import Options, train_student
from model.training.data.framed import SIDE, FramedPairs
from model.training.data.shards import encode_pair, index_pairs, write_shard
from tests.portrait import LANDMARKS
from tests.runs import assert_stopped_and_resumed_is_whole, log_of

TINY = MobileConfig(widths=(4, 6, 8), blocks=(1, 1), eye_distance=32.0)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """A small network, small pictures, and no VGG on disk."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(MOBILE_CLASSES, "0.5", TINY)
    monkeypatch.setattr("model.training.data.framed.SIDE", 64)
    monkeypatch.setattr("model.mobile.trainer.SIDE", 64)


@pytest.fixture
def landmarks():
    """Of a face in a picture of 96 pixels."""
    return 20 + (LANDMARKS - LANDMARKS.min(0)) / np.ptp(LANDMARKS) * 56


@pytest.fixture
def pairs(tmp_path, landmarks):
    """Three photos, of blocks, and their negatives."""
    rng, stored = np.random.default_rng(0), []
    for number in range(3):
        photo = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        facts = {"style": "night", "degree": 0.5, "source": str(number)}
        facts |= {"landmarks": landmarks.tolist(), "landmarks_full": landmarks.tolist()}
        stored.append((f"{number:06d}", encode_pair(photo, 255 - photo, photo, facts)))
    (tmp_path / "pairs").mkdir()
    write_shard(tmp_path / "pairs" / "pairs-00000.tar", stored)
    return tmp_path / "pairs"


@pytest.fixture
def options(pairs, tmp_path):
    fixed = {"batch": 4, "workers": 0, "device": "cpu", "precision": "fp32", "iter": 4, "pairs": [str(pairs)]}
    fixed |= {"runs": str(tmp_path / "runs"), "output": str(tmp_path / "out")}
    return lambda **changes: Options(**fixed | {"name": "trial"} | changes)


def test_it_learns_the_style_and_its_file_says_how_large_faces_are(options):
    run = options(iter=150, lr=0.01, log_every=50, losses="pixel")
    path = train_student(run)
    first, *_, last = log_of(run)
    assert last["l1"] < 0.6 * first["l1"] and last["held_out_l1"] < 0.7 * first["held_out_l1"]
    network = checkpoints.load_mobile(path)
    assert path.name == "mobile.pt" and network.config == TINY


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ("pixel", {"l1"}),
        ("adversarial", {"l1", "discriminator", "adversarial", "features"}),
        ("edges", {"l1", "discriminator", "adversarial", "features", "edges"}),
        ("all", {"l1", "discriminator", "adversarial", "features", "edges"}),
    ],
)
def test_each_step_of_losses_has_those_before_it(options, losses, found):
    run = options(losses=losses, iter=2, log_every=1)
    train_student(run)
    assert log_of(run)[-1].keys() - {"step", "held_out_l1"} == found


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options):
    assert_stopped_and_resumed_is_whole(train_student, options(name="whole"), options(name="parted"), step=2)


def test_faces_are_framed_alike_and_varied_where_wished(pairs, landmarks):
    stored = index_pairs([pairs])
    plain, varied = (FramedPairs(stored, 12.0, 0, augmented=is_varied, edges=is_varied) for is_varied in (False, True))
    items = [plain[n] for n in range(8)]
    for item in items:
        inside = item["weight"][0] > 0
        assert ((item["x"] + item["y"]).abs().mean(0)[inside]).mean() < 0.1  # a negative, at the same place
        assert 0.2 < inside.float().mean() < 1  # what lies beyond the picture has no weight
        assert "smooth" not in item
    again = FramedPairs(stored, 12.0, 0, augmented=False, edges=False)
    assert all((again[n]["x"] == items[n]["x"]).all() for n in range(8))
    heavy = (items[0]["weight"][0] > 6).nonzero().float().mean(0)  # the eyes
    assert (heavy - torch.tensor([121 / 256, 0.5]) * 64).abs().max() < 4
    first = varied[0]
    assert first["smooth"].shape == first["y"].shape and (first["smooth"] != first["y"]).any()
    assert (first["y"] != plain[0]["y"]).any() and SIDE == 256


def test_one_style_is_learnt_and_chosen_by_name(options, pairs, landmarks):
    picture = np.full((96, 96, 3), 90, np.uint8)
    facts = {"kind": "drawn", "style": "other", "degree": 0.5, "source": "9"}
    facts |= {"landmarks": landmarks.tolist(), "landmarks_full": landmarks.tolist()}
    write_shard(pairs / "pairs-00001.tar", [("9", encode_pair(picture, picture, picture, facts))])
    with pytest.raises(InputError, match="several styles"):
        train_student(options())
    with pytest.raises(InputError, match="has no style third: choose of night, other"):
        train_student(options(style="third"))
    assert train_student(options(style="night", iter=1)).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": []}, "--pairs is missing"),
        ({"losses": "pixel", "adv_loss": 0.1}, "--losses pixel has no --adv_loss"),
        ({"losses": "adversarial", "edge_loss": 1.0}, "--losses adversarial has no --edge_loss"),
        ({"adv_loss": 0.0}, "--edge_loss needs a discriminator"),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(options, changes, message):
    with pytest.raises(InputError, match=message):
        train_student(options(**changes))


def test_a_student_goes_on_from_a_file_of_its_size(options, tmp_path, monkeypatch):
    path = train_student(options())
    start = checkpoints.load_mobile(path).state_dict()
    run = options(name="on", init_path=str(path), iter=1, lr=1e-20)
    assert all(
        torch.allclose(value, start[name])
        for name, value in checkpoints.load_mobile(train_student(run)).state_dict().items()
    )
    monkeypatch.setitem(MOBILE_CLASSES, "2", MobileConfig(widths=(6, 6, 8), blocks=(1, 1)))
    with pytest.raises(InputError, match="student for phones of this size"):
        train_student(options(name="wide", gmac="2", init_path=str(path)))
