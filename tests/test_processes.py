"""Training on several processes: the same run as on one, and stopped as one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from model import checkpoints

ROOT = Path(__file__).parents[1]
SETTINGS = ["--config=starter_tiny", "--device=cpu", "--precision=fp32", "--workers=0", "--seed=3", "--log_every=1"]


def command(folder: Path, pairs: Path, processes: int, *options: str) -> list[str]:
    """`train_vtoonify_d.py` under torchrun, or plainly for one process."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    folders = [f"--runs={folder}/runs", f"--output={folder}/out", "--name=trial", f"--pairs={pairs}"]
    program = [*launcher, "train_vtoonify_d.py"] if processes > 1 else ["train_vtoonify_d.py"]
    return [sys.executable, *program, *SETTINGS, *folders, *options]


def run(folder: Path, pairs: Path, processes: int, *options: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(folder, pairs, processes, *options), cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "runs/trial/log.jsonl").read_text().splitlines()]


def test_two_processes_equal_one_with_the_double_batch(tmp_path, pair_folder):
    losses = ("--iter=3", "--adv_loss=0.01", "--grec_loss=0.1")
    run(tmp_path / "one", pair_folder, 1, "--batch=8", *losses)
    run(tmp_path / "two", pair_folder, 2, "--batch=4", *losses)
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two] == [1, 2, 3]
    assert {"l1", "gradient", "mse", "adversarial", "discriminator", "mask", "flicker"} <= one[-1].keys()
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-7)
    a, b = (checkpoints.load_state(tmp_path / name / "runs/trial/state.pt") for name in ("one", "two"))
    assert a["global_batch"] == b["global_batch"] == 8
    for name, value in a["ema"].items():
        torch.testing.assert_close(value, b["ema"][name], rtol=1e-3, atol=1e-4)


def test_two_processes_stop_at_the_same_step_and_go_on(tmp_path, pair_folder):
    options = ("--batch=1", "--iter=1000")
    process = subprocess.Popen(
        command(tmp_path, pair_folder, 2, *options), cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    log = tmp_path / "runs/trial/log.jsonl"
    deadline = time.monotonic() + 300
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert error.count("--resume goes on") == 1  # the first process speaks for all
    step = checkpoints.load_state(tmp_path / "runs/trial/state.pt")["step"]
    assert 1 <= step < 1000
    run(tmp_path, pair_folder, 2, "--batch=1", f"--iter={step + 1}", "--resume")
    assert checkpoints.load_state(tmp_path / "runs/trial/state.pt")["step"] == step + 1
