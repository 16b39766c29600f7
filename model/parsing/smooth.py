"""Parsing maps of frames: predicted one by one, or smoothed over time along the optical flow (Sec. 4.4).

Frames are RGB in [-1, 1]. Both ways work on frames enlarged twofold and give logits at the frame's own size.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.bisenet import PARSER_GAIN
from model.common.errors import InputError
from model.ops import blur_downsample

ENLARGEMENT = 2  # faces in a frame are smaller than those the parser was trained on

RADIUS = 5  # neighbours on each side
COLOUR_SIGMA = 0.2  # tolerance for a difference in colour, RGB in [-1, 1]
INSIDE = 0.9999  # part of a bilinear footprint that must lie inside the frame


class Neighbour(NamedTuple):
    """A frame near the one to smooth."""

    frame: Tensor
    """[3, H, W], RGB in [-1, 1]."""
    logits: Tensor
    """[C, H, W]."""
    flow: Tensor
    """[2, H, W] in pixels: where the neighbour shows what the centre frame has at each pixel."""
    offset: int
    """Nominal distance in frames, in [-radius, radius]."""


def enlarge(frames: Tensor) -> Tensor:
    """[B, 3, H, W] to [B, 3, 2H, 2W], bilinear."""
    return F.interpolate(frames, scale_factor=ENLARGEMENT, mode="bilinear", align_corners=False)


def parse(parser: nn.Module, frames: Tensor) -> Tensor:
    """Parsing logits of single frames, as the published inference predicts them.

    frames: [B, 3, H, W], RGB in [-1, 1]; `parser`: a BiSeNet. Returns [B, 19, H, W].
    """
    logits = parser(PARSER_GAIN * enlarge(frames))
    return F.interpolate(logits, scale_factor=1 / ENLARGEMENT, mode="nearest")


def open_parsing_maps(path: str | Path, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Parsing logits of a clip, [N, channels, H, W], read from a .npy file piece by piece as they are used.

    Raises InputError unless they are floating-point maps of `size` (H, W).
    """
    try:
        maps = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} holds no parsing maps ({error}): write them with smooth_parsing_map.py.") from error
    if not isinstance(maps, np.ndarray) or maps.ndim != 4 or not np.issubdtype(maps.dtype, np.floating):
        raise InputError(f"{path} holds no parsing maps: an array of numbers [N, {channels}, H, W] is expected.")
    if maps.shape[1:] != (channels, *size):
        given, wanted = maps.shape[1:], (channels, *size)
        raise InputError(f"The parsing maps in {path} are {given}, the crop needs {wanted}: make them anew.")
    return maps


def warp(images: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Sample images where the flow points.

    images: [B, C, H, W]; flow: [B, 2, H, W], (x, y) in pixels. Returns the warped images [B, C, H, W] and
    valid [B, 1, H, W], True where the whole bilinear footprint lies inside.
    """
    height, width = images.shape[-2:]
    ys, xs = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    x, y = xs + flow[:, 0], ys + flow[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    # An image of ones goes along: its bilinear sum with the zeros outside is the part of the footprint inside.
    with_ones = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
    sampled = F.grid_sample(with_ones, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled[:, :-1], sampled[:, -1:] > INSIDE


def smooth_one(frame: Tensor, logits: Tensor, neighbours: Iterable[Neighbour], radius: int = RADIUS) -> Tensor:
    """Smooth the logits of one frame with those of its neighbours, pulled along the optical flow.

    frame: [3, H, W]; logits: [C, H, W]. The frame itself enters unwarped with weight 1 and must not be among
    `neighbours`, which are consumed one by one. Returns [C, H, W].
    """
    total, weights = logits, torch.ones_like(logits[:1])
    time_sigma = radius + 0.5
    for neighbour in neighbours:
        stacked = torch.cat([neighbour.frame, neighbour.logits])[None]
        warped, valid = warp(stacked, neighbour.flow[None])
        colours, moved = warped[0, :3], warped[0, 3:]
        difference = (frame - colours).square().mean(dim=0, keepdim=True)
        nearness = math.exp(-(neighbour.offset**2) / (2 * time_sigma**2))
        weight = nearness * torch.exp(-difference / (2 * COLOUR_SIGMA**2)) * valid[0]
        total = total + weight * moved
        weights = weights + weight
    return total / weights


def window(index: int, count: int, radius: int = RADIUS) -> list[int]:
    """Frames to look at around frame `index` of `count`, for the offsets -radius to radius.

    The first and the last `radius` frames of a clip are repeated before its start and after its end; all of the window
    lies within `radius` frames of `index`, so a buffer of 2·radius + 1 frames serves a stream.
    """
    frames = []
    for wanted in range(index - radius, index + radius + 1):
        if wanted < 0:
            wanted += radius
        elif wanted >= count:
            wanted -= radius
        frames.append(min(max(wanted, 0), count - 1))
    return frames


def smooth_parsing(frames: Tensor, logits: Tensor, flows: Sequence[Tensor] | Tensor, radius: int = RADIUS) -> Tensor:
    """Smooth the logits of a whole clip that fits in memory.

    frames: [T, 3, 2H, 2W] and logits: [T, C, 2H, 2W], enlarged; flows: T times [2·radius + 1, 2, 2H, 2W], where
    flows[i][j] warps frame `window(i, T, radius)[j]` onto frame i. Returns [T, C, H, W].
    """
    if not len(frames) == len(logits) == len(flows):
        raise InputError(
            f"smoothing needs logits and flows for every frame: {len(frames)} frames, {len(logits)} logits, "
            f"{len(flows)} flows"
        )
    smoothed = []
    for index, (frame, own) in enumerate(zip(frames, logits, strict=True)):
        sources = window(index, len(frames), radius)
        neighbours = (
            Neighbour(frames[source], logits[source], flow, place - radius)
            for place, (source, flow) in enumerate(zip(sources, flows[index], strict=True))
            if place != radius
        )
        smoothed.append(blur_downsample(smooth_one(frame, own, neighbours, radius)[None]))
    return torch.cat(smoothed)
