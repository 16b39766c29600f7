"""What AdaIN's decoder minimises (Huang and Belongie, ICCV 2017, eq. 11–13)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.adain import ENCODER_CONVS, Adain, AdainEncoder, restyle, statistics_of

STYLE_WEIGHT = 10.0
LEAST_ACTIVATION = 0.01  # of the layer's mean: what hardly ever fires is not blown up


def decoder_terms(network: Adain, photo: Tensor, style: Tensor) -> dict[str, Tensor]:
    """Content and style loss, without weights, of `photo [B, 3, H, W]` in the style of `style [B, 3, h, w]`, RGB in
    [0, 1]: how far the result's features are from those that it was painted from, and how far the statistics of all
    its layers are from the style's."""
    wanted = network.encoder.features(style)
    target = restyle(network.encoder(photo), statistics_of(wanted[-1]))
    found = network.encoder.features(network.decoder(target))
    pairs = zip(found, wanted, strict=True)
    return {"content": F.mse_loss(found[-1], target), "style": sum(style_distance(*pair) for pair in pairs)}


def style_distance(features: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of means plus that of deviations; features `[B, C, h, w]`, of any two sizes."""
    return sum(F.mse_loss(*pair) for pair in zip(statistics_of(features), statistics_of(wanted), strict=True))


@torch.no_grad()
def normalise(encoder: AdainEncoder, pictures: Tensor) -> None:
    """Scale each filter so that its mean activation over `pictures [B, 3, H, W]`, RGB in [0, 1], is one, and the next
    layer the other way round, so that no activation but by its scale changes (Gatys et al., 2016, Sec. 2)."""
    x, means = pictures, None
    for number, layer in enumerate(encoder):
        if number in ENCODER_CONVS:
            if means is not None:
                layer.weight.mul_(means[:, None, None])
            means = layer(x).relu().mean((0, 2, 3))
            means = means.clamp(min=LEAST_ACTIVATION * means.mean().item())
            layer.weight.div_(means[:, None, None, None])
            layer.bias.div_(means)
        x = layer(x)
