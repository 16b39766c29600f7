"""RAFT (large) optical flow (Teed and Deng, ECCV 2020): torchvision's network, for any image size."""

import re
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F
from torchvision.models import optical_flow

from model.common.errors import InputError

STRIDE = 8  # features are at 1/8 of the size
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


class RAFT(optical_flow.RAFT):
    """torchvision's `raft_large`, for images of any size."""

    def __init__(self, iterations: int = ITERATIONS):
        super().__init__(**dict(optical_flow.raft_large(weights=None).named_children()))
        self.iterations = iterations

    def forward(self, image1: Tensor, image2: Tensor) -> Tensor:
        """Flow `[B, 2, H, W]`, (x, y) in pixels: `image1` at p shows what `image2` shows at p + flow(p).
        image1, image2: `[B, 3, H, W]`, RGB in [-1, 1], any size, but one."""
        if image1.shape != image2.shape:
            raise InputError(f"optical flow takes images of one shape, not {[*image1.shape]} and {[*image2.shape]}.")
        height, width = image1.shape[-2:]
        missing = [max(SMALLEST_SIDE, side + -side % STRIDE) - side for side in (width, height)]
        left, _, top, _ = padding = [part for total in missing for part in (total // 2, total - total // 2)]
        padded = [F.pad(image, padding, mode="replicate") for image in (image1, image2)]
        return super().forward(*padded, self.iterations)[-1][..., top : top + height, left : left + width]


def to_torchvision_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of raft-things.pth, with or without the prefix `module.`; other names stay as they are."""
    renamed = {}
    for name, value in state_dict.items():
        if re.search(r"\.layer\d\.\d\.norm3\.", name):
            continue  # the published file holds the normalisation of a shortcut again, as `downsample.1`
        for pattern, replacement in PUBLISHED_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed
