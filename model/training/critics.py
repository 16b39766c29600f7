"""Discriminators as distillation calls them: with the pictures, and the pair that they belong to."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.discriminator import STDDEV_GROUP, Discriminator, PatchDiscriminator
from model.training.data.pair import Pair
from model.training.options import TrainOptions


def make_critic(options: TrainOptions, styles: int) -> nn.Module:
    """The critic that the recipe of these options names. `styles`: how many there are."""
    network, size = options.recipe.network, options.recipe.discriminator_size
    if size is None:
        return PatchCritic(PatchDiscriminator(styles))
    conditions = styles if network.backbone == "dualstylegan" else None
    return Critic(Discriminator(conditions, size, _widths(size, options)), size)


class Critic(nn.Module):
    """StyleGAN2's discriminator on pictures scaled to `size`, over groups of them, whatever the batch: each group's
    statistics are its own."""

    def __init__(self, discriminator: Discriminator, size: int):
        super().__init__()
        self.discriminator, self.size = discriminator, size

    def forward(self, pictures: list[Tensor], pair: Pair) -> list[Tensor]:
        """Logits `[B, 1]` for each of `pictures [B, 3, S, S]`."""
        return [self._judge(F.adaptive_avg_pool2d(batch, self.size), pair) for batch in pictures]

    def _judge(self, batch: Tensor, pair: Pair) -> Tensor:
        parts = zip(*(t.split(STDDEV_GROUP) for t in (batch, pair["degree"], pair["style"])), strict=True)
        return torch.cat([self.discriminator(*part) for part in parts]).float()


class PatchCritic(nn.Module):
    """The discriminator of patches, on pictures as they are."""

    def __init__(self, discriminator: PatchDiscriminator):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, pictures: list[Tensor], pair: Pair) -> list[Tensor]:
        """Logits `[B, 1, S/8, S/8]` for each of `pictures [B, 3, S, S]`."""
        photo = pair["x"][:, :3]
        return [self.discriminator(batch, photo, pair["degree"], pair["style"]).float() for batch in pictures]


def _widths(size: int, options: TrainOptions) -> dict[int, int]:
    """Channels by resolution, 4 px to `size`: the generator's, as published; below its lowest, as many as there."""
    widths = options.recipe.network.generator.channels
    sides = [4 << k for k in range((size // 4).bit_length())]
    return {side: widths.get(side, widths[min(widths)]) for side in sides}
