"""Style data of the mobile pipeline: fused generators, drawn and chosen pictures, sifted pairs, and the table."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import write_contents
from model.config import GeneratorConfig, MobileConfig, UgatitConfig
from model.mobile import draw, fuse, pick, sift, table
from model.mobile_unet import MobileUNet
from model.stylegan2 import Generator
from model.training.data.shards import encode_pair, index_pairs, write_shard
from model.training.options import RECIPES
from model.ugatit import Ugatit
from tests.portrait import LANDMARKS

NARROW = GeneratorConfig(
    size=64, style_dim=8, mapping_layers=2, structure_size=8, channels=dict.fromkeys((4, 8, 16, 32, 64), 8)
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two generators of one base and one of another, as the working folder."""
    monkeypatch.chdir(tmp_path)
    small = RECIPES["small"]
    monkeypatch.setitem(RECIPES, "small", replace(small, network=replace(small.network, generator=NARROW)))
    torch.manual_seed(0)
    base, other = Generator(NARROW), Generator(NARROW)
    write_contents("a.pt", {"g_ema": base.state_dict()})
    write_contents("other.pt", {"g_ema": other.state_dict()})
    with torch.no_grad():
        for name, value in base.named_parameters():
            if name.startswith(("convs", "to_rgbs", "conv1", "to_rgb1")):
                value.add_(torch.randn_like(value))
    write_contents("b.pt", {"g_ema": base.state_dict()})
    return tmp_path


def fused(call, *words) -> Generator:
    assert call(fuse.main, "--coarse", "a.pt", "--fine", "b.pt", "--config", "small", "--out", "f.pt", *words) == 0
    network = checkpoints.load_generator("f.pt", NARROW)
    Path("f.pt").unlink()
    return network


def test_coarse_layers_are_of_one_generator_and_fine_ones_of_the_other(call, place):
    a, b = (checkpoints.load_generator(name, NARROW) for name in ("a.pt", "b.pt"))
    network = fused(call, "--layer", "4")
    for name, value in network.named_parameters():
        layer = 1 + int(name.split(".")[1]) if name.startswith("convs") else None
        if layer is not None:
            assert (value == (a if layer < 4 else b).get_parameter(name)).all(), name
    half = fused(call, "--weight", *["0.5"] * NARROW.w_layers)
    name = next(name for name, _ in half.named_parameters() if name.startswith("convs.3") and name.endswith("weight"))
    mean = (a.get_parameter(name) + b.get_parameter(name)) / 2
    assert torch.allclose(half.get_parameter(name), mean, atol=1e-6)


def test_shares_fall_along_a_sigmoid():
    assert fuse.layer_shares(4, 2, 0) == [1, 1, 0, 0]
    soft = fuse.layer_shares(4, 2, 1.0)
    assert soft == sorted(soft, reverse=True) and soft[1] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert soft[0] + soft[3] == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fine", "other.pt"), "different bases"),
        (("--weight", "1", "0"), "has 2 numbers"),
        (("--layer", "99"), "has 10 layers"),
        (("--weight", *["1"] * 10, "--layer", "3"), "exclude each other"),
        (("--out", "b.pt"), "already exists"),
        (("--out", ""), "--out is missing"),
    ],
)
def test_what_cannot_be_fused_is_one_sentence(call, place, capsys, words, told):
    line = ["--coarse", "a.pt", "--fine", "b.pt", "--config", "small", "--out", "f.pt", *words]
    assert call(fuse.main, *line) == 2 and told in capsys.readouterr().err and not Path("f.pt").exists()


def test_pictures_are_drawn_numbered_and_chosen(call, place, capsys):
    line = ["--stylegan_path", "b.pt", "--config", "small", "--count", "6", "--out", "drawn", "--device", "cpu"]
    assert call(draw.main, *line) == 0
    first = {path.name: path.read_bytes() for path in Path("drawn").glob("*.png")}
    assert sorted(first) == [f"{n:05d}.png" for n in range(6)] and len(set(first.values())) == 6
    assert cv2.imread("drawn/sheets/000.jpg").shape == (draw.CELL, draw.COLUMNS * draw.CELL, 3)
    Path("drawn/00002.png").unlink()  # a stopped run goes on, and draws the same
    assert call(draw.main, *line) == 0
    assert all(Path("drawn", name).read_bytes() == data for name, data in first.items())
    assert call(pick.main, "--drawn", "drawn", "--keep", "0", "3-4", "--out", "kept") == 0
    assert call(pick.main, "--drawn", "drawn", "--drop", "0", "3-4", "--out", "rest") == 0
    assert [path.name[4] for path in sorted(Path("kept").iterdir())] == ["0", "3", "4"]
    assert [path.name[4] for path in sorted(Path("rest").iterdir())] == ["1", "2", "5"]
    for words, told in (
        (("--keep", "6"), "none of the 6 pictures"), (("--keep", "x"), "x is no number"), ((), "--keep or --drop"),
    ):  # fmt: skip
        assert call(pick.main, "--drawn", "drawn", "--out", "no", *words) == 2 and told in capsys.readouterr().err


def test_given_codes_and_a_second_generator_are_taken(call, place, capsys, monkeypatch):
    codes = np.random.default_rng(0).standard_normal((2, NARROW.w_layers, NARROW.style_dim)).astype(np.float32)
    np.save("codes.npy", codes)
    line = ["--stylegan_path", "a.pt", "--config", "small", "--codes", "codes.npy", "--device", "cpu"]
    assert call(draw.main, *line, "--out", "once") == 0 and len(list(Path("once").glob("*.png"))) == 2

    class Reader:
        def w_codes(self, pictures):
            assert pictures.shape == (1, 3, 64, 64) and pictures.abs().max() <= 1
            return torch.from_numpy(codes[:1])

    monkeypatch.setattr(draw.FaceEncoder, "load", lambda path, generator: Reader())
    assert call(draw.main, *line, "--out", "twice", "--through", "b.pt", "--encoder_path", "e.pt") == 0
    once, twice = (cv2.imread(f"{folder}/00000.png").astype(int) for folder in ("once", "twice"))
    assert np.abs(once - twice).max() > 8
    assert (
        call(draw.main, *line, "--out", "no", "--through", "b.pt") == 2 and "belong together" in capsys.readouterr().err
    )


@pytest.fixture
def pairs(place):
    """Ten pairs, the last of them noise."""
    rng, stored = np.random.default_rng(0), []
    landmarks = (20 + (LANDMARKS - LANDMARKS.min(0)) / np.ptp(LANDMARKS) * 56).tolist()
    for number in range(10):
        photo = rng.integers(60, 200, (6, 6, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        full = 255 - photo if number < 9 else rng.integers(0, 256, photo.shape).astype(np.uint8)
        facts = {"style": "night", "degree": 1.0, "source": str(number)}
        facts |= {"landmarks": landmarks, "landmarks_full": landmarks}
        stored.append((f"{number:06d}", encode_pair(photo, full, full, facts)))
    write_shard(place / "pairs" / "pairs-00000.tar", stored)
    return place


def test_the_worst_pairs_are_left_out(call, pairs, capsys, monkeypatch):
    torch.manual_seed(0)
    checkpoints.save_ugatit("u.pt", Ugatit(UgatitConfig(width=2, blocks=1, size=96), 2))
    # Random networks find nothing: scores are how rough a picture is.
    monkeypatch.setattr(sift, "score", lambda networks, photo, picture: (picture.diff(dim=-1).abs().mean().item(),) * 2)
    assert call(sift.main, "--pairs", "pairs", "--ckpt", "u.pt", "--drop", "0.1", "--out", "good") == 0
    assert "9 pairs are in good, 1 were left out" in capsys.readouterr().out
    assert [pair.source for pair in index_pairs(["good"])] == [str(number) for number in range(9)]
    assert Path("good/sheet.jpg").exists()
    assert call(sift.main, "--pairs", "pairs", "--ckpt", "u.pt", "--out", "good") == 2
    assert "holds pairs already" in capsys.readouterr().err
    assert call(sift.main, "--pairs", "pairs", "--ckpt", "a.pt", "--out", "other") == 2
    assert "U-GAT-IT" in capsys.readouterr().err


def test_a_score_is_doubt_and_what_is_lost_on_the_way_back():
    torch.manual_seed(0)
    networks = Ugatit(UgatitConfig(width=2, blocks=1, size=96), 2).eval()
    photo, picture = torch.rand(2, 1, 3, 96, 96) * 2 - 1
    doubt, lost = sift.score(networks, photo, picture)
    back = networks.genB2A(picture)[0]
    assert doubt > 0 and lost == pytest.approx((back - photo).abs().mean().item(), rel=1e-5)
    assert sift.order_of(np.array([[3, 1], [1, 2], [2, 3]])).tolist() == [1, 0, 2]


def test_the_table_tells_sharpness_and_distances(call, pairs, capsys, monkeypatch):
    monkeypatch.setattr("model.training.data.framed.SIDE", 64)
    monkeypatch.setattr(table, "SIDE", 64)
    torch.manual_seed(0)
    sizes = MobileConfig(widths=(4, 6, 8), blocks=(1, 1), eye_distance=32.0)
    for name in ("one", "two"):
        network = MobileUNet(sizes)
        with torch.no_grad():
            network.tail[-1].weight.mul_(0 if name == "one" else 3)
        checkpoints.save_pixel_network(f"{name}/mobile.pt", network)
    line = ["--students", "one/mobile.pt", "two/mobile.pt", "--pairs", "pairs", "--learnt", "pairs", "--device", "cpu"]
    assert call(table.main, *line, "--out", "t.md") == 0
    cells = {row[0]: row[1:] for row in (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in Path("t.md").read_text().splitlines()[2:]
    )}  # fmt: skip
    assert list(cells) == ["photo", "teacher", "one", "two"]
    assert cells["one"][0] == cells["photo"][0] != cells["two"][0]  # `one` changes nothing
    assert cells["teacher"][1] == "" and cells["photo"][1] == cells["one"][1] and float(cells["one"][1]) > 40
    assert float(cells["teacher"][2]) <= float(cells["one"][2])
    assert cv2.imread("t.jpg").shape == (8 * 64, 4 * 64, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--pairs",), "--pairs is missing"),
        (("--names", "a", "b"), "2 names for 1 students"),
        (("--students", "a.pt"), "student for phones"),
        (("--style", "day"), "0 pairs of day"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(call, pairs, capsys, words, told):
    checkpoints.save_pixel_network("s.pt", MobileUNet(MobileConfig(widths=(4, 6), blocks=(1,))))
    options = {"--students": ["s.pt"], "--pairs": ["pairs"], "--learnt": ["pairs"]} | {words[0]: list(words[1:])}
    line = [word for name, values in options.items() if values for word in (name, *values)]
    assert call(table.main, *line, "--out", "t.md") == 2 and told in capsys.readouterr().err
    assert not Path("t.md").exists()


def test_shares_and_folders_are_checked():
    with pytest.raises(InputError, match="--drawn is missing|name a folder"):
        pick.pick(pick.Options(keep=["1"], out="x"))
    with pytest.raises(InputError, match="--out is missing"):
        draw.draw(draw.Options())
