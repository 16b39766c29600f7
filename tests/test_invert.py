import math

import pytest
import torch

from model.common.errors import InputError
from model.config import GeneratorConfig
from model.stylegan2 import Generator
from model.training.own import invert

SIZES = GeneratorConfig(size=32, style_dim=16, mapping_layers=2, channels=dict.fromkeys((4, 8, 16, 32), 12))


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(SIZES)
    with torch.no_grad():
        for layer in (network.conv1, *network.convs):
            layer.noise["weight"].fill_(0.05)
    return network


def squares(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 20 * (a - b).square().mean((1, 2, 3))


def codes(count: int, seed: int) -> torch.Tensor:
    z = torch.randn(count, 1, SIZES.style_dim, generator=torch.Generator().manual_seed(seed))
    return z.repeat(1, SIZES.w_layers, 1)


def run(generator, pictures, start, steps=60, **settings) -> invert.Inversion:
    settings = {"perceptual": squares, "steps": steps, "progress": False} | settings
    return invert.invert(generator, pictures, start, **settings)


@torch.no_grad()
def drawn(generator: Generator, count: int = 2) -> torch.Tensor:
    return generator(generator.mapping(codes(count, 1))).clamp(-1, 1)


@pytest.mark.parametrize("space", ["z+", "w+"])
def test_the_code_of_a_picture_is_found(generator, space):
    pictures, start = drawn(generator), codes(2, 2)
    if space == "w+":
        start = generator.mapping(start).detach()
    before = squares(invert.render(generator, start, "none", space), pictures)
    found = run(generator, pictures, start, 200, space=space)
    assert (squares(found.rendered, pictures) < 0.25 * before).all()
    with torch.no_grad():
        assert torch.equal(found.rendered, invert.render(generator, found.codes, found.noises, space))
    for noise in found.noises:
        assert torch.allclose(noise.std((1, 2, 3)), torch.ones(2), atol=1e-4) and noise.mean().abs() < 1e-4


def test_each_picture_is_inverted_on_its_own_and_again_to_the_bit(generator):
    pictures, start = drawn(generator, 3), codes(3, 2)
    together, again, alone = (run(generator, pictures, start, 20, batch=n) for n in (3, 3, 1))
    assert torch.equal(together.codes, again.codes) and torch.equal(together.rendered, again.rendered)
    torch.testing.assert_close(together.codes, alone.codes, atol=2e-3, rtol=0)
    last = run(generator, pictures[2:], start[2:], 20, seeds=[2])
    assert torch.equal(last.codes[0], alone.codes[2])
    assert not torch.equal(last.codes, run(generator, pictures[2:], start[2:], 20, seeds=[5]).codes)


def test_networks_and_start_stay_as_they_are(generator):
    start, before = codes(1, 2), {name: value.clone() for name, value in generator.state_dict().items()}
    run(generator, drawn(generator, 1), start, 3)
    assert torch.equal(start, codes(1, 2)) and all(p.grad is None for p in generator.parameters())
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_identity_takes_part_where_it_is_known(generator):
    def who(face: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(face.mean((2, 3)))

    noises = [torch.randn(1, 1, 4 << ((n + 1) // 2), 4 << ((n + 1) // 2)) for n in range(2 * SIZES.levels + 1)]
    arguments = generator, codes(1, 2), noises, drawn(generator, 1)
    without = invert.terms(*arguments, perceptual=squares)
    terms = invert.terms(*arguments, perceptual=squares, identity=who)
    assert list(terms) == ["perceptual", "identity", "spread", "noise"] and all(t.shape == (1,) for t in terms.values())
    difference = invert.weighted(terms) - invert.weighted(without)
    torch.testing.assert_close(difference, 0.1 * terms["identity"], atol=0, rtol=0.02)


def test_the_learning_rate_rises_and_falls():
    rates = [invert.rate(step / 300) for step in range(300)]
    assert rates[0] == 0 and max(rates) == invert.HIGHEST_RATE == rates[15] == rates[224]
    assert all(a < b for a, b in zip(rates[:15], rates[1:16], strict=True))
    assert all(a > b for a, b in zip(rates[226:], rates[227:], strict=False)) and rates[-1] < 1e-4


def test_white_noise_is_told_from_smooth_noise():
    noise = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    smooth = invert.standardised(torch.nn.functional.avg_pool2d(noise, 5, 1, 2))
    assert (invert.noise_correlation([smooth]) > 20 * invert.noise_correlation([noise])).all()
    both = invert.noise_correlation([noise])
    torch.testing.assert_close(invert.noise_correlation([noise[:1]], together=True), both[0])


def test_a_breakdown_and_codes_of_other_sizes_are_told_in_a_sentence(generator):
    pictures = drawn(generator, 1)
    with pytest.raises(InputError, match=r"\[1, 18, 16\], where \[1, 8, 16\] fits"):
        run(generator, pictures, torch.zeros(1, 18, 16))
    with pytest.raises(InputError, match="broke down at step 0"):
        run(generator, pictures, codes(1, 2), perceptual=lambda a, b: a.mean((1, 2, 3)) * math.nan)


def test_the_sheet_shows_each_picture_beside_its_inversion(generator):
    pictures = drawn(generator)
    assert invert.sheet(pictures, pictures.flip(3), size=32).shape == (64, 64, 3)
