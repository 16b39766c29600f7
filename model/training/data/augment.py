"""Anti-aliased random affine transforms (Karras et al., "Training GANs with Limited Data", 2020, appendix B)."""

import math
from itertools import compress

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Low-pass filter of the sym6 wavelet. Its even shifts are orthonormal, so enlarging and reducing again is lossless.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
FILTER_MARGIN = len(SYM6) // 4  # input pixels that the filter reaches beyond the border
FILTER_DELAY = 0.25  # input pixels: it weighs about half a fine pixel to the left, so sampling moves with it

PROBABILITY = 0.2  # of each transform, independently
MAX_SHIFT, MAX_ANGLE, SCALE_STD = 1 / 8, math.pi / 4, 0.2  # of the side; of the logarithm to base 2 of a scale


def random_affine_matrix(rng: np.random.Generator, height: int, width: int, probability: float = PROBABILITY) -> Tensor:
    """Draw an affine transform: flip, shift, isotropic scale, anisotropic scale, rotation, each with `probability`.

    Returns `[3, 3]`, float32, as `apply_affine` takes it, for images of `height` by `width` pixels. All numbers are
    drawn, used or not, so that they don't depend on one another.
    """
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
    """Warp images without aliasing; beyond the border lies the image's reflection.

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
    return _halve(F.grid_sample(_double(padded), grid, mode="bilinear", align_corners=False))


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
