"""RAFT (large) optical flow (Teed and Deng, ECCV 2020): torchvision's network, for any image size."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import optical_flow

from model.common.errors import InputError

STRIDE = 8  # features, and with them the flow inside the loop, are at 1/8 of the size
SMALLEST_SIDE = 128  # the correlation pyramid has four levels and needs 16 positions on each side
ITERATIONS = 20

# Published name (raft-things.pth) to torchvision's, applied in this order.
PUBLISHED_NAMES = (
    (r"^module\.", ""),
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(feature_encoder|context_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"^(feature_encoder|context_encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"^(feature_encoder|context_encoder)\.conv2\.", r"\1.conv."),
    (r"\.(layer\d\.\d)\.conv(\d)\.", r".\1.convnormrelu\2.0."),
    (r"\.(layer\d\.\d)\.norm(\d)\.", r".\1.convnormrelu\2.1."),
    (r"^update_block\.encoder\.conv([cf])(\d)\.", r"update_block.motion_encoder.conv\1\2.0."),
    (r"^update_block\.motion_encoder\.convc(\d)", r"update_block.motion_encoder.convcorr\1"),
    (r"^update_block\.motion_encoder\.convf(\d)", r"update_block.motion_encoder.convflow\1"),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
# The published file holds the normalisation of a shortcut twice, as `norm3` and as `downsample.1`.
DUPLICATE_NAME = re.compile(r"\.layer\d\.\d\.norm3\.")


class RAFT(optical_flow.RAFT):
    """torchvision's `raft_large`, with its parameter names; only the last iteration is upsampled.

    `load_state_dict` takes torchvision's names and those of raft-things.pth.
    """

    def __init__(self, iterations: int = ITERATIONS):
        parts = optical_flow.raft_large(weights=None, progress=False)
        super().__init__(
            feature_encoder=parts.feature_encoder,
            context_encoder=parts.context_encoder,
            corr_block=parts.corr_block,
            update_block=parts.update_block,
            mask_predictor=parts.mask_predictor,
        )
        self.iterations = iterations

    def forward(self, image1: Tensor, image2: Tensor) -> Tensor:
        """Optical flow: `image1` at p shows what `image2` shows at p + flow(p).

        image1, image2: [B, 3, H, W], RGB in [-1, 1], any size. Returns [B, 2, H, W], (x, y) in pixels.
        """
        if image1.shape != image2.shape:
            raise InputError(
                f"optical flow takes two images of one shape, not {list(image1.shape)} and {list(image2.shape)}"
            )
        height, width = image1.shape[-2:]
        padding = _padding(width) + _padding(height)
        padded = [F.pad(image, padding, mode="replicate") for image in (image1, image2)]
        flow, hidden = self._low_resolution_flow(*padded)
        left, _, top, _ = padding
        return _convex_upsample(flow, self.mask_predictor(hidden))[..., top : top + height, left : left + width]

    def low_resolution_flow(self, image1: Tensor, image2: Tensor) -> Tensor:
        """Flow [B, 2, H/8, W/8] in pixels of that size, before upsampling; H and W multiples of 8, at least 128."""
        return self._low_resolution_flow(image1, image2)[0]

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False):
        """As nn.Module's, after `to_torchvision_names`."""
        return super().load_state_dict(to_torchvision_names(state_dict), strict=strict, assign=assign)

    def _low_resolution_flow(self, image1: Tensor, image2: Tensor) -> tuple[Tensor, Tensor]:
        """Flow at 1/8 of the size and the hidden state that the upsampling mask is predicted from."""
        feature1, feature2 = self.feature_encoder(torch.cat([image1, image2])).chunk(2)
        self.corr_block.build_pyramid(feature1, feature2)
        hidden, context = self.context_encoder(image1).split(self.update_block.hidden_state_size, dim=1)
        hidden, context = torch.tanh(hidden), F.relu(context)
        start = _pixel_grid(feature1)
        flow = torch.zeros_like(start)
        for _ in range(self.iterations):
            flow = flow.detach()
            correlation = self.corr_block.index_pyramid(centroids_coords=start + flow)
            hidden, step = self.update_block(hidden, context, correlation, flow)
            flow = flow + step
        return flow, hidden


def to_torchvision_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of raft-things.pth (with or without the prefix `module.`) to torchvision's names.

    Names that are torchvision's already stay as they are; unknown names stay too, for a strict load to report.
    """
    renamed = {}
    for name, value in state_dict.items():
        if DUPLICATE_NAME.search(name):
            continue
        for pattern, replacement in PUBLISHED_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def _padding(side: int) -> list[int]:
    """Pixels before and after a side, shared evenly, that make it a multiple of 8 and large enough."""
    missing = max(SMALLEST_SIDE, side + -side % STRIDE) - side
    return [missing // 2, missing - missing // 2]


def _pixel_grid(like: Tensor) -> Tensor:
    """[B, 2, H, W]: the (x, y) position of every pixel of `like` [B, C, H, W]."""
    batch, _, height, width = like.shape
    ys, xs = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return torch.stack([xs, ys]).expand(batch, -1, -1, -1)


def _convex_upsample(flow: Tensor, mask: Tensor) -> Tensor:
    """Enlarge 8 times: every fine pixel is a convex combination of nine coarse neighbours (Sec. 3.3 of RAFT).

    flow: [B, 2, h, w]; mask: [B, 9·8·8, h, w] logits. Returns [B, 2, 8h, 8w] in pixels of the large size.
    """
    batch, _, height, width = flow.shape
    weights = mask.view(batch, 1, 9, STRIDE, STRIDE, height, width).softmax(dim=2)
    neighbours = F.unfold(STRIDE * flow, kernel_size=3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    fine = (weights * neighbours).sum(dim=2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, STRIDE * height, STRIDE * width)
