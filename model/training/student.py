"""The network that learns, before training: which weights it begins with, and which of them learn."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from model.ops import LEAK
from model.stylegan2 import EqualConv2d, EqualLinear, ModulatedConv2d
from model.training.options import TrainOptions
from model.training.teachers.load import fill_backbone
from model.vtoonify import VToonify

QUIET_START = 0.1
"""Scale of the first picture contributions of a network that learns from scratch: it then begins with grey pictures,
not with saturated noise."""


class OneCall(nn.Module):
    """A network whose forward pass is `passes(network, ...)`: on several GPUs a step must be one call of a module."""

    def __init__(self, network: nn.Module, passes: Callable):
        super().__init__()
        self.network, self.passes = network, passes

    def forward(self, *inputs):
        """What `passes` returns."""
        return self.passes(self.network, *inputs)


def build_network(options: TrainOptions, backbone: Mapping[str, Tensor] | None) -> VToonify:
    """A VToonify to be trained; the parameters that are to learn have `requires_grad`.

    backbone: weights of the trained generator it is put on, which it keeps; None where everything learns from scratch.
    """
    torch.manual_seed(options.seed)
    network = VToonify(options.recipe.network)
    if backbone is not None:
        fill_backbone(network, backbone)
        _spread(network)
    network.start_as_pass_through()
    if backbone is None:
        _quieten(network)
    network.requires_grad_(False)
    for parameter in parts_that_learn(options, network):
        parameter.requires_grad_(True)
    network.checkpointing = options.checkpointing
    return network


@torch.no_grad()
def _spread(network: VToonify) -> None:
    """Weights that keep the variance through leaky ReLUs (He et al., 2015): torch's own let six blocks fade."""
    for module in nn.ModuleList([network.encoder, network.fusion_out, network.fusion_skip]).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=LEAK)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def _quieten(network: VToonify) -> None:
    """Scale down all layers that write to the picture."""
    writers = [to_rgb.conv for to_rgb in network.stylegan.to_rgbs if not isinstance(to_rgb, nn.Identity)]
    for layer in [*writers, network.subpixel[-1]]:
        layer.weight.mul_(QUIET_START)


def parts_that_learn(options: TrainOptions, network: VToonify) -> Iterator[nn.Parameter]:
    """Parameters to be trained: the encoder; with fusion in distillation; all that is used when from scratch.

    Generator, ModRes blocks, parser and pSp stay as they are (VToonify, Sec. 4.1.2).
    """
    if not options.recipe.from_scratch:
        yield from network.encoder.parameters()
        if not options.pretrain:
            yield from network.fusion_out.parameters()
            yield from network.fusion_skip.parameters()
        return
    # What takes no part would get no gradient, which training on several GPUs takes for a mistake.
    levels, used = network.config.decoder_levels, network.config.fusions
    idle = [*network.fusion_out[used:].parameters(), *network.fusion_skip[used:].parameters()]
    for fusion in network.fusion_out[levels:used]:  # without a mask
        idle += [value for name, value in fusion.named_parameters() if not name.startswith("conv.")]
    idle += [value for name, value in network.named_parameters() if name.endswith("noise.weight")]
    known = {id(parameter) for parameter in idle}
    yield from (parameter for parameter in network.parameters() if id(parameter) not in known)


def equalised_weights(module: nn.Module) -> Iterator[nn.Parameter]:
    """Weights of `module` that are stored with unit variance; the mapping network, slow by design, has none."""
    for layer in module.modules():
        if isinstance(layer, EqualConv2d | ModulatedConv2d) or (isinstance(layer, EqualLinear) and layer.lr_mul == 1):
            yield layer.weight
