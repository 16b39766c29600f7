"""Between pictures and tensors: pictures are RGB uint8 `[H, W, 3]`, tensors RGB in [-1, 1]."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from model.errors import InputError
from model.inference.media import Frame

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
"""How torch reports it, on GPUs and on the CPU."""


def rgb_of(frame: Frame | np.ndarray) -> np.ndarray:
    """The picture of a frame. Raises ValueError for an array of another kind."""
    rgb = frame.rgb if isinstance(frame, Frame) else frame
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"frames are RGB uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
    return rgb


def to_tensor(rgb: np.ndarray, device: torch.device) -> Tensor:
    """RGB uint8 `[B, H, W, 3]` → float `[B, 3, H, W]` in [-1, 1], channels last in memory."""
    return torch.tensor(rgb, device=device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_pictures(y: Tensor) -> np.ndarray:
    """`[B, 3, H, W]` in [-1, 1] → RGB uint8 `[B, H, W, 3]`, clamped and rounded."""
    y = y.float().clamp_(-1, 1).add_(1).mul_(127.5).round_()
    return y.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def take_logits(maps: Iterator[np.ndarray], crops: np.ndarray, channels: int) -> Tensor:
    """The next parsing maps, one for each crop `[B, H, W, 3]`: float `[B, channels, H, W]`.

    Raises InputError when they run out or have another size.
    """
    logits = [np.asarray(one, np.float32) for one in islice(maps, len(crops))]
    if len(logits) < len(crops):
        raise InputError("There are fewer parsing maps than frames: they were made for another clip.")
    expected = (channels, *crops.shape[1:3])
    for one in logits:
        if one.shape != expected:
            raise InputError(f"The parsing maps are {one.shape}, but the crop needs {expected}: make them anew.")
    return torch.from_numpy(np.stack(logits))


@contextmanager
def out_of_memory_is_input_error(crops: np.ndarray) -> Iterator[None]:
    """Tell the user what to change when pictures `[B, H, W, 3]` are too large for the memory of the device."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        count, height, width = crops.shape[:3]
        raise InputError(
            f"There is not enough memory for {count} x {width} x {height} pixels at a time: "
            "choose a smaller batch size, padding or picture, or let the face be scaled."
        ) from error
