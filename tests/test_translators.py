"""A network that learns to paint from patches: its training, and its file as a style."""

import numpy as np
import pytest
import torch

import style_transfer
from model import checkpoints
from model.common.errors import InputError
from model.config import TranslatorConfig
from model.inference.stylizer import Stylizer
from model.styles.base import Crop
from model.styles.catalog import choose_preset
from model.training import judged
from model.training.data.shards import encode_pair, write_shard
from model.training.options import RECIPES, DualOptions
from model.training.train import train
from model.translator import Translator
from tests.portrait import LANDMARKS
from tests.runs import assert_stopped_and_resumed_is_whole, log_of

TINY = TranslatorConfig(widths=(4, 6, 8), blocks=1)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small networks, and no VGG on disk."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("keyframes", "patch"):
        recipe = RECIPES[name]
        monkeypatch.setitem(RECIPES, name, type(recipe)(**vars(recipe) | {"network": TINY, "patch": 16}))


@pytest.fixture
def keyframes(tmp_path):
    """A folder with one key frame: noise, and its negative."""
    frame = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    facts = {"kind": "keyframe", "style": "clip", "frame": 0, "source": "0"}
    write_shard(tmp_path / "pairs-00000.tar", [("000000", encode_pair(frame, 255 - frame, None, facts))])
    return tmp_path


@pytest.fixture
def options(keyframes, tmp_path):
    fixed = {"student": "patch", "batch": 4, "workers": 0, "device": "cpu", "precision": "fp32", "iter": 4}
    fixed |= {"runs": str(tmp_path / "runs"), "output": str(tmp_path / "out"), "pairs": [str(keyframes)]}
    return lambda **changes: DualOptions(**fixed | {"name": "trial"} | changes)


def test_a_network_learns_what_a_painter_did(options, capsys):
    run = options(iter=200, lr=0.004, log_every=40, batch=8, adv_loss=0.1, perc_loss=0.5)
    path = train(run)
    assert "perceptual loss: features of the discriminator" in capsys.readouterr().out
    losses = log_of(run)
    assert losses[0].keys() >= {"l1", "discriminator", "adversarial", "features"}
    assert losses[-1]["l1"] < 0.7 * losses[0]["l1"] and losses[-1]["held_out_l1"] < 0.8 * losses[0]["held_out_l1"]
    network = checkpoints.load_translator(path)
    assert path.name == "translator.pt" and network.config == TINY


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options):
    assert_stopped_and_resumed_is_whole(train, options(name="whole"), options(name="parted"), step=2)


def test_vgg_is_taken_where_it_is_on_disk(options, monkeypatch, capsys, tmp_path):
    from torchvision.models.vgg import cfgs, make_layers

    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights = {f"features.{name}": value for name, value in make_layers(cfgs["E"]).state_dict().items()}
    torch.save(weights, folder / "vgg19-dcbb9e9d.pth")
    train(options(iter=1, log_every=1))
    assert "perceptual loss: features of VGG-19" in capsys.readouterr().out
    assert "perceptual" in log_of(options())[-1] and "features" not in log_of(options())[-1]
    network, _ = judged.load_any_perceptual()
    pictures = torch.rand(2, 3, 16, 16) * 2 - 1
    assert (network(pictures, pictures) == 0).all() and (network(pictures, -pictures) > 0).all()
    torch.save(dict(list(weights.items())[:4]), folder / "vgg19-dcbb9e9d.pth")
    with pytest.raises(InputError, match="VGG-19"):
        train(options(name="other"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": "vtoonify"}, "holds key frames of a clip: add --student patch"),
        ({"student": "vtoonify", "config": "keyframes"}, "add --student patch"),
        ({"config": "patch"}, "holds keyframe pairs, but painted ones are needed"),
        ({"config": "starter_tiny"}, "leave --student patch out"),
        ({"pairs": []}, "--student patch learns from --pairs"),
    ],
)
def test_what_cannot_be_learnt_is_one_sentence(options, changes, message):
    with pytest.raises(InputError, match=message):
        train(options(**changes))


def test_paintings_of_faces_tell_their_eye_distance_and_are_of_one_style(options, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    landmarks = (LANDMARKS - LANDMARKS.min(0)) / np.ptp(LANDMARKS) * 60
    for style, count in (("one", 2), ("two", 4)):
        facts = [{"kind": "painted", "style": "one", "own_colours": True, "landmarks": landmarks.tolist()}] * count
        facts[-1] = facts[-1] | {"style": style}
        (tmp_path / style).mkdir()
        pairs = [
            (f"{n}", encode_pair(picture, picture, None, each | {"source": f"{n}"})) for n, each in enumerate(facts)
        ]
        write_shard(tmp_path / style / "pairs-00000.tar", pairs)
    path = train(options(name="faces", pairs=[str(tmp_path / "one")]))
    distance = np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0))
    style = choose_preset(str(path)).load(device="cpu")
    assert style.eye_distance == pytest.approx(distance, rel=1e-3)
    with pytest.raises(InputError, match="several styles"):
        train(options(name="both", pairs=[str(tmp_path / "two")]))


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    checkpoints.save_pixel_network(tmp_path / "mine.pt", Translator(TINY))
    return tmp_path / "mine.pt"


def test_a_file_is_a_style_for_pictures_of_any_size(file):
    style = choose_preset(str(file)).load(device="cpu", precision="fp32")
    rgb = np.random.default_rng(0).integers(0, 256, (37, 50, 3)).astype(np.uint8)
    renderer = style.renderer(None)
    (full,) = renderer.start([Crop(rgb)])()
    (half,) = style.renderer(None, degree=0.5).start([Crop(rgb)])()
    (none,) = style.renderer(None, degree=0).start([Crop(rgb)])()
    assert full.shape == rgb.shape and full.dtype == np.uint8 and np.abs(full.astype(int) - rgb).mean() > 10
    assert np.abs(half.astype(int) - (full.astype(int) + rgb) / 2).max() <= 1 and (none == rgb).all()
    again, other = renderer.start([Crop(rgb), Crop(rgb[:8, :8])])()
    assert (again == full).all() and other.shape == (8, 8, 3)


def test_a_photo_without_a_face_is_painted_as_a_whole(file, call, tmp_path, monkeypatch):
    import cv2

    monkeypatch.chdir(tmp_path)
    cv2.imwrite("wall.png", np.full((40, 56, 3), 99, np.uint8))
    assert (
        call(style_transfer.main, "--content", "wall.png", "--ckpt", file, "--no_scale_image", "--device", "cpu") == 0
    )
    assert cv2.imread("output/wall_vtoonify_n.jpg").shape == (40, 56, 3)
    frame = np.full((40, 56, 3), 99, np.uint8)
    stylizer = Stylizer.from_preset(str(file), device="cpu")
    (result,) = stylizer.render([frame], stylizer.fit(frame, scale_image=False))
    assert result.shape == frame.shape


@pytest.mark.parametrize(
    "change", [{"widths": [4, 6]}, {"blocks": 0}, {"blocks": 10**9}, {"eye_distance": -1.0}, {"x": 1}]
)
def test_a_file_that_describes_no_network_is_one_sentence(file, change):
    contents = torch.load(file, weights_only=True)
    contents["translator"] |= change
    torch.save(contents, file)
    with pytest.raises(InputError, match="mine.pt is not a network that paints patches"):
        choose_preset(str(file)).load()


def test_sides_have_to_be_multiples_of_four():
    with pytest.raises(ValueError, match="multiples of 4"):
        Translator(TINY)(torch.zeros(1, 3, 10, 12))
