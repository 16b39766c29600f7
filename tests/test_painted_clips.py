"""Clips by painters: paintings that are carried from frame to frame."""

from dataclasses import replace
from fractions import Fraction
from threading import Event

import cv2
import numpy as np
import pytest

from model.faces.landmarks import MOUTH
from model.media.sample import view_at
from model.styles.base import Crop
from model.styles.painters import style as painters
from model.styles.painters.camera import Backdrop
from model.styles.painters.carried import Carrier, Painting, Seen
from model.styles.painters.features import Feature, open_mouth
from model.styles.painters.style import PainterRenderer, PainterStyle, trembling, turned
from tests.sitters import sitter

RATE = 25
HEIGHT = 240


class Checks:
    """Stands in for a painter: a fine pattern over the photo, so that movement shows. It counts what it paints."""

    def __init__(self):
        self.painted = []

    def paint(self, subject, seed=0):
        self.painted.append(subject)
        rows, columns = np.indices(subject.rgb.shape[:2])
        lines = 40 * ((rows // 6 + columns // 6) % 2)
        return np.clip(subject.rgb.astype(int) + lines[..., None] - 20, 0, 255).astype(np.uint8)


def moved(subject, matrix):
    """The photo and its landmarks as a camera sees them that has moved."""
    rgb = cv2.warpAffine(
        subject.rgb, matrix, subject.rgb.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return rgb, cv2.transform(subject.landmarks[None], matrix)[0].astype(np.float32)


def shifted(x, y):
    return np.float32([[1, 0, x], [0, 1, y]])


def renderer(painter, boil=0.0, degree=1.0, head_alone=False):
    return PainterRenderer(painter, 1.0, boil, lambda time: degree, head_alone)


def rendered(frames, **settings):
    """Pictures of (rgb, landmarks), and how many were painted."""
    painter = Checks()
    paints = renderer(painter, **settings)
    crops = (Crop(rgb, landmarks, Fraction(number, RATE)) for number, (rgb, landmarks) in enumerate(frames))
    return [paints.start([crop])()[0] for crop in crops], len(painter.painted)


@pytest.fixture(scope="module")
def subject():
    return sitter(HEIGHT)


def test_a_still_clip_is_painted_once_and_stands_still(subject):
    pictures, painted = rendered([(subject.rgb, subject.landmarks)] * 6)
    assert painted == 1
    for picture in pictures[1:]:
        np.testing.assert_allclose(picture.astype(int), pictures[0], atol=2)


def test_the_first_frame_is_the_painting(subject):
    painter = Checks()
    crop = Crop(subject.rgb, subject.landmarks, Fraction(0))
    (first,) = renderer(painter).start([crop])()
    expected = Checks().paint(painter.painted[0])
    assert np.abs(first.astype(int) - expected).mean() < 1


def test_strokes_move_with_the_picture(subject):
    """A camera that pans: the painting, moved back, is the painting."""
    frames = [moved(subject, shifted(1.5 * number, 0.5 * number)) for number in range(8)]
    pictures, painted = rendered(frames)
    assert painted == 1
    back = cv2.warpAffine(pictures[-1], shifted(-1.5 * 7, -0.5 * 7), pictures[-1].shape[1::-1], flags=cv2.INTER_CUBIC)
    inner = np.s_[20:-20, 20:-20]
    stays = np.abs(pictures[-1][inner].astype(int) - pictures[0][inner]).mean()
    assert np.abs(back[inner].astype(int) - pictures[0][inner]).mean() < 0.4 * stays


def test_the_sample_clip_is_carried_without_drift(subject):
    """A hand-held camera, round and back to where it began."""
    frames = [moved(subject, view_at((number % 20) / 20, subject.rgb.shape[:2])) for number in range(21)]
    pictures, painted = rendered(frames)
    assert painted <= 2
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(pictures[20][inner].astype(int) - pictures[0][inner]).mean() < 9


def test_what_is_behind_stays_when_the_head_moves(subject):
    painter = Checks()
    painting = Painting(subject.rgb, subject.landmarks, subject.matte, painter.paint(subject))
    hidden = painting.cover > 0.01
    assert hidden[subject.matte > 0.5].all() and not hidden.all()
    np.testing.assert_array_equal(painting.behind[~hidden], painting.picture[~hidden])
    assert np.abs(painting.behind[subject.matte > 0.9].astype(int) - painting.picture[subject.matte > 0.9]).mean() > 10


def test_above_a_head_that_moves_down_is_no_hair(subject):
    """Her hair reaches the edge of what was painted, and then the wall above it is seen."""
    wall = np.uint8((70, 160, 90))
    top = int(np.nonzero((subject.matte > 0.5).any(axis=1))[0][0]) + 4
    before_wall = np.where(subject.matte[..., None] > 0.5, subject.rgb, wall)[top:]
    frames = []
    for number in range(9):
        down = 2 * number
        rgb = np.concatenate([np.broadcast_to(wall, (down, *before_wall.shape[1:])), before_wall])[: len(before_wall)]
        frames.append((np.ascontiguousarray(rgb), subject.landmarks + np.float32((0, down - top))))
    pictures, painted = rendered(frames)
    assert painted == 1
    middle = slice(*(subject.landmarks[[0, 16], 0].astype(int)))
    above = pictures[-1][:8, middle].astype(int)
    assert (np.abs(above - wall).max(axis=-1) < 45).mean() > 0.95


def test_another_scene_is_painted_anew(subject):
    dark = 255 - subject.rgb
    frames = [(subject.rgb, subject.landmarks)] * 2 + [(dark, subject.landmarks)] * 2
    pictures, painted = rendered(frames)
    assert painted == 2
    assert np.abs(pictures[2].astype(int) - pictures[1]).mean() > 30


def test_a_picture_of_another_size_is_carried_to(subject):
    small = sitter(HEIGHT - 32)
    frames = [(each.rgb, each.landmarks) for each in (subject, small, subject)]
    pictures, painted = rendered(frames)
    assert painted == 1
    assert [picture.shape for picture in pictures] == [rgb.shape for rgb, _ in frames]
    large = cv2.resize(pictures[1], pictures[0].shape[1::-1]).astype(int)
    assert np.abs(large - pictures[0])[20:-20, 20:-20].mean() < 20


def squeezed(landmarks, share):
    """Landmarks of a head turned to the side: the nose and one side move."""
    points = landmarks.copy()
    middle = points[27:36].mean(axis=0)
    far = points[:, 0] > middle[0]
    points[far, 0] = middle[0] + share * (points[far, 0] - middle[0])
    return points


def test_a_turned_head_is_painted_anew_now_and_then(subject):
    assert turned(subject.landmarks, squeezed(subject.landmarks, 0.5)) > painters.TURNED
    assert turned(subject.landmarks, subject.landmarks * np.float32(1.2) + 5) == pytest.approx(0, abs=0.01)
    other = squeezed(subject.landmarks, 0.5)
    frames = [(subject.rgb, subject.landmarks if number % 20 < 10 else other) for number in range(100)]
    _, painted = rendered(frames)
    assert 2 <= painted <= painters.AT_ONCE + 100 / RATE


def test_paintings_that_were_kept_are_few(subject):
    paints = renderer(Checks())
    frame = Seen(subject.rgb, subject.landmarks, 0.0)
    paints._used = None
    for _ in range(2 * painters.MOST_PAINTED):
        paints._new(frame)
    assert len(paints._kept) <= painters.MOST_PAINTED


def opened(landmarks, by):
    """Landmarks with the mouth opened by so many pixels."""
    points = landmarks.copy()
    points[[65, 66, 67, 55, 56, 57, 58, 59]] += (0, by)
    return points


def closed(landmarks):
    points = landmarks.copy()
    points[[65, 66, 67]] = points[[63, 62, 61]]
    return points


def test_an_open_mouth_is_taken_from_a_painting_of_one(subject):
    unit = float(np.linalg.norm(subject.landmarks[36] - subject.landmarks[45]))
    shut, wide = closed(subject.landmarks), opened(closed(subject.landmarks), 0.25 * unit)
    assert open_mouth(shut) == 0 and open_mouth(wide) == 1
    carriers = [
        Carrier(Painting(subject.rgb, points, subject.matte, np.full_like(subject.rgb, level)))
        for points, level in ((shut, 40), (wide, 200))
    ]
    feature = Feature(open_mouth, [MOUTH])
    frame = Seen(subject.rgb, wide, 0.0)
    assert feature.choose(frame, carriers[0], carriers[:1])  # it would be good to paint one
    assert not feature.choose(frame, carriers[0], carriers)
    picture = feature.laid_over(np.full_like(subject.rgb, 40), frame, None)
    x, y = wide[60:].mean(axis=0).astype(int)
    assert picture[y, x].min() > 190 and picture[5, 5].max() == 40
    shut_again = Seen(subject.rgb, shut, 1.0, frame)
    assert not feature.choose(shut_again, carriers[0], carriers)
    assert feature.laid_over(np.full_like(subject.rgb, 40), shut_again, None).max() == 40


def test_strokes_boil_at_eight_drawings_a_second(subject):
    drawings = [trembling((60, 80), 20.0, time) for time in (0.0, 0.06, 0.13)]
    assert drawings[0].shape == (60, 80, 2) and np.abs(drawings[0]).max() < 20 * 0.15
    np.testing.assert_array_equal(drawings[0], drawings[1])
    assert np.abs(drawings[1] - drawings[2]).mean() > 0.05
    pictures, _ = rendered([(subject.rgb, subject.landmarks)] * 5, boil=0.5)
    changes = [np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, pictures[1:], strict=False)]
    assert max(changes) > 4 * min(changes)


def test_head_alone_and_degree(subject):
    frames = [(subject.rgb, subject.landmarks)] * 2
    whole, head, half = (rendered(frames, **each)[0][-1] for each in ({}, {"head_alone": True}, {"degree": 0.5}))
    corner = np.s_[:10, :10]
    np.testing.assert_allclose(head[corner].astype(int), subject.rgb[corner], atol=12)
    assert np.abs(whole[corner].astype(int) - subject.rgb[corner]).mean() > 15
    both = (whole.astype(int) + subject.rgb) / 2
    np.testing.assert_allclose(half, both, atol=1)


def test_before_a_camera_nobody_waits_for_a_painting(subject):
    may_paint, painter = Event(), Checks()

    class Slow:
        def paint(self, subject, seed=0):
            may_paint.wait(10)
            return painter.paint(subject, seed)

    paints = PainterRenderer(Slow(), 1.0, 0.0, lambda time: 1.0, False, waits=False)
    time = Fraction(0)

    def shown():
        nonlocal time
        time += Fraction(1, RATE)
        return paints.start([Crop(subject.rgb, subject.landmarks, time)])()[0]

    for _ in range(3):
        np.testing.assert_array_equal(shown(), subject.rgb)
    may_paint.set()
    expected = Checks().paint(subject)
    assert any(np.abs(shown().astype(int) - expected).mean() < 1 for _ in range(500)), "once it is done, it is shown"
    assert len(painter.painted) == 1


def test_a_painter_for_a_camera_is_another_and_the_first_one_stays():
    style = PainterStyle({"checks": Checks()}, "checks", "none", "cpu")
    live = style.live()
    assert live.eye_distance < style.eye_distance and style.denoises and not live.denoises
    assert live.exemplar_names == style.exemplar_names


def test_without_a_face_the_photo_stays(subject):
    (picture,) = renderer(Checks()).start([Crop(subject.rgb, None, Fraction(0))])()
    np.testing.assert_array_equal(picture, subject.rgb)


@pytest.mark.parametrize(("x", "y"), [(0.3, -0.2), (-1.5, 1.0), (0.0, 2.5)])
def test_the_camera_is_found_by_what_is_behind(subject, x, y):
    free = subject.matte < 0.1
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 40, subject.rgb.shape), (0, 0), 2)
    textured = replace(subject, rgb=np.clip(subject.rgb + texture, 0, 255).astype(np.uint8))
    backdrop = Backdrop(textured.rgb, free)
    turned_too = np.float32([[1.004, -0.003, x], [0.003, 1.004, y]])
    rgb, _ = moved(textured, turned_too)
    found = backdrop.found(rgb, cv2.warpAffine(free.astype(np.uint8), turned_too, free.shape[::-1]) > 0, np.eye(2, 3))
    corners = np.float64([[(0, 0), (free.shape[1], 0), (0, free.shape[0]), (40, 40)]])
    there = cv2.transform(cv2.transform(corners, turned_too), found)
    assert np.abs(there - corners).max() < 0.25


def test_a_camera_is_thought_to_stand_where_nothing_is_seen_behind(subject):
    flat, rng = np.full_like(subject.rgb, 120), np.random.default_rng(0)
    noisy = [np.clip(flat + rng.normal(0, 3, flat.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    thought = np.float64([[1, 0, 2], [0, 1, -1]])
    free = subject.matte < 0.1
    for before, now in ((flat, flat), noisy):
        away = Backdrop(before, free).found(now, free, thought) - thought
        assert np.abs(away[:, 2]).max() < 0.4 and np.abs(away[:, :2]).max() < 0.003
    nothing = np.zeros_like(free)
    np.testing.assert_array_equal(Backdrop(subject.rgb, nothing).found(subject.rgb, free, thought), thought)


def test_a_camera_that_stands_still_does_not_tremble(subject):
    rng = np.random.default_rng(0)
    frames = [np.clip(subject.rgb + rng.normal(0, 2, subject.rgb.shape), 0, 255).astype(np.uint8) for _ in range(4)]
    carrier = Carrier(Painting(frames[0], subject.landmarks, subject.matte, frames[0]))
    before, matrices = None, []
    for number, rgb in enumerate(frames):
        before = Seen(rgb, subject.landmarks, number / RATE, before)
        carrier(before)
        matrices.append(carrier._matrix)
    assert all(np.array_equal(each, matrices[0]) for each in matrices)
