"""U-GAT-IT learns from two folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import read_contents
from model.config import UgatitConfig
from model.training import ugatit as program
from model.training.trainer import make_accelerator
from model.training.ugatit import Options, UgatitTrainer, main, train_ugatit
from model.training.unpaired import memory, pictures
from model.training.unpaired import ugatit as steps
from model.ugatit import Ugatit
from tests.runs import assert_same, assert_stopped_and_resumed_is_whole, log_of, state_of
from tests.unpaired_folders import assert_wrong_folders_are_told, write_folders

ROOT = Path(__file__).parents[1]


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A function that makes options of short runs. Faces are not looked for."""
    monkeypatch.setattr(pictures, "find_all_landmarks", lambda rgb: [])
    photos, styles = write_folders(tmp_path)
    fixed = {"photos": photos, "style_images": styles, "runs": str(tmp_path / "runs"), "device": "cpu", "quiet": True}
    fixed |= {"size": 96, "width": 4, "blocks": 1, "light": True, "iter": 4, "log_every": 2}
    return lambda **changes: Options(**fixed | {"out": str(tmp_path / "mine.pt")} | changes)


@pytest.fixture
def trainer(options):
    """A function that puts together the networks of a run, as in a process of its own."""

    def trainer(**changes) -> UgatitTrainer:
        AcceleratorState._reset_state(reset_partial_state=True)
        resolved = options(**changes)
        return UgatitTrainer(resolved, make_accelerator(resolved))

    return trainer


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, tmp_path):
    runs = [options(name=name, out=str(tmp_path / f"{name}.pt")) for name in ("whole", "parted")]
    assert_stopped_and_resumed_is_whole(train_ugatit, *runs, step=3)
    state = state_of(runs[0])
    assert state["step"] == 4 and state["optimizer"]["state"] and state["discriminator_optimizer"]["state"]
    line = log_of(runs[0])[-1]
    assert {"discriminator", "D(real)", "D(fake)", "adversarial", "cycle", "identity", "attention"} <= line.keys()
    assert {"held_out_change", "held_out_cycle", "heat_contrast"} <= line.keys()
    assert cv2.imread(str(runs[0].folder / "preview-000004.jpg")).shape == (6 * 256, 6 * 256, 3)


def test_a_step_is_the_published_one_however_batches_are_added_up(trainer):
    run = trainer(lr=0.01, iter=100)
    torch.manual_seed(0)
    networks = Ugatit(UgatitConfig(4, 1, 96), 4)
    optimizers = steps.make_optimizer(networks.generators, 0.01), steps.make_optimizer(networks.discriminators, 0.01)
    rng = np.random.default_rng((0, 0, 0, 0))
    terms = steps.learn(networks, optimizers, run.drawn(run.photos, rng), run.drawn(run.styles, rng))
    found = run.advance()
    assert_same(dict(run.networks.state_dict()), dict(networks.state_dict()))
    assert found["cycle"] == pytest.approx(10 * (terms["G.cycle_A"] + terms["G.cycle_B"]).item(), rel=1e-5)
    assert found["discriminator"] == pytest.approx(
        sum(value for name, value in terms.items() if name.startswith("D.")).item(), rel=1e-5
    )
    both = trainer(lr=0.01, iter=100, batch=2), trainer(lr=0.01, iter=100, accumulate=2)
    assert both[0].advance().keys() == both[1].advance().keys()


def test_the_result_has_all_networks_and_is_a_style(options):
    run = options(iter=2)
    assert train_ugatit(run) == Path(run.out)
    contents, state = read_contents(run.out, "a U-GAT-IT"), state_of(run)
    assert contents.keys() == {*checkpoints.UGATIT_NETWORKS, "config"}
    assert torch.equal(contents["genB2A"]["gap_fc.weight"], state["ema"]["1.gap_fc.weight"])
    network = checkpoints.load_ugatit(run.out)
    assert network.config == UgatitConfig(4, 1, 96) and network(torch.zeros(1, 3, 32, 32))[0].shape == (1, 3, 32, 32)
    again = options(iter=1, init_path=run.out, out=run.out + "2", name="again", lr=1e-12)
    train_ugatit(again)
    torch.testing.assert_close(state_of(again)["ema"]["0.conv1x1.weight"], contents["genA2B"]["conv1x1.weight"])
    with pytest.raises(InputError, match="parameter .* has shape"):
        train_ugatit(options(init_path=run.out, out=run.out + "3", name="other", width=8))


@pytest.mark.slow
def test_photos_take_the_colours_of_the_style(options):
    run = options(iter=150, lr=2e-3, log_every=25, width=8, attention=100.0)
    train_ugatit(run)
    first, *_, last = (line for line in log_of(run) if "warning" not in line)
    assert last["cycle"] < 0.7 * first["cycle"] and last["held_out_cycle"] < 0.9 * first["held_out_cycle"]
    network = checkpoints.load_ugatit(run.out)
    folders = [pictures.CroppedFolder(path, 96, 96, "") for path in (run.photos, run.style_images)]
    photo, style = (folder.preview().mean((0, 2, 3)) for folder in folders)
    with torch.no_grad():
        result = network(folders[0].preview())[0].mean((0, 2, 3))
    assert (result - style).norm() < 0.7 * (photo - style).norm()


@pytest.mark.slow
def test_two_processes_come_close_to_one_with_two_batches(options, tmp_path):
    """But for spectral norms, which are estimated anew for each batch of a process."""
    run, logs = options(), []
    for processes in (1, 2):
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        words = [f"--{name}={getattr(run, name)}" for name in ("photos", "style_images", "size", "width", "blocks")]
        words += ["--light", "--device=cpu", "--iter=4", "--log_every=1", f"--runs={tmp_path / str(processes)}"]
        words += [f"--out={tmp_path / str(processes)}.pt", f"--accumulate={3 - processes}"]
        command = [sys.executable, *launcher, "-m", "model.training.ugatit", *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / str(processes) / "ugatit" / "log.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
    for one, two in zip(*logs, strict=True):
        assert one == pytest.approx(two, rel=0.05, abs=1e-3)
    assert logs[0][0]["cycle"] == pytest.approx(logs[1][0]["cycle"], rel=1e-5)


def test_known_failures_are_told_once_and_kept_in_the_log(options, capsys, monkeypatch):
    monkeypatch.setattr(program, "FLAT", 10.0)
    monkeypatch.setattr("model.training.unpaired.trainer.UNCHANGED", 300.0)
    run = options(iter=3, log_every=1)
    train_ugatit(run)
    told = capsys.readouterr().err
    assert told.count("results are the photos, but for") == 1 and told.count("heat maps are flat") == 1
    warnings = [line["warning"] for line in log_of(run) if "warning" in line]
    assert len(warnings) == 2 and "--identity (1)" in warnings[1] and "--attention (100)" in warnings[0]
    assert state_of(run)["warned"] == {"words": ["flat", "unchanged"]}


def test_results_that_went_astray_are_told(trainer, capsys):
    run = trainer(iter=3)
    photos = torch.zeros(2, 3, 8, 8)
    run.step = 3
    run.change(photos, photos + 0.9)
    assert "black and white" not in capsys.readouterr().err
    run.change(photos, torch.cat([photos, photos + 3])[1:3])
    assert "50% of the results is far beyond black and white" in capsys.readouterr().err


def test_a_flat_heat_map_is_no_number_that_is_not_finite(trainer):
    run = trainer()
    for network in run.ema:
        network.conv1x1.weight.zero_()
        network.conv1x1.bias.fill_(1.0)
    _, found = run.preview()
    assert found["heat_contrast"] == 0 and all(np.isfinite(value) for value in found.values())


def test_weights_of_losses_and_the_schedule_are_options(trainer):
    run = trainer(cycle=0.0, identity=0.0, attention=0.0, iter=4, lr=2.0)
    rates = []
    found = run.advance()
    assert found["cycle"] == found["identity"] == found["attention"] == 0 < found["adversarial"]
    for step in range(4):
        run.step = step
        rates.append(run.learning_rate())
    assert rates == [2.0, 2.0, 1.0, 0.0]


def test_memory_is_told_and_refused_before_anything_is_made(options, capsys, monkeypatch, tmp_path):
    assert train_ugatit(options(dry_run=True)) is None
    assert "memory: about" in capsys.readouterr().out
    monkeypatch.setattr(memory, "free_memory", lambda device: 1 << 20)
    with pytest.raises(InputError, match="takes more memory than there is, about .* GiB .*: lower --size"):
        train_ugatit(options())
    assert not (tmp_path / "runs").exists()


def test_the_estimate_counts_what_is_kept_for_the_backward_pass():
    with torch.device("meta"):
        network, x = torch.nn.Conv2d(3, 5, 3), torch.empty(2, 3, 10, 10)
    kept = memory.activation_bytes(network, lambda: network(x).tanh().square())
    assert kept == 4 * (2 * 3 * 100 + 2 * 5 * 64)  # the input, and what tanh gives, which squares need, too


def test_bfloat16_comes_close_to_float32(trainer):
    exact, fast = trainer().advance(), trainer(precision="bf16").advance()
    assert fast == pytest.approx(exact, rel=0.1) and fast != exact


def test_wrong_folders_are_one_sentence(options):
    assert_wrong_folders_are_told(train_ugatit, options)


@pytest.mark.parametrize(("changes", "sentence"), [({"size": 64}, "96 at least"), ({"size": 98}, "multiple of 4")])
def test_sizes_that_the_discriminators_cannot_judge_are_refused(options, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        train_ugatit(options(**changes))


def test_folders_are_looked_at_before_days_are_spent_on_them(tmp_path, monkeypatch):
    write_folders(tmp_path)
    photos, styles = (pictures.CroppedFolder(tmp_path / name, 48, 48, "") for name in ("photos", "styles"))
    monkeypatch.setattr(pictures, "eyes_of", lambda folder: np.float32([[0.4, 0.4], [0.6, 0.4]]))
    found = list(pictures.doubts_about(photos, styles, faces=True))
    assert len(found) == 2 and all("holds 10 pictures" in doubt for doubt in found)
    mixed = list(pictures.doubts_about(styles, photos, faces=False))
    assert any("mixed up" in doubt for doubt in mixed)
    eyes = {"photos": np.float32([[0.3, 0.3], [0.4, 0.3]]), "styles": np.float32([[0.4, 0.4], [0.6, 0.4]])}
    monkeypatch.setattr(pictures, "eyes_of", lambda folder: eyes[folder.folder.name])
    assert "framed differently" in list(pictures.doubts_about(photos, styles, faces=True))[-1]
    eyes["styles"] = None
    assert "not framed as FFHQ's" in list(pictures.doubts_about(photos, styles, faces=True))[-1]
    eyes["photos"] = None
    assert "hardly a picture" in list(pictures.doubts_about(photos, styles, faces=True))[-1]


def test_pictures_are_cut_out_at_random_and_some_of_many_held_out(tmp_path):
    write_folders(tmp_path, count=61)
    folder = pictures.CroppedFolder(tmp_path / "photos", 32, 48, "")
    assert len(folder.paths) == 55 and len(folder.shown) == 6 and not set(folder.shown) & set(folder.paths)
    one, again = (folder.draw(np.random.default_rng(0), 3) for _ in range(2))
    assert one.shape == (3, 3, 32, 32) and torch.equal(one, again) and folder.preview().shape == (6, 3, 32, 32)


def test_the_command_line_says_where_the_result_is_and_one_sentence_where_there_is_none(call, options, capsys):
    run = options()
    words = ["--light", "--width=4", "--blocks=1", "--size=96", "--iter=1", "--device=cpu", f"--runs={run.runs}"]
    words += [f"--photos={run.photos}", f"--out={run.out}"]
    assert call(main, *words, f"--style_images={run.style_images}") == 0
    assert f"The U-GAT-IT is {run.out}" in capsys.readouterr().out
    Path(run.out).unlink()
    assert call(main, *words, "--style_images=nowhere", "--name=other") == 2
    error = capsys.readouterr().err
    assert error.startswith("program.py: nowhere is no folder") and error.count("\n") == 1
