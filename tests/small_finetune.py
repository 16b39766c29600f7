"""`model.training.finetune` with a generator of 16 px under `--config tiny`, as a program: for tests of processes."""

from dataclasses import replace

from model.common import cli
from model.config import GeneratorConfig
from model.training import finetune
from model.training.options import RECIPES, Recipe

SMALL = GeneratorConfig(size=16, style_dim=8, mapping_layers=2, channels={4: 8, 8: 6, 16: 4}, structure_size=8)


def use_small_sizes(recipe: Recipe) -> Recipe:
    """The recipe with a generator of 16 px."""
    return replace(recipe, network=replace(recipe.network, generator=SMALL))


if __name__ == "__main__":
    RECIPES["tiny"] = use_small_sizes(RECIPES["tiny"])
    cli.run(finetune.main)
