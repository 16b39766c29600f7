import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from model.common.errors import InputError
from model.config import GeneratorConfig, VToonifyConfig
from model.ops import blur_downsample
from model.training.data.drawn_pairs import DrawnPairs
from model.training.data.sampling import PARSING_SCALE, moved_input, window_side
from model.training.data.shards import index_pairs, kind_of, list_styles
from model.training.data.teacher_pairs import check_sizes, decode_sample, encode_sample, quantise
from model.training.sources import open_pairs
from tests.stand_in import CLASSES, DIM, SIZE, STYLES, StandIn, write_samples

COUNT = 5
JPEG_LOSS = 0.02  # largest mean error of pictures in [-1, 1], a few levels of 255


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each kind of samples, by whether they are for pre-training."""
    folders = {pretrain: tmp_path_factory.mktemp("samples") for pretrain in (False, True)}
    for pretrain, folder in folders.items():
        write_samples(folder / "pairs-00000.tar", StandIn(), range(COUNT), pretrain)
    return folders


def live(number, pretrain=False):
    """The teacher's own sample."""
    return StandIn().sample([number], None, distill=not pretrain)


@pytest.mark.parametrize("pretrain", [False, True])
def test_a_stored_sample_makes_the_batch_that_the_teacher_makes(folders, pretrain):
    dataset = open_pairs(index_pairs([folders[pretrain]]), STYLES, seed=0)
    for number in range(COUNT):
        sample = live(number, pretrain)
        stored, drawn = dataset[number], {name: value[0] for name, value in sample.batch().items()}
        own = {"feature", "skip"} if pretrain else {"y", "moved", "offset"}
        assert stored.keys() == drawn.keys() == {"x", "w_plus", "degree", "style"} | own
        for name in stored.keys() & {"w_plus", "degree", "style", "offset"}:
            assert torch.equal(stored[name], drawn[name]) and stored[name].dtype == drawn[name].dtype, name
        for name in stored.keys() & {"feature", "skip"}:
            torch.testing.assert_close(stored[name], drawn[name], rtol=1e-3, atol=1e-4)
        # Blurring is a mean, so what remains is half a step of the coarsest class.
        half_step = sample.logits.abs().max() / 127 / 2 / PARSING_SCALE
        for name in stored.keys() & {"x", "moved", "y"}:
            assert stored[name].shape == drawn[name].shape and stored[name].dtype == drawn[name].dtype == torch.float32
            error = (stored[name] - drawn[name]).abs()
            assert error[:3].mean() < JPEG_LOSS and drawn[name][:3].std() > 10 * JPEG_LOSS
            assert name == "y" or error[3:].max() <= half_step + 1e-6


def test_without_a_parser_there_are_no_maps(tmp_path):
    teacher = StandIn(parser=False)
    write_samples(tmp_path / "pairs-00000.tar", teacher, range(2))
    (pair, _) = index_pairs([tmp_path])
    assert "parsing.npz" not in pair.parts
    stored, drawn = open_pairs([pair], STYLES, seed=0)[0], teacher.sample([0], None).batch()
    assert stored["x"].shape == drawn["x"].shape[1:] == (3, SIZE // 4, SIZE // 4)
    assert stored["moved"].shape == drawn["moved"].shape[1:]


def test_what_was_drawn_is_remembered(folders):
    drawn = StandIn().sample(range(COUNT), None)
    for number, pair in enumerate(index_pairs([folders[False]])):
        sample, facts = decode_sample(pair, STYLES), pair.facts()
        for name in ("affine", "attribute"):
            assert torch.equal(getattr(sample, name)[0], getattr(drawn, name)[number])
        assert facts["number"] == number and facts["style"] == STYLES[facts["style_index"]]


def test_samples_are_taken_in_turn_and_make_batches(folders):
    dataset = open_pairs(index_pairs([folders[False]]), STYLES, seed=0)
    for name, value in dataset[COUNT + 2].items():
        assert torch.equal(value, dataset[2][name])
    (batch,) = DataLoader(dataset, batch_sampler=[[4, 1, 7]])
    drawn = StandIn().sample([4, 1, 2], None).batch()
    assert {name: value.shape for name, value in batch.items()} == {name: value.shape for name, value in drawn.items()}
    assert torch.equal(batch["w_plus"], drawn["w_plus"]) and torch.equal(batch["offset"], drawn["offset"])


def test_styles_are_numbered_as_the_reader_says(folders):
    pairs = index_pairs([folders[False]])
    assert set(list_styles(pairs)) == set(STYLES)
    backwards = open_pairs(pairs, STYLES[::-1], seed=0)
    assert [int(backwards[n]["style"]) for n in range(COUNT)] == [1 - int(live(n).style) for n in range(COUNT)]
    with pytest.raises(InputError, match="holds pairs of the style (pine|rust), which is none of oak"):
        open_pairs(pairs, ["oak"], seed=0)[0]


def test_kinds_are_not_mixed(folders, pair_folder):
    drawn, samples, features = (index_pairs([folder]) for folder in (pair_folder, folders[False], folders[True]))
    assert [kind_of(pairs) for pairs in (drawn, samples, features)] == ["drawn", "stylised", "features"]
    assert list_styles(drawn + samples) == ["film", "pine", "rust"]
    assert isinstance(open_pairs(drawn, ["film"], seed=0), DrawnPairs)
    with pytest.raises(InputError, match="holds drawn pairs and .* stylised ones: give --pairs of one kind"):
        open_pairs(drawn + samples, STYLES, seed=0)


def test_parsing_maps_lose_half_a_step_at_most():
    torch.manual_seed(0)
    logits = torch.randn(3, 16, 16) * torch.tensor([9.0, 1, 0])[:, None, None]
    stored = quantise(logits)
    assert stored["logits"].dtype == np.int8 and stored["step"][2] == 0
    error = np.abs(stored["logits"] * stored["step"][:, None, None] - logits.numpy()).max((1, 2))
    assert (error <= stored["step"] / 2 * 1.001).all() and stored["step"][0] > 4 * stored["step"][1]
    assert np.abs(stored["logits"][:2]).max((1, 2)).tolist() == [127, 127]


@pytest.mark.parametrize(
    ("part", "value"), [("w_plus", float("nan")), ("photo", float("nan")), ("logits", float("nan")), ("feature", 1e5)]
)
def test_numbers_that_are_not_finite_are_not_stored(part, value):
    """Features are stored in half precision, in which 100 000 is infinite."""
    sample = live(0, pretrain=part == "feature")
    getattr(sample, part).view(-1)[3] = value
    with pytest.raises(InputError, match="not finite"):
        encode_sample(sample, STYLES, {})


def written(save, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


@pytest.mark.parametrize(
    ("part", "data", "message"),
    [
        ("code.npy", b"junk", r"code\.npy holds no such arrays"),
        ("code.npy", written(np.save, np.array([{"a": 1}], dtype=object)), r"code\.npy holds no such arrays"),
        ("parsing.npz", b"", r"parsing\.npz holds no such arrays"),
        ("parsing.npz", written(np.savez, step=np.zeros(CLASSES)), r"parsing\.npz holds no such arrays"),
        ("cartoon.jpg", b"junk", r"cartoon\.jpg is no picture"),
    ],
)
def test_a_damaged_part_is_one_sentence(tmp_path, part, data, message):
    write_samples(tmp_path / "pairs-00000.tar", StandIn(), range(1), **{part: data})
    with pytest.raises(InputError, match=rf"pairs-00000\.tar is not a readable shard of pairs \(000000\.{message}"):
        open_pairs(index_pairs([tmp_path]), STYLES, seed=0)[0]


def test_pairs_for_a_network_of_other_sizes_are_refused(folders):
    pairs = index_pairs([folders[False]])
    generator = GeneratorConfig(size=SIZE, style_dim=DIM, channels=dict.fromkeys((4, 8, 16, 32, 64), 4))
    check_sizes(pairs, VToonifyConfig(generator=generator, parsing_channels=CLASSES))
    for sizes, classes in (({"size": 2 * SIZE}, CLASSES), ({"style_dim": 9}, CLASSES), ({}, 0)):
        other = VToonifyConfig(generator=replace(generator, **sizes), parsing_channels=classes)
        with pytest.raises(InputError, match=r"pairs-00000\.tar holds pairs .* of the sizes \[64, \[10, 8\], 5\], not"):
            check_sizes(pairs, other)


def test_the_moved_frame_is_the_blurred_window_of_photo_and_map():
    torch.manual_seed(0)
    photo, logits = torch.randn(4, 3, 64, 64), torch.randn(4, 5, 32, 32)
    offsets = torch.tensor([[0, 0], [3, 8], [8, 1], [5, 7]])
    side = window_side(64)
    both = torch.cat([photo, F.interpolate(logits, scale_factor=2, mode="nearest") / PARSING_SCALE], dim=1)
    windows = [item[:, r : r + side, c : c + side] for item, (r, c) in zip(both, offsets.tolist(), strict=True)]
    expected = blur_downsample(blur_downsample(torch.stack(windows)))
    torch.testing.assert_close(moved_input(photo, logits, offsets), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(moved_input(photo, None, offsets), expected[:, :3], rtol=1e-5, atol=1e-6)
