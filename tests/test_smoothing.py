import os
import signal
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import smooth_parsing_map
from model.bisenet import PARSER_GAIN
from model.common.errors import InputError
from model.common.files import alone
from model.common.tensors import to_tensor
from model.faces.crop import FaceCrop
from model.media.files import open_frames
from model.parsing.maps import MapSink, ParsingMaps, open_maps, write_published
from model.parsing.smooth import Smoother, enlarge, find_weights, window
from tests.clips import make_clip
from tests.parity_calls import smooth_clip
from tests.small_models import ColourParser, face_picture, noises, save_model
from tests.test_frames_failures import files_no_larger_than

pytest_plugins = ("tests.commands_plugin",)

CLOSE, CPU = ("--padding", 48, 48, 48, 48), torch.device("cpu")  # as the fixture that calls style_transfer.py has it
CROP = FaceCrop(1.0, left=0, right=32, top=0, bottom=24, frame_size=(24, 32))


class ColourFlow(nn.Module):
    """Stands in for RAFT: a motion that depends on both pictures and their order."""

    def forward(self, image1, image2):
        self.__dict__.setdefault("pairs", []).append((image1.sum().item(), image2.sum().item()))
        shift = 20 * (image2.mean((1, 2, 3)) - 0.5 * image1.mean((1, 2, 3)))
        return shift.view(-1, 1, 1, 1) * torch.ones_like(image1[:, :2])


def smoother(radius: int = 2) -> Smoother:
    return Smoother(ColourParser(), ColourFlow(), CPU, radius=radius)


@pytest.mark.parametrize("radius", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 4, 11])
def test_the_stream_gives_what_the_whole_clip_gives(count, radius):
    clip = noises(count, 24, 32)
    frames = enlarge(to_tensor(np.stack(clip), CPU))
    logits = ColourParser()(PARSER_GAIN * frames).half().float()
    pairs = [(frames[i, None], frames[j, None]) for i in range(count) for j in window(i, count, radius)]
    flows = torch.cat([ColourFlow()(*pair) for pair in pairs]).unflatten(0, (count, -1))
    wanted = smooth_clip(frames, logits, flows, radius)
    stream = smoother(radius)
    found = list(stream.maps(clip))
    assert len(found) == count and found[0].shape == (19, 24, 32) and found[0].dtype == np.float16
    np.testing.assert_allclose(np.stack(found), wanted.numpy(), atol=0.02)
    assert len(stream.flow.pairs) == len(set(stream.flow.pairs)), "each flow is computed once"
    for start in (1, count - 1):
        assert np.array_equal(list(smoother(radius).maps(clip, start=start)), found[start:]), "a later start"


def test_frames_are_read_no_farther_than_the_window_and_then_forgotten(monkeypatch):
    taken, held = [], []
    stream = (taken.append(i) or crop for i, crop in enumerate(noises(12, 24, 32)))
    smooth = Smoother._smooth
    monkeypatch.setattr(Smoother, "_smooth", lambda own, seen, *of: held.append(len(seen)) or smooth(own, seen, *of))
    for index, _ in enumerate(smoother(2).maps(stream)):
        assert len(taken) == min(index + 3, 12)
    assert max(held) == 5


def test_bare_names_of_weights_are_below_the_checkpoint_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fetched, folder = [], tmp_path / "checkpoint"
    monkeypatch.setattr("model.parsing.smooth.ensure_file", lambda name: fetched.append(name) or Path(name))
    monkeypatch.setattr("model.parsing.smooth.CHECKPOINTS", folder)
    for path in (folder / "flow.pth", tmp_path / "here.pth", tmp_path / "other" / "flow.pth"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    named = [find_weights(name) for name in ("flow.pth", "here.pth", "other/flow.pth")]
    assert named == [folder / "flow.pth", tmp_path / "here.pth", tmp_path / "other/flow.pth"]
    assert not fetched
    assert find_weights("faceparsing.pth") == Path("faceparsing.pth")  # the only one that is on the authors' hub
    with pytest.raises(InputError, match="folw.pth does not exist: checkpoint/README.md tells"):
        find_weights("folw.pth")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "new" / "c_parsingmap.npz"


def write_maps(path: Path, count: int, radius: int = 2, resume: bool = False) -> None:
    with MapSink(path, CROP, radius, resume) as sink:
        for number in range(sink.done, count):
            sink.write(np.full((19, 24, 32), number, np.float16))


def numbers(maps) -> list[float]:
    return [one.max() for one in maps]


def test_maps_come_back_in_order(path):
    write_maps(path, 12)
    assert numbers(open_maps(path, 19, CROP)) == list(range(12))
    assert np.load(path)["000003"].shape == (19, 24, 32), "numpy reads it, too"
    assert list(path.parent.iterdir()) == [path]
    write_published(path.with_suffix(".npy"), path)
    published = open_maps(path.with_suffix(".npy"), 19, CROP)
    assert published.dtype == np.float32 and numbers(published) == list(range(12))


@pytest.mark.parametrize("resume", [False, True])
def test_ctrl_c_waits_until_a_map_is_stored_and_resume_goes_on(path, resume, monkeypatch, heeded_ctrl_c):
    store = np.lib.format.write_array

    def hit(file, array, **settings):
        if array.ndim == 3 and array.max() == 2:
            os.kill(os.getpid(), signal.SIGINT)
        store(file, array, **settings)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np.lib.format, "write_array", hit)
        write_maps(path, 7)
    (partial,) = path.parent.iterdir()
    assert numbers(ParsingMaps(partial)) == [0, 1, 2]
    with pytest.raises(InputError, match="another video or crop"):
        write_maps(path, 7, radius=3, resume=True)
    count = 7 if resume else 2
    write_maps(path, count, resume=resume)
    assert numbers(ParsingMaps(path)) == list(range(count))
    assert list(path.parent.iterdir()) == [path]


def test_two_runs_with_one_name_leave_each_a_whole_file(path):
    write_maps(path, 2)
    with MapSink(path, CROP, 2) as later:
        with MapSink(path, CROP, 2) as sooner:
            for sink, number in ((later, 5), (sooner, 6), (later, 7)):
                sink.write(np.full((19, 24, 32), number, np.float16))
        assert numbers(ParsingMaps(path)) == [6]
    assert numbers(ParsingMaps(path)) == [5, 7] and list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_maps_of_before(path):
    write_maps(path, 3)
    for room in (1, path.stat().st_size - 1):
        with files_no_larger_than(room), pytest.raises(InputError, match=r"cannot write .*npz: .*; free some space"):
            write_maps(path, 3)
    with files_no_larger_than(100_000), pytest.raises(InputError, match=r"cannot write .*npy: .*; free some space"):
        write_published(path.with_suffix(".npy"), path)
    assert numbers(ParsingMaps(path)) == [0, 1, 2] and list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_nothing_and_other_maps_and_damaged_ones_are_refused(path):
    with pytest.raises(RuntimeError), MapSink(path, CROP, 2) as sink:
        sink.write(np.zeros((19, 24, 32), np.float16))
        raise RuntimeError
    assert not list(path.parent.iterdir())
    write_maps(path, 3)
    for channels, crop in ((19, replace(CROP, left=8)), (18, CROP)):
        with pytest.raises(InputError, match="another crop"):
            open_maps(path, channels, crop)
    np.save(path.with_name("small.npy"), np.zeros((3, 19, 8, 8), np.float32))
    with pytest.raises(InputError, match="the crop needs"):
        open_maps(path.with_name("small.npy"), 19, CROP)
    np.savez(path.with_name("other.npz"), x=np.zeros(3))
    path.with_name("text.npz").write_text("no maps")
    for name in ("other.npz", "text.npz", "none.npz"):
        with pytest.raises(InputError, match="holds no parsing maps"):
            open_maps(path.with_name(name), 19, CROP)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("000001.npy").header_offset + 60
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged at parsing map 2"):
        list(ParsingMaps(path))


@pytest.fixture
def networks(monkeypatch, tmp_path):
    """Small networks in the place of BiSeNet and RAFT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("faceparsing.pth", "raft.pth"):
        Path(name).touch()
    monkeypatch.setattr("model.checkpoints.load_parser", lambda path: ColourParser())
    monkeypatch.setattr("model.checkpoints.load_optical_flow", lambda path: ColourFlow())
    make_clip(Path("clip.mp4"), [np.roll(face_picture(), i, axis=1) for i in range(5)])
    return ["--faceparsing_path", "faceparsing.pth", "--raft_path", "raft.pth", "--window_size", 2]


def test_smoothing_on_the_way_gives_what_stored_maps_give(networks, call, stylize, capsys):
    assert call(smooth_parsing_map.main, "--video_path", "clip.mp4", *networks, *CLOSE, "--precision", "fp32") == 0
    assert "clip.mp4 → output/clip_parsingmap.npz" in capsys.readouterr().out
    model = save_model(Path("parsing"), parsing_channels=19)
    films, fixed = [], ["--crop", "fixed"]
    for way in (["--parsing_map_path", "output/clip_parsingmap.npz"], [*networks[2:], "--smooth", *fixed], fixed):
        code, _, err = stylize("--content", "clip.mp4", "--ckpt", model, *networks[:2], *way)
        assert (code, err) == (0, "")
        with open_frames("output/clip_vtoonify_d.mp4") as film:
            films.append(np.stack([frame.rgb for frame in film]).astype(int))
    assert np.array_equal(films[0], films[1]) and np.abs(films[0] - films[2]).mean() > 0.1


def test_ctrl_c_and_going_on(networks, call, monkeypatch, capsys):
    command = ["--video_path", "clip.mp4", *networks]
    assert call(smooth_parsing_map.main, *command, "--output_path", "whole") == 0
    write = MapSink.write

    def interrupt(sink, logits):
        if sink.done == 2:
            raise KeyboardInterrupt
        write(sink, logits)

    with monkeypatch.context() as patch:
        patch.setattr(MapSink, "write", interrupt)
        assert call(smooth_parsing_map.main, *command) == 130
    assert "2 maps are in output/clip_parsingmap.partial.npz; --resume goes on" in capsys.readouterr().err
    assert call(smooth_parsing_map.main, *command, "--resume") == 0
    one, other = (ParsingMaps(f"{folder}/clip_parsingmap.npz") for folder in ("whole", "output"))
    assert len(one) == len(other) == 5 and all(map(np.array_equal, one, other))
    assert call(smooth_parsing_map.main, *command, "--format", "npy", "--output_path", "published") == 0
    Path("published/clip_parsingmap.npz").touch()
    assert call(smooth_parsing_map.main, *command, "--format", "npy", "--output_path", "published") == 0
    Path("published/clip_parsingmap.npz").unlink()  # an earlier result of that name is not touched
    (published,) = Path("published").iterdir()
    assert published.name == "clip_parsingmap.npy" and np.array_equal(np.load(published), np.stack(list(one)))


def test_one_run_at_a_time(networks, call, capsys):
    with alone(Path("output/clip_parsingmap.lock"), "it"):
        assert call(smooth_parsing_map.main, "--video_path", "clip.mp4", *networks) == 2
    assert "another run is at work on output/clip_parsingmap.npz: " in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "told"), [
    ([], "--video_path is missing"), (["--video_path", "none.mp4"], "none.mp4"),
    (["--video_path", "clip.mp4", "--window_size", 0], "--window_size is 0"),
    (["--video_path", "clip.mp4", "--raft_path", "none.pth"], "none.pth")])  # fmt: skip
def test_wrong_options_are_a_sentence(networks, call, capsys, arguments, told):
    assert call(smooth_parsing_map.main, *networks[:2], *arguments) == 2
    assert told in capsys.readouterr().err and not Path("output").exists()
