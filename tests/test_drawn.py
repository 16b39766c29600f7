"""The drawn teacher, on the public-domain portrait that scikit-image ships."""

import cv2
import numpy as np
import pytest

from model.training.drawn import pair
from model.training.drawn.geometry import EYES, Warp, alignment, overrun
from model.training.drawn.parsing import REGIONS
from model.training.drawn.strokes import curve
from model.training.drawn.styles import load_style
from model.training.drawn.teacher import draw, draw_full
from tests.portrait import LANDMARKS, PORTRAIT_SIZE

SIZE = PORTRAIT_SIZE
film = load_style("film")


@pytest.fixture(scope="module")
def drawing(portrait, parsing):
    return draw_full(portrait[0], film, parsing)


def distance(a, b):
    return float(np.abs(a.astype(float) - b).mean())


def test_alignment_levels_the_eyes_at_the_asked_distance(portrait):
    rgb, landmarks = portrait
    left, right = landmarks[EYES[0]].mean(0), landmarks[EYES[1]].mean(0)
    assert rgb.shape == (SIZE, SIZE, 3) and rgb.dtype == np.uint8
    assert abs(right[1] - left[1]) < 0.01
    # The distance from eyes to mouth, which guards against profiles, may make the face a little smaller.
    assert 0.20 * SIZE < right[0] - left[0] <= 0.22 * SIZE + 0.01


def test_overrun_is_zero_inside_and_grows_as_the_square_leaves_the_photo():
    shape = (512, 512, 3)
    tight, wide, wider = (overrun(alignment(LANDMARKS, SIZE, f, (0.5, 0.47)), shape, SIZE) for f in (0.3, 0.15, 0.1))
    assert tight == 0
    assert 0 < wide < wider


def test_curve_passes_through_its_points():
    points = np.float32([[0, 0], [1, 0], [10, 4], [30, 0]])
    np.testing.assert_allclose(curve(points, per_segment=5)[::5], points, atol=1e-4)
    assert curve(points, closed=True).shape == (4 * 8, 2)


def test_regions_sum_to_one_and_lie_where_they_should(portrait, parsing):
    regions = dict(zip(REGIONS, np.moveaxis(parsing.regions, -1, 0), strict=True))
    np.testing.assert_allclose(parsing.regions.sum(-1), 1, atol=1e-3)
    points = portrait[1].round().astype(int)
    cheek = (points[31] + points[2]) // 2
    assert regions["skin"][cheek[1], cheek[0]] > 0.8
    assert regions["background"][:40, :20].mean() > 0.8
    above_forehead = points[27] - (0, int(0.30 * SIZE))
    assert regions["hair"][above_forehead[1], above_forehead[0]] > 0.5


def test_warp_enlarges_the_eyes_linearly_and_slims_the_jaw(parsing):
    warp = Warp.fit(parsing.landmarks, film.shape)

    def opening(degree):
        points = warp.landmarks_at(degree)
        return np.linalg.norm(points[37] - points[41]) + np.linalg.norm(points[44] - points[46])

    photo, half, full = opening(0.0), opening(0.5), opening(1.0)
    assert full > 1.4 * photo
    assert half == pytest.approx((photo + full) / 2, rel=1e-2)
    jaw = [np.linalg.norm(warp.landmarks_at(d)[4] - warp.landmarks_at(d)[12]) for d in (0.0, 1.0)]
    # Relative to the head, which grows as a whole.
    assert jaw[1] / film.shape.head_size < 0.93 * jaw[0]


def test_warp_carries_the_landmarks_and_leaves_the_far_background(parsing):
    warp = Warp.fit(parsing.landmarks, film.shape)
    field = warp.field((SIZE, SIZE), 1.0)
    targets = warp.landmarks_at(1.0)[[8, 30, 37, 44, 57]]
    for source, target in zip(parsing.landmarks[[8, 30, 37, 44, 57]], targets, strict=True):
        x, y = target.round().astype(int)
        assert np.linalg.norm(target + field[y, x] - source) < 2.0
    small_face = Warp.fit(parsing.landmarks * 0.25 + 96, film.shape)
    far = small_face.field((SIZE, SIZE), 1.0)
    assert np.abs(far[:, :20]).max() < 1e-3 < np.abs(far).max()


def test_warp_back_from_the_full_drawing_composes(parsing):
    warp, shape = Warp.fit(parsing.landmarks, film.shape), (SIZE, SIZE)
    full = warp.field(shape, 1.0)
    back = warp.field_from_full(shape, 0.5, full)
    middle = warp.field(shape, 0.5)
    ys, xs = np.mgrid[20 : SIZE - 20 : 16, 20 : SIZE - 20 : 16].astype(np.float32)
    place = np.stack([xs, ys], -1) + back[20 : SIZE - 20 : 16, 20 : SIZE - 20 : 16]
    origin = place + cv2.remap(full, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    expected = np.stack([xs, ys], -1) + middle[20 : SIZE - 20 : 16, 20 : SIZE - 20 : 16]
    assert np.abs(origin - expected).max() < 1.0


def test_degree_zero_is_the_photo(portrait, drawing):
    rgb, landmarks = portrait
    np.testing.assert_array_equal(draw(rgb, landmarks, film, 0.0), rgb)
    assert distance(drawing.at_degree(1e-6), rgb) < 0.1


def test_degree_moves_steadily_from_photo_to_drawing(portrait, drawing):
    pictures = [drawing.at_degree(degree) for degree in (0.0, 0.25, 0.5, 0.75, 1.0)]
    from_photo = [distance(picture, portrait[0]) for picture in pictures]
    to_full = [distance(picture, pictures[-1]) for picture in pictures]
    assert from_photo == sorted(from_photo) and from_photo[-1] > 5
    assert to_full == sorted(to_full, reverse=True)
    assert distance(drawing.at_degree(0.999), drawing.full) < 1.0


def test_degree_outside_its_range_is_refused(portrait):
    with pytest.raises(ValueError, match="degree"):
        draw(*portrait, film, 1.5)


def test_drawing_is_deterministic(portrait, drawing):
    np.testing.assert_array_equal(draw(*portrait, film, 1.0), drawing.full)


def test_drawn_eyes_have_catch_lights_and_dark_lashes(drawing):
    points = drawing.landmarks_at(1.0)
    grey = cv2.cvtColor(drawing.full, cv2.COLOR_RGB2GRAY)
    for eye in EYES:
        left, top = points[eye].min(0).astype(int)
        right, bottom = points[eye].max(0).astype(int) + 1
        window = grey[top:bottom, left:right]
        assert window.max() > 225 and window.min() < 50


@pytest.mark.parametrize("gain", [0.15, 0.5])
def test_dark_pictures_stay_dark_and_finite(portrait, gain):
    rgb, landmarks = portrait
    dark = (rgb * gain).astype(np.uint8)
    full = draw(dark, landmarks, film, 1.0)
    assert full.std() > 2
    assert dark.mean() - 5 < full.mean() < dark.mean() + 25


def test_dark_skin_is_neither_lightened_nor_greyed(portrait, parsing):
    rgb, landmarks = portrait
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    weight = (1 - parsing.regions[..., REGIONS.index("background")])[..., None]
    lab[..., :1] *= 1 - 0.5 * weight
    dark = np.round(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255).astype(np.uint8)
    full = draw(dark, landmarks, film, 1.0)

    def cheek(picture, points):
        x, y = ((points[31] + points[2]) / 2).round().astype(int)
        patch = picture[y - 4 : y + 5, x - 4 : x + 5].astype(np.float32) / 255
        return cv2.cvtColor(patch, cv2.COLOR_RGB2LAB).reshape(-1, 3).mean(0)

    before = cheek(dark, landmarks)
    after = cheek(full, Warp.fit(landmarks, film.shape).landmarks_at(1.0))
    assert abs(after[0] - before[0]) < 8
    assert np.hypot(*after[1:]) > 0.9 * np.hypot(*before[1:])


def test_grey_photos_make_grey_drawings(portrait):
    rgb, landmarks = portrait
    grey = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    full = draw(grey, landmarks, film, 1.0).astype(int)
    assert np.ptp(full, axis=-1).max() <= 2
    assert distance(full, grey) > 3


def test_a_face_at_the_border_of_an_odd_sized_picture_is_drawn(portrait):
    rgb, landmarks = portrait
    cut = np.ascontiguousarray(rgb[:201, 90:])
    assert draw(cut, landmarks - np.float32([90, 0]), film, 1.0).shape == cut.shape


def test_mirrored_landmarks_swap_the_sides(portrait):
    rgb, landmarks = portrait
    flipped, points = pair.mirror(rgb, landmarks)
    np.testing.assert_array_equal(flipped[:, ::-1], rgb)
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    assert points[0, 0] < points[8, 0] < points[16, 0] and points[48, 0] < points[54, 0]
    np.testing.assert_allclose(pair.mirror(flipped, points)[1], landmarks, atol=1e-3)
