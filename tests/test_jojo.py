import json
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import read_contents, write_contents
from model.config import EncoderConfig, GeneratorConfig
from model.discriminator import Discriminator
from model.e4e import E4EEncoder
from model.stylegan2 import Generator
from model.training.data.pictures import PictureFolder
from model.training.options import RECIPES
from model.training.own import jojo as program
from model.training.own.codes import load_picture_codes
from model.training.own.critic import Critic
from model.training.own.encoders import FaceEncoder
from model.training.own.jojo import (
    JojoTrainer,
    Options,
    family_rows,
    finetune,
    interpolate_features,
    main,
    style_codes,
)
from model.training.own.sheet import FACES, mean_code, random_codes, style_sheet
from model.training.trainer import make_accelerator
from tests.runs import assert_stopped_and_resumed_is_whole, log_of, state_of

ROOT = Path(__file__).parents[1]
SMALL = GeneratorConfig(size=16, style_dim=8, mapping_layers=2, channels={4: 8, 8: 6, 16: 4}, structure_size=8)
LAYERS = SMALL.w_layers


@pytest.fixture
def small_sizes(monkeypatch):
    """`--config tiny` is smaller still."""
    tiny = RECIPES["tiny"]
    monkeypatch.setitem(RECIPES, "tiny", replace(tiny, network=replace(tiny.network, generator=SMALL)))


@pytest.fixture
def files(tmp_path, small_sizes) -> Path:
    """A folder with a generator and its discriminator, stylegan.pt, two pictures, art/, and their codes by name."""
    torch.manual_seed(0)
    networks = {"g_ema": Generator(SMALL).state_dict(), "d": Discriminator(None, 16, SMALL.channels).state_dict()}
    write_contents(tmp_path / "stylegan.pt", networks)
    (tmp_path / "art").mkdir()
    for i, colour in enumerate([(220, 40, 60), (240, 120, 20)]):
        picture = np.full((16, 16, 3), colour, np.uint8)
        cv2.circle(picture, (8, 8), 4 + i, (20, 200, 220), -1)
        Image.fromarray(picture).save(tmp_path / "art" / f"{i}.png")
    codes = np.random.default_rng(0).normal(size=(2, 1, LAYERS, 8))
    checkpoints.save_exemplars(tmp_path / "codes.npy", {"1.png": codes[1], "0.png": codes[0]})
    return tmp_path


@pytest.fixture
def options(files):
    """A function that makes options for short runs in that folder."""

    def options(**changes) -> Options:
        given = {"references": "art", "codes": "codes.npy", "stylegan_path": "stylegan.pt", "out": "tuned.pt"}
        given = given | {"runs": "runs"} | changes
        names = ("references", "codes", "stylegan_path", "out", "runs")
        paths = {name: str(files / given[name]) for name in names if given[name]}
        return Options(**{"device": "cpu", "config": "tiny", "name": "trial", "iter": 4} | given | paths)

    return options


@pytest.fixture
def trainer(options):
    """A function that puts together the networks of a run, as in a process of its own."""

    def trainer(**changes) -> JojoTrainer:
        AcceleratorState._reset_state(reset_partial_state=True)
        resolved = options(**changes).resolved(2)
        references = PictureFolder(resolved.references, 16)
        codes = load_picture_codes(resolved.codes, references.names, SMALL)
        return JojoTrainer(resolved, make_accelerator(resolved), references, codes)

    return trainer


def test_families_are_the_published_ones_and_shrink_with_the_generator():
    published = GeneratorConfig()
    assert family_rows("x", published) == list(range(7, 18)) and family_rows("c", published) == [9, 11, 15, 16, 17]
    smaller = replace(published, size=128)
    assert family_rows("x", smaller) == list(range(7, 12)) and family_rows("c", smaller) == [9, 11]
    assert family_rows("x", SMALL) == [1, 2, 3, 4, 5] and family_rows("c", SMALL) == [3, 5]
    assert family_rows("x", replace(published, size=64)) == list(range(5, 10))
    assert Options().mixed_rows == list(range(7, 18)) and Options(rows=[2, 4]).mixed_rows == [2, 4]


def test_strength_leads_from_the_reference_to_the_face():
    codes, faces = torch.randn(3, 6, 8), torch.randn(3, 8)
    assert torch.equal(style_codes(codes, faces, [2, 5], 0.0), codes)
    whole, half = style_codes(codes, faces, [2, 5]), style_codes(codes, faces, [2, 5], 0.5)
    assert torch.equal(whole[:, [0, 1, 3, 4]], codes[:, [0, 1, 3, 4]]) and torch.equal(whole[:, 2], faces)
    torch.testing.assert_close(half, (whole + codes) / 2)


def test_the_critic_sees_the_published_sizes_or_those_that_are_there():
    large = Critic(Discriminator(None, 256, {4 << k: 2 for k in range(7)}))
    picture = torch.rand(2, 3, 256, 256)
    assert [feature.shape[-1] for feature in large.features(picture)] == [128, 32, 16, 8]
    small = Critic(Discriminator(None, 32, {4 << k: 2 for k in range(4)}))
    assert [feature.shape[-1] for feature in small.features(picture[..., :32, :32])] == [32, 16, 8, 4]
    assert not any(parameter.requires_grad for parameter in large.parameters())
    assert large(picture, picture).tolist() == [0, 0]
    apart, other = large(picture, picture.flip(0)), large(picture, picture.flip(3))
    assert apart.shape == (2,) and apart[0] == pytest.approx(apart[1].item()) and (other > 0).all()


def test_the_generator_comes_nearer_to_the_references(options, files):
    run = options(iter=120, lr=0.01, log_every=120)
    path = finetune(run)
    references = PictureFolder(run.references, 16)
    pictures, codes = torch.stack(list(references)), load_picture_codes(run.codes, references.names, SMALL)
    base, tuned = (checkpoints.load_generator(file, SMALL) for file in (run.stylegan_path, path))
    for faces in (base.mapping(torch.randn(2, 8)), 0.5 * base.mapping(torch.randn(2, 8))):
        mixed = style_codes(codes, faces, run.mixed_rows)
        with torch.no_grad():
            before, after = ((network(mixed) - pictures).abs().mean() for network in (base, tuned))
        assert after < 0.5 * before
    (line,) = log_of(run)
    assert line["result_to_reference"] < 0.4 * line["base_to_reference"]
    assert cv2.imread(str(run.folder / "preview-000120.jpg")).shape == (5 * 192, FACES * 192, 3)


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, files):
    whole, parted = (options(name=name, out=str(files / f"{name}.pt"), iter=6) for name in ("whole", "parted"))
    assert_stopped_and_resumed_is_whole(finetune, whole, parted, step=3)
    assert state_of(whole)["optimizer"]["state"]


def test_the_file_is_that_of_both_programs_and_what_must_not_learn_is_the_bases(options, files):
    for freeze, name in ((False, "all"), (True, "frozen")):
        noise = "auto" if freeze else "off"
        run = options(freeze_input=freeze, freeze_noise=noise, name=name, out=str(files / f"{name}.pt"))
        finetune(run)
        contents, base = read_contents(run.out, ""), read_contents(run.stylegan_path, "")["g_ema"]
        assert contents.keys() == {"g", "g_ema"} and list(contents["g"]) == list(contents["g_ema"]) == list(base)
        for name, value in contents["g"].items():
            kept = name.startswith(("style.", "noises.") + ("input.",) * freeze)
            kept = kept or name.endswith((".kernel",) + (".noise.weight",) * freeze)
            assert torch.equal(value, base[name]) == kept and torch.equal(value, contents["g_ema"][name]), name


def test_samples_depend_on_their_number_and_the_seed_alone(trainer):
    run = trainer(truncated_share=0.0)
    faces, seeds = run.draw([3, 4])
    other, more = run.draw([4])
    torch.testing.assert_close(other[0], faces[1])
    assert more == seeds[1:] and not torch.equal(faces[0], faces[1])
    torch.testing.assert_close(trainer(truncated_share=1.0).draw([3, 4])[0], 0.5 * faces)
    some = trainer(truncated_share=0.25).draw(range(400))[0]
    full = run.draw(range(400))[0]
    assert 0.15 < (some.norm(dim=1) < 0.6 * full.norm(dim=1)).float().mean() < 0.35
    assert not torch.equal(trainer(seed=1).draw([3])[0], run.draw([3])[0])


def test_each_reference_is_drawn_with_its_own_code(trainer, monkeypatch):
    run, seen = trainer(strength=0.0), []
    monkeypatch.setattr(run, "student", lambda codes, *noise: seen.append(codes) or run.network(codes, noise))
    monkeypatch.setattr(run.likeness, "forward", lambda a, b: seen.append(b) or (a - b).abs().mean((1, 2, 3)))
    run.losses([2, 3, 5])
    names = run.references.names
    stored = checkpoints.load_exemplars(run.options.codes)
    expected = [torch.from_numpy(stored[names[i]][0]) for i in (0, 1, 1)]
    torch.testing.assert_close(seen[0], torch.stack(expected))
    assert torch.equal(seen[1], torch.stack([run.references[i] for i in (0, 1, 1)]))


def test_lpips_compares_what_is_made_small(trainer, monkeypatch):
    sizes = []

    class Stand(torch.nn.Module):
        def __init__(self, without):
            super().__init__()

        def forward(self, a, b):
            sizes.append(a.shape[-1])
            return (a - b).square().mean((1, 2, 3))

    monkeypatch.setattr(program.checkpoints, "load_perceptual", Stand)
    monkeypatch.setattr(program, "LPIPS_SIZE", 8)
    assert trainer(loss="lpips").advance()["style"] > 0 and sizes == [8]


def test_identity_is_compared_with_the_base(trainer, monkeypatch):
    """With a stand-in for ArcFace that tells faces by the mean of their colours."""
    monkeypatch.setattr(
        program.checkpoints, "load_arcface", lambda _: torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), Unit())
    )
    run = trainer(id_loss=2.0)
    assert run.advance()["identity"] == pytest.approx(0, abs=1e-5), "the first result is the base's"
    assert run.advance()["identity"] > 1e-5


class Unit(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.normalize(x.flatten(1))


def test_features_are_interpolated_from_the_base_to_the_result():
    torch.manual_seed(0)
    base, tuned, codes = Generator(SMALL), Generator(SMALL), torch.randn(2, LAYERS, 8)
    with torch.no_grad():
        plain, styled = base(codes), tuned(codes)
        torch.testing.assert_close(interpolate_features(base, tuned, codes, [0.0] * 3), plain)
        torch.testing.assert_close(interpolate_features(base, tuned, codes, [1.0] * 3), styled)
        between = [interpolate_features(base, tuned, codes, [0.0, 0.0, share]) for share in (0.0, 0.5, 1.0)]
        torch.testing.assert_close(between[1], (between[0] + between[2]) / 2)
        coarse = interpolate_features(base, tuned, codes, [0.0, 1.0, 1.0])
    assert (coarse - styled).abs().mean() > 1e-3 and (coarse - plain).abs().mean() > 1e-3


def test_the_sheet_has_a_line_of_references_and_four_of_faces():
    base, pictures = Generator(SMALL), torch.zeros(5, 3, 16, 16)
    codes = torch.randn(5, LAYERS, 8)
    sheet = style_sheet(base, base, pictures, codes)
    assert sheet.shape == (6 * 192, FACES * 192, 3)
    assert (sheet[:190, :190] == 128).all() and (sheet[200:380, 3 * 192 :] == 255).all()
    assert np.array_equal(sheet[:192, 192:384], sheet[:192, 384:576]), "both are one generator"
    assert np.array_equal(sheet[384:576], sheet[576:768])
    natural, short = random_codes(base, 0)
    w = 2 * short
    torch.testing.assert_close(natural, 0.3 * mean_code(base) + 0.7 * w)


def test_two_processes_equal_one_with_the_double_batch(files):
    words = ["--references=art", "--codes=codes.npy", "--stylegan_path=stylegan.pt", "--config=tiny", "--device=cpu"]
    words += ["--iter=3", "--log_every=3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    for name, batch, launcher in (("one", 2, []), ("two", 1, launch)):
        command = [sys.executable, "-m", *launcher, "tests.small_dual", "jojo", *words, f"--batch={batch}"]
        command += [f"--name={name}", f"--out={name}.pt"]
        done = subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, two = (json.loads((files / f"runs/{name}/log.jsonl").read_text()) for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-3)
    one, two, base = (read_contents(files / f"{name}.pt", "")["g_ema"] for name in ("one", "two", "stylegan"))
    moved, apart = (sum((value - other[name]).abs().sum() for name, value in one.items()) for other in (base, two))
    assert apart < 0.01 * moved, "but for gradients near zero, whose sign is rounding"


def test_a_run_goes_on_with_its_own_pictures_codes_and_generator_only(options, files):
    finetune(options(iter=1))
    again = {"resume": True, "iter": 2}
    np.save(files / "others.npy", np.zeros((2, LAYERS, 8), np.float32))
    torch.manual_seed(1)
    networks = read_contents(files / "stylegan.pt", "") | {"g_ema": Generator(SMALL).state_dict()}
    write_contents(files / "other.pt", networks)
    for changes, sentence in (
        ({"strength": 0.5} | again, "was started with --strength 1.0, not 0.5"),
        ({"codes": "others.npy"} | again, "was started with other codes"),
        ({"stylegan_path": "other.pt"} | again, "was started with another generator"),
        ({"name": "elsewhere"}, "tuned.pt already exists"),
    ):
        with pytest.raises(InputError, match=sentence):
            finetune(options(**changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"references": "nowhere"}, "nowhere is no folder: give --references a folder"),
        ({"references": "empty"}, "empty holds no pictures"),
        ({"codes": "nowhere.npy"}, "nowhere.npy does not exist"),
        ({"codes": "", "encoder_path": "nowhere.pt"}, "nowhere.pt does not exist"),
        ({"stylegan_path": "large.pt"}, r"it has 32 px, 2 layers in its mapping and codes of 8, not 16 px"),
        ({"stylegan_path": "deep.pt"}, r"it has 16 px, 8 layers in its mapping and codes of 8, not 16 px, 2 layers"),
        ({"codes": "stylegan.pt"}, "stylegan.pt is not a file of codes for this generator"),
        ({"codes": "long.npy"}, r"long.npy is not a file of codes for this generator: it holds float32 of shape"),
        ({"codes": "three.npy"}, "three.npy has 3 codes, and there are 2 pictures"),
        ({"codes": "unnamed.npy"}, "unnamed.npy has no code of 0.png"),
        ({"codes": "short.npy"}, r"its codes are of shape \[1, 4, 8\], not \[1, 6, 8\]"),
        ({"stylegan_path": "alone.pt"}, "alone.pt has no discriminator"),
        ({"stylegan_path": "larger_d.pt"}, "its discriminator is for 32 px, and the generator has 16"),
        ({"rows": [6]}, "--rows has 6: this generator has the layers 0 to 5"),
        ({"strength": 1.5}, "--strength is 1.5"),
        ({"iter": 0}, "--iter is 0"),
    ],
)
def test_what_can_not_work_is_one_sentence_and_nothing_is_written(options, files, changes, sentence):
    (files / "empty").mkdir()
    for name, shape in (("long", (2, LAYERS, 9)), ("three", (3, LAYERS, 8))):
        np.save(files / f"{name}.npy", np.zeros(shape, np.float32))
    checkpoints.save_exemplars(files / "unnamed.npy", {"a": np.zeros((1, LAYERS, 8))})
    checkpoints.save_exemplars(files / "short.npy", {"0.png": np.zeros((1, 4, 8))})
    generator = {"g_ema": read_contents(files / "stylegan.pt", "")["g_ema"]}
    write_contents(files / "alone.pt", generator)
    larger = Discriminator(None, 32, {4: 8, 8: 6, 16: 4, 32: 4}).state_dict()
    write_contents(files / "larger_d.pt", generator | {"d": larger})
    for name, config in (
        ("large", {"size": 32, "channels": SMALL.channels | {32: 4}}),
        ("deep", {"mapping_layers": 8}),
    ):
        checkpoints.save_weights(files / f"{name}.pt", Generator(replace(SMALL, **config)))
    with pytest.raises(InputError, match=sentence):
        finetune(options(**changes))
    assert not (files / "runs").exists() and not (files / "tuned.pt").exists()


def test_the_command_line_runs_and_says_one_sentence_when_it_can_not(call, files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    words = ["--stylegan_path=stylegan.pt", "--out=out.pt", "--config=tiny", "--device=cpu", "--iter=1"]
    assert call(main, *words, "--references", "art", "--codes", "codes.npy") == 0
    assert "The fine-tuned generator is out.pt." in capsys.readouterr().out
    assert call(main, *words, "--codes", "codes.npy") == 2
    error = capsys.readouterr().err
    assert "--references is missing" in error and error.count("\n") == 1


def test_without_codes_an_encoder_gives_them(trainer, options, files):
    encoder = E4EEncoder(EncoderConfig(32, LAYERS, 8, (16, 16, 16, 16), (1, 1, 1, 1)))
    encoder.latent_avg = torch.ones(1, 8).repeat(LAYERS, 1)
    checkpoints.save_encoder(files / "e4e.pt", encoder)
    path = str(files / "e4e.pt")
    run = options(codes="", encoder_path=path, iter=1)
    finetune(run)
    pictures = torch.stack(list(PictureFolder(run.references, 16)))
    base = checkpoints.load_generator(run.stylegan_path, SMALL)
    expected = FaceEncoder.load(path, base).w_codes(pictures)
    assert state_of(run)["codes"] == zlib.crc32(expected.numpy().tobytes())
