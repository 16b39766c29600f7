"""Training runs of the tiny configuration: resuming, stopping, refusing, and what comes out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import train_vtoonify_d
from model import checkpoints
from model.errors import InputError
from model.inference.stylizer import Stylizer
from model.training import loop
from model.training.loop import train
from model.training.options import CONFIGS, TrainOptions
from model.training.run import Run, ema_decay, learning_rate

ROOT = Path(__file__).parents[1]
FIXED = {"config": "tiny", "batch": 1, "workers": 0, "device": "cpu", "precision": "fp32"}


@pytest.fixture
def options(pair_folder, tmp_path):
    """A function that makes options for short runs below a temporary folder."""

    def options(**changes) -> TrainOptions:
        folders = {"pairs": str(pair_folder), "runs": str(tmp_path / "runs"), "output": str(tmp_path / "out")}
        return TrainOptions(**folders | FIXED | {"name": "trial", "iter": 4} | changes)

    return options


@pytest.fixture
def terminate_in_step(monkeypatch):
    """A function that makes later runs receive SIGTERM during one step."""
    advance = Run.advance

    def terminate_in_step(step: int) -> None:
        def advance_and_signal(run, batch):
            found = advance(run, batch)
            if run.step == step:
                signal.raise_signal(signal.SIGTERM)
            return found

        monkeypatch.setattr(Run, "advance", advance_and_signal)

    return terminate_in_step


def state_of(options: TrainOptions) -> dict:
    return checkpoints.load_state(Path(options.runs) / options.name / "state.pt")


def log_of(options: TrainOptions) -> list[dict]:
    return [json.loads(line) for line in (Path(options.runs) / options.name / "log.jsonl").read_text().splitlines()]


def assert_same(a, b) -> None:
    """Compare nested containers of tensors to the bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, terminate_in_step):
    # Step 3 of 4 is in the second half, where the flicker loss joins in.
    whole, parted = options(name="whole", batch=2), options(name="parted", batch=2)
    whole_file = train(whole)
    terminate_in_step(2)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 2; --resume goes on from"):
        train(parted)
    assert state_of(parted)["step"] == 2 and not Path(parted.output, "parted").exists()

    parted_file = train(options(name="parted", batch=2, resume=True))
    one, other = state_of(whole), state_of(parted)
    assert one["step"] == 4
    for key in ("network", "ema", "optimizer", "step", "styles"):
        assert_same(one[key], other[key])
    assert any(not torch.equal(one["network"][name], value) for name, value in one["ema"].items())
    assert_same(checkpoints.read_contents(whole_file, "a model"), checkpoints.read_contents(parted_file, "a model"))


def test_ctrl_c_and_sigterm_are_noted_while_a_run_goes_on():
    before = [signal.getsignal(number) for number in loop.SIGNALS]
    with loop.noted_signals() as seen:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGINT, signal.SIGTERM]
    assert [signal.getsignal(number) for number in loop.SIGNALS] == before


def test_the_losses_fall(options):
    run = options(iter=20, batch=2, lr=0.01, log_every=5, save_every=10)
    train(run)
    losses = [line for line in log_of(run) if "l1" in line]
    assert [line["step"] for line in losses] == [5, 10, 15, 20]
    assert [("flicker" in line) for line in losses] == [False, False, True, True]
    assert losses[-1]["l1"] + losses[-1]["gradient"] < 0.8 * (losses[0]["l1"] + losses[0]["gradient"])
    early, late = (line["held_out_l1"] for line in log_of(run) if "held_out_l1" in line)
    assert late < 0.98 * early  # of the average, which lags behind
    sheet = cv2.imread(str(Path(run.runs) / "trial" / "preview-000020.jpg"))
    assert sheet.shape == (3 * 384, 6 * 384, 3)
    assert json.loads((Path(run.runs) / "trial" / "options.json").read_text())["lr"] == 0.01


def test_the_finished_file_serves_the_stylizer(options):
    run = options(iter=2)
    path = train(run)
    assert path == Path(run.output) / "trial" / "vtoonify_s_d.pt"
    network = checkpoints.load_vtoonify(path)
    assert network.config == CONFIGS["tiny"]
    for name, value in state_of(run)["ema"].items():
        torch.testing.assert_close(network.state_dict()[name], value.half().float(), rtol=0, atol=0)

    stylizer = Stylizer.from_preset(str(path), device="cpu", precision="fp32")
    assert list(stylizer.exemplars) == ["film"] and stylizer.style_name() == stylizer.style_name("film") == "film"
    np.testing.assert_array_equal(stylizer.exemplars["film"], Run(run, ["film"]).exemplars["film"])
    frame = np.full((64, 80, 3), 120, np.uint8)
    (result,) = stylizer.render([frame], stylizer.fit(frame, scale_image=False), degree=0.5)
    assert result.shape == (256, 320, 3)


def test_a_finished_run_is_published_again_and_goes_on_when_asked(options):
    path = train(options(iter=1))
    path.unlink()
    assert train(options(iter=1, resume=True)) == path and path.exists()
    train(options(iter=2, lr=1e-5, resume=True))
    assert state_of(options())["step"] == 2


def test_a_run_is_resumed_with_its_own_options_only(options):
    train(options(iter=1))
    with pytest.raises(InputError, match="--batch 1, not 2"):
        train(options(iter=2, batch=2, resume=True))
    with pytest.raises(InputError, match="--seed 0, not 5"):
        train(options(iter=2, seed=5, resume=True))
    assert state_of(options())["step"] == 1


def test_a_run_is_not_started_over(options):
    train(options(iter=1))
    before = (Path(options().runs) / "trial" / "state.pt").read_bytes()
    with pytest.raises(InputError, match="already holds a run: add --resume"):
        train(options(iter=1))
    assert (Path(options().runs) / "trial" / "state.pt").read_bytes() == before


def test_a_missing_or_wrong_state_is_refused(options, tmp_path):
    with pytest.raises(InputError, match="without --resume"):
        train(options(resume=True))
    assert not (tmp_path / "runs").exists()
    checkpoints.save_state(tmp_path / "runs" / "trial" / "state.pt", {"step": 3})
    with pytest.raises(InputError, match="of another version"):
        train(options(resume=True))


def test_a_loss_that_is_not_finite_stops_the_run(options):
    with pytest.raises(InputError, match=r"at step 1 \(l1 is (nan|inf).*start again with a lower --lr"):
        train(options(lr=1e30))
    with pytest.raises(InputError, match=r"at step 1 .*--resume from .*state\.pt with a lower --lr"):
        train(options(lr=1e30, save_every=1))


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(options, monkeypatch):
    run = Run(options(), ["film"])
    before = [parameter.clone() for parameter in run.network.parameters()]
    # The square root is 0, and infinitely steep there.
    losses = {"l1": (run.network.encoder[0][0].bias * 0).sum().sqrt()}
    monkeypatch.setattr(run, "compute_losses", lambda batch: losses)
    with pytest.raises(InputError, match=r"at step 0 \(norm of the gradient is nan\)"):
        run.advance({})
    assert_same(before, [parameter.detach() for parameter in run.network.parameters()])


def test_the_learning_rate_warms_up_and_sinks_to_a_fiftieth():
    options = TrainOptions(lr=1.0, iter=1000)
    rates = [learning_rate(step, options) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == max(rates[90:110]) > 0.95
    assert rates[100:] == sorted(rates[100:], reverse=True) and rates[-1] == pytest.approx(0.02)


def test_the_average_forgets_half_in_ten_thousand_pictures():
    assert ema_decay(10**6, 8) ** (10_000 / 8) == pytest.approx(0.5)
    assert ema_decay(1, 8) < 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--batch", "-1"], "--batch is -1"),
        (["--lr", "0"], "--lr is 0"),
        (["--lr", "nan"], "--lr is nan"),
        (["--seed", "-3"], "--seed is -3"),
        (["--msk_loss", "-1"], "--msk_loss is -1"),
        (["--workers", "-1"], "--workers is -1"),
        (["--name", "a/b"], "--name is 'a/b'"),
        (["--name", ".."], "--name is '..'"),
        (["--pairs", ""], "--pairs is missing"),
        (["--pairs", "nowhere"], "nowhere holds no pairs"),
        (["--iter", "many"], "'many'"),
    ],
)
def test_options_that_cannot_work_are_one_sentence(pair_folder, tmp_path, call, capsys, wrong, message):
    folders = ("--pairs", pair_folder, "--runs", tmp_path / "runs", "--output", tmp_path / "out")
    assert call(train_vtoonify_d.main, *folders, *wrong) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_single_pair_is_not_enough(options, monkeypatch):
    index = loop.index_shards
    monkeypatch.setattr(loop, "index_shards", lambda folder: index(folder)[:1])
    with pytest.raises(InputError, match="a single pair"):
        train(options())


def test_damage_that_a_process_meets_is_one_sentence(options, monkeypatch):
    index = loop.index_shards

    def index_with_damage(folder):
        pairs = index(folder)
        for pair in pairs[1:]:  # the first one is held out, and read before
            pair.parts["photo.jpg"] = (0, 4)
        return pairs

    monkeypatch.setattr(loop, "index_shards", index_with_damage)
    with pytest.raises(InputError) as caught:
        train(options(workers=1))
    assert "photo.jpg is no picture" in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith(options().pairs)


def test_runs_in_a_place_that_cannot_be_written_are_refused(options, tmp_path):
    (tmp_path / "file").write_text("taken")
    with pytest.raises(InputError, match="can't be written"):
        train(options(runs=str(tmp_path / "file")))


@pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")
def test_sigterm_to_the_whole_group_saves_the_state(options):
    run = options(iter=1000, log_every=1)
    names = ("pairs", "runs", "output", "name", "iter", "log_every", *FIXED)
    flags = [f"--{name}={getattr(run, name)}" for name in names]
    command = [sys.executable, "train_vtoonify_d.py", *flags, "--workers=1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = Path(run.runs) / "trial" / "log.jsonl"
    deadline = time.monotonic() + 300
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130 and "--resume goes on" in error and "Traceback" not in error
    assert state_of(run)["step"] >= 1
