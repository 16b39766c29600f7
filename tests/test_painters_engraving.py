import numpy as np
import pytest

from model.common.errors import InputError
from model.styles.painters import ruling
from model.styles.painters.values import load_painter
from tests.sitters import grey_of, is_picture_of, sitter, wall, with_values


@pytest.fixture(scope="module")
def engraved():
    return load_painter("engraving").paint(sitter())


def test_the_seed_tells_the_lines_apart(engraved):
    painter, subject = load_painter("engraving"), sitter()
    assert is_picture_of(engraved, subject)
    np.testing.assert_array_equal(painter.paint(subject), engraved)
    assert np.abs(painter.paint(subject, seed=1).astype(int) - engraved).mean() > 3


def test_it_is_ink_on_paper_and_as_dark_as_the_photo_where_that_is_dark(engraved):
    painter = load_painter("engraving")
    ink, paper = np.array(painter.ink), np.array(painter.paper)
    share = ((paper - engraved) / (paper - ink)).mean(axis=-1)
    np.testing.assert_allclose(engraved, paper + share[..., None] * (ink - paper), atol=2.5)
    assert ((share < 0.15) | (share > 0.85)).mean() > 0.5  # lines, no greys
    subject, inside = sitter(), slice(30, 150)
    dark = grey_of(subject.rgb)[inside, 40:130] < 70
    assert share[inside, 40:130][dark].mean() > 2 * share[inside, 40:130][~dark].mean()


def test_lines_swell_with_tone():
    number = ruling.ruled((120, 120), 30.0, np.float32(0))
    for width in (0.1, 0.35, 0.7):
        ink = ruling.cut(ruling.wave(number), np.full((120, 120), width, np.float32))
        assert abs(ink.mean() - width) < 0.03


def test_grown_lines_follow_the_directions_and_keep_their_spacing():
    start = ruling.wave(ruling.ruled((96, 96), 20.0, np.float32(0)))
    upright = np.zeros((96, 96, 2), np.float32)
    upright[..., 1] = 1
    lines = ruling.grown(start, upright, np.ones((96, 96), bool), rounds=12)[16:-16, 16:-16]
    across, down = np.abs(np.diff(lines, axis=1)).mean(), np.abs(np.diff(lines, axis=0)).mean()
    assert across > 4 * down
    crossings = (np.diff(np.sign(lines), axis=1) != 0).mean()
    assert crossings == pytest.approx(2 / ruling.PERIOD, rel=0.15)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nothing_but_ruled_lines_is_before_a_wall(level):
    middle = load_painter("engraving").paint(wall(level))[40:120, 40:90]
    assert (middle == middle[:, :1]).all() and 60 < grey_of(middle).mean() < 240


def test_a_face_need_not_be_known(engraved):
    picture = load_painter("engraving").paint(sitter(known=False))
    assert picture.shape == engraved.shape and grey_of(picture).std() > 30


def test_values_of_ones_own(tmp_path, engraved):
    own = with_values(tmp_path / "blue.toml", 'painter = "engraving"\nink = [10, 20, 120]\nhair_rounds = 1\n')
    picture = load_painter(own).paint(sitter())
    assert picture[..., 2].min() > 100 > engraved[..., 2].min()
    with pytest.raises(InputError, match="unknown key 'inks'"):
        load_painter(with_values(tmp_path / "wrong.toml", 'painter = "engraving"\ninks = 1\n'))
    with pytest.raises(InputError, match="'ink' must be three numbers"):
        load_painter(with_values(tmp_path / "short.toml", 'painter = "engraving"\nink = [10, 20]\n'))
