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
SETTINGS = ["--config=starter_tiny", "--device=cpu", "--precision=fp32", "--seed=3", "--log_every=1", "--name=trial"]


def start(folder: Path, pairs: Path, processes: int, *options: str) -> subprocess.Popen:
    """`train_vtoonify_d.py` under torchrun, or plainly for one process."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    folders = [f"--runs={folder}/runs", f"--output={folder}/out", f"--pairs={pairs}"]
    command = [*launcher, "train_vtoonify_d.py", *SETTINGS, *folders, *options]
    environment, how = os.environ | {"OMP_NUM_THREADS": "1"}, {"text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE, env=environment, **how)


def run(*arguments) -> None:
    process = start(*arguments, "--workers=0")
    error = process.communicate()[1]
    assert process.returncode == 0, error


def test_two_processes_equal_one_with_the_double_batch(tmp_path, pair_folder):
    losses = ("--iter=3", "--adv_loss=0.01", "--grec_loss=0.1")
    run(tmp_path / "one", pair_folder, 1, "--batch=8", *losses)
    run(tmp_path / "two", pair_folder, 2, "--batch=4", *losses)
    runs = [tmp_path / name / "runs/trial" for name in ("one", "two")]
    one, two = ([json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in runs)
    assert len(one) == len(two) == 3
    assert {"l1", "gradient", "mse", "adversarial", "discriminator", "mask", "flicker"} <= one[-1].keys()
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-7)
    a, b = (checkpoints.load_state(run / "state.pt") for run in runs)
    assert a["global_batch"] == b["global_batch"] == 8
    for name, value in a["ema"].items():
        torch.testing.assert_close(value, b["ema"][name], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")
@pytest.mark.parametrize(("processes", "stop"), [(1, "killpg"), (2, "kill")])
def test_sigterm_stops_all_processes_at_one_step_and_the_run_goes_on(tmp_path, pair_folder, processes, stop):
    """One process is told with its whole group, which its worker belongs to; two by their launcher."""
    process = start(tmp_path, pair_folder, processes, "--batch=1", "--iter=1000", "--workers=1")
    log, state = tmp_path / "runs/trial/log.jsonl", tmp_path / "runs/trial/state.pt"
    deadline = time.monotonic() + 300
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    getattr(os, stop)(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert error.count("--resume goes on") == 1, error  # the first process speaks for all
    assert processes > 1 or (process.returncode == 130 and "Traceback" not in error)
    step = checkpoints.load_state(state)["step"]
    assert 1 <= step < 1000
    run(tmp_path, pair_folder, processes, "--batch=1", f"--iter={step + 1}", "--resume")
    assert checkpoints.load_state(state)["step"] == step + 1
