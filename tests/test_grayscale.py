"""Black and white stays black and white, colour stays colour, and nothing jumps in between."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data

from model.effects.grayscale import keep_grey
from tests.small_models import dual

PHOTO = skimage.data.astronaut()[20:180, 130:320]
CARTOON = np.random.default_rng(0).integers(0, 256, (320, 380, 3), np.uint8)
SEPIA = (PHOTO.mean(axis=2, keepdims=True) * [1.0, 0.85, 0.65]).astype(np.uint8)


def faded(share: float, light: float = 1.0) -> np.ndarray:
    """The photo with a share of its colour and light."""
    grey = PHOTO.mean(axis=2, keepdims=True)
    return (light * (grey + share * (PHOTO - grey))).round().astype(np.uint8)


def colourfulness(picture: np.ndarray) -> float:
    return float(np.ptp(picture.astype(int), axis=2).mean())


@pytest.mark.parametrize("photo", [PHOTO, faded(0.5), SEPIA, faded(1, light=0.3), faded(1, light=0.15)])
def test_colour_is_left_as_it_is(photo):
    assert keep_grey(CARTOON, photo) is CARTOON


@pytest.mark.parametrize("light", [1.0, 0.3, 0.15])
def test_without_colour_only_lightness_is_left(light):
    grey = keep_grey(CARTOON, faded(0.0, light))
    assert colourfulness(grey) == 0 and grey.shape == CARTOON.shape and grey.dtype == np.uint8
    assert np.abs(grey[..., 0] - CARTOON @ np.float32([0.299, 0.587, 0.114])).max() <= 1


def test_colours_fade_gradually():
    shares = np.linspace(0, 0.4, 81)
    seen = [colourfulness(keep_grey(CARTOON, faded(share))) / colourfulness(CARTOON) for share in shares]
    assert seen[0] == 0 and seen[-1] == 1
    assert any(0.05 < one < 0.95 for one in seen) and max(abs(np.diff(seen))) < 0.15


def test_models_keep_grey_only_where_their_preset_says_so():
    stylizer, grey = dual(), faded(0.0)
    portrait = stylizer.fit(grey, (64, 64, 64, 64))
    tinted = next(stylizer.render([grey], portrait))
    stylizer.style.preset = replace(stylizer.style.preset, keeps_grey=True)
    kept = next(stylizer.render([grey], portrait))
    assert colourfulness(tinted) > 1
    np.testing.assert_array_equal(kept, keep_grey(tinted, grey))
