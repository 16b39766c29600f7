"""The student for phones: its sizes, its file, and the file as a style."""

import numpy as np
import pytest
import torch
from torch import nn

from model import checkpoints
from model.common.errors import InputError
from model.config import MOBILE_CLASSES, MobileConfig
from model.media.sample import sample_portrait
from model.mobile_unet import MobileUNet
from model.styles.base import Crop
from model.styles.catalog import choose_preset

TINY = MobileConfig(widths=(4, 6, 8), blocks=(1, 1), eye_distance=20.0)


@pytest.mark.parametrize("name", MOBILE_CLASSES)
def test_classes_take_what_they_are_named_by(name):
    with torch.device("meta"):
        network, picture = MobileUNet(MOBILE_CLASSES[name]), torch.zeros(1, 3, 256, 256)
    counts = []

    def count(layer, _, result):
        counts.append(result[0].numel() * layer.weight[0].numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    network(picture)
    assert sum(counts) / 1e9 == pytest.approx(float(name), rel=0.05)


def test_there_are_only_operators_that_phones_take():
    kinds = {type(module) for module in MobileUNet(TINY).modules() if not list(module.children())}
    assert kinds == {nn.Conv2d, nn.PReLU}


def test_it_begins_near_the_photo_and_changes_all_of_it():
    torch.manual_seed(0)
    network, x = MobileUNet(TINY), torch.rand(1, 3, 8, 12) * 2 - 1
    y = network(x)
    assert y.shape == x.shape and 0 < (y - x).abs().mean() < 0.5
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with pytest.raises(ValueError, match="multiples of 4"):
        network(x[..., :6])


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    checkpoints.save_pixel_network(tmp_path / "mine.pt", MobileUNet(TINY))
    return tmp_path / "mine.pt"


def test_a_file_comes_back_as_it_was(file):
    network = checkpoints.load_mobile(file)
    assert network.config == TINY
    x = torch.rand(1, 3, 8, 8)
    torch.manual_seed(0)
    assert torch.allclose(network(x), MobileUNet(TINY)(x), atol=1e-2)


def test_a_file_is_a_style_for_crops_of_any_size(file):
    style = choose_preset(str(file)).load(device="cpu", precision="fp32")
    rgb = np.random.default_rng(0).integers(0, 256, (37, 50, 3)).astype(np.uint8)
    (full,), (none,) = style.renderer(None).start([Crop(rgb)])(), style.renderer(None, degree=0).start([Crop(rgb)])()
    assert style.eye_distance == 20 and full.shape == rgb.shape and (none == rgb).all() and (full != rgb).any()


@pytest.mark.parametrize(
    "sizes",
    [
        None, 5, {"widths": [4, 6, 8]}, {"widths": [4, 6, 8], "blocks": [1, 1], "expansion": 0},
        {"widths": [4, 6, 8], "blocks": [1]}, {"widths": [4, -6, 8], "blocks": [1, 1]},
        {"widths": [4, 6, 8], "blocks": [1, 1], "colour": 1}, {"widths": 4, "blocks": [1, 1]},
        {"widths": [4, 6, 8], "blocks": [1, 1], "eye_distance": "far"},
    ],
)  # fmt: skip
def test_what_describes_no_network_is_one_sentence(tmp_path, sizes):
    weights = MobileUNet(TINY).state_dict()
    torch.save({"g_ema": weights, "mobile": sizes}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match="student for phones"):
        checkpoints.load_mobile(tmp_path / "odd.pt")


def test_two_students_come_with_the_project():
    face, painted = sample_portrait()[:256, 96:352], {}
    for name in ("mobile-ink", "mobile-comic"):
        style = choose_preset(name).load(device="cpu", precision="fp32")
        assert style.name == name and "non-commercial" in style.licence
        (painted[name],) = style.renderer(None).start([Crop(face)])()
    assert all(np.abs(picture.astype(int) - face).mean() > 8 for picture in painted.values())
    corner = painted["mobile-comic"][:40, -40:].reshape(-1, 3).mean(0)
    assert corner[0] > 150 and corner[2] < 120  # the ground is yellow
