import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from model.faces.crop import FaceCrop
from model.faces.detect import find_landmarks_quickly
from model.faces.landmarks import eye_centres, face_size
from model.faces.track import FaceTracker
from model.faces.window import OneEuro, WindowPath
from model.inference.look import Look
from model.inference.scene import Person, Scene
from model.inference.stylizer import Portrait
from model.media.frames import Frame
from tests.small_models import dual

SIZE = (240, 320)
SCALE = 0.5  # of the face in the clips: 21 pixels between the eyes


def view(x: float, y: float, scale: float = SCALE) -> np.ndarray:
    """A frame with the face's middle at about (x, y): RGB uint8 `[240, 320, 3]`."""
    matrix = np.float64([[scale, 0, x - scale * 225], [0, scale, y - scale * 120]])
    return cv2.warpAffine(astronaut(), matrix, SIZE[::-1], flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def empty() -> np.ndarray:
    return np.full((*SIZE, 3), 120, np.uint8)


def middle(landmarks: np.ndarray) -> np.ndarray:
    return sum(eye_centres(landmarks)) / 2


def test_a_moving_face_is_followed_with_one_search():
    searches = []
    tracker = FaceTracker(lambda rgb: searches.append(1) or find_landmarks_quickly(rgb))
    for i in range(12):
        x, y = 110 + 6 * i, 90 + 2 * i
        found = tracker.update(view(x, y))
        assert found is not None and not tracker.is_cut
        wanted = find_landmarks_quickly(view(x, y))
        assert np.linalg.norm(middle(found) - middle(wanted)) < 2
    assert len(searches) == 1


def test_a_face_that_goes_and_comes_back():
    tracker = FaceTracker()
    seen = [tracker.update(view(150, 100)) is not None for _ in range(2)]
    seen += [tracker.update(empty()) is not None for _ in range(6)]
    seen += [tracker.update(view(170, 110)) is not None for _ in range(5)]
    assert seen[:2] == [True, True] and not any(seen[2:8]) and seen[-1]


def test_a_face_that_is_covered_is_given_up():
    tracker = FaceTracker()
    covered = view(150, 100)
    covered[60:150, 110:200] = cv2.GaussianBlur(covered[60:150, 110:200], (0, 0), 12)
    tracker.update(view(150, 100))
    seen = [tracker.update(covered) is not None for _ in range(40)]
    assert not any(seen[-8:])


def test_a_head_that_tilts_is_followed():
    tracker = FaceTracker()
    middles = np.float32((160, 110))
    for tilt in (*range(0, 60, 4), *[56] * 30):
        turn = cv2.getRotationMatrix2D(middles.tolist(), tilt, 1.0)
        tilted = cv2.warpAffine(view(160, 110), turn, SIZE[::-1], borderMode=cv2.BORDER_REPLICATE)
        found = tracker.update(tilted)
        assert found is not None, tilt
    wanted = find_landmarks_quickly(view(160, 110)) @ turn[:, :2].T + turn[:, 2]
    assert np.linalg.norm(found - wanted, axis=1).mean() < 3


def test_a_cut_is_noticed_and_the_face_found_elsewhere():
    tracker = FaceTracker()
    tracker.update(view(90, 100))
    night = 255 - view(230, 120)
    night[:, 160:] = view(230, 120)[:, 160:]
    found = tracker.update(night)
    assert tracker.is_cut
    assert found is not None and middle(found)[0] > 180
    tracker.update(night)
    assert not tracker.is_cut


def test_the_filter_calms_a_still_value_and_keeps_up_with_a_fast_one():
    rng = np.random.default_rng(0)
    still, quick = OneEuro(0.8, 2.0), OneEuro(0.8, 2.0)
    noise = rng.normal(0, 0.02, (50, 2))
    calm = np.array([still(value, i / 25) for i, value in enumerate(noise)])
    assert calm[10:].std() < 0.5 * noise[10:].std()
    moving = [quick(np.array([4 * i / 25, 0.0]), i / 25)[0] for i in range(25)]
    assert 4 * 24 / 25 - moving[-1] < 0.4


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.7])
def test_a_window_that_stands_still_shows_the_crop(scale):
    crop = FaceCrop(scale, left=16, right=80, top=8, bottom=72, frame_size=SIZE)
    picture = view(150, 100)
    window = WindowPath(crop, find_landmarks_quickly(picture)).window
    shown, wanted = window.apply(picture), crop.apply(picture)
    assert shown.shape == wanted.shape
    assert np.abs(shown.astype(int) - wanted).mean() < 3


@pytest.mark.parametrize("scale", [0.1007, 0.333, 1.7])
def test_the_matrix_of_a_crop_tells_where_its_pixels_lie(scale):
    """Frames are scaled to whole pixels, which on a large photo differs from `scale` by some pixels at the far end."""
    rgb = np.zeros((3005, 4007, 3), np.uint8)
    cv2.circle(rgb, (3900, 2900), 20, (255, 255, 255), -1)
    crop = FaceCrop(scale, *(int(side * scale) // 8 * 8 for side in (3700, 4000, 2700, 3000)), rgb.shape[:2])
    ys, xs = np.nonzero(crop.apply(rgb)[..., 0] > 127)
    wanted = crop.matrix @ (3900, 2900, 1)
    assert np.abs(np.array([xs.mean(), ys.mean()]) - wanted).max() < 0.5


def path_of(x: float, y: float, anchored: bool = False) -> tuple[WindowPath, FaceCrop, np.ndarray]:
    """The path of a window around the face at (x, y), its first crop, and the landmarks."""
    landmarks = find_landmarks_quickly(view(x, y))
    crop = FaceCrop.from_landmarks(landmarks, SIZE, (128, 128, 96, 128), eye_distance=32.0)
    return WindowPath(crop, landmarks, anchored), crop, landmarks


def test_the_face_keeps_its_place_and_size_in_the_window():
    _, crop, landmarks = path_of(130, 110)
    frames = [Frame(view(130 + 2 * i, 110 + i / 2, SCALE * 1.004**i), Fraction(i, 25)) for i in range(25)]
    places, sizes = [], []
    scene = Scene([Person(dual(), Portrait(crop, None, landmarks), Look())], Look(crop="follow"), None, 0)
    for frame in frames:
        (shown,) = scene.see(frame).views
        found = find_landmarks_quickly(shown.crop.rgb)
        assert np.abs(middle(shown.crop.landmarks) - middle(found)).max() < 2
        assert shown.crop.rgb.shape == (crop.height, crop.width, 3)
        places.append(middle(found))
        sizes.append(math.dist(*eye_centres(found)))
    away = np.linalg.norm(np.array(places) - places[0], axis=1)
    assert away.max() < 0.35 * sizes[0] and 0.9 < sizes[-1] / sizes[0] < 1.1


def test_the_window_rests_on_a_still_face_although_landmarks_jitter():
    path, _, landmarks = path_of(150, 110)
    rng = np.random.default_rng(0)
    jitter = [landmarks + rng.normal(0, 0.5, landmarks.shape) for _ in range(40)]
    windows = [path.update(one, i / 25) for i, one in enumerate(jitter)]
    steps = np.diff([(w.x, w.y) for w in windows], axis=0)
    plain = np.diff([middle(one) for one in jitter], axis=0)
    assert np.abs(steps[5:]).mean() < 0.35 * np.abs(plain[5:]).mean()


def test_an_anchored_window_goes_in_whole_steps_and_keeps_the_face_inside():
    path, crop, landmarks = path_of(130, 110, anchored=True)
    rng = np.random.default_rng(0)
    still = [path.update(landmarks + rng.normal(0, 0.5, landmarks.shape), i / 25) for i in range(25)]
    assert len(set(still[3:])) == 1, "nothing moves"
    grid = WindowPath.GRID / crop.scale
    for i in range(40):
        moved = landmarks + np.float32((1.5 * i, 0))
        window = path.update(moved, 1 + i / 25)
        assert window.scale == crop.scale
        steps = (window.x - still[-1].x) / grid
        assert steps == pytest.approx(round(steps), abs=1e-6) or window.x + window.width / window.scale > SIZE[1] - 1e-3
        assert abs((window.x - still[-1].x) - 1.5 * i) < 2.2 * grid
    larger = landmarks[27] + 1.4 * (landmarks - landmarks[27])
    scales = {path.update(larger, 3 + i / 25).scale for i in range(100)}
    assert len(scales) < 6 and min(scales) < 0.85 * crop.scale


def test_without_a_face_the_window_stays_then_glides_and_at_a_cut_it_jumps():
    path, _, first = path_of(110, 110)
    far = find_landmarks_quickly(view(210, 110))
    start = path.update(first, 0.0)
    assert path.update(None, 0.04) == start and path.update(None, 2.0) == start
    steps = [path.update(far, 2.04 + i / 25) for i in range(60)]
    moves = np.abs(np.diff([start.x, *(window.x for window in steps)]))
    assert moves.max() < 0.3 * 22 and steps[-1].x - start.x > 60
    path.update(None, 5.0)
    walk = [path.update(far - np.float32((7 * i, 0)), 5.04 + i / 25) for i in range(10)]
    assert abs(walk[-1].x - (steps[-1].x - 63)) < 8, "it keeps up with a face that walks on"
    jumped = path.update(first, 6.0, is_cut=True)
    assert abs(jumped.x - start.x) < 3


def test_the_window_stays_in_the_frame_where_it_fits():
    path, _, landmarks = path_of(150, 110)
    for i, shift in enumerate((-200, 200)):
        window = path.update(landmarks + np.float32((shift, shift)), float(i), is_cut=True)
        assert window.x >= 0 and window.y >= 0
        assert window.x + window.width / window.scale <= SIZE[1] + 1e-6
        assert window.y + window.height / window.scale <= SIZE[0] + 1e-6
    small = path.update(landmarks[27] + 3 * (landmarks - landmarks[27]), 9.0, is_cut=True)
    assert small.width / small.scale <= SIZE[1] + 1e-6, "never more than the frame"


def test_a_face_that_the_frame_cuts_off_is_followed_by_what_is_left_of_it_and_only_by_that():
    tracker = FaceTracker()
    found = [tracker.update(view(160, 110 - 1.9 * i, 0.9 * 1.015**i)) for i in range(60)]
    assert middle(found[-1])[1] < -20, "its eyes have left the frame"
    assert face_size(found[-1]) / face_size(found[0]) == pytest.approx(1.015**59, rel=0.06)
    rng = np.random.default_rng(0)
    other = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    shares = np.linspace(0, 1, 12)
    mixed = [cv2.addWeighted(other, share, view(160, -2, 0.9 * 1.015**59), 1 - share, 0) for share in shares]
    seen = [tracker.update(rgb) is not None for rgb in (*mixed, *[other] * 3, *[empty()] * 5)]
    assert seen[0] and not any(seen[-9:]), "nor by a pattern that takes its place"
