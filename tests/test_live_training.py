"""Training on live pairs of network teachers: resuming, both stages, and what is refused."""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import train_vtoonify_d
import train_vtoonify_t
from model import checkpoints
from model.checkpoints import EMA_KEY
from model.common.errors import InputError
from model.common.weight_files import write_contents
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from model.training.options import DualOptions, ToonifyOptions
from model.training.recipes import RECIPES, TINY
from model.training.train import train
from tests.runs import assert_same, assert_same_states, state_of, terminated_in

FIXED = {"config": "tiny", "batch": 1, "device": "cpu", "precision": "fp32", "style_encoder_path": "none"}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> Path:
    """Files of random generators, exemplars and directions of the tiny sizes."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    for name, network in (("base", Generator(TINY)), ("fine", Generator(TINY)), ("dual", DualStyleGAN(TINY))):
        write_contents(folder / f"{name}.pt", {EMA_KEY: network.state_dict()})
    rng = np.random.default_rng(0)
    checkpoints.save_exemplars(folder / "codes.npy", {name: rng.normal(size=(1, 14, 16)) for name in "abc"})
    np.save(folder / "directions.npy", rng.normal(size=(4, 14, 16)).astype(np.float32))
    return folder


@pytest.fixture
def options(teachers, tmp_path, monkeypatch):
    """A function that makes options for short runs of variant `t` or `d`, without a parser."""
    recipe = RECIPES["tiny"]
    monkeypatch.setitem(RECIPES, "tiny", replace(recipe, network=replace(recipe.network, parsing_channels=0)))
    shared = {"runs": str(tmp_path / "runs"), "output": str(tmp_path / "out"), "iter": 4, "name": "trial"}
    shared["direction_path"] = str(teachers / "directions.npy")
    own = {
        "t": {"stylegan_path": str(teachers / "base.pt"), "finetunegan_path": str(teachers / "fine.pt")},
        "d": {"stylegan_path": str(teachers / "dual.pt"), "exstyle_path": str(teachers / "codes.npy"), "style_id": 1},
    }
    kinds = {"t": ToonifyOptions, "d": DualOptions}
    return lambda variant, **changes: kinds[variant](**FIXED | shared | own[variant] | changes)


@pytest.mark.parametrize("variant", ["t", "d"])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, variant):
    """Both stages; the last steps of the second one have all losses but LPIPS."""
    for pretrain, name in ((True, "pretrain.pt"), (False, {"t": "vtoonify.pt", "d": "vtoonify_s_d_c.pt"}[variant])):
        whole, parted = (options(variant, name=name, pretrain=pretrain) for name in ("whole", "parted"))
        whole_file = train(whole)
        with terminated_in(step=3):
            train(parted)
        assert state_of(parted)["step"] == 3
        parted_file = train(replace(parted, resume=True))
        assert_same_states(whole, parted)
        assert_same(*(checkpoints.read_contents(file, "a model") for file in (whole_file, parted_file)))
        assert whole_file.name == name


@pytest.mark.parametrize(
    ("fixed", "name"),
    [
        ({"fix_style": True, "fix_degree": True, "fix_color": True}, "vtoonify_s001_d0.5.pt"),
        ({"fix_style": True, "style_degree": 1.0, "fix_degree": True}, "vtoonify_s001_d1.0_c.pt"),
        ({"fix_color": True}, "vtoonify_s_d.pt"),
    ],
)
def test_the_name_tells_what_was_trained_for(options, fixed, name):
    train(options("d", pretrain=True, iter=1))
    result = train(options("d", iter=1, adv_loss=0, **fixed))
    assert result.name == name
    assert list(checkpoints.load_exemplars(result.with_name("exstyle_code.npy"))) == ["a", "b", "c"]


def test_only_encoder_and_fusion_learn(options, teachers):
    train(options("t", pretrain=True, iter=1))
    result = checkpoints.load_vtoonify(train(options("t", iter=2, weight=[0.25] * 14)))
    base, fine = (torch.load(teachers / f"{name}.pt")[EMA_KEY] for name in ("base", "fine"))
    for name, value in result.generator.state_dict().items():
        shared = name.startswith(("style.", "input.", "noises."))
        torch.testing.assert_close(value, base[name] if shared else 0.25 * fine[name] + 0.75 * base[name])
    encoder = checkpoints.read_contents(Path(options("t").output, "trial", "pretrain.pt"), "")[EMA_KEY]
    assert not torch.equal(result.encoder.state_dict()["0.0.weight"], encoder["0.0.weight"])


def test_start_iter_goes_on_from_weights(options):
    first = train(options("t", pretrain=True, iter=2))
    kept = {"pretrain": True, "name": "on", "encoder_path": str(first)}
    train(options("t", iter=3, start_iter=2, **kept))
    assert state_of(options("t", **kept))["step"] == 3
    with pytest.raises(InputError, match="--start_iter and --resume exclude each other"):
        train(options("t", iter=4, start_iter=3, resume=True, **kept))
    train(options("t", iter=4, resume=True, **kept))
    assert state_of(options("t", **kept))["step"] == 4, "the state knows where it began"


def test_a_full_disk_leaves_the_last_state(options):
    run = options("t", pretrain=True, iter=1)
    train(run)
    file = run.state_file
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # no file may be larger
    try:
        with pytest.raises(InputError, match=r"state\.pt can't be written"):
            train(replace(run, iter=2, resume=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before and [path.name for path in file.parent.glob("*.pt")] == ["state.pt"]


def test_another_generator_is_another_run(options, teachers):
    train(options("t", pretrain=True, iter=1))
    with pytest.raises(InputError, match="with another generator"):
        train(options("t", pretrain=True, iter=2, resume=True, finetunegan_path=str(teachers / "base.pt")))
    with pytest.raises(InputError, match="--seed 0, not 7"):
        train(options("t", pretrain=True, iter=2, resume=True, seed=7))


def test_drawn_pairs_are_for_variant_d(pair_folder, call, capsys, tmp_path):
    assert call(train_vtoonify_t.main, "--pairs", pair_folder, "--runs", tmp_path / "runs") == 2
    assert "holds drawn pairs, which have degrees" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variant", "wrong", "message"),
    [
        ("t", ["--stylegan_path", "nowhere.pt"], "nowhere.pt does not exist"),
        ("t", ["--finetunegan_path", "nowhere.pt"], "nowhere.pt does not exist"),
        ("t", ["--direction_path", "codes.npy"], "codes.npy is not a file of editing directions"),
        ("t", ["--weight", "1", "0"], "--weight has 2 numbers: give 14"),
        ("t", ["--weight", *"2" * 14], "--weight is 2.0"),
        ("t", ["--encoder_path", "base.pt"], "base.pt is not a pre-trained VToonify encoder"),
        ("t", [], "pretrain.pt does not exist"),
        ("t", ["--config", "starter"], "invalid choice: 'starter'"),
        ("d", ["--style_id", "3"], "3"),
        ("d", ["--style_degree", "1.5"], "--style_degree is 1.5"),
        ("d", ["--exstyle_path", "directions.npy"], "directions.npy"),
        ("d", ["--stylegan_path", "base.pt"], "base.pt is not a DualStyleGAN"),
        ("d", ["--config", "starter"], "--pairs is missing"),
        ("d", ["--resume"], "state.pt does not exist: start the run without --resume"),
    ],
)
def test_what_cannot_work_is_one_sentence(options, teachers, call, capsys, monkeypatch, variant, wrong, message):
    monkeypatch.chdir(teachers)
    known = options(variant)
    names = [*FIXED, "runs", "output", "name", "stylegan_path", "direction_path"]
    names += ["finetunegan_path"] if variant == "t" else ["exstyle_path", "style_id"]
    given = [word for name in names for word in (f"--{name}", getattr(known, name))]
    program = train_vtoonify_t if variant == "t" else train_vtoonify_d
    assert call(program.main, *given, *wrong) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error
    assert not Path(known.runs).exists() and not Path(known.output).exists()
