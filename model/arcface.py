"""ArcFace (Deng et al., CVPR 2019) with the network IR-SE-50: a face becomes a vector that tells who it is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FACE_SIZE = 256  # pixels a side of an aligned face, framed as in FFHQ
FACE_ROWS, FACE_COLUMNS = slice(35, 223), slice(32, 220)  # the part of it that the network was trained on
INPUT_SIZE, EMBEDDING_SIZE = 112, 512
WIDTHS, BLOCKS = (64, 128, 256, 512), (3, 4, 14, 3)  # channels and residual blocks of the stages; each stage halves
SQUEEZE_RATIO = 16


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate in (0, 1) computed from all channel means."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // SQUEEZE_RATIO, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class ResidualBlock(nn.Module):
    """Improved residual block with squeeze and excitation (IR-SE)."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride)  # plain subsampling, without parameters
        if channels != out:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, out, 3, 1, 1, bias=False), nn.PReLU(out),
            nn.Conv2d(out, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), SqueezeExcite(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut_layer(x) + self.res_layer(x)


def stem(width: int) -> nn.Sequential:
    """What comes before the residual blocks: RGB to `width` channels."""
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width))


def residual_stages(widths: tuple[int, ...] = WIDTHS, blocks: tuple[int, ...] = BLOCKS) -> nn.Sequential:
    """The residual blocks of all stages in one row, for input of `widths[0]` channels; a stage's first block halves."""
    body, channels = nn.Sequential(), widths[0]
    for width, count in zip(widths, blocks, strict=True):
        body.append(ResidualBlock(channels, width, stride=2))
        body.extend(ResidualBlock(width, width, stride=1) for _ in range(count - 1))
        channels = width
    return body


class ArcFace(nn.Module):
    """Who a face is. Parameter names and shapes are those of model_ir_se50.pth."""

    def __init__(self):
        super().__init__()
        self.input_layer, self.body = stem(WIDTHS[0]), residual_stages()
        flat = WIDTHS[-1] * (INPUT_SIZE >> len(WIDTHS)) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(WIDTHS[-1]), nn.Dropout(0.6), nn.Flatten(),
            nn.Linear(flat, EMBEDDING_SIZE), nn.BatchNorm1d(EMBEDDING_SIZE),
        )  # fmt: skip

    def forward(self, face: Tensor) -> Tensor:
        """Vectors `[B, 512]` of length 1, whose scalar product is near 1 for pictures of the same person.
        face: `[B, 3, S, S]`, RGB in [-1, 1], framed as in FFHQ; any other size than 256 is resized to it first."""
        if face.shape[-1] > FACE_SIZE:
            face = F.adaptive_avg_pool2d(face, FACE_SIZE)
        elif face.shape[-1] < FACE_SIZE:
            face = F.interpolate(face, (FACE_SIZE, FACE_SIZE), mode="bilinear", align_corners=False)
        x = F.adaptive_avg_pool2d(face[..., FACE_ROWS, FACE_COLUMNS], INPUT_SIZE)
        return F.normalize(self.output_layer(self.body(self.input_layer(x))))
