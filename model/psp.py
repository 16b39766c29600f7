"""pSp style encoder: an aligned face becomes 18 codes in z+ (Richardson et al., "Encoding in Style", CVPR 2021)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.arcface import residual_stages, stem
from model.common.errors import InputError
from model.config import EncoderConfig
from model.stylegan2 import EqualLinear

FACE_SIZE = EncoderConfig.face_size
CODE_COUNT, CODE_SIZE = EncoderConfig.code_count, EncoderConfig.code_size


class StyleHead(nn.Module):
    """Halve a square feature map down to one pixel and read one code from it."""

    def __init__(self, channels: int, size: int, code_size: int):
        super().__init__()
        self.convs = nn.Sequential()
        for _ in range(int(math.log2(size))):
            self.convs.extend([nn.Conv2d(channels, code_size, 3, 2, 1), nn.LeakyReLU()])
            channels = code_size
        self.linear = EqualLinear(code_size, code_size)

    def forward(self, feature: Tensor) -> Tensor:
        return self.linear(self.convs(feature).flatten(1))


class PSPEncoder(nn.Module):
    """Photo of an aligned face to style codes, 18 of 512 numbers unless `config` says otherwise. `latent_avg`, the mean
    code `[18, 512]`, is set by the loader."""

    latent_avg: Tensor

    def __init__(self, config: EncoderConfig | None = None):
        super().__init__()
        self.config = config = config or EncoderConfig()
        widths = config.widths
        self.input_layer, self.body = stem(widths[0]), residual_stages(widths, config.blocks)
        self.styles = nn.ModuleList(StyleHead(widths[3], size, config.code_size) for size in config.head_sizes)
        self.latlayer1 = nn.Conv2d(widths[2], widths[3], 1)
        self.latlayer2 = nn.Conv2d(widths[1], widths[3], 1)
        self.register_buffer("latent_avg", torch.zeros(config.code_count, config.code_size), persistent=False)

    def forward(self, face: Tensor) -> Tensor:
        """Codes `[B, 18, 512]` relative to the mean code; InputError for another size.
        face: `[B, 3, 256, 256]`, RGB in [-1, 1], aligned as in FFHQ."""
        return self.heads(face)

    def heads(self, face: Tensor) -> Tensor:
        """What each head reads from `face`, `[B, 18, 512]`; arguments as for `forward`."""
        config, side = self.config, self.config.face_size
        if face.shape[1:] != (3, side, side):
            raise InputError(f"the style encoder takes aligned faces [B, 3, {side}, {side}], not {list(face.shape)}.")
        x, features = self.input_layer(face), []
        for index, block in enumerate(self.body):
            x = block(x)
            if index in config.feature_blocks:
                features.append(x)
        fine, middle, coarse = features
        corners = {"mode": "bilinear", "align_corners": True}  # as in training
        middle = F.interpolate(coarse, middle.shape[-2:], **corners) + self.latlayer1(middle)
        fine = F.interpolate(middle, fine.shape[-2:], **corners) + self.latlayer2(fine)
        pyramid = {feature.shape[-1]: feature for feature in (coarse, middle, fine)}
        codes = [head(pyramid[size]) for head, size in zip(self.styles, config.head_sizes, strict=True)]
        return torch.stack(codes, dim=1)

    def style_codes(self, face: Tensor) -> Tensor:
        """Codes in z+ (e4e's are in w+), the mean code added; arguments and shape as for `forward`."""
        return self(face) + self.latent_avg
