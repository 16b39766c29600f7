"""generate_data.py with the drawn teacher."""

import tarfile
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import skimage.data

import generate_data
from model.training.data.shards import Result, index_pairs, list_styles
from model.training.generate import drawn
from model.training.generate.drawn import DrawnData


@pytest.fixture
def photo_folder(tmp_path):
    folder, astronaut, grey = tmp_path / "photos", skimage.data.astronaut(), np.full((64, 64, 3), 128, np.uint8)
    folder.mkdir()
    for name, picture in (("a.png", astronaut[:300, :400]), ("b.jpg", astronaut[:300, 60:400]), ("c.png", grey)):
        cv2.imwrite(str(folder / name), picture[..., ::-1])
    return folder


@pytest.fixture
def run(call):
    few = ("--size", 192, "--workers", 1, "--pairs_per_shard", 2)
    return lambda photos, out, *more: call(generate_data.main, "--photos", photos, "--out", out, *few, *more)


def test_generate_data_writes_pairs_and_goes_on_where_it_stopped(run, photo_folder, tmp_path, capsys):
    out = tmp_path / "pairs"
    assert run(photo_folder, out) == 0
    assert "2 drawn, 1 without a face" in capsys.readouterr().out
    parts = ("photo.jpg", "full.jpg", "partial.jpg", "json")
    with tarfile.open(out / "pairs-00000.tar") as tar:
        assert tar.getnames() == [f"{key}.{part}" for key in ("000000", "000001") for part in parts]
    pair, _ = index_pairs([out])
    photo, full, facts = pair.picture("photo"), pair.picture("full"), pair.facts()
    assert photo.shape == full.shape == (192, 192, 3) and np.abs(photo.astype(float) - full).mean() > 4
    assert (pair.kind, pair.source, pair.style) == ("drawn", "a.png", "film") and 0.1 < facts["degree"] < 0.9
    assert np.shape(facts["landmarks"]) == np.shape(facts["landmarks_full"]) == (68, 2)
    assert (out / "preview.jpg").stat().st_size > 1000

    first = (out / "pairs-00000.tar").read_bytes()
    (out / "pairs-00000.tar").unlink()
    untouched = (out / "pairs-00001.tar").stat().st_mtime_ns
    assert run(photo_folder, out) == 0
    assert (out / "pairs-00000.tar").read_bytes() == first
    assert (out / "pairs-00001.tar").stat().st_mtime_ns == untouched
    assert "1 of them finished" in capsys.readouterr().out


def test_an_interrupted_shard_leaves_no_file(run, photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(drawn, "draw", Mock(side_effect=KeyboardInterrupt))
    assert run(photo_folder, tmp_path / "pairs") == 130
    assert not list((tmp_path / "pairs").glob("*.tar*"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--style", "oil"], "oil"),
        (["--style", "film", "film"], "film 2 times"),
        (["--teacher", "robot"], "robot"),
        (["--size", "8"], "--size is 8"),
        (["--finetunegan_path", "G1.pt"], "--finetunegan_path G1.pt belongs to no option"),
        (["--photos", "nowhere"], "nowhere is not a folder"),
        (["--photos", "empty"], "o pictures ("),
        (["--out", "file"], "annot write to"),
    ],
)
def test_impossible_options_exit_with_a_sentence(run, photo_folder, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("taken")
    assert run(photo_folder, tmp_path / "pairs", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


def test_a_larger_count_repeats_photos_and_a_smaller_one_spreads_over_them(photo_folder, tmp_path):
    few, many = (drawn.list_jobs(DrawnData(photos=[photo_folder], out=tmp_path, count=count)) for count in (2, 5))
    assert [(job.source[0], job.variant) for job in few] == [("a", 0), ("b", 0)]
    assert [(job.source[0], job.variant) for job in many] == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1)]


@pytest.fixture
def own_style(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("saturation = 0.5\nexposure_lift = 15\n")
    return file


def test_every_photo_is_drawn_in_every_style_from_one_framing(run, photo_folder, own_style, tmp_path, capsys):
    out, alone = tmp_path / "pairs", tmp_path / "alone"
    assert run(photo_folder, out, "--style", "film", own_style, "--pairs_per_shard", 5) == 0
    assert "4 drawn, 2 without a face" in capsys.readouterr().out
    assert run(photo_folder, alone, "--pairs_per_shard", 5) == 0
    pairs, film_alone = index_pairs([out]), index_pairs([alone])
    # Five pairs would part a photo: four is what fits.
    sources = [(pair.key, pair.style, pair.source[0]) for pair in pairs]
    assert sources == list(zip(("000000", "000001", "000002", "000003"), ("film", "mine") * 2, "aabb", strict=True))
    assert list_styles(pairs) == ["film", "mine"] and {pair.shard.name for pair in pairs} == {"pairs-00000.tar"}
    for film, mine, single in zip(pairs[::2], pairs[1::2], film_alone, strict=True):
        assert film.read("photo.jpg") == mine.read("photo.jpg") == single.read("photo.jpg")
        assert film.read("full.jpg") == single.read("full.jpg") and film.facts() == single.facts()
        assert np.abs(film.picture("full").astype(int) - mine.picture("full")).mean() > 2
        assert film.facts()["landmarks"] == mine.facts()["landmarks"]
        assert film.facts()["degree"] != mine.facts()["degree"]


def test_the_shards_are_the_same_from_any_number_of_processes(run, photo_folder, own_style, tmp_path):
    (photo_folder / "c.png").unlink()  # faces are sought longest where there are none
    for workers in (1, 2):
        assert run(photo_folder, tmp_path / str(workers), "--style", own_style, "film", "--workers", workers) == 0
    files = list((tmp_path / "1").iterdir())
    assert len(files) == 4, "two shards, the options and the preview"
    for file in files:
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


@pytest.mark.parametrize(("more", "differing"), [(["--seed", 7], "seed"), ([], "styles")])
def test_other_options_are_refused(run, photo_folder, own_style, tmp_path, monkeypatch, capsys, more, differing):
    monkeypatch.setattr(drawn, "draw", lambda job: [Result(key, {}, "unreadable") for key in job.keys])
    for _ in range(2):
        assert run(photo_folder, tmp_path / "pairs", "--style", own_style) == 0
    if differing == "styles":
        own_style.write_text("saturation = 0.6\nexposure_lift = 15\n")
    assert run(photo_folder, tmp_path / "pairs", "--style", own_style, *more) == 2
    assert f"other options ({differing})" in capsys.readouterr().err
