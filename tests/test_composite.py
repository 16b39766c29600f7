"""Crops that are put back into their frames."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from model.effects.composite import FullFrame, edge_fade, person_mask, seam_offset
from model.faces.window import MovingWindow

FRAME = np.ascontiguousarray(astronaut()[:384])
WINDOW = MovingWindow(0.75, x=100.3, y=16.6, width=192, height=192)
"""The head and shoulders."""


def put_back(result: np.ndarray, scale: int = 1, window: MovingWindow = WINDOW) -> np.ndarray:
    back = FullFrame(scale)
    whole = back.enlarge(FRAME)
    back(whole, FRAME, window.apply(FRAME), result, window)
    return whole


def enlarged(crop: np.ndarray) -> np.ndarray:
    return cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_unchanged_crop_changes_nothing_and_lies_in_its_place(scale):
    whole = put_back(enlarged(WINDOW.apply(FRAME)), scale)
    plain = FullFrame(scale).enlarge(FRAME)
    assert whole.shape == plain.shape == (scale * 384, scale * 512, 3)
    soft = [cv2.GaussianBlur(picture, (0, 0), 2 * scale).astype(int) for picture in (whole, plain)]
    astray = np.abs(soft[0] - np.roll(soft[1], 2 * scale, axis=1)).mean()
    difference = np.abs(soft[0] - soft[1])
    assert difference.mean() < 0.2 * astray and np.percentile(difference, 99) < 20


def test_the_person_changes_and_the_background_does_not():
    crop = WINDOW.apply(FRAME)
    whole = put_back(enlarged(cv2.applyColorMap(crop[..., 0], cv2.COLORMAP_OCEAN)))
    changed = np.abs(whole.astype(int) - FRAME).max(-1)
    assert changed[100:150, 200:250].mean() > 20, "the face"
    assert changed[:, :95].max() == 0 and changed[:, 365:].max() == 0 and changed[290:].max() == 0, "outside"


def test_no_edge_of_the_square_is_seen():
    crop = WINDOW.apply(FRAME)
    darker = enlarged(np.clip(crop.astype(int) - 60, 0, 255).astype(np.uint8))
    difference = put_back(darker).astype(float).mean(-1) - FRAME.mean(-1)
    for picture, first in ((difference, round(WINDOW.y)), (difference.T, round(WINDOW.x))):
        for line in (first, first + round(192 / 0.75) - 1):
            assert np.abs(picture[line + 2] - picture[line - 2]).max() < 4


def test_the_fade_leaves_out_edges_of_the_frame():
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


def test_a_window_half_outside_of_the_frame_is_no_failure():
    window = MovingWindow(0.75, x=400.0, y=-50.0, width=192, height=192)
    assert put_back(enlarged(window.apply(FRAME)), 2, window).shape == (768, 1024, 3)
    gone = MovingWindow(0.75, x=4000.0, y=0.0, width=192, height=192)
    assert np.array_equal(put_back(enlarged(WINDOW.apply(FRAME)), 1, gone), FRAME)


def test_the_mask_changes_slowly_and_goes_with_the_person():
    def masks(*views: tuple[np.ndarray, MovingWindow]) -> list[np.ndarray]:
        back = FullFrame(1)
        return [back.mask_of(FRAME, crop, window) for crop, window in views]

    moved = MovingWindow(WINDOW.scale, WINDOW.x - 16, WINDOW.y, WINDOW.width, WINDOW.height)
    here, there = ((window.apply(FRAME), window) for window in (WINDOW, moved))
    (still,), (alone,) = masks(here), masks(there)
    first, second = masks((np.full((192, 192, 3), 200, np.uint8), WINDOW), here)
    assert np.abs(second - first).mean() < 0.7 * np.abs(still - first).mean()
    assert np.abs(masks(here, there)[-1] - alone).mean() < 0.3 * np.abs(masks(here, there)[-1] - still).mean()
