import numpy as np
import pytest

from model.common.errors import InputError
from model.styles.painters import flats
from model.styles.painters.values import load_painter
from tests.sitters import is_picture_of, sitter, wall, with_values


@pytest.fixture(scope="module")
def printed():
    return load_painter("comic").paint(sitter())


def test_the_seed_chooses_the_background(printed):
    painter, subject = load_painter("comic"), sitter()
    assert is_picture_of(printed, subject)
    np.testing.assert_array_equal(painter.paint(subject), printed)
    assert np.abs(painter.paint(subject, seed=1).astype(int) - printed).mean() > 3


def test_few_flat_colours_cover_most_of_it(printed):
    colours, counts = np.unique(printed.reshape(-1, 3), axis=0, return_counts=True)
    assert np.sort(counts)[-20:].sum() > 0.55 * counts.sum()
    assert len(np.unique(sitter().rgb.reshape(-1, 3), axis=0)) > 2 * len(colours)


def test_there_is_black_and_white(printed):
    assert (printed.max(axis=-1) < 30).mean() > 0.05 and (printed.min(axis=-1) > 240).mean() > 0.01


@pytest.mark.parametrize("amount", [0.1, 0.3, 0.6])
def test_dots_cover_what_they_should(amount):
    covered = flats.dots((200, 200), 12.0, 45.0, np.full((200, 200), amount, np.float32))
    assert covered.mean() == pytest.approx(amount, abs=0.02)


def test_a_palette_holds_the_colours_that_there_are():
    colours = np.float32([(20, 0, 0), (60, 40, 20), (80, -10, 50)])
    samples = np.repeat(colours, [50, 30, 20], axis=0)
    palette = flats.palette_of(samples, 3, np.random.default_rng(0))
    np.testing.assert_allclose(palette[palette[:, 0].argsort()], colours, atol=1e-3)


def test_islands_and_specks_are_left_out():
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50], mask[30:33, 30:33], mask[3:5, 3:5] = True, False, True
    inside = flats.distance_inwards(mask, 8, 0.5) > 0
    assert inside[31, 31] and not inside[4, 4]
    kept = flats.without_specks(mask.astype(np.float32), 0.5, 10) > 0.5
    assert kept[20, 20] and not kept[4, 4]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nobody_stands_before_a_wall(level):
    picture = load_painter("comic").paint(wall(level))
    assert (picture.max(axis=-1) > 60).all()  # no ink


def test_a_face_need_not_be_known(printed):
    assert load_painter("comic").paint(sitter(known=False)).shape == printed.shape


def test_values_of_ones_own(tmp_path, printed):
    own = with_values(tmp_path / "bold.toml", 'painter = "comic"\nblack = 45\n')
    black = (load_painter(own).paint(sitter()).max(axis=-1) < 30).mean()
    assert black > 1.2 * (printed.max(axis=-1) < 30).mean()
    with pytest.raises(InputError, match="unknown key 'blacks'"):
        load_painter(with_values(tmp_path / "wrong.toml", 'painter = "comic"\nblacks = 1\n'))
    with pytest.raises(InputError, match="'skin_tones' must be three numbers"):
        load_painter(with_values(tmp_path / "short.toml", 'painter = "comic"\nskin_tones = [10, 20]\n'))
