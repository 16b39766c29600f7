"""Files of a very small DualStyleGAN in the making: generators, discriminator, encoder, drawn faces and their codes.
As a program, with these sizes, it is that module of `model.training.own` which its first word names."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from model import checkpoints
from model.common import cli
from model.common.weight_files import write_contents
from model.config import EncoderConfig, GeneratorConfig
from model.discriminator import Discriminator
from model.psp import PSPEncoder
from model.stylegan2 import Generator
from model.training.options import RECIPES
from model.training.own.dual import begin_dual

SMALL = GeneratorConfig(size=16, style_dim=8, mapping_layers=2, channels={4: 8, 8: 6, 16: 4}, structure_size=8)
LAYERS, DIM = SMALL.w_layers, SMALL.style_dim
NAMES = ["a.png", "b.png", "c.png"]


def use_small_sizes() -> None:
    """From now on `--config tiny` has these sizes."""
    tiny = RECIPES["tiny"]
    RECIPES["tiny"] = replace(tiny, network=replace(tiny.network, generator=SMALL))


def write_files() -> None:
    """Write them all into the working directory."""
    torch.manual_seed(0)
    photos, tuned = Generator(SMALL), Generator(SMALL)
    judge = Discriminator(None, SMALL.size, SMALL.channels).state_dict()
    write_contents("photos.pt", {"g_ema": photos.state_dict(), "d": judge})
    write_contents("tuned.pt", {"g_ema": tuned.state_dict()})
    dual = begin_dual(photos).state_dict()
    write_contents("dual.pt", {"g": dual, "g_ema": dual, "d": judge})
    encoder = PSPEncoder(EncoderConfig(32, LAYERS, DIM, (16, 16, 16, 16), (1, 1, 1, 1)))
    encoder.latent_avg = torch.zeros(LAYERS, DIM)
    checkpoints.save_encoder("encoder.pt", encoder)
    rng = np.random.default_rng(0)
    for folder in ("drawn", "faces"):
        for name in NAMES:
            picture = np.full((16, 16, 3), rng.integers(0, 256, 3), np.uint8)
            cv2.circle(picture, (8, 8), 5, rng.integers(0, 256, 3).tolist(), -1)
            Path(folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(f"{folder}/{name}")
    Path("codes").mkdir()
    for file in ("exstyle_code.npy", "instyle_code.npy"):
        codes = {name: rng.normal(size=(1, LAYERS, DIM)) for name in reversed(NAMES)}
        checkpoints.save_exemplars(f"codes/{file}", codes)


if __name__ == "__main__":
    use_small_sizes()
    cli.run(import_module(f"model.training.own.{sys.argv.pop(1)}").main)
