"""Stages of a chain that run in the process of a test."""

import runpy
import sys
from pathlib import Path

import pytest

from model.training import chain
from model.training.train import measure  # noqa: F401 - imported before the programs, which share it

ROOT = Path(__file__).parents[1]


def in_this_process(monkeypatch) -> list[list[str]]:
    """From now on; returns the list of commands that are given."""
    given = []

    def launch(command: list[str]) -> None:
        _, *words = command
        given.append(words)
        is_module = words[0] == "-m"
        program, arguments = (words[1], words[2:]) if is_module else (words[0], words[1:])
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as ended:
            if is_module:
                runpy.run_module(program, run_name="__main__", alter_sys=False)
            else:
                runpy.run_path(str(ROOT / program), run_name="__main__")
        if ended.value.code:
            raise SystemExit(ended.value.code)

    monkeypatch.setattr(chain, "launch", launch)
    monkeypatch.setattr(chain, "_measure", lambda stage: "a moment")
    return given
