"""Region masks of the drawn teacher, on the public-domain portrait that scikit-image ships and a painted face."""

import numpy as np
import pytest
import skimage.data
import torch

from model.parsing.matting import SIDE, WEIGHTS, MatteNet, person_matte
from model.training.drawn.geometry import align_portrait
from model.training.drawn.parsing import beard_mask, parse_portrait
from tests.portrait import LANDMARKS, PORTRAIT_SIZE

SIZE = PORTRAIT_SIZE


def test_matte_network_is_small_and_keeps_the_size():
    assert MatteNet()(torch.zeros(1, 3, SIDE, SIDE // 2)).shape == (1, 1, SIDE, SIDE // 2)
    assert WEIGHTS.stat().st_size < 1 << 20


def test_matte_holds_the_person_and_leaves_the_corner(portrait):
    matte = person_matte(portrait[0])
    nose, chin = portrait[1][[30, 8]].round().astype(int)
    assert matte.shape == (SIZE, SIZE) and matte.min() >= 0 and matte.max() <= 1
    assert min(matte[nose[1], nose[0]], matte[chin[1] + 20, chin[0]], matte[-20, chin[0]]) > 0.8
    assert matte[:40, :20].mean() < 0.2


def test_parsing_is_deterministic_and_steady_under_a_pixel_of_landmark_jitter(portrait, parsing):
    rgb, landmarks = portrait
    np.testing.assert_array_equal(parsing.regions, parse_portrait(rgb, landmarks).regions)
    jitter = np.random.default_rng(0).uniform(-1, 1, landmarks.shape).astype(np.float32)
    change = np.abs(parse_portrait(rgb, landmarks + jitter).regions - parsing.regions).sum(-1)
    assert change.mean() < 0.04


def test_a_face_that_fills_the_picture_is_parsed():
    filled = parse_portrait(*align_portrait(skimage.data.astronaut(), LANDMARKS, SIZE, eye_fraction=0.6)).regions
    np.testing.assert_allclose(filled.sum(-1), 1, atol=1e-3)
    assert filled[..., 0].mean() < 0.3, "little background"


@pytest.mark.parametrize("colour", [(20, 3, 4), (92, 0, 2)], ids=["black", "white"])
def test_beards_of_any_colour_are_hair_and_smooth_skin_is_not(portrait, colour):
    landmarks, cheek = portrait[1], np.float32([70, 18, 22])
    lab = np.tile(cheek, (SIZE, SIZE, 1))
    unit = float(np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0)))
    assert beard_mask(lab, landmarks, unit, cheek).max() < 0.05
    noise = np.random.default_rng(0).normal(0, 2.2, (SIZE, SIZE, 1))
    lab[int(landmarks[33, 1]) :] = colour
    chin = ((landmarks[8] + landmarks[57]) / 2).round().astype(int)
    mask = beard_mask((lab + noise * (1, 0, 0)).astype(np.float32), landmarks, unit, cheek)
    assert mask[chin[1], chin[0]] > 0.7
