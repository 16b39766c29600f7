"""A training run: the network, its average, optimisers and how far they are; one step, and a full resume."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common.errors import InputError
from model.training.accelerator import arithmetic, global_batch, to_device
from model.training.data.pair import Pair
from model.training.options import TrainOptions
from model.training.student import average_of, build_network, equalised_weights, parts_that_learn

EMA_HALF_LIFE = 10_000
"""Pictures after which an old weight counts half in the average (StyleGAN2; VToonify keeps it)."""

BETAS = (0.9, 0.99)

WARMUP_STEPS = 100
FINAL_LR_SHARE = 0.02
"""From scratch, the learning rate rises linearly over the warm-up and ends at this share of its peak."""

GRADIENT_CLIP = 1.0
"""Largest norm of the gradient from scratch: instance norm on flat early features can make single steps explode."""

WEIGHT_DECAY = 0.01
"""From scratch; what starts from trained weights has none, as published."""

FREE_ON_RESUME = {
    "resume", "iter", "start_iter", "lr", "batch", "accumulate", "save_every", "save_begin", "log_every", "workers",
    "device", "precision", "runs", "output", "checkpointing", "dry_run", "pairs", "encoder_path", "stylegan_path",
    "finetunegan_path", "exstyle_path", "init_path", "direction_path", "faceparsing_path", "style_encoder_path",
}  # fmt: skip
"""Options that may differ between a run and its continuation: files may have moved, hardware may be another. Others
would make it another run. The batch of all processes together and what the backbone holds are compared as such."""


def learning_rate(step: int, options: TrainOptions) -> float:
    """Constant as published; from scratch a linear warm-up, then a cosine down to a fiftieth."""
    if options.from_backbone:
        return options.lr
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(step / options.iter, 1.0))
    return options.lr * warm * (FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * cosine)


def ema_decay(step: int, batch: int, young: bool = False) -> float:
    """Decay for one step of `batch` pictures of all processes (the published program always assumes 32).

    A `young` average has a shorter memory in the beginning, when old weights are worthless.
    """
    decay = 0.5 ** (batch / EMA_HALF_LIFE)
    return min(decay, (step + 1) / (step + 10)) if young else decay


def fingerprint(network: nn.Module) -> float:
    """A number that tells one frozen backbone from another."""
    frozen = (parameter for parameter in network.parameters() if not parameter.requires_grad)
    return math.fsum(parameter.abs().sum(dtype=torch.float64).item() for parameter in frozen)


def learnt_weights(network: nn.Module, learning: Iterable[str]) -> dict[str, Tensor]:
    """The parameters of `network` with the names `learning`."""
    weights = network.state_dict()
    return {name: weights[name] for name in learning}


class Run(ABC):
    """Networks, optimisers and progress. What is learnt, and how, is up to the subclass."""

    def __init__(
        self,
        options: TrainOptions,
        engine: Accelerator,
        styles: list[str],
        backbone: dict[str, Tensor] | None = None,
        exemplars: dict[str, np.ndarray] | None = None,
        stored: int = 0,
    ):
        self.options, self.engine, self.stored = options, engine, stored
        self.styles, self.exemplars = styles, exemplars
        self.dtype = arithmetic(engine)
        self.folder = Path(options.runs) / options.name / ("pretrain" if options.pretrain else "")
        self.network = build_network(options, backbone)
        self.backbone_mark = fingerprint(self.network)
        for parameter in parts_that_learn(options, self.network):
            parameter.requires_grad_(True)
        self.learning = [name for name, value in self.network.named_parameters() if value.requires_grad]
        self.network.checkpointing = options.checkpointing
        self.step = options.start_iter
        if options.encoder_path and not options.resume:
            checkpoints.load_encoder_pretrain(options.encoder_path, self.network)
        if options.init_path and not options.resume:
            checkpoints.fill_vtoonify(options.init_path, self.network)
        self.network.to(engine.device)
        self.ema = average_of(self.network)
        self.student, self.optimizer = self.prepare(self.make_student(), options.recipe.equalised_lr)
        self.models: list[nn.Module] = [self.student]

    @abstractmethod
    def make_student(self) -> nn.Module:
        """The module whose forward pass makes all that the losses need."""

    @abstractmethod
    def learn(self, pair: Pair) -> dict[str, float]:
        """Gradients of one batch and, when enough of them are added up, a step of each optimiser; the losses."""

    @abstractmethod
    def sheet(self, pair: Pair) -> tuple[np.ndarray, dict[str, float]]:
        """A picture RGB uint8 `[H, W, 3]` that shows what the average makes of `pair`, and figures about it."""

    @abstractmethod
    def file_name(self, step: int | None = None) -> str:
        """Name of the finished weight file, or of the one kept at `step`."""

    @abstractmethod
    def write_weights(self, path: Path) -> None:
        """Write the average in the published layout."""

    def prepare(self, module: nn.Module, equalised_lr: float = 1.0) -> tuple[nn.Module, torch.optim.Optimizer]:
        """`module` and its optimiser for this engine; `equalised_lr` as in Recipe."""
        decay = WEIGHT_DECAY if self.options.recipe.from_scratch else 0.0
        groups = [{"params": [], "lr_factor": factor} for factor in (1.0, equalised_lr)]
        unit = {id(weight) for weight in equalised_weights(module)}
        for parameter in module.parameters():
            if parameter.requires_grad:
                groups[id(parameter) in unit]["params"].append(parameter)
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=self.options.lr, betas=BETAS, weight_decay=decay)
        return self.engine.prepare(module, optimizer)

    @property
    def state_file(self) -> Path:
        """What `save` writes and `resume` reads."""
        return self.folder / "state.pt"

    def state(self) -> dict:
        """All that a continuation needs. Random numbers are functions of the seed and the step, so these suffice."""
        return {
            "network": learnt_weights(self.network, self.learning),
            "ema": learnt_weights(self.ema, self.learning),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "styles": self.styles,
            "stored": self.stored,
            "options": asdict(self.options),
            "global_batch": global_batch(self.options, self.engine),
            "backbone": self.backbone_mark,
        }

    def load(self, state: dict) -> None:
        """Take over what `state` returned."""
        self.network.load_state_dict(self.network.state_dict() | state["network"])
        self.ema.load_state_dict(self.ema.state_dict() | state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def save(self) -> None:
        """Write the state under a temporary name, then in place of the last one; from --save_begin on, the weights."""
        if self.engine.is_main_process:
            checkpoints.save_state(self.state_file, self.state())
            if self.step >= self.options.save_begin and self.step < self.options.iter:
                self.write_weights(self.result_folder / self.file_name(self.step))
        self.engine.wait_for_everyone()

    def resume(self) -> None:
        """Take up the last state. InputError when there is none or when it belongs to other options."""
        if not self.state_file.is_file():
            raise InputError(f"{self.state_file} does not exist: start the run without --resume.")
        state = checkpoints.load_state(self.state_file)
        try:
            self._check_same(state)
            self.load(state)
        except (LookupError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"{self.state_file} is of another version of this program: start a new run.") from error

    def _check_same(self, state: dict) -> None:
        was_started = f"The run in {self.folder} was started with"
        for name, value in asdict(self.options).items():
            if name not in FREE_ON_RESUME and state["options"][name] != value:
                raise InputError(f"{was_started} --{name} {state['options'][name]}, not {value}: use that.")
        batch = global_batch(self.options, self.engine)
        if state["global_batch"] != batch:
            raise InputError(f"{was_started} {state['global_batch']} pairs a step, not {batch}: set --batch to that.")
        if state["styles"] != self.styles:
            raise InputError(f"{was_started} the styles {', '.join(state['styles'])}: use these.")
        if state["stored"] != self.stored:
            raise InputError(f"{was_started} {state['stored']} stored pairs, not {self.stored}: use these (0: live).")
        if not math.isclose(state["backbone"], self.backbone_mark, rel_tol=1e-9):
            raise InputError(f"{was_started} another generator: use the file of then.")

    @property
    def result_folder(self) -> Path:
        """Where finished weights go."""
        return Path(self.options.output) / self.options.name

    def publish(self) -> Path:
        """Write the finished weights and what belongs to them; returns their path."""
        path = self.result_folder / self.file_name()
        if self.engine.is_main_process:
            self.write_weights(path)
            if self.exemplars is not None:
                checkpoints.save_exemplars(self.result_folder / checkpoints.EXEMPLAR_FILE, self.exemplars)
        self.engine.wait_for_everyone()
        return path

    def advance(self, batches: Iterable[Pair]) -> dict[str, float]:
        """One step, over the gradients of all `batches`; returns the mean losses of this process.

        Raises InputError, and leaves the weights as they are, when a loss or the gradient is not finite.
        """
        rate = learning_rate(self.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]
        found = []
        for pair in batches:
            with self.engine.accumulate(*self.models):
                found.append(self.learn(to_device(pair, self.engine)))
        self.step += 1
        self._average()
        return {name: fmean(values[name] for values in found) for name in found[0]}

    @torch.no_grad()
    def _average(self) -> None:
        decay = ema_decay(self.step, global_batch(self.options, self.engine), self.options.recipe.young_average)
        own, averaged = dict(self.network.named_parameters()), dict(self.ema.named_parameters())
        torch._foreach_lerp_([averaged[n] for n in self.learning], [own[n] for n in self.learning], 1 - decay)

    def descend(self, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, float]:
        """Add up gradients of the sum of `losses` and, when it is time, step; returns the losses as numbers."""
        self.engine.backward(sum(losses.values()))
        values = {name: loss.item() for name, loss in losses.items()}
        if self.engine.sync_gradients:
            learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            clip = GRADIENT_CLIP if self.options.recipe.from_scratch else math.inf
            norm = self.engine.clip_grad_norm_(learning, clip)
            self._check_finite(values | {"norm of the gradient": float(norm)})
        optimizer.step()
        optimizer.zero_grad()
        return values

    def _check_finite(self, values: dict[str, float]) -> None:
        wrong = ", ".join(f"{name} is {value}" for name, value in values.items() if not math.isfinite(value))
        if self.engine.num_processes > 1:  # all stop or none, else the others would wait forever
            count = torch.tensor(float(bool(wrong)), device=self.engine.device)
            if self.engine.reduce(count, "sum") > 0 and not wrong:
                wrong = "in another process"
        if wrong:
            advice = f"--resume from {self.state_file}" if self.state_file.is_file() else "start again"
            raise InputError(f"Training broke down at step {self.step} ({wrong}): {advice} with a lower --lr.")
