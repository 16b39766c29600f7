"""Parsing logits of frames: predicted one by one, or smoothed over time along the optical flow (VToonify, Sec. 4.4).
Both ways look at frames enlarged twofold and give logits at the frame's own size. Frames are RGB in [-1, 1]."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import checkpoints
from model.bisenet import PARSER_GAIN
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS, PARSER_FILE, ensure_file
from model.common.sizes import SMOOTHING_RADIUS
from model.common.tensors import to_tensor
from model.ops import blur_downsample
from model.raft import RAFT

ENLARGEMENT = 2  # faces in a frame are smaller than those the parser was trained on
COLOUR_SIGMA = 0.2  # tolerance for a difference in colour, RGB in [-1, 1]
INSIDE = 0.9999  # part of a bilinear footprint that must lie inside the frame


def enlarge(frames: Tensor) -> Tensor:
    """[B, 3, H, W] to [B, 3, 2H, 2W], bilinear."""
    return F.interpolate(frames, scale_factor=ENLARGEMENT, mode="bilinear", align_corners=False)


def parse(parser: nn.Module, frames: Tensor) -> Tensor:
    """Parsing logits [B, 19, H, W] of single frames [B, 3, H, W], as the published inference predicts them."""
    logits = parser(PARSER_GAIN * enlarge(frames))
    return F.interpolate(logits, scale_factor=1 / ENLARGEMENT, mode="nearest")


def warp(images: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Sample images [B, C, H, W] where the flow [B, 2, H, W], (x, y) in pixels, points. Returns the warped images
    [B, C, H, W] and valid [B, 1, H, W], True where the whole bilinear footprint lies inside."""
    height, width = images.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    # An image of ones goes along: its bilinear sum with the zeros outside is the part of the footprint inside.
    with_ones = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
    sampled = F.grid_sample(with_ones, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled[:, :-1], sampled[:, -1:] > INSIDE


def smooth_one(frame: Tensor, logits: Tensor, neighbours: Iterable[tuple], radius: int = SMOOTHING_RADIUS) -> Tensor:
    """Smooth the logits [C, H, W] of one frame [3, H, W] with those of its neighbours, pulled along the optical flow.
    neighbours: of each, frame, logits, the flow [2, H, W] in pixels from `frame` to where the neighbour shows the same,
    and its distance in frames; not the frame itself, which enters unwarped with weight 1. Returns [C, H, W]."""
    total, weights, time_sigma = logits, torch.ones_like(logits[:1]), radius + 0.5
    for near_frame, near_logits, flow, offset in neighbours:
        warped, valid = warp(torch.cat([near_frame, near_logits])[None], flow[None])
        difference = (frame - warped[0, :3]).square().mean(dim=0, keepdim=True)
        nearness = math.exp(-(offset**2) / (2 * time_sigma**2))
        weight = nearness * torch.exp(-difference / (2 * COLOUR_SIGMA**2)) * valid[0]
        total = total + weight * warped[0, 3:]
        weights = weights + weight
    return total / weights


def window(index: int, count: int, radius: int = SMOOTHING_RADIUS) -> list[int]:
    """Frames to look at around frame `index` of `count`, for the offsets -radius to radius; all within that reach. The
    first and the last `radius` frames of a clip are repeated before its start and after its end."""
    wanted = np.arange(index - radius, index + radius + 1)
    wanted += radius * (wanted < 0) - radius * (wanted >= count)
    return wanted.clip(0, count - 1).tolist()


@dataclass
class Smoother:
    """Parses the frames of a video and smooths the logits over time. Frame i is smoothed once frame i + radius is
    known, so that memory depends on the window, not on the length."""

    parser: nn.Module  # BiSeNet, on `device`
    flow: Callable[[Tensor, Tensor], Tensor]  # RAFT: the flow `[1, 2, H, W]` from one picture `[1, 3, H, W]` to another
    device: torch.device
    dtype: torch.dtype = torch.float32  # of the parser, and on CUDA of the flow; sums are float32
    radius: int = SMOOTHING_RADIUS  # frames on each side that take part

    @torch.no_grad()
    def maps(self, crops: Iterable[np.ndarray], start: int = 0) -> Iterator[np.ndarray]:
        """Smoothed logits float16 `[19, H, W]` of crops RGB uint8 `[H, W, 3]`, in order, from frame `start` on."""
        seen, count = {}, 0
        # Frame `index` is smoothed when `crop`, which is `radius` frames ahead, was read, or the clip has ended.
        for index, crop in enumerate(chain(crops, repeat(None, self.radius)), -self.radius):
            if crop is not None:
                if count >= start - self.radius:
                    seen[count] = self._look(crop)
                count += 1
            if index >= start:
                yield self._smooth(seen, index, count)
            seen.pop(index - self.radius, None)

    def _look(self, crop: np.ndarray) -> tuple[Tensor, Tensor]:
        """A frame `[3, 2H, 2W]` and its logits `[19, 2H, 2W]`, which are kept in half precision."""
        frame = enlarge(to_tensor(crop[None], self.device))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.parser(PARSER_GAIN * frame)
        return frame[0], logits[0].half()

    def _smooth(self, seen: dict[int, tuple[Tensor, Tensor]], index: int, count: int) -> np.ndarray:
        frame, logits = seen[index]
        places = list(enumerate(window(index, count, self.radius), -self.radius))
        places.pop(self.radius)  # the frame itself; near the ends it may stand for a neighbour, too
        half = self.device.type == "cuda" and self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=half):
            flows = {i: self.flow(frame[None], seen[i][0][None])[0].float() for i in {i for _, i in places}}
        neighbours = ((seen[i][0], seen[i][1].float(), flows[i], offset) for offset, i in places)
        smoothed = smooth_one(frame, logits.float(), neighbours, self.radius)
        return blur_downsample(smoothed[None])[0].half().cpu().numpy()


def find_weights(path: str) -> Path:
    """A file of weights: a bare name is in the checkpoint folder. The published parser is fetched; InputError where
    another file is not there."""
    if path == PARSER_FILE and not Path(path).exists():
        return ensure_file(path)
    is_name = len(Path(path).parts) == 1 and not Path(path).exists()
    found = CHECKPOINTS / path if is_name else Path(path).absolute()
    if not found.is_file():
        raise InputError(f"{found} does not exist: checkpoint/README.md tells where such files come from.")
    return found


def load_flow(path: str, device: torch.device) -> RAFT:
    """The optical flow network in the file `path` (see `find_weights`), ready to be used."""
    return checkpoints.load_optical_flow(find_weights(path)).requires_grad_(False).to(device)
