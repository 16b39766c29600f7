"""What DualStyleGAN's progressive fine-tuning minimises beside the adversarial loss (Yang et al., CVPR 2022, Sec. 3.3):
pure functions. Features are relu1_1, relu2_1 and relu3_1 of VGG-19, `[B, C, h, w]` each, or what stands in for them;
further ones are not used."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from model.training import losses

PRETRAINING = (0.5, 0.5, 0.5)  # weights of L1 of the features, fine to coarse
PAIRS = (0.0, 0.5, 1.0)  # the same, of an exemplar and what is drawn from its own codes
CONTEXTUAL, MEANS = 0.25, 0.25


def pretraining_term(result: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Stage 2: how far features of `result` are from those of `target`, which the plain generator drew."""
    return losses.feature_l1(result[:3], target[:3], PRETRAINING)


def style_term(result: Sequence[Tensor], exemplar: Sequence[Tensor], contextual=CONTEXTUAL, means=MEANS) -> Tensor:
    """Stage 3: how far the style of `result` is from that of `exemplar`, wherever it shows on the picture."""
    textures = contextual * losses.contextual(result[2], exemplar[2])
    return textures + means * losses.channel_means(result[1:3], exemplar[1:3])


def pair_term(result: Sequence[Tensor], exemplar: Sequence[Tensor]) -> Tensor:
    """Stage 3: how far `result`, drawn from an exemplar's own codes, is from the exemplar."""
    return losses.feature_l1(result[:3], exemplar[:3], PAIRS)


def change_term(parameters: Iterable[Tensor]) -> Tensor:
    """Stage 3: sum of the lengths of the extrinsic path's parameters, which keeps near to the plain generator."""
    return torch.stack([parameter.norm() for parameter in parameters]).sum()
