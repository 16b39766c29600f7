import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model import checkpoints
from model.common.errors import InputError
from model.config import GeneratorConfig
from model.discriminator import Discriminator
from model.stylegan2 import Generator
from model.tools import random_weights
from model.training.options import RECIPES
from model.training.own import encoder
from model.training.own.encoders import FaceEncoder
from tests.runs import assert_stopped_and_resumed_is_whole, log_of

ROOT = Path(__file__).parents[1]


GENERATOR = GeneratorConfig(size=32, style_dim=8, mapping_layers=2, channels=dict.fromkeys((4, 8, 16, 32), 12))
FIXED = {"config": "tiny", "device": "cpu", "batch": 4, "width": 4, "face_size": 32}


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options with a generator that is smaller than the tiny one."""
    recipe = RECIPES["tiny"]
    monkeypatch.setitem(RECIPES, "tiny", replace(recipe, network=replace(recipe.network, generator=GENERATOR)))
    torch.manual_seed(0)
    contents = {"g_ema": Generator(GENERATOR).state_dict()}
    contents["d"] = Discriminator(None, GENERATOR.size, GENERATOR.channels).state_dict()
    torch.save(contents, tmp_path / "judged.pt")
    torch.save({"g_ema": contents["g_ema"]}, tmp_path / "stylegan.pt")
    files = {"stylegan_path": str(tmp_path / "stylegan.pt"), "out": str(tmp_path / "encoder.pt")}
    return encoder.Options(**files, **FIXED, runs=str(tmp_path / "runs"))


@pytest.mark.slow
def test_an_encoder_learns_the_codes_of_what_a_generator_draws(options):
    path = encoder.train_encoder(replace(options, iter=150, batch=8, lr=3e-3, log_every=10))
    first, *_, last = log_of(options)
    assert (
        last["held_out_w"] < 0.9 * first["held_out_w"] and last["held_out_picture"] < 0.75 * first["held_out_picture"]
    )
    network = checkpoints.load_style_encoder(path)
    assert network.config.face_size == 32 and network.config.code_count == 8 and not network.latent_avg.any()
    generator = checkpoints.load_generator(options.stylegan_path, GENERATOR)
    with torch.no_grad():
        w_plus = generator.mapping(torch.randn(4, 1, 8)).repeat(1, 8, 1)
        found = FaceEncoder.load(path, generator).w_codes(generator(w_plus))
    assert found.shape == w_plus.shape and found.isfinite().all()


def test_a_run_that_is_stopped_goes_on_to_the_bit(options, tmp_path):
    runs = (
        replace(options, iter=4, log_every=2, runs=str(tmp_path / name), out=str(tmp_path / f"{name}.pt"))
        for name in ("whole", "parted")
    )
    assert_stopped_and_resumed_is_whole(encoder.train_encoder, *runs, step=2)


def test_photos_and_a_discriminator_take_part(options, tmp_path):
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / f"photos/{number}.png")
    options = replace(
        options, iter=2, log_every=1, data=str(tmp_path / "photos"), stylegan_path=f"{tmp_path}/judged.pt"
    )
    encoder.train_encoder(options)
    names = {"w", "size", "picture", "critic", "size of photos", "picture of photos", "critic of photos"}
    assert names <= log_of(options)[-1].keys()
    (preview,) = options.folder.glob("preview-000002.jpg")
    assert Image.open(preview).width == 4 * 256
    with pytest.raises(InputError, match="other photos"):
        encoder.train_encoder(replace(options, iter=3, resume=True, data=None))


@pytest.mark.slow
def test_two_processes_equal_one_with_the_double_batch(tmp_path):
    random_weights.write(tmp_path)
    for processes in (1, 2):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if processes == 2 else []
        settings = FIXED | {"stylegan_path": tmp_path / "stylegan.pt", "out": tmp_path / f"{processes}.pt"}
        settings |= {"runs": tmp_path / f"{processes}", "batch": 8 // processes, "iter": 2, "log_every": 1}
        words = [f"--{name}={value}" for name, value in settings.items()]
        command = [sys.executable, *launcher, "-m", "model.training.own.encoder", *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr
    logs = [(tmp_path / f"{n}/encoder_own/log.jsonl").read_text().splitlines() for n in (1, 2)]
    for one, two in zip(*logs, strict=True):
        assert json.loads(one) == pytest.approx(json.loads(two), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"face_size": 48}, "--face_size is 48: give a power of two"),
    ({"batch": 6}, "--batch is 6: give a multiple of 4"),
    ({"stylegan_path": "none.pt"}, "none.pt does not exist"),
    ({"data": "nowhere"}, "nowhere is no folder")])  # fmt: skip
def test_what_cannot_work_is_told_in_a_sentence(options, change, sentence):
    with pytest.raises(InputError, match=sentence):
        encoder.train_encoder(replace(options, iter=2, **change))
    Path(options.out).write_bytes(b"")
    with pytest.raises(InputError, match="already exists: give --out another file"):
        encoder.train_encoder(replace(options, iter=2))
