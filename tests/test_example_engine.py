"""The engine of example-based styles: guides, tables of matches, chunks, seeds; the three implementations agree."""

import cv2
import numpy as np
import pytest
import torch

from model.faces.landmarks import open_mouth
from model.faces.steady import SteadyLandmarks
from model.styles.example import kernels, pixels
from model.styles.example.guides import Guides, guides_of, levels_between, positions, relief, with_levels
from model.styles.example.labels import (
    BACKGROUND,
    CLOTHES,
    FEATURES,
    HAIR,
    INSIDE,
    SKIN,
    parts_of,
    with_borders,
)  # fmt: skip
from model.styles.example.seeds import Seeds
from model.styles.example.skin import fair_hair
from model.styles.example.styleblit import BINS, CELL, Torch, Weights, blit, matches, nearest_seeds, vote
from tests.portrait import LANDMARKS
from tests.sitters import sitter

SIZE, SOURCE = (97, 121), (140, 132)
TURN = np.float32([[0.96, -0.2], [0.2, 0.96]])


@pytest.fixture(scope="module")
def arrays():
    """Everything that `blit` takes, by chance."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    places = np.stack([columns, rows], -1) * 1.07 + rng.normal(0, 3, (*SIZE, 2))
    places = cv2.GaussianBlur(places.astype(np.float32), (0, 0), 2)
    labels, source_labels = (rng.integers(0, count, size).astype(np.uint8) for count, size in ((6, SIZE), (8, SOURCE)))
    labels, source_labels = (cv2.medianBlur(each, 5) for each in (labels, source_labels))
    appearance, source = (cv2.blur(rng.integers(0, 256, size).astype(np.uint8), (3, 3)) for size in (SIZE, SOURCE))
    trust = rng.integers(0, 256, SIZE).astype(np.uint8)
    table = rng.integers(0, 130, (-(-SOURCE[0] // CELL), -(-SOURCE[1] // CELL), 6, BINS, 2)).astype(np.int16)
    seeds = Seeds(SOURCE)
    offsets = rng.uniform(-12, 12, seeds.places.shape).astype(np.float32)
    held = rng.integers(-len(seeds.places) // 3, len(seeds.places), SIZE).astype(np.int32).clip(-1)
    guides, source_guides = Guides(labels, appearance, trust), Guides(source_labels, source, trust)
    return places, guides, source_guides, table, seeds, offsets, held


def by_reference(arrays, xp=np, wrap=np.asarray):
    places, guides, source, table, seeds, offsets, held = arrays
    mine = [wrap(each) for each in (guides.labels, guides.appearance, guides.trust)]
    theirs = [wrap(each) for each in (source.labels, source.appearance)]
    parts = wrap(places), mine, theirs, wrap(table), seeds.levels, wrap(seeds.places), wrap(offsets), wrap(held)
    return blit(*parts, Weights(), xp)


def by_numba(arrays):
    places, guides, source, table, seeds, offsets, held = arrays
    weights = Weights()
    numbers = (weights.position, weights.far, weights.appearance, weights.mismatch, weights.threshold, weights.slack,
        weights.hold)  # fmt: skip
    return kernels.blit(
        places, guides.labels, guides.appearance, guides.trust, source.labels, source.appearance, table, CELL,
        seeds.levels, seeds.places, offsets, held, *map(np.float32, numbers),
    )  # fmt: skip


def test_numpy_numba_and_pytorch_find_the_same_field(arrays):
    field, chosen = by_reference(arrays)
    for other, theirs in (by_numba(arrays), by_reference(arrays, Torch(torch.device("cpu")), torch.from_numpy)):
        assert np.array_equal(other, field) and np.array_equal(theirs, chosen)
    x, y = np.floor(field + 0.5)[..., 0], np.floor(field + 0.5)[..., 1]
    assert x.min() >= 0 and y.min() >= 0 and x.max() < SOURCE[1] and y.max() < SOURCE[0]
    held = arrays[-1]
    assert 0.05 < (chosen == held)[held >= 0].mean() < 0.9 and (chosen == -1).any()


@pytest.mark.parametrize("radius", [1, 2])
def test_numpy_numba_and_pytorch_vote_alike(arrays, radius):
    (field, chosen), rng = by_reference(arrays), np.random.default_rng(0)
    picture = rng.integers(0, 256, (*SOURCE, 3)).astype(np.uint8)
    wanted = vote(field, chosen, picture, radius)
    assert np.array_equal(kernels.vote(field, chosen.astype(np.int32), picture, radius), wanted)
    given = map(torch.from_numpy, (field, chosen, picture))
    assert np.array_equal(vote(*given, radius, Torch(torch.device("cpu"))).numpy(), wanted)


def test_where_all_patches_are_of_one_chunk_the_vote_is_a_copy():
    picture = np.random.default_rng(0).integers(0, 256, (60, 70, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:40, :50]
    field, one = np.stack([columns + 7, rows + 9], -1).astype(np.float32), np.zeros((40, 50), np.int64)
    assert np.array_equal(vote(field, one, picture), picture[9:49, 7:57])
    assert np.array_equal(vote(field, one - 1, picture), picture[9:49, 7:57]), "patches of no chunk that agree"
    half = vote(field + np.float32((0.5, 0)), one, picture).astype(int)
    wanted = (picture[9:49, 7:57].astype(int) + picture[9:49, 8:58] + 1) // 2
    assert np.array_equal(half, wanted), "between two pixels"


def test_the_nearest_seed_is_the_nearest_of_all():
    seeds = Seeds((64, 80))
    places = np.random.default_rng(0).uniform(0, 60, (30, 30, 2)).astype(np.float32)
    level = seeds.levels[-1]
    own = seeds.places[level[0] : level[0] + level[1] * level[2]]
    every = ((places[..., None, :] - own) ** 2).sum(-1).argmin(-1) + level[0]
    chosen = nearest_seeds(places, seeds.places, level)
    # One seed in each cell, of which 3 x 3 are looked at: a nearer one two cells away is rare, and little nearer.
    assert (chosen == every).mean() > 0.97


def test_matches_are_the_best_of_their_label_nearby():
    rng = np.random.default_rng(1)
    appearance = rng.integers(0, 256, (48, 56)).astype(np.uint8)
    labels = np.repeat(np.uint8([[HAIR, SKIN]]), 48, axis=0).repeat(28, axis=1)
    y, x = np.mgrid[4:48:CELL, 4:56:CELL]
    starts = np.repeat(np.stack([x, y], -1)[:, :, None], 6, axis=2).astype(np.int16)
    sources = np.arange(6, dtype=np.uint8)
    ones = np.ones(6, np.int32)
    table = kernels.best_matches(
        appearance, labels, sources, starts, BINS, 20 * ones, ones, 0.5 * np.float32(ones), 2 * np.float32(ones)
    )
    rows, columns = np.mgrid[:48, :56]
    for row, column, kind, own in ((0, 0, HAIR, 3), (3, 2, HAIR, 40), (5, 6, SKIN, 63), (2, 5, SKIN, 20)):
        away = abs(rows - y[row, column]), abs(columns - x[row, column])
        price = 0.5 * (away[0] + away[1]) + 8.0 * abs(appearance // 4 - own)
        price = np.where((labels == kind) & (away[0] <= 20) & (away[1] <= 20), price, np.inf)
        found_x, found_y = table[row, column, kind, own]
        assert price[found_y, found_x] == price.min()


def test_a_match_is_as_far_from_the_middle_of_its_square_as_the_place():
    table = np.zeros((2, 2, 6, BINS, 2), np.int16)
    table[1, 0, SKIN, 10] = 30, 20
    found = matches(np.float32([[[2.2, 13.8]]]), np.uint8([[SKIN]]), np.uint8([[40]]), table)
    assert found.tolist() == [[[28, 22]]]


def test_positions_are_exact_for_a_turn_and_at_the_landmarks():
    moved = LANDMARKS @ TURN.T * 1.2 + (30, -12)
    there = positions((300, 400), LANDMARKS, moved.astype(np.float32))
    rows, columns = np.mgrid[:300, :400]
    wanted = np.stack([columns, rows], -1) @ TURN.T * 1.2 + (30, -12)
    assert np.abs(there - wanted).max() < 0.02
    other = LANDMARKS.copy()
    other[48:] += (0, 9)  # the mouth lower
    there = positions((300, 400), LANDMARKS, other)
    x, y = LANDMARKS[57].round().astype(int)
    assert np.abs(there[y, x] - other[57]).max() < 2.5
    assert np.abs(there[20, 20] - (20, 20)).max() < 9


def test_a_mirror_leads_back_into_the_picture_and_the_background_stays():
    places, backdrop = np.float32([[[-3, 5], [12, -1], [9, 30], [4, 4]]]), np.full((1, 4, 2), 7, np.float32)
    pixels.settle(places, np.uint8([[HAIR, SKIN, SKIN, BACKGROUND]]), backdrop, 10, 20)
    assert places.tolist() == [[[3, 5], [6, 1], [9, 8], [7, 7]]]


@pytest.fixture(scope="module")
def subject():
    return sitter(380)


def guides_over(subject):
    parts = parts_of(subject.rgb, subject.landmarks, subject.matte)
    return guides_of(subject.rgb, subject.landmarks, parts)


def test_labels_tell_the_parts_of_a_portrait(subject):
    guides = guides_over(subject)
    points = subject.landmarks.round().astype(int)
    at = lambda x, y: guides.labels[int(y), int(x)]  # noqa: E731
    assert at(*points[30]) == at(*points[37]) == FEATURES
    assert at(*(points[[2, 31]].mean(0))) == SKIN, "the cheek"
    up = points[27] - points[8]
    assert at(*(points[27] + 0.75 * up)) == HAIR, "the fringe, fair as it is"
    assert guides.labels[3, 3] == guides.labels[3, -3] == BACKGROUND
    assert open_mouth(subject.landmarks) > 0 and at(*points[[62, 66]].mean(0)) == INSIDE, "she laughs"
    assert (guides.labels[-10:] == CLOTHES).mean() > 0.3
    assert guides.trust[points[30][1], points[30][0]] == 255 and guides.trust[3, 3] < 10


def test_borders_are_marked_in_exemplars_alone(subject):
    plain = guides_over(subject)
    marked = with_borders(plain.labels, subject.landmarks)
    changed = plain.labels != marked
    assert changed.any() and set(np.unique(marked[changed])) <= {6, 7} and plain.labels.max() < 6


def test_what_may_be_no_hair_is_not_painted_from(subject):
    labels = guides_over(subject).labels
    chin = subject.landmarks[8].astype(int)
    spot = np.s_[chin[1] - 14 : chin[1] - 4, chin[0] - 5 : chin[0] + 5]
    shadowed = labels.copy()
    shadowed[spot] = HAIR
    marked = with_borders(shadowed, subject.landmarks)
    assert not (marked[spot] == HAIR).any(), "a shadow under the lip"
    assert (marked == HAIR).sum() > 0.4 * (labels == HAIR).sum()
    assert not (marked[chin[1] + 3 :] == HAIR).any(), "a dark collar"


def with_hat(subject, colour):
    """The subject in a hat of the colour of her skin, with a dark brim; and where it is: bool `[H, W]`."""
    points = subject.landmarks
    brows, up = points[17:27].mean(0), points[17:27].mean(0) - points[8]
    rows, columns = np.mgrid[: subject.rgb.shape[0], : subject.rgb.shape[1]]
    height = ((columns - brows[0]) * up[0] + (rows - brows[1]) * up[1]) / (up @ up)
    rgb = subject.rgb.copy()
    hat = (height > 0.2) & (subject.matte > 0.5)
    rgb[hat] = colour
    rgb[(height > 0.13) & (height < 0.2) & (subject.matte > 0.5)] = (20, 15, 10)
    return rgb, hat


def test_a_hat_of_the_colour_of_skin_is_none(subject):
    cheek = subject.landmarks[[2, 31]].mean(0).astype(int)
    rgb, hat = with_hat(subject, subject.rgb[cheek[1], cheek[0]])
    skin = parts_of(rgb, subject.landmarks, subject.matte)[..., 1]
    there = cv2.resize(hat.astype(np.uint8), skin.shape[::-1], interpolation=cv2.INTER_AREA) > 0
    assert (skin[there] > 0.5).mean() < 0.02
    as_painting = parts_of(rgb, subject.landmarks, subject.matte, painted=True)[..., 1]
    assert (as_painting[there] > 0.5).mean() > 0.2, "in a painting it may be a stroke"


def test_hair_that_is_as_light_as_skin_is_told_by_its_yellow(subject):
    def fair(hue):
        angle = np.radians(hue)
        lab = np.full((*subject.matte.shape, 3), (70, 18 * np.cos(np.radians(40)), 18 * np.sin(np.radians(40))))
        lab[:90] = 70, 18 * np.cos(angle), 18 * np.sin(angle)
        return fair_hair(lab.astype(np.float32), subject.landmarks, subject.matte)

    up = subject.landmarks[17:27].mean(0) - subject.landmarks[8]
    x, y = (subject.landmarks[27] + 0.75 * up).astype(int)
    assert fair(75)[y, x] == 1 and fair(75)[150:].max() == 0
    assert fair(52).max() == 0, "the bald"


def test_a_white_collar_is_no_neck(subject):
    chin = subject.landmarks[8]
    rgb = subject.rgb.copy()
    below = int(chin[1] + 0.1 * (chin[1] - subject.landmarks[27][1]))
    rgb[below:] = 235, 238, 245
    skin = parts_of(rgb, subject.landmarks, subject.matte)[..., 1]
    assert skin[below // 4 + 3 :].max() < 0.5


def test_eyes_in_dark_strokes_are_eyes_and_no_sunglasses(subject):
    rgb = subject.rgb.copy()
    for eye in (slice(36, 42), slice(42, 48)):
        left, top = subject.landmarks[eye].min(0).astype(int) - 16
        right, bottom = subject.landmarks[eye].max(0).astype(int) + 8
        rgb[top:bottom, left:right] //= 4
    x, y = (subject.landmarks[36:42].mean(0) / 4).astype(int)
    photo, painting = (parts_of(rgb, subject.landmarks, subject.matte, painted=each) for each in (False, True))
    assert photo[y, x, 3] < 0.5 < painting[y, x, 3]


def test_appearance_is_brought_to_the_levels_of_the_exemplar(subject):
    guides = guides_over(subject)
    dark = Guides(guides.labels, (guides.appearance * 0.4).astype(np.uint8), guides.trust)
    as_bright = with_levels(dark, levels_between(dark, guides))
    hair = guides.labels == HAIR
    assert abs(float(as_bright.appearance[hair].mean()) - float(guides.appearance[hair].mean())) < 4
    same = with_levels(guides, levels_between(guides, guides))
    inner = (guides.appearance > np.percentile(guides.appearance[hair], 5)) & hair
    inner &= guides.appearance < np.percentile(guides.appearance[hair], 95)
    assert np.abs(same.appearance[inner].astype(int) - guides.appearance[inner]).max() <= 1


def test_relief_of_a_plain_wall_is_flat():
    assert (relief(np.full((90, 70), 77, np.uint8)) == 128).all()


def moved_offsets(seeds: Seeds, shift: tuple[int, int], noise: int = 0):
    """Offsets for a frame in which a face, and with it all else, is moved by whole pixels."""
    rng = np.random.default_rng(noise)
    size = (120, 120)
    source = Guides(np.full(size, SKIN, np.uint8), np.full(size, 128, np.uint8), np.full(size, 255, np.uint8))
    rows, columns = np.mgrid[:120, :120].astype(np.float32)
    places = np.stack([columns - shift[0], rows - shift[1]], -1)
    back = np.stack([columns + shift[0], rows + shift[1]], -1)
    appearance = (128 + rng.integers(-noise, noise + 1, size)).astype(np.uint8)
    guides = Guides(source.labels, appearance, source.trust)
    table = np.zeros((15, 15, 6, BINS, 2), np.int16)
    y, x = np.mgrid[4:120:CELL, 4:120:CELL]
    table[..., :] = np.stack([x, y], -1)[:, :, None, None]
    table += rng.integers(-3, 4, (15, 15, 1, BINS, 1)).astype(np.int16)  # another level, another match
    return seeds.offsets(guides, places, back, source, table)


def test_strokes_stick_to_a_face_that_moves():
    seeds = Seeds((120, 120))
    first, later = moved_offsets(seeds, (0, 0)), moved_offsets(seeds, (7, -4))
    inside = (first > -1000).all(1) & (later > -1000).all(1)
    assert inside.mean() > 0.7
    assert np.array_equal(first[inside] - later[inside], np.tile([7, -4], (inside.sum(), 1)))


def test_seeds_keep_their_matches_unless_strokes_boil():
    def changes(boil: float) -> float:
        seeds = Seeds((120, 120), boil)
        seeds.draw(0.0)
        first = moved_offsets(seeds, (0, 0), noise=8)
        seeds.draw(0.2)
        return float((first != moved_offsets(seeds, (0, 0), noise=9)).any(1).mean())

    assert changes(0.0) == 0 < changes(0.4) < changes(1.0)


def test_steady_landmarks_hardly_tremble_and_follow_at_once():
    rng, filter_, moving = np.random.default_rng(0), SteadyLandmarks(), SteadyLandmarks()
    noisy = [LANDMARKS + rng.normal(0, 0.7, LANDMARKS.shape).astype(np.float32) for _ in range(30)]
    calm = [filter_(points, k / 30) for k, points in enumerate(noisy)]
    assert np.std(calm[10:], axis=0).mean() < 0.6 * np.std(noisy[10:], axis=0).mean()
    for k in range(30):
        there = moving(LANDMARKS + np.float32((12 * k, 0)), k / 30)
    assert abs(there[0, 0] - LANDMARKS[0, 0] - 12 * 29) < 6
