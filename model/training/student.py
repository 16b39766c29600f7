"""The network that learns from pairs: how a VToonify begins, which of it learns, and what all students share."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common.hub import EXEMPLAR_FILE
from model.ops import LEAK
from model.stylegan2 import EqualConv2d, EqualLinear, ModulatedConv2d
from model.training.data.sampling import Batch
from model.training.options import StudentOptions, TrainOptions
from model.training.sources import LivePairs, StoredPairs
from model.training.teachers.variants import fill_backbone
from model.training.trainer import Trainer, mean_losses
from model.vtoonify import VToonify

BETAS = (0.9, 0.99)  # of Adam
# From scratch only: instance norm on flat early features can make single steps explode, and the network is to begin
# with grey pictures, not with noise.
GRADIENT_CLIP, WEIGHT_DECAY, QUIET_START = 1.0, 0.01, 0.1


@torch.no_grad()
def build_network(options: TrainOptions, backbone: Mapping[str, Tensor] | None) -> VToonify:
    """A VToonify to be trained; the parameters that are to learn have `requires_grad`.

    backbone: weights of the trained generator that it keeps; None where everything learns.
    """
    torch.manual_seed(options.seed)
    network = VToonify(options.recipe.network)
    if backbone is not None:
        fill_backbone(network, backbone)
        # Keep the variance through leaky ReLUs (He et al., 2015): torch's own weights let six blocks fade.
        for module in nn.ModuleList([network.encoder, network.fusion_out, network.fusion_skip]).modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                nn.init.zeros_(module.bias)
    network.start_as_pass_through()
    if backbone is None:
        writers = [to_rgb.conv for to_rgb in network.stylegan.to_rgbs if not isinstance(to_rgb, nn.Identity)]
        for layer in [*writers, network.subpixel[-1]]:
            layer.weight.mul_(QUIET_START)
    network.requires_grad_(False)
    for parameter in parts_that_learn(options, network):
        parameter.requires_grad_(True)
    network.checkpointing = options.checkpointing
    return network


def parts_that_learn(options: TrainOptions, network: VToonify) -> Iterator[nn.Parameter]:
    """The encoder; with fusion in distillation (VToonify, Sec. 4.1.2); all that is used when from scratch."""
    if not options.recipe.from_scratch:
        fusion = [] if options.pretrain else [network.fusion_out, network.fusion_skip]
        yield from nn.ModuleList([network.encoder, *fusion]).parameters()
        return
    # What takes no part would get no gradient, which training on several GPUs takes for a mistake.
    levels, used = network.config.decoder_levels, network.config.fusions
    idle = [*network.fusion_out[used:].parameters(), *network.fusion_skip[used:].parameters()]
    for fusion in network.fusion_out[levels:used]:  # without a mask
        idle += [value for name, value in fusion.named_parameters() if not name.startswith("conv.")]
    idle += [value for name, value in network.named_parameters() if name.endswith("noise.weight")]
    known = {id(parameter) for parameter in idle}
    yield from (parameter for parameter in network.parameters() if id(parameter) not in known)


class OneCall(nn.Module):
    """A network whose forward pass is `passes(network, ...)`: on several GPUs a step must be one call of a module."""

    def __init__(self, network: nn.Module, passes: Callable):
        super().__init__()
        self.network, self.passes = network, passes

    def forward(self, *inputs):
        return self.passes(self.network, *inputs)


class StudentTrainer(Trainer):
    """What all students that learn from pairs share.

    A stage has `passes(network, batch, ...)`, all passes of a network in a step, with float32 results; `learn(batch)`,
    which adds up the gradients of a batch, lets the optimisers step when there are enough, and returns the losses;
    `file_name(suffix)` and `write_weights(path)` for the average, `suffix` telling files that are kept on the way.
    """

    betas = BETAS
    weight_decay = WEIGHT_DECAY  # where all is learnt from scratch

    def __init__(
        self, options: StudentOptions, accelerator: Accelerator, source: LivePairs | StoredPairs, network: nn.Module
    ):  # fmt: skip
        self.source, self.data = source, {"styles": source.styles, "pairs": source.stored}
        super().__init__(options, accelerator, network)
        self.step = options.start_iter
        if options.recipe.from_scratch:
            self.gradient_clip = GRADIENT_CLIP
            self.frozen_sum = 0.0  # there is no generator to recognise
            self.in_state = list(network.state_dict())  # what isn't used may be that of --init_path
        self.student, self.optimizer = self.prepare(OneCall(network, self.passes), options.recipe.equalised_lr)
        self.models = [self.student]

    def prepare(self, module: nn.Module, equalised_lr: float = 1.0) -> tuple[nn.Module, torch.optim.Optimizer]:
        """`module` and its optimiser for this accelerator; `equalised_lr` as in Recipe."""
        decay = self.weight_decay if self.options.recipe.from_scratch else 0.0
        layers = [layer for layer in module.modules() if isinstance(layer, EqualConv2d | ModulatedConv2d | EqualLinear)]
        # Weights that are stored with unit variance; the mapping network, slow by design, has none.
        unit = {layer.weight for layer in layers if getattr(layer, "lr_mul", 1) == 1}
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [{"params": [value for value in learning if value not in unit], "lr_factor": 1.0}]
        groups += [{"params": [value for value in learning if value in unit], "lr_factor": equalised_lr}]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=self.options.lr, betas=self.betas, weight_decay=decay)
        return self.accelerator.prepare(module, optimizer)

    @cached_property
    def batches(self) -> Iterator[Batch]:
        return self.source.batches(self.step)

    @cached_property
    def held_out(self) -> Batch:
        return self._to_device(self.source.held_out())

    def _to_device(self, batch: Batch) -> Batch:
        """`batch` on the device of this process, inputs with channels last, which is fastest for convolutions."""
        moved = {key: value.to(self.accelerator.device, non_blocking=True) for key, value in batch.items()}
        for key in moved.keys() & {"x", "moved"}:
            moved[key] = moved[key].contiguous(memory_format=torch.channels_last)
        return moved

    def take_step(self) -> dict[str, float]:
        found = []
        for batch in islice(self.batches, self.options.accumulate):
            with self.accelerator.accumulate(*self.models):
                found.append(self.learn(self._to_device(batch)))
        return mean_losses(found)

    def save(self) -> None:
        """Write the state; from --save_begin on, the weights of each are kept."""
        super().save()
        if self.accelerator.is_main_process and self.options.save_begin <= self.step < self.options.iter:
            self.write_weights(self.options.result_folder / self.file_name(f"{self.step:05d}"))

    def publish(self) -> Path:
        """Write the finished weights and the exemplars' codes; returns the path of the weights."""
        folder = self.options.result_folder
        if self.accelerator.is_main_process:
            self.write_weights(folder / self.file_name())
            if self.source.exemplars is not None:
                checkpoints.save_exemplars(folder / EXEMPLAR_FILE, self.source.exemplars)
        self.accelerator.wait_for_everyone()
        return folder / self.file_name()


class VToonifyTrainer(StudentTrainer):
    """What both stages of a VToonify's training share."""

    def __init__(self, options: TrainOptions, accelerator: Accelerator, source: LivePairs | StoredPairs):
        network = build_network(options, source.backbone)
        if not options.resume and not options.measure:  # a state has all weights, and speed doesn't depend on them
            if options.encoder_path:
                checkpoints.load_encoder_pretrain(options.encoder_path, network)
            if options.init_path:
                checkpoints.fill_vtoonify(options.init_path, network)
        super().__init__(options, accelerator, source, network)
