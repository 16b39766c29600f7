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
from model.common.weight_files import read_contents, write_contents
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from model.training.options import RECIPES, TINY, DualOptions, ToonifyOptions
from model.training.train import train
from tests.runs import assert_stopped_and_resumed_is_whole, largest_file, state_of

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
    network = replace(RECIPES["tiny"].network, parsing_channels=0)
    monkeypatch.setitem(RECIPES, "tiny", replace(RECIPES["tiny"], network=network))
    shared = {"runs": str(tmp_path / "runs"), "output": str(tmp_path / "out"), "iter": 4, "name": "trial"}
    shared["direction_path"] = str(teachers / "directions.npy")
    own = {
        "t": {"stylegan_path": str(teachers / "base.pt"), "finetunegan_path": str(teachers / "fine.pt")},
        "d": {"stylegan_path": str(teachers / "dual.pt"), "exstyle_path": str(teachers / "codes.npy"), "style_id": 1},
    }
    kinds = {"t": ToonifyOptions, "d": DualOptions}
    return lambda variant="t", **changes: kinds[variant](**FIXED | shared | own[variant] | changes)


@pytest.mark.parametrize("variant", ["t", "d"])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, variant):
    """Both stages; the last steps of the second one have all losses but LPIPS."""
    for pretrain, name in ((True, "pretrain.pt"), (False, {"t": "vtoonify.pt", "d": "vtoonify_s_d_c.pt"}[variant])):
        whole, parted = (options(variant, name=name, pretrain=pretrain) for name in ("whole", "parted"))
        file, _ = assert_stopped_and_resumed_is_whole(train, whole, parted, step=3)
        assert file.name == name


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
    train(options(pretrain=True, iter=1))
    result = checkpoints.load_vtoonify(train(options(iter=2, weight=[0.25] * 14)))
    base, fine = (torch.load(teachers / f"{name}.pt")[EMA_KEY] for name in ("base", "fine"))
    for name, value in result.generator.state_dict().items():
        shared = name.startswith(("style.", "input.", "noises."))
        torch.testing.assert_close(value, base[name] if shared else 0.25 * fine[name] + 0.75 * base[name])
    encoder = read_contents(Path(options().output, "trial", "pretrain.pt"), "")[EMA_KEY]
    assert not torch.equal(result.encoder.state_dict()["0.0.weight"], encoder["0.0.weight"])


def test_start_iter_goes_on_from_weights(options):
    first = train(options(pretrain=True, iter=2))
    kept = {"pretrain": True, "name": "on", "encoder_path": str(first)}
    train(options(iter=3, start_iter=2, **kept))
    assert state_of(options(**kept))["step"] == 3
    with pytest.raises(InputError, match="--start_iter and --resume exclude each other"):
        train(options(iter=4, start_iter=3, resume=True, **kept))
    train(options(iter=4, resume=True, **kept))
    assert state_of(options(**kept))["step"] == 4, "the state knows where it began"


def test_a_full_disk_or_another_generator_leaves_the_last_state(options, teachers):
    run = options(pretrain=True, iter=1)
    train(run)
    before, more = run.state_file.read_bytes(), replace(run, iter=2, resume=True)
    with largest_file(len(before) // 2), pytest.raises(InputError, match=r"cannot write .*state\.pt"):
        train(more)
    with pytest.raises(InputError, match="with another generator"):
        train(replace(more, finetunegan_path=str(teachers / "base.pt")))
    assert run.state_file.read_bytes() == before
    assert [path.name for path in run.folder.glob("*.pt")] == ["state.pt"]


@pytest.mark.parametrize(
    ("variant", "wrong", "message"),
    [
        ("t", ["--finetunegan_path", "nowhere.pt"], "nowhere.pt does not exist"),
        ("t", ["--direction_path", "codes.npy"], "codes.npy is not a file of editing directions"),
        ("t", ["--weight", "1", "0"], "--weight has 2 numbers: give 14"),
        ("t", ["--weight", *"2" * 14], "--weight is 2.0"),
        ("t", ["--encoder_path", "base.pt"], "base.pt is not a pre-trained VToonify encoder"),
        ("t", [], "pretrain.pt does not exist"),
        ("t", ["--config", "starter"], "invalid choice: 'starter'"),
        ("t", ["--config", "auto", "--pairs", "DRAWN"], "holds pairs that have degrees"),
        ("d", ["--style_id", "3"], "3"),
        ("d", ["--exstyle_path", "directions.npy"], "directions.npy"),
        ("d", ["--stylegan_path", "base.pt"], "base.pt is not a DualStyleGAN"),
        ("d", ["--config", "starter"], "--pairs is missing"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    options, teachers, pair_folder, call, capsys, monkeypatch, variant, wrong, message
):
    monkeypatch.chdir(teachers)
    known = options(variant)
    names = [*FIXED, "runs", "output", "name", "stylegan_path", "direction_path"]
    names += ["finetunegan_path"] if variant == "t" else ["exstyle_path", "style_id"]
    given = [f"--{name}={getattr(known, name)}" for name in names]
    wrong = [pair_folder if word == "DRAWN" else word for word in wrong]
    assert call((train_vtoonify_t if variant == "t" else train_vtoonify_d).main, *given, *wrong) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path(known.runs).exists() and not Path(known.output).exists()
