"""Features of a frozen StyleGAN2 discriminator as a measure of likeness (JoJoGAN): it knows faces, sees fine detail at
full size, and needs no network that was trained elsewhere."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.discriminator import Discriminator

COMPARED = (1, 3, 4, 5)  # blocks whose results are compared, as published: 1/2, 1/8, 1/16 and 1/32 of the picture


class Critic(nn.Module):
    """The convolutions of a discriminator, which never learn; parameter names are `convs.*`, as there."""

    def __init__(self, discriminator: Discriminator):
        super().__init__()
        self.convs = discriminator.convs
        self.compared = [block for block in COMPARED if block < len(self.convs)]  # small ones end before 1/32
        self.eval().requires_grad_(False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What each compared block makes of `pictures [B, 3, S, S]`, RGB in [-1, 1], fine to coarse: `[B, C, h, h]`."""
        found, x = [], pictures
        for number, block in enumerate(self.convs[: self.compared[-1] + 1]):
            x = block(x)
            if number in self.compared:
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
