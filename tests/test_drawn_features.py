"""Drawn features hold still under jitter, match left and right, and stay shut on closed eyes."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data

from model.training.drawn.geometry import EYES, align_portrait
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.styles import load_style
from model.training.drawn.teacher import draw_full
from tests.portrait import LANDMARKS

SIZE = 256
FILM = load_style("film")


@pytest.fixture(scope="module")
def portrait():
    return align_portrait(skimage.data.astronaut(), LANDMARKS, SIZE, eye_fraction=0.3)


def draw(rgb, landmarks):
    return draw_full(rgb, FILM, parse_portrait(rgb, landmarks))


def eye_boxes(drawing):
    points = drawing.landmarks_at(1.0)
    for eye in EYES:
        (left, top), (right, bottom) = points[eye].min(0).astype(int), points[eye].max(0).astype(int)
        yield drawing.full[top : bottom + 1, left : right + 1].astype(float)


def test_jitter_of_the_landmarks_hardly_changes_the_eyes(portrait):
    rgb, landmarks = portrait
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, landmarks.shape).astype(np.float32)
    still, moved = draw(rgb, landmarks), draw(rgb, landmarks + jitter)
    points = still.landmarks_at(1.0)[36:48]
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int)
    box = np.s_[top:bottom, left:right]
    assert np.abs(still.full[box].astype(float) - moved.full[box]).mean() < 12


def test_irises_match_under_strong_side_light(portrait):
    rgb, landmarks = portrait
    light = np.linspace(0.35, 1.1, SIZE)[None, :, None]
    lit = (rgb * light).clip(0, 255).astype(np.uint8)
    drawing = draw(lit, landmarks)
    irises = [np.median(box[box.sum(-1) < np.percentile(box.sum(-1), 40)], 0) for box in eye_boxes(drawing)]
    assert np.abs(irises[0] - irises[1]).max() < 30


def close(landmarks, openness):
    """The landmarks with lids at `openness` times their distance from the line between the corners."""
    shut = landmarks.copy()
    for eye in EYES:
        corners = shut[[eye.start, eye.start + 3]]
        for index, share in ((1, 1 / 3), (2, 2 / 3), (4, 2 / 3), (5, 1 / 3)):
            line = corners[0] + share * (corners[1] - corners[0])
            shut[eye.start + index] = line + openness * (landmarks[eye.start + index] - line)
    return shut


def test_closed_eyes_show_no_white(portrait):
    rgb, landmarks = portrait
    skin = np.median(rgb[SIZE // 2 - 20 : SIZE // 2 + 40], (0, 1)).astype(np.uint8)
    drawing = draw(np.full_like(rgb, skin), close(landmarks, 0))
    assert max(box.min(-1).max() for box in eye_boxes(drawing)) < 235


def test_a_blink_has_no_jump(portrait):
    rgb, landmarks = portrait
    parsing = parse_portrait(rgb, landmarks)
    eyes = landmarks[36:48]
    (left, top), (right, bottom) = (eyes.min(0) - 10).astype(int), (eyes.max(0) + 10).astype(int)
    drawn = [
        draw_full(rgb, FILM, replace(parsing, landmarks=close(parsing.landmarks, openness))).full.astype(float)
        for openness in np.linspace(1, 0, 12)
    ]
    drawn = [full[top:bottom, left:right] for full in drawn]
    whole = np.abs(drawn[0] - drawn[-1]).mean()
    steps = [np.abs(after - before).mean() for before, after in pairwise(drawn)]
    assert whole > 5 and max(steps) < 0.45 * whole  # a threshold would change nearly all at once


def test_catch_lights_survive_a_reduction_to_the_network_s_input():
    rgb, landmarks = align_portrait(skimage.data.astronaut(), LANDMARKS, 512, eye_fraction=144 / 512)
    drawing = draw(rgb, landmarks)
    small = cv2.resize(drawing.full, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    points = drawing.landmarks_at(1.0) / 4
    for eye in EYES:
        (left, top), (right, bottom) = points[eye].min(0).astype(int), points[eye].max(0).astype(int) + 1
        middle = small[top:bottom, left + (right - left) // 4 : right - (right - left) // 4]
        assert middle.min(-1).max() > 170 and middle.max(-1).min() < 70  # a light in a dark iris
