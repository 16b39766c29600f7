"""The representations that White-box cartoonisation compares, and its losses (Wang and Yu, CVPR 2020, Sec. 3).

Surfaces are what the guided filter leaves, structures are superpixels in flat colours, textures are the picture in grey
of random weights. Where the published program differs from the paper, both are here, named.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from model.training.unpaired.regions import merged_regions
from model.whitebox import guided_filter

SURFACE_RADIUS, SURFACE_EPSILON = 5, 0.2
GREY_RANGES = ((0.199, 0.399), (0.487, 0.687), (0.014, 0.214))  # of the weights of red, green, blue
EVEN, VARIED = 20, 40  # deviation within a superpixel, in levels of 255: up to it the mean, from it the median
SLIC_SEGMENTS, SLIC_SIGMA, SLIC_COMPACTNESS = 200, 1.0, 10.0
POWER = 1.2  # of adaptive colours
SIDE = 256  # pixels of the pictures that the weights are for
WEIGHTS = {
    "published": {"variation": 1e4, "surface": 0.1, "texture": 1.0, "content": 200.0, "structure": 200.0},
    "paper": {"variation": 1e4, "surface": 1.0, "texture": 10.0, "content": 2000.0, "structure": 2000.0},
}


def surface(x: Tensor) -> Tensor:
    """`x [B, 3, H, W]` in [-1, 1] without its texture."""
    return guided_filter(x, x, SURFACE_RADIUS, SURFACE_EPSILON)


def draw_grey_weights(generator: torch.Generator | None = None) -> Tensor:
    """Weights of red, green, blue `[3]` for `texture`: one draw for the pictures of both domains."""
    low, high = torch.tensor(GREY_RANGES).unbind(1)
    return low + torch.rand(3, generator=generator) * (high - low)


def texture(x: Tensor, weights: Tensor) -> Tensor:
    """Grey `[B, 1, H, W]` of `x [B, 3, H, W]`, RGB: the average with `weights [3]`, so that colour doesn't matter."""
    weights = weights.to(x).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True) / weights.sum()


def total_variation(x: Tensor) -> Tensor:
    """Mean squared difference to the pixel below plus that to the right of `x [B, C, H, W]`, divided by the number of
    values in a picture. Means are there already: that second division is the published program's, and with it its
    weight of 10⁴ is 0.05 per mean (of 256 px pictures)."""
    return (x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean()) / x[0].numel()


def content(result: Tensor, photo: Tensor) -> Tensor:
    """Mean difference of VGG-19's conv4_4 before its ReLU, `[B, C, h, w]`, divided by the number of values in a
    picture, once more than a mean needs, as in `total_variation`: a weight of 200 is 4e-4 (of 256 px pictures)."""
    return (result - photo).abs().mean() / result[0].numel()


def superpixels(rgb: np.ndarray) -> np.ndarray:
    """Labels `[H, W]` of about 200 superpixels of an RGB uint8 picture (SLIC)."""
    from skimage.segmentation import slic

    settings = {"n_segments": SLIC_SEGMENTS, "sigma": SLIC_SIGMA, "compactness": SLIC_COMPACTNESS}
    return slic(rgb, **settings, start_label=0)


def colours_of(picture: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where the pixels of each superpixel are, as numbers `[n]` row by row, and their colours `[n, 3]`."""
    order = np.argsort(labels, axis=None, kind="stable")
    ends = np.flatnonzero(np.diff(labels.ravel()[order])) + 1
    pixels = picture.reshape(-1, picture.shape[-1])
    for place in np.split(order, ends):
        yield place, pixels[place]


def mean_colour(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each superpixel in its mean colour: what the published program arrives at, because it measures the deviation of
    pictures in [-1, 1] in levels of 255. `picture`: float `[H, W, 3]`, of any range."""
    flat = np.empty((labels.size, picture.shape[-1]), np.float64)
    for place, pixels in colours_of(picture, labels):
        flat[place] = pixels.mean(0)
    return flat.reshape(picture.shape)


def adaptive_colour(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each superpixel in the colour that the paper means (eq. 3): the mean where it is even, the median where it
    varies, their average in between. `picture`: float `[H, W, 3]` in levels of 255."""
    flat = np.empty((labels.size, picture.shape[-1]), np.float64)
    for place, pixels in colours_of(picture, labels):
        spread, mean = pixels.std(), pixels.mean(0)
        share = 0.0 if spread < EVEN else 1.0 if spread > VARIED else 0.5
        flat[place] = mean + share * (np.median(pixels, axis=0) - mean)
    return flat.reshape(picture.shape)


def structure(result: np.ndarray, segments: str = "slic", colouring: str = "mean") -> np.ndarray:
    """`result [H, W, 3]`, RGB in [-1, 1], in flat colours: float32 of the same range. segments: slic, or felzenszwalb
    with regions merged as in the paper; colouring: mean, as published, or adaptive, as in the paper, followed by a
    power of 1.2, which deepens colours."""
    levels = (np.clip(result, -1, 1) + 1) * 127.5
    rgb = levels.round().astype(np.uint8)
    labels = superpixels(rgb) if segments == "slic" else merged_regions(rgb)
    if colouring == "mean":
        return (mean_colour(levels, labels) / 127.5 - 1).astype(np.float32)
    return (2 * (adaptive_colour(levels, labels) / 255) ** POWER - 1).astype(np.float32)
