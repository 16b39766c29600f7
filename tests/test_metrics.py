import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from model.common.errors import InputError
from model.media import sample
from model.media.frames import Frame
from model.tools.metrics import at_same_times, descriptor, main, means, measure, sharpness
from tests.clips import make_clip, mean_flicker, mean_jitter, noisy
from tests.small_models import face_picture

TIME, FLICKER, JITTER, SHARPNESS, IDENTITY = range(5)


def moving(count: int = 7, step: int = 2) -> list[np.ndarray]:
    """A window that moves to the right by `step` pixels a frame."""
    return [np.ascontiguousarray(astronaut()[16:208, 120 + step * i : 312 + step * i]) for i in range(count)]


def enlarged(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for frame in frames]


def clip(frames: list[np.ndarray], leave_out: tuple[int, ...] = ()) -> list[Frame]:
    return [Frame(rgb, Fraction(i, 25)) for i, rgb in enumerate(frames) if i not in leave_out]


def compared(first: list[Frame], second: list[Frame]) -> np.ndarray:
    return measure(at_same_times(first, second, 0.02))


def test_motion_is_taken_out_of_flicker_and_noise_is_not():
    assert mean_flicker(moving(3, step=0), enlarged(moving(3, step=0))) == pytest.approx((0, 0), abs=0.05)
    frames = moving(3, step=4)
    unwarped = np.abs(frames[0].astype(int) - frames[1]).mean()
    own, made = mean_flicker(frames, enlarged(frames))
    assert own < 0.2 * unwarped and made < 0.25 * unwarped
    own, made = mean_flicker(frames, noisy(frames, 20))
    assert made > 15 and made > 5 * own


def engraved(rgb: np.ndarray, period: float, phase: float = 0.0) -> np.ndarray:
    """Black lines on white that swell with darkness."""
    rows, columns = np.indices(rgb.shape[:2])
    wave = np.cos(2 * np.pi * ((rows + 0.5 * columns) / period + phase))
    ink = np.clip(0.8 * (wave - np.cos(np.pi * (1 - rgb.mean(axis=2) / 255))) + 0.5, 0, 1)
    return np.repeat((255 * (1 - ink)).astype(np.uint8)[..., None], 3, axis=2)


def panned(rgb: np.ndarray, scale: int = 1, count: int = 4) -> list[np.ndarray]:
    """Frames of a camera that moves by parts of pixels over a picture, `scale` times as large as those of 300 x 300."""
    matrices = [np.float32([[1, 0, -60 - 1.3 * k], [0, 1, -10 - 0.6 * k]]) for k in range(count)]
    return [
        cv2.warpAffine(rgb, matrix * (1, 1, scale), (300 * scale,) * 2, flags=cv2.INTER_CUBIC) for matrix in matrices
    ]


@pytest.mark.parametrize("period", [4.0, 6.5, 11.0])
def test_a_drawing_that_is_carried_jitters_no_more_than_its_photo_and_one_that_is_drawn_anew_does(period):
    photo = np.ascontiguousarray(astronaut()[:340, 60:460])
    frames = noisy(panned(photo), 3)
    carried = panned(engraved(enlarged([photo])[0], period), 2)
    phases = np.random.default_rng(1).random(4)
    drawn_anew = [engraved(frame, period, phase) for frame, phase in zip(enlarged(frames), phases, strict=True)]
    own, made = mean_jitter(frames, carried)
    levels, more = mean_flicker(frames, carried)
    assert made < own and more > 2 * levels, "in levels, it seems to flicker"
    assert mean_jitter(frames, drawn_anew)[1] > 2 * own


def test_jitter_does_not_depend_on_contrast_and_size_and_sees_what_pulses():
    frames = noisy(panned(np.ascontiguousarray(astronaut()[:340, 60:460])), 4)
    own, same = mean_jitter(frames, enlarged([(0.4 * frame + 50).astype(np.uint8) for frame in frames]))
    assert same == pytest.approx(own, rel=0.1)
    pulsing = [np.clip(frame * (1 + 0.1 * (k % 2)), 0, 255).astype(np.uint8) for k, frame in enumerate(frames)]
    assert mean_jitter(frames, pulsing)[1] > 3 * own
    assert np.isnan(mean_jitter(frames, [np.full_like(frame, 99) for frame in frames])[1]), "nothing is there to jump"


def test_blur_is_not_sharp_and_a_larger_result_is_compared_at_the_size_of_the_first():
    (plain,) = measure(zip(clip(moving())))  # noqa: B905 - a tuple of each frame
    soft, large = [cv2.GaussianBlur(frame, (0, 0), 2) for frame in moving()], enlarged(moving())
    blurred, larger = (means(compared(clip(moving()), clip(frames))[1]) for frames in (soft, large))
    assert np.isnan(plain[:, FLICKER]).tolist() == [True] + 6 * [False] and np.isnan(means(plain)[3])
    assert blurred[2] < 0.6 * means(plain)[2] and larger[2] == pytest.approx(means(plain)[2], rel=0.3)
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 80
    assert sharpness(step) == pytest.approx(2 * 8 * 80 / 64), "the mean of the Laplacian"


def test_identity_tells_persons_apart():
    face = face_picture()
    other = cv2.flip(cv2.resize(face, None, fx=1.0, fy=1.25), 1)[20:212]
    same = np.linalg.norm(descriptor(face) - descriptor(noisy([face], 6)[0]))
    assert same < 0.35 and same < np.linalg.norm(descriptor(face) - descriptor(other))
    assert np.isnan(descriptor(np.full((64, 64, 3), 99, np.uint8))).all()
    own, made = compared(clip(moving()), clip(moving()))
    assert np.nan_to_num(made[:, IDENTITY], nan=9).tolist() == [0, 9, 9, 9, 9, 0, 9]
    assert np.isnan(own[:, IDENTITY]).all()


def test_a_skipped_frame_does_not_shift_the_rest_and_videos_that_do_not_belong_together_are_refused():
    whole, flat = compared(clip(moving()), clip(moving()))[1], np.full((192, 192, 3), 99, np.uint8)
    own, made = compared(clip(moving()), clip(moving(), leave_out=(2,)))
    kept = whole[[0, 1, 3, 4, 5, 6]]
    assert np.array_equal(made[:, TIME], kept[:, TIME]) and np.array_equal(own[:, TIME], kept[:, TIME])
    assert np.array_equal(made[:, SHARPNESS], kept[:, SHARPNESS])
    gap = clip([*moving()[:3], flat, *moving()[4:]])
    assert np.array_equal(compared(gap, gap)[1][5:, FLICKER], whole[5:, FLICKER])
    three, four, low = clip(moving(3)), clip(moving(4)), clip([frame[:120] for frame in moving(3)])
    for videos, told in (((three, four), "longer than"), ((four, three), "longer than"), ((three, low), "different")):
        with pytest.raises(InputError, match=told):
            compared(*videos)


def test_the_program_writes_a_table_json_and_a_plot(call, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(Path("a.mp4"), moving(), rate=25)
    make_clip(Path("b.mp4"), noisy(moving(), 15), rate=25)
    assert call(main, "a.mp4", "b.mp4", "--json", "m.json", "--plot", "m.png") == 0
    _, _, a, b = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    plain, flickering = float(a[1]), float(b[1])
    assert (a[0], b[0], float(b[2])) == ("a.mp4", "b.mp4", pytest.approx(flickering / plain, rel=0.01 / plain))
    assert flickering > plain
    curves = json.loads(Path("m.json").read_text())["b.mp4"]
    assert curves["flicker"][0] is None and np.mean(curves["flicker"][1:]) == pytest.approx(flickering, abs=0.01)
    assert len(curves["time"]) == len(curves["flicker"]) == 7
    assert Image.open("m.png").size[0] > 500


def test_a_model_is_measured_in_each_style(call, tmp_path, capsys):
    film = tmp_path / "clip.mp4"
    assert call(sample.main, film, "--seconds", 0.12) == 0
    assert call(main, film, "--model", "starter") == 0
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].removeprefix(str(film)) for row in rows] == ["", " film", " ink", " painterly", " watercolour"]
    for row in rows:
        assert float(row[2]) == pytest.approx(float(row[1]) / float(rows[0][1]), rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["none.mp4"], "none.mp4"), (["a.jpg", "--model", "starter"], "a.jpg is a photo"), (["a.jpg"], "a.jpg is a photo"),
     (["a.jpg", "--frames", 1], "--frames is 1"), (["a.jpg", "--plot", "x.txt"], "--plot is x.txt"),
     (["a.mp4", "b.mp4", "c.mp4"], "c.mp4"), (["a.mp4", "b.mp4", "--model", "starter"], "leave --model or b.mp4 out")],
)  # fmt: skip
def test_wrong_input_is_a_sentence(call, capsys, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(face_picture()).save("a.jpg")
    assert call(main, *arguments) == 2
    assert told in capsys.readouterr().err
