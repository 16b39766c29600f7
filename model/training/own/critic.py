"""Features of a frozen StyleGAN2 discriminator as a measure of likeness (JoJoGAN): it knows faces, sees fine detail at
full size, and needs no network that was trained elsewhere."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from model.discriminator import Discriminator

# Blocks whose results are compared: as published 1/2, 1/8, 1/16 and 1/32 of the picture; of small pictures, of which
# these would see little, the finest ones.
COMPARED, COMPARED_IN_SMALL = (1, 3, 4, 5), (0, 1, 2, 3)


class Critic(nn.Module):
    """The convolutions of a discriminator, which never learn; parameter names are `convs.*`, as there."""

    def __init__(self, discriminator: Discriminator):
        super().__init__()
        self.convs = discriminator.convs
        is_large = len(self.convs) > COMPARED[-1]
        self.compared = [n for n in (COMPARED if is_large else COMPARED_IN_SMALL) if n < len(self.convs)]
        self.eval().requires_grad_(False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What each compared block makes of `pictures [B, 3, S, S]`, RGB in [-1, 1], fine to coarse: `[B, C, h, h]`."""
        return self.outputs(pictures, self.compared)

    def outputs(self, pictures: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """What `blocks`, in ascending order, make of pictures, of which each halves what the one before it made, but
        for block 0; nothing above the last of them is computed."""
        found, x = [], pictures
        for number, block in enumerate(self.convs[: blocks[-1] + 1]):
            x = block(x)
            if number in blocks:
                found.append(x.float())
        return found

    def differences(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Mean L1 of each compared block for pictures `[B, 3, S, S]`: a list of `[B]`."""
        pairs = zip(self.features(a), self.features(b), strict=True)
        return [F.l1_loss(one, other, reduction="none").mean((1, 2, 3)) for one, other in pairs]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `[B]` between pictures `[B, 3, S, S]`, RGB in [-1, 1]: the mean over the compared blocks."""
        levels = self.differences(a, b)
        return sum(levels) / len(levels)
