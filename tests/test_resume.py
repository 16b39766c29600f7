import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from model.common.files import alone
from model.faces.detect import find_all_landmarks
from model.inference import job
from model.inference.clip import stylised
from model.inference.look import Choice, Look
from model.inference.scene import People, Person
from model.media import resume as segments
from model.media.files import open_frames
from model.media.frames import Frame
from model.styles import network
from model.styles.network import VToonifyRenderer
from tests.clips import make_clip, sound_packets, video_times
from tests.commands import results
from tests.small_models import ColourParser, dual, face_picture, levels_apart, save_model
from tests.test_people import arriving
from tests.test_scene import clip

pytest_plugins = ("tests.commands_plugin",)

CLOSE = ("--padding", 48, 48, 48, 48)  # as the fixture `stylize` has it
ROOT = Path(__file__).parents[1]
LOOKS = {
    "fixed": Look(crop="fixed"),
    "crop": Look(),
    "whole": Look(crop="follow", full_frame=1, compare=True),
    "steady": Look(crop="follow", full_frame=1, steady="on"),
    "curve": Look(style_degree="0@0s,1@0.5s", full_frame=2),
}


def assert_goes_on(frames: list[Frame], people: list[Person], look: Look, done: int, monkeypatch, **settings) -> None:
    wanted = list(stylised(frames, people, look, **settings))
    state = json.loads(json.dumps(wanted[done - 1].state))
    drawn = []
    start = VToonifyRenderer.start
    monkeypatch.setattr(VToonifyRenderer, "start", lambda self, crops: drawn.extend(crops) or start(self, crops))
    found = list(stylised(frames, people, look, state=state, **settings))
    assert [frame.time for frame in found] == [frame.time for frame in frames[done:]]
    assert len(drawn) == len(found) or settings, "one person, each frame once"
    for frame, other in zip(found, wanted[done:], strict=True):
        assert levels_apart(frame.rgb, other.rgb).mean() < 1.5
    assert found[-1].state["frames"] == len(frames)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("done", [1, 5])
def test_the_frames_after_a_state_are_as_if_all_were_rendered(look, done, monkeypatch):
    model, frames = dual(), clip(7)
    people = [Person(model, model.fit(frames[0], (64, 64, 64, 64)), look)]
    assert_goes_on(frames, people, look, done, monkeypatch)


def test_people_go_on_with_their_numbers_and_styles(monkeypatch):
    model = dual()
    frames = arriving(24)
    look = Look("0", 1.0, padding=(56, 56, 56, 56), crop="follow", full_frame=1, lost="pass")
    people = People(model, look, {2: Choice(None, "1", 0.5)})
    first = people.person(1, frames[0], find_all_landmarks(frames[0].rgb)[0])
    for done in (2, 20):
        assert_goes_on(frames, [first], look, done, monkeypatch, newcomer=people.newcomer, most=None)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 3)


@pytest.fixture
def break_off(monkeypatch):
    """A function that lets the next call of the program be interrupted once so many frames of it were made."""
    tqdm = job.tqdm

    def break_off(after: int) -> None:
        def bar(results, **settings):
            for number, result in enumerate(tqdm(results, **settings)):
                if number == after:
                    monkeypatch.setattr(job, "tqdm", tqdm)
                    signal.raise_signal(signal.SIGTERM)
                yield result

        monkeypatch.setattr(job, "tqdm", bar)

    return break_off


def assert_alike(made: Path, whole: Path) -> None:
    assert video_times(made) == video_times(whole)
    with open_frames(made) as film, open_frames(whole) as other:
        assert all(levels_apart(a.rgb, b.rgb).mean() < 2 for a, b in zip(film, other, strict=True))


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
    assert_alike(made, whole)
    assert video_times(made) == video_times(Path("clip.mp4")) and sound_packets(made) == sound_packets(Path("clip.mp4"))
    assert stylize("--content", "clip.mp4", "--resume", *options)[1].startswith("nothing is left to do"), "it is noted"


def test_stored_parsing_maps_go_on_where_the_frames_do(stylize, break_off, monkeypatch):
    monkeypatch.setattr(network.checkpoints, "load_parser", lambda path: ColourParser())
    make_clip(Path("clip.mp4"), [face_picture()[:64, :96]] * 8)
    np.save("maps.npy", np.random.default_rng(0).normal(size=(8, 19, 64, 96)).astype(np.float16))
    arguments = ["--content", "clip.mp4", "--no_scale_image", "--ckpt", save_model(Path.cwd(), parsing_channels=19)]
    arguments += ["--faceparsing_path", "parser.pth", "--parsing_map_path", "maps.npy", "--resume"]
    break_off(5)
    assert stylize(*arguments)[0] == 130
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for folder, begin in (("output", 3), ("whole", 0)):
        code, _, err = stylize(*arguments, "--output_path", folder)
        assert code == 0 and f" {begin}/8 " in err and " 8/8 " in err and (begin == 0 or " 0/8 " not in err)
    assert_alike(*(Path(folder) / "clip_vtoonify_d.mp4" for folder in ("output", "whole")))


def test_other_options_or_another_file_begin_anew(stylize, break_off, monkeypatch):
    moving_clip()
    begun = []
    note = segments.SegmentedSink._note
    monkeypatch.setattr(segments.SegmentedSink, "_note", lambda self: begun.append(len(self._segments)) or note(self))
    for options in ((), (), ("--style_degree", 0.9), ("--padding", 50, 50, 50, 50)):
        break_off(3)
        begun.clear()
        stylize("--content", "clip.mp4", "--resume", *options)
        assert begun[0] == (1 if not options and Path("again").exists() else 0)
        Path("again").touch()
    moving_clip(count=11)
    assert stylize("--content", "clip.mp4", "--resume", *options)[0] == 0
    assert len(video_times(Path("output/clip_vtoonify_d.mp4"))) == 11


def test_a_second_run_says_that_another_one_is_at_work(stylize):
    moving_clip(count=4)
    with alone(Path("output/clip_vtoonify_d.parts/.lock"), "it"):
        code, out, err = stylize("--content", "clip.mp4", "--resume")
    told = "another run is at work on output/clip_vtoonify_d.mp4: wait for its end, or choose another name."
    assert (code, out, err) == (2, "", f"program.py: clip.mp4: {told}\n") and results() == []


def test_photos_and_previews_have_no_segments(stylize):
    moving_clip(count=4)
    assert stylize("--content", "clip.mp4", "--resume", "--preview")[0] == 0
    assert {f.name for f in Path("output").iterdir()} == {"clip_input.jpg", "clip_preview_d.jpg", "manifest.jsonl"}


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
        patch.setattr(segments.SegmentedSink, "_remove", lambda *_: None)
        assert stylize("--content", "clip.mp4", "--resume")[0] == 0
    assert (folder / "00000.mp4").stat().st_mtime_ns == kept, "it was not made again"
    assert_alike(*(Path(folder) / "clip_vtoonify_d.mp4" for folder in ("output", "whole")))
