"""Patches of stored pairs as training data for a network that paints pixel by pixel (Texler et al., 2020, Sec. 3.1).

Item n is a function of the seed and n alone. Pictures are decoded once and kept, as patches are small and many.
"""

import math
from functools import lru_cache

import numpy as np
from torch.utils.data import Dataset

from model.common.tensors import to_tensor
from model.faces.landmarks import eye_centres
from model.training.data.drawn_pairs import relight
from model.training.data.shards import StoredPair
from model.translator import MULTIPLE

KEPT = 128  # pairs whose pictures are kept: 0.2 GB at 512 px


class Patches(Dataset):
    """Items of a Batch for any number from 0 on: `x` and `y`, `[3, side, side]`, from one place of both pictures of a
    pair. Photos of faces are relit, as there are other photos; frames of a clip are what they are."""

    def __init__(self, pairs: list[StoredPair], side: int, seed: int):
        self.pairs, self.side, self.seed = pairs, side, seed
        self._pictures = lru_cache(KEPT)(lambda number: pictures_of(pairs[number]))

    def __getitem__(self, n: int) -> dict:
        rng = np.random.default_rng((self.seed, n))
        number = int(rng.integers(len(self.pairs)))
        photo, painting = self._pictures(number)
        row, column = (int(rng.integers(max(size - self.side, 0) + 1)) for size in photo.shape[:2])
        x, y = (each[row : row + self.side, column : column + self.side] for each in (photo, painting))
        pair = self.pairs[number]
        if pair.kind != "keyframe":
            own_colours = pair.facts().get("own_colours")
            lit, painting_lit = relight(rng, x, y)
            x, y = lit, y if own_colours else painting_lit
        return {"x": to_tensor(x), "y": to_tensor(y), "style": 0, "degree": np.float32(1)}


class WholePictures(Dataset):
    """Items of a Batch: both whole pictures of pair n, over and over, cut to sides that the network takes."""

    def __init__(self, pairs: list[StoredPair]):
        self.pairs = pairs

    def __getitem__(self, n: int) -> dict:
        x, y = pictures_of(self.pairs[n % len(self.pairs)])
        height, width = (side // MULTIPLE * MULTIPLE for side in x.shape[:2])
        cut = {"x": to_tensor(x[:height, :width]), "y": to_tensor(y[:height, :width])}
        return cut | {"style": 0, "degree": np.float32(1)}


def pictures_of(pair: StoredPair) -> tuple[np.ndarray, np.ndarray]:
    """Photo and painting, RGB uint8 `[H, W, 3]`."""
    return pair.picture("photo"), pair.picture("full")


def mean_eye_distance(pairs: list[StoredPair]) -> float:
    """Pixels between the eyes in the photos of pairs, on the average; 0 for frames of a clip."""
    if pairs[0].kind == "keyframe":
        return 0.0
    distances = [math.dist(*eye_centres(np.float32(pair.facts()["landmarks"]))) for pair in pairs]
    return float(np.mean(distances))
