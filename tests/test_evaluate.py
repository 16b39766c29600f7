"""Figures of videos: steadiness, sharpness, identity."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from model.common.errors import InputError
from model.tools.metrics import descriptor, evaluate, main, sharpness
from tests.clips import make_clip
from tests.small_models import face_picture


def moving(count: int = 7) -> list[np.ndarray]:
    return [np.ascontiguousarray(astronaut()[16:208, 120 + 2 * i : 312 + 2 * i]) for i in range(count)]


def noisy(frames: list[np.ndarray], level: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.clip(frame + rng.normal(0, level, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


def test_noise_flickers_and_blur_is_not_sharp():
    plain, _ = evaluate(moving())
    _, flickering = evaluate(moving(), noisy(moving(), 20))
    _, soft = evaluate(moving(), [cv2.GaussianBlur(frame, (0, 0), 2) for frame in moving()])
    assert len(plain.flicker) == 6 and len(plain.sharpness) == 7
    assert flickering.means()["flicker"] > 4 * plain.means()["flicker"]
    assert soft.means()["sharpness"] < 0.6 * plain.means()["sharpness"]


def test_a_larger_result_is_compared_at_the_size_of_the_first():
    larger = [cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for frame in moving()]
    own, made = evaluate(moving(), larger)
    assert made.means()["sharpness"] == pytest.approx(own.means()["sharpness"], rel=0.3)
    assert made.means()["flicker"] < 2 * own.means()["flicker"]


def test_identity_tells_persons_apart():
    face = face_picture()
    other = cv2.flip(cv2.resize(face, None, fx=1.0, fy=1.25), 1)[20:212]
    same = np.linalg.norm(descriptor(face) - descriptor(noisy([face], 6)[0]))
    assert same < 0.35 and same < np.linalg.norm(descriptor(face) - descriptor(other))
    assert descriptor(np.full((64, 64, 3), 99, np.uint8)) is None
    own, made = evaluate(moving(), moving())
    assert made.identity == [0.0, 0.0] and own.identity == []


def test_sharpness_is_the_laplacian():
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 80
    assert sharpness(step) == pytest.approx(2 * 8 * 80 / 64)


def test_videos_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="longer than the other"):
        evaluate(moving(3), moving(4))
    with pytest.raises(InputError, match="different parts"):
        evaluate(moving(3), [frame[:120] for frame in moving(3)])


def test_the_program_writes_a_table_json_and_a_plot(call, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(Path("a.mp4"), moving(), rate=25)
    make_clip(Path("b.mp4"), noisy(moving(), 15), rate=25)
    assert call(main, "a.mp4", "b.mp4", "--json", "f.json", "--plot", "f.png") == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    figures = json.loads(Path("f.json").read_text())
    assert rows[2][0] == "a.mp4" and rows[3][0] == "b.mp4"
    plain, flickering = float(rows[2][1]), float(rows[3][1])
    assert flickering == pytest.approx(figures["b.mp4"]["flicker"], abs=0.01) and flickering > plain
    assert len(figures["b.mp4"]["frames"]["flicker"]) == 6
    assert Image.open("f.png").size[0] > 500


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["none.mp4"], "none.mp4"), (["a.jpg"], "a.jpg is a photo"), (["a.jpg", "--frames", 1], "--frames is 1"),
     (["a.jpg", "--plot", "x.txt"], "--plot is x.txt")],
)  # fmt: skip
def test_wrong_input_is_a_sentence(call, capsys, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(face_picture()).save("a.jpg")
    assert call(main, *arguments) == 2
    assert told in capsys.readouterr().err
