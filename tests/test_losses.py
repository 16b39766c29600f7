"""Losses of the training, held against the same formulas in numpy and float64."""

import numpy as np
import pytest
import torch

from model.training import losses

BATCH, HEIGHT, WIDTH = 2, 16, 24


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pictures(rng):
    """Result, target and weight."""
    result, target = rng.uniform(-1, 1, (2, BATCH, 3, HEIGHT, WIDTH))
    return result, target, rng.uniform(1, 8, (BATCH, 1, HEIGHT, WIDTH))


def tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


def halved(array):
    batch, channels, height, width = array.shape
    return array.reshape(batch, channels, height // 2, 2, width // 2, 2).mean((3, 5))


def test_weighted_l1(pictures):
    result, target, weight = pictures
    expected = np.mean(np.abs(result - target) * weight)
    assert losses.weighted_l1(*tensors(*pictures)).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_l1_sums_both_directions_over_three_scales(pictures):
    result, target, weight = pictures
    expected = 0.0
    for _ in range(3):
        difference = result - target
        expected += np.mean(np.abs(difference[..., 1:] - difference[..., :-1]) * weight[..., 1:])
        expected += np.mean(np.abs(difference[..., 1:, :] - difference[..., :-1, :]) * weight[..., 1:, :])
        result, target, weight = halved(result), halved(target), halved(weight)
    assert losses.gradient_l1(*tensors(*pictures)).item() == pytest.approx(expected, rel=1e-5)


def test_flicker_compares_each_window_where_it_lies(rng):
    still, moved = rng.normal(size=(BATCH, 3, HEIGHT, WIDTH)), rng.normal(size=(BATCH, 3, 8, 12))
    offsets = np.array([[5, 0], [8, 12]])
    windows = np.stack([still[0, :, 5:13, 0:12], still[1, :, 8:16, 12:24]])
    expected = np.mean((windows - moved) ** 2)
    found = losses.flicker(*tensors(still, moved), torch.from_numpy(offsets)).item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert losses.flicker(*tensors(still, windows), torch.from_numpy(offsets)).item() == 0


def test_flicker_ramp_rises_over_the_second_half():
    assert [losses.flicker_ramp(step, 100) for step in (0, 49, 50, 75, 100)] == [0, 0, 0, 0.5, 1]


def test_mask_excess_counts_what_is_above_the_bound_on_every_level(rng):
    degree = np.array([0.2, 0.9])
    masks = [rng.uniform(0, 1, (BATCH, 1, size, size)) for size in (4, 8)]
    bound = 0.9 * (1 - degree) ** 2 + 0.1
    means = [mask.mean((1, 2, 3)) for mask in masks]
    expected = sum(np.maximum(mean - bound, 0).mean() for mean in means)
    assert any((mean < bound).any() for mean in means) and expected > 0
    found = losses.mask_excess(tensors(*masks), torch.tensor(degree)).item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert losses.mask_excess(tensors(*masks), torch.zeros(BATCH)).item() == 0
