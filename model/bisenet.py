"""BiSeNet face parser with a ResNet-18 context path and no spatial path (Yu et al., ECCV 2018): 19 classes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

PARSING_CLASSES = 19
AUXILIARY_WIDTH = 64

PARSER_GAIN = 2.0
"""Pictures in [-1, 1] are multiplied by this. The parser expects ImageNet's normalisation, (x - mean) / std with std
near 1/4 of [0, 1], which that approximates."""


class ResNet18Features(ResNet):
    """torchvision's ResNet-18 without its classifier: features at 1/8, 1/16 and 1/32 of the size."""

    def __init__(self):
        super().__init__(BasicBlock, [2, 2, 2, 2])
        del self.avgpool, self.fc

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class ConvBNReLU(nn.Module):
    """Convolution that keeps the size, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """Attention refinement module: channels gated by their global mean."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = ConvBNReLU(in_channels, out_channels)
        self.conv_atten = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        feature = self.conv(x)
        return feature * torch.sigmoid(self.bn_atten(self.conv_atten(_global_mean(feature))))


class FeatureFusion(nn.Module):
    """Feature fusion module: detail and context joined, then reweighted per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.convblk = ConvBNReLU(channels, channels, kernel=1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        feature = self.convblk(torch.cat([detail, context], dim=1))
        gate = torch.sigmoid(self.conv2(F.relu(self.conv1(_global_mean(feature)))))
        return feature + feature * gate


class ContextPath(nn.Module):
    """Features of a wide field of view, brought back to 1/8 and 1/16 of the size."""

    def __init__(self):
        super().__init__()
        self.resnet = ResNet18Features()
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvBNReLU(128, 128)
        self.conv_head16 = ConvBNReLU(128, 128)
        self.conv_avg = ConvBNReLU(512, 128, kernel=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns ResNet features [B, 128, H/8, W/8], context [B, 128, H/8, W/8] and context [B, 128, H/16, W/16]."""
        eighth, sixteenth, thirty_second = self.resnet(image)
        coarse = self.arm32(thirty_second) + self.conv_avg(_global_mean(thirty_second))
        context16 = self.conv_head32(F.interpolate(coarse, sixteenth.shape[-2:]))
        context8 = self.conv_head16(F.interpolate(self.arm16(sixteenth) + context16, eighth.shape[-2:]))
        return eighth, context8, context16


class ClassHead(nn.Module):
    """Logits of every class at the size of the feature."""

    def __init__(self, in_channels: int, width: int, num_classes: int):
        super().__init__()
        self.conv = ConvBNReLU(in_channels, width)
        self.conv_out = nn.Conv2d(width, num_classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """Face parser. Input [B, 3, H, W] of any size from 1 px, RGB in about ImageNet's normalisation: twice [-1, 1]."""

    def __init__(self, num_classes: int = PARSING_CLASSES):
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(256)
        self.conv_out = ClassHead(256, 256, num_classes)
        self.conv_out16 = ClassHead(128, AUXILIARY_WIDTH, num_classes)
        self.conv_out32 = ClassHead(128, AUXILIARY_WIDTH, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, num_classes, H, W]."""
        detail, context8, _ = self.cp(image)
        return _enlarge(self.conv_out(self.ffm(detail, context8)), image)

    def forward_with_auxiliary(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits, and those of the two auxiliary heads that only training uses; all [B, num_classes, H, W]."""
        detail, context8, context16 = self.cp(image)
        logits = self.conv_out(self.ffm(detail, context8))
        heads = (logits, self.conv_out16(context8), self.conv_out32(context16))
        return tuple(_enlarge(head, image) for head in heads)


def _global_mean(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


def _enlarge(logits: Tensor, image: Tensor) -> Tensor:
    """Bilinear resize to the image's size, corners on corners, as the published weights were trained with."""
    return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)
