import hashlib
import socket
import time
from collections.abc import Iterator
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import lpips
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import VGG16_Weights, vgg16

from model import perceptual
from model.common.errors import InputError
from model.perceptual import Perceptual, ensure_vgg, load_perceptual

COMPARED = (3, 8, 15, 22, 29)
"""Numbers of torchvision's layers whose outputs LPIPS compares: relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""


def random_pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights with torchvision's names, those that its file has beside the convolutions included."""
    with torch.device("meta"):
        network = vgg16(weights=None)
    rng = torch.Generator().manual_seed(0)
    drawn = {}
    for name, value in network.state_dict().items():
        shape = (1,) if name.startswith("classifier") else value.shape  # whatever they are, they are not used
        drawn[name] = torch.randn(shape, generator=rng) * (0.03 if value.ndim == 1 else value[0].numel() ** -0.5)
    return drawn


@pytest.fixture(scope="module")
def network(weights) -> Perceptual:
    network = Perceptual()
    network.load_vgg(weights)
    return network


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Where VGG-16 is looked for and fetched to."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def vgg_at(monkeypatch):
    """A function that makes torchvision's address of VGG-16 another one."""
    return lambda url: monkeypatch.setattr(VGG16_Weights.IMAGENET1K_V1.value, "url", url)


def distances_by_hand(weights: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """LPIPS from torchvision's own layers and ImageNet's mean and deviation (Zhang et al., eq. 1)."""
    with torch.device("meta"):
        layers = vgg16(weights=None).features
    layers.load_state_dict(
        {name.removeprefix("features."): value for name, value in weights.items() if name.startswith("features.")},
        assign=True,
    )
    linear = torch.load(Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth", map_location="cpu")
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    x, total = ((torch.cat([a, b]) + 1) / 2 - mean) / std, 0
    for number, layer in enumerate(layers):
        x = layer(x.clone())  # activations work in place
        if number in COMPARED:
            one, other = F.normalize(x, dim=1).chunk(2)
            weight = linear[f"lin{COMPARED.index(number)}.model.1.weight"]
            total = total + ((one - other).square() * weight[0]).sum(1).mean((1, 2))
    return total


def test_distances_are_those_of_torchvisions_layers_compared_by_hand(network, weights):
    a, b = random_pictures(2, 2, 3, 48, 32)
    expected = distances_by_hand(weights, a, b)
    assert expected.shape == (2,) and (expected > 1e-3).all()
    torch.testing.assert_close(network(a, b), expected, rtol=1e-4, atol=0)


def test_distances_are_those_of_the_package(network, weights):
    a, b = random_pictures(2, 2, 3, 32, 32)
    assert torch.equal(network(a, b), network.lpips(a, b)[:, 0, 0, 0])
    assert network.lpips.version == "0.1" and network.lpips.pnet_type == "vgg"


def test_distances_of_a_batch_are_those_of_its_items_and_zero_for_equal_pictures(network):
    a, b = random_pictures(2, 3, 3, 32, 32)
    alone = torch.cat([network(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(a, b), alone, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(network(b, a), network(a, b))
    assert torch.equal(network(a, a), torch.zeros(3))


def test_the_gradient_reaches_pictures_and_nothing_else(network):
    a, b = random_pictures(2, 1, 3, 32, 32)
    a.requires_grad_()
    network(a, b).sum().backward()
    assert a.grad.abs().max() > 0 and b.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_the_gradient_is_that_of_the_distance(network):
    a, b = random_pictures(2, 1, 3, 32, 32)
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(network(a, b).sum(), a)
    step = 1e-2 * gradient / gradient.norm()
    change = (network(a + step, b) - network(a - step, b)).item() / 2
    assert change == pytest.approx((gradient * step).sum().item(), rel=0.02)


def test_the_gradient_stays_finite_where_all_features_are_zero(network):
    network = deepcopy(network)
    network.lpips.net.slice5[-2].bias.fill_(-100)
    a, b = random_pictures(2, 1, 3, 32, 32)
    a.requires_grad_()
    network(a, b).sum().backward()
    assert a.grad.isfinite().all()


def test_nothing_is_dropped_out_in_training_mode(network):
    a, b = random_pictures(2, 1, 3, 32, 32)
    once = network(a, b)
    torch.nn.Sequential(network).train()
    assert not any(module.training for module in network.modules())
    assert torch.equal(network(a, b), once)


def test_building_is_silent_and_needs_no_file(cache, capfd, recwarn):
    network = Perceptual()
    assert not cache.exists() and not recwarn.list
    assert capfd.readouterr() == ("", "")
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_a_file_in_the_cache_is_loaded(cache, weights, network):
    cache.mkdir(parents=True)
    torch.save({name: value.half() for name, value in weights.items()}, cache / "vgg16-397923af.pth")
    loaded = load_perceptual()
    for (name, own), value in zip(loaded.named_parameters(), network.parameters(), strict=True):
        assert torch.equal(own, value if "lin" in name else value.half().float())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"features.28.bias": None}, "parameter features.28.bias is missing"),
        ({"features.28.bias": torch.zeros(3)}, r"parameter features.28.bias has shape \[3\], not \[512\]"),
        ({"features.29.weight": torch.zeros(3)}, "parameter features.29.weight is unexpected"),
    ],
)
def test_weights_of_another_network_are_refused_with_the_first_name_that_differs(network, weights, change, sentence):
    changed = {name: value for name, value in (weights | change).items() if value is not None}
    before = network.lpips.net.slice5[-2].bias.clone()
    with pytest.raises(ValueError, match=sentence):
        network.load_vgg(changed)
    assert torch.equal(network.lpips.net.slice5[-2].bias, before)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", {"model": {"weight": torch.zeros(1)}}, {}])
def test_a_file_of_another_kind_gets_one_sentence(cache, content):
    cache.mkdir(parents=True)
    path = cache / "vgg16-397923af.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError) as raised:
        load_perceptual()
    message = str(raised.value)
    assert message.startswith(str(path)) and "delete it" in message and "--perc_loss 0" in message
    assert message.count(". ") == 0 and "\n" not in message


CONTENT = bytes(range(256)) * 64
HASH = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def server() -> Iterator[str]:
    """Address of a server with one file, whatever the name; none below /none/."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            there = not self.path.startswith("/none/")
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", str(len(CONTENT) if there else 0))
            self.end_headers()
            self.wfile.write(CONTENT if there else b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_missing_file_is_fetched_once_with_a_progress_bar(cache, vgg_at, server, capfd):
    vgg_at(f"{server}/models/vgg16-{HASH}.pth")
    path = ensure_vgg()
    assert path == cache / f"vgg16-{HASH}.pth" and path.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err
    vgg_at(f"{server}/none/vgg16-{HASH}.pth")
    assert ensure_vgg() == path


@pytest.mark.parametrize(
    ("place", "reason"),
    [("/none/vgg16-{}.pth", "the server answered 404"), ("/vgg16-00000000.pth", "what came was damaged")],
)
def test_a_failed_fetch_says_where_to_get_the_file_and_where_to_put_it(cache, vgg_at, server, place, reason):
    check_sentence(cache, vgg_at, server + place.format(HASH), reason)


def test_without_a_network_the_answer_comes_at_once(cache, vgg_at):
    began = time.monotonic()
    check_sentence(cache, vgg_at, f"http://127.0.0.1:9/vgg16-{HASH}.pth", "no connection to the server")
    assert time.monotonic() - began < 5


def test_a_server_that_stays_silent_is_given_up(cache, vgg_at, silent_server, monkeypatch):
    monkeypatch.setattr(perceptual, "ANSWER_WITHIN", 0.2)
    limit = socket.getdefaulttimeout()
    began = time.monotonic()
    check_sentence(cache, vgg_at, f"{silent_server}/vgg16-{HASH}.pth", "no connection to the server")
    assert time.monotonic() - began < 5 and socket.getdefaulttimeout() == limit


def test_a_cache_that_can_not_be_written_is_named(cache, vgg_at, server):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"")  # a file where the folder should be
    check_sentence(cache, vgg_at, f"{server}/vgg16-{HASH}.pth", "File exists")


def check_sentence(cache: Path, vgg_at, url: str, reason: str) -> None:
    vgg_at(url)
    with pytest.raises(InputError) as raised:
        load_perceptual()
    message, name = str(raised.value), url.rpartition("/")[2]
    assert message.startswith(f"{name} (VGG-16") and f"({reason})" in message
    assert f"download {url} and put it at {cache / name}" in message and "--perc_loss 0" in message
    assert "\n" not in message and not (cache.is_dir() and list(cache.iterdir()))
