from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from model.effects import in_good_light, light_gain
from model.styles.base import Crop
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.styles import load_style
from model.training.drawn.teacher import draw_full
from tests.portrait import LANDMARKS
from tests.small_models import dual, levels_apart

LEFT_TOP = 130, 20
PHOTO, FACE = astronaut()[20:200, 130:320], LANDMARKS - LEFT_TOP
DIMMED = np.linspace(1, 0.1, 46)


def dim(photo: np.ndarray, light: float | np.ndarray) -> np.ndarray:
    return np.round(photo * light).astype(np.uint8)


def enlarged(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=4, fy=4)


def backlit(light: float, background: float = 240) -> np.ndarray:
    """The face in the shade before a bright wall, which is a little lighter on the right."""
    wall = background * np.linspace(0.9, 1, PHOTO.shape[1])[:, None] * [1, 0.9, 0.7]
    behind = cv2.fillConvexPoly(np.ones(PHOTO.shape[:2], np.uint8), cv2.convexHull(FACE.astype(np.int32)), 0)
    return np.where(behind[..., None], wall, light * PHOTO).astype(np.uint8)


@pytest.mark.parametrize("face", [FACE, None], ids=["face", "crop"])
def test_good_light_is_left_as_it_is_and_a_fade_changes_the_gain_without_jumps(face):
    gains = np.array([light_gain(dim(PHOTO, light), face) for light in DIMMED])
    steps = np.diff(np.log(gains)) / -np.diff(np.log(DIMMED))
    assert (gains[DIMMED > 0.75] == 1).all() and 7 < gains[-1] < 10
    assert steps.min() >= 0 and steps.max() < 1.7, "it grows about as fast as light falls"
    assert light_gain(np.zeros_like(PHOTO), face) == 10


def test_dark_skin_is_not_taken_for_dim_light_and_shade_before_a_bright_wall_is():
    """Dark skin, as photos in good light show it: red as on light skin, green and blue half of it."""
    assert light_gain(dim(PHOTO, np.array([0.7, 0.4, 0.3])), FACE) == 1
    assert light_gain(backlit(0.25), FACE) > 2.5
    assert light_gain(backlit(0.25), None) == light_gain(backlit(0.25), FACE + 1000) == 1, "the whole crop is bright"


def test_noise_does_not_move_the_gain():
    rng, dark = np.random.default_rng(0), dim(PHOTO, 0.2)
    noisy = [np.clip(dark + rng.normal(0, 4, dark.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    gains = [light_gain(photo, FACE) for photo in noisy]
    assert np.std(gains) < 0.01 * np.mean(gains)


@pytest.mark.parametrize("photo", [dim(PHOTO, 0.2), backlit(0.25)], ids=["dim", "backlit"])
def test_what_is_lifted_is_well_lit_and_comes_back_as_it_was(photo):
    lifted, put_back = in_good_light(photo, light_gain(photo, FACE))
    assert light_gain(lifted, FACE) == 1
    back = put_back(enlarged(lifted))
    flat = enlarged(cv2.morphologyEx(photo, cv2.MORPH_GRADIENT, np.ones((3, 3)))).max(-1) < 8
    assert levels_apart(back, enlarged(photo))[flat].max() <= 2
    assert levels_apart(back, enlarged(photo)).mean() < 1


def test_lights_keep_their_hue_and_their_order():
    lamp = dim(PHOTO, 0.2)
    lamp[5:25, 5:25], lamp[5:25, 40:60] = (250, 200, 100), (125, 100, 50)
    lifted, _ = in_good_light(lamp, 5.0)
    bright, faint = lifted[15, 15].astype(float), lifted[15, 50].astype(float)
    np.testing.assert_allclose(bright / bright[0], [1, 0.8, 0.4], atol=0.01)
    np.testing.assert_allclose(faint / faint[0], [1, 0.8, 0.4], atol=0.01)
    assert 255 >= bright[0] > faint[0] + 20


def test_a_darker_wall_in_the_drawing_does_not_become_a_halo_around_the_head():
    photo = backlit(0.25)
    lifted, put_back = in_good_light(photo, light_gain(photo, FACE))
    moved = np.roll(dim(enlarged(lifted), 0.9), 8, axis=1)
    wanted = np.roll(dim(enlarged(photo), 0.9), 8, axis=1)
    assert np.percentile(levels_apart(put_back(moved), wanted)[:, 16:], 97) < 12
    wall = wanted[..., 0] > 180
    assert np.percentile(put_back(moved)[..., 0][wall], 1) > 170


def test_only_models_that_are_to_be_corrected_are_shown_another_light():
    style, dark = dual().style, Crop(np.ascontiguousarray(dim(PHOTO, 0.2)[:176, :184]), FACE)
    (plain,) = style.renderer(None).start([dark])()
    style.preset = replace(style.preset, corrected=True)
    (corrected,) = style.renderer(None).start([dark])()
    gain = light_gain(dark.rgb, FACE)
    (lit,) = style.renderer(None).start([Crop(in_good_light(dark.rgb, gain)[0], FACE)])()
    assert levels_apart(corrected, plain).mean() > 1
    assert levels_apart(corrected, dim(lit, 1 / gain)).max() <= 1


@pytest.mark.parametrize("style", ["film", "watercolour"])
def test_the_teacher_s_blush_is_in_proportion_to_light(portrait, parsing, style):
    drawn = load_style(style)
    plain = load_style(style)
    plain.blush = 0.0

    def added(light: float) -> float:
        """How much redder the cheeks are than without blush, beside their green."""
        ratios = []
        for which in (drawn, plain):
            full = draw_full(dim(portrait[0], light), which, parse_portrait(*portrait)).full
            left, top = portrait[1][[2, 31, 41]].mean(0).astype(int)
            red, green, _ = full[top - 4 : top + 5, left - 4 : left + 5].mean((0, 1))
            ratios.append(red / green)
        return ratios[0] / ratios[1] - 1

    assert added(1.0) > 0.05 and added(0.2) < 1.3 * added(1.0)
