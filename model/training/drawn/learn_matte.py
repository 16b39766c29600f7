"""Training the person matte (`model/parsing/matting.py`) on photos and their mattes.

    python -m model.training.drawn.learn_matte --photos PHOTOS --mattes MATTES --out matte.pt

The matte of PHOTOS/a/b.jpg is MATTES/a/b.png: grey, 0 for the background to 255 for the person, from any program that
cuts out people. It takes minutes; there is no --resume.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F
from tqdm import tqdm

from model.common import cli
from model.common.cli import option
from model.common.devices import pick_precision
from model.common.errors import InputError
from model.common.tensors import to_tensor
from model.common.weight_files import write_contents
from model.parsing.matting import SIDE, MatteNet
from model.training.data.pictures import DAMAGE, SUFFIXES, pictures_below

STORED_SIDE = 160  # a little more than the network sees, for views that are zoomed in
GREY_MODES = ("1", "L", "P", "RGB")  # kinds of pictures that become 8-bit grey without loss: nothing transparent
HELD_OUT_EVERY = 20
BATCH, PEAK_RATE, WARM_UP = 16, 2.5e-3, 60
Example = tuple[np.ndarray, np.ndarray]  # photo RGB uint8 [S, S, 3] and matte uint8 [S, S]


@dataclass
class Options:
    """Options of the command line."""

    photos: list[Path] = option([], "folders of portraits, searched with subfolders", nargs="+", metavar="FOLDER")
    mattes: list[Path] = option([], "folders of their mattes, in the same order", nargs="+", metavar="FOLDER")
    out: Path | None = option(None, "file for the weights", metavar="FILE")
    steps: int = option(700, f"steps of {BATCH} samples", least=1)
    seed: int = option(0, "seed of all that is random", least=0)


def find_pairs(options: Options) -> list[tuple[Path, Path]]:
    """Photos, by folder and name, each with its matte. Raises InputError for options that cannot work."""
    if not options.photos or len(options.photos) != len(options.mattes):
        raise InputError("--photos and --mattes don't match: give as many folders of each, in the same order.")
    if options.out is None or options.out.is_dir():
        raise InputError("--out names no file: give one for the weights, such as matte.pt.")
    cli.check_ranges(options)
    pairs = []
    for folder, mattes in zip(options.photos, options.mattes, strict=True):
        photos = pictures_below(folder)
        if not photos:
            raise InputError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}): give another folder.")
        for photo in photos:
            matte = mattes / photo.relative_to(folder).with_suffix(".png")
            if not matte.is_file():
                raise InputError(f"{matte} does not exist: give {photo} its matte or remove the photo.")
            pairs.append((photo, matte))
    if len(pairs) < 2:
        raise InputError(f"{pairs[0][0]} is the only picture: give at least two, for the first is held out.")
    return pairs


def read_square(path: Path, mode: str) -> np.ndarray:
    """A picture as RGB or grey (`mode` L) uint8, upright and squeezed into a square of STORED_SIDE."""
    try:
        with Image.open(path) as image:
            if mode == "L" and image.mode not in GREY_MODES:
                raise InputError(f"{path} is no grey picture of 8 bits: save it as one, black behind a white person.")
            pixels = np.array(ImageOps.exif_transpose(image).convert(mode))
    except DAMAGE as error:
        raise InputError(f"{path} can't be read as a picture: remove it or replace it.") from error
    return cv2.resize(pixels, (STORED_SIDE, STORED_SIDE), interpolation=cv2.INTER_AREA)


def random_view(rng: np.random.Generator, example: Example) -> Example:
    """A random view of an example: photo `[SIDE, SIDE, 3]` in [-1, 1], matte `[SIDE, SIDE]` in [0, 1], float32."""
    if rng.random() < 0.5:
        example = tuple(cv2.flip(picture, 1) for picture in example)
    middle, zoom = STORED_SIDE / 2, rng.uniform(0.75, 1.35) * SIDE / STORED_SIDE
    matrix = cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 7), zoom)
    matrix[:, 2] += SIDE / 2 - middle + rng.uniform(-14, 14, 2)
    views = [cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE) for picture in example]
    photo, matte = (view.astype(np.float32) / 255 for view in views)
    photo = photo ** math.exp(rng.normal(0, 0.3))
    grey = photo.mean(-1, keepdims=True)
    photo = grey + (photo - grey) * (0 if rng.random() < 0.08 else rng.uniform(0.5, 1.4))
    photo = photo * (1 + rng.normal(0, 0.07, 3)) * rng.uniform(0.8, 1.15)
    if rng.random() < 0.25:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.3:
        photo = photo + rng.normal(0, rng.uniform(0, 0.05), photo.shape)
    return photo.clip(0, 1).astype(np.float32) * 2 - 1, matte


def learn(examples: list[Example], steps: int, batch: int, seed: int) -> MatteNet:
    """A network trained on the CPU on random views; the same arguments give the same one on the same machine."""
    torch.manual_seed(seed)
    rng, dtype = np.random.default_rng(seed), pick_precision("auto", torch.device("cpu"))
    network = MatteNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    with tqdm(range(steps), desc="learning") as bar:
        for step in bar:
            warm, cosine = min(1, (step + 1) / WARM_UP), 0.5 + 0.5 * math.cos(math.pi * step / steps)
            optimizer.param_groups[0]["lr"] = PEAK_RATE * warm * cosine
            views = [random_view(rng, examples[n]) for n in rng.integers(len(examples), size=batch)]
            photos, mattes = (torch.from_numpy(np.stack(part)) for part in zip(*views, strict=True))
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                logits = network(photos.permute(0, 3, 1, 2))[:, 0]
            logits = logits.float()
            loss = F.binary_cross_entropy_with_logits(logits, mattes) + F.l1_loss(logits.sigmoid(), mattes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@torch.inference_mode()
def measure(network: MatteNet, examples: list[Example]) -> tuple[float, float]:
    """Mean intersection over union (of what is more person than not) and mean L1, in the network's own size."""
    found = []
    for example in examples:
        photo, matte = (cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in example)
        result, label = network(to_tensor(photo)[None])[0, 0].sigmoid().numpy(), matte / 255
        both, either = (op(result > 0.5, label > 0.5).sum() for op in (np.logical_and, np.logical_or))
        found.append((both / either if either else 1.0, np.abs(result - label).mean()))
    return tuple(np.mean(found, axis=0).tolist())


def main() -> None:
    """Train, write the weights, and print how well they do on photos that were held out."""
    options = cli.parse(Options, __doc__)
    with tqdm(find_pairs(options), desc="reading") as bar:
        examples = [(read_square(photo, "RGB"), read_square(matte, "L")) for photo, matte in bar]
    held_out = examples[::HELD_OUT_EVERY]
    del examples[::HELD_OUT_EVERY]
    network = learn(examples, options.steps, BATCH, options.seed)
    weights = network.state_dict().items()
    write_contents(options.out, {name: w.half() if w.is_floating_point() else w for name, w in weights})
    iou, l1 = measure(network, held_out)
    print(f"{len(held_out)} held-out pictures: intersection over union {iou:.3f}, L1 {l1:.3f}")


if __name__ == "__main__":
    cli.run(main)
