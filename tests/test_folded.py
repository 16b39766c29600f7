"""The folded network gives the pictures of the whole one."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.folded import FixedNorm, FoldedVToonify, upsampling_weight
from model.ops import make_kernel, upfirdn2d
from model.training.recipes import RECIPES
from model.vtoonify import VToonify
from tests.small import small_config
from tests.small_models import enlarging_network

VARIANTS = ("dualstylegan", "toonify")


def stirred(network: VToonify) -> VToonify:
    """Biases that are zero when training begins get values."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim == 1:
                value += 0.1 * torch.randn(value.shape, generator=generator)
    return network


def networks(backbone: str) -> list[VToonify]:
    """Output as large as the input, four times as large, and ending with the input's resolution."""
    torch.manual_seed(0)
    small = small_config(backbone)
    plain, parsed = VToonify(small), VToonify(replace(small, parsing_channels=19))
    return [stirred(network.eval()) for network in (plain, parsed, enlarging_network(backbone))]


def code(network: VToonify, seed: int = 3) -> Tensor:
    generator = network.config.generator
    z_plus = torch.randn(1, generator.rows, generator.style_dim, generator=torch.Generator().manual_seed(seed))
    return network.zplus_to_wplus(z_plus).detach()


def frames(network: VToonify, height: int, width: int) -> Tensor:
    channels = 3 + network.config.parsing_channels
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(4))


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 40), (64, 24), (8, 8)])
@pytest.mark.parametrize("degree", [0.0, 0.35, 1.0])
@pytest.mark.parametrize("backbone", VARIANTS)
def test_folding_changes_nothing(backbone, degree, size):
    for network in networks(backbone):
        x, w_plus = frames(network, *size), code(network)
        wanted = network(x, w_plus, degree)
        folded = network.fold(w_plus, degree if network.has_degree else None)
        torch.testing.assert_close(folded(x), wanted, atol=1e-4, rtol=0)
        assert (folded(x) - network(x, code(network, 5), degree)).abs().max() > 1e-3  # the style matters


@torch.no_grad()
@pytest.mark.parametrize("rows", [8, 24, 1000])
@pytest.mark.parametrize("backbone", VARIANTS)
def test_strips_fit_without_a_seam(backbone, rows):
    for network in networks(backbone):
        folded = network.fold(code(network), 0.7 if network.has_degree else None)
        x = frames(network, 64, 24)
        whole, strips = folded(x), list(folded.in_strips(x, rows))
        assert len(strips) == -(-64 // rows)
        torch.testing.assert_close(torch.cat(strips, dim=2), whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_another_degree_shares_all_weights():
    for network in (networks("dualstylegan")[0], networks("dualstylegan")[2]):
        x, w_plus = frames(network, 32, 32), code(network)
        first = network.fold(w_plus, 0.2)
        kept = first(x)
        for degree in (0.9, 0.0, 1.0):
            second = first.at_degree(network, degree)
            torch.testing.assert_close(second(x), network(x, w_plus, degree), atol=1e-4, rtol=0)
            assert (second(x) - kept).abs().max() > 1e-3
            assert {p.data_ptr() for p in second.parameters()} == {p.data_ptr() for p in first.parameters()}
        assert torch.equal(first(x), kept)


@torch.no_grad()
def test_only_plain_layers_are_left():
    for backbone in VARIANTS:
        network = networks(backbone)[0]
        folded = network.fold(code(network), 0.5 if network.has_degree else None)
        leaves = {type(module) for module in folded.modules() if not list(module.children())}
        assert leaves <= {nn.Conv2d, nn.LeakyReLU, nn.Identity, FixedNorm}


def test_folding_leaves_the_network_as_it_is():
    network = networks("dualstylegan")[0]
    before, trained = copy.deepcopy(network.state_dict()), [p.requires_grad for p in network.parameters()]
    network.fold(code(network), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [p.requires_grad for p in network.parameters()] == trained


@torch.no_grad()
def test_upsampling_in_one_convolution():
    x, weight, kernel = torch.randn(2, 5, 6, 7), torch.randn(4, 5, 3, 3), make_kernel(gain=4.0)
    wanted = upfirdn2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), kernel, pad=(1, 1))
    found = F.pixel_shuffle(F.conv2d(x, upsampling_weight(weight, kernel), padding=1), 2)
    torch.testing.assert_close(found, wanted)


def test_what_cannot_be_folded_is_refused():
    network = networks("dualstylegan")[0]
    with pytest.raises(ValueError, match="one style code"):
        FoldedVToonify(network, code(network).repeat(2, 1, 1), 0.5)
    with pytest.raises(ValueError, match="style degree"):
        network.fold(code(network))
    with pytest.raises(ValueError, match="multiples of 8"):
        network.fold(code(network), 0.5)(frames(network, 20, 32))


@pytest.mark.parametrize(
    ("recipe", "backbone"), [("tiny", "dualstylegan"), ("tiny", "toonify"), ("starter", "dualstylegan")]
)
def test_what_rendering_does_not_read_can_go(recipe, backbone):
    torch.manual_seed(0)
    config = replace(RECIPES[recipe].network, backbone=backbone)
    network = VToonify(config).eval().requires_grad_(False)
    x = torch.rand(1, 3 + config.parsing_channels, 32, 40)
    z_plus = torch.randn(1, config.generator.rows, config.generator.style_dim)

    def pictures() -> list[Tensor]:
        w_plus = network.zplus_to_wplus(z_plus)
        degree = 0.7 if network.has_degree else None
        folded = network.fold(w_plus, degree)
        return [network(x, w_plus, degree), (folded.at_degree(network, 0.7) if degree else folded)(x)]

    before, size = pictures(), sum(weight.numel() for weight in network.parameters())
    network.keep_what_renders()
    assert all(torch.equal(a, b) for a, b in zip(before, pictures(), strict=True))
    kept = sum(weight.numel() for weight in network.parameters())
    assert kept < size if recipe == "tiny" else kept <= size
