"""Heads that lie or stand on their head, and faces larger than the frame: what the style sees, and what is shown."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from model.common.errors import InputError
from model.effects import Denoiser, FullFrame
from model.faces import detect
from model.faces.crop import NOT_TURNED, FaceCrop, StyleWindow, turn_of, window_around
from model.faces.landmarks import eye_centres, face_size, tilt
from model.faces.track import CrowdTracker
from model.faces.window import WindowPath
from model.inference.job import live
from model.inference.look import Look
from model.inference.stylizer import Portrait
from model.media.files import PhotoSource
from model.media.frames import Frame
from model.parsing.maps import description
from tests.portrait import LANDMARKS
from tests.small_models import cartoon, dual, levels_apart

MIDDLE = (225.0, 120.0)  # of the face
SIZE = (320, 400)
CLOSE = (72, 72, 72, 72)


def moved(degrees: float, scale: float = 1.0, x: float = 200, y: float = 160) -> tuple[np.ndarray, np.ndarray]:
    """A frame `[320, 400, 3]` with the face at (x, y), so far turned clockwise and enlarged; and its landmarks."""
    matrix = cv2.getRotationMatrix2D(MIDDLE, tilt(LANDMARKS) - degrees, scale)
    matrix[:, 2] += np.array([x, y]) - MIDDLE
    frame = cv2.warpAffine(astronaut(), matrix, SIZE[::-1], borderMode=cv2.BORDER_REPLICATE)
    return frame, cv2.transform(LANDMARKS[None], matrix)[0]


def in_crop(window, landmarks: np.ndarray) -> np.ndarray:
    return cv2.transform(landmarks[None], window.matrix)[0]


def eyes_in(window, landmarks: np.ndarray) -> float:
    left, right = eye_centres(in_crop(window, landmarks))
    return float(np.linalg.norm(right - left))


def path_at(degrees: float = 0.0, anchored: bool = False) -> WindowPath:
    landmarks = moved(degrees)[1]
    return WindowPath(window_around(landmarks, SIZE, CLOSE), landmarks, anchored)


def test_nothing_is_turned_up_to_a_limit_then_more_and_more_without_a_step():
    assert [turn_of(angle) for angle in (0, 12, NOT_TURNED, -NOT_TURNED, 360)] == [0] * 5
    assert [turn_of(angle) for angle in (45, 90, -135, 179, 270)] == [45, 90, -135, 179, -90]
    angles = np.arange(-720, 720, 0.5)
    steps = np.diff([turn_of(angle) for angle in angles])
    assert np.abs((steps + 180) % 360 - 180).max() <= 1.0 + 1e-9
    left = np.array([(angle - turn_of(angle) + 180) % 360 - 180 for angle in angles])
    assert np.abs(left).max() <= NOT_TURNED


@pytest.mark.parametrize("degrees", [0, 45, -90, 135, 180])
def test_the_tilt_of_a_head(degrees):
    assert abs((tilt(moved(degrees)[1]) - degrees + 180) % 360 - 180) < 1e-3


@pytest.mark.parametrize("degrees", [0, 15, -18])
def test_faces_that_are_upright_are_cut_out_as_published(degrees):
    _, landmarks = moved(degrees)
    crop = window_around(landmarks, SIZE, CLOSE)
    assert crop == FaceCrop.from_landmarks(landmarks, SIZE, CLOSE) and crop.shown is crop


@pytest.mark.parametrize("degrees", [60, 90, -90, 135, 180])
def test_the_style_sees_a_head_upright_and_all_that_is_shown(degrees):
    frame, landmarks = moved(degrees)
    window = window_around(landmarks, SIZE, CLOSE)
    assert window.shown == FaceCrop.from_landmarks(landmarks, SIZE, CLOSE)
    assert window.width % 8 == window.height % 8 == 0
    assert abs(tilt(in_crop(window, landmarks))) < 0.1 and eyes_in(window, landmarks) == pytest.approx(64, abs=0.5)
    crop = window.apply(frame)
    upright, landmarks_there = moved(0, window.scale)
    patches = [cv2.getRectSubPix(picture, (80, 80), points[30].tolist())
               for picture, points in ((crop, in_crop(window, landmarks)), (upright, landmarks_there))]  # fmt: skip
    assert levels_apart(*patches).mean() < 4
    shown, back = window.show(frame), window.trim(crop, factor=1)
    assert back.shape == shown.shape == (window.shown.height, window.shown.width, 3)
    assert levels_apart(back, shown).mean() < 6, "turned back, it lies where it was, up to the corners"
    enlarged = cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(window.trim(enlarged), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert levels_apart(small, back).mean() < 3
    with pytest.raises(InputError, match="give one size"):
        window.apply(frame[:-8])
    assert description(window, 5) == json.loads(json.dumps(description(window, 5)))


def test_no_more_is_rendered_of_a_quarter_turn_than_of_an_upright_head():
    window = window_around(moved(90)[1], SIZE, (80, 64, 56, 96))
    crop = window.shown
    across, down = (crop.height, crop.width) if window.turn else (0, 0)
    assert abs(window.width - across) <= 8 and abs(window.height - down) <= 8


@pytest.fixture(scope="module")
def stylizer():
    return dual()


def drawn(stylizer, quarters: int, full_frame: int) -> tuple[np.ndarray, np.ndarray]:
    """The surroundings of the face in the result of a photo that is so many quarters turned counter-clockwise, turned
    back; and those in the photo."""
    frame, landmarks = moved(-90 * quarters, x=180, y=180)
    frame = np.ascontiguousarray(frame[:, :320])
    window = window_around(landmarks, frame.shape[:2], CLOSE)
    look = Look(style_degree=1.0, crop="fixed", full_frame=full_frame)
    result = next(cartoon(stylizer, [Frame(frame)], Portrait(window, None, landmarks), look)).rgb
    factor, photo = (full_frame, frame) if full_frame else (4, window.show(frame))
    nose = (landmarks if full_frame else in_crop(window.shown, landmarks))[30]
    pictures = result, cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    soft = [cv2.GaussianBlur(picture, (0, 0), 2 * factor) for picture in pictures]
    size, place = (60 * factor, 60 * factor), (factor * nose + (factor - 1) / 2).tolist()
    return tuple(np.rot90(cv2.getRectSubPix(picture, size, place), -quarters) for picture in soft)


@pytest.mark.parametrize("full_frame", [0, 1, 2])
def test_a_turned_photo_is_drawn_as_the_upright_one(stylizer, full_frame):
    upright, photo = drawn(stylizer, 0, full_frame)
    assert levels_apart(upright, photo).mean() > 6, "something was drawn"
    for quarters in (1, 2, 3):
        turned, same_photo = drawn(stylizer, quarters, full_frame)
        assert levels_apart(photo, same_photo).mean() < 3
        assert levels_apart(upright, turned).mean() < 4


@pytest.mark.parametrize("scale", [1, 2])
def test_an_unchanged_turned_crop_lies_in_its_place_in_the_frame(scale):
    frame, landmarks = moved(130)
    window = window_around(landmarks, SIZE, CLOSE)
    back, crop = FullFrame(scale), window.apply(frame)
    whole = back.enlarge(frame)
    back(whole, crop, cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), window)
    plain = back.enlarge(frame)
    soft = [cv2.GaussianBlur(picture, (0, 0), 2 * scale) for picture in (whole, plain)]
    astray = levels_apart(soft[0], np.roll(soft[1], 2 * scale, axis=1)).mean()
    assert levels_apart(*soft).mean() < 0.25 * astray
    dark = back.enlarge(frame)
    back(dark, crop, np.zeros((4 * crop.shape[0], 4 * crop.shape[1], 3), np.uint8), window)
    changed = levels_apart(dark, plain).max(axis=2)
    edges = (np.array([window.shown.left, window.shown.top]) / window.scale * scale).astype(int)
    assert changed[: edges[1] - 2].max(initial=0) == changed[:, : edges[0] - 2].max(initial=0) == 0, "nothing else"
    assert changed[scale * 160, scale * 200] > 20


def turning(path: WindowPath, angles: list[float], start: float = 0.0, jitter: float = 0.0) -> list[tuple]:
    """Windows and landmarks of a head that is tilted so from frame to frame, at 25 a second."""
    rng = np.random.default_rng(0)
    faces = [moved(angle)[1] + rng.normal(0, jitter, (68, 2)) for angle in angles]
    return [(path.update(face, start + i / 25), face) for i, face in enumerate(faces)]


def test_a_head_that_turns_all_around_is_seen_upright_and_nothing_jumps():
    path = path_at()
    seen = turning(path, np.arange(0, 720, 5).tolist())
    tilts = np.array([tilt(in_crop(window, face)) for window, face in seen])
    assert np.abs(tilts).max() < NOT_TURNED + 12 and np.abs(tilts).mean() < 12
    turns = np.array([getattr(window, "turn", 0.0) for window, _ in seen])
    assert np.abs((np.diff(turns) + 180) % 360 - 180).max() < 15
    assert any(turns == 0) and max(turns) > 175 and min(turns) < -175
    assert {(window.shown.width, window.shown.height) for window, _ in seen} == {(144, 144)}
    assert len({(window.width, window.height) for window, _ in seen}) == 2, "batches are of one size or the other"


@pytest.mark.parametrize("degrees", [22, 90, 180])
def test_a_head_that_lies_still_is_not_turned_to_and_fro(degrees):
    path = path_at(degrees, anchored=True)
    seen = turning(path, [degrees] * 60, jitter=0.7)
    assert len({window for window, _ in seen[5:]}) == 1
    assert path.update(moved(0)[1], 9.1, is_cut=True) is path.window.shown
    assert path.update(moved(-90)[1], 9.3, is_cut=True).turn == pytest.approx(-90, abs=3), "at a cut it jumps"


def test_a_face_that_outgrows_the_frame_keeps_its_size_for_the_style():
    for anchored in (False, True):
        path, sizes = path_at(anchored=anchored), set()
        for i in range(200):
            frame, landmarks = moved(0, scale=1.015**i)
            window = path.update(landmarks, i / 25)
            shown = window.shown
            sizes.add((window.width, window.height))
            assert 50 < eyes_in(window, landmarks) < 100
            assert shown.x >= -1e-6 and shown.x + shown.width / shown.scale <= SIZE[1] + 1e-6
            assert shown.y >= -1e-6 and shown.y + shown.height / shown.scale <= SIZE[0] + 1e-6
        assert isinstance(window, StyleWindow) and window.scale < shown.scale and len(sizes) == 1
        crop = window.apply(frame)
        assert levels_apart(window.trim(crop, 1), shown.apply(frame)).mean() < 12
        whole, back = frame.copy(), FullFrame(1)
        back(whole, crop, np.zeros((4 * crop.shape[0], 4 * crop.shape[1], 3), np.uint8), window)
        assert levels_apart(whole, frame)[:5, 150:250].mean() > 20, "up to the frame's edge"


def test_turning_goes_on_from_a_state():
    angles = np.concatenate([np.linspace(0, 200, 20), np.full(10, 200.0)]).tolist()
    whole, parted, after = path_at(), path_at(), path_at()
    wanted = turning(whole, angles)[14:]
    turning(parted, angles[:14])
    after.restore(json.loads(json.dumps(parted.state())))
    for (window, _), (other, _) in zip(turning(after, angles[14:], start=14 / 25), wanted, strict=True):
        assert np.allclose(window.matrix, other.matrix) and np.allclose(window.shown.matrix, other.shown.matrix)


@pytest.mark.parametrize("settings", [{"batch_size": 4}, {"full_frame": 1, "steady": "on", "lost": "pass"}], ids=str)
def test_a_clip_in_which_somebody_lies_down(stylizer, settings, monkeypatch):
    pictures = [moved(angle) for angle in np.linspace(0, 90, 12)]
    frames = [Frame(rgb, Fraction(i, 12)) for i, (rgb, _) in enumerate(pictures)]
    faces = iter([face for _, face in pictures])
    monkeypatch.setattr(CrowdTracker, "update", lambda *_: [next(faces)])
    portrait = Portrait(window_around(pictures[0][1], SIZE, CLOSE), None, pictures[0][1])
    results = list(cartoon(stylizer, frames, portrait, Look(padding=CLOSE, **settings)))
    assert len({result.rgb.shape for result in results}) == 1 and len(results) == 12


def test_parsing_maps_are_smoothed_among_crops_of_one_size():
    torch = pytest.importorskip("torch")
    from model.parsing.smooth import Smoother

    class Parser(torch.nn.Module):
        def forward(self, x):
            return x[:, torch.arange(19) % 3]

    sizes = [(16, 24)] * 3 + [(32, 32)] * 4 + [(16, 24)]
    crops = [np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8) for i, size in enumerate(sizes)]
    flow = lambda first, second: torch.zeros_like(first[:, :2])  # noqa: E731
    maps = Smoother(Parser(), flow, torch.device("cpu"), radius=2).maps(crops)
    assert [one.shape for one in maps] == [(19, *size) for size in sizes]


def test_noise_is_taken_out_anew_where_the_size_changes():
    denoise = Denoiser()
    crops = [np.full((side, side, 3), 90, np.uint8) for side in (32, 48, 32)]
    assert all(np.array_equal(denoise(crop), crop) for crop in crops)


def test_somebody_who_lay_and_was_hidden_is_found_again_and_a_webcam_finds_who_lies(stylizer):
    frame, landmarks = moved(90)
    covered = np.full_like(frame, 90)
    for most in (0, 2):
        tracker = CrowdTracker([landmarks], most)
        found = [tracker.update(rgb, i / 10)[0] for i, rgb in enumerate([frame, covered, covered, *[frame] * 6])]
        assert found[1] is None and np.abs(found[-1] - landmarks).mean() < 0.1 * face_size(landmarks)
    results = list(live(stylizer, (Frame(frame, Fraction(i, 10)) for i in range(4)), Look(padding=CLOSE, full_frame=1)))
    assert levels_apart(results[-1].rgb, frame)[120:200, 160:240].mean() > 4


def test_all_people_of_a_photo_that_lies_are_found():
    both = np.hstack([moved(0, scale)[0] for scale in (0.9, 1.1)])
    frame, faces = detect.find_people(PhotoSource(Path("us.png"), np.rot90(both).copy()))
    assert len(faces) == 2 and all(abs(tilt(face) + 90) < 8 for face in faces)
    apart = np.abs(faces[0].mean(axis=0) - faces[1].mean(axis=0))
    assert apart[1] > 300 and apart[0] < 60


def test_a_clip_that_begins_with_eyes_and_mouth_alone_shows_the_head_once_it_is_there():
    begin = moved(0, scale=4.0)[1]
    for anchored in (False, True):
        path = WindowPath(window_around(begin, SIZE, (200,) * 4), begin, anchored)
        assert path.window.shown.width <= SIZE[1] * path.window.shown.scale + 1e-6
        for i in range(120):
            landmarks = moved(0, scale=max(4.0 * 0.98**i, 1))[1]
            window = path.update(landmarks, i / 25)
            assert 48 < eyes_in(window, landmarks) < 100
        low, high = in_crop(window.shown, landmarks).min(axis=0), in_crop(window.shown, landmarks).max(axis=0)
        assert (low > 16).all() and (high < np.array([window.shown.width, window.shown.height]) - 16).all()
    _, landmarks = moved(0, x=100, y=100)
    crop = window_around(landmarks, SIZE, CLOSE)
    assert crop.with_room(landmarks) == crop, "where the frame is not the end, the padding is"
