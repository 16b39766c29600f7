"""The network that learns: how it is put together before training, and its passes over a batch."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.ops import LEAK
from model.stylegan2 import EqualConv2d, EqualLinear, ModulatedConv2d
from model.training.data.batch import Batch
from model.training.options import TrainOptions
from model.training.teachers.load import fill_backbone
from model.vtoonify import VToonify

QUIET_START = 0.1
"""Scale of the first picture contributions of a network that learns from scratch: it then begins with grey pictures,
not with saturated noise."""


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
    for part in (network.encoder, network.fusion_out, network.fusion_skip):
        for module in part.modules():
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
    if options.from_backbone:
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


class Rendered(NamedTuple):
    """What distillation looks at."""

    y: Tensor
    """Results `[B, 3, S, S]`, float32."""
    masks: list[Tensor]
    """Fusion masks `[B, 1, h, w]`, coarse to fine; none in variant T."""
    moved: Tensor | None
    """Results for the moved camera, of one in `flicker_part` samples."""


class DistillStudent(nn.Module):
    """VToonify in distillation. All passes of a step are one call, as training on several GPUs demands."""

    def __init__(self, network: VToonify, codes: Tensor | None = None, flicker_part: int = 1):
        super().__init__()
        self.network, self.flicker_part = network, flicker_part
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, batch: Batch, with_flicker: bool = False) -> Rendered:
        """Render `batch`, and with `with_flicker` the moved camera's frame as well."""
        w_plus, degree = code_of(self.network, batch, self.codes), batch["degree"]
        y, masks = self.network.forward_with_masks(batch["x"], w_plus, degree)
        if not with_flicker:
            return Rendered(y.float(), masks, None)
        some = slice(None, None, self.flicker_part)
        moved = self.network(batch["moved"][some], w_plus[some], degree[some])
        return Rendered(y.float(), masks, moved.float())


class EncoderStudent(nn.Module):
    """VToonify in pre-training: only its encoder is called."""

    def __init__(self, network: VToonify):
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Feature and skip image at an eighth of the input's size, float32."""
        encoded = self.network.encode(batch["x"], batch["w_plus"], batch["degree"])
        return encoded.feature.float(), encoded.skip.float()


def code_of(network: VToonify, batch: Batch, codes: Tensor | None) -> Tensor:
    """Style code of `batch` in w+, `[B, layers, D]`: its own, or the exemplar's among `codes [n, layers, D]` in z+."""
    if "w_plus" in batch:
        return batch["w_plus"]
    with torch.autocast(codes.device.type, enabled=False):  # small, and everything depends on it
        return network.zplus_to_wplus(codes)[batch["style"]]
