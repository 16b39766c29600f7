import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

import generate_data
import style_transfer
import train_vtoonify_d
import train_vtoonify_t
from model import checkpoints
from model.tools import random_weights
from model.training import finetune, losses
from model.training.data.shards import index_pairs, list_styles
from model.training.options import RECIPES
from model.training.sources import open_pairs
from tests.clips import make_clip
from tests.small_models import face_picture

TINY = ["--config", "tiny", "--device", "cpu", "--precision", "fp32"]
PAIRS = 26


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(autouse=True)
def there(folder, monkeypatch):
    """All of the chain happens in one folder, as if a user had gone there."""
    monkeypatch.chdir(folder)


T_FILES = ["--stylegan_path=selfmade/stylegan.pt", "--finetunegan_path=finetuned.pt"]
D_FILES = ["--stylegan_path=selfmade/dualstylegan.pt", "--exstyle_path=selfmade/exstyle_code.npy"]
HELPERS = ["--direction_path=selfmade/directions.npy", "--faceparsing_path=selfmade/faceparsing.pth"]
HELPERS += ["--style_encoder_path=none"]


def log_of(run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path("runs", run, "log.jsonl").read_text().splitlines()]


def cartoons() -> None:
    """Flat, warm pictures with a bright disc, in the folder `cartoons`."""
    Path("cartoons").mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        picture = np.full((256, 256, 3), rng.integers(150, 200, 3), np.uint8)
        cv2.circle(picture, tuple(rng.integers(80, 176, 2).tolist()), 60, (120, 200, 250), -1, cv2.LINE_AA)
        cv2.imwrite(f"cartoons/{i}.png", picture)


def encoder_error(run: str) -> float:
    last = log_of(f"{run}/pretrain")[-1]
    return last["held_out_feature"] + last["held_out_skip"]


@torch.no_grad()
def flicker_of(model: str) -> float:
    """Flicker loss of a model on stored pairs."""
    network, stored = checkpoints.load_vtoonify(model), index_pairs(["pairs"])
    pairs = open_pairs(stored, list_styles(stored), seed=0)
    batch = default_collate([pairs[n] for n in range(8)])
    still, moved = (network(batch[name], batch["w_plus"]) for name in ("x", "moved"))
    return losses.flicker(still, moved, batch["offset"]).item()


def decoded(path: str) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_variant_t_from_nothing_to_a_video(call):
    assert call(random_weights.main, "--out", "selfmade") == 0
    cartoons()
    teach = ("--stylegan_path", "selfmade/stylegan.pt", "--data", "cartoons", "--out", "finetuned.pt")
    assert call(finetune.main, *teach, *TINY, "--iter", 12) == 0
    sizes = RECIPES["tiny"].network.generator
    files = ("selfmade/stylegan.pt", "finetuned.pt")
    base, fine = (checkpoints.load_generator(file, sizes).state_dict() for file in files)
    assert base.keys() == fine.keys() and not torch.equal(base["to_rgb1.conv.weight"], fine["to_rgb1.conv.weight"])

    pretrain = (*T_FILES, *HELPERS, *TINY, "--pretrain", "--lr", 3e-3, "--batch", 4)
    for name, steps in (("start", 1), ("t", 80)):
        assert call(train_vtoonify_t.main, *pretrain, "--name", name, "--iter", steps) == 0
    assert encoder_error("t") < encoder_error("start") / 1.8

    draw = ("--teacher", "toonify", "--count", PAIRS, "--out", "pairs", "--pairs_per_shard", 16)
    assert call(generate_data.main, *draw, *T_FILES, *HELPERS, *TINY[:2]) == 0
    assert Path("pairs/preview.jpg").exists()
    train = (*T_FILES, *TINY, "--pairs", "pairs", "--encoder_path", "checkpoint/t/pretrain.pt", "--iter", 30)
    for name, weight in (("t", 30), ("flickering", 0)):
        assert call(train_vtoonify_t.main, *train, "--workers", 0, "--name", name, "--tmp_loss", weight) == 0
    flickers = [flicker_of(f"checkpoint/{name}/vtoonify.pt") for name in ("t", "flickering")]
    assert flickers[0] < 0.7 * flickers[1]

    make_clip(Path("clip.mp4"), [face_picture()] * 3)
    stylise = ("--ckpt", "checkpoint/t/vtoonify.pt", "--faceparsing_path", "selfmade/faceparsing.pth")
    assert call(style_transfer.main, *stylise, "--content", "clip.mp4", "--device", "cpu") == 0
    frames = decoded("output/clip_vtoonify_t.mp4")
    assert len(frames) == 3 and np.std(frames[0]) > 5


def test_variant_d_from_stored_features_to_a_photo(call):
    assert call(random_weights.main, "--out", "selfmade") == 0
    files = (*D_FILES, *HELPERS, *TINY)
    draw = ("--teacher", "dualstyle", "--pretrain", "--count", 9, "--out", "features", "--style_id", 1)
    assert call(generate_data.main, *draw, *files[:-2]) == 0
    pretrain = (*files, "--pretrain", "--pairs", "features", "--style_id", 1, "--batch", 2, "--workers", 0)
    assert call(train_vtoonify_d.main, *pretrain, "--name", "d", "--iter", 4) == 0
    live = (*files, "--name", "d", "--iter", 3, "--batch", 2, "--fix_style", "--style_id", 1, "--log_every", 1)
    assert call(train_vtoonify_d.main, *live) == 0
    assert {"mse", "adversarial", "discriminator", "mask", "flicker"} <= log_of("d")[-1].keys()

    network = checkpoints.load_vtoonify("checkpoint/d/vtoonify_s001_d_c.pt")
    teacher = checkpoints.load_dualstylegan("selfmade/dualstylegan.pt", RECIPES["tiny"].network.generator)
    for name, value in teacher.state_dict().items():
        assert torch.equal(network.generator.state_dict()[name], value)
    stylise = ("--ckpt", "checkpoint/d/vtoonify_s001_d_c.pt", "--faceparsing_path", "selfmade/faceparsing.pth")
    for degree in (0, 1):
        assert call(style_transfer.main, *stylise, "--style_degree", degree, "--output_path", degree) == 0
    results = [cv2.imread(f"{degree}/astronaut_vtoonify_d.jpg") for degree in (0, 1)]
    assert results[0].shape == results[1].shape and np.abs(results[0].astype(int) - results[1]).mean() > 1
