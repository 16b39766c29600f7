"""pSp style encoder: an aligned face becomes 18 codes in z+ (Richardson et al., "Encoding in Style", CVPR 2021)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.common.errors import InputError
from model.stylegan2 import EqualLinear

FACE_SIZE = 256
CODE_COUNT, CODE_SIZE = 18, 512
STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))  # IR-SE-50 (ArcFace): channels and blocks; the first block halves
FEATURE_BLOCKS = (6, 20, 23)  # the last blocks of stages 2, 3 and 4: 64, 32 and 16 px on a 256 px face
SQUEEZE_RATIO = 16
HEAD_SIZES = (16,) * 3 + (32,) * 4 + (64,) * 11  # side of the map that each code is read from (pSp, Sec. 3)


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate in (0, 1) computed from all channel means."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE_RATIO, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE_RATIO, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class ResidualBlock(nn.Module):
    """Improved residual block with squeeze and excitation (IR-SE)."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride)  # plain subsampling, without parameters
        if channels != out:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, out, 3, 1, 1, bias=False), nn.PReLU(out),
            nn.Conv2d(out, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), SqueezeExcite(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut_layer(x) + self.res_layer(x)


class StyleHead(nn.Module):
    """Halve a square feature map down to one pixel and read one code from it."""

    def __init__(self, size: int):
        super().__init__()
        self.convs = nn.Sequential()
        for _ in range(int(math.log2(size))):
            self.convs.extend([nn.Conv2d(CODE_SIZE, CODE_SIZE, 3, 2, 1), nn.LeakyReLU()])
        self.linear = EqualLinear(CODE_SIZE, CODE_SIZE)

    def forward(self, feature: Tensor) -> Tensor:
        return self.linear(self.convs(feature).flatten(1))


class PSPEncoder(nn.Module):
    """Photo of an aligned face to 18 style codes. `latent_avg [18, 512]`, the mean code, is set by the loader."""

    latent_avg: Tensor

    def __init__(self):
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        self.body, channels = nn.Sequential(), 64
        for width, count in STAGES:
            self.body.append(ResidualBlock(channels, width, stride=2))
            self.body.extend(ResidualBlock(width, width, stride=1) for _ in range(count - 1))
            channels = width
        self.styles = nn.ModuleList(StyleHead(size) for size in HEAD_SIZES)
        self.latlayer1 = nn.Conv2d(STAGES[2][0], CODE_SIZE, 1)
        self.latlayer2 = nn.Conv2d(STAGES[1][0], CODE_SIZE, 1)
        self.register_buffer("latent_avg", torch.zeros(CODE_COUNT, CODE_SIZE), persistent=False)

    def forward(self, face: Tensor) -> Tensor:
        """Codes `[B, 18, 512]` relative to the mean code; InputError for another size.
        face: `[B, 3, 256, 256]`, RGB in [-1, 1], aligned as in FFHQ."""
        if face.shape[1:] != (3, FACE_SIZE, FACE_SIZE):
            raise InputError(f"the style encoder takes aligned faces [B, 3, 256, 256], not {list(face.shape)}.")
        x, features = self.input_layer(face), []
        for index, block in enumerate(self.body):
            x = block(x)
            if index in FEATURE_BLOCKS:
                features.append(x)
        fine, middle, coarse = features
        corners = {"mode": "bilinear", "align_corners": True}  # as in training
        middle = F.interpolate(coarse, middle.shape[-2:], **corners) + self.latlayer1(middle)
        fine = F.interpolate(middle, fine.shape[-2:], **corners) + self.latlayer2(fine)
        pyramid = {16: coarse, 32: middle, 64: fine}
        return torch.stack([head(pyramid[size]) for head, size in zip(self.styles, HEAD_SIZES, strict=True)], dim=1)

    def style_codes(self, face: Tensor) -> Tensor:
        """Codes in z+, the mean code added; arguments and shape as for `forward`."""
        return self(face) + self.latent_avg
