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

from model import checkpoints
from model.common import weight_files
from model.common.errors import InputError
from model.common.weight_files import read_contents, write_contents
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN, ModRes
from model.stylegan2 import Generator
from model.training.own import dual_pretrain, dual_transfer
from model.training.own.dual import begin_dual
from model.training.own.dual_pretrain import PretrainTrainer, first_of_other, pretrain
from model.training.own.dual_transfer import TransferTrainer, transfer
from model.training.trainer import make_accelerator
from tests.parity import READERS
from tests.runs import assert_stopped_and_resumed_is_whole, largest_file, log_of, state_of
from tests.small_dual import DIM, LAYERS, NAMES, SMALL

pytest_plugins = ("tests.small_dual_plugin",)
ROOT, PROCESSES = Path(__file__).parents[1], ["--standalone", "--nproc_per_node=2", "-m"]
MANIFEST = Path(__file__).parent / "golden" / "manifest.json.gz"
SHARED = {"device": "cpu", "config": "tiny", "name": "trial", "iter": 4, "batch": 2, "accumulate": 1}
PRETRAIN = {"stylegan_path": "photos.pt", "encoder_path": "encoder.pt", "out": "pretrain.pt"}
TRANSFER = {"data": "drawn", "codes": "codes", "pretrain_path": "dual.pt", "out": "generator.pt"}


def pretraining(**changes) -> dual_pretrain.Options:
    return dual_pretrain.Options(**SHARED | PRETRAIN | changes)


def transferring(**changes) -> dual_transfer.Options:
    return dual_transfer.Options(**SHARED | TRANSFER | changes)


STAGES = {"pretrain": (pretrain, pretraining, PretrainTrainer), "transfer": (transfer, transferring, TransferTrainer)}


def make_trainer(stage: str, **changes) -> PretrainTrainer | TransferTrainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    _, options, kind = STAGES[stage]
    resolved = options(**changes).resolved()
    return kind(resolved, make_accelerator(resolved))


@torch.no_grad()
def test_the_first_stage_draws_nearly_the_photo_with_the_exemplars_colours():
    torch.manual_seed(0)
    photos = Generator(SMALL)
    dual = begin_dual(photos)
    one, other = photos.mapping(torch.randn(2, 4, 1, DIM)).repeat(1, 1, LAYERS, 1)
    first = SMALL.structure_layers
    both = torch.cat([one[:, :first], other[:, first:]], dim=1)
    result, wanted, plain = dual(one, other, [1.0] * LAYERS), photos(both), photos(one)
    assert (result - wanted).abs().mean() < 0.1 * (plain - wanted).abs().mean()
    for block in dual.res:
        if isinstance(block, ModRes):
            assert all(0.005 < conv.weight.std() < 0.02 for conv in (block.conv[0], block.conv2[0]))
        else:
            assert (block.weight * block.scale - torch.eye(DIM)).abs().max() < 0.03


def test_the_layer_that_the_second_stage_learns_goes_down():
    layers = [first_of_other(step, 3600, 7) for step in range(3600)]
    assert [layers.count(layer) for layer in (7, 6, 5)] == [300, 300, 3000] and layers == sorted(layers, reverse=True)
    assert {first_of_other(step, 24, 3) for step in range(24)} == {3, 2, 1}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(files, stage):
    train, options, _ = STAGES[stage]
    whole, parted = (options(name=name, out=f"{name}.pt", iter=6, log_every=2) for name in ("whole", "parted"))
    assert_stopped_and_resumed_is_whole(train, whole, parted, step=3)
    state = state_of(whole.resolved())
    assert state["path_mean"]["value"] > 0 and state["discriminator_optimizer"]["state"]
    lines = log_of(whole)
    assert {"discriminator", "penalty", "adversarial", "path", "real signs"} <= lines[0].keys()
    assert lines[-1] == log_of(parted)[-1]
    assert cv2.imread(str(Path("runs/whole/preview-000006.jpg"))) is not None


@pytest.mark.parametrize("stage", STAGES)
def test_the_extrinsic_path_learns_and_is_averaged_and_the_generator_stays(files, stage):
    run = make_trainer(stage)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    for _ in range(3):
        run.advance()
    for name, value in run.network.state_dict().items():
        kept = name.startswith("generator.") or name.endswith(".kernel")
        assert torch.equal(value, before[name]) == kept, name
        average = run.ema.state_dict()[name]
        assert kept or not (torch.equal(average, value) or torch.equal(average, before[name])), name


def test_pretraining_comes_nearer_to_its_target(files):
    run = pretraining(iter=60, lr=0.01, log_every=60, batch=4, path=0.0)
    pretrain(run)
    distances = [line["held_out_perceptual"] for line in log_of(run)]
    AcceleratorState._reset_state(reset_partial_state=True)
    start = make_trainer("pretrain", iter=60, name="other")
    start.step = 60
    assert distances[-1] < 0.9 * start.preview()[1]["held_out_perceptual"]


def test_transfer_comes_nearer_to_the_exemplars_by_a_factor(files):
    before = make_trainer("transfer").preview()[1]["exemplars_l1"]
    run = transferring(iter=100, lr=0.02, log_every=100, batch=4, path=0.0, r1=1.0)
    transfer(run)
    (line,) = log_of(run)
    assert line["exemplars_l1"] < 0.8 * before


def test_odd_steps_draw_exemplars_from_their_own_codes(files):
    run = make_trainer("transfer")
    first = SMALL.structure_layers + 1
    for step, paired in ((0, False), (1, True)):
        run.step = step
        batch = run.draw(np.random.default_rng(0), 3)
        own = run.photos.mapping(run.intrinsic[batch["numbers"]])
        assert torch.allclose(batch["w_plus"][:, :first], own[:, :first]) == paired
        assert not torch.allclose(batch["w_plus"][:, first:], own[:, first:])
        pictures = torch.stack([run.pictures[number] for number in batch["numbers"]])
        assert torch.equal(batch["pictures"], pictures)
        jitter = batch["exemplar"] - run.exemplars[batch["numbers"]]
        assert 0.07 < jitter.std() < 0.13
        assert ("pair" in run.terms(run.result(batch), batch)) == paired
    stored = checkpoints.load_exemplars("codes/exstyle_code.npy")
    expected = run.photos.mapping(torch.from_numpy(np.concatenate([stored[name] for name in NAMES])))
    torch.testing.assert_close(run.exemplars, expected)


def test_identity_is_that_of_the_photo_with_the_same_codes_and_noise(files, monkeypatch):
    """Where exemplars change nothing, a result is its photo, for any two codes that were mixed."""
    seen = []

    class Stand(torch.nn.Module):
        def forward(self, face):
            seen.append(face)
            return torch.nn.functional.normalize(face.flatten(1))

    monkeypatch.setattr(dual_transfer, "load_identity", lambda *_: Stand())
    run = make_trainer("transfer", id_loss=2.0)
    run.weights = [0.0] * LAYERS
    batch = run.draw(np.random.default_rng(0), 4)
    found = run.terms(run.result(batch), batch)
    assert found["identity"].item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(seen[0], seen[1])


def test_an_encoder_makes_the_exemplar_every_fourth_step(files):
    run = make_trainer("pretrain")
    for step, encoded in ((0, True), (1, False), (3, False), (4, True)):
        run.step = step
        batch = run.draw(np.random.default_rng(0), 2)
        assert torch.equal(batch["exemplar"], batch["other"]) != encoded
    batch = make_trainer("pretrain", encoder_path="none").draw(np.random.default_rng(0), 2)
    assert torch.equal(batch["exemplar"], batch["other"])


def test_files_have_the_published_names_and_shapes(monkeypatch):
    published = READERS["gzipped JSON"](MANIFEST)
    written = {}
    monkeypatch.setattr(dual_pretrain, "stored", lambda network: network.state_dict())
    monkeypatch.setattr(dual_pretrain, "write_contents", lambda path, contents: written.update(contents))
    monkeypatch.setattr(weight_files, "stored", lambda network: network.state_dict())
    with torch.device("meta"):
        network, judge = DualStyleGAN(), Discriminator(None, 1024)
    for kind, options in ((PretrainTrainer, pretraining()), (TransferTrainer, transferring())):
        if kind is TransferTrainer:
            monkeypatch.setattr(weight_files, "write_contents", lambda path, contents: written.update(contents))
        written.clear()
        run = object.__new__(kind)
        run.options, run.network, run.ema, run.discriminator = options.resolved(), network, network, judge
        run.accelerator = make_accelerator(options.resolved())
        run.publish()
        assert written.keys() == ({"g", "d", "g_ema"} if kind is PretrainTrainer else {"g_ema"})
        for key in written.keys() - {"d"}:
            shapes = {name: list(value.shape) for name, value in written[key].items()}
            assert shapes.keys() == published["dualstylegan"].keys()
            for name, entry in published["dualstylegan"].items():
                assert entry is None or entry[0] in (None, shapes[name]), name


def test_generators_are_kept_on_the_way_and_a_full_disk_loses_nothing(files):
    run = transferring(iter=3, save_every=1, save_begin=2)
    transfer(run)
    assert sorted(path.name for path in files.glob("generator*")) == ["generator-000002.pt", "generator.pt"]
    assert read_contents("generator.pt", "").keys() == {"g_ema"}
    checkpoints.load_dualstylegan("generator.pt", SMALL)
    state = run.state_file.read_bytes()
    with largest_file(len(state) // 2), pytest.raises(InputError, match=r"cannot write .*state\.pt"):
        transfer(transferring(iter=4, resume=True, out="later.pt"))
    assert run.state_file.read_bytes() == state and not Path("later.pt").exists()
    transfer(transferring(iter=4, resume=True, out="later.pt"))
    assert state_of(run)["step"] == 4 and Path("later.pt").exists()


@pytest.mark.slow
def test_two_processes_equal_one_with_the_double_accumulation(files):
    words = ["--config=tiny", "--device=cpu", "--data=drawn", "--codes=codes", "--pretrain_path=dual.pt", "--batch=2"]
    words += ["--iter=4", "--log_every=4", "--r1=1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for name, accumulate, launcher in (("one", 2, []), ("two", 1, ["torch.distributed.run", *PROCESSES])):
        command = [
            sys.executable,
            "-m",
            *launcher,
            "tests.small_dual",
            "dual_transfer",
            *words,
            f"--accumulate={accumulate}",
        ]
        command += [f"--name={name}", f"--out={name}.pt"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, two = (json.loads(Path(f"runs/{name}/log.jsonl").read_text()) for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-3, abs=1e-5)
    one, two = (read_contents(f"{name}.pt", "")["g_ema"] for name in ("one", "two"))
    base = read_contents("dual.pt", "")["g_ema"]
    moved, apart = (sum((value - other[name]).abs().sum() for name, value in one.items()) for other in (base, two))
    assert apart < 0.01 * moved, "but for gradients near zero, whose sign is rounding"


@pytest.mark.parametrize(
    ("stage", "changes", "sentence"),
    [
        ("pretrain", {"stylegan_path": "tuned.pt"}, "tuned.pt has no discriminator"),
        ("pretrain", {"stylegan_path": "nowhere.pt"}, "nowhere.pt does not exist"),
        ("pretrain", {"encoder_path": "nowhere.pt"}, "nowhere.pt does not exist"),
        ("pretrain", {"encoder_path": "photos.pt"}, "photos.pt is not a pSp style encoder"),
        ("pretrain", {"judge": "vgg"}, "VGG-19 is missing: put torchvision's vgg19-dcbb9e9d.pth"),
        ("pretrain", {"out": "photos.pt"}, "photos.pt already exists"),
        ("pretrain", {"data": "codes"}, "codes holds no pictures"),
        ("transfer", {"data": ""}, "--data is missing"),
        ("transfer", {"codes": "drawn"}, "exstyle_code.npy does not exist"),
        ("transfer", {"data": "more"}, "has no code of d.png"),
        ("transfer", {"codes": "other_sizes"}, "is not a file of codes for this generator"),
        ("transfer", {"pretrain_path": "photos.pt"}, "photos.pt is not a DualStyleGAN"),
        ("transfer", {"pretrain_path": "large_d.pt"}, "its discriminator is for 32 px, and the generator has 16"),
        ("transfer", {"arcface_path": "nowhere.pth"}, "nowhere.pth .ArcFace. does not exist: put it there, or leave"),
        ("transfer", {"reg_loss": -1.0}, "--reg_loss is -1.0"),
    ],
)
def test_what_can_not_work_is_one_sentence_and_nothing_is_written(files, monkeypatch, stage, changes, sentence):
    monkeypatch.setenv("TORCH_HOME", str(files / "cache"))
    Path("more").mkdir()
    for name in (*NAMES, "d.png"):
        Path("more", name).write_bytes(Path("drawn/a.png").read_bytes())
    Path("other_sizes").mkdir()
    for file in ("exstyle_code.npy", "instyle_code.npy"):
        checkpoints.save_exemplars(f"other_sizes/{file}", {name: np.zeros((1, LAYERS, 9)) for name in NAMES})
    large = Discriminator(None, 32, {4: 8, 8: 6, 16: 4, 32: 4}).state_dict()
    write_contents("large_d.pt", read_contents("dual.pt", "") | {"d": large})
    train, options, _ = STAGES[stage]
    with pytest.raises(InputError, match=sentence):
        train(options(**changes))
    assert not Path("runs").exists() and not Path("pretrain.pt").exists() and not Path("generator.pt").exists()


def test_the_published_settings():
    first, second = dual_pretrain.Options().resolved(), dual_transfer.Options(kind="caricature").resolved()
    assert (first.iter, first.batch * first.accumulate, first.lr, first.r1, first.path) == (3600, 4, 0.002, 10, 2)
    assert (second.iter, second.batch * second.accumulate, second.save_begin) == (1500, 32, 1000)
    assert (second.id_loss, second.reg_loss) == (4, 0.005)
    assert first.judged_by == "vgg" and second.arcface_file == "checkpoint/model_ir_se50.pth"
