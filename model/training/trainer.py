"""What all runs share: processes and device, a step, the average of the weights, and a state to go on from exactly."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin
from torch import Tensor, nn

from model import checkpoints
from model.common.cli import free_options
from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.common.weight_files import write_contents
from model.training.options import RunOptions

EMA_HALF_LIFE = 10_000  # pictures after which an old weight counts half in the average (StyleGAN2, as VToonify)
WARMUP_STEPS, FINAL_LR_SHARE = 100, 0.02  # of the learning rate from scratch: a linear rise, then down to this share


def make_accelerator(options: RunOptions) -> Accelerator:
    """The accelerator of this process, also under `torchrun`; InputError when the device isn't there. Networks compute
    in bfloat16 or float32, never in float16, in which small gradients vanish."""
    device = pick_device(options.device)
    precision = "bf16" if pick_precision(options.precision, device) == torch.bfloat16 else "no"
    plugin = GradientAccumulationPlugin(options.accumulate, sync_with_dataloader=False)
    settings = {"gradient_accumulation_plugin": plugin, "mixed_precision": precision, "cpu": device.type == "cpu"}
    return Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)], **settings)


def any_process(accelerator: Accelerator, wish: bool) -> bool:
    """Whether any process wishes it; all must ask."""
    return bool(accelerator.reduce(torch.tensor(float(wish), device=accelerator.device), "sum") > 0)


class Trainer(ABC):
    """A network that learns, its moving average, perhaps a discriminator, their optimisers, and how far they are. A
    subclass sets `data` and the optimisers, whose parameter groups have a `lr_factor` on the learning rate."""

    optimizer: torch.optim.Optimizer
    discriminator: nn.Module | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    gradient_clip = math.inf  # largest norm of a gradient; longer ones are scaled down to it
    shares_gradients = False  # whether gradients are averaged over processes here, not by a wrapper of the network
    # What is in a state as a whole where it is there: attributes with `state_dict` and `load_state_dict`.
    in_parts: tuple[str, ...] = ("optimizer", "discriminator", "discriminator_optimizer")
    data: dict[str, object]  # what the run learns from, by name: a continuation must have the same

    def __init__(self, options: RunOptions, accelerator: Accelerator, network: nn.Module):
        """`network`: its parameters that learn have `requires_grad`, the others never change."""
        self.options, self.accelerator, self.step = options, accelerator, 0
        self.pictures_per_step = options.batch * options.accumulate * accelerator.num_processes
        self.network = network.to(accelerator.device)
        self.learning = [name for name, value in network.named_parameters() if value.requires_grad]
        self.in_state = self.learning  # the weights that a state holds; the others come from files
        frozen = [value for value in network.parameters() if not value.requires_grad]
        self.ema = copy.deepcopy(network, {id(value): value for value in frozen}).requires_grad_(False).eval()
        # This tells one frozen generator from another.
        self.frozen_sum = weight_sum(frozen)

    @abstractmethod
    def take_step(self) -> dict[str, float]:
        """Gradients of all batches of the present step, and a step of each optimiser; returns the mean losses."""

    @abstractmethod
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """An image grid, RGB uint8 `[H, W, 3]`, that shows what the average can do, and metrics of it by name."""

    @abstractmethod
    def publish(self) -> Path:
        """Write the finished weights; returns their path."""

    def advance(self) -> dict[str, float]:
        """Take one step; returns the mean losses of this process. Raises InputError, and leaves the weights as they
        are, when a loss or the gradient is not finite."""
        # The discriminator follows the schedule, too: at full rate beside a generator that hardly moves any more it
        # would tell its pictures ever better, and the adversarial loss would outweigh the others in the end.
        rate = self.learning_rate()
        for optimizer in filter(None, (self.optimizer, self.discriminator_optimizer)):
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_factor"]
        losses = self.take_step()
        self.step += 1
        decay = self.average_decay()
        own, averaged = dict(self.network.named_parameters()), dict(self.ema.named_parameters())
        with torch.no_grad():
            torch._foreach_lerp_([averaged[n] for n in self.learning], [own[n] for n in self.learning], 1 - decay)
        return losses

    def learning_rate(self) -> float:
        """Of the present step, before the factors of parameter groups."""
        return learning_rate(self.step, self.options)

    def average_decay(self) -> float:
        """Share of the average that is kept in the step that was just taken."""
        return ema_decay(self.step, self.pictures_per_step, self.options.recipe.young_average)

    def descend(self, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, float]:
        """Add up the gradient of the sum of `losses`, and after the last batch of a step let `optimizer` take it;
        within `accelerator.accumulate`. Returns the losses as numbers."""
        self.accelerator.backward(sum(losses.values()))
        values = {name: loss.item() for name, loss in losses.items()}
        if self.accelerator.sync_gradients:
            learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            if self.shares_gradients and self.accelerator.num_processes > 1:
                self._share(learning)
            norm = float(self.accelerator.clip_grad_norm_(learning, self.gradient_clip))
            known = values | {"norm of the gradient": norm}
            wrong = ", ".join(f"{name} is {value}" for name, value in known.items() if not math.isfinite(value))
            if any_process(self.accelerator, bool(wrong)):  # all stop or none, else the others would wait forever
                state = self.options.state_file
                advice = f"--resume from {state}" if state.is_file() else "start again"
                where = f"at step {self.step} ({wrong or 'in another process'})"
                raise InputError(f"Training broke down {where}: {advice} with a lower --lr.")
        optimizer.step()
        optimizer.zero_grad()
        return values

    def _share(self, parameters: list[nn.Parameter]) -> None:
        """Make each gradient the mean of all processes'. What takes no part in a loss has none in any of them."""
        parameters = [parameter for parameter in parameters if parameter.grad is not None]
        mean = self.accelerator.reduce(torch.cat([p.grad.flatten() for p in parameters]), "mean")
        for parameter, part in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """What is in the state as a whole, by name."""
        return {name: getattr(self, name) for name in self.in_parts if getattr(self, name) is not None}

    def state(self) -> dict:
        """All that a continuation needs. Random numbers are functions of the seed and the step, so these suffice."""
        weights = {"network": self.network.state_dict(), "ema": self.ema.state_dict()}
        state = {part: {name: values[name] for name in self.in_state} for part, values in weights.items()}
        state |= {"step": self.step, "options": asdict(self.options)}
        state |= {"global_batch": self.pictures_per_step, "frozen": self.frozen_sum}
        return state | {name: part.state_dict() for name, part in self._parts().items()} | self.data

    def save(self) -> None:
        """Write the state; the last one is replaced when it is complete."""
        if self.accelerator.is_main_process:
            write_contents(self.options.state_file, self.state())
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Take up the last state. InputError when there is none or when it belongs to other options."""
        file = self.options.state_file
        if not file.is_file():
            raise InputError(f"{file} does not exist: start the run without --resume.")
        state = checkpoints.load_state(file)
        try:
            self._check_same(state)
            self.network.load_state_dict(self.network.state_dict() | state["network"])
            self.ema.load_state_dict(self.ema.state_dict() | state["ema"])
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.step = state["step"]
        except (LookupError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"{file} is of another version of this program: start a new run.") from error

    def _check_same(self, state: dict) -> None:
        """Raise InputError where `state` is of another run. Files may have moved, hardware may be another."""
        was_started = f"The run in {self.options.folder} was started with"
        free = free_options(type(self.options))
        for name, value in asdict(self.options).items():
            if name not in free and state["options"][name] != value:
                raise InputError(f"{was_started} --{name} {state['options'][name]}, not {value}: use that.")
        if (then := state["global_batch"]) != (now := self.pictures_per_step):
            raise InputError(f"{was_started} {then} pictures a step, not {now}: set --batch to that.")
        for name, value in self.data.items():
            if state[name] != value:
                raise InputError(f"{was_started} other {name}: use those of then, or start a new run.")
        if not math.isclose(state["frozen"], self.frozen_sum, rel_tol=1e-9):
            raise InputError(f"{was_started} another generator: use the file of then.")


def weight_sum(parameters: Iterable[Tensor]) -> float:
    """Sum of the sizes of all numbers: tells one network from another."""
    return math.fsum(value.detach().abs().sum(dtype=torch.float64).item() for value in parameters)


def learning_rate(step: int, options: RunOptions) -> float:
    """Constant as published; from scratch a linear warm-up, then a cosine down to a fiftieth."""
    if not options.recipe.from_scratch:
        return options.lr
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(step / options.iter, 1.0))
    return options.lr * min(1.0, (step + 1) / WARMUP_STEPS) * (FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * cosine)


def ema_decay(step: int, batch: int, young: bool = False) -> float:
    """Decay for a step of `batch` pictures of all processes; a `young` average forgets faster in the beginning."""
    decay = 0.5 ** (batch / EMA_HALF_LIFE)
    return min(decay, (step + 1) / (step + 10)) if young else decay


def mean_losses(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each loss over the steps, or batches, that had it."""
    names = dict.fromkeys(name for losses in found for name in losses)
    return {name: fmean(losses[name] for losses in found if name in losses) for name in names}
