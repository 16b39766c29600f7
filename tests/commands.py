"""What the tests of style_transfer.py give to it and expect of it."""

import re
from pathlib import Path

from PIL import Image

from tests.small_models import face_picture


def save_face(*paths: str) -> Path:
    """Write a photo of a face into each of the files; returns the last one."""
    for path in paths:
        Image.fromarray(face_picture()).save(path, quality=95)
    return Path(path)


def results(folder: str = "output") -> list[str]:
    """What lies in the folder for the results, where there is one."""
    return sorted(file.name for file in Path(folder).iterdir()) if Path(folder).is_dir() else []


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def assert_one_sentence(outcome: tuple[int, str, str], *told: str) -> None:
    """Exit code 2, one line on stderr that contains all of `told`, no traceback, and no result."""
    code, out, err = outcome
    assert code == 2 and out == ""
    assert re.fullmatch(r"program\.py: [^\n]+\.\n", err), err
    assert "Traceback" not in err and "Error" not in err
    assert re.match(r"program\.py: (A|An|Cannot|No|The|There) ", err) is None, "the first letter is small"
    assert all(words in err for words in told), err
    assert results() == []
