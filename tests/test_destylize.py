from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import read_contents
from model.e4e import E4EEncoder
from model.training.own import destylize as program
from model.training.own import parts, refine
from model.training.own.destylize import destylize, intrinsic, photo_like
from model.training.own.encoders import FaceEncoder
from tests.runs import largest_file
from tests.small_dual import DIM, LAYERS, NAMES, SMALL

pytest_plugins = ("tests.small_dual_plugin",)
SHARED = {"device": "cpu", "config": "tiny", "batch": 2, "steps": 5}


def destylizing(**changes) -> program.Options:
    files = {
        "data": "drawn",
        "stylegan_path": "photos.pt",
        "finetunegan_path": "tuned.pt",
        "encoder_path": "encoder.pt",
    }
    return program.Options(**SHARED | files | {"out": "found"} | changes)


def refining(**changes) -> refine.Options:
    files = {"data": "drawn", "codes": "codes", "generator_path": "dual.pt"}
    return refine.Options(**SHARED | files | changes)


def codes_of(file: str) -> dict[str, np.ndarray]:
    return checkpoints.load_exemplars(file)


def networks() -> tuple:
    base, tuned = (checkpoints.load_generator(file, SMALL) for file in ("photos.pt", "tuned.pt"))
    return base, tuned, FaceEncoder.load("encoder.pt", base)


def test_codes_are_what_the_encoder_sees_in_the_picture_and_in_its_photo(files):
    destylize(destylizing())
    extrinsic, intrinsic = (codes_of(f"found/{kind}_code.npy") for kind in ("exstyle", "instyle"))
    assert list(extrinsic) == list(intrinsic) == NAMES
    work = program.Destylizer(destylizing(), SMALL)
    _, _, encoder = networks()
    seen = encoder.z_codes(torch.stack([work.pictures[number] for number in range(3)]))
    torch.testing.assert_close(torch.from_numpy(np.concatenate(list(extrinsic.values()))), seen)
    first = SMALL.structure_layers + 1
    for name in NAMES:
        assert extrinsic[name].shape == (1, LAYERS, DIM) and extrinsic[name].dtype == np.float32
        assert np.array_equal(extrinsic[name][:, first:], intrinsic[name][:, first:])
        assert not np.allclose(extrinsic[name][:, :first], intrinsic[name][:, :first])
    assert cv2.imread("found/destylized.jpg").shape == (3 * 256, 4 * 256, 3)


def test_the_photo_has_the_optimised_structure_and_the_truncation(files):
    base, _, encoder = networks()
    codes, seen = torch.randn(2, 2, LAYERS, DIM)
    noises = [torch.randn(2, 1, side, side) for side in (4, 8, 8, 16, 16)]
    photo = photo_like(base, codes, seen, noises, 0.7)
    first = SMALL.structure_layers + 1
    expected = base(0.7 * base.mapping(torch.cat([codes[:, :first], seen[:, first:]], 1)), noises)
    torch.testing.assert_close(photo, expected)
    found = intrinsic(encoder, photo, seen)
    assert torch.equal(found[:, first:], seen[:, first:])
    torch.testing.assert_close(found[:, :first], encoder.z_codes(photo.clamp(-1, 1))[:, :first])


def test_photos_of_the_same_faces_take_the_place_of_optimisation(files, monkeypatch):
    monkeypatch.setattr(program.invert, "invert", None)
    destylize(destylizing(pairs="faces", finetunegan_path="nowhere.pt"))
    _, _, encoder = networks()
    first = SMALL.structure_layers + 1
    for name, code in codes_of("found/instyle_code.npy").items():
        photo = program.PictureFolder("faces", 16)[NAMES.index(name)][None]
        expected = encoder.z_codes(photo)[:, :first]
        torch.testing.assert_close(torch.from_numpy(code)[:, :first], expected, rtol=1e-4, atol=1e-5)
    (Path("faces") / "b.png").unlink()
    with pytest.raises(InputError, match=r"faces has no photo named b\.png"):
        destylize(destylizing(pairs="faces", out="again", name="again"))


@pytest.mark.parametrize(
    ("kind", "run", "result"),
    [("destylize", destylize, "found/instyle_code.npy"), ("refine", refine.refine, "codes/refined_exstyle_code.npy")],
)
def test_a_stopped_run_goes_on_and_gives_the_same(files, monkeypatch, kind, run, result):
    options = {"destylize": destylizing, "refine": refining}[kind]
    run(options(name="whole"))
    whole = Path(result).read_bytes()
    Path(result).unlink()
    kind_of_work = {"destylize": program.Destylizer, "refine": refine.Refiner}[kind]
    call, done = kind_of_work.__call__, []

    def once(self, part):
        if done:
            raise KeyboardInterrupt
        done.append(part)
        return call(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(kind_of_work, "__call__", once)
        with pytest.raises(KeyboardInterrupt, match="stopped after 1 of 2 parts; --resume goes on"):
            run(options(name="parted"))
    assert not Path(result).exists() and len(list(Path("runs/parted").glob("part-*.pt"))) == 1
    with pytest.raises(InputError, match="already holds a run: add --resume"):
        run(options(name="parted"))
    with pytest.raises(InputError, match="was started with another steps"):
        run(options(name="parted", resume=True, steps=6))
    again = []
    monkeypatch.setattr(kind_of_work, "__call__", lambda self, part: again.append(part) or call(self, part))
    run(options(name="parted", resume=True))
    assert Path(result).read_bytes() == whole and again == [range(2, 3)]


def test_a_full_disk_costs_no_finished_part(files, monkeypatch):
    write = parts.write_contents

    def write_less(path, contents):
        with largest_file(1 << (30 if "00000" in path.name else 9)):
            write(path, contents)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot write"):
        patch.setattr(parts, "write_contents", write_less)
        refine.refine(refining())
    assert [path.name for path in Path("runs/refine").glob("part*")] == ["part-00000.pt"]
    assert not Path("codes/refined_exstyle_code.npy").exists()
    refine.refine(refining(resume=True))
    assert list(codes_of("codes/refined_exstyle_code.npy")) == NAMES


def test_refinement_comes_nearer_and_each_exemplar_is_on_its_own(files):
    refine.refine(refining(steps=40, lr_colour=0.1))
    refined, start = codes_of("codes/refined_exstyle_code.npy"), codes_of("codes/exstyle_code.npy")
    first = SMALL.structure_layers
    for name in NAMES:
        moved = np.abs(refined[name] - start[name]).mean((0, 2))
        assert 0 < moved[:first].max() < 0.3 < moved[first:].min()
    shown = torch.cat([torch.load(path)["shown"] for path in sorted(Path("runs/refine").glob("part*"))], dim=1)
    before, after = ((shown[column] - shown[0]).abs().mean() for column in (1, 2))
    assert after < 0.95 * before
    assert cv2.imread("codes/refined.jpg").shape == (3 * 256, 3 * 256, 3)
    alone = refine.Refiner(refining(steps=40, lr_colour=0.1), SMALL)([2])["refined"]
    np.testing.assert_allclose(alone.numpy(), refined[NAMES[2]], atol=0.05)


@pytest.mark.parametrize(
    ("run", "options", "changes", "sentence"),
    [
        (destylize, destylizing, {"data": ""}, "--data is missing"),
        (destylize, destylizing, {"data": "codes"}, "codes holds no pictures"),
        (destylize, destylizing, {"finetunegan_path": "dual.pt"}, "dual.pt is not a StyleGAN2 generator"),
        (destylize, destylizing, {"encoder_path": "e4e.pt"}, r"e4e.pt is an e4e.*destylisation needs a pSp"),
        (destylize, destylizing, {"stylegan_path": "tuned.pt"}, "tuned.pt has no discriminator"),
        (destylize, destylizing, {"steps": 0}, "--steps is 0"),
        (destylize, destylizing, {"name": "a/b"}, "--name is 'a/b'"),
        (destylize, destylizing, {"resume": True}, "start the run without --resume"),
        (refine.refine, refining, {"codes": "drawn"}, "exstyle_code.npy does not exist"),
        (refine.refine, refining, {"generator_path": "photos.pt"}, "photos.pt is not a DualStyleGAN"),
        (refine.refine, refining, {"lr_structure": 0.1}, "--lr_structure is 0.1: give a number from 0 to 0.02"),
    ],
)
def test_what_can_not_work_is_one_sentence(files, run, options, changes, sentence):
    encoder = E4EEncoder(networks()[2].network.config)
    encoder.latent_avg = torch.zeros(LAYERS, DIM)
    checkpoints.save_encoder("e4e.pt", encoder)
    with pytest.raises(InputError, match=sentence):
        run(options(**changes))
    assert not Path("found").exists() and not Path("codes/refined_exstyle_code.npy").exists()


def test_files_are_read_as_dictionaries_of_arrays(files):
    destylize(destylizing())
    contents = np.load("found/exstyle_code.npy", allow_pickle=True).item()
    assert list(contents) == NAMES and contents["a.png"].shape == (1, LAYERS, DIM)
    assert read_contents("runs/destylize/part-00000.pt", "").keys() == {"extrinsic", "intrinsic", "shown"}
