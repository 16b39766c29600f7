import math

import numpy as np
import pytest
import torch

from model.training.data.sampling import apply_affine, random_affine_matrix

# The wavelet's delay is not exactly half a fine pixel: mirrored and turned pictures lie about a tenth of a pixel off,
# and the slope of `smooth_picture` is 0.1 a pixel.
OFFSET = 0.25 * 0.1


def noise() -> torch.Tensor:
    return torch.randn(1, 6, 40, 56, generator=torch.Generator().manual_seed(1))


def smooth_picture() -> torch.Tensor:
    ys, xs = torch.meshgrid(torch.linspace(0, 2, 48), torch.linspace(0, 3, 48), indexing="ij")
    return torch.stack([torch.sin(xs + ys), torch.cos(2 * xs), ys * xs])[None]


def inverse(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([[*rows, [0.0, 0.0, 1.0]]])


def drawn(count: int, seed: int, height: int = 64, width: int = 64) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.stack([random_affine_matrix(rng, height, width) for _ in range(count)])


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


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (inverse([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]), lambda picture: picture.flip(-1)),
        (inverse([0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]), lambda picture: picture.flip(-2).mT),  # (x, y) shows (y, -x)
    ],
    ids=["mirrored", "turned"],
)
def test_pictures_are_mirrored_and_turned_about_the_centre(transform, expected):
    picture, inner = smooth_picture(), (..., slice(4, -4), slice(4, -4))
    found = apply_affine(picture, transform)[inner]
    assert torch.allclose(found, expected(picture)[inner], atol=OFFSET)
    assert not torch.allclose(found, picture[inner], atol=0.1)


def test_shrinking_a_fine_checkerboard_gives_grey_not_a_pattern():
    ys, xs = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = (1 - 2 * ((xs + ys) % 2)).float()[None, None]
    shrunk = apply_affine(board, inverse([1.7, 0.0, 0.0], [0.0, 1.7, 0.0]))
    assert shrunk.abs().mean() < 0.1


def test_five_transforms_happen_independently_with_probability_one_fifth():
    matrices = drawn(4000, 0)
    untouched, flipped = (matrices == torch.eye(3)).flatten(1).all(dim=1), torch.linalg.det(matrices) < 0
    assert untouched.float().mean().item() == pytest.approx(0.8**5, abs=0.03)
    assert flipped.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(matrices[:8], drawn(8, 0)) and not torch.equal(matrices[:8], drawn(8, 5))
    assert matrices.shape == (4000, 3, 3) and matrices.dtype == torch.float32


def test_rotation_and_shift_stay_within_their_limits():
    matrices = drawn(4000, 1, 64, 128)
    turn = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).abs()
    turn = torch.minimum(turn, math.pi - turn)  # a flip points the axis the other way
    assert turn.max() <= math.pi / 4 + 1e-4 and turn.max() > 0.7
    only_shifted = (matrices[:, :2, :2] == torch.eye(2)).flatten(1).all(dim=1)
    shifts = matrices[only_shifted, :2, 2].abs()
    limits = torch.tensor([16.0, 8.0])
    assert (shifts <= limits).all() and (shifts.amax(0) > 0.87 * limits).all()
