"""Sizes of the networks; free of torch, so that options can name them before anything heavy is loaded."""

import math
from dataclasses import dataclass, field
from typing import Literal

from model.common.sizes import EYE_DISTANCE, INPUT_MULTIPLE

Backbone = Literal["toonify", "dualstylegan"]

FEATURES = 4  # resolutions at which VToonify's encoder hands over features
PUBLISHED_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator; the defaults are those of the published 1024 px files."""

    size: int = 1024  # pixels a side
    style_dim: int = 512
    mapping_layers: int = 8
    channels: dict[int, int] = field(default_factory=PUBLISHED_CHANNELS.copy)
    noise_buffers: bool = True  # the file holds the fixed noise, as published ones do
    first_level: int = 0  # levels below it are not built, because an encoder takes their place
    structure_size: int = 32  # up to here there are ModRes blocks, and VToonify replaces the generator by its encoder

    @property
    def levels(self) -> int:
        return int(math.log2(self.size)) - 2  # doublings from 4 px to `size`

    @property
    def w_layers(self) -> int:
        return 2 * self.levels + 2  # 18 at 1024 px

    @property
    def structure_levels(self) -> int:
        return int(math.log2(self.structure_size)) - 2  # doublings from 4 px to `structure_size`: 3 at 32 px

    @property
    def structure_layers(self) -> int:
        """Number of w+ layers that make structure (7 at 32 px): one for `conv1`, two for each of these levels."""
        return 2 * self.structure_levels + 1


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an encoder of faces into style codes (pSp, e4e); the defaults are those of the published files."""

    face_size: int = 256  # pixels a side
    code_count: int = 18  # rows of w+
    code_size: int = 512
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)  # channels of the stages, each of which halves
    blocks: tuple[int, int, int, int] = (3, 4, 14, 3)  # residual blocks of the stages (IR-SE-50)

    @property
    def feature_blocks(self) -> tuple[int, int, int]:
        """Numbers of the last blocks of stages 2, 3 and 4: 64, 32 and 16 px of a face of 256 px."""
        return tuple(sum(self.blocks[:stages]) - 1 for stages in (2, 3, 4))

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Side of the map that each code is read from (pSp, Sec. 3): three coarse, four middle, the others fine."""
        coarse = self.face_size // 16
        return ((coarse,) * 3 + (2 * coarse,) * 4 + (4 * coarse,) * self.code_count)[: self.code_count]


@dataclass(frozen=True)
class VToonifyConfig:
    """Sizes of a model; the defaults are those of the published files, which carry no configuration. The encoder is as
    wide as the generator at the same place. `subpixel` > 1: the last level stops that factor below the output, and
    sub-pixel convolutions make the rest, so that a small model works at low resolution. `eye_distance`: pixels between
    the eyes in the inputs that the model was trained on; faces are scaled to it."""

    backbone: Backbone = "dualstylegan"
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    parsing_channels: int = 19
    stem_channels: int = 32
    dilations: tuple[int, ...] = (4, 4, 2, 2, 1, 1)
    subpixel: int = 1
    eye_distance: float = EYE_DISTANCE

    @property
    def in_size(self) -> int:
        """Nominal input side (256 px in the paper): what the encoder turns into a feature of the structure size."""
        return INPUT_MULTIPLE * self.generator.structure_size

    @property
    def scale(self) -> int:
        return self.generator.size // self.in_size * self.subpixel  # output side / input side, 4 in the paper

    @property
    def decoder_levels(self) -> int:
        return self.generator.levels - self.generator.structure_levels  # those above the structure, 5 in the paper

    @property
    def fusions(self) -> int:
        """Number of fusions in use: one before each level, as far as there are encoder features (4 in the paper), and
        one before sub-pixel convolutions, which would not see the input's finest detail otherwise."""
        return min(self.decoder_levels + (self.subpixel > 1), FEATURES)


@dataclass(frozen=True)
class TranslatorConfig:
    """Sizes of a network that paints every pixel from its surroundings alone (Texler et al., 2020)."""

    widths: tuple[int, int, int] = (32, 64, 128)  # channels at full, half and a quarter of the size
    blocks: int = 7  # residual ones, at a quarter of the size
    eye_distance: float = 0.0  # pixels between the eyes in the photos that it learnt from; 0: from frames of a clip


@dataclass(frozen=True)
class UgatitConfig:
    """Sizes of a U-GAT-IT generator; the defaults are those of the published program's light variant."""

    width: int = 64  # channels at full size
    blocks: int = 4
    size: int = 256  # pixels a side of the pictures that it learns from; the full variant takes no others
    light: bool = True


@dataclass(frozen=True)
class MobileConfig:
    """Sizes of a student for phones and browsers; the defaults take 0.5 GMAC for a picture of 256×256 pixels."""

    widths: tuple[int, ...] = (8, 20, 44, 88, 136)  # channels at full size, then at half of it, and so on
    blocks: tuple[int, ...] = (1, 1, 1, 4)  # residual ones on the way down, below full size
    expansion: int = 2  # how many times wider residual blocks are inside
    eye_distance: float = 72.0  # pixels between the eyes in the photos that it learnt from


# By GMAC for a picture of 256×256 pixels.
MOBILE_CLASSES = {
    "0.5": MobileConfig(),
    "2": MobileConfig(widths=(16, 44, 88, 176, 280)),
    "8": MobileConfig(widths=(32, 88, 176, 352, 576)),
}
