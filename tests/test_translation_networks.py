"""Networks that translate without pairs: their files, their sizes, and what the golden figures don't tell."""

import numpy as np
import pytest
import torch

from model import checkpoints
from model.adain import Adain, AdainDecoder, AdainEncoder, coral, statistics_of
from model.common.errors import InputError
from model.config import UgatitConfig
from model.training.unpaired import ugatit as steps
from model.training.unpaired import whitebox as representations
from model.training.unpaired.edges import smooth_edges
from model.ugatit import Ugatit, UgatitGenerator
from model.whitebox import SameConv2d, Whitebox, double, from_tensorflow, guided_filter

LIGHT = UgatitConfig(width=4, blocks=2, size=96)
FULL = UgatitConfig(width=4, blocks=1, size=32, light=False)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("config", [LIGHT, FULL])
def test_a_ugatit_file_tells_its_variant_and_gives_the_same_pictures(tmp_path, config):
    networks = Ugatit(config, discriminator_width=4).eval()
    checkpoints.save_ugatit(tmp_path / "mine.pt", networks)
    loaded = checkpoints.load_ugatit(tmp_path / "mine.pt")
    x = torch.rand(1, 3, config.size, config.size) * 2 - 1
    assert loaded.config == config
    assert torch.equal(loaded(x)[0], networks.genA2B(x)[0])
    again = Ugatit(config, discriminator_width=4)
    checkpoints.fill_ugatit(tmp_path / "mine.pt", again)
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), networks.state_dict().values(), strict=True)
    )


def test_a_published_file_has_no_sizes_beside_its_parameters(tmp_path):
    for config in (LIGHT, FULL):
        torch.save({"genA2B": UgatitGenerator(config).state_dict()}, tmp_path / "plain.pt")
        found = checkpoints.load_ugatit(tmp_path / "plain.pt").config
        assert (found.width, found.blocks, found.light) == (config.width, config.blocks, config.light)
        assert found.size == (256 if config.light else config.size)


def test_weights_of_another_variant_are_one_sentence(tmp_path):
    checkpoints.save_ugatit(tmp_path / "light.pt", Ugatit(UgatitConfig(width=4, blocks=1, size=32), 4))
    with pytest.raises(InputError, match=r"light.pt is not a U-GAT-IT of this variant and size: parameter FC.0.weight"):
        checkpoints.fill_ugatit(tmp_path / "light.pt", Ugatit(FULL, 4))
    weights = UgatitGenerator(LIGHT).state_dict()
    for change, message in (
        ({"FC.0.weight": torch.zeros(16, 16 * 5)}, "sizes don't fit"),
        ({"gap_fc.bias": torch.zeros(1)}, "gap_fc.bias is unexpected"),  # of the TensorFlow program
        ({"UpBlock2.3.rho": torch.zeros(1, 3, 1, 1)}, "UpBlock2.3.rho has shape"),
    ):
        torch.save({"genA2B": weights | change}, tmp_path / "odd.pt")
        with pytest.raises(InputError, match=f"odd.pt is not a U-GAT-IT: .*{message}"):
            checkpoints.load_ugatit(tmp_path / "odd.pt")
    torch.save({"g_ema": weights}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="no parameters under 'genA2B'"):
        checkpoints.load_ugatit(tmp_path / "other.pt")


def test_the_light_network_takes_any_size_and_the_full_one_its_own():
    light, full = UgatitGenerator(LIGHT), UgatitGenerator(FULL)
    assert light(torch.zeros(1, 3, 20, 36))[0].shape == (1, 3, 20, 36)
    with pytest.raises(ValueError, match="multiples of 4"):
        light(torch.zeros(1, 3, 20, 34))
    with pytest.raises(ValueError, match="32 x 32"):
        full(torch.zeros(1, 3, 32, 36))


def test_a_ugatit_step_moves_generators_and_judges_and_keeps_rho_in_range():
    networks = Ugatit(LIGHT, 4)
    networks.genA2B.UpBlock2[3].rho.data.fill_(1.0)
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    optimizers = steps.make_optimizer(networks.generators, 0.1), steps.make_optimizer(networks.discriminators, 0.1)
    a, b = torch.rand(2, 1, 3, 96, 96) * 2 - 1
    terms = steps.learn(networks, optimizers, a, b)
    moved = {name for name, value in networks.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name in moved or name.endswith("rho") for name, _ in networks.named_parameters())
    rho = torch.cat([value.flatten() for name, value in networks.state_dict().items() if name.endswith("rho")])
    assert rho.min() >= 0 and rho.max() <= 1
    assert len(terms) == 16 + 8 + 8 and all(torch.isfinite(term) for term in terms.values())
    assert all(parameter.requires_grad for parameter in networks.parameters())


def test_the_rate_falls_in_the_second_half():
    assert [steps.rate_at(step, 4, 2.0) for step in range(1, 5)] == [2.0, 2.0, 1.0, 0.0]


def tensorflow_weights(network: Whitebox) -> dict[str, torch.Tensor]:
    """The parameters as the published program keeps them."""
    from model.whitebox import GENERATOR_NAMES

    found = {}
    for theirs, ours in GENERATOR_NAMES.items():
        weight, bias = network.get_parameter(f"{ours}.weight"), network.get_parameter(f"{ours}.bias")
        weight = weight.flip(1) if theirs == "Conv" else weight.flip(0) if theirs == "Conv_9" else weight
        found[f"generator/{theirs}/weights"] = weight.detach().permute(2, 3, 1, 0)
        found[f"generator/{theirs}/biases"] = bias.detach().flip(0) if theirs == "Conv_9" else bias.detach()
    return found


def test_whitebox_parameters_of_tensorflow_become_ours_and_back(tmp_path):
    network, other = Whitebox().eval(), Whitebox().eval()
    other.load_state_dict(from_tensorflow(tensorflow_weights(network)))
    x = torch.rand(1, 3, 16, 24) * 2 - 1
    assert torch.equal(network(x), other(x))
    checkpoints.save_whitebox(tmp_path / "whitebox.pt", network)
    assert torch.equal(checkpoints.load_whitebox(tmp_path / "whitebox.pt")(x), network(x))
    with pytest.raises(ValueError, match="multiples of 4"):
        network(torch.zeros(1, 3, 16, 18))
    with pytest.raises(InputError, match="White-box"):
        checkpoints.save_ugatit(tmp_path / "mine.pt", Ugatit(LIGHT, 4))
        checkpoints.load_whitebox(tmp_path / "mine.pt")


def test_same_borders_of_odd_and_even_sides():
    conv = SameConv2d(1, 1, 3, stride=2, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 0, 0] = 1  # copies the pixel above and left of each place
    even, odd = (torch.arange(1.0, side * side + 1).view(1, 1, side, side) for side in (4, 5))
    assert conv(even)[0, 0].tolist() == [[1, 3], [9, 11]]  # borders at the right and below only
    assert conv(odd)[0, 0].tolist() == [[0, 0, 0], [0, 7, 9], [0, 17, 19]]


def test_doubling_copies_and_averages():
    assert double(torch.tensor([[[[0.0, 2.0]]]]))[0, 0].tolist() == [[0, 1, 2, 2], [0, 1, 2, 2]]


def test_the_guided_filter_keeps_constants_and_strong_edges_and_smooths_noise():
    step = torch.cat([torch.zeros(1, 1, 16, 8), torch.ones(1, 1, 16, 8)], 3)
    noise = 0.05 * torch.randn(1, 1, 16, 16)
    result = guided_filter(step + noise, step + noise, 3, 0.01)
    assert (result - step).std() < 0.6 * noise.std()
    assert (result[..., 9] - result[..., 6]).mean() > 0.9
    flat = torch.full((1, 1, 5, 7), 0.3)
    assert torch.allclose(guided_filter(flat, flat, 5, 0.2), flat)


def test_the_second_division_is_by_the_values_of_a_picture():
    x = torch.rand(2, 3, 8, 8)
    plain = x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean()
    assert torch.allclose(representations.total_variation(x) * 3 * 64, plain)
    assert torch.allclose(representations.content(x, 0 * x) * 3 * 64, x.mean())


def test_colours_of_superpixels_as_meant_and_as_published():
    labels = np.repeat(np.arange(3), 16).reshape(3, 16)
    values = np.tile([0.0] * 12 + [100.0] * 4, (3, 1)) * np.array([[0.2], [0.75], [1.5]])
    picture = np.repeat(values[..., None], 3, 2)
    deviation = picture.reshape(3, -1).std(1)
    assert deviation[0] < 20 < deviation[1] < 40 < deviation[2]
    assert np.allclose(representations.adaptive_colour(picture, labels)[:, 0, 0], [5, 75 / 8, 0])
    assert np.allclose(representations.mean_colour(picture, labels)[:, 0, 0], [5, 75 / 4, 37.5])


def test_superpixels_cover_a_picture():
    rgb = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    labels = representations.superpixels(rgb)
    assert labels.shape == (64, 96) and labels.min() == 0 and 50 < len(np.unique(labels)) <= 400


def test_textures_are_one_grey_for_both_domains_whatever_the_draw():
    weights = representations.draw_grey_weights(torch.Generator().manual_seed(3))
    ranges = np.array(representations.GREY_RANGES)
    assert (weights.numpy() >= ranges[:, 0]).all() and (weights.numpy() <= ranges[:, 1]).all()
    white = torch.ones(1, 3, 2, 2)
    assert torch.allclose(representations.texture(white, weights), white[:, :1])


def write_adain(folder, whole=True):
    encoder = AdainEncoder().state_dict()
    if whole:
        encoder |= {f"{number}.{kind}": torch.zeros(1) for number in (32, 51) for kind in ("weight", "bias")}
    torch.save(encoder, folder / "vgg.pth")
    torch.save(AdainDecoder().state_dict(), folder / "decoder.pth")
    return folder / "vgg.pth", folder / "decoder.pth"


def test_adain_reads_the_published_pair_and_nothing_else(tmp_path):
    vgg, decoder = write_adain(tmp_path)
    assert isinstance(checkpoints.load_adain(vgg, decoder), Adain)
    with pytest.raises(InputError, match="decoder.pth is not the VGG of AdaIN"):
        checkpoints.load_adain(decoder, decoder)
    with pytest.raises(InputError, match="vgg.pth is not a decoder of AdaIN"):
        checkpoints.load_adain(vgg, vgg)
    torch.save(torch.load(vgg) | {"53.weight": torch.zeros(1)}, vgg)
    with pytest.raises(InputError, match="53.weight is unexpected"):
        checkpoints.load_adain(vgg, decoder)


@torch.inference_mode()
def test_adain_mixes_styles_by_their_weights_and_keeps_the_photo_at_alpha_0():
    network = Adain().eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    photo, *styles = torch.rand(3, 3, 20, 28)
    each = [network.style_statistics([style]) for style in styles]
    mixed = network.style_statistics(styles, [1, 3])
    assert torch.allclose(mixed, each[0] / 4 + 3 * each[1] / 4, atol=1e-4)
    result = network(photo[None], mixed)
    assert result.shape == (1, 3, 24, 32)
    plain = network.decoder(network.encoder(photo[None]))
    assert torch.allclose(network(photo[None], mixed, alpha=0), plain, rtol=1e-3, atol=1e-3)
    own = statistics_of(network.encoder(photo[None]))
    assert torch.allclose(network(photo[None], mixed, own=own), result, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(network(photo[None], mixed, own=2 * own), result, rtol=0.1, atol=0.1)


def test_coral_gives_the_photo_s_colours():
    source, target = torch.rand(3, 40, 40), torch.rand(3, 30, 50) * torch.tensor([0.2, 0.5, 0.1]).view(3, 1, 1)
    moved = coral(source, target)
    assert torch.allclose(moved.mean((1, 2)), target.mean((1, 2)), atol=1e-4)
    assert torch.allclose(moved.std((1, 2)), target.std((1, 2)), rtol=0.05)
    assert torch.allclose(coral(target, target), target, atol=1e-4)


def test_edges_are_blurred_and_the_rest_stays():
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:, 16:] = 200
    smooth = smooth_edges(rgb)
    changed = (smooth != rgb).any(axis=(0, 2))
    assert 14 in np.flatnonzero(changed) or 15 in np.flatnonzero(changed)
    assert not changed[:12].any() and not changed[20:].any()
    assert np.abs(np.diff(smooth[:, :, 0].astype(int), axis=1)).max() < 200
