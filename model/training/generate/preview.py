"""A sheet that shows what pairs look like."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from model.common.tensors import image_grid, to_tensor
from model.training.data.shards import PICTURES, StoredPair, index_shard
from model.training.data.teacher_pairs import decode_sample

ROWS = 12
"""Pairs on a sheet, spread over the shards."""


def preview_sheet(shards: Sequence[Path]) -> np.ndarray | None:
    """A row for each of the first pairs of each shard, RGB uint8; None when the shards are empty."""
    each = -(-ROWS // max(len(shards), 1))
    pairs = [pair for shard in shards[:ROWS] for pair in index_shard(shard)[:each]]
    return np.vstack([image_grid(columns_of(pair)) for pair in pairs[:ROWS]]) if pairs else None


def columns_of(pair: StoredPair) -> list[Tensor]:
    """Pictures `[1, 3, H, W]` in [-1, 1] that belong to one pair.

    Drawn: photo, full and partial cartoon. Stylised: photo, cartoon, and where there is a parser the classes of the
    photo in colours. For pre-training: photo, skip image.
    """
    if pair.kind == "drawn":
        return [to_tensor(pair.picture(name))[None] for name in PICTURES]
    sample = decode_sample(pair, [pair.style])
    if pair.kind == "features":
        return [sample.photo, sample.skip]
    parsing = [] if sample.logits is None else [class_colours(sample.logits[0])[None]]
    return [sample.photo, sample.cartoon, *parsing]


def class_colours(logits: Tensor) -> Tensor:
    """The likeliest class of each pixel in `logits [C, h, w]` as a colour, `[3, h, w]` in [-1, 1]; class 0 is black."""
    classes = len(logits)
    hues = np.arange(classes) * 180 // classes  # OpenCV counts a half turn of the colour circle
    hsv = np.stack([hues, np.full(classes, 160), np.where(np.arange(classes) > 0, 230, 0)], axis=1).astype(np.uint8)
    palette = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    return to_tensor(palette[logits.argmax(0).numpy()])
