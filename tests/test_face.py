import json
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from model.common.errors import InputError
from model.faces import detect
from model.faces.crop import FaceCrop, resize_frame
from model.faces.detect import THOROUGH_FRAMES, find_all_landmarks, find_landmarks, find_landmarks_quickly, search_face
from model.faces.landmarks import align_face, eye_centres
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


def found_eyes(rgb):
    return np.stack(eye_centres(find_landmarks(rgb)))


@pytest.fixture(scope="module")
def astronaut_eyes(astronaut):
    eyes = found_eyes(astronaut)
    np.testing.assert_allclose(eyes, [[203, 102], [246, 104]], atol=4)
    return eyes


def golden_picture(name, shape, size):
    """The uint8 input of a golden row: noise of this shape, enlarged to `size` (width, height)."""
    noise = np.random.RandomState(zlib.crc32(name.encode()) % 2**32).standard_normal(shape)
    return cv2.resize(np.clip(noise * 40 + 128, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def largest_difference(result, expected):
    assert result.dtype == np.uint8 and result.shape == expected.shape
    return np.abs(result.astype(int) - expected).max()


def rotated_picture(rgb, degrees):  # counter-clockwise on a canvas that holds all of it; and the turn's matrix [2, 3]
    height, width = rgb.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return cv2.warpAffine(rgb, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), matrix


@pytest.mark.parametrize("case", CROP_CASES, ids=range(len(CROP_CASES)))
def test_crop_agrees_with_published_program(case):
    crop = FaceCrop.from_landmarks(np.array(case["landmarks"]), (case["height"], case["width"]), case["padding"])
    result = case["result"]
    assert crop.scale == pytest.approx(case["scale"], rel=1e-12)
    for edge in ("left", "right", "top", "bottom"):
        assert getattr(crop, edge) == result[edge]
    scaled = resize_frame(np.zeros((case["height"], case["width"], 3), np.uint8), crop.scale)
    assert scaled.shape[:2] == (result["h"], result["w"])
    inside = np.zeros((crop.height, crop.width, 3), np.uint8)
    assert crop.trim(inside, factor=1).shape == inside.shape, "all of it lies in the frame"


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
    eyes = found_eyes(crop.apply(astronaut)) + (crop.left, crop.top)
    np.testing.assert_allclose(eyes, astronaut_eyes * crop.scale, atol=6)
    small = FaceCrop.from_landmarks(landmarks, astronaut.shape[:2], (80,) * 4)
    for edge in ("left", "right", "top", "bottom"):
        assert getattr(crop, edge) == pytest.approx(2 * getattr(small, edge), abs=16)


@pytest.mark.parametrize("size", [(3, 5), (16, 24), (61, 47)])
def test_whole_frame_round_trip(size):
    frame = np.random.RandomState(0).randint(0, 256, (*size, 3), dtype=np.uint8)
    crop = FaceCrop.whole_frame(size)
    padded = crop.apply(frame)
    missing = [-side % 8 for side in size]
    assert padded.shape == (crop.height, crop.width, 3) == (size[0] + missing[0], size[1] + missing[1], 3)
    assert (padded == np.pad(frame, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")).all()
    fourfold = padded.repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(crop.trim(fourfold), frame.repeat(4, axis=0).repeat(4, axis=1))
    np.testing.assert_array_equal(crop.trim(padded, factor=1), frame)
    with pytest.raises(InputError, match="100 x 80"):
        crop.apply(np.zeros((80, 100, 3), np.uint8))


def test_tiny_face_in_a_big_frame_does_not_explode():
    landmarks = (LANDMARKS - LANDMARKS.mean(axis=0)) * 0.03 + 2000  # about 2 px between the eyes
    crop = FaceCrop.from_landmarks(landmarks, (4320, 7680))
    assert 1 <= crop.scale < 2 and crop.height > 8 and crop.width > 8


@pytest.mark.parametrize(
    ("landmarks", "padding"),
    [(LANDMARKS, (-1, 200, 200, 200)), (LANDMARKS, (0, 0, 0, 0)), (LANDMARKS + (1000, 0), (8, 8, 200, 200)),
     (np.full((68, 2), 50.0), (200, 200, 200, 200))],
    ids=["negative padding", "no padding", "face outside the frame", "eyes coincide"],
)  # fmt: skip
def test_impossible_crops_are_input_errors(landmarks, padding):
    with pytest.raises(InputError):
        FaceCrop.from_landmarks(landmarks, FRAME_SIZE, padding)


def resized_picture(rgb, factor):
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=interpolation), factor * np.eye(2, 3)


def grey_picture(rgb, _):
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2), np.eye(2, 3)


@pytest.mark.parametrize(
    ("change", "amount"),
    [*((rotated_picture, degrees) for degrees in (45, 90, 180)), (resized_picture, 0.2), (resized_picture, 6.0),
     (grey_picture, 1)],
)  # fmt: skip
def test_rotated_small_large_and_grey_portraits_are_found(astronaut, astronaut_eyes, change, amount):
    picture, matrix = change(astronaut, amount)  # heads of 20 to 600 px
    expected = cv2.transform(astronaut_eyes[None], matrix)[0]
    np.testing.assert_allclose(found_eyes(picture), expected, atol=0.12 * math.dist(*expected))


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
        eyes = found_eyes(picture)
        assert (eyes > (left, y)).all() and (eyes < (left + side, y + side)).all()


def test_frames_without_a_face_give_none():
    noise = cv2.resize(np.random.RandomState(0).randint(0, 256, (9, 16, 3), dtype=np.uint8), (320, 180))
    for frame in (noise, noise[:16, :16], noise[:3, :5], noise[:1, :1], np.repeat(noise[:2], 3, axis=1)):
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


class GreySource(FrameSource):
    first = Frame(np.full((48, 64, 3), 128, np.uint8))

    def _read(self):
        return repeat(self.first, 2 * 3600 * 30)


def test_a_long_video_is_given_up_after_a_bounded_search_and_a_slow_one_finds_hard_faces(monkeypatch):
    quick, thorough = [], []
    monkeypatch.setattr(detect, "find_landmarks_quickly", quick.append)
    monkeypatch.setattr(detect, "find_landmarks", thorough.append)
    with pytest.raises(InputError, match=r"long\.mp4"):
        search_face(GreySource(Path("long.mp4")))
    assert 50 < len(quick) < 600 and 1 <= len(thorough) <= THOROUGH_FRAMES
    monkeypatch.setattr(detect, "find_landmarks", lambda rgb: LANDMARKS)
    assert search_face(GreySource(Path("long.mp4")))[1] is LANDMARKS


def test_faces_are_found_by_several_threads_at_once(astronaut):
    pictures = [
        np.ascontiguousarray(picture) for picture in (astronaut[::2, ::2], astronaut[:300, 100:400], astronaut[:, ::-1])
    ]
    wanted = [find_landmarks(picture).tobytes() for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find_landmarks, pictures * 10))
    assert [points.tobytes() for points in found] == wanted * 10
