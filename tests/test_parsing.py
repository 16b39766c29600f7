import gzip
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.optical_flow import RAFT as TorchvisionRAFT

from model.bisenet import BiSeNet
from model.common.errors import InputError
from model.common.sizes import SMOOTHING_RADIUS
from model.ops import blur_downsample
from model.parsing.smooth import parse, smooth_one, warp, window
from model.raft import RAFT, to_torchvision_names
from tests.parity_calls import smooth_clip

MANIFEST = Path(__file__).parent / "golden" / "manifest.json.gz"
STILL = torch.zeros(2, 12, 16)


@pytest.fixture(scope="module")
def flow_network() -> RAFT:
    torch.manual_seed(0)
    return RAFT(iterations=2).eval().requires_grad_(False)


def random_clip(length: int, height: int = 12, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    frames = torch.rand(length, 3, height, width, generator=generator) * 2 - 1
    return frames, torch.randn(length, 19, height, width, generator=generator)


def test_warping_a_shifted_picture_brings_it_back_and_marks_what_left_the_frame():
    frames, _ = random_clip(1)
    shifted = frames.roll((2, 3), dims=(-2, -1))
    warped, valid = warp(shifted, STILL[None] + torch.tensor([3.0, 2.0]).view(2, 1, 1))
    assert torch.allclose(warped[..., :-2, :-3], frames[..., :-2, :-3], atol=1e-5)
    assert valid[..., :-2, :-3].all()
    assert not valid[..., -2:, :].any() and not valid[..., -3:].any()
    _, valid = warp(frames, STILL[None] + torch.tensor([0.5, 0.0]).view(2, 1, 1))
    assert valid[..., :-1].all() and not valid[..., -1].any(), "half a pixel beyond the border"


@pytest.mark.parametrize("length", [1, 3, 12])
def test_a_still_clip_smooths_to_itself_and_its_noise_is_reduced(length):
    frames, logits = (part.expand(length, -1, -1, -1) for part in random_clip(1))
    flows = torch.zeros(length, 2 * SMOOTHING_RADIUS + 1, 2, 12, 16)
    smoothed = smooth_clip(frames, logits, flows, SMOOTHING_RADIUS)
    assert torch.allclose(smoothed, blur_downsample(logits), atol=1e-5)
    noisy = random_clip(length)[1]
    if length > 2 * SMOOTHING_RADIUS:
        assert smooth_clip(frames, noisy, flows, SMOOTHING_RADIUS).std() < 0.5 * blur_downsample(noisy).std()


def test_neighbours_outside_the_frame_or_of_another_colour_hardly_count():
    (frame, other), (logits, others) = random_clip(2)
    assert torch.equal(smooth_one(frame, logits, [(other, 1e6 * others, STILL + 1000, 1)]), logits)
    white = torch.ones(3, 12, 16)
    assert torch.allclose(smooth_one(-white, logits, [(white, others, STILL, 1)]), logits, atol=1e-6)


def test_near_neighbours_count_more_than_far_ones():
    (frame,), _ = random_clip(1)
    ones = torch.ones(1, 12, 16)
    for offset in range(1, 6):
        share = smooth_one(frame, 0 * ones, [(frame, ones, STILL, offset)]).mean().item()
        weight = math.exp(-(offset**2) / (2 * 5.5**2))
        assert share == pytest.approx(weight / (1 + weight), abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 11, 40])
def test_a_window_stays_in_the_clip_and_within_reach_of_a_ring_buffer(count):
    for index in range(count):
        sources = window(index, count, radius=5)
        assert len(sources) == 11 and sources[5] == index
        assert all(0 <= source < count and abs(source - index) <= 5 for source in sources)
    assert window(0, 40, radius=2) == [0, 1, 0, 1, 2]
    assert window(39, 40, radius=2) == [37, 38, 39, 38, 39]


def test_parsing_enlarges_twofold_doubles_the_values_and_takes_every_other_pixel():
    seen, frames = [], random_clip(1)[0]
    logits = parse(lambda image: seen.append(image) or image, frames)
    assert seen[0].shape == (1, 3, 24, 32)
    assert torch.equal(logits, seen[0][..., ::2, ::2])
    assert seen[0].mean() == pytest.approx(2 * frames.mean().item(), abs=1e-5)


@torch.inference_mode()
def test_parser_and_flow_take_any_size(flow_network):
    for height, width in ((1, 1), (37, 50)):
        assert BiSeNet().eval()(torch.zeros(1, 3, height, width)).shape == (1, 19, height, width)
    for height, width in ((3, 5), (131, 140)):
        assert flow_network(*random_clip(2, height, width)[0].split(1)).shape == (1, 2, height, width)


def test_flow_is_that_of_torchvision_padded_by_the_border_and_other_sizes_are_refused(flow_network):
    images = random_clip(2, 128, 136)[0].split(1)
    expected = TorchvisionRAFT.forward(flow_network, *images, num_flow_updates=2)[-1]
    assert torch.allclose(flow_network(*images), expected, atol=1e-4)
    first, second = random_clip(2, 130, 144)[0].split(1)
    padded = [nn.functional.pad(image, (0, 0, 3, 3), mode="replicate") for image in (first, second)]
    assert torch.allclose(flow_network(first, second), flow_network(*padded)[..., 3:-3, :], atol=1e-5)
    with pytest.raises(InputError, match="one shape"):
        flow_network(torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 136))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_flow_weights_load_strictly_under_their_own_names(prefix, flow_network):
    with gzip.open(MANIFEST, "rt", encoding="utf-8") as file:
        shapes = {name: entry[0] for name, entry in json.load(file)["raft"].items()}
    published = {prefix + name: torch.full(shape, 0.5) for name, shape in shapes.items()}
    network = RAFT()
    network.load_state_dict(to_torchvision_names(published), strict=True)
    assert all((value == 0.5).all() for value in network.parameters())
    state = flow_network.state_dict()
    assert to_torchvision_names(published).keys() == state.keys()
    assert list(to_torchvision_names(state)) == list(state), "those of torchvision stay as they are"
