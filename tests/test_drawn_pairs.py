import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.training.data.drawn_pairs import (
    OUTPUT_SIZE,
    SCALE,
    WINDOW_SIZE,
    DrawnPairs,
    detail_weights,
    feature_weights,
    relight,
)
from model.training.data.shards import StoredPair, encode_pair, index_pairs, split_held_out, write_shard
from tests.portrait import LANDMARKS, pair_facts

SAMPLES = 100
EYES = (slice(36, 42), slice(42, 48))


@pytest.fixture(scope="module")
def dataset(pair_folder):
    return DrawnPairs(index_pairs([pair_folder]), ["film"], seed=3)


@pytest.fixture(scope="module")
def samples(dataset):
    return [dataset[n] for n in range(SAMPLES)]


def levels(a, b):
    """Mean difference of tensors in [-1, 1], in levels of 255."""
    return (a - b).abs().mean().item() * 127.5


def stored(*photos, styles=("film",)):
    """A pair of each photo in each style."""
    return [StoredPair(None, f"{i}", "drawn", style, photo, {}) for i, photo in enumerate(photos) for style in styles]


def test_every_fiftieth_photo_is_held_out_in_all_styles():
    framings = [f"{n}.jpg" for n in range(120)] * 2
    pairs = stored(*framings, styles=("film", "ink"))
    learnt, held_out = split_held_out(pairs)
    wanted = [(photo, style) for photo in ("0.jpg", "50.jpg", "100.jpg") for style in ("film", "ink")]
    assert [(pair.source, pair.style) for pair in held_out] == 2 * wanted
    assert sorted(learnt + held_out, key=pairs.index) == pairs
    # Of a single photo every fiftieth pair.
    pairs = stored(*["me.jpg"] * 120)
    learnt, held_out = split_held_out(pairs)
    assert held_out == pairs[::50] and len(learnt) == 117
    assert split_held_out(pairs[:1]) == ([], pairs[:1])


def test_a_sample_depends_on_seed_and_number_only(pair_folder, dataset, samples):
    again = DrawnPairs(index_pairs([pair_folder]), ["film"], seed=3)[7]
    assert again.keys() == samples[7].keys()
    for key, value in samples[7].items():
        np.testing.assert_array_equal(again[key], value)
    other = DrawnPairs(index_pairs([pair_folder]), ["film"], seed=4)[7]
    assert not torch.equal(samples[7]["x"], other["x"])
    assert len({sample["x"].numpy().tobytes() for sample in samples}) == SAMPLES


def test_samples_have_the_promised_shapes_ranges_and_shares_of_degrees(samples):
    side, window = OUTPUT_SIZE // SCALE, WINDOW_SIZE // SCALE
    for sample in samples:
        assert sample["x"].shape == (3, side, side) and sample["moved"].shape == (3, window, window)
        assert sample["y"].shape == (3, OUTPUT_SIZE, OUTPUT_SIZE)
        assert sample["weight"].shape == (1, OUTPUT_SIZE, OUTPUT_SIZE) and sample["weight"].dtype == torch.float32
        for key in ("x", "y", "moved"):
            assert sample[key].dtype == torch.float32 and -1 <= sample[key].min() < sample[key].max() <= 1
        # From 1 to 8 + 3, but for the overshoot of cubic resampling.
        assert sample["weight"].min() > 0.8 and sample["weight"].max() < 12
        assert 0 <= sample["degree"] <= 1 and sample["style"] == 0
        assert sample["offset"].min() >= 0 and sample["offset"].max() <= OUTPUT_SIZE - WINDOW_SIZE
    degrees = np.array([sample["degree"] for sample in samples])
    # Three standard deviations of a share in 100 samples.
    assert np.mean(degrees == 1) == pytest.approx(0.55, abs=0.15)
    assert np.mean((degrees > 0) & (degrees < 1)) == pytest.approx(0.30, abs=0.14)
    assert np.mean(degrees == 0) == pytest.approx(0.15, abs=0.11)


def test_at_degree_zero_the_target_is_the_photo(samples):
    def differences(degree):
        return [levels(F.avg_pool2d(s["y"], SCALE), s["x"]) for s in samples if s["degree"] == degree]

    # Blur, noise and JPEG of the input remain.
    assert max(differences(0)) < 8
    assert np.mean(differences(1)) > 2 * np.mean(differences(0))


def test_the_moved_window_shows_what_lies_at_its_offset(samples):
    def difference(sample, order=1):
        row, column = np.round(sample["offset"][::order] / SCALE).astype(int)
        side = WINDOW_SIZE // SCALE
        return levels(sample["x"][:, row : row + side, column : column + side], sample["moved"])

    assert np.mean([difference(s) for s in samples]) < 0.7 * np.mean([difference(s, order=-1) for s in samples])


def test_light_changes_all_pictures_alike_and_haze_takes_contrast():
    rng, picture = np.random.default_rng(0), np.random.default_rng(1).integers(60, 190, (32, 32, 3)).astype(np.uint8)
    pairs = [relight(rng, picture, picture) for _ in range(200)]
    assert all(np.array_equal(one, other) for one, other in pairs)
    contrasts = np.array([one.std() for one, _ in pairs]) / picture.std()
    assert 0.1 < (contrasts < 0.75).mean() < 0.35 and contrasts.min() > 0.3 and contrasts.max() < 1.4
    grey = [np.ptp(one.astype(int), axis=-1).max() == 0 for one, _ in pairs]
    assert 0.03 < np.mean(grey) < 0.2


def test_weights_are_highest_on_the_eyes_and_higher_on_lines_and_lights():
    weights = feature_weights(LANDMARKS, 300)
    places = np.array([*(LANDMARKS[eye].mean(0) for eye in EYES), LANDMARKS[48:68].mean(0), LANDMARKS[19]])
    left, right, mouth, brow = (weights[int(y), int(x)] for x, y in places)
    assert min(left, right) > 7 and max(left, right) == pytest.approx(weights.max(), abs=0.3)
    assert 3 < mouth < 5 and 3 < brow < 5 and weights[280, 20] == pytest.approx(1) and weights.dtype == np.float32
    x, y = places[:2].mean(0).astype(int)
    assert weights[y, x] < 4  # the root of the nose

    picture = np.full((96, 96, 3), 120, np.uint8)
    picture[48, :] = 10
    picture[20:22, 20:22] = 255
    weights = detail_weights(picture)
    assert weights[48, 5:-5].min() > 2.5 and weights[20:22, 20:22].min() > 2.5 and weights.max() <= 3
    assert weights[70:].max() < 0.01 and weights.dtype == np.float32


def test_weights_follow_the_eyes_through_drawing_and_augmentation(tmp_path):
    centred = LANDMARKS + np.float32([-75, 38])
    drawn, partial = centred + np.float32([0, 12]), centred + np.float32([0, 6])
    pictures = np.zeros((3, 300, 300, 3), np.uint8)
    for picture, points in zip(pictures, (centred, drawn, partial), strict=True):
        for eye in EYES:
            cv2.fillConvexPoly(picture, cv2.convexHull(points[eye].round().astype(np.int32)), (255, 255, 255))
    write_shard(tmp_path / "pairs-00000.tar", [("one", encode_pair(*pictures, pair_facts(0.5, centred, drawn)))])
    dataset = DrawnPairs(index_pairs([tmp_path]), ["film"], seed=0)
    samples = [dataset[n] for n in range(40)]
    brights = [sample["y"].mean(0) > 0.5 for sample in samples]
    seen = [sample["degree"] for sample, bright in zip(samples, brights, strict=True) if bright.any()]
    assert {0.0, 0.5, 1.0} == set(seen) and len(seen) > 25
    for sample, bright in zip(samples, brights, strict=True):
        assert (sample["weight"][0, bright] > 5).all()
