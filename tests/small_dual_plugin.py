"""The files of a very small DualStyleGAN in the working directory: a plugin of the tests that name it."""

from pathlib import Path

import pytest

from model.training.options import RECIPES
from tests.small_dual import use_small_sizes, write_files


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """The folder of all files, which is the working directory; `--config tiny` has their sizes."""
    monkeypatch.setitem(RECIPES, "tiny", RECIPES["tiny"])
    use_small_sizes()
    monkeypatch.chdir(tmp_path)
    write_files()
    return tmp_path
