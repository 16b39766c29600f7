"""AdaIN (Huang and Belongie, ICCV 2017): the features of a photo get the mean and deviation of a style's features, and
a decoder paints them. Layers are numbered as in the published `vgg_normalised.pth` and `decoder.pth`
(pytorch-AdaIN)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

EPSILON = 1e-5  # below the root of variances
ENCODER_CONVS = {2: (3, 64), 5: (64, 64), 9: (64, 128), 12: (128, 128), 16: (128, 256), 19: (256, 256),
                 22: (256, 256), 25: (256, 256), 29: (256, 512)}  # fmt: skip
UNUSED_CONVS = (32, 35, 38, 42, 45, 48, 51)  # of the published file, above relu4_1
POOLS = (7, 14, 27)  # numbers of max pooling layers
STYLE_LAYERS = (3, 10, 17, 30)  # relu1_1, relu2_1, relu3_1, relu4_1
DECODER_CONVS = {1: (512, 256), 5: (256, 256), 8: (256, 256), 11: (256, 256), 14: (256, 128), 18: (128, 128),
                 21: (128, 64), 25: (64, 64), 28: (64, 3)}  # fmt: skip
TORCHVISION_CONVS = dict(zip((0, 2, 5, 7, 10, 12, 14, 16, 19), ENCODER_CONVS, strict=True))  # its numbers: ours
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1], torchvision's
DOUBLINGS = (3, 16, 23)  # numbers of layers in the decoder
MULTIPLE = 8  # sides of results are those of the photo rounded up to it


def _numbered(convs: dict[int, tuple[int, int]], others: dict[int, nn.Module]) -> nn.Sequential:
    """Layers by number: reflected borders before each convolution, ReLU after it, but for the last."""
    layers = {}
    for number, channels in convs.items():
        layers |= {number - 1: nn.ReflectionPad2d(1), number: nn.Conv2d(*channels, 3), number + 1: nn.ReLU()}
    layers |= others
    return nn.Sequential(*(layers[number] for number in sorted(layers)))


class AdainEncoder(nn.Sequential):
    """VGG-19 up to relu4_1, scaled so that each channel's mean activation is one; RGB is turned by its first layer."""

    def __init__(self):
        pools = {number: nn.MaxPool2d(2, ceil_mode=True) for number in POOLS}
        super().__init__(*_numbered(ENCODER_CONVS, {0: nn.Conv2d(3, 3, 1), **pools}))

    def features(self, picture: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, relu3_1, relu4_1 of `picture [B, 3, H, W]`, RGB in [0, 1]; sides halve, rounded up."""
        found = []
        for number, layer in enumerate(self):
            picture = layer(picture)
            if number in STYLE_LAYERS:
                found.append(picture)
        return found


class AdainDecoder(nn.Sequential):
    """Features `[B, 512, h, w]` to pictures `[B, 3, 8·h, 8·w]`, RGB around [0, 1], not clamped."""

    def __init__(self):
        doublings = {number: nn.Upsample(scale_factor=2) for number in DOUBLINGS}
        layers = _numbered(DECODER_CONVS, doublings)
        super().__init__(*layers[:-1])


class Adain(nn.Module):
    """Encoder and decoder."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = AdainEncoder(), AdainDecoder()

    def forward(self, photo: Tensor, statistics: Tensor, alpha: float = 1.0, own: Tensor | None = None) -> Tensor:
        """`photo [B, 3, H, W]`, RGB in [0, 1], in a style: `[B, 3, h, w]`, not clamped, sides rounded up to multiples
        of 8. statistics: as `style_statistics` gives them; alpha: the style's share in [0, 1]; own: statistics that
        stand in for those of each photo, so that a clip is steady."""
        return self.decode(self.encoder(photo), statistics, alpha, own)

    def decode(self, content: Tensor, statistics: Tensor, alpha: float = 1.0, own: Tensor | None = None) -> Tensor:
        """The same for features `content [B, 512, h, w]` of photos."""
        return self.decoder(torch.lerp(content, restyle(content, statistics, own), alpha))

    def style_statistics(self, pictures: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
        """Statistics of the style of `pictures [3, H, W]`, RGB in [0, 1], of any sizes; of several the average with
        `weights`. That is the same as mixing features, since all styles move the same standardised ones."""
        weights = torch.tensor(weights if weights is not None else [1.0] * len(pictures))
        shares = (weights / weights.sum()).tolist()
        each = (statistics_of(self.encoder(picture[None])) for picture in pictures)
        return sum(share * one for share, one in zip(shares, each, strict=True))


def from_torchvision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of `AdainEncoder` from those of torchvision's VGG-19. The first layer turns RGB to what they are for;
    channels are not scaled to a mean activation of one."""
    deviation = torch.tensor(IMAGENET_DEVIATION)
    found = {
        "0.weight": torch.diag(1 / deviation)[:, :, None, None],
        "0.bias": -torch.tensor(IMAGENET_MEAN) / deviation,
    }
    for theirs, ours in TORCHVISION_CONVS.items():
        for kind in ("weight", "bias"):
            if f"features.{theirs}.{kind}" in weights:
                found[f"{ours}.{kind}"] = weights[f"features.{theirs}.{kind}"]
    return found


def statistics_of(features: Tensor) -> Tensor:
    """Mean and deviation of each channel of `[B, C, h, w]` over all places: `[2, B, C, 1, 1]`; the variance is
    unbiased, and 1e-5 more."""
    mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), keepdim=True)
    return torch.stack([mean, (variance + EPSILON).sqrt()])


def restyle(content: Tensor, statistics: Tensor, own: Tensor | None = None) -> Tensor:
    """`(c - μ_c) / σ_c · σ_s + μ_s` (eq. 8) of features `[B, C, h, w]`. statistics: those of the style, own: those of
    the content if others than its own; as `statistics_of` gives them, of one or of B pictures."""
    mean, deviation = statistics_of(content) if own is None else own
    wanted_mean, wanted_deviation = statistics
    return (content - mean) / deviation * wanted_deviation + wanted_mean


def coral(source: Tensor, target: Tensor) -> Tensor:
    """`source [3, H, W]` with the colours of `target`, whose size may differ: mean, deviation and correlation of the
    channels (Gatys et al., 2017; Sun et al., 2016). A style picture so moved keeps the photo's colours."""
    (flat, *_), (wanted, mean, deviation) = _standardised(source), _standardised(target)
    moved = _power(_covariance(wanted), 0.5) @ _power(_covariance(flat), -0.5) @ flat
    return (moved * deviation + mean).reshape(source.shape)


def _standardised(picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    flat = picture.flatten(1)
    mean, deviation = flat.mean(1, keepdim=True), flat.std(1, keepdim=True)
    return (flat - mean) / deviation, mean, deviation


def _covariance(flat: Tensor) -> Tensor:
    """As published: the identity is added to a sum, not to a mean."""
    return flat @ flat.T + torch.eye(len(flat), dtype=flat.dtype, device=flat.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values**exponent) @ vectors.T
