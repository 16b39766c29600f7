"""One row of a cases file, as the functions that answer it get it."""

import re
from dataclasses import dataclass

from torch import Tensor, nn

Outputs = dict[str, Tensor]


@dataclass
class Case:
    """A call, what comes after its colon, the networks by module, inputs and parameters."""

    call: str
    argument: str
    networks: dict[str, nn.Module]
    inputs: dict[str, Tensor | list[Tensor]]
    params: dict

    def network(self, kind: str) -> nn.Module:
        """The network whose module is `kind`, with or without a size behind it."""
        return next(net for name, net in self.networks.items() if re.fullmatch(rf"{kind}(_\d+)?", name))
