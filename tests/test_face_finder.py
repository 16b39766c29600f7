import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoints
from model.demo.web.build import FINDER
from model.face_finder import MULTIPLE, OUTPUTS, FaceFinder, faces_in
from model.faces.landmarks import eye_centres, face_size
from model.media.sample import sample_portrait
from model.training.finder import learn, scenes
from tests.portrait import LANDMARKS
from tests.runs import assert_stopped_and_resumed_is_whole, log_of


@pytest.fixture
def portrait():
    rgb, scale = sample_portrait(), scenes.STORED_SIDE / 512
    small = cv2.resize(rgb, (scenes.STORED_SIDE, scenes.STORED_SIDE), interpolation=cv2.INTER_AREA)
    return scenes.Portrait(small, np.full(small.shape[:2], 255, np.uint8), (LANDMARKS + 0.5) * np.float32(scale) - 0.5)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(sample_portrait()[number : 256 + number, 96:352]).save(folder / f"{number}.png")
    return folder


def seen(output: torch.Tensor) -> list[tuple[float, float]]:
    return [tuple(np.mean(face.eyes, axis=0)) for face in faces_in(output)]


def test_targets_are_read_back_as_the_faces_that_they_are_of():
    labels = [
        scenes.Label(20.0, np.array([[40.2, 50.1], [58.9, 52.3]])),
        scenes.Label(6.0, np.array([[120, 120], [125, 118]])),
    ]
    heat, values = learn.targets(labels)
    logits = np.log(np.clip(heat, 1e-4, 1 - 1e-4) / (1 - np.clip(heat, 1e-4, 1 - 1e-4)))
    found = sorted(faces_in(torch.from_numpy(np.concatenate([logits[None], values]))), key=lambda face: -face.size)
    assert len(found) == 2
    for face, label in zip(found, labels, strict=True):
        assert face.size == pytest.approx(label.size, rel=1e-4)
        assert np.array(face.eyes) == pytest.approx(label.eyes, abs=1e-2)


def test_what_is_said_of_a_picture_stays_when_more_is_around_it():
    network = FaceFinder().eval()
    assert sum(p.numel() for p in network.parameters()) < 150_000
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 2 * MULTIPLE, 3 * MULTIPLE)).shape == (2, OUTPUTS, 8, 12)


@pytest.mark.parametrize("side", [160, 240, 320])
def test_the_shipped_weights_find_the_sample_portrait(side):
    network, scale = checkpoints.load_face_finder(FINDER), side / 512
    small = cv2.resize(sample_portrait(), (side, side), interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        faces = faces_in(network(torch.from_numpy(small / np.float32(127.5) - 1).permute(2, 0, 1)[None])[0])
    assert faces, "there is one"
    face, size = faces[0], scale * face_size(LANDMARKS)
    assert np.array(face.eyes) == pytest.approx(scale * np.stack(eye_centres(LANDMARKS)), abs=0.3 * size)
    assert abs(math.log(face.size / size)) < 0.35


def test_nothing_is_found_in_what_shows_nobody():
    network = checkpoints.load_face_finder(FINDER)
    for background in (
        np.full((160, 160, 3), 0.5, np.float32),
        np.random.default_rng(0).random((160, 160, 3), np.float32),
    ):
        with torch.no_grad():
            assert not faces_in(network(learn.as_input(background)[None])[0])


def test_scenes_show_faces_where_their_labels_say(portrait):
    drawn = scenes.Scenes([portrait], scenes.read_backgrounds([]))
    counts = []
    for number in range(40):
        scene, labels = drawn.draw(np.random.default_rng(number))
        assert scene.shape == (scenes.SIDE, scenes.SIDE, 3) and scene.dtype == np.float32
        assert scene.min() >= 0 and scene.max() <= 1
        counts.append(len(labels))
        for label in labels:
            (x, y), (x2, y2) = label.eyes
            assert x < x2 and scenes.SMALLEST <= label.size <= scenes.LARGEST
            assert math.hypot(x2 - x, y2 - y) == pytest.approx(label.size, rel=0.1), "the portrait looks straight ahead"
    again, _ = drawn.draw(np.random.default_rng(39))
    assert np.array_equal(scene, again) and {0, 1} <= set(counts)


def options(photos, tmp_path, name, **settings):
    known = {"photos": [str(photos)], "out": str(tmp_path / name / "finder.pt"), "runs": str(tmp_path / "runs")}
    small = {"iter": 3, "batch": 2, "log_every": 3, "device": "cpu", "precision": "fp32", "quiet": True}
    return learn.Options(name=name, **known | small | settings)


def train(given: learn.Options):
    return learn.run(given, lambda accelerator: learn.FinderTrainer(given, accelerator))


def test_a_run_that_was_stopped_goes_on_to_the_bit(photos, tmp_path, monkeypatch, heeded_ctrl_c):
    monkeypatch.setattr(learn, "MEASURED", 4)
    monkeypatch.setattr(learn, "PREVIEWED", 3)
    whole, parted = (options(photos, tmp_path, name) for name in ("whole", "parted"))
    file, _ = assert_stopped_and_resumed_is_whole(train, whole, parted, step=2)
    assert {"places", "sizes", "eyes", "recall", "precision", "eye error"} <= set(log_of(whole)[-1])
    assert isinstance(checkpoints.load_face_finder(file), FaceFinder)


@pytest.mark.slow
def test_it_learns_to_find_one_face(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "MEASURED", 30)
    given = options(photos, tmp_path, "learns", iter=150, batch=16, log_every=50)
    train(given)
    first, *_, last = log_of(given)
    assert last["places"] < 0.5 * first["places"] and last["eyes"] < first["eyes"] and last["recall"] > 0.4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [("", "--photos is missing"), ("--photos photos", "--out names no file"),
     ("--photos photos --out photos", "--out names no file"), ("--photos empty --out a.pt", "empty holds no pictures"),
     ("--photos grey --out a.pt", "a face was found in 0 of 1 photos"),
     ("--photos broken --out a.pt", "broken")],
)  # fmt: skip
def test_wrong_options_are_a_sentence(call, capsys, tmp_path, monkeypatch, photos, arguments, told):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "grey", "broken"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "grey" / "a.png")
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    assert call(learn.main, *arguments.split()) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "a.pt").exists()
