"""Fine-tuning of a 32 px generator: resuming, learning, refusing, and what comes out."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from model import checkpoints
from model.discriminator import Discriminator
from model.errors import InputError
from model.stylegan2 import Generator, GeneratorConfig
from model.training import gan
from model.training.finetune import finetune, main, prepare
from model.training.finetune_options import Options
from model.training.gan import Game, gradient_penalty, mixed_codes
from model.training.options import RECIPES
from model.training.pictures import PictureFolder
from model.weight_files import write_contents

SMALL = GeneratorConfig(
    size=32, style_dim=8, mapping_layers=2, channels={4: 8, 8: 8, 16: 6, 32: 4}, structure_size=8
)  # fmt: skip
TEAL, TAN = (30, 120, 140), (220, 180, 140)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch):
    """`--config tiny` is smaller still."""
    tiny = RECIPES["tiny"]
    monkeypatch.setitem(RECIPES, "tiny", replace(tiny, network=replace(tiny.network, generator=SMALL)))


@pytest.fixture
def files(tmp_path) -> Path:
    """A folder with a generator, stylegan.pt, and six pictures, faces/: a tan disc on teal."""
    torch.manual_seed(0)
    checkpoints.save_generator(tmp_path / "stylegan.pt", Generator(SMALL))
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
        paths = {"data": "faces", "stylegan_path": "stylegan.pt", "out": "finetuned.pt", "runs": "runs"}
        given = {name: str(files / path) for name, path in paths.items()} | {"device": "cpu", "config": "tiny"}
        return Options(**given | {"name": "trial", "iter": 4} | changes)

    return options


@pytest.fixture
def game(options):
    """A function that puts together the networks of a run."""

    def game(dtype: torch.dtype = torch.float32, **changes) -> Game:
        return prepare(options(**changes).resolved(), CPU, dtype)

    return game


@pytest.fixture
def terminate_in_step(monkeypatch):
    """A function that makes later runs receive SIGTERM during one step."""
    advance = Game.advance

    def terminate_in_step(step: int) -> None:
        def advance_and_signal(game):
            found = advance(game)
            if game.step == step:
                signal.raise_signal(signal.SIGTERM)
            return found

        monkeypatch.setattr(Game, "advance", advance_and_signal)

    return terminate_in_step


def state_of(options: Options) -> dict:
    return checkpoints.load_state(options.state_file)


def log_of(options: Options) -> list[dict]:
    return [json.loads(line) for line in (options.folder / "log.jsonl").read_text().splitlines()]


def leaves(value, path: str = "") -> dict[str, object]:
    """Numbers, strings and tensors of nested containers by their place."""
    if not isinstance(value, dict | list | tuple):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for name, inside in items for key, leaf in leaves(inside, f"{path}/{name}").items()}


def assert_same(a: dict, b: dict) -> None:
    """Compare nested containers of tensors to the bit."""
    a, b = leaves(a), leaves(b)
    assert a.keys() == b.keys()
    for place, value in a.items():
        assert torch.equal(value, b[place]) if isinstance(value, Tensor) else value == b[place], place


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(options, files, terminate_in_step):
    # Steps 0 and 16 have a gradient penalty: one before the stop, one after it.
    settings = {"iter": 18, "batch": 2, "accumulate": 2, "log_every": 6}
    whole = options(name="whole", out=str(files / "whole.pt"), **settings)
    finetune(whole)
    parted = options(name="parted", out=str(files / "parted.pt"), **settings)
    terminate_in_step(7)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 7; --resume goes on from .*state.pt"):
        finetune(parted)
    assert state_of(parted)["step"] == 7 and not Path(parted.out).exists()

    finetune(replace(parted, resume=True))
    one, other = state_of(whole), state_of(parted)
    assert one["step"] == 18
    assert_same({**one, "options": 0}, {**other, "options": 0})
    assert one["generator_optimizer"]["state"] and one["discriminator_optimizer"]["state"]
    assert any(not torch.equal(one["generator"][name], value) for name, value in one["ema"].items())
    assert_same(*(checkpoints.read_contents(run.out, "a generator") for run in (whole, parted)))
    assert log_of(whole)[1:] == log_of(parted)[1:]  # the first line of the other is of the steps after the stop


def test_another_seed_or_batch_gives_another_result(game):
    def weights(**changes) -> Tensor:
        played = game(**changes)
        played.advance()
        return torch.cat([value.flatten() for value in played.generator.parameters()])

    assert torch.equal(weights(), weights())
    for changes in ({"seed": 1}, {"batch": 2}, {"accumulate": 2}):
        assert not torch.equal(weights(), weights(**changes))


def test_the_generator_moves_to_the_colours_of_the_pictures(options, files):
    run = options(iter=60, lr=0.01)
    path = finetune(run)
    wanted = torch.stack(list(PictureFolder(run.data, 32))).mean((0, 2, 3))
    base, tuned = (checkpoints.load_generator(file, SMALL) for file in (run.stylegan_path, path))
    z = torch.randn(16, 1, 8, generator=torch.Generator().manual_seed(1)).repeat(1, SMALL.rows, 1)
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
        assert torch.equal(value, averaged.get(name, base[name])), name
        assert (name in averaged) == name.endswith((".weight", ".bias")) and not name.startswith(("style.", "input."))
