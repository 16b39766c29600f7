"""What tests of training runs share: stopping them, and looking at what they leave."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model import checkpoints
from model.common.weight_files import read_contents
from model.training.options import RunOptions
from model.training.trainer import Trainer


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """In the block no file can become larger than `size` bytes."""
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, previous[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)


def assert_stopped_and_resumed_is_whole(train, whole: RunOptions, parted: RunOptions, step: int) -> tuple[Path, Path]:
    """`parted`, stopped by SIGTERM in `step`, goes on and leaves what `whole` leaves; returns both weight files."""
    advance = Trainer.advance

    def advance_and_signal(trainer):
        found = advance(trainer)
        if trainer.step == step:
            signal.raise_signal(signal.SIGTERM)
        return found

    stopped = pytest.raises(KeyboardInterrupt, match=rf"stopped at step {step}; --resume goes on from .*state\.pt")
    with pytest.MonkeyPatch.context() as patch, stopped:
        patch.setattr(Trainer, "advance", advance_and_signal)
        train(parted)
    assert state_of(parted)["step"] == step
    files = train(whole), train(replace(parted, resume=True))
    assert_same(*(read_contents(file, "weights") for file in files))
    # All that was left but for the options; the style of variant T has the run's name.
    states = [{k: v for k, v in state_of(run).items() if k not in ("options", "styles")} for run in (whole, parted)]
    assert_same(*states)
    return files


def state_of(options: RunOptions) -> dict:
    return checkpoints.load_state(options.state_file)


def log_of(options: RunOptions) -> list[dict]:
    return [json.loads(line) for line in (options.folder / "log.jsonl").read_text().splitlines()]


def assert_same(a, b) -> None:
    """Compare nested containers of tensors to the bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
