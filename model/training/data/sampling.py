"""Samples that a teacher returns, the random numbers they are made of, and the batches that students learn from.

The affine transforms follow Karras et al., "Training GANs with Limited Data", 2020, appendix B.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import compress
from typing import Self, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.common.sizes import INPUT_MULTIPLE, PARSING_SCALE
from model.config import GeneratorConfig
from model.ops import BLUR_TAPS, blur_downsample
from model.training.gan.resample import resample

# Low-pass filter of the sym6 wavelet. Its even shifts are orthonormal, so enlarging and reducing again is lossless.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
FILTER_MARGIN = len(SYM6) // 4  # input pixels that the filter reaches beyond the border
FILTER_DELAY = 0.25  # input pixels: it weighs about half a fine pixel to the left, so sampling moves with it
INPUT_REDUCTION = 4  # sides of a sample's photo / sides of the student's input, which is blurred and halved twice
PROBABILITY = 0.2  # of each transform, independently
MAX_SHIFT, MAX_ANGLE, SCALE_STD = 1 / 8, math.pi / 4, 0.2  # of the side; of the logarithm to base 2 of a scale


class Batch(TypedDict, total=False):
    """B samples as the loop sees them: S is the side of the target, h the input's (published S/4), C the parser's
    classes. Pre-training needs `x`, `feature`, `skip`, `degree`, `w_plus`; distillation `x`, `y`, `degree` to
    `offset`."""

    x: Tensor  # input `[B, 3 + C, h, h]`: RGB in [-1, 1] and parsing logits / 16
    y: Tensor  # target `[B, 3, S, S]`, RGB in [-1, 1]
    w_plus: Tensor  # style code in w+, `[B, layers, D]`; absent where the network maps the exemplar of `style` itself
    degree: Tensor  # style degree, `[B]` in [0, 1]
    style: Tensor  # index of the exemplar, `[B]` int64
    moved: Tensor  # input of the simulated camera move: a window of the photo at full size, then reduced
    offset: Tensor  # top-left corner (row, column) of that window in pixels of the target, `[B, 2]` int64
    weight: Tensor  # weight of the reconstruction loss, `[B, 1, S, S]`; absent: 1 everywhere
    feature: Tensor  # the teacher's feature at the structure size, `[B, C', s, s]`
    skip: Tensor  # the teacher's skip image at the structure size, `[B, 3, s, s]`


@dataclass
class Sample:
    """B samples, drawn by a teacher or read from disk; `attribute`, `affine` and `offset` lie on the CPU."""

    photo: Tensor  # `[B, 3, P, P]` in [-1, 1], P four times the input's side, after the affine transform
    logits: Tensor | None  # parsing logits of the photo, `[B, C, P/2, P/2]`; None where the network has no parser
    w_plus: Tensor
    degree: Tensor
    style: Tensor
    attribute: Tensor  # number of the editing direction that was added, `[B]` int64; -1: none
    affine: Tensor  # `[B, 3, 3]` as `apply_affine` takes it; the identity where nothing was moved
    cartoon: Tensor | None = None  # distillation: `[B, 3, S, S]` in [-1, 1], under the same affine transform
    feature: Tensor | None = None  # pre-training, as is `skip`
    skip: Tensor | None = None
    offset: Tensor | None = None  # distillation

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A sample of what `change` makes of the tensors that are there."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{name: None if value is None else change(value) for name, value in values.items()})

    def batch(self) -> Batch:
        """What the student sees and is to make of it, float32."""
        photo, logits = self.photo.float(), None if self.logits is None else self.logits.float()
        batch = Batch(x=student_input(photo, logits), style=self.style)
        others = {"w_plus": self.w_plus, "degree": self.degree}
        others |= {"y": self.cartoon, "feature": self.feature, "skip": self.skip}
        batch |= {name: value.float() for name, value in others.items() if value is not None}
        if self.offset is not None:
            share = photo.shape[-1] // self.cartoon.shape[-1]
            batch |= Batch(moved=moved_input(photo, logits, share * self.offset), offset=self.offset)
        return batch


@dataclass(frozen=True)
class Draws:
    """Random numbers of B samples, on the CPU; the arrays are uniform in [0, 1). All are drawn, used or not, so that
    none depends on another or on an option."""

    z: Tensor  # `[B, D]`, normal
    other_z: Tensor  # `[B, D]`, normal; of the code that lends its colours
    attribute: np.ndarray
    style: np.ndarray
    degree: np.ndarray
    progress: np.ndarray  # how far the run is that a stored sample belongs to
    affine: Tensor  # `[B, 3, 3]`
    offset: Tensor  # `[B, 2]` int64
    noise_seeds: list[int]


def draw(seed: int, numbers: Sequence[int], config: GeneratorConfig) -> Draws:
    """Random numbers of samples `numbers` for a generator of these sizes: those of n follow from (seed, n) alone."""
    rngs = [np.random.default_rng((seed, number)) for number in numbers]
    codes = np.stack([rng.standard_normal((2, config.style_dim), dtype=np.float32) for rng in rngs], axis=1)
    uniform = np.stack([rng.random(4) for rng in rngs], axis=1)
    affine = torch.stack([random_affine_matrix(rng, config.size, config.size) for rng in rngs])
    offset = np.stack([rng.integers(0, config.size - window_side(config.size) + 1, 2) for rng in rngs])
    noise_seeds = [int(rng.integers(2**63)) for rng in rngs]
    return Draws(*torch.from_numpy(codes), *uniform, affine, torch.from_numpy(offset), noise_seeds)


def layer_noise(config: GeneratorConfig, seeds: Sequence[int], device: torch.device) -> list[Tensor]:
    """Noise for every synthesis layer, `[B, 1, H, W]` each, float32: that of one sample follows from its seed. It is
    drawn on the device: at the published size it is 2.8 million numbers a sample."""
    sizes = [4 << ((layer + 1) // 2) for layer in range(2 * config.levels + 1)]
    noise = torch.empty(len(seeds), sum(size**2 for size in sizes), device=device)
    generator = torch.Generator(device)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=generator.manual_seed(seed))
    layers = noise.split([size**2 for size in sizes], dim=1)
    return [layer.view(-1, 1, size, size) for layer, size in zip(layers, sizes, strict=True)]


def window_side(size: int) -> int:
    """Side of the moved camera's window for targets of `size` px: 896 of 1024 (VToonify, Sec. 4.1.3)."""
    return round(size * 7 / 8)


def photo_side(config: GeneratorConfig) -> int:
    """Side of the photo of a sample: that of the generator's pictures, but at least four times the student's input's.
    So small generators' photos are enlarged, and students of theirs enlarge less, or nothing."""
    input_side = INPUT_MULTIPLE * config.structure_size
    is_small = input_side <= config.size < INPUT_REDUCTION * input_side
    return INPUT_REDUCTION * input_side if is_small else config.size


def student_input(photo: Tensor, logits: Tensor | None) -> Tensor:
    """Still frame: `[B, 3 + C, S/4, S/4]` from `photo [B, 3, S, S]` in [-1, 1] and its parsing map `[B, C, S/2, S/2]`
    (None for a network without a parser), both blurred before each halving."""
    x = blur_downsample(blur_downsample(photo))
    return x if logits is None else torch.cat([x, blur_downsample(logits) / PARSING_SCALE], dim=1)


def moved_input(photo: Tensor, logits: Tensor | None, offsets: Tensor) -> Tensor:
    """Frame of the camera moved by `offsets [B, 2]` (row, column, in pixels of the photo): `[B, 3 + C, k/4, k/4]`.

    The window is cut at full size, so that the move is a fraction of a pixel at the input's size; the parsing map,
    enlarged by repetition, moves with the photo, as in the published program. Arguments as for `student_input`.
    """
    side, places = window_side(photo.shape[-1]), offsets.tolist()
    windows = [item[:, r : r + side, c : c + side] for item, (r, c) in zip(photo, places, strict=True)]
    moved = blur_downsample(blur_downsample(torch.stack(windows)))
    if logits is None:
        return moved
    maps = [
        _window_operator(item, row, side) @ item @ _window_operator(item, column, side).T
        for item, (row, column) in zip(logits, places, strict=True)
    ]
    return torch.cat([moved, torch.stack(maps) / PARSING_SCALE], dim=1)


def _window_operator(item: Tensor, first: int, side: int) -> Tensor:
    """What `moved_input` does to the columns of `item [C, h, h]`, as a matrix `[side/4, h]`; to rows it does the same.

    Repeating, cutting and blurring are linear and act on rows and columns apart. As two products they cost a fifth of
    what they do at the photo's size, where a map of many classes is large.
    """
    lines = torch.eye(item.shape[-1], dtype=item.dtype, device=item.device).repeat_interleave(2, dim=1)
    lines, taps = lines[:, None, first : first + side], lines.new_tensor([[BLUR_TAPS]]) / sum(BLUR_TAPS)
    return F.conv1d(F.conv1d(lines, taps, stride=2, padding=1), taps, stride=2, padding=1)[:, 0].T


def random_affine_matrix(rng: np.random.Generator, height: int, width: int, probability: float = PROBABILITY) -> Tensor:
    """Draw a flip, shift, isotropic scale, anisotropic scale and rotation, each with `probability`: `[3, 3]`, float32,
    as `apply_affine` takes it, for images of `height` by `width` pixels. All numbers are drawn, used or not."""
    happens = rng.random(5) < probability
    shift_x, shift_y = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
    scale, stretch = 2 ** rng.normal(0, SCALE_STD, 2)
    angle = rng.uniform(-MAX_ANGLE, MAX_ANGLE)
    cos, sin = math.cos(angle), math.sin(angle)
    steps = [
        np.diag([-1.0, 1, 1]),
        np.array([[1, 0, -shift_x], [0, 1, -shift_y], [0, 0, 1]]),
        np.diag([1 / scale, 1 / scale, 1]),
        np.diag([1 / stretch, stretch, 1]),
        np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]),
    ]
    matrix = np.eye(3)
    for step in compress(steps, happens):
        matrix = step @ matrix
    return torch.tensor(matrix, dtype=torch.float32)


def apply_affine(images: Tensor, inverse_matrix: Tensor) -> Tensor:
    """Warp images without aliasing; beyond the border lies the image's reflection. Differentiable twice by `images`.

    images: `[B, C, H, W]`, any range, as the result. inverse_matrix: `[B, 3, 3]`, takes the position (x, y, 1) of an
    output pixel, in pixels from the image centre, to the one in the input.
    """
    sides, matrix = (images.shape[-1], images.shape[-2]), inverse_matrix.to(images)
    # Of the output at double density, filter margin included, from the image centre.
    ranges = [torch.arange(0.5 - n, n, device=images.device) / 2 for n in (side + 2 * FILTER_MARGIN for side in sides)]
    positions = torch.stack(torch.meshgrid(*ranges, indexing="xy"), dim=-1).to(images.dtype) + FILTER_DELAY
    positions = torch.einsum("bij,hwj->bhwi", matrix[:, :2, :2], positions) + matrix[:, None, None, :2, 2]
    # Pixels to add on each side, so that every position and its filter lie inside. One reflection is all that padding
    # offers: what lies further out than a whole image stays black.
    reach = positions.abs().amax(dim=(0, 1, 2)).tolist()
    needed = [math.ceil(far - side / 2) + FILTER_MARGIN + 1 for far, side in zip(reach, sides, strict=True)]
    x, y = (min(max(margin, 0), side - 1) for margin, side in zip(needed, sides, strict=True))
    padded = F.pad(images, (x, x, y, y), mode="reflect")
    grid = (positions - FILTER_DELAY) / images.new_tensor([padded.shape[-1] / 2, padded.shape[-2] / 2])
    return _halve(resample(_double(padded), grid))


def _double(images: Tensor) -> Tensor:
    """Enlarge [B, C, H, W] twofold through the wavelet filter."""
    channels, reach = images.shape[1], len(SYM6) // 2 - 1
    taps = images.new_tensor(SYM6).expand(channels, 1, 1, -1)
    wide = F.conv_transpose2d(images, taps, stride=(1, 2), padding=(0, reach), groups=channels)
    return F.conv_transpose2d(wide, taps.mT, stride=(2, 1), padding=(reach, 0), groups=channels)


def _halve(images: Tensor) -> Tensor:
    """The transpose of `_double`; the filter margin is used up, one fine pixel of it is to spare on each side."""
    channels = images.shape[1]
    taps = images.new_tensor(SYM6).expand(channels, 1, 1, -1)
    narrow = F.conv2d(images[..., 1:-1, 1:-1], taps, stride=(1, 2), groups=channels)
    return F.conv2d(narrow, taps.mT, stride=(2, 1), groups=channels)
