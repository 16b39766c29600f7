from pathlib import Path

import pytest
from PIL import Image

from model.common.errors import InputError
from model.inference.batch import find_contents

RESULTS = ["a_vtoonify_d.jpg", "a_input.jpg", "manifest.jsonl"]


def folder(path: Path, *names: str) -> str:
    path.mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(path / name, "PNG")
    return str(path)


def names(found: list[str]) -> list[str]:
    return [Path(name).name for name in found]


def test_a_folder_gives_what_opens_and_tells_what_is_left_out(tmp_path, capsys):
    media = ["IMG_1.HEIC", "b.jfif", "c.MTS", "d.m2ts", "e.jp2", "f.mp4"]
    holiday = folder(tmp_path / "holiday", *media, "notes.txt", "raw.cr2", ".hidden.jpg", ".DS_Store")
    (tmp_path / "holiday" / "more").mkdir()
    assert names(find_contents([holiday], tmp_path / "output")) == media
    told = capsys.readouterr().err
    assert told.endswith(f"{holiday}: 2 of 8 files left out (notes.txt, raw.cr2): no photos or videos by name.\n")
    many = folder(tmp_path / "many", "a.png", *(f"{i}.doc" for i in range(9)))
    assert names(find_contents([many], tmp_path / "output")) == ["a.png"]
    assert "9 of 10 files left out (0.doc, 1.doc, 2.doc, …)" in capsys.readouterr().err


def test_a_folder_of_nothing_but_media_and_own_results_tells_nothing(tmp_path, capsys):
    own = folder(tmp_path / "own", "a.jpg", *RESULTS)
    assert names(find_contents([own], Path(own))) == ["a.jpg"] and capsys.readouterr().err == ""
    with pytest.raises(InputError, match="without photos or videos"):
        find_contents([folder(tmp_path / "none", "notes.txt")], tmp_path)
