"""The person in a portrait, cut out by a small network: for the drawn teacher and for `--full_frame`.

Its weights ship with the project; checkpoint/drawn/README.md says how they came about.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from model.checkpoints import load_matte
from model.common.tensors import to_tensor
from model.matte import SIDE, MatteNet

WEIGHTS = Path(__file__).parents[2] / "checkpoint" / "drawn" / "matte.pt"


@cache
def _network() -> MatteNet:
    return load_matte(WEIGHTS)


@torch.inference_mode()
def person_matte(rgb: np.ndarray) -> np.ndarray:
    """Matte [H, W] float32 in [0, 1] of the person in a portrait [H, W, 3] uint8. Deterministic."""
    small = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    matte = torch.sigmoid(_network()(to_tensor(small)[None]))[0, 0].numpy()
    return cv2.resize(matte, (rgb.shape[1], rgb.shape[0]))
