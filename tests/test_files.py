import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from model.common import files
from model.common.errors import InputError
from model.common.files import alone, append_line, bytes_of, publish, unfinished, write_whole
from tests.small_models import noises
from tests.test_frames_failures import files_no_larger_than

ROOT = Path(__file__).parents[1]
HOLDS = """
import sys, time
from pathlib import Path
from model.common.files import alone
with alone(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"x" * 5000, "y" * 5000, lambda path: path.write_bytes(b"z" * 5000)])
@pytest.mark.parametrize("room", [0, 1, 4999])
def test_a_full_disk_leaves_an_older_file_byte_for_byte(tmp_path, content, room):
    path = tmp_path / "new" / "notes.json"
    write_whole(path, "older")
    with files_no_larger_than(room), pytest.raises(InputError, match="^cannot write .*notes.json: .*; free some space"):
        write_whole(path, content)
    assert path.read_text() == "older" and names(path.parent) == ["notes.json"]
    write_whole(path, content)
    assert path.stat().st_size == 5000 and names(path.parent) == ["notes.json"]


def test_a_file_is_safe_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.fstat(number).st_size) or sync(number))
    monkeypatch.setattr(Path, "replace", lambda own, other: done.append(other.name) or replace(own, other))
    write_whole(tmp_path / "a", "12345")
    assert done == [5, "a", tmp_path.stat().st_size]

    def fail(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)  # where a file system notices no sooner
    with pytest.raises(InputError, match="free some space"):
        write_whole(tmp_path / "a", "67890")
    assert (tmp_path / "a").read_text() == "12345" and names(tmp_path) == ["a"]


def test_pictures_are_encoded_in_memory(tmp_path):
    picture = Image.fromarray(noises(1, 64, 64)[0])
    data = bytes_of(picture.save, "PNG")
    write_whole(tmp_path / "a.png", data)
    assert Image.open(tmp_path / "a.png").size == (64, 64)
    for room in range(len(data) - 5, len(data)):
        with files_no_larger_than(room), pytest.raises(InputError, match="a.png"):
            write_whole(tmp_path / "a.png", data)
    assert (tmp_path / "a.png").read_bytes() == data


def test_unfinished_files_are_each_run_s_own_and_hidden_and_go_when_they_are_old(tmp_path):
    path = tmp_path / "film.mp4"
    one, other = unfinished(path), unfinished(path)
    assert one != other and one.suffix == ".mp4" and one.parent == tmp_path and files.UNFINISHED.fullmatch(one.name)
    mine = [".film.mp4", "film.partial.mp4", ".film.12-0123abcd.mp4", ".film2.12-0123abcd.partial.mp4"]
    for file in (one, other, *(tmp_path / name for name in mine)):
        file.write_text("half")
        os.utime(file, (0, time.time() - 2 * files.ABANDONED))
    os.utime(other)
    assert not list(tmp_path.glob("film.*-*")) and len(list(tmp_path.glob("[!.]*"))) == 1
    write_whole(path, "whole")
    assert names(tmp_path) == sorted(["film.mp4", other.name, *mine])
    publish(other, path)
    assert path.read_text() == "half"


def test_a_line_is_added_to_what_was_cut_off(tmp_path):
    log = tmp_path / "log.jsonl"
    append_line(log, json.dumps({"step": 1}))
    with files_no_larger_than(log.stat().st_size + 3), pytest.raises(InputError, match="log.jsonl.*; free some space"):
        append_line(log, json.dumps({"step": 2}))
    append_line(log, json.dumps({"step": "drei ü"}))
    assert log.read_text().splitlines() == ['{"step": 1}', '{"s', json.dumps({"step": "drei ü"})]
    with pytest.raises(InputError, match="cannot write"):
        append_line(tmp_path / "none" / "log", "")


def test_one_run_at_a_time(tmp_path):
    lock = tmp_path / "new" / "run" / ".lock"
    with alone(lock, "film.mp4"):
        with pytest.raises(InputError, match="^another run is at work on film.mp4: "), alone(lock, "film.mp4"):
            pytest.fail("both are in")
        assert lock.exists()
    assert not list(tmp_path.iterdir()), "nothing came of it"
    with pytest.raises(RuntimeError), alone(lock, "film.mp4"):
        (lock.parent / "result").touch()
        raise RuntimeError
    assert names(lock.parent) == ["result"]
    (tmp_path / "file").touch()
    with alone(tmp_path / "file" / ".lock", "it"):  # what writes there will say so
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_is_for_all_processes_and_dies_with_its_own(tmp_path, end):
    lock = tmp_path / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDS, lock], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another run is at work on it"), alone(lock, "it"):
            pass
    finally:
        process.send_signal(end)
        process.communicate(timeout=20)
    assert lock.exists()
    with alone(lock, "it"):
        pass
    assert not lock.exists()
