import json
import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_vtoonify_d
from model import checkpoints
from model.common.errors import InputError
from model.common.files import alone
from model.common.weight_files import read_contents, write_contents
from model.inference.stylizer import Stylizer
from model.training import sources
from model.training import train as loop
from model.training.options import RECIPES, DualOptions
from model.training.stages import Distillation
from model.training.train import train
from model.training.trainer import ema_decay, learning_rate, make_accelerator
from tests.runs import assert_same, assert_stopped_and_resumed_is_whole, log_of, state_of

ROOT = Path(__file__).parents[1]
FIXED = {"config": "starter_tiny", "batch": 1, "workers": 0, "device": "cpu", "precision": "fp32"}
TINY = [f"--{name}={value}" for name, value in FIXED.items()]


@pytest.fixture
def options(pair_folder, tmp_path):
    """A function that makes options for short runs below a temporary folder."""
    folders = {"pairs": [str(pair_folder)], "runs": str(tmp_path / "runs"), "output": str(tmp_path / "out")}
    return lambda **changes: DualOptions(**folders | FIXED | {"name": "trial", "iter": 4} | changes)


@pytest.fixture
def distillation(options):
    """A run that is put together but not begun."""
    resolved = options().resolved("drawn")
    exemplars = sources.draw_exemplars(["film"], layers=14, dim=16, seed=0)
    source = SimpleNamespace(styles=["film"], stored=3, backbone=None, exemplars=exemplars)
    return Distillation(resolved, make_accelerator(resolved), source)


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options):
    # Step 3 of 4 is in the second half, where the flicker loss joins in.
    settings = {"batch": 2, "adv_loss": 0.01, "grec_loss": 0.1}
    whole, parted = options(name="whole", **settings), options(name="parted", **settings)
    assert_stopped_and_resumed_is_whole(train, whole, parted, step=2)
    one = state_of(whole)
    assert one["step"] == 4 and one["discriminator"] and one["discriminator_optimizer"]["state"]
    assert any(not torch.equal(one["network"][name], value) for name, value in one["ema"].items())


def test_the_losses_fall_and_others_join_in_halfway(options):
    run = options(iter=40, batch=2, lr=0.001, log_every=10, save_every=20)
    train(run)
    losses = log_of(run)
    assert [line["step"] for line in losses] == [10, 20, 30, 40]
    late = [{"flicker", "discriminator", "adversarial"} & line.keys() for line in losses]
    assert list(map(len, late)) == [0, 0, 3, 3]
    assert losses[-1]["gradient"] < 0.9 * losses[0]["gradient"]  # l1 depends more on which views were drawn
    assert losses[-1]["held_out_l1"] < 0.98 * losses[0]["held_out_l1"]  # of the average, which lags behind
    grid = cv2.imread(str(run.folder / "preview-000040.jpg"))
    assert grid.shape == (6 * 256, (3 + 3) * 256, 3)  # photo, target, result, three masks
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [point.value for point in events.Scalars("l1")] == pytest.approx([line["l1"] for line in losses])
    assert len(events.Images("preview")) == 4
    assert json.loads((run.folder / "options.json").read_text())["lr"] == 0.001


def test_the_finished_file_serves_the_stylizer(options):
    run = options(iter=2)
    path = train(run)
    assert path == Path(run.output) / "trial" / "vtoonify_s_d.pt"
    network = checkpoints.load_vtoonify(path)
    assert network.config == RECIPES["starter_tiny"].network
    weights = network.state_dict()
    for name, value in state_of(run)["ema"].items():
        torch.testing.assert_close(weights[name], value.half().float(), rtol=0, atol=0)

    stylizer = Stylizer.from_preset(str(path), device="cpu", precision="fp32")
    exemplars = stylizer.style.exemplars
    assert list(exemplars) == ["film"] and stylizer.style.exemplar_name() == "film"
    codes = sources.draw_exemplars(["film"], layers=14, dim=16, seed=run.seed)
    np.testing.assert_array_equal(exemplars["film"], codes["film"])
    frame = np.full((64, 80, 3), 120, np.uint8)
    (result,) = stylizer.render([frame], stylizer.fit(frame, scale_image=False), degree=0.5)
    assert result.shape == (256, 320, 3)


def test_one_run_at_a_time_is_in_a_folder(options):
    run = options(iter=1)
    run.folder.mkdir(parents=True)
    (run.folder / "log.jsonl").write_text("of the other run\n")
    with alone(run.folder / ".lock", "it"), pytest.raises(InputError, match=f"another run is at work on {run.folder}"):
        train(run)
    assert [path.name for path in run.folder.iterdir()] == ["log.jsonl"]
    assert (run.folder / "log.jsonl").read_text() == "of the other run\n"


def test_a_run_is_resumed_with_its_own_options_only(options):
    with pytest.raises(InputError, match="without --resume"):
        train(options(resume=True))
    assert not Path(options().runs).exists()
    path = train(options(iter=1))
    path.unlink()
    assert train(options(iter=1, resume=True)) == path and path.exists(), "it is published again"
    before = options().state_file.read_bytes()
    for changes, message in (
        ({"batch": 2}, "with 1 pictures a step, not 2: set --batch"),
        ({"accumulate": 3}, "with 1 pictures a step, not 3: set --batch"),
        ({"seed": 5}, "with --seed 0, not 5"),
        ({"resume": False}, "already holds a run: add --resume"),
    ):
        with pytest.raises(InputError, match=message):
            train(options(**{"iter": 2, "resume": True} | changes))
    assert options().state_file.read_bytes() == before
    write_contents(options().state_file, {"step": 3})
    with pytest.raises(InputError, match="of another version"):
        train(options(resume=True))


def test_a_loss_that_is_not_finite_stops_the_run(options):
    with pytest.raises(InputError, match=r"at step 1 \(l1 is (nan|inf).*start again with a lower --lr"):
        train(options(lr=1e30))
    with pytest.raises(InputError, match=r"at step 1 .*--resume from .*state\.pt with a lower --lr"):
        train(options(lr=1e30, save_every=1))


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(distillation, monkeypatch):
    before = [parameter.detach().clone() for parameter in distillation.network.parameters()]
    # The square root is 0, and infinitely steep there.
    losses = {"l1": (distillation.network.encoder[0][0].bias * 0).sum().sqrt()}
    monkeypatch.setattr(distillation, "losses", lambda *_: losses)
    batch = {"x": torch.zeros(1, 3, 32, 32), "style": torch.zeros(1, dtype=torch.long), "degree": torch.zeros(1)}
    distillation.batches = iter([batch])
    with pytest.raises(InputError, match=r"at step 0 \(norm of the gradient is nan\)"):
        distillation.advance()
    assert_same(before, [parameter.detach() for parameter in distillation.network.parameters()])


@pytest.mark.parametrize(("processes", "accumulate", "batch"), [(1, 1, 8), (2, 1, 4), (2, 2, 2), (1, 4, 2), (8, 1, 1)])
def test_all_processes_together_take_the_same_samples(processes, accumulate, batch):
    options = DualOptions(batch=batch, accumulate=accumulate)
    engines = [SimpleNamespace(num_processes=processes, process_index=rank) for rank in range(processes)]
    batches = [numbers for engine in engines for numbers in sources.local_numbers(options, engine, step=5)]
    assert len(batches) == processes * accumulate and all(len(numbers) == batch for numbers in batches)
    assert sorted(n for numbers in batches for n in numbers) == list(range(40, 48))


def test_checkpointed_activations_change_nothing_and_weights_are_kept_from_save_begin_on(options):
    runs = [options(name=name, checkpointing=name == "again", save_every=1, save_begin=2) for name in ("kept", "again")]
    assert_same(*(read_contents(train(run), "a model") for run in runs))
    kept = sorted(file.name for file in runs[0].result_folder.iterdir())
    assert kept == ["exstyle_code.npy", "vtoonify_s_d.pt", "vtoonify_s_d_00002.pt", "vtoonify_s_d_00003.pt"]


def test_a_dry_run_shows_the_options_and_writes_nothing(options, capsys, tmp_path):
    assert train(options(dry_run=True, config="auto")) is None
    shown = capsys.readouterr().out.splitlines()
    assert "config: starter" in shown and "lr: 0.0008" in shown and not list(tmp_path.iterdir())


def test_what_a_killed_run_logged_after_its_state_is_dropped(options):
    log = options().folder / "log.jsonl"
    for iter, rest in ((2, '{"step": 9, "l1": 0.0}\n'), (3, '{"step": 2, "l'), (4, "")):
        train(options(iter=iter, log_every=1, lr=iter * 1e-5, resume=iter > 2))
        assert [line["step"] for line in log_of(options())] == list(range(1, iter + 1))
        log.write_text(log.read_text() + rest)


def test_the_learning_rate_warms_up_and_sinks_to_a_fiftieth():
    options = DualOptions(config="starter", lr=1.0, iter=1000)
    rates = [learning_rate(step, options) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == max(rates[90:110]) > 0.95
    assert rates[100:] == sorted(rates[100:], reverse=True) and rates[-1] == pytest.approx(0.02)


def test_the_average_forgets_half_in_ten_thousand_pictures():
    for step, young in ((0, False), (10**6, False), (10**6, True)):
        assert ema_decay(step, 8, young) ** (10_000 / 8) == pytest.approx(0.5)
    assert ema_decay(1, 8, young=True) < 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--batch", "-1"], "--batch is -1"),
        (["--lr", "0"], "--lr is 0"),
        (["--lr", "nan"], "--lr is nan"),
        (["--msk_loss", "-1"], "--msk_loss is -1"),
        (["--name", "a/b"], "--name is 'a/b'"),
        (["--name", ".."], "--name is '..'"),
        (["--pairs", "nowhere"], "nowhere"),
        (["--runs", "/dev/null", *TINY], "/dev/null"),
        (["--iter", "many"], "'many'"),
    ],
)
def test_options_that_cannot_work_are_one_sentence(pair_folder, tmp_path, call, capsys, wrong, message):
    folders = ("--pairs", pair_folder, "--runs", tmp_path / "runs", "--output", tmp_path / "out")
    assert call(train_vtoonify_d.main, *folders, *wrong) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_starts_from_a_finished_model_and_its_codes(options):
    first = train(options(name="first", iter=3))
    again = train(options(name="again", iter=1, lr=1e-12, seed=5, init_path=str(first)))
    train(options(name="again", iter=2, lr=1e-12, seed=5, init_path=str(first), resume=True))
    weights, kept = (checkpoints.load_vtoonify(file).state_dict() for file in (first, again))
    assert all(torch.allclose(kept[name], value, atol=1e-3) for name, value in weights.items())
    codes, kept = (checkpoints.load_exemplars(file.with_name("exstyle_code.npy")) for file in (first, again))
    assert list(codes) == list(kept) and all(np.array_equal(codes[name], kept[name]) for name in codes)
    other = checkpoints.load_vtoonify(train(options(name="other", iter=1, lr=1e-12, seed=5)))
    assert not torch.allclose(other.encoder[0][0].weight, weights["encoder.0.0.weight"], atol=1e-3)
    with pytest.raises(InputError, match="vtoonify_s_d.pt is not a VToonify model of this size: parameter"):
        train(options(name="third", init_path=str(ROOT / "checkpoint/starter/vtoonify_s_d.pt")))


def test_from_scratch_all_rates_follow_the_schedule(distillation, monkeypatch):
    """Unit weights learn ten times as fast; the discriminator slows down with the generator."""
    monkeypatch.setattr(distillation, "take_step", dict)
    for step in (0, 3):
        distillation.step = step
        distillation.advance()
        groups = [*distillation.optimizer.param_groups, *distillation.discriminator_optimizer.param_groups]
        rates = {id(value): group["lr"] for group in groups for value in group["params"]}
        rate = learning_rate(step, distillation.options)
        assert rates[id(distillation.network.encoder[0][0].weight)] == rate
        assert {rates[id(value)] for value in distillation.discriminator.parameters()} == {rate}
        for name in ("generator.generator.convs.6.conv.weight", "res.1.conv2.0.weight", "generator.res.13.weight"):
            assert rates[id(distillation.network.get_parameter(name))] == 10 * rate
        assert rates[id(distillation.network.get_parameter("generator.generator.style.1.weight"))] == rate
    assert learning_rate(3, distillation.options) != learning_rate(0, distillation.options)


def test_measuring_prints_speed_and_memory_and_leaves_nothing(options, capsys, tmp_path):
    assert train(options(measure=2)) is None
    *_, last = capsys.readouterr().out.splitlines()
    found = re.fullmatch(r"([\d.]+) steps/s of 1 pictures a process, peak memory ([\d.]+) GiB \(cpu\)", last)
    assert float(found[1]) > 0 and 0.05 < float(found[2]) < 50
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="--measure is 4: give fewer steps than --iter, 4"):
        train(options(measure=4))


def test_a_single_pair_is_not_enough_and_damage_that_a_process_meets_is_one_sentence(options, monkeypatch):
    pairs = loop.index_pairs(options().pairs)
    monkeypatch.setattr(loop, "index_pairs", lambda folders: pairs[:1])
    with pytest.raises(InputError, match="a single pair"):
        train(options())
    for pair in pairs[1:]:  # the first one is held out, and read before
        pair.parts["photo.jpg"] = (0, 4)
    monkeypatch.setattr(loop, "index_pairs", lambda folders: pairs)
    with pytest.raises(InputError, match=r"[^\n]*photo.jpg is no picture[^\n]*\.$") as caught:
        train(options(workers=1))
    assert str(caught.value).startswith(options().pairs[0])
