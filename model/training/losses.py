"""Losses as pure functions of tensors; weights live with the options."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GRADIENT_SCALES = 3  # resolutions at which picture gradients are compared, each half the one before
# Pictures a GPU of the published training, whose perceptual loss is summed over them. Here a mean is multiplied.
PUBLISHED_BATCH = 4


def encoder_error(feature: Tensor, skip: Tensor, wanted_feature: Tensor, wanted_skip: Tensor) -> dict[str, Tensor]:
    """`‖E(x) - f_G1(w)‖²` (VToonify, eq. 1 and 8), mean squared: feature `[B, C, s, s]` and skip `[B, 3, s, s]`."""
    return {"feature": F.mse_loss(feature, wanted_feature), "skip": F.mse_loss(skip, wanted_skip)}


def adversarial(fake: Tensor) -> Tensor:
    """`softplus(-D(y))` (VToonify, eq. 3), non-saturating; logits `[B, 1]`."""
    return F.softplus(-fake).mean()


def discrimination(fake: Tensor, real: Tensor) -> Tensor:
    """`softplus(D(y)) + softplus(-D(y'))`: logistic loss of the discriminator; logits `[B, 1]`."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def weighted_l1(result: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of `weight · |y - y'|`; `result`, `target` `[B, 3, H, W]`, `weight [B, 1, H, W]`."""
    return ((result - target).abs() * weight).mean()


def coarse_l1(result: Tensor, target: Tensor, weight: Tensor, square: int) -> Tensor:
    """`weighted_l1` of averages over squares of so many pixels a side, plus a quarter of it at full size where weights
    are larger than 1: on features, whose place is known, while that of strokes isn't."""
    averages = (F.avg_pool2d(each, square) for each in (result, target, weight))
    return weighted_l1(*averages) + 0.25 * weighted_l1(result, target, F.relu(weight - 1))


def feature_matching(result: list[Tensor], target: list[Tensor]) -> Tensor:
    """Mean L1 between a discriminator's activations for results and for targets (Wang et al., 2018, eq. 4): a
    perceptual loss that needs no network trained elsewhere."""
    pairs = list(zip(result, target, strict=True))
    return sum(F.l1_loss(a.float(), b.float()) for a, b in pairs) / len(pairs)


def square_discrimination(fake: Tensor, real: Tensor) -> Tensor:
    """`D(y)² + (1 - D(y'))²`: least squares of the discriminator (Mao et al., 2017)."""
    return fake.square().mean() + (1 - real).square().mean()


def square_adversarial(fake: Tensor) -> Tensor:
    """`(1 - D(y))²`."""
    return (1 - fake).square().mean()


def gradient_l1(result: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L1 between horizontal and vertical differences, summed over three scales: keeps lines and edges sharp."""
    total = result.new_zeros(())
    for scale in range(GRADIENT_SCALES):
        if scale:
            result, target, weight = (F.avg_pool2d(t, 2) for t in (result, target, weight))
        difference = result - target
        total = total + (difference.diff(dim=-1).abs() * weight[..., 1:]).mean()
        total = total + (difference.diff(dim=-2).abs() * weight[..., 1:, :]).mean()
    return total


def flicker(still: Tensor, moved: Tensor, offsets: Tensor) -> Tensor:
    """`MSE(crop(G(x)), G(crop(x)))` (VToonify, eq. 4): a camera move simulated on one frame must not change the look.
    `still [B, 3, H, W]` are results on whole inputs, `moved [B, 3, h, w]` on a window of each, whose top-left corner
    (row, column) in pixels of `still` is in `offsets [B, 2]`."""
    height, width = moved.shape[-2:]
    pairs = zip(still, offsets.tolist(), strict=True)
    windows = [picture[:, row : row + height, column : column + width] for picture, (row, column) in pairs]
    return F.mse_loss(torch.stack(windows), moved)


def flicker_ramp(step: int, total: int) -> float:
    """`max(2·i/N - 1, 0)`: nothing in the first half of the steps, then rising linearly to 1; `step` is absolute."""
    return max(2 * step / total - 1, 0.0)


def mask_excess(masks: list[Tensor], degree: Tensor) -> Tensor:
    """`Σ relu(mean m - γ(d))` over the fusion levels with `masks [B, 1, h, w]`, averaged over the batch (VToonify,
    eq. 9). `γ(d) = 0.9·(1 - d)² + 0.1` bounds how much of the photo's detail a style `degree [B]` may keep."""
    bound = 0.9 * (1 - degree) ** 2 + 0.1
    return sum(F.relu(mask.float().mean((1, 2, 3)) - bound).mean() for mask in masks)


def contextual(x: Tensor, y: Tensor, band_width: float = 0.2) -> Tensor:
    """Contextual loss of features `x` and `y`, `[B, C, h, w]` (Mechrez et al., ECCV 2018): how well every place of `y`
    is met somewhere in `x`, so that textures are compared whatever their place is. Memory grows with (h·w)²."""
    mean = y.mean((0, 2, 3), keepdim=True)
    a, b = (F.normalize((each - mean).flatten(2), dim=1) for each in (x, y))
    distance = 1 - a.transpose(1, 2) @ b  # [B, places of x, places of y]
    distance = distance / (distance.amin(2, keepdim=True) + 1e-5)
    similarity = torch.softmax((1 - distance) / band_width, dim=2)
    return -(similarity.amax(1).mean(1) + 1e-5).log().mean()


def identity(result: Tensor, target: Tensor) -> Tensor:
    """Mean of `identity_distance` over the batch."""
    return identity_distance(result, target).mean()


def identity_distance(result: Tensor, target: Tensor) -> Tensor:
    """`1 - cos`, `[B]`, between ArcFace's vectors `[B, 512]`, each of length 1; the target gets no gradient."""
    return 1 - (result * target.detach()).sum(1)


def feature_l1(result: Sequence[Tensor], target: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """L1 between features `[B, C, h, w]`, a mean for each layer, summed with the layers' weights."""
    layers = zip(result, target, weights, strict=True)
    return sum(weight * F.l1_loss(x, y.detach()) for x, y, weight in layers)


def channel_means(result: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Squared difference of the features' means over all places, a mean over channels, summed over layers: colour and
    texture without place (Huang and Belongie, ICCV 2017, without the deviations)."""
    pairs = zip(result, target, strict=True)
    return sum(F.mse_loss(x.mean((2, 3)), y.mean((2, 3)).detach()) for x, y in pairs)
