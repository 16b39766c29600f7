import errno
import io
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from model import checkpoints
from model.common import weight_files as files
from model.common.errors import InputError
from tests.runs import assert_same
from tests.small_models import small_network


@dataclass
class Payload:
    """Pickles into a command that makes a file when it is unpickled."""

    trace: Path

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def bad_files(folder: Path) -> list[Path]:
    """Files that are no models of any kind, a folder, and a path where nothing is."""
    good, other_zip = io.BytesIO(), io.BytesIO()
    torch.save({"g_ema": small_network().state_dict()}, good)
    with zipfile.ZipFile(other_zip, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    lfs, image = b"version https://git-lfs.github.com/spec/v1\n", bytes.fromhex("ffd8ffe000104a464946") + bytes(300)
    others = {"truncated": good.getvalue()[:-4000], "zip": other_zip.getvalue(), "pickle": pickle.dumps({"g_ema": {}})}
    for name, data in ({"empty": b"", "text": lfs, "image": image} | others).items():
        (folder / name).write_bytes(data)
    for name, value in {"list": [1], "number": {"g_ema": 3}, "strings": {"g_ema": {"a": "b"}}}.items():
        torch.save(value, folder / name)
    (folder / "folder").mkdir()
    return [*folder.iterdir(), folder / "missing"]


LOADERS = pytest.mark.parametrize("load", [
    checkpoints.load_vtoonify, checkpoints.read_vtoonify_config, checkpoints.load_style_encoder,
    checkpoints.load_e4e, checkpoints.load_arcface,
    checkpoints.load_parser, checkpoints.load_optical_flow, checkpoints.load_generator, checkpoints.load_dualstylegan,
    checkpoints.load_exemplars, checkpoints.load_directions], ids=lambda load: load.__name__)  # fmt: skip


@LOADERS
def test_files_of_other_kinds_get_one_sentence_that_names_them(tmp_path, load):
    for path in bad_files(tmp_path):
        if load is checkpoints.read_vtoonify_config and path.name == "strings":
            continue  # its parameters are not looked at
        with pytest.raises(InputError) as caught:
            load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value), path.name


@LOADERS
def test_code_in_a_file_is_not_run(tmp_path, load):
    torch.save({"g_ema": Payload(tmp_path / "trace")}, tmp_path / "model.pt")
    np.save(tmp_path / "codes.npy", {"a": Payload(tmp_path / "trace")}, allow_pickle=True)
    is_array = load in (checkpoints.load_exemplars, checkpoints.load_directions)
    told = "is not a file of editing" if load is checkpoints.load_directions else "refers to code"
    with pytest.raises(InputError, match=told):
        load(tmp_path / ("codes.npy" if is_array else "model.pt"))
    assert not (tmp_path / "trace").exists()
    np.load(tmp_path / "codes.npy", allow_pickle=True)
    assert (tmp_path / "trace").exists()  # the payload is a real one


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_exemplars_of_every_numpy_are_read(tmp_path, dtype, protocol):
    codes = {f"{i}.jpg": np.random.default_rng(i).normal(size=(1, 18, 512)).astype(dtype) for i in range(2)}
    codes["1.jpg"] = np.asfortranarray(codes["1.jpg"])
    array = np.array(codes, dtype=object)
    with (tmp_path / "codes.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        pickle.dump(array, file, protocol=protocol)
    loaded = checkpoints.load_exemplars(tmp_path / "codes.npy")
    for (name, code), (wanted_name, wanted) in zip(loaded.items(), codes.items(), strict=True):
        assert name == wanted_name and code.dtype == np.float32 and code.flags.writeable
        np.testing.assert_array_equal(code, wanted.astype(np.float32))
    checkpoints.save_exemplars(tmp_path / "codes.npy", loaded)
    np.testing.assert_equal(np.load(tmp_path / "codes.npy", allow_pickle=True).item(), loaded)


@pytest.mark.parametrize("codes", [
    {}, [1.0], {"a": np.zeros((2, 3, 4))}, {"a": np.zeros((3, 4))}, {"a": np.zeros((1, 3, 4), int)}, {"a": "text"},
    {"a": np.zeros((1, 3, 4)), "b": np.zeros((1, 3, 5))}, {"a": np.full((1, 3, 4), np.nan)}])  # fmt: skip
def test_exemplars_of_other_shapes_and_kinds_are_refused(tmp_path, codes):
    np.save(tmp_path / "codes.npy", codes, allow_pickle=True)
    with pytest.raises(InputError, match=r"codes\.npy is not a file of exemplar style codes"):
        checkpoints.load_exemplars(tmp_path / "codes.npy")


def test_directions_have_the_shape_of_the_codes(tmp_path):
    path, directions = tmp_path / "directions.npy", np.random.default_rng(0).normal(size=(4, 18, 512))
    np.save(path, directions)
    loaded = checkpoints.load_directions(path)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, directions, rtol=1e-6)
    with pytest.raises(InputError, match=r"\[4, 18, 512\], not float of shape \[N, 9, 512\]"):
        checkpoints.load_directions(path, w_layers=9)
    for useless in (directions[:0], directions * np.nan):
        np.save(path, useless)
        with pytest.raises(InputError, match="it holds none, or numbers that are not finite"):
            checkpoints.load_directions(path)


def test_states_come_back_in_their_own_precision_and_what_could_not_be_read_back_is_not_written(tmp_path):
    state = {"step": 3, "rng": torch.get_rng_state(), "half": torch.ones(2, dtype=torch.bfloat16), "losses": [0.5, 1.0]}
    files.write_contents(tmp_path / "state.pt", state)
    with pytest.raises(TypeError, match="numpy"):
        files.write_contents(tmp_path / "state.pt", {"step": np.float32(2)})
    assert_same(checkpoints.load_state(tmp_path / "state.pt"), state)


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    files.write_contents(tmp_path / "state.pt", {"step": 1})

    def fail_half_way(contents, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", fail_half_way)
    with pytest.raises(InputError, match=r"cannot write .*state\.pt: No space left.*; free"):
        files.write_contents(tmp_path / "state.pt", {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
    assert checkpoints.load_state(tmp_path / "state.pt") == {"step": 1}


def test_places_that_cannot_be_written_get_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "model.pt", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot write"):
            files.write_contents(path, {})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
