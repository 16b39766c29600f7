"""generate_data.py with teacher networks: a stand-in draws in their place."""

import cv2
import numpy as np
import pytest

import generate_data
from model.common.errors import InputError
from model.training.data.shards import index_pairs
from model.training.generate import networks, write
from model.training.generate.networks import DualstyleData, ToonifyData
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


def test_pretrain_writes_features(run, tmp_path):
    assert run(tmp_path / "pairs", "--pretrain", teacher="dualstyle") == 0
    pairs = index_pairs([tmp_path / "pairs"])
    assert {pair.kind for pair in pairs} == {"features"} and "cartoon.jpg" not in pairs[0].parts
    assert cv2.imread(str(tmp_path / "pairs" / "preview.jpg")).shape == (7 * 256, 2 * 256, 3)


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


@pytest.mark.parametrize("teacher", ["drawn", "toonify", "dualstyle"])
def test_help_shows_the_options_of_the_chosen_teacher(call, capsys, teacher):
    assert call(generate_data.main, "--teacher", teacher, "--help") == 0
    shown = capsys.readouterr().out.partition("options:")[2]
    own = {"drawn": "--photos", "toonify": "--finetunegan_path", "dualstyle": "--exstyle_path"}
    assert [name for name, flag in own.items() if f"{flag} " in shown] == [teacher]
    assert "--out" in shown and "--pairs_per_shard" in shown


@pytest.mark.parametrize(("options", "training"), [(ToonifyData(), ToonifyOptions()), (DualstyleData(), DualOptions())])
def test_defaults_are_those_of_training(options, training):
    shared = vars(options).keys() & vars(training).keys()
    assert shared >= {"stylegan_path", "direction_path", "faceparsing_path", "style_encoder_path", "batch", "seed"}
    assert options.as_training() == training.resolved()
