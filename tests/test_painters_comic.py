from dataclasses import replace

import cv2
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


def test_without_dots_and_rays_all_is_flat(tmp_path, printed):
    words = 'painter = "comic"\ndot_spacing = 0\nrays = 0\nbackgrounds = [95]\n'
    flat = load_painter(with_values(tmp_path / "flat.toml", words)).paint(sitter())
    assert is_picture_of(flat, sitter())
    commonest = [
        np.sort(np.unique(p.reshape(-1, 3), axis=0, return_counts=True)[1])[-12:].sum() for p in (flat, printed)
    ]
    assert commonest[0] > 0.85 * flat[..., 0].size and commonest[0] > 1.05 * commonest[1]
    (plain,) = np.unique(flat[:6, :6].reshape(-1, 3), axis=0)  # behind the head
    assert plain[0] > 200 and plain[1] > 180 and plain[2] < 100


def test_a_shadow_at_the_end_of_a_brow_is_no_brow():
    subject = sitter(380)
    shaded = cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2LAB)
    x, y = subject.landmarks[17].astype(int)
    shade = np.zeros(subject.rgb.shape[:2], np.float32)
    cv2.ellipse(shade, (int(x) + 4, int(y)), (22, 34), 0, 0, 360, 1, -1)
    shaded[..., 0] = shaded[..., 0] * (1 - 0.42 * cv2.GaussianBlur(shade, (0, 0), 6))
    picture = load_painter("comic").paint(replace(subject, rgb=cv2.cvtColor(shaded, cv2.COLOR_LAB2RGB)))
    beside = picture[y - 12 : y + 12, x - 4 : x + 12]
    assert (beside.max(axis=-1) < 60).mean() < 0.35


def test_a_tongue_is_red_and_teeth_are_white():
    subject = sitter(380)
    inner = subject.landmarks[60:68].round().astype(np.int32)
    pictures = []
    for colour in ((190, 85, 85), (225, 220, 210)):
        rgb = subject.rgb.copy()
        cv2.fillPoly(rgb, [inner], colour)
        mouth = np.zeros(rgb.shape[:2], np.uint8)
        cv2.fillPoly(mouth, [inner], 1)
        inside = cv2.erode(mouth, np.ones((3, 3), np.uint8)) > 0
        pictures.append(load_painter("comic").paint(replace(subject, rgb=rgb))[inside].astype(int))
    tongue, teeth = pictures
    assert ((tongue[:, 0] - tongue[:, 1]) > 40).mean() > 0.5 and (tongue.min(axis=1) > 200).mean() < 0.1
    assert (teeth.min(axis=1) > 200).mean() > 0.5
