"""What the rows of one's own styles call. Each part of the product has a module with BUILDERS (networks by module, or
by the part of its name before the size) and CALLS (functions by call, or by the part of its name before a colon)."""

import re
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from model.config import GeneratorConfig
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN
from model.stylegan2 import Generator
from tests import parity_calls, parity_dual, parity_faces, parity_gan, parity_invert, parity_jojo, parity_translation
from tests.parity_case import Case, Outputs

PARTS = (
    parity_dual,
    parity_faces,
    parity_gan,
    parity_invert,
    parity_jojo,
    parity_translation,
)
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "generator": lambda size: Generator(GeneratorConfig(size=size)),
    "critic": lambda size: Discriminator(size=size),
    "dualstylegan": lambda size: DualStyleGAN(GeneratorConfig(size=size)),
}
CALLS: dict[str, Callable[[Case], Tensor | Outputs]] = {}
for part in PARTS:
    BUILDERS |= part.BUILDERS
    CALLS |= part.CALLS
CUT = ("vgg16", "vgg19")  # files whose last layers are not built
HEADLESS = ("critic",)  # their last layers are not used, and may be left out of the manifest


def builder(module: str) -> Callable[[], nn.Module]:
    """What makes the network of a module; KeyError for an unknown one."""
    if match := re.fullmatch(r"(\w+)_(\d+)", module):
        return partial(BUILDERS[match[1]], int(match[2]))
    return BUILDERS[module]


def fitted(module: str, state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a file's parameters that the network has, filled up with its own where a part is not used."""
    if module in CUT:
        return {name: value for name, value in state.items() if name in own}
    return own | state if module.partition("_")[0] in HEADLESS else state


def answers(module: str, call: str = "") -> bool:
    """Whether rows of this module are called here; `functions` are shared, so their call tells."""
    if module == parity_calls.FUNCTIONS:
        return call.partition(":")[0] in CALLS
    return module not in parity_calls.BUILDERS


def call(row: dict, networks: dict[str, nn.Module], inputs: dict) -> Outputs:
    """What the call of a row gives, by name; gradients are on, networks are frozen, and stay as they are."""
    name, _, argument = row["call"].partition(":")
    output = CALLS[name](Case(name, argument, networks, inputs, row.get("params", {})))
    return output if isinstance(output, dict) else {row["call"]: output}
