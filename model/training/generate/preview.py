"""A picture that shows what pairs look like."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from model.common.tensors import image_grid, to_tensor
from model.common.weight_files import write_whole
from model.training.data.shards import PICTURES, StoredPair, index_shard
from model.training.data.stored import decode_sample

ROWS = 12
"""Pairs in a preview, spread over the shards."""


def write_preview(shards: Sequence[Path], path: Path) -> None:
    """Write a .jpg of the first pairs, unless there are none."""
    grid = preview_grid(shards)
    if grid is not None:
        data = cv2.imencode(".jpg", cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))[1].tobytes()
        write_whole(path, lambda partial: partial.write_bytes(data))


def preview_grid(shards: Sequence[Path]) -> np.ndarray | None:
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
    parsing = [] if sample.logits is None else [class_colours(sample.logits)]
    return [sample.photo, sample.cartoon, *parsing]


def class_colours(logits: Tensor) -> Tensor:
    """The likeliest class of each pixel in `logits [..., C, h, w]` as a colour, `[..., 3, h, w]` in [-1, 1]; class 0 is
    black."""
    classes = logits.shape[-3]
    hsv = np.full((1, classes, 3), (0, 160, 230), np.uint8)
    hsv[0, :, 0] = np.arange(classes) * 180 // classes  # OpenCV counts a half turn of the colour circle
    hsv[0, 0, 2] = 0
    return to_tensor(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0][logits.argmax(-3).numpy()])
