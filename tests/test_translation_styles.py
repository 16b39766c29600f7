"""Networks that translate without pairs, as styles of photos, clips and whole frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import style_transfer
from model import checkpoints
from model.adain import AdainDecoder, AdainEncoder
from model.common.errors import InputError
from model.config import UgatitConfig
from model.demo.gallery import list_entries
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.media.sample import sample_portrait
from model.styles.base import Crop
from model.styles.catalog import choose_preset, list_presets
from model.styles.translators import adain, presets
from model.styles.translators import whitebox as whitebox_style
from model.ugatit import Ugatit
from model.whitebox import Whitebox
from tests.clips import make_clip
from tests.portrait import LANDMARKS

LIGHT = UgatitConfig(width=4, blocks=1, size=64)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """An empty checkpoint folder, and an empty one to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "CHECKPOINTS", tmp_path / "checkpoint")
    for name in ("whitebox", "adain"):
        Path("checkpoint", name).mkdir(parents=True)
    torch.manual_seed(0)
    return tmp_path / "checkpoint"


def copying_whitebox() -> Whitebox:
    """A network that gives the photo back, by its finest skip alone."""
    network = Whitebox()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for conv in (network.first, network.up2, network.last):
            middle = conv.kernel_size[0] // 2
            for channel in range(3):
                conv.weight[channel, channel, middle, middle] = 1
        network.first.bias.fill_(2)  # beyond the bend of the activations
        network.last.bias.fill_(-2)
    return network


@pytest.fixture
def whitebox(folder, monkeypatch):
    monkeypatch.setattr(whitebox_style, "EYE_DISTANCE", 32.0)
    monkeypatch.setattr(whitebox_style, "LONGEST_SHORT_SIDE", 160)
    checkpoints.save_whitebox(folder / presets.WHITEBOX_FILE, copying_whitebox())


@pytest.fixture
def vgg_and_decoder(folder):
    """Random networks whose features and pictures vary with the photo."""
    for file, network in zip(presets.ADAIN_FILES, (AdainEncoder(), AdainDecoder()), strict=True):
        for layer in network:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        torch.save(network.state_dict(), folder / file)
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        noise = rng.integers(0, 256, (8, 12, 3)).astype(np.uint8)
        Image.fromarray(noise.repeat(8, 0).repeat(8, 1)).save(f"{name}.png")


@pytest.fixture
def small_pictures(monkeypatch):
    """Style pictures and crops of a few pixels, since the network is large."""
    monkeypatch.setattr(adain, "STYLE_SIDE", 64)
    monkeypatch.setattr(adain, "EYE_DISTANCE", 16.0)


@pytest.fixture
def ugatit():
    checkpoints.save_ugatit("mine.pt", Ugatit(LIGHT, 4))
    return "mine.pt"


@pytest.fixture
def contents():
    photo = sample_portrait()[:300, 60:380]
    Image.fromarray(photo).save("me.png")
    make_clip("clip.mp4", [photo] * 3)
    Image.fromarray(np.full((40, 56, 3), 99, np.uint8)).save("wall.png")
    return photo


def check_results(letter: str) -> None:
    """Photo and clip were written, and are no flat colour."""
    assert cv2.imread(f"output/me_vtoonify_{letter}.jpg").std() > 2
    with open_frames(f"output/clip_vtoonify_{letter}.mp4") as clip:
        frames = [frame.rgb for frame in clip]
    assert len(frames) == 3 and frames[0].shape == (300, 320, 3)


def test_whitebox_on_photo_clip_and_whole_frame(whitebox, contents, call):
    assert call(style_transfer.main, "me.png", "clip.mp4", "--ckpt", "whitebox", "--full_frame", 1, "--cpu") == 0
    check_results("w")
    result = cv2.imread("output/me_vtoonify_w.jpg")[..., ::-1]
    assert np.abs(cv2.GaussianBlur(result, (9, 9), 0).astype(int) - cv2.GaussianBlur(contents, (9, 9), 0)).mean() < 4
    assert call(style_transfer.main, "wall.png", "--ckpt", "whitebox", "--no_scale_image", "--cpu") == 0
    assert np.abs(cv2.imread("output/wall_vtoonify_w.jpg").astype(int) - 99).max() <= 2


def test_whitebox_reduces_large_pictures_as_published(whitebox):
    style = choose_preset("whitebox").load(device="cpu", precision="fp32")
    sizes = []
    style.network.register_forward_pre_hook(lambda _, x: sizes.append(tuple(x[0].shape[-2:])))
    rgb = cv2.resize(sample_portrait(), (242, 201))
    (large,) = style.renderer(None).start([Crop(rgb)])()
    (small,) = style.renderer(None).start([Crop(rgb[:102, :143])])()
    assert large.shape == rgb.shape and small.shape == (102, 143, 3)
    assert sizes == [(160, 196), (104, 144)]
    assert np.abs(large.astype(int) - rgb).mean() < 8


def test_half_of_whitebox_lies_between_photo_and_picture(whitebox):
    style = choose_preset("whitebox").load(device="cpu", precision="fp32")
    rgb = sample_portrait()[:64, :64]
    full, half, none = (style.renderer(None, degree=degree).start([Crop(rgb)])()[0] for degree in (1, 0.5, 0))
    assert np.abs(half.astype(int) - (full.astype(int) + rgb) / 2).max() <= 1 and (none == rgb).all()


def test_a_whitebox_file_of_ones_own_is_a_style(whitebox, folder):
    preset = choose_preset(str(folder / presets.WHITEBOX_FILE))
    assert preset.load(device="cpu").letter == "w"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ckpt", "whitebox"], "convert_whitebox"),
        (["--ckpt", "adain"], "add --style_image"),
        (["--ckpt", "adain", "--style_image", "me.png"], "both content and style"),
        (["--ckpt", "adain", "--style_image", "wall.png"], "vgg_normalised.pth and put it there"),
        (["--ckpt", "adain", "--style_image", "none.png"], "none.png does not exist"),
        (["--ckpt", "adain", "--style_image", "wall.png@0,me.png"], "PICTURE@WEIGHT"),
        (["--ckpt", "whitebox", "--style_image", "wall.png"], "exclude each other"),
    ],
)
def test_what_is_missing_is_one_sentence(contents, call, capsys, words, message):
    if "both" in message:
        Image.fromarray(contents).save("me.png")
    assert call(style_transfer.main, "me.png", *words, "--cpu") == 2
    told = capsys.readouterr().err.strip()
    assert message in told and told.count("\n") == 0


def test_lists_name_them_and_the_page_shows_what_needs_no_picture(folder, whitebox):
    rows = {row.split()[0]: row for row in list_presets(folder).splitlines()}
    assert rows["whitebox"].endswith("on disk") and rows["adain"].endswith("missing")
    assert [entry.key for entry in list_entries(folder) if entry.key in ("whitebox", "adain")] == ["whitebox"]
    (folder / presets.WHITEBOX_FILE).unlink()
    assert "whitebox" not in [entry.key for entry in list_entries(folder)]


def test_adain_on_photo_clip_and_whole_frame(vgg_and_decoder, small_pictures, contents, call):
    words = "--ckpt", "adain", "--style_image", "one.png", "--cpu"
    assert call(style_transfer.main, "me.png", "clip.mp4", *words, "--full_frame", 1) == 0
    check_results("a")
    assert call(style_transfer.main, "wall.png", *words, "--no_scale_image") == 0
    assert cv2.imread("output/wall_vtoonify_a.jpg").shape == (40, 56, 3)


def rendered(style, rgb, degree=None, **effects):
    (picture,) = style.renderer(None, degree=degree, **effects).start([Crop(rgb)])()
    return picture.astype(int)


def test_adain_takes_several_pictures_with_weights_degrees_and_the_photo_s_colours(vgg_and_decoder, small_pictures):
    rgb = sample_portrait()[60:124, 170:250]
    load = {"device": "cpu", "precision": "fp32"}
    one, two, mixed, mostly = (
        presets.parse_pictures(text).load(**load)
        for text in ("one.png", "two.png", "one.png,two.png", "one.png@99,two.png")
    )
    results = [rendered(style, rgb) for style in (one, two, mixed, mostly)]
    assert results[0].shape == rgb.shape
    away = [np.abs(result - results[0]).mean() for result in results]
    assert away[0] == 0 < away[3] < away[2] < away[1]
    assert np.abs(rendered(one, rgb, keep_colors=True) - results[0]).mean() > 1
    assert np.abs(rendered(one, rgb, degree=0.5) - results[0]).mean() > 1
    assert one.name == "one" and mixed.name == "one+two"


def test_adain_averages_the_statistics_of_a_clip_until_a_cut(vgg_and_decoder, small_pictures):
    style = presets.parse_pictures("one.png").load(device="cpu", precision="fp32")
    photo = sample_portrait()[60:124, 170:250]
    dim = (photo * 0.6).astype(np.uint8)
    alone = rendered(style, dim)
    renderer = style.renderer(None)
    renderer.start([Crop(photo, time=0)])()
    after, later, cut = (
        renderer.start([Crop(dim, time=time, is_cut=is_cut)])()[0].astype(int)
        for time, is_cut in ((0.04, False), (60, False), (60.04, True))
    )
    assert np.abs(after - alone).mean() > 2 and np.abs(later - alone).max() <= 1 and np.abs(cut - alone).max() <= 1


def test_a_file_of_ugatit_on_photo_and_clip(ugatit, contents, call, capsys):
    words = "--ckpt", ugatit, "--cpu"
    assert call(style_transfer.main, "me.png", "clip.mp4", *words, "--full_frame", 1) == 0
    check_results("u")
    assert call(style_transfer.main, "me.png", *words) == 0
    assert cv2.imread("output/me_vtoonify_u.jpg").shape == (64, 64, 3)
    assert call(style_transfer.main, "wall.png", *words) == 2
    assert "face" in capsys.readouterr().err
    assert call(style_transfer.main, "me.png", *words, "--style_degree", 0.5) == 0
    assert "no use for --style_degree" in capsys.readouterr().err


def test_a_full_ugatit_gets_faces_of_its_size_and_says_what_else_it_was_given():
    checkpoints.save_ugatit("full.pt", Ugatit(UgatitConfig(width=4, blocks=1, size=96, light=False), 4))
    stylizer, frame = Stylizer.from_preset("full.pt", device="cpu"), sample_portrait()
    (face,) = stylizer.render([frame], stylizer.fit(frame, landmarks=LANDMARKS))
    assert face.shape == (96, 96, 3)
    frame, landmarks = frame[:, 165:], LANDMARKS - np.float32([165, 0])
    (cut,) = stylizer.render([frame], stylizer.fit(frame, landmarks=landmarks))
    assert cut.shape[0] == 96 and 60 < cut.shape[1] < 96
    with pytest.raises(InputError, match="96 x 96"):
        list(stylizer.render([frame], stylizer.fit(frame, scale_image=False)))
