"""BiSeNet face parser with a ResNet-18 context path and no spatial path (Yu et al., ECCV 2018): 19 classes."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

CLASSES = 19
PARSER_GAIN = 2.0  # times a picture in [-1, 1]: nearly the normalisation of ImageNet, which the parser expects


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


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels), relu=nn.ReLU()))


def class_head(in_channels: int, width: int) -> nn.Sequential:
    """Logits of every class at the size of the feature."""
    conv_out = nn.Conv2d(width, CLASSES, 1, bias=False)
    return nn.Sequential(OrderedDict(conv=conv_bn_relu(in_channels, width), conv_out=conv_out))


class AttentionRefinement(nn.Module):
    """Attention refinement module: channels gated by their global mean."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = conv_bn_relu(in_channels, out_channels)
        self.conv_atten = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        feature = self.conv(x)
        return feature * torch.sigmoid(self.bn_atten(self.conv_atten(feature.mean((2, 3), True))))


class FeatureFusion(nn.Module):
    """Feature fusion module: detail and context joined, then reweighted per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.convblk = conv_bn_relu(channels, channels, kernel=1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        feature = self.convblk(torch.cat([detail, context], dim=1))
        return feature + feature * torch.sigmoid(self.conv2(F.relu(self.conv1(feature.mean((2, 3), True)))))


class ContextPath(nn.Module):
    """Features of a wide field of view, brought back to 1/8 and 1/16 of the size."""

    def __init__(self):
        super().__init__()
        self.resnet = ResNet18Features()
        self.arm16, self.arm32 = AttentionRefinement(256, 128), AttentionRefinement(512, 128)
        self.conv_head32, self.conv_head16 = conv_bn_relu(128, 128), conv_bn_relu(128, 128)
        self.conv_avg = conv_bn_relu(512, 128, kernel=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns ResNet features [B, 128, H/8, W/8], context [B, 128, H/8, W/8] and context [B, 128, H/16, W/16]."""
        eighth, sixteenth, thirty_second = self.resnet(image)
        coarse = self.arm32(thirty_second) + self.conv_avg(thirty_second.mean((2, 3), True))
        context16 = self.conv_head32(F.interpolate(coarse, sixteenth.shape[-2:]))
        context8 = self.conv_head16(F.interpolate(self.arm16(sixteenth) + context16, eighth.shape[-2:]))
        return eighth, context8, context16


class BiSeNet(nn.Module):
    """Face parser. Its two auxiliary heads are used in training only; the published file holds them."""

    def __init__(self):
        super().__init__()
        self.cp, self.ffm = ContextPath(), FeatureFusion(256)
        self.conv_out, self.conv_out16, self.conv_out32 = class_head(256, 256), class_head(128, 64), class_head(128, 64)

    def forward(self, image: Tensor) -> Tensor:
        """Logits `[B, 19, H, W]` for `image [B, 3, H, W]` of any size: RGB in [-1, 1] times PARSER_GAIN."""
        detail, context, _ = self.cp(image)
        logits = self.conv_out(self.ffm(detail, context))
        return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)  # as in training
