"""The person in a photo, cut out along the edges of colours."""

import cv2
import numpy as np
import pytest

from model.parsing import matting
from tests.sitters import sitter


@pytest.fixture
def before_a_wall(monkeypatch):
    """The sitter before a green wall, her mask, and a network that takes a piece of the wall for hair."""
    subject = sitter(380)
    person = subject.matte > 0.5
    rgb = np.where(person[..., None], subject.rgb, np.uint8((60, 150, 70)))
    wrong = person.copy()
    x, y = subject.landmarks[27].astype(int)
    wrong[: y - 40, x + 20 : x + 110] = True
    guess = cv2.GaussianBlur(wrong.astype(np.float32), (0, 0), 6)
    monkeypatch.setattr(matting, "matte_around", lambda *_: guess)
    return rgb, subject.landmarks, person, wrong


def test_a_piece_of_the_wall_is_not_of_the_person(before_a_wall):
    rgb, landmarks, person, wrong = before_a_wall
    matte = matting.cut_out(rgb, landmarks)
    assert matte.dtype == np.float32 and matte.shape == person.shape and matte.min() >= 0 and matte.max() <= 1
    assert ((matte > 0.5) != person).mean() < 0.02 < (wrong != person).mean()
    np.testing.assert_array_equal(matting.cut_out(rgb, landmarks), matte)


def test_nobody_is_beheaded(before_a_wall, monkeypatch):
    rgb, landmarks, person, _ = before_a_wall
    monkeypatch.setattr(matting, "matte_around", lambda *_: 0.7 * person.astype(np.float32))
    top = int(landmarks[17:27, 1].mean())
    rgb = rgb.copy()
    rgb[:top] = 60, 150, 70  # hair like the wall
    np.testing.assert_array_equal(matting.cut_out(rgb, landmarks), matting.matte_around(rgb, landmarks))


@pytest.mark.parametrize("level", [0, 255])
def test_where_nothing_is_to_be_seen_the_network_is_believed(level):
    rgb = np.full((120, 100, 3), level, np.uint8)
    landmarks = sitter(120).landmarks
    assert np.isfinite(matting.cut_out(rgb, landmarks)).all()
    assert np.isfinite(matting.cut_out(rgb, landmarks, painted=True)).all()
