"""Black and white stays black and white, colour stays colour, and nothing jumps in between."""

from dataclasses import replace

import numpy as np
import skimage.data

from model.effects.grayscale import keep_grey
from model.inference.stylizer import Stylizer
from tests.small_models import dual

PHOTO = skimage.data.astronaut()[20:180, 130:320]
CARTOON = np.random.default_rng(0).integers(0, 256, (320, 380, 3), np.uint8)


def faded(share: float) -> np.ndarray:
    """The photo with a share of its colour."""
    grey = PHOTO.mean(axis=2, keepdims=True)
    return (grey + share * (PHOTO - grey)).round().astype(np.uint8)


def colourfulness(picture: np.ndarray) -> float:
    return float(np.ptp(picture.astype(int), axis=2).mean())


def test_colour_is_left_as_it_is():
    assert keep_grey(CARTOON, PHOTO) is CARTOON
    assert keep_grey(CARTOON, faded(0.5)) is CARTOON


def test_without_colour_only_lightness_is_left():
    grey = keep_grey(CARTOON, faded(0.0))
    assert colourfulness(grey) == 0 and grey.shape == CARTOON.shape and grey.dtype == np.uint8
    weights = np.float32([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - CARTOON @ weights).max() <= 1


def test_sepia_is_a_colour():
    sepia = (PHOTO.mean(axis=2, keepdims=True) * [1.0, 0.85, 0.65]).astype(np.uint8)
    assert keep_grey(CARTOON, sepia) is CARTOON


def test_dark_photos_keep_their_colours():
    for light in (0.3, 0.15):
        dark = (light * PHOTO).round().astype(np.uint8)
        assert keep_grey(CARTOON, dark) is CARTOON
        grey = (light * faded(0.0)).round().astype(np.uint8)
        assert colourfulness(keep_grey(CARTOON, grey)) == 0


def test_colours_fade_gradually():
    shares = np.linspace(0, 0.4, 81)
    seen = [colourfulness(keep_grey(CARTOON, faded(share))) / colourfulness(CARTOON) for share in shares]
    assert seen[0] == 0 and seen[-1] == 1
    assert sum(0.05 < one < 0.95 for one in seen) > 0
    assert max(abs(np.diff(seen))) < 0.15


def test_models_keep_grey_only_where_their_preset_says_so():
    stylizer: Stylizer = dual()
    grey = faded(0.0)
    portrait = stylizer.fit(grey, (64, 64, 64, 64))
    tinted = next(stylizer.render([grey], portrait))
    stylizer.preset = replace(stylizer.preset, keeps_grey=True)
    kept = next(stylizer.render([grey], portrait))
    assert colourfulness(tinted) > 1
    np.testing.assert_array_equal(kept, keep_grey(tinted, grey))
