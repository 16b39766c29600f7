"""Random affine transforms of training pairs."""

import math

import numpy as np
import pytest
import torch

from model.training.data.augment import apply_affine, random_affine_matrix

# The wavelet's delay is not exactly half a fine pixel: mirrored and turned pictures lie about a tenth of a pixel off.
SLOPE = 0.1  # of `smooth_picture`, per pixel
OFFSET = 0.25 * SLOPE


def noise(batch: int = 1, height: int = 40, width: int = 56) -> torch.Tensor:
    return torch.randn(batch, 6, height, width, generator=torch.Generator().manual_seed(batch))


def smooth_picture(height: int = 40, width: int = 56) -> torch.Tensor:
    ys, xs = torch.meshgrid(torch.linspace(0, 2, height), torch.linspace(0, 3, width), indexing="ij")
    return torch.stack([torch.sin(xs + ys), torch.cos(2 * xs), ys * xs])[None]


def inverse(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([[*rows, [0.0, 0.0, 1.0]]])


def test_identity_leaves_even_noise_as_it_is_and_a_far_transform_stays_finite():
    images, far = noise(), inverse([9.0, 0.0, 300.0], [0.0, 9.0, 300.0])
    assert torch.allclose(apply_affine(images, torch.eye(3)[None]), images, atol=1e-4)
    assert torch.isfinite(apply_affine(images, far)).all()


def test_shift_by_whole_pixels_is_lossless_and_reflects_at_the_border():
    images = noise()
    # The output pixel x shows the input pixel x + 5.
    shifted = apply_affine(images, inverse([1.0, 0.0, 5.0], [0.0, 1.0, -4.0]))
    assert torch.allclose(shifted[..., 4:, :-5], images[..., :-4, 5:], atol=1e-4)
    # Reflection about the last pixel: what lies one pixel beyond the border is the last pixel but one.
    assert torch.allclose(shifted[..., 4:, -5:], images[..., :-4, -6:-1].flip(-1), atol=1e-4)


def test_flip_mirrors_the_picture():
    picture = smooth_picture()
    flipped = apply_affine(picture, inverse([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    inner = (..., slice(4, -4), slice(4, -4))
    assert torch.allclose(flipped[inner], picture.flip(-1)[inner], atol=OFFSET)
    assert not torch.allclose(flipped[inner], picture[inner], atol=0.1)


def test_rotation_turns_about_the_centre():
    quarter = inverse([0.0, 1.0, 0.0], [-1.0, 0.0, 0.0])
    picture = smooth_picture(48, 48)
    turned = apply_affine(picture, quarter)
    # The output at (x, y) shows the input at (y, -x).
    expected = picture.flip(-2).mT
    assert torch.allclose(turned[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=OFFSET)


def test_shrinking_a_fine_checkerboard_gives_grey_not_a_pattern():
    ys, xs = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = (1 - 2 * ((xs + ys) % 2)).float()[None, None]
    shrunk = apply_affine(board, inverse([1.7, 0.0, 0.0], [0.0, 1.7, 0.0]))
    assert board.abs().mean() == 1
    assert shrunk.abs().mean() < 0.1


def test_a_batch_equals_its_items():
    images = noise(3)
    matrices = random_affine_matrix(3, np.random.default_rng(4), 40, 56, probability=0.7)
    together = apply_affine(images, matrices)
    for index in range(3):
        alone = apply_affine(images[index : index + 1], matrices[index : index + 1])
        assert torch.allclose(together[index : index + 1], alone, atol=1e-3)


def test_the_same_generator_state_gives_the_same_matrices():
    first, again = (random_affine_matrix(8, np.random.default_rng(3), 64, 64) for _ in range(2))
    other = random_affine_matrix(8, np.random.default_rng(5), 64, 64)
    assert torch.equal(first, again)
    assert first.shape == (8, 3, 3) and first.dtype == torch.float32
    assert not torch.equal(first, other)


def test_five_transforms_happen_independently_with_probability_one_fifth():
    matrices = random_affine_matrix(4000, np.random.default_rng(0), 64, 64)
    untouched = (matrices == torch.eye(3)).flatten(1).all(dim=1).float().mean().item()
    assert untouched == pytest.approx(0.8**5, abs=0.03)
    flipped = (torch.linalg.det(matrices) < 0).float().mean().item()
    assert flipped == pytest.approx(0.2, abs=0.03)
    assert (random_affine_matrix(5, np.random.default_rng(0), 64, 64, probability=0.0) == torch.eye(3)).all()


def test_rotation_and_shift_stay_within_their_limits():
    matrices = random_affine_matrix(4000, np.random.default_rng(1), 64, 128)
    turn = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).abs()
    turn = torch.minimum(turn, math.pi - turn)  # a flip points the axis the other way
    assert turn.max() <= math.pi / 4 + 1e-4 and turn.max() > 0.7
    only_shifted = (matrices[:, :2, :2] == torch.eye(2)).flatten(1).all(dim=1)
    shifts = matrices[only_shifted, :2, 2].abs()
    assert (shifts <= torch.tensor([16.0, 8.0])).all()
    assert shifts[:, 0].max() > 14 and shifts[:, 1].max() > 7
