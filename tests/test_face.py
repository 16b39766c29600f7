"""Landmarks, face crops and the aligned face: golden figures of the published program, and properties."""

import json
import math
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from model.common.errors import InputError
from model.faces import detect, search
from model.faces.align import align_face
from model.faces.crop import FaceCrop, resize_frame
from model.faces.detect import find_all_landmarks, find_landmarks, find_landmarks_quickly
from model.faces.landmarks import eye_centres
from model.faces.search import THOROUGH_FRAMES, search_face
from model.media.files import Frame, FrameSource

GOLDEN = Path(__file__).parent / "golden"
CROP_CASES = json.loads((GOLDEN / "crop_cases.json").read_text())
LANDMARKS = np.load(GOLDEN / "landmarks68.npy").astype(np.float32)
FRAME_SIZE = (400, 480)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "golden.npz") as arrays:
        return {name: arrays[name] for name in arrays.files if name.startswith(("preprocess", "align"))}


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def astronaut_eyes(astronaut):
    """[2, 2]: the eyes as they lie in the picture (seen by hand: x 203 and 246, y 103)."""
    eyes = np.stack(eye_centres(find_landmarks(astronaut)))
    np.testing.assert_allclose(eyes, [[203, 102], [246, 104]], atol=4)
    return eyes


def golden_picture(name, shape, size):
    """The uint8 input of a golden row: noise of this shape, enlarged to `size` (width, height)."""
    noise = np.random.RandomState(zlib.crc32(name.encode()) % 2**32).standard_normal(shape)
    return cv2.resize(np.clip(noise * 40 + 128, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def largest_difference(result, expected):
    assert result.dtype == np.uint8 and result.shape == expected.shape
    return np.abs(result.astype(int) - expected).max()


def rotated_picture(rgb, degrees):
    """(picture turned counter-clockwise on a canvas that holds all of it, affine matrix [2, 3] of the turn)."""
    height, width = rgb.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return cv2.warpAffine(rgb, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), matrix


@pytest.mark.parametrize("case", CROP_CASES, ids=range(len(CROP_CASES)))
def test_crop_agrees_with_published_program(case):
    # The heads of all golden cases tilt by less than 2 degrees, so the published horizontal eye distance applies.
    crop = FaceCrop.from_landmarks(np.array(case["landmarks"]), (case["height"], case["width"]), case["padding"])
    result = case["result"]
    assert crop.scale == pytest.approx(case["scale"], rel=1e-12)
    edges = (result["left"], result["right"], result["top"], result["bottom"])
    assert (crop.left, crop.right, crop.top, crop.bottom) == edges
    scaled = resize_frame(np.zeros((case["height"], case["width"], 3), np.uint8), crop.scale)
    assert scaled.shape[:2] == (result["h"], result["w"])


@pytest.mark.parametrize("scale", [0.9, 0.6, 0.3])
def test_resize_agrees_with_published_program(golden, scale):
    frame = golden_picture("frameimg", (60, 80, 3), (960, 720))
    assert largest_difference(resize_frame(frame, scale)[::5, ::5], golden[f"preprocess.{scale}"]) <= 2


@pytest.mark.parametrize("index", [0, 1, 2])
def test_alignment_agrees_with_published_program(golden, index):
    height, width = (int(side) for side in golden[f"align.{index}.hw"])
    picture = golden_picture(f"align{index}", (height // 20, width // 20, 3), (width, height))
    aligned = align_face(picture, golden[f"align.{index}.landmarks"])
    assert largest_difference(aligned, golden[f"align.{index}"]) <= 3


@pytest.mark.parametrize("degrees", [-90, -45, 4, 30, 60, 90, 180])
def test_tilted_head_gets_the_scale_of_the_upright_one(degrees):
    turn = cv2.getRotationMatrix2D((200, 150), degrees, 1.0)
    tilted = FaceCrop.from_landmarks(LANDMARKS @ turn[:, :2].T + turn[:, 2], FRAME_SIZE)
    assert tilted.scale == pytest.approx(FaceCrop.from_landmarks(LANDMARKS, FRAME_SIZE).scale, rel=5e-3)


def test_aligned_face_is_upright_whatever_the_tilt_and_may_leave_the_frame(astronaut):
    landmarks = find_landmarks(astronaut)
    picture, matrix = rotated_picture(astronaut, 40)
    tilted = align_face(picture, landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(float)
    centre = slice(64, 192)
    assert np.abs(align_face(astronaut, landmarks) - tilted)[centre, centre].mean() < 4
    aligned = align_face(astronaut[60:180, 190:260], landmarks - (190, 60), size=128)
    assert aligned.shape == (128, 128, 3) and aligned.std() > 10


def test_crop_shows_eyes_at_the_asked_distance_and_padding_grows_with_it(astronaut, astronaut_eyes):
    landmarks = find_landmarks(astronaut)
    crop = FaceCrop.from_landmarks(landmarks, astronaut.shape[:2], (80,) * 4, eye_distance=128)
    assert math.dist(*astronaut_eyes * crop.scale) == pytest.approx(128, rel=5e-3)
    assert crop.apply(astronaut).shape == (crop.height, crop.width, 3)
    found = np.stack(eye_centres(find_landmarks(crop.apply(astronaut))))
    np.testing.assert_allclose(found + (crop.left, crop.top), astronaut_eyes * crop.scale, atol=6)
    small = FaceCrop.from_landmarks(landmarks, astronaut.shape[:2], (80,) * 4)
    for edge in ("left", "right", "top", "bottom"):
        assert getattr(crop, edge) == pytest.approx(2 * getattr(small, edge), abs=16)


def test_crop_edges_are_multiples_of_8_inside_the_frame_and_trimming_changes_nothing():
    crop = FaceCrop.from_landmarks(LANDMARKS, (203, 309), (33, 999, 1001, 77))
    scaled = resize_frame(np.zeros((203, 309, 3), np.uint8), crop.scale)
    assert all(edge % 8 == 0 for edge in (crop.left, crop.right, crop.top, crop.bottom))
    assert 0 <= crop.left < crop.right <= scaled.shape[1] and 0 <= crop.top < crop.bottom <= scaled.shape[0]
    result = np.zeros((4 * crop.height, 4 * crop.width, 3), np.uint8)
    assert crop.trim(result).shape == result.shape


@pytest.mark.parametrize("size", [(3, 5), (16, 24), (61, 47)])
def test_whole_frame_round_trip(size):
    frame = np.random.RandomState(0).randint(0, 256, (*size, 3), dtype=np.uint8)
    crop = FaceCrop.whole_frame(size)
    padded = crop.apply(frame)
    assert padded.shape == (crop.height, crop.width, 3)
    assert crop.height % 8 == 0 and crop.width % 8 == 0
    assert crop.height - size[0] < 8 and crop.width - size[1] < 8
    assert (padded[size[0] :, : size[1]] == frame[-1]).all() and (padded[: size[0], size[1] :] == frame[:, -1:]).all()
    fourfold = padded.repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(crop.trim(fourfold), frame.repeat(4, axis=0).repeat(4, axis=1))
    np.testing.assert_array_equal(crop.trim(padded, factor=1), frame)
    with pytest.raises(InputError, match="100 x 80"):
        crop.apply(np.zeros((80, 100, 3), np.uint8))


def test_tiny_face_in_a_big_frame_does_not_explode():
    landmarks = (LANDMARKS - LANDMARKS.mean(axis=0)) * 0.03 + 2000  # about 2 px between the eyes
    crop = FaceCrop.from_landmarks(landmarks, (4320, 7680))
    assert 1 <= crop.scale < 2
    assert crop.height > 8 and crop.width > 8


@pytest.mark.parametrize(
    ("landmarks", "padding"),
    [
        (LANDMARKS, (-1, 200, 200, 200)),
        (LANDMARKS, (0, 0, 0, 0)),
        (LANDMARKS + (1000, 0), (8, 8, 200, 200)),
        (np.full((68, 2), 50.0), (200, 200, 200, 200)),
    ],
    ids=["negative padding", "no padding", "face outside the frame", "eyes coincide"],
)
def test_impossible_crops_are_input_errors(landmarks, padding):
    with pytest.raises(InputError):
        FaceCrop.from_landmarks(landmarks, FRAME_SIZE, padding)


@pytest.mark.parametrize("degrees", [45, 90, 180])
def test_rotated_portrait_is_found(astronaut, astronaut_eyes, degrees):
    picture, matrix = rotated_picture(astronaut, degrees)
    expected = astronaut_eyes @ matrix[:, :2].T + matrix[:, 2]
    found = np.stack(eye_centres(find_landmarks(picture)))
    np.testing.assert_allclose(found, expected, atol=0.1 * math.dist(*expected))


def test_small_large_and_grey_portraits_are_found(astronaut, astronaut_eyes):
    grey = np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    for factor, picture in ((0.2, astronaut), (6.0, astronaut), (1, grey)):  # heads of 20 and 600 px
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=interpolation)
        found = np.stack(eye_centres(find_landmarks(resized)))
        np.testing.assert_allclose(found, astronaut_eyes * factor, atol=0.12 * factor * math.dist(*astronaut_eyes))


@pytest.mark.parametrize(
    ("size", "others", "wanted"),
    [((480, 900), [(40, 100, 224)], (440, 0, 448)), ((400, 700), [(0, 0, 224)], (260, 90, 224))],
    ids=["the larger one", "the central one"],
)
def test_the_more_prominent_of_two_faces_wins(astronaut, size, others, wanted):
    frame = np.full((*size, 3), 120, np.uint8)
    for x, y, side in [*others, wanted]:
        frame[y : y + side, x : x + side] = cv2.resize(astronaut[:224, 112:336], (side, side))
    x, y, side = wanted
    for picture, left in ((frame, x), (np.ascontiguousarray(frame[:, ::-1]), size[1] - x - side)):
        eyes = np.stack(eye_centres(find_landmarks(picture)))
        assert (eyes > (left, y)).all() and (eyes < (left + side, y + side)).all()


def test_frames_without_a_face_give_none():
    noise = cv2.resize(np.random.RandomState(0).randint(0, 256, (9, 16, 3), dtype=np.uint8), (320, 180))
    tiny = [np.random.RandomState(0).randint(0, 256, (*size, 3), dtype=np.uint8) for size in [(3, 5), (1, 1), (2, 900)]]
    for frame in (noise, noise[:16, :16], *tiny):
        assert find_landmarks(frame) is None and find_landmarks_quickly(frame) is None
        assert find_all_landmarks(frame) == []


def test_window_edges_are_rounded_before_they_are_floored():
    # Eyes 64 px apart with their centre at (211.6, 135.7): the left edge is 112, which int() would make 104.
    landmarks = LANDMARKS - sum(eye_centres(LANDMARKS)) / 2
    left, right = eye_centres(landmarks)
    landmarks = landmarks * (64 / (right - left)[0]) + (211.6, 135.7)
    crop = FaceCrop.from_landmarks(landmarks, (400, 500), (100, 100, 120, 120))
    assert (crop.left, crop.right, crop.top, crop.bottom) == (112, 312, 16, 256)


def test_people_far_away_in_a_small_frame_are_found(astronaut, astronaut_eyes):
    far = np.full((102, 320, 3), 128, np.uint8)
    far[:, 100:202] = cv2.resize(astronaut, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    assert find_landmarks_quickly(far) is None
    for found in (detect._search_tiny(far)[0].landmarks, find_landmarks(far)):
        middle = np.mean(eye_centres(found), axis=0)
        assert np.linalg.norm(middle - (0.2 * np.mean(astronaut_eyes, axis=0) + (100, 0))) < 3


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "coins", "brick"])
def test_no_tiny_faces_are_seen_where_there_are_none(name):
    picture = getattr(skimage.data, name)()
    rgb = picture if picture.ndim == 3 else np.dstack([picture] * 3)
    small = cv2.resize(rgb, (480, round(480 * rgb.shape[0] / rgb.shape[1])), interpolation=cv2.INTER_AREA)
    assert not detect._search_tiny(small)


class LongSource(FrameSource):
    """Two hours of one grey frame."""

    def __init__(self, length: int = 2 * 3600 * 30):
        super().__init__(Path("long.mp4"))
        self.first, self.length = Frame(np.full((48, 64, 3), 128, np.uint8)), length

    def _read(self):
        for _ in range(self.length):
            yield self.first


def test_a_long_video_without_a_face_is_given_up_after_a_bounded_search(monkeypatch):
    quick, thorough = [], []
    monkeypatch.setattr(search, "find_landmarks_quickly", lambda rgb: quick.append(rgb))
    monkeypatch.setattr(search, "find_landmarks", lambda rgb: thorough.append(rgb))
    with pytest.raises(InputError, match=r"long\.mp4"):
        search_face(LongSource())
    assert 50 < len(quick) < 600 and 1 <= len(thorough) <= THOROUGH_FRAMES


def test_a_hard_face_in_a_video_is_found_by_the_slow_search(monkeypatch):
    found = np.zeros((68, 2), np.float32)
    monkeypatch.setattr(search, "find_landmarks_quickly", lambda rgb: None)
    monkeypatch.setattr(search, "find_landmarks", lambda rgb: found)
    assert search_face(LongSource(20))[1] is found
