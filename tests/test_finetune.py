import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import read_contents, write_contents
from model.config import GeneratorConfig
from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.training import finetune as program
from model.training.data.pictures import PictureFolder
from model.training.finetune import GANTrainer, Options, finetune, main, mixed_codes
from model.training.gan.regularise import gradient_penalty
from model.training.options import RECIPES
from model.training.trainer import make_accelerator
from tests.runs import assert_same, assert_stopped_and_resumed_is_whole, log_of, state_of
from tests.small_finetune import SMALL, use_small_sizes

ROOT = Path(__file__).parents[1]
TEAL, TAN = (30, 120, 140), (220, 180, 140)


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch):
    """`--config tiny` is smaller still."""
    monkeypatch.setitem(RECIPES, "tiny", use_small_sizes(RECIPES["tiny"]))


@pytest.fixture
def files(tmp_path) -> Path:
    """A folder with a generator, stylegan.pt, and six pictures, faces/: a tan disc on teal."""
    torch.manual_seed(0)
    checkpoints.save_weights(tmp_path / "stylegan.pt", Generator(SMALL))
    (tmp_path / "faces" / "more").mkdir(parents=True)
    for i in range(6):
        picture = np.full((40, 40, 3), TEAL, np.uint8)
        cv2.circle(picture, (20, 20), 8 + i, TAN, -1)
        Image.fromarray(picture).save(tmp_path / "faces" / ("more" if i % 2 else ".") / f"{i}.png")
    return tmp_path


@pytest.fixture
def options(files):
    """A function that makes options for short runs in that folder."""

    def options(**changes) -> Options:
        given = {"data": "faces", "stylegan_path": "stylegan.pt", "out": "finetuned.pt", "runs": "runs"} | changes
        paths = {name: str(files / given[name]) for name in ("data", "stylegan_path", "out", "runs") if given[name]}
        short = {"device": "cpu", "config": "tiny", "name": "trial", "iter": 4, "log_every": 2, "kid_every": 0}
        return Options(**short | given | paths)

    return options


@pytest.fixture
def trainer(options):
    """A function that puts together the networks of a run, as in a process of its own."""

    def trainer(**changes) -> GANTrainer:
        AcceleratorState._reset_state(reset_partial_state=True)
        resolved = options(**changes).resolved()
        return GANTrainer(resolved, make_accelerator(resolved))

    return trainer


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, files, monkeypatch):
    monkeypatch.setattr(program, "PENALTY_EVERY", 4)  # in steps 0 and 4: one before the stop, one after it
    settings = {"iter": 6, "batch": 2, "accumulate": 2, "log_every": 2}
    whole, parted = (options(name=name, out=str(files / f"{name}.pt"), **settings) for name in ("whole", "parted"))
    assert_stopped_and_resumed_is_whole(finetune, whole, parted, step=3)
    one = state_of(whole)
    assert one["step"] == 6 and one["optimizer"]["state"] and one["discriminator_optimizer"]["state"]
    assert any(not torch.equal(one["network"][name], value) for name, value in one["ema"].items())
    lines = log_of(parted)
    assert [line["step"] for line in lines] == [2, 4, 6] and lines[-1] == log_of(whole)[-1]
    assert lines[0].keys() >= {"step", "discriminator", "penalty", "generator", "path", "real signs", "augmentation"}
    assert cv2.imread(str(parted.folder / "preview-000006.jpg")).shape == (6 * 256, 4 * 256, 3)
    assert json.loads((parted.folder / "options.json").read_text())["accumulate"] == 2


def test_another_seed_or_batch_gives_another_result(trainer):
    changes = ({}, {"seed": 1}, {"batch": 2}, {"accumulate": 2}, {})
    *results, again = [trainer(**each).advance()["generator"] for each in changes]
    assert len(set(results)) == 4 and again == results[0]


def test_the_generator_moves_to_the_colours_of_the_pictures(options, files):
    run = options(iter=30, lr=0.02, path=0.0)  # which would keep 16 pixels from changing so fast
    path = finetune(run)
    wanted = torch.stack(list(PictureFolder(run.data, 16))).mean((0, 2, 3))
    base, tuned = (checkpoints.load_generator(file, SMALL) for file in (run.stylegan_path, path))
    z = torch.randn(16, 1, 8, generator=torch.Generator().manual_seed(1)).repeat(1, SMALL.w_layers, 1)
    with torch.no_grad():
        before, after = (network(0.5 * network.mapping(z)).mean((0, 2, 3)) for network in (base, tuned))
    assert (after - wanted).norm() < 0.5 * (before - wanted).norm()


def test_the_result_is_the_average_with_the_mapping_network_and_input_of_the_base(options):
    run = options()
    assert finetune(run) == Path(run.out)
    base, tuned = (checkpoints.load_generator(file, SMALL).state_dict() for file in (run.stylegan_path, run.out))
    averaged = state_of(run)["ema"]
    assert list(tuned) == list(base)
    for name, value in tuned.items():
        kept = name.startswith(("style.", "input.", "noises.")) or name.endswith(".kernel")
        assert kept != (name in averaged) and torch.equal(value, base[name] if kept else averaged[name]), name
        assert torch.equal(value, base[name]) == kept, name


def test_the_penalty_of_a_linear_discriminator_is_the_square_of_its_weights():
    weight = torch.tensor(3.0, requires_grad=True)
    penalty = gradient_penalty(lambda x: (weight * x).flatten(1).sum(1, keepdim=True), torch.rand(5, 3, 4, 4))
    assert penalty.item() == pytest.approx(9 * 3 * 4 * 4)
    (slope,) = torch.autograd.grad(penalty, weight)
    assert slope.item() == pytest.approx(2 * 3 * 3 * 4 * 4)


def test_losses_are_those_of_the_formulas(trainer, files):
    for path in (files / "faces").rglob("*.png"):  # all pictures are one, which looks the same in a mirror
        Image.new("RGB", (16, 16), TAN).save(path)
    run = trainer(lr=1e-12, r1=5.0, path=3.0, truncated=0.0)
    draws = [np.random.default_rng((0, 0, place, 0)) for place in range(4)]
    real = (torch.tensor(TAN) / 127.5 - 1).view(1, 3, 1, 1).repeat(4, 1, 16, 16)
    judge = run.discriminator
    run.pictures.draw(draws[0], 4)
    of_real, of_fake = judge(real), judge(fakes(run, draws[0]))
    penalty = gradient_penalty(judge, real).item()
    judged = judge(fakes(run, draws[2]))
    codes = mixed_codes(run.base, draws[3], 2).requires_grad_()
    direction = torch.from_numpy(draws[3].standard_normal((2, 3, 16, 16), dtype=np.float32))
    (slope,) = torch.autograd.grad((run.base(codes) * direction).sum() / 16, codes)
    lengths = slope.square().sum(2).mean(1).sqrt()
    mean = lengths.mean()

    found = run.advance()
    expected = (1 + of_fake.exp()).log().mean() + (1 + (-of_real).exp()).log().mean()
    assert found["discriminator"] == pytest.approx(expected.item(), rel=1e-4)
    assert found["penalty"] == pytest.approx(5 / 2 * 16 * penalty, rel=1e-4)
    assert found["generator"] == pytest.approx((1 + (-judged).exp()).log().mean().item(), rel=1e-4)
    assert found["path"] == pytest.approx(3 * 4 * (lengths - mean).square().mean().item(), rel=1e-4)
    assert run.path_mean.value == pytest.approx(mean.item(), rel=1e-4)
    assert found["real signs"] == of_real.sign().mean().item() and found["augmentation"] == 0


def fakes(run: GANTrainer, rng: np.random.Generator) -> Tensor:
    codes = mixed_codes(run.base, rng, 4)
    rng.integers(2**63, size=4)  # seeds of the noise, which weighs nothing
    return run.base(codes)


def test_the_penalty_comes_every_16_steps_and_without_r1_never(trainer):
    run = trainer()
    assert [step for step in range(18) if "penalty" in run.advance()] == [0, 16]
    assert "penalty" not in trainer(r1=0.0).advance()


def test_path_lengths_come_every_4_steps_and_slow_the_optimiser_down_for_it(trainer):
    run = trainer()
    assert [step for step in range(6) if "path" in run.advance()] == [0, 4]
    assert {group["lr"] for group in run.optimizer.param_groups} == {0.002 * 4 / 5}
    assert {group["lr"] for group in run.discriminator_optimizer.param_groups} == {0.002 * 16 / 17}
    run = trainer(path=0.0)
    assert "path" not in run.advance() and run.optimizer.param_groups[0]["lr"] == 0.002


def test_all_of_a_new_generator_learns_and_its_discriminator_is_kept(options, files):
    run = options(stylegan_path="none", lr=0.01)
    run.stylegan_path = "none"
    contents = read_contents(finetune(run), "a generator")
    assert contents.keys() == {"g", "g_ema", "d"}
    again = checkpoints.load_generator(run.out, SMALL), checkpoints.load_discriminator(run.out, SMALL)
    assert all(again)
    torch.manual_seed(0)
    first = Generator(SMALL).state_dict()
    for name, value in contents["g"].items():
        assert torch.equal(value, first[name]) == (name.startswith("noises.") or name.endswith(".kernel")), name


def test_levels_have_rates_of_their_own(trainer):
    run = trainer(level_lr=[1.0, 0.5, 0.0], path=0.0)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    run.advance()
    rates = {name: group["lr"] / 0.002 for name, group in zip(run.learning, run.optimizer.param_groups, strict=True)}
    assert rates["conv1.conv.weight"] == rates["to_rgb1.bias"] == 1
    assert rates["convs.0.conv.weight"] == rates["convs.1.conv.weight"] == rates["to_rgbs.0.bias"] == 0.5
    assert rates["convs.2.conv.weight"] == rates["to_rgbs.1.bias"] == 0
    for name, value in run.network.named_parameters():
        assert torch.equal(value, before[name]) == (rates.get(name, 0) == 0), name


def test_freezing_takes_the_first_layers_of_the_discriminator(trainer):
    run = trainer(freeze_d=3)
    before = {name: value.clone() for name, value in run.discriminator.named_parameters()}
    run.advance()
    for name, value in run.discriminator.named_parameters():
        first = name.startswith(("convs.0.", "convs.1.conv1.", "convs.1.conv2."))
        assert torch.equal(value, before[name]) == first, name
    with pytest.raises(InputError, match="--freeze_d is 30: this discriminator has 7 layers"):
        trainer(freeze_d=30)


def test_short_codes_take_their_share(trainer):
    base = trainer().base
    whole = mixed_codes(base, np.random.default_rng(0), 400, truncated=0.0)
    short = mixed_codes(base, np.random.default_rng(0), 400, truncated=0.3)
    halved = (short - 0.5 * whole).abs().amax((1, 2)) < 1e-6
    assert 0.2 < halved.float().mean() < 0.4 and torch.equal(short[~halved], whole[~halved])


def test_the_augmentation_follows_how_sure_the_discriminator_is(trainer, monkeypatch):
    """Its probability rises by the pictures that were seen, every fourth step, and pictures change from then on."""
    run = trainer(ada_kimg=0.1, r1=0.0, path=0.0)
    monkeypatch.setattr(GANTrainer, "_judge", lambda self, x, rng: self.discriminator(x) + 10)
    found = [run.advance()["augmentation"] for _ in range(9)]
    assert found == pytest.approx([0, 0, 0, 0.16, 0.16, 0.16, 0.16, 0.32, 0.32])
    monkeypatch.setattr(GANTrainer, "_judge", lambda self, x, rng: self.discriminator(x) - 10)
    assert [run.advance()["augmentation"] for _ in range(3)][-1] == pytest.approx(0.16)  # 8 sure ones of 16 by then
    monkeypatch.undo()
    real, rng = run._real(np.random.default_rng(0)), np.random.default_rng(1)
    assert not torch.equal(run._judge(real, rng), run.discriminator(real))


def test_the_best_average_is_the_result(options, files):
    run = options(iter=12, lr=0.02, log_every=2, kid_every=2)
    finetune(run)
    found = {line["step"]: line["KID of pixels"] for line in log_of(run)}
    assert len(found) == 6
    best = min(found, key=found.get)
    assert state_of(run)["best"] == {"value": found[best], "step": best}
    kept = checkpoints.load_state(run.folder / "best.pt")["g_ema"]
    assert_same(dict(kept), dict(read_contents(run.out, "a generator")["g_ema"]))
    last = options(iter=12, name="last", keep="last", out="last.pt", lr=0.02, log_every=2, kid_every=2)
    finetune(last)
    written = read_contents(last.out, "a generator")["g_ema"]
    average = dict(state_of(last)["ema"])
    assert_same({name: written[name] for name in average}, average)


def test_two_processes_equal_one_with_two_batches(files):
    """Each takes the batches that the one would take in turn."""
    settings = ["--config=tiny", "--device=cpu", "--iter=3", "--log_every=1", "--kid_every=0", "--name=trial"]
    paths = [f"--data={files}/faces", "--stylegan_path=none", "--batch=4"]
    for name, processes, accumulate in (("one", 1, 2), ("two", 2, 1)):
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        own = [f"--runs={files}/{name}", f"--out={files}/{name}.pt", f"--accumulate={accumulate}"]
        command = [sys.executable, *launcher, "-m", "tests.small_finetune", *settings, *paths, *own]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    runs = [files / name / "trial" for name in ("one", "two")]
    one, two = ([json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in runs)
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-6)
    a, b = (checkpoints.load_state(run / "state.pt") for run in runs)
    for name, value in a["ema"].items():
        torch.testing.assert_close(value, b["ema"][name], rtol=1e-3, atol=1e-4)


def test_a_step_of_several_batches_has_the_mean_of_their_gradients(trainer, monkeypatch):
    """With all batches alike, it is the step of one of them."""
    codes, real = 0.3 * torch.randn(4, SMALL.w_layers, 8), torch.rand(4, 3, 16, 16)
    monkeypatch.setattr(GANTrainer, "_real", lambda *_: real)
    monkeypatch.setattr(GANTrainer, "_fake", lambda run, _: run.network(codes))
    runs, losses = [], []
    for accumulate in (1, 3):
        runs.append(trainer(accumulate=accumulate, path=0.0))
        losses.append(runs[-1].advance())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name in (name for name in runs[0].learning if "noise" not in name):
        one, three = (run.optimizer.state[run.network.get_parameter(name)]["exp_avg_sq"].sqrt() for run in runs)
        torch.testing.assert_close(three, one, rtol=1e-3, atol=1e-5)


def test_codes_are_those_of_one_or_two_pictures(trainer):
    base = trainer().base
    codes = mixed_codes(base, np.random.default_rng(0), 400)
    assert codes.shape == (400, SMALL.w_layers, 8)
    differ = (codes[:, 1:] != codes[:, :-1]).any(2)
    assert differ.sum(1).max() == 1 and 0.85 < differ.any(1).float().mean() < 0.95
    assert differ.any(0).all()  # any layer may be the first of the other picture
    assert torch.equal(codes, mixed_codes(base, np.random.default_rng(0), 400))


def test_the_published_sizes_learn_from_32_pictures_a_step():
    options = Options(data="faces").resolved()
    options.check()
    assert options.batch * options.accumulate == 32 and options.recipe.network.generator == GeneratorConfig()
    assert (options.iter, options.lr, options.r1) == (600, 0.002, 10)


def test_the_discriminator_of_the_file_goes_on(trainer, files):
    torch.manual_seed(7)
    trained = Discriminator(None, 16, SMALL.channels).state_dict()
    base = read_contents(files / "stylegan.pt", "a generator")
    write_contents(files / "stylegan.pt", base | {"d": trained})
    taken = trainer().discriminator
    assert_same(dict(taken.state_dict()), dict(trained))
    assert taken.training and all(parameter.requires_grad for parameter in taken.parameters())
    write_contents(files / "stylegan.pt", base | {"d": Discriminator(None, 8, SMALL.channels).state_dict()})
    with pytest.raises(InputError, match="its discriminator is for 8 px, and the generator has 16"):
        trainer()


def test_bfloat16_comes_close_to_float32(trainer):
    exact, fast = trainer().advance(), trainer(precision="bf16").advance()
    assert fast == pytest.approx(exact, rel=0.1) and fast != exact


def test_a_run_goes_on_with_its_own_options_only_and_nothing_is_overwritten(options, files):
    run = options(iter=1)
    finetune(run)
    written = Path(run.out).read_bytes()
    torch.manual_seed(1)
    checkpoints.save_weights(files / "other.pt", Generator(SMALL))
    again = {"resume": True, "iter": 2}
    for changes, sentence in (
        ({"r1": 1.0} | again, "was started with --r1 10.0, not 1.0"),
        ({"data": "faces/more"} | again, "was started with other pictures"),
        ({"stylegan_path": "other.pt"} | again, "was started with another generator"),
        ({"name": "elsewhere"}, "finetuned.pt already exists"),
    ):
        with pytest.raises(InputError, match=sentence):
            finetune(options(**changes))
    assert Path(run.out).read_bytes() == written and state_of(run)["step"] == 1
    assert not (Path(run.runs) / "elsewhere").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": None}, "--data is missing"),
        ({"accumulate": -1}, "--accumulate is -1"),
        ({"r1": -1.0}, "--r1 is -1.0"),
        ({"data": "nowhere"}, "nowhere is no folder"),
        ({"stylegan_path": "nowhere.pt"}, "nowhere.pt does not exist"),
        ({"config": "published"}, "is only 40 pixels wide or high: remove it or give at least 256"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_written(options, files, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        finetune(options(**changes))
    assert not (files / "runs").exists()


def test_the_command_line_runs_and_says_one_sentence_when_it_can_not(call, files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    words = ["--stylegan_path=stylegan.pt", "--out=out.pt", "--config=tiny", "--device=cpu", "--iter=1", "--data"]
    assert call(main, *words, "faces", "--dry_run") == 0
    assert "accumulate: 1" in capsys.readouterr().out and not Path("runs").exists()
    assert call(main, *words, "faces") == 0
    assert "The fine-tuned generator is out.pt." in capsys.readouterr().out
    assert call(main, *words, "empty") == 2
    error = capsys.readouterr().err
    assert error.startswith("program.py: ") and error.count("\n") == 1
