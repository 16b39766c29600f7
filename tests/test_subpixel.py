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
