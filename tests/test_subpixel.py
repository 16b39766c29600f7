"""The last level of small networks: sub-pixel convolutions on top of the enlarged skip image."""

from dataclasses import replace

import pytest
import torch

from model.ops import make_kernel, upsample2
from model.vtoonify import VToonify
from tests.small import small_config


@pytest.fixture
def network() -> VToonify:
    torch.manual_seed(0)
    return VToonify(replace(small_config(), subpixel=4)).eval()


@torch.no_grad()
def finish(network: VToonify, skip: torch.Tensor) -> torch.Tensor:
    width = network.config.generator.channels[network.config.generator.size]
    return network._finish(torch.zeros(1, width, *skip.shape[-2:]), skip)


def test_inside_the_skip_image_is_enlarged_as_in_stylegan(network):
    skip = torch.randn(1, 3, 8, 12)
    kernel = make_kernel(gain=4.0)
    wanted = upsample2(upsample2(skip, kernel), kernel)
    found = finish(network, skip) - finish(network, torch.zeros_like(skip))
    torch.testing.assert_close(found[..., 4:-4, 4:-4], wanted[..., 4:-4, 4:-4])


def test_the_border_is_as_bright_as_the_inside(network):
    found = finish(network, torch.full((1, 3, 8, 8), 0.7)) - finish(network, torch.zeros(1, 3, 8, 8))
    torch.testing.assert_close(found, torch.full((1, 3, 32, 32), 0.7))


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["dualstylegan", "toonify"])
def test_the_finest_features_reach_the_picture_at_every_degree(backbone):
    torch.manual_seed(0)
    small = small_config(backbone)
    generator = replace(small.generator, size=small.in_size)  # the decoder ends at the input's own resolution
    network = VToonify(replace(small, generator=generator, subpixel=4)).eval()
    assert network.config.fusions == network.config.decoder_levels + 1 == 4
    x = torch.randn(1, 3 + network.config.parsing_channels, 32, 32)
    w_plus = torch.randn(1, generator.rows, generator.style_dim)
    for degree in (0.0, 1.0):
        encoded = network.encode(x, w_plus, degree)
        before, masks = network.decode(encoded, w_plus, degree)
        encoded.features[3][:, :, 7, 9] += 1
        after, _ = network.decode(encoded, w_plus, degree)
        reached = (after - before).abs().amax((0, 1)) > 1e-6
        assert reached[4 * 7 : 4 * 8, 4 * 9 : 4 * 10].all() and reached.float().mean() < 0.3
        assert len(masks) == (3 if backbone == "dualstylegan" else 0)
