from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from model.parsing import matting
from model.training.drawn import learn_matte

SIDE = 48


def ellipse(number):
    """A photo RGB uint8 with a bright ellipse on a dark ground, and the ellipse as a matte."""
    rng = np.random.default_rng(number)
    label, centre, axes = np.zeros((SIDE, SIDE), np.uint8), rng.integers(18, 30, 2), rng.integers(10, 18, 2)
    cv2.ellipse(label, centre.tolist(), axes.tolist(), 0, 0, 360, 255, -1)
    photo = np.where(label[..., None] > 0, rng.integers(160, 250, 3), rng.integers(0, 70, 3))
    return photo.astype(np.uint8), label


@pytest.fixture
def started(call, tmp_path):
    """A function that runs the program for two steps on six photos, one of them in a subfolder."""
    for number in range(6):
        folder, (photo, label) = "sub" if number == 0 else ".", ellipse(number)
        for kind, picture, suffix in (("photos", photo[..., ::-1], "jpg"), ("mattes", label, "png")):
            (tmp_path / kind / folder).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / kind / folder / f"{number}.{suffix}"), picture)
    arguments = ("--photos", tmp_path / "photos", "--mattes", tmp_path / "mattes", "--steps", 2)
    return lambda *more: call(learn_matte.main, *arguments, "--out", tmp_path / "made" / "matte.pt", *more)


def test_a_few_steps_find_the_ellipses():
    examples = [tuple(cv2.resize(part, (160, 160)) for part in ellipse(number)) for number in range(12)]
    untrained, learnt = (learn_matte.learn(examples[2:], steps, 4, seed=0) for steps in (1, 40))
    overlap, l1 = learn_matte.measure(learnt, examples[:2])
    assert overlap > 0.8
    assert l1 < 0.7 * learn_matte.measure(untrained, examples[:2])[1]


def test_views_keep_photo_and_matte_together():
    rng = np.random.default_rng(0)
    photo = np.zeros((160, 160, 3), np.uint8)
    photo[50:120, 70:130] = 255
    views = [learn_matte.random_view(rng, (photo, photo[..., 0])) for _ in range(20)]
    for seen, label in views:
        assert seen.shape == (matting.SIDE, matting.SIDE, 3) and seen.dtype == label.dtype == np.float32
        assert seen.min() >= -1 and seen.max() <= 1 and label.min() >= 0 and label.max() <= 1
        assert ((seen.mean(-1) > 0) == (label > 0.5)).mean() > 0.97
    middles = [np.argwhere(label > 0.5).mean(0) for _, label in views]
    assert np.std(middles, axis=0).min() > 3, "views are moved and mirrored"


def test_the_file_serves_the_drawn_teacher_and_depends_on_the_seed_alone(started, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learn_matte, "BATCH", 2)
    file, made = tmp_path / "matte.pt", []
    for seed in (1, 0, 0):
        assert started("--seed", seed, "--out", file) == 0
        made.append(file.read_bytes())
    assert capsys.readouterr().out.startswith("1 held-out pictures: intersection over union 0.")
    assert made[0] != made[1] == made[2]
    shipped = matting.person_matte(ellipse(0)[0])
    monkeypatch.setattr(matting, "_network", lambda: matting.load_matte(file))
    own = matting.person_matte(ellipse(0)[0])
    assert own.shape == shipped.shape and np.isfinite(own).all() and not np.allclose(own, shipped)


def test_ctrl_c_leaves_no_file(started, tmp_path, monkeypatch):
    monkeypatch.setattr(learn_matte, "random_view", Mock(side_effect=KeyboardInterrupt))
    assert started() == 130
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("spoilt", "picture", "told"),
    [
        ("--mattes a b", None, "--photos and --mattes don't match: give as many folders"),
        ("--out .", None, "--out names no file"),
        ("--steps 0", None, "--steps is 0"),
        ("photos/**/*.jpg", None, "photos holds no pictures"),
        ("photos/[1-9].jpg", None, "is the only picture: give at least two"),
        ("mattes/3.png", None, "mattes/3.png does not exist: give"),
        ("photos/2.jpg", b"\xff\xd8", "photos/2.jpg can't be read as a picture"),
        ("mattes/3.png", np.full((8, 8), 40000, np.uint16), "mattes/3.png is no grey picture of 8 bits"),
        ("mattes/4.png", np.full((8, 8, 4), 200, np.uint8), "mattes/4.png is no grey picture of 8 bits"),
    ],
)
def test_pictures_and_options_that_cannot_work(started, tmp_path, capsys, spoilt, picture, told):
    for path in tmp_path.glob(spoilt):
        path.unlink()
        if picture is not None:
            path.write_bytes(picture if isinstance(picture, bytes) else cv2.imencode(".png", picture)[1].tobytes())
    assert started(*(spoilt.split() if spoilt.startswith("--") else [])) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("program.py: ") and told in last
    assert not (tmp_path / "made").exists()
