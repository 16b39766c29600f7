"""What both stages of training a VToonify share, and the first of them: pre-training of the encoder."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common.tensors import image_grid
from model.training import losses
from model.training.data.sampling import Batch
from model.training.options import TrainOptions
from model.training.sources import Source
from model.training.student import OneCall, build_network, equalised_weights
from model.training.trainer import Trainer, mean_losses
from model.vtoonify import VToonify

BETAS = (0.9, 0.99)

# From scratch only: the learning rate rises linearly over the warm-up and ends at this share of its peak; the norm of
# the gradient is bounded, for instance norm on flat early features can make single steps explode; weights decay.
WARMUP_STEPS, FINAL_LR_SHARE = 100, 0.02
GRADIENT_CLIP = 1.0
WEIGHT_DECAY = 0.01


def learning_rate(step: int, options: TrainOptions) -> float:
    """Constant as published; from scratch a linear warm-up, then a cosine down to a fiftieth."""
    if not options.recipe.from_scratch:
        return options.lr
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(step / options.iter, 1.0))
    return options.lr * warm * (FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * cosine)


class VToonifyTrainer(Trainer):
    """What both stages share."""

    def __init__(self, options: TrainOptions, accelerator: Accelerator, source: Source):
        self.source = source
        network = build_network(options, source.backbone)
        if not options.resume and not options.measure:  # a state has all weights, and speed doesn't depend on them
            if options.encoder_path:
                checkpoints.load_encoder_pretrain(options.encoder_path, network)
            if options.init_path:
                checkpoints.fill_vtoonify(options.init_path, network)
        super().__init__(options, accelerator, network)
        self.step = options.start_iter
        if options.recipe.from_scratch:
            self.gradient_clip = GRADIENT_CLIP
            self.frozen_sum = 0.0  # there is no generator to recognise
            self.in_state = list(network.state_dict())  # what isn't used may be that of --init_path
        self.student, self.optimizer = self.prepare(OneCall(network, self.passes), options.recipe.equalised_lr)
        self.models = [self.student]

    @abstractmethod
    def passes(self, network: VToonify, batch: Batch, *inputs) -> tuple:
        """All passes of `network` in a step; their results are float32."""

    @abstractmethod
    def learn(self, batch: Batch) -> dict[str, float]:
        """Gradients of one batch and, when enough of them are added up, a step of each optimiser; the losses."""

    @abstractmethod
    def file_name(self, suffix: str = "") -> str:
        """Name of the weight file; `suffix` tells one that is kept on the way from the finished one."""

    @abstractmethod
    def write_weights(self, path: Path) -> None:
        """Write the average in the published layout."""

    def prepare(self, module: nn.Module, equalised_lr: float = 1.0) -> tuple[nn.Module, torch.optim.Optimizer]:
        """`module` and its optimiser for this accelerator; `equalised_lr` as in Recipe."""
        decay = WEIGHT_DECAY if self.options.recipe.from_scratch else 0.0
        unit = set(equalised_weights(module))
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [value for value in learning if value not in unit], "lr_factor": 1.0},
            {"params": [value for value in learning if value in unit], "lr_factor": equalised_lr},
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=self.options.lr, betas=BETAS, weight_decay=decay)
        return self.accelerator.prepare(module, optimizer)

    def rate(self) -> float:
        # The discriminator follows it, too: one that keeps its full rate beside a generator that hardly moves any more
        # would tell its pictures ever better, and the adversarial loss would outweigh the others in the end.
        return learning_rate(self.step, self.options)

    @cached_property
    def batches(self) -> Iterator[Batch]:
        """Batches of all steps from the present one on."""
        return self.source.batches(self.step)

    @cached_property
    def held_out(self) -> Batch:
        """A batch that is never learnt from."""
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

    def data_marks(self) -> dict[str, object]:
        return {"styles": self.source.styles, "pairs": self.source.stored}

    def save(self) -> None:
        """Write the state; from --save_begin on, the weights of each state are kept."""
        super().save()
        if self.accelerator.is_main_process and self.options.save_begin <= self.step < self.options.iter:
            self.write_weights(self.options.result_folder / self.file_name(f"{self.step:05d}"))

    def publish(self) -> Path:
        """Write the finished weights and the exemplars' codes; returns the path of the weights."""
        folder = self.options.result_folder
        if self.accelerator.is_main_process:
            self.write_weights(folder / self.file_name())
            if self.source.exemplars is not None:
                checkpoints.save_exemplars(folder / checkpoints.EXEMPLAR_FILE, self.source.exemplars)
        self.accelerator.wait_for_everyone()
        return folder / self.file_name()


class Pretraining(VToonifyTrainer):
    """The encoder learns to hand over what the generator's first layers would: `‖E(x) - f_G1(w)‖²` (eq. 1 and 8)."""

    def passes(self, network: VToonify, batch: Batch) -> tuple[Tensor, Tensor]:
        """Feature and skip image at an eighth of the input's size."""
        encoded = network.encode(batch["x"], batch["w_plus"], batch["degree"])
        return encoded.feature.float(), encoded.skip.float()

    def learn(self, batch: Batch) -> dict[str, float]:
        feature, skip = self.student(batch)
        return self.descend(self.optimizer, losses.encoder_error(feature, skip, batch["feature"], batch["skip"]))

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | the teacher's skip image | the encoder's; errors of the average."""
        batch = self.held_out
        with self.accelerator.autocast():
            feature, skip = self.passes(self.ema, batch)
        errors = losses.encoder_error(feature, skip, batch["feature"], batch["skip"])
        metrics = {f"held_out_{name}": value.item() for name, value in errors.items()}
        return image_grid([batch["x"][:, :3], batch["skip"], skip]), metrics

    def file_name(self, suffix: str = "") -> str:
        return f"pretrain-{suffix}.pt" if suffix else "pretrain.pt"

    def write_weights(self, path: Path) -> None:
        checkpoints.save_encoder_pretrain(path, self.ema)
