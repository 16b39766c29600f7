"""Named sizes of networks, with the defaults of the options that depend on them."""

from dataclasses import dataclass, replace

from model.stylegan2 import GeneratorConfig
from model.vtoonify import Backbone, VToonifyConfig


@dataclass(frozen=True)
class Recipe:
    """Sizes of the networks, and the defaults of the options that depend on them."""

    network: VToonifyConfig
    discriminator_size: int | None  # side in pixels of what the discriminator sees; None: patches at full size
    iter: int
    pretrain_iter: int
    batch: int
    lr: float
    adv_loss: float
    grec_loss: float
    perc_loss: float
    l1_loss: float
    tmp_loss: float = 1.0  # of a squared error: beside an absolute one it needs a weight as large as 20
    msk_loss: float = 0.0005
    # Nothing is trained before, so the whole network learns, with a learning rate that rises and sinks again.
    from_scratch: bool = False
    # Factor on the rate of weights with an equalised learning rate (Karras et al., 2018). They are stored with unit
    # variance, dozens of times larger than those of ordinary convolutions.
    equalised_lr: float = 1.0
    young_average: bool = False  # the average of the weights forgets faster in the beginning, for short runs
    # Share of the steps before the adversarial loss: at first a discriminator tells drawings at a glance.
    adv_begin: float = 0.0


# A quarter of the published sizes: the encoder takes 64 px to 8 px, the generator makes 256 px of them.
TINY = GeneratorConfig(
    size=256, style_dim=16, mapping_layers=2, structure_size=8,
    channels={4: 32, 8: 32, 16: 32, 32: 24, 64: 16, 128: 12, 256: 8},
)  # fmt: skip

STARTER_GENERATOR = GeneratorConfig(
    size=256, style_dim=64, mapping_layers=2, noise_buffers=False, first_level=3,
    channels={32: 160, 64: 128, 128: 96, 256: 64},
)  # fmt: skip

TINY_STARTER_GENERATOR = replace(STARTER_GENERATOR, style_dim=16, channels={32: 24, 64: 16, 128: 12, 256: 8})

PUBLISHED = Recipe(
    VToonifyConfig(), discriminator_size=256, iter=2000, pretrain_iter=30_000, batch=4, lr=1e-4,
    adv_loss=0.01, grec_loss=0.1, perc_loss=0.01, l1_loss=0.0,
)  # fmt: skip

STARTER = Recipe(
    VToonifyConfig(
        generator=STARTER_GENERATOR, parsing_channels=0, dilations=(4, 2, 1), subpixel=4, eye_distance=36.0
    ),
    discriminator_size=None, iter=10_000, pretrain_iter=0, batch=4, lr=8e-4,
    adv_loss=0.04, grec_loss=0.0, perc_loss=0.0, l1_loss=1.0, tmp_loss=20.0,
    from_scratch=True, equalised_lr=10.0, young_average=True, adv_begin=0.5,
)  # fmt: skip

RECIPES = {
    "published": PUBLISHED,
    "tiny": replace(
        PUBLISHED,
        network=VToonifyConfig(generator=TINY, stem_channels=8, dilations=(2, 1), eye_distance=16.0),
        discriminator_size=64, iter=200, pretrain_iter=400, lr=1e-3,
        grec_loss=1.0, perc_loss=0.0, young_average=True,
    ),
    "starter": STARTER,
    "starter_tiny": replace(
        STARTER,
        network=replace(STARTER.network, generator=TINY_STARTER_GENERATOR, stem_channels=8, dilations=(2, 1)),
        iter=200, batch=8,
    ),
}  # fmt: skip
"""`published` is the paper's model. `tiny` has its layers at a quarter of the resolution and few channels: the whole
chain runs on a CPU within minutes. `starter` learns from drawn pairs, without a StyleGAN, and does all its wide work at
or below the input's resolution, where CPUs are fast; `starter_tiny` is the same with few channels."""

BACKBONES: dict[Backbone, tuple[str, ...]] = {
    "toonify": ("published", "tiny"),
    "dualstylegan": ("published", "tiny", "starter", "starter_tiny"),
}
"""Recipes of each variant: what learns from scratch has exemplars and degrees."""
