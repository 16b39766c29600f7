import json
import tarfile

import cv2
import numpy as np
import pytest
import torch
import webdataset

from model.common.errors import InputError
from model.training.data.drawn_pairs import DrawnPairs
from model.training.data.shards import encode_pair, index_pairs, index_shard, list_styles, write_shard
from model.training.generate.write import class_colours, preview_grid
from tests.portrait import LANDMARKS, pair_facts
from tests.runs import largest_file
from tests.stand_in import CLASSES, DIM, ROWS, SIZE, StandIn, write_samples

BROWN = np.uint8([160, 90, 40])


@pytest.fixture
def parts():
    """Parts of one pair of flat 64 px pictures."""
    brown = np.full((64, 64, 3), BROWN, np.uint8)
    return encode_pair(brown, brown + 20, brown + 10, pair_facts(0.5, LANDMARKS, LANDMARKS))


def test_a_shard_gives_back_what_was_written(tmp_path, parts):
    shard = tmp_path / "pairs-00000.tar"
    write_shard(shard, [("one", parts), ("two", parts)])
    pairs = index_pairs([tmp_path])
    assert [pair.key for pair in pairs] == ["one", "two"] and list_styles(pairs) == ["film"]
    assert pairs[1].facts()["landmarks"] == LANDMARKS.tolist()
    assert "kind" not in pairs[1].facts() and pairs[1].kind == "drawn"  # as in shards of before there were kinds
    for name, lighter in (("photo", 0), ("full", 20), ("partial", 10)):
        assert np.abs(pairs[1].picture(name).astype(int) - (BROWN + lighter)).max() <= 3
    assert preview_grid([shard]).shape == (2 * 256, 3 * 256, 3)
    assert [path.name for path in tmp_path.iterdir()] == [shard.name]


def test_what_is_no_whole_shard_is_refused(tmp_path, parts):
    shard = tmp_path / "pairs-00000.tar"
    write_shard(shard, [("one", parts), ("two", parts)])
    whole = shard.read_bytes()
    second, members_end = whole.index(b"two.photo.jpg"), whole.rindex(b"}") + 1
    tarfile.open(tmp_path / "compressed.tar", "w:gz").close()
    # Cut between two pairs, and with the name of a member damaged: tarfile itself takes both for the end.
    for damaged, message in (
        (whole[:second], "its end is missing"),
        (whole[:second] + b"T" + whole[second + 1 :], "its end is missing"),
        *((whole[:kept], "not a readable shard") for kept in (0, 100, 3000, members_end - 3000)),
        (np.random.default_rng(0).bytes(5000), "not a readable shard"),
        ((tmp_path / "compressed.tar").read_bytes(), "not a readable shard"),
    ):
        shard.write_bytes(damaged)
        with pytest.raises(InputError, match=message):
            index_pairs([shard])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"photo.jpg": b""}, "one.photo.jpg is no picture"),
        ({"photo.jpg": b"junk"}, "one.photo.jpg is no picture"),
        ({"json": b"\xff\xfe"}, "one.json is no JSON"),
        ({"json": b"[]"}, "one.json is no JSON"),
        ({"json": b'{"kind": "oil"}'}, "one.json tells of an unknown kind, 'oil'"),
        ({"json": b'{"kind": ["drawn"]}'}, "one.json tells of an unknown kind"),
        ({"json": json.dumps({"style": "film"}).encode()}, "one.json lacks"),
    ],
)
def test_a_pair_with_a_damaged_part_is_refused_when_it_is_read(tmp_path, parts, damage, message):
    write_shard(tmp_path / "pairs-00000.tar", [("one", parts | damage)])
    with pytest.raises(InputError, match=message):
        DrawnPairs(index_pairs([tmp_path]), ["film"], seed=0)[0]


def test_a_place_that_cannot_be_written_or_is_full_is_refused(tmp_path, parts):
    write_shard(tmp_path / "pairs-00000.tar", [("one", parts)])
    with pytest.raises(InputError, match="cannot write"):
        write_shard(tmp_path / "pairs-00000.tar" / "pairs-00000.tar", [("one", parts)])
    with largest_file(30_000), pytest.raises(InputError, match=r"cannot write .*00001\.tar: File too large; free"):
        write_shard(tmp_path / "pairs-00001.tar", [(str(n), parts) for n in range(20)])
    assert [path.name for path in tmp_path.iterdir()] == ["pairs-00000.tar"]


@pytest.mark.parametrize("part", ["cartoon.jpg", "code.npy", "parsing.npz", "target.npz", "json", "full.jpg"])
def test_a_pair_without_one_of_its_parts_is_refused(tmp_path, parts, part):
    shard = tmp_path / "pairs-00000.tar"
    if part in parts and part != "json":
        write_shard(shard, [("000000", {name: data for name, data in parts.items() if name != part})])
    else:
        write_samples(shard, StandIn(), range(1), pretrain=part == "target.npz", leave_out=part)
    with pytest.raises(InputError, match=rf"000000\.{part} is missing"):
        index_pairs([tmp_path])


def test_webdataset_reads_shards_of_all_kinds(pair_folder, tmp_path):
    def read(shard):
        return list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))

    first, *others = read(pair_folder / "pairs-00000.tar")
    assert len(others) == 2 and first["__key__"] == "a"
    assert first["photo.jpg"].shape == first["full.jpg"].shape == first["partial.jpg"].shape == (192, 192, 3)
    assert first["json"]["style"] == "film" and np.shape(first["json"]["landmarks"]) == (68, 2)

    write_samples(tmp_path / "distil.tar", StandIn(), range(3))
    write_samples(tmp_path / "features.tar", StandIn(), range(3), pretrain=True)
    distil, features = (read(tmp_path / f"{name}.tar") for name in ("distil", "features"))
    assert [item["__key__"] for item in distil] == ["000000", "000001", "000002"]
    for item in distil + features:
        assert item["photo.jpg"].shape == (SIZE, SIZE, 3)
        assert item["parsing.npz"]["logits"].shape == (CLASSES, SIZE // 2, SIZE // 2)
        assert item["parsing.npz"]["logits"].dtype == np.int8 and item["parsing.npz"]["step"].shape == (CLASSES,)
        assert item["code.npy"].shape == (ROWS, DIM) and item["code.npy"].dtype == np.float32
    assert distil[2]["cartoon.jpg"].shape == (SIZE, SIZE, 3)
    sample = StandIn().sample([2], None)
    kept = {name: distil[2]["json"][name] for name in ("kind", "offset", "affine")}
    assert kept == {"kind": "stylised", "offset": sample.offset[0].tolist(), "affine": sample.affine[0].tolist()}
    assert features[2]["target.npz"]["feature"].shape == (6, 8, 8) and features[2]["target.npz"]["skip"].dtype == "f2"
    assert features[2]["json"]["kind"] == "features"


def test_previews_show_what_belongs_together(tmp_path):
    kinds = ("distil", 3, True, False), ("unparsed", 2, False, False), ("features", 2, True, True)
    for name, columns, parser, pretrain in kinds:
        shards = [tmp_path / f"{name}-{i}.tar" for i in range(2)]
        for shard in shards:
            write_samples(shard, StandIn(parser=parser), range(3), pretrain)
        assert preview_grid(shards).shape == (6 * 256, columns * 256, 3)
    photo = cv2.resize(index_shard(shards[0])[0].picture("photo"), (256, 256), interpolation=cv2.INTER_NEAREST)
    assert np.abs(preview_grid(shards)[:256, :256].astype(int) - photo).mean() < 3
    assert preview_grid([]) is None


def test_every_class_has_a_colour_of_its_own():
    logits = torch.eye(19).reshape(19, 1, 19)
    assert len({tuple(colour.tolist()) for colour in class_colours(logits).reshape(3, 19).T}) == 19


@pytest.fixture(scope="module")
def three_shards(tmp_path_factory):
    """A folder with shards of two pairs each, pairs-00008.tar to pairs-00010.tar, and things that hold none."""
    folder = tmp_path_factory.mktemp("shards")
    for number in (8, 9, 10):
        write_samples(folder / f"pairs-{number:05d}.tar", StandIn(), [2 * number, 2 * number + 1])
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "empty").mkdir()
    write_shard(folder / "pairs-empty.tar", [])
    return folder


def test_folders_files_and_patterns_are_read_in_order(three_shards):
    for sources, keys in (
        ([""], [16, 17, 18, 19, 20, 21]),
        (["pairs-00010.tar", "pairs-00008.tar"], [20, 21, 16, 17]),
        (["pairs-{00009..00010}.tar"], [18, 19, 20, 21]),
    ):
        assert [int(pair.key) for pair in index_pairs([three_shards / source for source in sources])] == keys


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere does not exist: give a folder"),
        ("pairs-{00009..00011}.tar", r"pairs-00011\.tar does not exist"),
        ("pairs-{00009..", "is no pattern: write numbers in braces as in {00000..00026}"),
        ("photo.jpg", r"photo\.jpg is no shard of pairs"),
        ("empty", "empty holds no pairs: write some"),
        ("pairs-empty.tar", "holds no pairs"),
    ],
)
def test_sources_that_are_not_there_are_one_sentence(three_shards, source, message):
    with pytest.raises(InputError, match=message):
        index_pairs([three_shards / source])
