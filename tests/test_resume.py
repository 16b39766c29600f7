"""Interrupted clips that go on: the chain behind the frames that are done, and the program."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from model.inference import delivery, stylizer
from model.inference.clip import Look, stylised
from model.inference.people import stylised_people
from model.media import resume as segments
from model.media.frames import Frame
from model.parsing.smooth import Smoother
from model.styles.renderer import Renderer
from tests.clips import make_clip, sound_packets, video_times
from tests.small_models import ColourParser, dual, face_picture, save_model
from tests.test_people import group, people_of
from tests.test_scene import clip

pytest_plugins = ("tests.commands_plugin",)

CLOSE = ("--padding", 48, 48, 48, 48)  # as the fixture `stylize` has it
ROOT = Path(__file__).parents[1]


def same(found: list[Frame], wanted: list[Frame]) -> bool:
    assert [frame.time for frame in found] == [frame.time for frame in wanted]
    return all(np.array_equal(a.rgb, b.rgb) for a, b in zip(found, wanted, strict=True))


# ---- frames that are looked at only

LOOKS = {
    "crop": Look(),
    "follow": Look(crop="follow"),
    "whole": Look(crop="follow", full_frame=1, compare=True),
    "steady": Look(crop="follow", full_frame=1, steady=True),
    "curve": Look(degree=lambda time: float(time), full_frame=2),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("done", [1, 5, 6])
def test_the_frames_after_those_that_are_done_are_as_if_all_were_rendered(look, done, monkeypatch):
    model, frames = dual(), clip(6)
    portrait = model.fit(frames[0], (64, 64, 64, 64))
    wanted = list(stylised(model, frames, portrait, look))[done:]
    drawn = []
    start = Renderer.start
    monkeypatch.setattr(Renderer, "start", lambda self, *crops: drawn.append(1) or start(self, *crops))
    assert same(list(stylised(model, frames, portrait, look, done=done)), wanted)
    assert len(drawn) == 6 - done


def test_masks_of_frames_that_are_done_do_matter():
    """Else the tests above could not fail."""
    model, frames = dual(), clip(6)
    portrait = model.fit(frames[0], (64, 64, 64, 64))
    look = LOOKS["whole"]
    wanted = list(stylised(model, frames, portrait, look))[3:]
    assert not same(list(stylised(model, frames[3:], portrait, look)), wanted)


@pytest.mark.parametrize("done", [1, 4, 6])
def test_smoothed_parsing_maps_look_back_over_the_border(done):
    model, frames = dual(19), clip(7)
    portrait = model.fit(frames[0], (64, 64, 64, 64))
    seen = []

    def maps_of(crops):
        shift = Smoother(ColourParser(), lambda a, b: a[:, :2] * 0 + 1, model.device, radius=2)
        return shift.maps(seen.append(1) or crop for crop in crops)

    wanted = list(stylised(model, frames, portrait, Look(), maps_of))[done:]
    alone = list(stylised(model, frames[done:], portrait, Look(), maps_of))
    seen.clear()
    assert same(list(stylised(model, frames, portrait, Look(), maps_of, done=done, neighbours=2)), wanted)
    assert len(seen) == 7 - done + min(done, 2), "no crop is parsed in vain"
    assert not same(alone, wanted), "else this could not fail"


@pytest.mark.parametrize("follow", [False, True])
def test_people_go_on_as_well(follow):
    model = dual()
    frames = [Frame(group(80 + 3 * i, 240 - 2 * i), Fraction(i, 10)) for i in range(4)]
    people = people_of(model, frames[0].rgb, Look(style=0, degree=1.0), Look(style=1))
    wanted = list(stylised_people(frames, people, follow=follow))[2:]
    assert same(list(stylised_people(frames, people, follow=follow, done=2)), wanted)


# ---- the program


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 3)


@pytest.fixture
def break_off(monkeypatch):
    """A function that lets the next call of the program be interrupted once so many frames of it were made."""
    tqdm = delivery.tqdm

    def break_off(after: int) -> None:
        def bar(results, **settings):
            for number, result in enumerate(tqdm(results, **settings)):
                if number == after:
                    monkeypatch.setattr(delivery, "tqdm", tqdm)
                    signal.raise_signal(signal.SIGTERM)
                yield result

        monkeypatch.setattr(delivery, "tqdm", bar)

    return break_off


def moving_clip(path: str = "clip.mp4", count: int = 10) -> None:
    pictures = [np.ascontiguousarray(np.roll(face_picture(), 2 * i, axis=1)) for i in range(count)]
    make_clip(Path(path), pictures, rate=10, sound="aac", sound_seconds=count / 10)


WHOLE = ("--full_frame", 1, "--crop", "follow")
OPTIONS = {
    "crop": ("--style_degree", "0@0s,1@1s", "--batch_size", 3),
    "whole": (*WHOLE, "--compare"),
    "people": (*WHOLE, "--faces", "all"),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_interrupted_clip_goes_on_and_is_the_same(stylize, break_off, options):
    moving_clip()
    assert stylize("--content", "clip.mp4", "--resume", *options, "--output_path", "whole")[0] == 0
    break_off(5)
    code, out, err = stylize("--content", "clip.mp4", "--resume", *options)
    assert (code, out) == (130, "")
    assert err.splitlines()[0] == "program.py: clip.mp4 is done up to 0.3 s: --resume goes on from there."
    (folder,) = Path("output").iterdir()
    assert folder.suffix == ".parts" and len(list(folder.glob("*.mp4"))) == 1
    break_off(4)
    code, _, err = stylize("--content", "clip.mp4", "--resume", *options)
    assert code == 130 and "up to 0.6 s" in err
    assert stylize("--content", "clip.mp4", "--resume", *options)[::2] == (0, "")
    assert not folder.exists()
    name = folder.with_suffix(".mp4").name
    made, whole = Path("output") / name, Path("whole") / name
    assert made.read_bytes() == whole.read_bytes()
    assert video_times(made) == video_times(Path("clip.mp4")) and sound_packets(made) == sound_packets(Path("clip.mp4"))
    assert stylize("--content", "clip.mp4", "--resume", *options) == (0, "", ""), "it is noted"


def test_stored_parsing_maps_go_on_where_the_frames_do(stylize, break_off, monkeypatch):
    monkeypatch.setattr(stylizer.checkpoints, "load_parser", lambda path: ColourParser())
    make_clip(Path("clip.mp4"), [face_picture()[:64, :96]] * 8)
    np.save("maps.npy", np.random.default_rng(0).normal(size=(8, 19, 64, 96)).astype(np.float16))
    arguments = ["--content", "clip.mp4", "--no_scale_image", "--ckpt", save_model(Path.cwd(), parsing_channels=19)]
    arguments += ["--faceparsing_path", "parser.pth", "--parsing_map_path", "maps.npy", "--resume"]
    break_off(5)
    assert stylize(*arguments)[0] == 130
    for folder in ("output", "whole"):
        assert stylize(*arguments, "--output_path", folder)[0] == 0
    made, whole = (Path(folder) / "clip_vtoonify_d.mp4" for folder in ("output", "whole"))
    assert made.read_bytes() == whole.read_bytes()


def test_the_bar_begins_at_what_is_done(stylize, break_off, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    moving_clip()
    break_off(7)
    stylize("--content", "clip.mp4", "--resume")
    _, _, err = stylize("--content", "clip.mp4", "--resume")
    assert " 6/10 " in err and " 10/10 " in err and " 0/10 " not in err


def test_other_options_or_another_file_begin_anew(stylize, break_off, monkeypatch):
    moving_clip()
    begun = []
    note = segments.Parts.note
    monkeypatch.setattr(segments.Parts, "note", lambda self: begun.append(self.frames) or note(self))
    for options in ((), (), ("--style_degree", 0.9), ("--padding", 50, 50, 50, 50)):
        break_off(3)
        begun.clear()
        stylize("--content", "clip.mp4", "--resume", *options)
        assert begun[0] == (3 if not options and Path("again").exists() else 0)
        Path("again").touch()
    moving_clip(count=11)
    assert stylize("--content", "clip.mp4", "--resume", *options)[0] == 0
    assert len(video_times(Path("output/clip_vtoonify_d.mp4"))) == 11


def test_without_resume_a_playable_part_is_left(stylize, break_off):
    moving_clip()
    break_off(5)
    code, _, err = stylize("--content", "clip.mp4")
    assert code == 130 and "clip_vtoonify_d.partial.mp4" in err
    assert len(video_times(Path("output/clip_vtoonify_d.partial.mp4"))) == 5


def test_photos_and_previews_have_no_segments(stylize):
    moving_clip(count=4)
    assert stylize("--content", "clip.mp4", "--resume", "--preview")[0] == 0
    assert sorted(file.name for file in Path("output").iterdir()) == [
        "clip_input.jpg", "clip_preview_d.jpg", "manifest.jsonl",
    ]  # fmt: skip


SLOWLY = """
import sys, time
sys.path.insert(0, {root!r})
import style_transfer
from model.common import cli
from model.media import resume as segments
segments.SEGMENT = 3
write = segments.SegmentedSink._write
segments.SegmentedSink._write = lambda self, frame: (time.sleep(0.3), write(self, frame))
cli.run(style_transfer.main)
"""


def test_a_killed_program_goes_on(stylize, model):
    moving_clip()
    arguments = ["--ckpt", model, "--precision", "fp32", *CLOSE, "--content", "clip.mp4", "--resume"]
    program = [sys.executable, "-c", SLOWLY.format(root=str(ROOT)), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE)
    folder = Path("output/clip_vtoonify_d.parts")
    while not (folder / "00001.mp4").exists() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and not Path("output/clip_vtoonify_d.mp4").exists()
    kept = (folder / "00000.mp4").stat().st_mtime_ns
    assert stylize("--content", "clip.mp4", "--resume", "--output_path", "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments.Parts, "remove", lambda *_: None)
        assert stylize("--content", "clip.mp4", "--resume")[0] == 0
    assert (folder / "00000.mp4").stat().st_mtime_ns == kept, "it was not made again"
    made, whole = (Path(folder) / "clip_vtoonify_d.mp4" for folder in ("output", "whole"))
    assert made.read_bytes() == whole.read_bytes() and len(video_times(made)) == 10
