import copy
from dataclasses import replace
from itertools import chain

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.folded import FixedNorm, FoldedVToonify, upsampling_weight
from model.ops import make_kernel, upfirdn2d
from model.training.options import RECIPES
from model.vtoonify import VToonify, enlarge
from tests.small_models import enlarging_network, small_config, small_network

VARIANTS = pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def networks(backbone: str) -> list[VToonify]:
    """Output as large as the input, with and without parsing, and four times as large; biases have values."""
    plain, parsed, enlarging = small_network(backbone), small_network(backbone, 19), enlarging_network(backbone)
    generator = torch.Generator().manual_seed(7)
    for value in chain(plain.parameters(), parsed.parameters(), enlarging.parameters()):
        if value.ndim == 1:
            value += 0.1 * torch.randn(value.shape, generator=generator)
    return [plain, parsed, enlarging]


def code(network: VToonify, seed: int = 3) -> Tensor:
    shape = 1, network.config.generator.w_layers, network.config.generator.style_dim
    return network.zplus_to_wplus(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def frames(network: VToonify, *size: int) -> Tensor:
    return torch.randn(2, 3 + network.config.parsing_channels, *size, generator=torch.Generator().manual_seed(4))


def fold(network: VToonify, degree: float = 0.5) -> FoldedVToonify:
    return FoldedVToonify(network, code(network), degree if network.has_degree else None)


@pytest.mark.parametrize("size", [(32, 40), (64, 24), (8, 8)])
@pytest.mark.parametrize("degree", [0.0, 0.35, 1.0])
@VARIANTS
def test_folding_changes_nothing_and_strips_fit_without_a_seam(backbone, degree, size):
    for network in networks(backbone):
        x, before = frames(network, *size), copy.deepcopy(network.state_dict())
        folded = fold(network, degree)
        torch.testing.assert_close(folded(x), network(x, code(network), degree), atol=1e-4, rtol=0)
        assert (folded(x) - network(x, code(network, 5), degree)).abs().max() > 1e-3  # the style matters
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert all(p.requires_grad for p in network.parameters())
        for height in (8, 24, 1000):
            strips = list(folded.in_strips(x, height))
            assert len(strips) == -(-size[0] // height)
            torch.testing.assert_close(torch.cat(strips, dim=2), folded(x), atol=1e-5, rtol=0)


def test_another_degree_shares_all_weights():
    for network in networks("dualstylegan")[::2]:
        x, first = frames(network, 32, 32), fold(network, 0.2)
        kept = first(x)
        for degree in (0.9, 0.0, 1.0):
            second = first.at_degree(network, degree)
            torch.testing.assert_close(second(x), network(x, code(network), degree), atol=1e-4, rtol=0)
            assert (second(x) - kept).abs().max() > 1e-3
            assert {p.data_ptr() for p in second.parameters()} == {p.data_ptr() for p in first.parameters()}
        assert torch.equal(first(x), kept)


def test_norms_stay_in_single_precision():
    folded = fold(small_network()).to(torch.bfloat16)
    norms = [module for module in folded.modules() if isinstance(module, FixedNorm)]
    assert norms and all(norm.gain.dtype == norm.bias.dtype == torch.float32 for norm in norms)


def test_upsampling_in_one_convolution():
    x, weight, kernel = torch.randn(2, 5, 6, 7), torch.randn(4, 5, 3, 3), make_kernel(gain=4.0)
    wanted = upfirdn2d(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), kernel, pad=(1, 1))
    found = F.pixel_shuffle(F.conv2d(x, upsampling_weight(weight, kernel), padding=1), 2)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("codes", "degree", "height", "told"), [
    (2, 0.5, 32, "one style code"), (1, None, 32, "style degree"), (1, 0.5, 20, "multiples of 8")])  # fmt: skip
def test_what_cannot_be_folded_is_refused(codes, degree, height, told):
    network = small_network()
    with pytest.raises(ValueError, match=told):
        FoldedVToonify(network, code(network).repeat(codes, 1, 1), degree)(frames(network, height, 32))


@pytest.mark.parametrize(
    ("recipe", "backbone"), [("tiny", "dualstylegan"), ("tiny", "toonify"), ("starter", "dualstylegan")]
)
def test_what_rendering_does_not_read_can_go(recipe, backbone):
    torch.manual_seed(0)
    network = VToonify(replace(RECIPES[recipe].network, backbone=backbone)).eval()
    x = torch.rand(1, 3 + network.config.parsing_channels, 32, 40)

    def pictures() -> list[Tensor]:
        folded = fold(network, 0.7)
        return [network(x, code(network), 0.7), (folded.at_degree(network, 0.7) if network.has_degree else folded)(x)]

    before, size = pictures(), sum(weight.numel() for weight in network.parameters())
    network.keep_what_renders()
    assert all(torch.equal(a, b) for a, b in zip(before, pictures(), strict=True))
    assert sum(weight.numel() for weight in network.parameters()) < size + (recipe != "tiny")


def test_the_skip_image_is_enlarged_as_in_stylegan_without_its_dark_border():
    skip, kernel = torch.randn(1, 3, 8, 12), make_kernel(gain=4.0)
    wanted = upfirdn2d(upfirdn2d(skip, kernel, up=2, pad=(2, 1)), kernel, up=2, pad=(2, 1))
    torch.testing.assert_close(enlarge(skip, 4)[..., 4:-4, 4:-4], wanted[..., 4:-4, 4:-4])
    torch.testing.assert_close(enlarge(torch.full_like(skip, 0.7), 4), torch.full((1, 3, 32, 48), 0.7))


@VARIANTS
def test_the_finest_features_reach_the_picture_at_every_degree(backbone):
    torch.manual_seed(0)
    small = small_config(backbone)
    generator = replace(small.generator, size=small.in_size)  # the decoder ends at the input's own resolution
    network = VToonify(replace(small, generator=generator, subpixel=4)).eval()
    assert network.config.fusions == network.config.decoder_levels + 1 == 4
    x, w_plus = torch.randn(1, 3, 32, 32), code(network)
    for degree in (0.0, 1.0):
        encoded = network.encode(x, w_plus, degree)
        before, masks = network.decode(encoded, w_plus, degree)
        encoded.features[3][:, :, 7, 9] += 1
        reached = (network.decode(encoded, w_plus, degree)[0] - before).abs().amax((0, 1)) > 1e-6
        assert reached[4 * 7 : 4 * 8, 4 * 9 : 4 * 10].all() and reached.float().mean() < 0.3
        assert len(masks) == (3 if backbone == "dualstylegan" else 0)
