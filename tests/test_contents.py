from pathlib import Path

import pytest
from PIL import Image

from model.common.errors import InputError
from model.inference.batch import find_contents
from model.media.files import open_frames
from tests.clips import copy, make_clip
from tests.small_models import face_picture

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


def test_patterns_and_folders_leave_out_what_says_that_it_is_a_result(tmp_path):
    content, clip = tmp_path / "a.jpg", make_clip(tmp_path / "b.mp4", [face_picture()] * 2)
    Image.fromarray(face_picture()).save(content)
    for name, path in (("a_vtoonify_d.jpg", content), ("renamed.png", content), ("b_vtoonify_d.mp4", clip)):
        copy(path, tmp_path / name)
    Image.fromarray(face_picture()).save(tmp_path / "c_input.jpg")  # a name alone says nothing in a folder of one's own
    for wanted in (str(tmp_path / "*.*"), str(tmp_path)):
        assert names(find_contents([wanted], tmp_path / "output")) == ["a.jpg", "b.mp4", "c_input.jpg"]
    named = str(tmp_path / "renamed.png")
    assert find_contents([named], tmp_path / "output") == [named], "what is named itself is meant"
    Image.fromarray(face_picture()).save(tmp_path / ".d_input.12-0123abcd.partial.png")  # of a run that goes on
    with pytest.raises(InputError, match="No file matches"):
        find_contents([str(tmp_path / ".*")], tmp_path / "output")
    with pytest.raises(InputError, match="results of this program alone"):
        find_contents([str(tmp_path / "*_vtoonify_d.*")], tmp_path / "output")


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"<!DOCTYPE html><title>404 \xc3\xa4", "it is text"), (b"ID3\x04\0\0" + bytes(900), "it is a sound file"),
     (bytes(900), "no photo or video that can be read")],
)  # fmt: skip
def test_files_of_other_kinds_are_told_by_their_content(tmp_path, data, told):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        open_frames(path)
