"""A small network that finds faces and their eyes, for programs that have no dlib: phones and browsers.

It is convolutional throughout, so that pictures of any size are searched; faces whose eyes are 5 to 60 pixels apart are
found. As CenterNet (Zhou et al., 2019, "Objects as points"): a map of how likely each place is to be the one between
two eyes, and, where it is, how large the face is and where its eyes are.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4  # pixels between the places of the map
MULTIPLE = 16  # sides of a picture must divide by this
USUAL_SIZE = 16.0  # face size in pixels whose logarithm counts as 0
WIDTHS = (16, 32, 64, 128)  # channels at a half, a quarter, an eighth and a sixteenth of the size
DEEP_BLOCKS = 3  # further ones at a sixteenth
MERGED = 48  # channels where the levels come together
OUTPUTS = 6  # logit, log size, offsets (x, y) of left and right eye
SURE = 0.35  # likelihood from which on a place is a face
RARE = 0.01  # likelihood of a place before anything is learnt: almost all places show no face


def _conv(in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class Separable(nn.Module):
    """A depthwise convolution and one of 1×1 (MobileNet), with a shortcut where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, kernel: int = 3):
        super().__init__()
        self.depthwise = _conv(in_channels, in_channels, kernel, stride, in_channels)
        self.pointwise = _conv(in_channels, out_channels)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(x))
        return x + y if self.has_shortcut else y


class FaceFinder(nn.Module):
    """RGB `[B, 3, H, W]` in [-1, 1], H and W multiples of 16, to `[B, 6, H/4, W/4]`.

    Of each place, whose middle is at 4·(column, row) + 1.5 pixels: the logit of being between the eyes of a face;
    log(face size / 16 px), where the size is `faces.landmarks.face_size`; x and y of the left eye, then of the right
    one (as seen in the picture), relative to the place, in face sizes.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, deep = WIDTHS
        self.stem = nn.Sequential(_conv(3, half, 3, stride=2), Separable(half, half))
        self.quarter = nn.Sequential(Separable(half, quarter, stride=2), Separable(quarter, quarter))
        self.eighth = nn.Sequential(Separable(quarter, eighth, stride=2), Separable(eighth, eighth))
        self.deep = nn.Sequential(
            Separable(eighth, deep, stride=2), *(Separable(deep, deep, kernel=5) for _ in range(DEEP_BLOCKS))
        )
        self.laterals = nn.ModuleList(_conv(width, MERGED) for width in (quarter, eighth, deep))
        self.merges = nn.ModuleList(Separable(MERGED, MERGED) for _ in range(2))
        self.head = nn.Conv2d(MERGED, OUTPUTS, 1)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[:1], math.log(RARE / (1 - RARE)))

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.quarter(self.stem(x))]
        for deeper in (self.eighth, self.deep):
            levels.append(deeper(levels[-1]))
        fine, middle, coarse = (lateral(level) for lateral, level in zip(self.laterals, levels, strict=True))
        middle = self.merges[0](middle + F.interpolate(coarse, scale_factor=2))
        return self.head(self.merges[1](fine + F.interpolate(middle, scale_factor=2)))


@dataclass(frozen=True)
class FoundFace:
    """A face: how likely it is one, its size and the centres of its eyes (x, y) in pixels, left one first."""

    likelihood: float
    size: float
    eyes: tuple[tuple[float, float], tuple[float, float]]


def faces_in(output: Tensor, least: float = SURE) -> list[FoundFace]:
    """The faces in one picture's output `[6, h, w]`, the likeliest first: places that are likelier than their eight
    neighbours."""
    likelihood = output[0].sigmoid()
    is_peak = likelihood == F.max_pool2d(likelihood[None], 3, 1, 1)[0]
    found = []
    for row, column in torch.nonzero(is_peak & (likelihood >= least)).tolist():
        size = USUAL_SIZE * math.exp(float(output[1, row, column]))
        x, y = (STRIDE * place + (STRIDE - 1) / 2 for place in (column, row))
        offsets = output[2:, row, column].tolist()
        eyes = tuple((x + size * dx, y + size * dy) for dx, dy in (offsets[:2], offsets[2:]))
        found.append(FoundFace(float(likelihood[row, column]), size, eyes))
    return sorted(found, key=lambda face: -face.likelihood)
