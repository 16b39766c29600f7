"""Paintings as pairs: by painters, after pictures, and of a clip's frames; and how they are learnt from."""

from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import skimage.data

import generate_data
from model.training.data.drawn_pairs import DrawnPairs
from model.training.data.patches import Patches, WholePictures, mean_eye_distance
from model.training.data.shards import encode_pair, index_pairs, kind_of, write_shard
from model.training.generate import painted
from model.training.generate.painted import what_differs
from tests.clips import make_clip
from tests.portrait import LANDMARKS
from tests.sitters import sitter


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), skimage.data.astronaut()[:300, :400, ::-1])
    cv2.imwrite(str(folder / "b.png"), np.full((64, 64, 3), 128, np.uint8))
    return folder


@pytest.fixture
def generate(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def generate(teacher, *more, out="pairs") -> int:
        return call(generate_data.main, "--teacher", teacher, "--out", out, *more)

    return generate


SMALL = ("--size", 192, "--workers", 1)


def test_painters_make_pairs_that_are_the_same_every_time(generate, photos, capsys):
    assert generate("painter", "--style", "oil", "comic", "--photos", photos, *SMALL) == 0
    assert "2 drawn, 2 without a face" in capsys.readouterr().out
    pairs = index_pairs(["pairs"])
    assert [pair.style for pair in pairs] == ["oil", "comic"] and kind_of(pairs) == "painted"
    for pair in pairs:
        photo, painting, facts = pair.picture("photo"), pair.picture("full"), pair.facts()
        assert photo.shape == painting.shape == (192, 192, 3) and "partial.jpg" not in pair.parts
        assert np.abs(photo.astype(int) - painting).mean() > 5
        assert np.shape(facts["landmarks"]) == (68, 2) and facts["own_colours"] is False and facts["source"] == "a.png"
    assert cv2.imread("pairs/preview.jpg").shape == (2 * 256, 2 * 256, 3)
    assert generate("painter", "--style", "oil", "--photos", photos, *SMALL, out="again") == 0
    assert index_pairs(["again"])[0].read("full.jpg") == pairs[0].read("full.jpg")
    assert generate("painter", "--style", "comic", "--photos", photos, *SMALL, out="again") == 2
    assert "other options (styles)" in capsys.readouterr().err


def test_pictures_of_ones_own_and_of_the_project_make_pairs(generate, photos, monkeypatch, capsys):
    monkeypatch.setattr(painted, "what_differs", lambda painting, landmarks: None)
    subject = sitter(320)
    blue = np.stack([255 - subject.rgb[..., 0] // 2, subject.rgb[..., 1] // 2, subject.rgb[..., 2] // 4], axis=-1)
    cv2.imwrite("blue.png", blue)
    np.savetxt("blue.landmarks.txt", subject.landmarks, "%.1f")
    assert generate("example", "--style_image", "blue.png", "--style_id", "fauve", "--photos", photos, *SMALL) == 0
    pairs = index_pairs(["pairs"])
    assert [pair.style for pair in pairs] == ["fauve", "blue"] and all(pair.facts()["own_colours"] for pair in pairs)
    photo, painting = (pairs[1].picture(name).astype(int) for name in ("photo", "full"))
    assert (painting[..., 2] - painting[..., 0]).mean() > (photo[..., 2] - photo[..., 0]).mean() + 30
    assert "2 drawn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("teacher", "more", "message"),
    [
        ("painter", ["--style", "fauve"], "fauve"),
        ("painter", ["--style", "oil", "oil"], "--style names oil 2 times"),
        ("example", ["--style_id", "fauvre"], "There is no style 'fauvre', perhaps fauve"),
        ("example", ["--style_image", "none.png"], "none.png"),
        ("keyframe", [], "--content is missing"),
    ],
)
def test_styles_that_are_none_are_one_sentence(generate, photos, capsys, teacher, more, message):
    given = () if teacher == "keyframe" else ("--photos", photos, *SMALL)
    assert generate(teacher, *given, *more) == 2
    error = capsys.readouterr().err
    assert message in error or message.replace("There", "there") in error
    assert error.count("\n") == 1


def test_faces_that_are_found_elsewhere_are_left_out(generate, photos, capsys, monkeypatch):
    find = painted.find_all_landmarks
    monkeypatch.setattr(painted, "find_all_landmarks", lambda rgb: [face + np.float32([9, 9]) for face in find(rgb)])
    assert generate("painter", "--style", "oil", "--photos", photos, *SMALL) == 2
    assert "no pair could be made (1 with uncertain landmarks, 1 without a face)" in capsys.readouterr().err


def test_mouths_and_eyes_that_are_painted_otherwise_are_told(monkeypatch):
    subject = sitter(300)
    closed, shut = subject.landmarks.copy(), subject.landmarks.copy()
    closed[60:68, 1] = closed[60:68, 1].mean()
    open_mouth = closed.copy()
    open_mouth[[65, 66, 67], 1] += 0.3 * np.ptp(closed[60:68, 0])
    for eye in (slice(36, 42), slice(42, 48)):
        shut[eye, 1] = shut[eye, 1].mean()
    for found, photo, reason in (
        (closed, closed, None), (open_mouth, closed, "with another mouth"), (closed, open_mouth, "with another mouth"),
        (shut, subject.landmarks, "with other eyes"), (closed + 200, open_mouth, None),
    ):  # fmt: skip
        monkeypatch.setattr(painted, "find_all_landmarks", Mock(return_value=[found]))
        assert what_differs(subject.rgb, photo) == reason
    monkeypatch.setattr(painted, "find_all_landmarks", lambda rgb: [])
    assert what_differs(subject.rgb, closed) is None


def painted_pairs(folder, own_colours: bool):
    """One pair of a grey photo and a red painting, as they are stored."""
    photo, red = np.full((300, 300, 3), 100, np.uint8), np.full((300, 300, 3), (220, 30, 30), np.uint8)
    facts = {"kind": "painted", "style": "red", "own_colours": own_colours, "landmarks": LANDMARKS.tolist()}
    folder.mkdir()
    write_shard(folder / "pairs-00000.tar", [("one", encode_pair(photo, red, None, facts))])
    return index_pairs([folder])


def test_degrees_of_paintings_are_blends_and_own_colours_stay_in_any_light(tmp_path):
    for own_colours in (True, False):
        samples = DrawnPairs(painted_pairs(tmp_path / f"{own_colours}", own_colours), ["red"], seed=0)
        reds, shares = [], []
        for sample in (samples[n] for n in range(60)):
            photo, target = (sample[name].mean((1, 2)) for name in ("x", "y"))
            assert sample["weight"].max() < 8.5, "no weight on details"
            if sample["degree"] == 1:
                reds.append(float(target[0]))
            elif sample["degree"] and own_colours:
                red = 220 / 127.5 - 1
                shares.append(((target[0] - photo[0]) / (red - photo[0]) - sample["degree"]).item())
            elif not sample["degree"]:
                assert (target - photo).abs().max() < 0.03
        assert (np.ptp(reds) < 0.02) == own_colours
        assert np.abs(shares).max(initial=0) < 0.06


@pytest.fixture
def clip(tmp_path):
    pictures = [np.roll(skimage.data.astronaut()[:96, 180:308], 4 * n, axis=1) for n in range(4)]
    make_clip(tmp_path / "clip.mp4", [np.ascontiguousarray(picture) for picture in pictures], rate=10)
    return pictures


def test_key_frames_are_the_frames_of_their_numbers(generate, clip, capsys):
    for number in (0, 3):
        cv2.imwrite(f"{number}.png", 255 - clip[number][..., ::-1])
    assert generate("keyframe", "--content", "clip.mp4", "--keyframe", "3=3.png", "0=0.png") == 0
    pairs = index_pairs(["pairs"])
    assert [pair.facts()["frame"] for pair in pairs] == [0, 3] and kind_of(pairs) == "keyframe"
    for pair, number in zip(pairs, (0, 3), strict=True):
        assert np.abs(pair.picture("photo").astype(int) - clip[number]).mean() < 6
        assert np.abs(pair.picture("full").astype(int) - (255 - clip[number])).mean() < 3
    layer = np.dstack([np.zeros_like(clip[0]), np.zeros(clip[0].shape[:2], np.uint8)])
    layer[20:40, 20:40] = (0, 255, 0, 255)
    cv2.imwrite("layer.png", layer)
    assert generate("keyframe", "--content", "clip.mp4", "--keyframe", "0=layer.png", out="layered") == 0
    (pair,) = index_pairs(["layered"])
    laid = pair.picture("full").astype(int)
    assert laid[25:35, 25:35].mean(axis=(0, 1))[1] > 230
    assert np.abs(laid - pair.picture("photo"))[50:].mean() < 6, "what is bare is the frame"
    cv2.imwrite("small.png", clip[0][:90])
    for word, message in (
        ("9=0.png", "has no frame 9"), ("x", "write FRAME=PICTURE"),
        ("0=small.png", "frame 128 x 96"), ("0=none.png", "none"),
    ):  # fmt: skip
        assert generate("keyframe", "--content", "clip.mp4", "--keyframe", word, out="other") == 2
        assert message in capsys.readouterr().err
    assert generate("keyframe", "--content", "clip.mp4", "--keyframe", "0=0.png", "0=3.png", out="other") == 2
    assert "names frame 0 twice" in capsys.readouterr().err


def test_patches_show_one_place_of_both_pictures(generate, clip):
    cv2.imwrite("0.png", 255 - clip[0][..., ::-1])
    assert generate("keyframe", "--content", "clip.mp4", "--keyframe", "0=0.png") == 0
    pairs = index_pairs(["pairs"])
    patches = Patches(pairs, 32, seed=0)
    for n in range(5):
        item = patches[n]
        assert item["x"].shape == item["y"].shape == (3, 32, 32)
        assert (item["x"] + item["y"]).abs().mean() < 0.1, "the painting is the negative"
    assert not np.array_equal(patches[0]["x"], patches[1]["x"]) and mean_eye_distance(pairs) == 0
    assert np.array_equal(patches[2]["x"], Patches(pairs, 32, seed=0)[2]["x"])
    assert WholePictures(pairs)[7]["y"].shape == (3, 96, 128)


def test_patches_of_photos_are_relit(tmp_path):
    pairs = painted_pairs(tmp_path / "own", own_colours=True)
    assert mean_eye_distance(pairs) == pytest.approx(np.linalg.norm(np.subtract(*eyes(LANDMARKS))), rel=1e-3)
    patches = Patches(pairs, 64, seed=0)
    items = [patches[n] for n in range(9)]
    greys, reds = ([float(item[name][0].mean()) for item in items] for name in ("x", "y"))
    assert np.ptp(greys) > 0.02 and np.ptp(reds) < 1e-6


def eyes(landmarks):
    return landmarks[36:42].mean(0), landmarks[42:48].mean(0)
