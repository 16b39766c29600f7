import os
import sys
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from model.common.errors import InputError
from model.inference.job import live
from model.inference.look import Look
from model.inference.options import Options
from model.media import webcam
from model.media.frames import Frame
from model.media.webcam import Latest, Screen, VideoCapture, VirtualCamera, Window, open_screens, play
from tests.clips import index_of, make_clip, marked
from tests.commands import assert_one_sentence
from tests.small_models import dual, levels_apart
from tests.test_scene import CLOSE
from tests.test_track import SIZE, empty, view

pytest_plugins = ("tests.commands_plugin",)


@pytest.fixture(scope="module")
def stylizer():
    return dual()


class FakeCamera:
    def __init__(self, pictures: list[np.ndarray], seconds: float = 0.0):
        self.pictures, self.seconds, self.is_closed = list(pictures), seconds, False

    def read(self) -> np.ndarray | None:
        time.sleep(self.seconds)
        return self.pictures.pop(0) if self.pictures else None

    def close(self) -> None:
        self.is_closed = True


class FakeScreen(Screen):
    def __init__(self, last: int = 1000):
        self.pictures, self.titles, self.last = [], [], last

    def show(self, rgb: np.ndarray, title: str) -> None:
        self.pictures.append(rgb)
        self.titles.append(title)
        self.closed = len(self.pictures) >= self.last


def clip(pictures: list[np.ndarray]) -> list[Frame]:
    return [Frame(rgb, Fraction(i, 10)) for i, rgb in enumerate(pictures)]


def test_frames_are_dropped_and_never_queued():
    with Latest(FakeCamera([marked(i) for i in range(40)], 0.01)) as frames:
        seen = []
        for frame in frames:
            seen.append((index_of(frame.rgb), float(frame.time)))
            time.sleep(0.08)
    numbers, times = zip(*seen, strict=True)
    assert numbers[-1] == 39 and list(numbers) == sorted(set(numbers)) and list(times) == sorted(times)
    assert len(numbers) < 20 and len(numbers) + frames.dropped == 40
    assert numbers[3] - numbers[2] > 3, "it goes on with the newest one"


def test_a_camera_that_falls_silent_or_fails_is_reported(monkeypatch):
    monkeypatch.setattr(webcam, "PATIENCE", 0.1)
    with Latest(FakeCamera([marked(0)] * 2, 0.3)) as frames, pytest.raises(InputError, match="has sent nothing"):
        next(iter(frames))

    broken = FakeCamera([])
    broken.read = lambda: 1 / 0
    with Latest(broken) as frames, pytest.raises(ZeroDivisionError):
        next(iter(frames))


def test_opencv_reads_in_rgb(tmp_path):
    red = np.full((48, 64, 3), (200, 0, 0), np.uint8)
    with closing(VideoCapture(str(make_clip(tmp_path / "red.mp4", [red] * 3)))) as capture:
        rgb = capture.read()
    assert rgb.shape == red.shape and rgb[..., 0].mean() > 180 and rgb[..., 1:].mean() < 20


@pytest.mark.parametrize("full_frame", [0, 1, 2])
def test_without_a_face_the_picture_is_shown_and_with_one_its_cartoon(stylizer, full_frame):
    frames = clip([empty()] * 3 + [view(120 + 2 * i, 110) for i in range(3)])
    look = Look("1", 1.0, padding=CLOSE, crop="follow", full_frame=full_frame, lost="pass")
    results = list(live(stylizer, frames, look))
    assert [frame.time for frame in results] == [frame.time for frame in frames]
    assert results[0].rgb.shape == (*(max(full_frame, 1) * side for side in SIZE), 3)
    assert np.abs(results[2].rgb.astype(int) - 120).max() == 0
    if full_frame == 1:
        changed = [levels_apart(a.rgb, b.rgb)[90:130, 100:140].mean() for a, b in zip(results, frames, strict=True)]
        assert max(changed[:3]) == 0 and min(changed[3:]) > 8
    else:
        assert results[3].rgb.shape[0] == (480 if full_frame else 4 * stylizer.fit(frames[3], CLOSE).crop.height)


def test_a_face_that_goes_lets_the_frames_through(stylizer):
    frames = clip([view(120, 110)] * 2 + [empty()] * 14)
    results = list(live(stylizer, frames, Look(padding=CLOSE, crop="follow", full_frame=1, lost="pass", compare=True)))
    assert {frame.rgb.shape for frame in results} == {(SIZE[0], 2 * SIZE[1], 3)}
    assert np.array_equal(results[-1].rgb[:, SIZE[1] :], frames[-1].rgb)


def test_each_frame_is_shown_before_the_next_is_taken(stylizer):
    waiting = clip([view(120, 110)] * 4)
    frames = iter(lambda: waiting.pop(0) if waiting else None, None)
    results = live(stylizer, frames, Look(padding=CLOSE, crop="follow", full_frame=1, batch_size=1))
    for left in (3, 2, 1, 0):
        next(results)
        assert len(waiting) == left


def test_it_ends_with_the_screen_the_camera_or_ctrl_c():
    def interrupted():
        yield from clip([marked(0)])
        raise KeyboardInterrupt

    screen = FakeScreen(last=3)
    assert play(clip([marked(i) for i in range(9)]), [FakeScreen(), screen]) == 3
    assert "frames a second" in screen.titles[-1]
    assert play(clip([marked(i) for i in range(9)]), [FakeScreen()]) == 9
    assert play(interrupted(), [FakeScreen()]) == 1


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="there is no display: run it under xvfb-run")
def test_the_window_shows_pictures_no_larger_than_the_screen_and_closes():
    with Window() as window:
        window.show(view(120, 110), "first")
        window.show(view(130, 110), "second")
        assert window._root.title() == "second" and not window.closed
        assert (window._label.winfo_width(), window._label.winfo_height()) == SIZE[::-1]
        window.show(np.zeros((100, 9000, 3), np.uint8), "wide")
        assert window._photo.width() <= window._root.winfo_screenwidth() and window._photo.height() < 100
        window._root.focus_force()
        window._root.event_generate("<Escape>")
        window._root.update_idletasks()
        assert window.closed
        window.show(view(130, 110), "nothing happens")


def test_a_virtual_camera_gets_pictures_of_its_size(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", package := MagicMock())
    monkeypatch.setattr(webcam, "Window", MagicMock(side_effect=InputError("there is no display")))
    (camera,) = open_screens(virtual_camera=True)
    with camera:
        camera.show(np.full((100, 400, 3), 200, np.uint8), "")
    package.Camera.assert_called_once_with(1280, 720, 20)
    package.Camera.return_value.close.assert_called_once()
    (sent,) = package.Camera.return_value.send.call_args.args
    assert sent.shape == (720, 1280, 3) and sent[210:510].min() == 200 and sent[:190].max() == 0 == sent[530:].max()


def test_what_is_missing_is_a_sentence(monkeypatch, capfd):
    with pytest.raises(InputError):
        VideoCapture(99)
    assert capfd.readouterr().err == "", "OpenCV keeps its warnings"
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(InputError, match="pip install pyvirtualcam"):
        VirtualCamera()
    monkeypatch.delenv("DISPLAY", raising=False)
    if os.name == "posix":
        with pytest.raises(InputError, match="no display for the window|needs tkinter"):
            Window()


def test_cameras_are_told_from_files():
    numbers = {("webcam",): 0, ("webcam:2",): 2, ("me.jpg",): None, (): None, ("webcams.mp4", "me.jpg"): None}
    assert {names: Options(content=[*names]).camera for names in numbers} == numbers


def test_the_program_shows_the_camera(stylize, monkeypatch):
    camera, window = FakeCamera([view(120 + i, 110) for i in range(5)], 0.05), FakeScreen()
    monkeypatch.setattr("model.inference.job.VideoCapture", lambda number: camera)
    monkeypatch.setattr("model.inference.job.open_screens", lambda virtual_camera: [window])
    code, out, err = stylize("--content", "webcam", "--full_frame", 1, "--style_id", 1)
    assert (code, err) == (0, "")
    assert out == f"webcam:0: {len(window.pictures)} frames shown, {5 - len(window.pictures)} dropped\n"
    assert window.pictures[0].shape == (*SIZE, 3) and window.closed and camera.is_closed
    assert not Path("output").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["webcam:99"], "the camera webcam:99 cannot be opened: connect it"),
        (["webcam", "me.jpg"], "webcam is a camera and goes alone"),
        (["webcam:x"], "webcam:x names no camera"),
        (["webcam", "--resume"], "--resume is for files"),
        (["webcam", "--parsing_map_path", "maps.npy"], "--parsing_map_path is for files"),
        (["webcam", "--faces", "all"], "--faces all is for files"),
        (["me.jpg", "--virtual_camera"], "--virtual_camera is for --content webcam"),
    ],
)
def test_what_cannot_work_is_one_sentence(stylize, arguments, told):
    assert_one_sentence(stylize("--content", *arguments), told)
