"""Augmentation, penalties and measures of `model.training.gan`."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from model.config import GeneratorConfig
from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.training.gan import quality
from model.training.gan.augment import (
    FILTER_BANK,
    PIPES,
    TRANSFORMS,
    affine_matrices,
    amounts_at,
    augment,
    draw_amounts,
)
from model.training.gan.controller import Controller
from model.training.gan.regularise import average_decay, gradient_penalty, path_lengths
from model.training.gan.resample import resample

TINY = GeneratorConfig(size=8, style_dim=4, mapping_layers=2, channels={4: 3, 8: 2}, structure_size=8)


def pictures(count: int = 3, size: int = 16, dtype=torch.float64) -> Tensor:
    coarse = torch.randn(count, 3, 6, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(-1, 1)


def test_resampling_is_torchs_and_differentiable_twice():
    x, rng = pictures(2, 5), torch.Generator().manual_seed(1)
    grid = 2.4 * torch.rand(2, 4, 3, 2, dtype=torch.float64, generator=rng) - 1.2  # partly outside
    wanted = torch.nn.functional.grid_sample(x, grid, mode="bilinear", align_corners=False)
    assert torch.equal(resample(x, grid), wanted)
    x.requires_grad_()
    assert gradcheck(lambda x: resample(x, grid), x)
    assert gradgradcheck(lambda x: resample(x, grid).pow(3), x)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_changes_a_picture_and_can_be_left_out(name):
    x = pictures()
    amounts = amounts_at(0.8, len(x), [name])
    assert not torch.allclose(augment(x, amounts), x, atol=0.01)
    none = {key: np.zeros_like(value) for key, value in amounts.items()}
    assert torch.equal(augment(x, none), x)


def test_pictures_that_nothing_happens_to_stay_as_they_are():
    """In a batch of which some are moved."""
    x, amounts = pictures(6), draw_amounts(np.random.default_rng(3), 6, 0.06, PIPES["bgc"])
    idle = [i for i in range(6) if not any(np.any(value[i]) for value in amounts.values())]
    assert 0 < len(idle) < 6
    changed = augment(x, amounts)
    for i in range(6):
        assert torch.equal(changed[i], x[i]) == (i in idle)


def test_each_happens_as_often_as_it_is_to_and_whatever_else_is_drawn():
    drawn = draw_amounts(np.random.default_rng(0), 4000, 0.3, TRANSFORMS)
    for name, values in drawn.items():
        share = np.any(values.reshape(4000, -1), axis=1).mean()
        wanted = {"xflip": 0.15, "lumaflip": 0.15, "rotate90": 0.225, "imgfilter": 1 - 0.7**4}.get(name, 0.3)
        assert share == pytest.approx(wanted, abs=0.03), name
    alone = draw_amounts(np.random.default_rng(0), 4000, 0.3, ["hue"])
    assert alone.keys() == {"hue"} and np.array_equal(alone["hue"], drawn["hue"])
    assert abs(drawn["hue"]).max() <= math.pi and abs(drawn["xint"]).max() <= 1 / 8
    assert not draw_amounts(np.random.default_rng(0), 5, 0.0, TRANSFORMS)["scale"].any()


def test_whole_shifts_flips_and_quarter_turns_move_pixels_and_invent_none():
    x = pictures(1, 64)
    moved = augment(x, {"xint": np.array([[1 / 8, 0.0]])})
    assert torch.allclose(moved[..., 8:], x[..., :-8], atol=1e-3)
    inner = (..., slice(4, -4), slice(4, -4))
    for amounts, wanted in (({"xflip": np.ones(1)}, x.flip(3)), ({"rotate90": np.array([2.0])}, x.flip(2, 3))):
        assert torch.allclose(augment(x, amounts)[inner], wanted[inner], atol=0.08)


def test_geometry_is_applied_in_the_published_order():
    """What is shifted last isn't turned with the picture."""
    both = {"rotate90": np.array([1.0]), "xfrac": np.array([[0.25, 0.0]])}
    (matrix,) = affine_matrices(both, 1, 16, 16)
    turn, shift = (affine_matrices({name: both[name]}, 1, 16, 16)[0] for name in both)
    assert np.allclose(matrix, turn @ shift) and not np.allclose(matrix, shift @ turn)


def test_colours_keep_what_they_should():
    x = pictures()
    grey = x.mean(1)
    hue = augment(x, {"hue": np.full(3, 2 * math.pi / 3)})
    assert torch.allclose(hue, x.roll(1, 1), atol=1e-6)  # a third of a turn exchanges the channels
    saturated = augment(x, {"saturation": np.full(3, 1.0)})
    assert torch.allclose(saturated.mean(1), grey) and torch.allclose(saturated - x, x - grey[:, None])
    assert torch.allclose(augment(x, {"lumaflip": np.ones(3)}).mean(1), -grey)
    assert torch.allclose(augment(x, {"brightness": np.full(3, 0.3), "contrast": np.ones(3)}), 2 * (x + 0.3))


def test_the_filter_bank_sums_to_the_identity():
    total = FILTER_BANK.sum(0)
    assert np.isclose(total[len(total) // 2], 1) and np.allclose(np.delete(total, len(total) // 2), 0, atol=1e-9)


def test_the_gradient_penalty_behind_the_augmentation_is_the_derivative_of_what_it_says():
    """Against finite differences, in float64."""
    torch.manual_seed(0)
    judge = Discriminator(None, 8, {4: 4, 8: 3}).double()
    x, amounts = pictures(2, 8), amounts_at(0.7, 2, PIPES["bgc"])
    weight = judge.convs[1].conv1[0].weight

    def penalty() -> Tensor:
        return gradient_penalty(lambda x: judge(augment(x, amounts)), x)

    def logits(x: Tensor) -> Tensor:
        return judge(augment(x, amounts)).sum().detach()

    step = 1e-5
    slopes = torch.zeros_like(x)
    for place in np.ndindex(*x.shape):
        moved = torch.zeros_like(x)
        moved[place] = step
        slopes[place] = (logits(x + moved) - logits(x - moved)) / (2 * step)
    assert penalty().item() == pytest.approx(slopes.square().sum((1, 2, 3)).mean().item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        weight += step * direction
    above = penalty().item()
    with torch.no_grad():
        weight -= 2 * step * direction
    assert (above - penalty().item()) / (2 * step) == pytest.approx((gradient * direction).sum().item(), rel=1e-4)


def test_path_lengths_are_those_of_the_jacobian_and_their_penalty_is_differentiable():
    torch.manual_seed(0)
    generator = Generator(TINY).double()
    codes = torch.randn(2, TINY.w_layers, 4, dtype=torch.float64).requires_grad_()
    direction = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda w: (generator(w) * direction).sum((1, 2, 3)) / 8, codes)
    wanted = torch.stack([jacobian[i, i].square().sum(1).mean().sqrt() for i in range(2)])
    penalty, mean, lengths = path_lengths(generator, codes, direction, 0.4)
    torch.testing.assert_close(lengths, wanted)
    assert mean.item() == pytest.approx(0.4 + 0.01 * (wanted.mean().item() - 0.4))
    assert penalty.item() == pytest.approx((wanted - mean).square().mean().item())
    assert path_lengths(generator, codes, direction, None)[1].item() == pytest.approx(wanted.mean().item())
    weight, step = generator.conv1.conv.weight, 1e-6
    (gradient,) = torch.autograd.grad(penalty, weight)
    found = []
    for sign in (1, -2):
        with torch.no_grad():
            weight += sign * step * gradient
        found.append(path_lengths(generator, codes, direction, 0.4)[0].item())
    assert (found[0] - found[1]) / (2 * step) == pytest.approx(gradient.square().sum().item(), rel=1e-4)


def test_the_controller_moves_by_the_pictures_it_has_seen_and_stays_in_range():
    control = Controller(target=0.5, pictures=100, every=2)
    assert [control.note(4, 4) for _ in range(4)] == pytest.approx([0, 0.08, 0.08, 0.16])
    assert [control.note(-4, 4) for _ in range(6)][-1] == 0
    assert [control.note(2, 4) for _ in range(2)][-1] == 0  # at the target nothing moves
    control.probability = 0.99
    assert [control.note(4, 4) for _ in range(2)][-1] == 1
    control.note(4, 4)
    again = Controller(target=0.5, pictures=100, every=2)
    again.load_state_dict(control.state_dict())
    assert again.note(-4, 4) == control.note(-4, 4) == 0.92


def test_averages_and_weights_are_those_of_the_formulas():
    assert average_decay(32, 10_000) == pytest.approx(0.5 ** (32 / 10_000))
    assert average_decay(32, 10_000, seen=1000, ramp=0.05) == pytest.approx(0.5 ** (32 / 50))
    assert average_decay(32, 10_000, seen=0, ramp=0.05) == 0


def test_distances_are_small_for_alike_and_large_for_other_pictures():
    rng = np.random.default_rng(0)
    one, other, far = rng.normal(size=(300, 6)), rng.normal(size=(300, 6)), rng.normal(1, size=(300, 6))
    for distance in (quality.kernel_distance, quality.frechet_distance):
        assert abs(distance(one, other)) < 0.2 < distance(one, far)
    assert quality.frechet_distance(one, one + 2) == pytest.approx(6 * 4, rel=1e-6)
    assert quality.kernel_distance(one, far, largest=50) == pytest.approx(quality.kernel_distance(one, far), rel=0.3)


def test_pixel_features_tell_blur_and_colours_but_not_a_mirror_of_noise():
    x = torch.rand(200, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    of = [quality.pixel_features(each).numpy() for each in (x[:100], x[100:], blurred[100:], x[100:] * 0.5 + 0.4)]
    same, blur, colour = (quality.kernel_distance(of[0], each) for each in of[1:])
    assert abs(same) < 0.05 * min(blur, colour)


def test_a_file_that_is_no_inception_is_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"nothing")
    for name, reason in (("x.pt", "is no such network"), ("y.pt", "does not exist")):
        with pytest.raises(Exception, match=f"{name} {reason}"):
            quality.inception_features(tmp_path / name, torch.device("cpu"))
