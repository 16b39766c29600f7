"""How near generated pictures are to real ones, as sets: kernel and Fréchet distance of features.

KID (Bińkowski et al., 2018) is fair for a few hundred real pictures, FID (Heusel et al., 2017) is not. Both are
published for the features of Inception, whose file the user names; without it they are taken of local colours and
contrasts at several scales, which tell blurred or collapsed pictures from real ones, but compare with no published
figure.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import sqrtm
from torch import Tensor

from model.common.errors import InputError
from model.common.tensors import to_uint8

SUBSETS, SUBSET = 100, 1000  # of KID: how many, and the most pictures in each
SMALLEST = 8  # pixels a side of the coarsest pictures that features are taken of
PIXELS, INCEPTION = "pixels", "Inception"

Features = Callable[[Tensor], Tensor]  # `[B, 3, S, S]` in [-1, 1] → `[B, d]`


def kernel_distance(real: np.ndarray, fake: np.ndarray, seed: int = 0, subsets=SUBSETS, largest=SUBSET) -> float:
    """KID of features `real [N, d]` and `fake [M, d]`: unbiased squared distance for the kernel (x·y/d + 1)³, averaged
    over random subsets of equal size; one is enough where a subset is everything."""
    size, rng = min(len(real), len(fake), largest), np.random.default_rng(seed)
    if size == len(real) == len(fake):
        subsets = 1
    total, dimension = 0.0, real.shape[1]
    for _ in range(subsets):
        x, y = (rng.choice(features, size, replace=False).astype(np.float64) for features in (fake, real))
        within = (x @ x.T / dimension + 1) ** 3 + (y @ y.T / dimension + 1) ** 3
        across = (x @ y.T / dimension + 1) ** 3
        total += (within.sum() - np.diag(within).sum()) / (size - 1) - 2 * across.sum() / size
    return float(total / subsets / size)


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """FID of features `real [N, d]` and `fake [M, d]`: of the normal distributions with their means and covariances
    (divided by the number, as NVIDIA's program does)."""
    (mean, covariance), (other_mean, other) = (
        (features.mean(0), np.cov(features, rowvar=False, bias=True)) for features in (real, fake)
    )
    root = np.real(sqrtm(covariance @ other))
    return float(np.square(mean - other_mean).sum() + np.trace(covariance + other - 2 * root))


def pixel_features(pictures: Tensor) -> Tensor:
    """`[B, d]`: of `[B, 3, S, S]`, S a power of 2, at each scale the mean size of details within 8 × 8 fields, and the
    colours of the coarsest."""
    found, x = [], pictures.float()
    while x.shape[-1] > SMALLEST:
        coarse = F.avg_pool2d(x, 2)
        detail = x - F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        found.append(4 * F.adaptive_avg_pool2d(detail.abs(), SMALLEST))
        x = coarse
    return torch.cat([level.flatten(1) for level in (*found, x)], dim=1)


def inception_features(path: str | Path, device: torch.device) -> Features:
    """The 2048 features of the network in `path`: inception-2015-12-05.pt, TorchScript, which takes 8-bit pictures."""
    try:
        network = torch.jit.load(str(path), map_location=device).eval()
        assert network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=device), return_features=True).ndim == 2
    except (OSError, RuntimeError, ValueError, TypeError, AssertionError, AttributeError) as error:
        reason = "does not exist" if not Path(path).exists() else "is no such network"
        raise InputError(f"--inception_path {path} {reason}: give inception-2015-12-05.pt, or leave it out.") from error

    def features(pictures: Tensor) -> Tensor:
        return network(to_uint8(pictures).movedim(-1, 1), return_features=True)

    return features


@torch.no_grad()
def features_of(batches: Iterable[Tensor], features: Features) -> np.ndarray:
    """Features of all pictures, `[N, d]`."""
    return np.concatenate([features(batch).double().cpu().numpy() for batch in batches])


def in_batches(count: int, batch: int) -> Iterator[range]:
    """Numbers below `count`, so many at a time."""
    return (range(first, min(first + batch, count)) for first in range(0, count, batch))


def sharpness(rgb: np.ndarray) -> float:
    """Mean over the pixels of an RGB uint8 picture `[H, W, 3]` of how far each is from its four neighbours: the size of
    the Laplacian of whole grey levels, 0–255, borders reflected. It grows with size, so compare at one (512 px), and
    with noise, so tell the photo's beside it."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT_101)).mean())
