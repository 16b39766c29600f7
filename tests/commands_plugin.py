"""style_transfer.py called as from a shell: a plugin of the tests that name it."""

from pathlib import Path

import pytest

import style_transfer
from tests.small_models import save_model

CLOSE = ("--padding", 48, 48, 48, 48)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def stylize(call, model, tmp_path, monkeypatch, capsys):
    """Runs the program in an empty folder with a small model and small crops; exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read but once, on import
    capsys.readouterr()

    def stylize(*arguments) -> tuple[int, str, str]:
        code = call(style_transfer.main, "--ckpt", model, "--precision", "fp32", *CLOSE, *arguments)
        return code, *capsys.readouterr()

    return stylize
