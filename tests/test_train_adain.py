"""A decoder of AdaIN learns from two folders, on a VGG-19 of random weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torchvision.models.vgg import cfgs, make_layers

import generate_data
import style_transfer
from model import checkpoints
from model.adain import AdainDecoder, AdainEncoder
from model.common.errors import InputError
from model.common.weight_files import read_contents
from model.styles.catalog import choose_preset
from model.training import adain as program
from model.training.adain import AdainTrainer, Options, main, train_adain, unit
from model.training.trainer import make_accelerator
from model.training.unpaired.adain import normalise
from tests.commands import save_face
from tests.runs import assert_stopped_and_resumed_is_whole, log_of
from tests.unpaired_folders import assert_wrong_folders_are_told, write_folders


def write_torchvision(path: Path) -> None:
    """VGG-19 as far as relu4_1, whose signals don't fade, and a part of the rest of a file."""
    torch.manual_seed(0)
    layers = make_layers(cfgs["E"][:12], batch_norm=False)
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    weights = {f"features.{name}": value for name, value in layers.state_dict().items()}
    torch.save(weights | {"classifier.0.bias": torch.zeros(3)}, path)


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A function that makes options of short runs on torchvision's VGG-19."""
    photos, styles = write_folders(tmp_path)
    monkeypatch.setattr(program, "vgg_on_disk", lambda layers: None)
    monkeypatch.setattr(program, "CALIBRATED_ON", 4)
    write_torchvision(tmp_path / "vgg19.pth")
    fixed = {"photos": photos, "style_images": styles, "runs": str(tmp_path / "runs"), "device": "cpu", "quiet": True}
    fixed |= {"size": 32, "batch": 1, "iter": 2, "log_every": 2, "vgg": str(tmp_path / "vgg19.pth"), "save_every": 100}
    return lambda **changes: Options(**fixed | {"out": str(tmp_path / "mine.pt")} | changes)


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, tmp_path):
    runs = [options(name=name, out=str(tmp_path / f"{name}.pt")) for name in ("whole", "parted")]
    assert_stopped_and_resumed_is_whole(train_adain, *runs, step=1)
    last = log_of(runs[0])[-1]
    assert {"content", "style", "held_out_content", "held_out_style", "held_out_change"} <= last.keys()
    assert cv2.imread(str(runs[0].folder / "preview-000002.jpg")).shape == (6 * 256, 4 * 256, 3)


def test_the_decoder_learns_both_losses_and_vgg_does_not_change(options):
    run = options(iter=16, lr=2e-3, log_every=8)
    train_adain(run)
    lines = log_of(run)
    assert lines[-1]["style"] < 0.6 * lines[0]["style"] and lines[-1]["content"] < lines[0]["content"]
    first = options(iter=1, name="first", out=run.out + "1")
    train_adain(first)
    one, other = (checkpoints.load_own_adain(path).state_dict() for path in (run.out, first.out))
    for name, value in one.items():
        assert torch.equal(value, other[name]) == name.startswith("encoder."), name


def test_torchvision_s_filters_get_a_mean_activation_of_one_and_find_the_same(options, tmp_path):
    encoder, scaled = AdainEncoder().eval(), AdainEncoder().eval()
    assert not any(checkpoints.fill_adain_encoder(tmp_path / "vgg19.pth", each) for each in (encoder, scaled))
    pictures = torch.rand(3, 3, 32, 32)
    normalise(scaled, pictures)
    with torch.no_grad():
        for before, after in zip(encoder.features(pictures), scaled.features(pictures), strict=True):
            means = before.mean((0, 2, 3))
            alive = means > 0.02 * means.mean()
            assert torch.allclose(after.mean((0, 2, 3))[alive], torch.ones(()), rtol=1e-3)
            again = after * means[:, None, None]
            assert torch.allclose(again[:, alive], before[:, alive], rtol=1e-2, atol=1e-2 * before.max().item())
        plain = make_layers(cfgs["E"][:12], batch_norm=False)
        weights = torch.load(tmp_path / "vgg19.pth")
        plain.load_state_dict({k.removeprefix("features."): v for k, v in weights.items() if k.startswith("features.")})
        mean, deviation = (
            torch.tensor(value).view(3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        first = plain[:2]((pictures - mean) / deviation)  # but for the border, which is reflected here
        assert torch.allclose(encoder.features(pictures)[0][..., 1:-1, 1:-1], first[..., 1:-1, 1:-1], atol=1e-3)


def test_the_published_vgg_is_taken_as_it_is(options, tmp_path):
    published = AdainEncoder().state_dict() | {"51.bias": torch.zeros(1)}
    torch.save(published, tmp_path / "vgg_normalised.pth")
    run = options(vgg=str(tmp_path / "vgg_normalised.pth"), iter=1)
    train_adain(run)
    network = checkpoints.load_own_adain(run.out)
    assert all(torch.equal(value, published[name]) for name, value in network.encoder.state_dict().items())
    with pytest.raises(InputError, match="was started with other VGG-19"):
        train_adain(options(iter=2, resume=True, out=run.out + "2"))


def test_the_rate_falls_as_published(options):
    AcceleratorState._reset_state(reset_partial_state=True)
    run = options(lr=1.0)
    trainer = AdainTrainer(run, make_accelerator(run))
    trainer.step = 20_000
    assert trainer.learning_rate() == pytest.approx(0.5)
    assert unit(torch.tensor([-1.0, 1.0])).tolist() == [0, 1]


def test_a_file_of_ones_own_is_a_style_with_pictures_and_a_teacher(options, tmp_path, monkeypatch, call, capsys):
    monkeypatch.chdir(tmp_path)
    run = options(iter=1, out="mine.pt")
    train_adain(run)
    assert read_contents("mine.pt", "AdaIN").keys() == {"adain"}
    save_face("me.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save("style.png")
    monkeypatch.setattr("model.styles.translators.adain.STYLE_SIDE", 64)
    monkeypatch.setattr("model.styles.translators.adain.EYE_DISTANCE", 16.0)
    words = ["me.png", "--ckpt", "mine.pt", "--cpu"]
    assert call(style_transfer.main, *words, "--style_image", "style.png") == 0
    assert cv2.imread("output/me_vtoonify_a.jpg") is not None
    assert call(style_transfer.main, *words) == 2
    assert "add --style_image PICTURE" in capsys.readouterr().err
    assert call(style_transfer.main, "me.png", "--ckpt", "none.pt", "--style_image", "style.png", "--cpu") == 2
    assert "exclude each other" in capsys.readouterr().err
    assert choose_preset("mine.pt").files == [str(tmp_path / "mine.pt")]
    generate = ["--teacher", "adain", "--ckpt", "mine.pt", "--style_image", "style.png", "--photos", "photos"]
    assert call(generate_data.main, *generate, "--out", "pairs", "--size", 128, "--workers", 1, "--count", 1) == 2
    assert "no pair could be made (1 without a face)" in capsys.readouterr().err
    torch.save({"adain": AdainDecoder().state_dict()}, "half.pt")
    assert call(style_transfer.main, "me.png", "--ckpt", "half.pt", "--style_image", "style.png", "--cpu") == 2
    assert "half.pt is not an AdaIN with its VGG: parameter encoder.0.weight is missing" in capsys.readouterr().err


def test_what_is_missing_or_wrong_is_one_sentence(options, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "CHECKPOINTS", tmp_path / "none")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    for changes, sentence in (
        ({"vgg": ""}, r"--vgg is missing, .*: download https://.*vgg_normalised.pth or https://.*vgg19"),
        ({"vgg": str(tmp_path / "none.pth")}, "none.pth does not exist"),
        ({"vgg": str(tmp_path / "part.pth")}, "part.pth is not the VGG of AdaIN .*: parameter 2.bias is missing"),
        ({"size": 36}, "--size is 36: give a multiple of 8"),
    ):
        with pytest.raises(InputError, match=sentence):
            train_adain(options(**changes))
    assert_wrong_folders_are_told(train_adain, options)


def test_the_command_line_ends_with_code_2_without_vgg(call, options, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(program, "CHECKPOINTS", tmp_path / "none")
    run = options()
    assert call(main, "--photos", run.photos, "--style_images", run.style_images, "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert error.startswith("program.py: --vgg is missing") and error.count("\n") == 1
