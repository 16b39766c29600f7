import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from model import effects
from model.effects import Denoiser, FullFrame, edge_fade, keep_grey, person_mask, seam_offset
from model.faces.window import MovingWindow
from model.inference.look import Look
from model.media.frames import Frame
from tests.clips import mean_flicker, noisy
from tests.small_models import cartoon, dual, levels_apart

FRAME = np.ascontiguousarray(astronaut()[:384])
PHOTO = astronaut()[20:200, 130:320]
WINDOW = MovingWindow(0.75, x=100.3, y=16.6, width=192, height=192)  # the head and shoulders


def put_back(result: np.ndarray, scale: int = 1, window: MovingWindow = WINDOW) -> np.ndarray:
    back = FullFrame(scale)
    whole = back.enlarge(FRAME)
    back(whole, window.apply(FRAME), result, window)
    return whole


def enlarged(crop: np.ndarray) -> np.ndarray:
    return cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_unchanged_crop_changes_nothing_and_lies_in_its_place(scale):
    whole = put_back(enlarged(WINDOW.apply(FRAME)), scale)
    plain = FullFrame(scale).enlarge(FRAME)
    assert whole.shape == plain.shape == (scale * 384, scale * 512, 3)
    soft = [cv2.GaussianBlur(picture, (0, 0), 2 * scale) for picture in (whole, plain)]
    astray = levels_apart(soft[0], np.roll(soft[1], 2 * scale, axis=1)).mean()
    difference = levels_apart(*soft)
    assert difference.mean() < 0.2 * astray and np.percentile(difference, 99) < 20


def test_the_person_changes_and_the_background_does_not():
    whole = put_back(enlarged(cv2.applyColorMap(WINDOW.apply(FRAME)[..., 0], cv2.COLORMAP_OCEAN)))
    changed = levels_apart(whole, FRAME).max(-1)
    assert changed[100:150, 200:250].mean() > 20, "the face"
    assert changed[:, :95].max() == 0 and changed[:, 365:].max() == 0 and changed[290:].max() == 0, "outside"


def test_no_edge_of_the_square_is_seen_and_edges_of_the_frame_do_not_fade():
    darker = np.clip(WINDOW.apply(FRAME).astype(int) - 60, 0, 255).astype(np.uint8)
    difference = put_back(enlarged(darker)).astype(float).mean(-1) - FRAME.mean(-1)
    for picture, first in ((difference, round(WINDOW.y)), (difference.T, round(WINDOW.x))):
        for line in (first, first + round(192 / 0.75) - 1):
            assert np.abs(picture[line + 2] - picture[line - 2]).max() < 4
    inner, corner = (edge_fade(window, FRAME.shape[:2]) for window in (WINDOW, MovingWindow(1.0, 0.0, 0.0, 192, 192)))
    assert inner[0].max() < 0.01 and inner[:, 0].max() < 0.01 and inner[96, 96] == 1
    assert corner[0, 96] == corner[96, 0] == 1 and corner[-1].max() < 0.01


def test_colours_meet_at_the_seam_and_stay_inside():
    crop = WINDOW.apply(FRAME)
    result = np.clip(crop.astype(int) + 30, 0, 255).astype(np.uint8)
    mask = person_mask(crop) * edge_fade(WINDOW, FRAME.shape[:2])
    seam, inside = (mask > 0.3) & (mask < 0.7), cv2.erode(mask, np.ones((61, 61))) > 0.9
    offset = seam_offset(crop, result, mask, np.ones_like(mask)).mean(-1)
    assert offset[seam].mean() < -12 and abs(offset[inside].mean()) < 3
    adapted = seam_offset(crop, result, mask, np.zeros_like(mask)).mean(-1)
    assert adapted[inside].mean() < -20, "the frame's colours where the style is to give way to them"


def test_a_window_outside_of_the_frame_is_no_failure():
    window = MovingWindow(0.75, x=400.0, y=-50.0, width=192, height=192)
    assert put_back(enlarged(window.apply(FRAME)), 2, window).shape == (768, 1024, 3)
    gone = MovingWindow(0.75, x=4000.0, y=0.0, width=192, height=192)
    assert np.array_equal(put_back(enlarged(WINDOW.apply(FRAME)), 1, gone), FRAME)


def test_strips_fit_without_a_seam_and_need_little_memory(monkeypatch):
    result, peaks, pictures = enlarged(WINDOW.apply(FRAME)) // 2, [], []
    for strip in (100_000, 37):
        monkeypatch.setattr(effects, "STRIP", strip)
        tracemalloc.start()
        pictures.append(put_back(result, 4))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert levels_apart(*pictures).max() <= 1 and levels_apart(pictures[0], FullFrame(4).enlarge(FRAME)).max() > 20
    assert peaks[1] < 0.4 * peaks[0]


def test_the_mask_changes_slowly_and_goes_with_the_person():
    here, there = WINDOW.apply(FRAME), replace(WINDOW, x=WINDOW.x - 16).apply(FRAME)
    empty = np.full((192, 192, 3), 200, np.uint8)
    first, second = map(FullFrame(1).next_mask, (empty, here))
    assert np.abs(second - first).mean() < 0.7 * np.abs(person_mask(here) - first).mean()
    still, moved = map(FullFrame(1).next_mask, (here, there))
    assert np.abs(moved - person_mask(there)).mean() < 0.3 * np.abs(moved - still).mean()


@pytest.mark.parametrize("step", [0, 4])
def test_noise_is_halved_and_what_is_clean_stays_sharp(step):
    clean = [astronaut()[20:180, 60 + step * n : 220 + step * n].copy() for n in range(6)]
    frames = noisy(clean, 3)
    denoised = list(map(Denoiser(), frames))
    before, after = mean_flicker(frames, denoised)
    assert after < 0.7 * before
    assert levels_apart(denoised[-1], clean[-1]).mean() < levels_apart(frames[-1], clean[-1]).mean()
    assert levels_apart(list(map(Denoiser(), clean))[-1], clean[-1]).mean() < 1


def test_a_blink_and_a_cut_are_seen_at_once():
    closed = PHOTO.copy()
    closed[74:92, 52:80] = PHOTO[95:113, 52:80]  # a lid of skin
    _, _, still, blink, cut = map(Denoiser(), [PHOTO] * 3 + [closed, PHOTO[::-1].copy()])
    assert levels_apart(still, PHOTO).max() <= 1
    eye = levels_apart(PHOTO, closed).max(-1) > 40
    assert eye.sum() > 50 and levels_apart(blink, closed)[eye].mean() < 2
    assert levels_apart(cut, PHOTO[::-1]).mean() < 1


def test_narrow_crops_have_a_flow():
    for shape in ((16, 400), (400, 16), (8, 8)):
        crop = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        assert effects.dense_flow(crop, crop[::-1].copy(), fast=True).shape == (*shape, 2)  # OpenCV's alone is a crash


def test_videos_are_denoised_where_the_preset_or_the_look_says_so():
    stylizer, frames = dual(), [Frame(frame) for frame in noisy([PHOTO] * 4, 3)]
    portrait = stylizer.fit(frames[0], (64, 64, 64, 64))

    def last(look: Look) -> np.ndarray:
        return [frame.rgb for frame in cartoon(stylizer, frames, portrait, look)][-1]

    as_it_is, asked = last(Look()), last(Look(steady="on"))
    assert not np.array_equal(as_it_is, asked)
    stylizer.style.denoises = True
    assert np.array_equal(last(Look()), asked) and np.array_equal(last(Look(steady="off")), as_it_is)


CARTOON = np.random.default_rng(0).integers(0, 256, (360, 380, 3), np.uint8)
SEPIA = (PHOTO.mean(axis=2, keepdims=True) * [1.0, 0.85, 0.65]).astype(np.uint8)


def faded(share: float, light: float = 1.0) -> np.ndarray:
    """The photo with a share of its colour and light."""
    grey = PHOTO.mean(axis=2, keepdims=True)
    return (light * (grey + share * (PHOTO - grey))).round().astype(np.uint8)


def colourfulness(picture: np.ndarray) -> float:
    return float(np.ptp(picture.astype(int), axis=2).mean())


@pytest.mark.parametrize("light", [1.0, 0.3, 0.15])
def test_colour_is_left_as_it_is_and_without_it_only_lightness_is_left(light):
    for photo in (faded(1, light), faded(0.5), SEPIA):
        assert keep_grey(CARTOON, photo) is CARTOON
    grey = keep_grey(CARTOON, faded(0.0, light))
    assert colourfulness(grey) == 0 and grey.shape == CARTOON.shape and grey.dtype == np.uint8
    assert np.abs(grey[..., 0] - CARTOON @ np.float32([0.299, 0.587, 0.114])).max() <= 1


def test_colours_fade_gradually():
    seen = [colourfulness(keep_grey(CARTOON, faded(share))) for share in np.linspace(0, 0.4, 81)]
    seen = np.array(seen) / colourfulness(CARTOON)
    assert seen[0] == 0 and seen[-1] == 1
    assert any((seen > 0.05) & (seen < 0.95)) and abs(np.diff(seen)).max() < 0.15


def test_models_keep_grey_only_where_their_preset_says_so():
    stylizer, grey = dual(), faded(0.0)
    portrait = stylizer.fit(grey, (64, 64, 64, 64))
    tinted = next(stylizer.render([grey], portrait))
    stylizer.style.preset = replace(stylizer.style.preset, corrected=True)
    kept = next(stylizer.render([grey], portrait))
    assert colourfulness(tinted) > 1
    np.testing.assert_array_equal(kept, keep_grey(tinted, grey))
