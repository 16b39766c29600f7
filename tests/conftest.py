"""Fixtures of more than one test file."""

import os
import signal
import sys
from contextlib import suppress

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, each on a core of its own
    for library in ("OMP", "NUMBA"):  # read when they are imported, which the next lines do
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import pytest
import skimage.data
from accelerate.state import AcceleratorState, GradientState

from model.common import cli
from model.training.drawn.geometry import align_portrait
from model.training.drawn.parsing import parse_portrait
from tests.browser import browser, server, temporary, visit  # noqa: F401 - fixtures
from tests.portrait import LANDMARKS, PORTRAIT_SIZE, write_drawn_pairs

with suppress(ImportError):  # `pytest -n 2` needs it, `pytest` doesn't
    from xdist.scheduler import LoadFileScheduling

    def pytest_xdist_make_scheduler(config, log):
        """A file's tests run in one process: they share servers, browsers and small models."""
        return LoadFileScheduling(config, log)


@pytest.fixture
def call(monkeypatch):
    """A function that runs a script's `main` with arguments as from a shell and returns the exit code."""

    def call(main, *arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["program.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.run(main)
        return end.value.code

    return call


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory):
    """A folder with one shard of three small drawn pairs: one is held out, two are learnt."""
    folder = tmp_path_factory.mktemp("pairs")
    write_drawn_pairs(folder)
    return folder


@pytest.fixture(scope="session")
def portrait():
    """The sample portrait, aligned: RGB `[S, S, 3]` and landmarks `[68, 2]`."""
    return align_portrait(skimage.data.astronaut(), LANDMARKS, PORTRAIT_SIZE, eye_fraction=0.22)


@pytest.fixture(scope="session")
def parsing(portrait):
    """The regions of `portrait`."""
    return parse_portrait(*portrait)


@pytest.fixture
def heeded_ctrl_c():
    """Ctrl-C as in a terminal: a test run started in the background inherits that it is ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(autouse=True)
def fresh_engine():
    """Accelerate keeps one state for a process; each test is to be as a program of its own."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(autouse=hasattr(os, "sched_getscheduler"))
def priority():
    """No test leaves its process with another priority: libraries for videos do such things, and all that is started
    afterwards has it, too."""
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before
