"""Guided patch synthesis: NumPy, PyTorch and Numba agree; results follow the guides, and use the style evenly."""

import subprocess
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from model.common.errors import InputError
from model.styles.base import Crop
from model.styles.example import synthesis
from model.styles.example.exemplar import Exemplar
from model.styles.example.style import ExampleStyle
from model.styles.example.styleblit import Torch
from model.styles.example.synthesis import Guide, Settings, synthesize
from tests.sitters import sitter

TURN = np.float32([[0.99, -0.08, 8], [0.08, 0.99, -6]])


def texture(size, seed=0):
    rng = np.random.default_rng(seed)
    return cv2.blur(rng.integers(0, 256, (*size, 3)).astype(np.uint8), (2, 2))


def ramp(size, axis):
    values = np.indices(size, np.float32)[axis] * (255 / (size[axis] - 1))
    return values[..., None]


@pytest.fixture(scope="module")
def case():
    style = texture((40, 46))
    guides = [Guide(ramp((40, 46), axis), ramp((34, 38), axis), 3.0) for axis in (0, 1)]
    return style, guides, Settings(votes=2, searches=2)


@pytest.mark.parametrize("settings", [{}, {"patch": 3, "levels": 1}, {"extra": True, "uniformity": 9000.0}])
def test_numpy_pytorch_and_numba_make_the_same_picture(case, settings, monkeypatch):
    style, guides, usual = case
    settings = Settings(**{**vars(usual), **settings})
    own = synthesize(style, guides, settings)
    for xp in (np, Torch(torch.device("cpu"))):
        monkeypatch.setattr(synthesis, "_tools", lambda device, xp=xp: synthesis._OnDevice(xp))
        other = synthesize(style, guides, settings)
        assert np.array_equal(other.field, own.field) and np.array_equal(other.picture, own.picture)
        assert other.energy == pytest.approx(own.energy)


def test_a_picture_with_its_own_guides_is_itself():
    style = texture((48, 52), seed=4)
    guides = [Guide(ramp((48, 52), axis), ramp((48, 52), axis), 4.0) for axis in (0, 1)]
    result = synthesize(style, guides)
    inside = np.s_[4:-4, 4:-4]
    assert np.abs(result.picture.astype(int) - style)[inside].mean() < 1


def test_guides_decide_what_goes_where_and_weights_how_much():
    style = np.zeros((40, 80, 3), np.uint8)
    style[:, :40], style[:, 40:] = (200, 60, 40), (40, 90, 210)
    style = np.clip(style + np.random.default_rng(1).integers(-20, 20, style.shape), 0, 255).astype(np.uint8)
    mask, wanted = np.zeros((40, 80, 1), np.uint8), np.zeros((50, 60, 1), np.uint8)
    mask[:, 40:], wanted[25:] = 255, 255
    result = synthesize(style, [Guide(mask, wanted, 2.0)])
    assert (result.picture[:20, :, 0] > 150).mean() > 0.98 and (result.picture[30:, :, 2] > 150).mean() > 0.98
    ignored = synthesize(style, [Guide(mask, wanted, 0.0)], Settings(uniformity=0.0, levels=1))
    assert (ignored.picture[30:, :, 2] > 150).mean() < 0.98


def test_pictures_of_other_programs_are_measured_alike(case):
    style, guides, settings = case
    own = synthesize(style, guides, settings)
    noise = np.random.default_rng(0).integers(0, 256, own.picture.shape).astype(np.uint8)
    fitted = synthesis.matched(style, guides, own.picture, settings).energy
    assert 0 < fitted < 1.1 * own.energy
    assert synthesis.matched(style, guides, noise, settings).energy > 2 * fitted
    with pytest.raises(InputError, match="size"):
        synthesis.matched(style, guides, noise[:-1], settings)


def unevenness(field, size):
    uses = np.zeros(size)
    np.add.at(uses, (field[..., 1].ravel(), field[..., 0].ravel()), 1)
    inner = cv2.blur(uses, (5, 5))[8:-8, 8:-8]
    return inner.std() / inner.mean()


def test_uniformity_spreads_what_is_used():
    style, flat = texture((60, 60), seed=2), np.zeros((60, 60, 1), np.uint8)
    start = np.full((60, 60, 2), 30, np.float32)
    free, even = (
        synthesize(style, [Guide(flat, flat)], Settings(uniformity=price, levels=1), start=start)
        for price in (0.0, 20000.0)
    )
    assert unevenness(even.field, (60, 60)) < 0.7 * unevenness(free.field, (60, 60))


def test_a_start_and_places_keep_the_search_near(case):
    style, guides, _ = case
    places = np.stack(np.meshgrid(np.arange(38), np.arange(34)), -1).astype(np.float32)
    result = synthesize(style, guides, Settings(levels=1), places=places, start=places, reach=3)
    plain = synthesize(style, guides, Settings(levels=1, votes=1, searches=1, tries=0), start=places)
    assert result.energy <= plain.energy
    assert np.array_equal(result.field, synthesize(style, guides, Settings(levels=1), places=places, start=places,
                                                   reach=3).field)  # fmt: skip


def test_what_does_not_fit_is_told(case):
    style, guides, _ = case
    with pytest.raises(InputError, match="guide 1 has 30 x 40 pixels"):
        synthesize(style, [Guide(np.zeros((40, 30, 1)), guides[0].target)])
    with pytest.raises(InputError, match="1 and 3 channels"):
        synthesize(style, [Guide(guides[0].source, np.zeros((34, 38, 3)))])
    with pytest.raises(InputError, match="at least one pair"):
        synthesize(style, [])
    with pytest.raises(InputError, match="11 x 11"):
        synthesize(style[:8], [Guide(guides[0].source[:8], guides[0].target)])


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "model.tools.synthesize", *map(str, words)], capture_output=True, text=True
    )


@pytest.fixture
def files(tmp_path, case):
    style, guides, _ = case
    Image.fromarray(style).save(tmp_path / "S.png")
    for number, guide in enumerate(guides):
        for name, values in (("S", guide.source), ("T", guide.target)):
            Image.fromarray(values[..., 0].round().astype(np.uint8)).save(tmp_path / f"{number}_{name}.png")
    return tmp_path


def test_the_tool_takes_the_words_of_ebsynth(files):
    pairs = [
        word
        for number in (0, 1)
        for word in ("-guide", files / f"{number}_S.png", files / f"{number}_T.png", "-weight", 3)
    ]
    fewer = "-searchvoteiters", 2, "-patchmatchiters", 2, "-backend", "cpu"
    done = run("-style", files / "S.png", *pairs, "-output", files / "a.png", *fewer)
    assert done.returncode == 0, done.stderr
    again = run(*(str(word).replace("-", "--", 1) if str(word).startswith("-") else word for word in pairs), "--style",
                files / "S.png", "--out", files / "b.png", "--searchvoteiters", 2, "--searchiters", 2)  # fmt: skip
    assert again.returncode == 0, again.stderr
    first, second = (np.asarray(Image.open(files / name)) for name in ("a.png", "b.png"))
    assert first.shape == (34, 38, 3) and np.array_equal(first, second)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--guide", "0_S.png", "0_T.png"], "no --style"),
        (["--style", "S.png"], "no --guide"),
        (["--weight", "2", "--style", "S.png"], "goes behind"),
        (["--style", "S.png", "--guide", "0_S.png", "0_T.png", "--patchsize", "4"], "odd number"),
        (["--style", "S.png", "--guide", "0_S.png", "0_T.png", "--weight", "1e30"], "from 0 to 1000000"),
        (["--style", "S.png", "--guide", "0_S.png", "0_T.png", "--uniformity", "inf"], "from 0 to 1000000"),
        (["--style", "S.png", "--guide", "0_S.png", "0_T.png", "--out", "0_T.png"], "is read as well"),
        (["--style", "S.png", "--guide", "0_S.png", "missing.png"], "there is no such file"),
        (["--style", "S.png", "--guide", "0_T.png", "0_S.png"], "38 x 34"),
        (["--style", "S.png", "--guide", "0_S.png", "0_T.png", "--out", "o.xyz"], "no name for a result"),
    ],
)
def test_wrong_words_are_one_sentence(files, words, told):
    named = [str(files / word) if word.endswith(".png") else word for word in words]
    done = run(*named)
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
    assert not (files / "output.png").exists()


@pytest.fixture(scope="module")
def portrait():
    """A portrait, its landmarks, and the same painted in blue stripes, as an exemplar."""
    subject = sitter(240)
    grey = cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2GRAY)
    stripes = 40 * (np.indices(grey.shape).sum(0) // 3 % 2)
    picture = np.dstack([grey // 4, grey // 2, np.clip(grey // 2 + 60 + stripes, 0, 255)]).astype(np.uint8)
    return subject, Exemplar(picture, subject.landmarks)


def test_portraits_by_patches_are_of_the_exemplar_and_as_smooth(portrait):
    subject, exemplar = portrait
    turned = cv2.warpAffine(subject.rgb, TURN, subject.rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    landmarks = cv2.transform(subject.landmarks[None], TURN)[0].astype(np.float32)
    style = ExampleStyle({"blue": exemplar}, "blue", "none", "cpu")
    patch, blit = (
        style.renderer(None, synthesis=kind, keep_tone="off").start([Crop(turned, landmarks)])()[0]
        for kind in ("patch", "blit")
    )
    assert patch.shape == turned.shape and patch[..., 2].mean() > patch[..., 0].mean() + 40
    assert not np.array_equal(patch, blit)
    truth = cv2.warpAffine(exemplar.picture, TURN, subject.rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    away = [np.abs(cv2.blur(each, (5, 5)).astype(int) - cv2.blur(truth, (5, 5)))[40:-40, 40:-40].mean() for each in
            (patch, blit)]  # fmt: skip
    assert away[0] < away[1]


def test_the_frame_before_keeps_patches_steady_unless_they_may_boil(portrait):
    subject, exemplar = portrait
    noise = np.random.default_rng(0).normal(0, 6, (3, *subject.rgb.shape))
    frames = np.clip(subject.rgb + noise, 0, 255).astype(np.uint8)
    style = ExampleStyle({"blue": exemplar}, "blue", "none", "cpu")
    changes = []
    for boil in (0.0, 1.0):
        renderer = style.renderer(None, synthesis="patch", keep_tone="off", boil=boil)
        crops = [Crop(rgb, subject.landmarks, Fraction(number, 4)) for number, rgb in enumerate(frames)]
        pictures = [renderer.start([crop])()[0].astype(int) for crop in crops]
        changes.append(np.abs(pictures[2] - pictures[1]).mean())
    assert changes[0] < 3.5 and changes[0] < 0.8 * changes[1]
