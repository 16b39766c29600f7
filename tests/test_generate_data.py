import os
import tarfile
from dataclasses import replace
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import skimage.data

import generate_data
from model.common.errors import InputError
from model.common.files import alone
from model.training.data.shards import Result, index_pairs, list_styles
from model.training.generate import drawn, networks, write
from model.training.generate.options import DrawnData, DualstyleData, ToonifyData
from model.training.generate.photos import list_jobs
from model.training.options import DualOptions, ToonifyOptions
from tests.stand_in import StandIn

COUNT, SHARDS = 7, ["pairs-00000.tar", "pairs-00001.tar", "pairs-00002.tar", "pairs-00003.tar"]


@pytest.fixture
def teachers(monkeypatch):
    """The stand-ins that were loaded, in order."""
    loaded = []
    monkeypatch.setattr(networks, "load_teacher", lambda given, *_: loaded.append(StandIn(given.seed)) or loaded[-1])
    return loaded


@pytest.fixture
def run(call, teachers, tmp_path):
    """A function that draws seven pairs in shards of two. Each file is named as its option."""
    for name in ("stylegan", "finetunegan", "faceparsing", "exstyle"):
        (tmp_path / name).write_bytes(name.encode())

    def run(out, *more, teacher="toonify", count=COUNT) -> int:
        names = ("stylegan", "faceparsing", "finetunegan" if teacher == "toonify" else "exstyle")
        given = [word for name in names for word in (f"--{name}_path", tmp_path / name)]
        few = ("--count", count, "--pairs_per_shard", 2, "--config", "tiny", "--device", "cpu")
        return call(generate_data.main, "--teacher", teacher, "--out", out, *given, *few, *more)

    return run


def become(monkeypatch, rank, world):
    """Make what follows one of several processes, as torchrun does."""
    for name, value in (("RANK", rank), ("WORLD_SIZE", world), ("LOCAL_WORLD_SIZE", world)):
        monkeypatch.setenv(name, str(value))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_pairs_are_those_of_the_teacher_in_order(run, tmp_path, capsys):
    assert run(tmp_path / "pairs", "--seed", 5) == 0
    output = capsys.readouterr()
    assert "7 pairs in 4 shards, 0 of them finished" in output.out and "7 drawn" in output.out
    assert "7/7" in output.err  # the progress bar
    pairs = index_pairs([tmp_path / "pairs"])
    assert [pair.key for pair in pairs] == [f"{n:06d}" for n in range(COUNT)]
    drawn = StandIn(seed=5).sample(range(COUNT), None)
    for n, pair in enumerate(pairs):
        photo = (drawn.photo[n].permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(pair.picture("photo") - photo).mean() < 2 and pair.picture("cartoon").shape == photo.shape
        wanted = {"teacher": "toonify", "seed": 5, "number": n, "kind": "stylised", "degree": drawn.degree[n].item()}
        assert pair.facts().items() >= wanted.items() and pair.facts()["affine"] == drawn.affine[n].tolist()
    assert cv2.imread(str(tmp_path / "pairs" / "preview.jpg")).shape == (7 * 256, 3 * 256, 3)
    assert sorted(contents(tmp_path / "pairs")) == ["options.json", *SHARDS, "preview.jpg"]

    assert run(tmp_path / "features", "--pretrain", teacher="dualstyle") == 0
    pairs = index_pairs([tmp_path / "features"])
    assert {pair.kind for pair in pairs} == {"features"} and "cartoon.jpg" not in pairs[0].parts
    assert cv2.imread(str(tmp_path / "features" / "preview.jpg")).shape == (7 * 256, 2 * 256, 3)


def test_batches_and_processes_change_nothing(run, teachers, tmp_path, monkeypatch, capsys):
    assert run(tmp_path / "alone", "--batch", 4) == 0
    assert run(tmp_path / "small", "--batch", 1) == 0
    capsys.readouterr()
    for rank in (2, 0, 1):
        become(monkeypatch, rank, 3)
        assert run(tmp_path / "shared", "--batch", 2) == 0
        assert (tmp_path / "shared" / "preview.jpg").exists() == (rank == 1), "the last one sees all shards"
        assert (tmp_path / "shared" / "options.json").exists() == (rank != 2)
        output = capsys.readouterr()
        assert ("pair" in output.out, "pair" in output.err) == (rank == 0, rank == 0)
    assert contents(tmp_path / "alone") == contents(tmp_path / "small") == contents(tmp_path / "shared")
    alone, small, third, first, second = (teacher.asked for teacher in teachers)
    assert alone == [[0, 1], [2, 3], [4, 5], [6]] and small == [[n] for n in range(COUNT)]
    assert (first, second, third) == ([[0, 1], [6]], [[2, 3]], [[4, 5]])


def test_a_stopped_run_goes_on_with_the_missing_shards(run, teachers, tmp_path, monkeypatch, capsys):
    assert run(tmp_path / "whole") == 0
    out, sample = tmp_path / "parted", StandIn.sample

    def interrupt(self, numbers, progress):
        if 6 in numbers:
            raise KeyboardInterrupt
        return sample(self, numbers, progress)

    monkeypatch.setattr(StandIn, "sample", interrupt)
    assert run(out) == 130
    assert "finished shards are kept, and the same command goes on" in capsys.readouterr().err
    assert sorted(contents(out)) == ["options.json", *SHARDS[:2]], "the batch before the last was being encoded"
    monkeypatch.setattr(StandIn, "sample", sample)
    (out / SHARDS[0]).unlink()
    kept = (out / SHARDS[1]).stat().st_mtime_ns
    assert run(out) == 0
    assert contents(out) == contents(tmp_path / "whole")
    assert (out / SHARDS[1]).stat().st_mtime_ns == kept and teachers[-1].asked == [[0, 1], [4, 5], [6]]


@pytest.mark.parametrize(("rank", "kept"), [(0, SHARDS[:2]), (1, SHARDS[1:2])])
def test_a_full_disk_is_one_sentence_and_leaves_whole_shards(run, tmp_path, monkeypatch, capsys, rank, kept):
    """In a later process, too: the first one, which speaks for all, may have room."""
    add, full = write.write_shard, SHARDS[2 + rank]

    def fill_up(path, pairs):
        if path.name == full:
            raise InputError(f"{path} can't be written (No space left on device).")
        add(path, pairs)

    monkeypatch.setattr(write, "write_shard", fill_up)
    become(monkeypatch, rank, rank + 1)
    assert run(tmp_path / "pairs") == 2
    assert f"{full} can't be written (No space left on device)" in capsys.readouterr().err
    assert sorted(contents(tmp_path / "pairs")) == [*(["options.json"] if rank == 0 else []), *kept]


@pytest.mark.parametrize(
    ("more", "differing"), [(["--seed", 1], "seed"), (["--pretrain"], "pretrain"), (["--weight", *[1] * 14], "weight")]
)
def test_other_options_for_the_same_folder_are_refused(run, tmp_path, capsys, more, differing):
    assert run(tmp_path / "pairs", count=2) == 0
    before = contents(tmp_path / "pairs")
    assert run(tmp_path / "pairs", *more, count=2) == 2
    assert f"holds pairs of other options ({differing}): give --out another folder" in capsys.readouterr().err
    assert contents(tmp_path / "pairs") == before


def test_one_run_at_a_time_fills_a_folder(run, tmp_path, monkeypatch, capsys):
    with alone(tmp_path / "pairs" / ".lock", "it"):
        assert run(tmp_path / "pairs", count=2) == 2
        assert f"another run is at work on {tmp_path / 'pairs'}: " in capsys.readouterr().err
        assert contents(tmp_path / "pairs").keys() == {".lock"}
        become(monkeypatch, 1, 2)
        assert run(tmp_path / "pairs") == 0, "another process of the same run"


def test_files_may_move_but_not_change(run, tmp_path, capsys):
    assert run(tmp_path / "pairs", count=2) == 0
    (tmp_path / "moved").write_bytes((tmp_path / "stylegan").read_bytes())
    assert run(tmp_path / "pairs", "--stylegan_path", tmp_path / "moved", "--batch", 1, count=2) == 0
    (tmp_path / "finetunegan").write_bytes(b"another style")
    assert run(tmp_path / "pairs", count=2) == 2
    assert "other options (finetunegan)" in capsys.readouterr().err
    (tmp_path / "pairs" / "options.json").write_text("{")
    assert run(tmp_path / "pairs", count=2) == 2
    assert "options.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("teacher", "more", "message"),
    [
        ("toonify", ["--batch", "0"], "--batch is 0"),
        ("toonify", ["--weight", "1", "0"], "--weight has 2 numbers: give 14"),
        ("toonify", ["--config", "starter"], "starter"),
        ("toonify", ["--photos", "folder"], "--photos folder belongs to no option"),
        ("dualstyle", ["--style_degree", "2"], "--style_degree is 2"),
        ("dualstyle", ["--pairs_per_shard", "0"], "--pairs_per_shard is 0"),
    ],
)
def test_impossible_options_exit_with_a_sentence(run, tmp_path, capsys, teacher, more, message):
    assert run(tmp_path / "pairs", *more, teacher=teacher) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize("teacher", ["drawn", "example", "ugatit", "keyframe", "toonify", "dualstyle"])
def test_help_shows_the_options_of_the_chosen_teacher(call, capsys, teacher):
    assert call(generate_data.main, "--teacher", teacher, "--help") == 0
    shown = capsys.readouterr().out.partition("options:")[2]
    own = {"drawn": "--style", "example": "--style_image", "keyframe": "--keyframe"}
    own |= {"ugatit": "--ckpt", "toonify": "--finetunegan_path", "dualstyle": "--exstyle_path"}
    assert [name for name, flag in own.items() if f"{flag} " in shown] == [teacher]
    assert "--out" in shown and "--pairs_per_shard" in shown


@pytest.mark.parametrize(("options", "training"), [(ToonifyData(), ToonifyOptions()), (DualstyleData(), DualOptions())])
def test_defaults_are_those_of_training(options, training):
    shared = vars(options).keys() & vars(training).keys()
    assert shared >= {"stylegan_path", "direction_path", "faceparsing_path", "style_encoder_path", "batch", "seed"}
    assert options.as_training() == training.resolved()


@pytest.fixture
def photo_folder(tmp_path):
    folder, astronaut, grey = tmp_path / "photos", skimage.data.astronaut(), np.full((64, 64, 3), 128, np.uint8)
    folder.mkdir()
    for name, picture in (("a.png", astronaut[:300, :400]), ("b.jpg", astronaut[:300, 60:400]), ("c.png", grey)):
        cv2.imwrite(str(folder / name), picture[..., ::-1])
    return folder


@pytest.fixture
def run_drawn(call):
    few = ("--size", 192, "--workers", 1, "--pairs_per_shard", 2)
    return lambda photos, out, *more: call(generate_data.main, "--photos", photos, "--out", out, *few, *more)


def test_generate_data_writes_pairs_and_goes_on_where_it_stopped(run_drawn, photo_folder, tmp_path, capsys):
    out = tmp_path / "pairs"
    assert run_drawn(photo_folder, out) == 0
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
    assert run_drawn(photo_folder, out) == 0
    assert (out / "pairs-00000.tar").read_bytes() == first
    assert (out / "pairs-00001.tar").stat().st_mtime_ns == untouched
    assert "1 of them finished" in capsys.readouterr().out


def test_an_interrupted_shard_leaves_no_file(run_drawn, photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(drawn, "draw", Mock(side_effect=KeyboardInterrupt))
    assert run_drawn(photo_folder, tmp_path / "pairs") == 130
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
def test_impossible_drawn_options_exit(run_drawn, photo_folder, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("taken")
    photos, *more = more[1:] if more[0] == "--photos" else (photo_folder, *more)
    assert run_drawn(photos, tmp_path / "pairs", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


def test_photos_that_give_no_pair_are_an_error(run_drawn, photo_folder, tmp_path, capsys):
    for path in photo_folder.glob("[ab].*"):
        path.unlink()
    assert run_drawn(photo_folder, tmp_path / "pairs") == 2
    assert "no pair could be made (1 without a face)" in capsys.readouterr().err


def test_a_larger_count_repeats_photos_and_a_smaller_one_spreads_over_them(photo_folder, tmp_path):
    options = DrawnData(photos=[photo_folder], out=tmp_path)
    few, many = (list_jobs(replace(options, count=count), ["one style"]) for count in (2, 5))
    assert [(job.source[0], job.variant) for job in few] == [("a", 0), ("b", 0)]
    assert [(job.source[0], job.variant) for job in many] == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1)]


@pytest.fixture
def own_style(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("saturation = 0.5\nexposure_lift = 15\n")
    return file


def test_every_photo_is_drawn_in_every_style_from_one_framing(run_drawn, photo_folder, own_style, tmp_path, capsys):
    out, alone = tmp_path / "pairs", tmp_path / "alone"
    assert run_drawn(photo_folder, out, "--style", "film", own_style, "--pairs_per_shard", 5) == 0
    assert "4 drawn, 2 without a face" in capsys.readouterr().out
    assert run_drawn(photo_folder, alone, "--pairs_per_shard", 5) == 0
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


def test_the_shards_are_the_same_from_any_number_of_processes(run_drawn, photo_folder, own_style, tmp_path):
    (photo_folder / "c.png").unlink()  # faces are sought longest where there are none
    before = dict(os.environ)
    for workers in (1, 2):
        assert run_drawn(photo_folder, tmp_path / str(workers), "--style", own_style, "film", "--workers", workers) == 0
    assert dict(os.environ) == before, "what the processes are told is not for this one"
    files = list((tmp_path / "1").iterdir())
    assert len(files) == 4, "two shards, the options and the preview"
    for file in files:
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_another_style_of_the_same_name_is_refused(run_drawn, photo_folder, own_style, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(drawn, "draw", lambda job: [Result(key, {}, "unreadable") for key in job.keys])
    for code in (2, 0):  # no pair at all is an error, once
        assert run_drawn(photo_folder, tmp_path / "pairs", "--style", own_style) == code
    own_style.write_text("saturation = 0.6\nexposure_lift = 15\n")
    assert run_drawn(photo_folder, tmp_path / "pairs", "--style", own_style) == 2
    assert "other options (styles)" in capsys.readouterr().err
