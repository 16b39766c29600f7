import cv2
import numpy as np
import pytest

from model.common.errors import InputError
from model.styles.painters.hatching import Form, Hand, rough_paper
from model.styles.painters.values import load_painter
from tests.sitters import grey_of, is_picture_of, sitter, wall, with_values


@pytest.fixture(scope="module")
def drawn():
    return load_painter("charcoal").paint(sitter())


@pytest.fixture
def hand():
    """A hand that draws on a smooth sheet of 120 x 120 pixels without a form."""
    flat = np.zeros((120, 120), np.float32)
    return Hand(flat, Form(flat, flat, flat, flat, flat), tooth=0.0, rng=np.random.default_rng(0))


def test_the_seed_tells_the_strokes_apart(drawn):
    painter, subject = load_painter("charcoal"), sitter()
    assert is_picture_of(drawn, subject)
    np.testing.assert_array_equal(painter.paint(subject), drawn)
    assert np.abs(painter.paint(subject, seed=1).astype(int) - drawn).mean() > 3


def test_it_keeps_to_the_tones_of_the_photo(drawn):
    broad = [cv2.GaussianBlur(grey_of(picture), (0, 0), 6)[30:150, 40:130] for picture in (drawn, sitter().rgb)]
    assert np.corrcoef(broad[0].ravel(), broad[1].ravel())[0, 1] > 0.7


def test_paper_is_left_at_the_border_and_black_is_reached(drawn):
    grey, paper = grey_of(drawn), np.mean(load_painter("charcoal").paper)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    assert border.min() > paper - 30 and np.percentile(grey, 1) < 50


def test_strokes_are_drawn_where_tone_is_wanted_in_the_direction_asked_for(hand):
    wanted = np.zeros((120, 120), np.float32)
    wanted[30:90, 30:90] = 0.4
    sheet = hand.hatch(np.zeros_like(wanted), wanted, 0.0, 40.0, np.float32(3.0), 0.8)
    assert sheet[40:80, 40:80].mean() > 0.15 and sheet[:20].max() == 0
    inner = sheet[40:80, 40:80]
    assert np.abs(np.diff(inner, axis=0)).mean() > 2 * np.abs(np.diff(inner, axis=1)).mean()


def test_darker_tone_takes_more_charcoal(hand):
    sheets = [
        hand.hatch(np.zeros((120, 120)), np.full((120, 120), t), 30.0, 40.0, np.float32(3.0), 0.8) for t in (0.2, 0.7)
    ]
    assert sheets[1].mean() > 1.5 * sheets[0].mean()


def test_paper_is_rough():
    paper = rough_paper((100, 100), 2.0, np.random.default_rng(0))
    assert paper.min() >= 0 and paper.max() <= 1 and 0.4 < paper.mean() < 0.6 and paper.std() > 0.15


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_wall_is_bare_paper(level):
    painter = load_painter("charcoal")
    assert np.abs(painter.paint(wall(level)) - np.array(painter.paper)).max() < 6


def test_a_face_need_not_be_known(drawn):
    assert load_painter("charcoal").paint(sitter(known=False)).shape == drawn.shape


def test_values_of_ones_own(tmp_path, drawn):
    own = with_values(tmp_path / "red.toml", 'painter = "charcoal"\ncharcoal = [150, 40, 30]\n')
    assert load_painter(own).paint(sitter())[..., 0].min() > 100 > drawn[..., 0].min()
    with pytest.raises(InputError, match="unknown key 'coal'"):
        load_painter(with_values(tmp_path / "wrong.toml", 'painter = "charcoal"\ncoal = 1\n'))
    with pytest.raises(InputError, match="'charcoal' must be three numbers"):
        load_painter(with_values(tmp_path / "short.toml", 'painter = "charcoal"\ncharcoal = [10, 20]\n'))
