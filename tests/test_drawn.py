from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from model.parsing.matting import SIDE, WEIGHTS, MatteNet, person_matte
from model.training.drawn.geometry import EYES, align_portrait, mirror
from model.training.drawn.parsing import REGIONS, beard_mask, parse_portrait
from model.training.drawn.styles import load_style
from model.training.drawn.teacher import draw_full
from model.training.drawn.warp import Warp
from tests.portrait import LANDMARKS
from tests.portrait import PORTRAIT_SIZE as SIZE

FILM = load_style("film")


@pytest.fixture(scope="module")
def drawing(portrait, parsing):
    return draw_full(portrait[0], FILM, parsing)


@pytest.fixture(scope="module")
def near():
    return align_portrait(skimage.data.astronaut(), LANDMARKS, SIZE, eye_fraction=0.3)


@pytest.fixture(scope="module")
def warp(parsing):
    return Warp(parsing.landmarks, FILM.shape)


def draw(rgb, landmarks):
    return draw_full(rgb, FILM, parse_portrait(rgb, landmarks))


def distance(a, b):
    return float(np.abs(a.astype(float) - b).mean())


def box(points):
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int) + 1
    return np.s_[top:bottom, left:right]


def eye_boxes(drawing):
    return [drawing.full[box(drawing.warp.landmarks_at(1.0)[eye])].astype(float) for eye in EYES]


def test_alignment_levels_the_eyes_at_the_asked_distance(portrait):
    rgb, landmarks = portrait
    left, right = landmarks[EYES[0]].mean(0), landmarks[EYES[1]].mean(0)
    assert rgb.shape == (SIZE, SIZE, 3) and rgb.dtype == np.uint8
    assert abs(right[1] - left[1]) < 0.01
    # The distance from eyes to mouth, which guards against profiles, may make the face a little smaller.
    assert 0.20 * SIZE < right[0] - left[0] <= 0.22 * SIZE + 0.01


def test_mirrored_landmarks_swap_the_sides(portrait):
    rgb, landmarks = portrait
    flipped, points = mirror(rgb, landmarks)
    np.testing.assert_array_equal(flipped[:, ::-1], rgb)
    assert (np.diff(points[[0, 36, 39, 42, 45, 16], 0]) > 0).all() and points[48, 0] < points[54, 0]
    np.testing.assert_allclose(mirror(flipped, points)[1], landmarks, atol=1e-3)


def test_warp_enlarges_the_eyes_linearly_slims_the_jaw_and_carries_the_landmarks(warp, parsing):
    shapes = [warp.landmarks_at(degree) for degree in (0.0, 0.5, 1.0)]
    photo, half, full = (np.linalg.norm(p[37] - p[41]) + np.linalg.norm(p[44] - p[46]) for p in shapes)
    assert full > 1.4 * photo and half == pytest.approx((photo + full) / 2, rel=1e-2)
    before, _, after = (np.linalg.norm(points[4] - points[12]) for points in shapes)
    assert after / FILM.shape.head_size < 0.93 * before  # relative to the head, which grows as a whole
    field = warp.field((SIZE, SIZE), 1.0)
    for place in (8, 30, 37, 44, 57):
        target = warp.landmarks_at(1.0)[place]
        x, y = target.round().astype(int)
        assert np.linalg.norm(target + field[y, x] - parsing.landmarks[place]) < 2.0
    far = Warp(parsing.landmarks * 0.25 + 96, FILM.shape).field((SIZE, SIZE), 1.0)
    assert np.abs(far[:, :20]).max() < 1e-3 < np.abs(far).max()


def test_warp_back_from_the_full_drawing_composes(warp):
    shape, some = (SIZE, SIZE), np.s_[20 : SIZE - 20 : 16]
    full, middle, back = warp.field(shape, 1.0), warp.field(shape, 0.5), warp.field_from_full(shape, 0.5)
    ys, xs = np.mgrid[some, some].astype(np.float32)
    grid = np.stack([xs, ys], -1)
    place = grid + back[some, some]
    origin = place + cv2.remap(full, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(origin - (grid + middle[some, some])).max() < 1.0


def test_matte_network_is_small_keeps_the_size_and_finds_the_person(portrait):
    assert MatteNet()(torch.zeros(1, 3, SIDE, SIDE // 2)).shape == (1, 1, SIDE, SIDE // 2)
    assert WEIGHTS.stat().st_size < 1 << 20
    matte = person_matte(portrait[0])
    nose, chin = portrait[1][[30, 8]].round().astype(int)
    assert matte.shape == (SIZE, SIZE) and matte.min() >= 0 and matte.max() <= 1
    assert min(matte[nose[1], nose[0]], matte[chin[1] + 20, chin[0]], matte[-20, chin[0]]) > 0.8
    assert matte[:40, :20].mean() < 0.2


def test_regions_lie_where_they_should_and_are_steady_under_jitter(portrait, parsing):
    rgb, landmarks = portrait
    np.testing.assert_array_equal(parsing.regions, parse_portrait(rgb, landmarks).regions)
    jitter = np.random.default_rng(0).uniform(-1, 1, landmarks.shape).astype(np.float32)
    assert np.abs(parse_portrait(rgb, landmarks + jitter).regions - parsing.regions).sum(-1).mean() < 0.04

    regions = dict(zip(REGIONS, np.moveaxis(parsing.regions, -1, 0), strict=True))
    np.testing.assert_allclose(parsing.regions.sum(-1), 1, atol=1e-3)
    points = portrait[1].round().astype(int)
    cheek, above_forehead = (points[31] + points[2]) // 2, points[27] - (0, int(0.30 * SIZE))
    assert regions["skin"][cheek[1], cheek[0]] > 0.8
    assert regions["background"][:40, :20].mean() > 0.8
    assert regions["hair"][above_forehead[1], above_forehead[0]] > 0.5
    assert regions["cloth"][-25:-5, points[8, 0] - 60 : points[8, 0] + 60].mean() > 0.6


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
    assert beard_mask((lab + noise * (1, 0, 0)).astype(np.float32), landmarks, unit, cheek)[chin[1], chin[0]] > 0.7


def test_degree_moves_steadily_from_photo_to_drawing(portrait, drawing):
    pictures = [drawing.at_degree(degree) for degree in (0.0, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_array_equal(pictures[0], portrait[0])
    np.testing.assert_array_equal(pictures[-1], drawing.full)
    from_photo = [distance(picture, portrait[0]) for picture in pictures]
    to_full = [distance(picture, pictures[-1]) for picture in pictures]
    assert from_photo == sorted(from_photo) and from_photo[-1] > 5
    assert to_full == sorted(to_full, reverse=True)
    assert distance(drawing.at_degree(1e-6), portrait[0]) < 0.1
    assert distance(drawing.at_degree(0.999), drawing.full) < 1.0


def test_catch_lights_survive_a_reduction_to_the_network_s_input():
    drawing = draw(*align_portrait(skimage.data.astronaut(), LANDMARKS, 512, eye_fraction=144 / 512))
    small = cv2.resize(drawing.full, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    for eye in EYES:
        seen = small[box(drawing.warp.landmarks_at(1.0)[eye] / 4)]
        quarter = seen.shape[1] // 4
        middle = seen[:, quarter:-quarter]
        assert middle.min(-1).max() > 170 and middle.max(-1).min() < 70  # a light in a dark iris


def test_jitter_of_the_landmarks_hardly_changes_the_eyes(near):
    rgb, landmarks = near
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, landmarks.shape).astype(np.float32)
    still, moved = draw(rgb, landmarks), draw(rgb, landmarks + jitter)
    eyes = box(still.warp.landmarks_at(1.0)[36:48])
    assert distance(still.full[eyes], moved.full[eyes]) < 12


def test_irises_match_under_strong_side_light(near):
    lit = (near[0] * np.linspace(0.35, 1.1, SIZE)[None, :, None]).clip(0, 255).astype(np.uint8)
    eyes = eye_boxes(draw(lit, near[1]))
    irises = [np.median(eye[eye.sum(-1) < np.percentile(eye.sum(-1), 40)], 0) for eye in eyes]
    assert np.abs(irises[0] - irises[1]).max() < 30


def close(landmarks, openness):
    """The landmarks with lids at `openness` times their distance from the line between the corners."""
    shut = landmarks.copy()
    for eye in EYES:
        outer, inner = landmarks[[eye.start, eye.start + 3]]
        line = outer + np.float32([[0], [1], [2], [3], [2], [1]]) / 3 * (inner - outer)
        shut[eye] = line + openness * (landmarks[eye] - line)
    return shut


def test_closed_eyes_show_no_white(near):
    rgb, landmarks = near
    skin = np.median(rgb[SIZE // 2 - 20 : SIZE // 2 + 40], (0, 1)).astype(np.uint8)
    drawing = draw(np.full_like(rgb, skin), close(landmarks, 0))
    assert max(eye.min(-1).max() for eye in eye_boxes(drawing)) < 235


def test_a_blink_has_no_jump(near):
    rgb, landmarks = near
    parsing = parse_portrait(rgb, landmarks)
    eyes = box(np.vstack([landmarks[36:48] - 10, landmarks[36:48] + 10]))
    blinks = [parsing._replace(landmarks=close(parsing.landmarks, openness)) for openness in np.linspace(1, 0, 12)]
    drawn = [draw_full(rgb, FILM, blink).full[eyes] for blink in blinks]
    whole = distance(drawn[0], drawn[-1])
    # A threshold would change nearly all at once.
    assert whole > 5 and max(distance(*two) for two in pairwise(drawn)) < 0.45 * whole


@pytest.mark.parametrize("gain", [0.15, 0.5])
def test_dark_pictures_stay_dark_and_finite(portrait, gain):
    dark = (portrait[0] * gain).astype(np.uint8)
    full = draw(dark, portrait[1]).full
    assert full.std() > 2
    assert dark.mean() - 5 < full.mean() < dark.mean() + 25


def test_a_face_at_the_border_of_an_odd_sized_picture_is_drawn(portrait):
    cut = np.ascontiguousarray(portrait[0][:201, 90:])
    assert draw(cut, portrait[1] - np.float32([90, 0])).full.shape == cut.shape
