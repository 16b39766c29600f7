"""Noise goes, motion stays."""


import numpy as np
import pytest
import skimage.data

from model.effects.denoise import Steadier
from model.inference.look import Look
from model.media.frames import Frame
from tests.clips import mean_flicker
from tests.small_models import cartoon, dual, levels_apart

PICTURE = skimage.data.astronaut()[20:200, 130:320]


def noisy(frames: list[np.ndarray], sigma: float = 3.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.clip(frame + rng.normal(0, sigma, frame.shape), 0, 255).round().astype(np.uint8) for frame in frames]


def moving(step: int, count: int = 6) -> list[np.ndarray]:
    return [skimage.data.astronaut()[20:180, 60 + step * n : 220 + step * n].copy() for n in range(count)]


def steadied(frames: list[np.ndarray]) -> list[np.ndarray]:
    return list(map(Steadier(), frames))


@pytest.mark.parametrize("step", [0, 4])
def test_noise_is_halved_and_what_is_clean_stays_sharp(step):
    frames, clean = noisy(moving(step)), moving(step)
    before, after = mean_flicker(frames, steadied(frames))
    assert after < 0.7 * before
    assert levels_apart(steadied(frames)[-1], clean[-1]).mean() < levels_apart(frames[-1], clean[-1]).mean()
    assert levels_apart(steadied(clean)[-1], clean[-1]).mean() < 1


def test_a_blink_and_a_cut_are_seen_at_once():
    closed = PICTURE.copy()
    closed[74:92, 52:80] = PICTURE[95:113, 52:80]  # a lid of skin
    frames = [PICTURE] * 3 + [closed, PICTURE[::-1].copy()]
    _, _, still, blink, cut = steadied(frames)
    assert levels_apart(still, PICTURE).max() <= 1
    eye = levels_apart(PICTURE, closed).max(-1) > 40
    assert eye.sum() > 50 and levels_apart(blink, closed)[eye].mean() < 2
    assert levels_apart(cut, frames[-1]).mean() < 1


def test_videos_are_steadied_where_the_preset_or_the_look_says_so():
    stylizer = dual()
    frames = [Frame(frame) for frame in noisy([PICTURE] * 4)]
    portrait = stylizer.fit(frames[0], (64, 64, 64, 64))

    def last(look: Look) -> np.ndarray:
        return [frame.rgb for frame in cartoon(stylizer, frames, portrait, look)][-1]

    as_it_is, asked = last(Look()), last(Look(steady="on"))
    assert not np.array_equal(as_it_is, asked)
    stylizer.style.denoises = True
    assert np.array_equal(last(Look()), asked) and np.array_equal(last(Look(steady="off")), as_it_is)
