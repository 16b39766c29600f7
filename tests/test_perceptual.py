import warnings
from pathlib import Path

import lpips
import pytest
import torch
from torch import Tensor
from torchvision.models import vgg16

from model.checkpoints import load_perceptual
from model.common.errors import InputError
from model.perceptual import Perceptual

PICTURES = torch.rand(2, 3, 3, 48, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights with torchvision's names, those that its file has beside the convolutions included."""
    torch.manual_seed(0)
    with torch.device("meta"):
        own = vgg16(weights=None).state_dict()
    drawn = {name: torch.randn(value.shape if "features" in name else 1) for name, value in own.items()}
    return {name: value * (0.03 if value.ndim == 1 else value[0].numel() ** -0.5) for name, value in drawn.items()}


@pytest.fixture
def vgg_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"


@pytest.fixture
def network(weights, vgg_file) -> Perceptual:
    Perceptual()
    assert not vgg_file.exists(), "building needs no file"
    torch.save(weights, vgg_file)
    return load_perceptual()


def test_distances_are_those_of_the_package(network, weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision in a way that is going out of use
        reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    names = {name: f"features.{name.split('.', 1)[1]}" for name in reference.net.state_dict()}
    reference.net.load_state_dict({name: weights[stored] for name, stored in names.items()})
    a, b = PICTURES
    expected = reference(a, b).flatten()
    assert (expected > 1e-3).all()
    torch.testing.assert_close(network(a, b), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(network(b[1:2], a[1:2]), expected[1:2], rtol=1e-4, atol=0)
    assert torch.equal(network(a, a), torch.zeros(3))


def test_the_gradient_is_that_of_the_distance_reaches_pictures_only_and_stays_finite(network):
    a, b = PICTURES[:, :1, :, :32].clone()
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(network(a, b).sum(), a)
    step = 1e-2 * gradient / gradient.norm()
    change = (network(a + step, b) - network(a - step, b)).item() / 2
    assert change == pytest.approx((gradient * step).sum().item(), rel=0.02)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    network.features[28].bias.data = torch.full((512,), -100.0)  # all features of the last layer are zero
    assert torch.autograd.grad(network(a, b).sum(), a)[0].isfinite().all()


@pytest.mark.parametrize(("change", "sentence"), [
    ({"features.28.bias": torch.zeros(3)}, "parameter features.28.bias has shape [3], not [512]"),
    ({"model": {"weight": torch.zeros(1)}}, ""), (b"", ""), (b"<html>not found</html>", "")])  # fmt: skip
def test_another_file_gets_one_sentence(vgg_file, weights, change, sentence):
    if isinstance(change, bytes):
        vgg_file.write_bytes(change)
    else:
        torch.save(weights | change, vgg_file)
    with pytest.raises(InputError) as raised:
        load_perceptual()
    message = str(raised.value)
    assert message.startswith(str(vgg_file)) and ". " not in message and "\n" not in message
    assert all(part in message for part in (sentence, "delete it", "--perc_loss 0"))
