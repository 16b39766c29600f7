"""e4e encoder: an aligned face becomes 18 codes in w+ (Tov et al., "Designing an Encoder for StyleGAN Image
Manipulation", SIGGRAPH 2021)."""

from torch import Tensor

from model.psp import PSPEncoder


class E4EEncoder(PSPEncoder):
    """The network of pSp, whose first head gives one code for all rows and the others what their row differs by. Codes
    are in w+: no mapping comes after."""

    def forward(self, face: Tensor) -> Tensor:
        """Codes `[B, 18, 512]` relative to the mean code; arguments as in pSp."""
        heads = self.heads(face)
        base, deltas = heads[:, :1], heads[:, 1:]
        codes = base.repeat(1, heads.shape[1], 1)
        codes[:, 1:] += deltas
        return codes
