"""Between pictures and tensors: pictures are RGB uint8 `[H, W, 3]`, tensors RGB in [-1, 1]."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from model.common.errors import InputError
from model.media.frames import Frame


def rgb_of(frame: Frame | np.ndarray) -> np.ndarray:
    """The picture of a frame. Raises ValueError for an array of another kind."""
    rgb = frame.rgb if isinstance(frame, Frame) else frame
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"frames are RGB uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
    return rgb


def to_tensor(rgb: np.ndarray, device: torch.device) -> Tensor:
    """RGB uint8 `[B, H, W, 3]` → float `[B, 3, H, W]` in [-1, 1], channels last in memory."""
    pixels = torch.tensor(rgb)
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_picture_tensor(y: Tensor) -> Tensor:
    """`[B, 3, H, W]` in [-1, 1] → RGB uint8 `[B, H, W, 3]`, clamped and rounded, on the same device."""
    y = y.permute(0, 2, 3, 1).float().clamp_(-1, 1).add_(1).mul_(127.5).round_()
    return y.to(torch.uint8).contiguous()


def to_pictures(y: Tensor) -> np.ndarray:
    """As `to_picture_tensor`, as an array."""
    return to_picture_tensor(y).cpu().numpy()


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
