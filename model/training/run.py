"""One training run: the network, its average, the optimiser and how far they are; a step, and a full resume."""

import copy
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoints
from model.devices import pick_device, pick_precision
from model.errors import InputError
from model.training import losses
from model.training.options import CONFIGS, TrainOptions
from model.vtoonify import VToonify

EMA_HALF_LIFE = 10_000
"""Pictures after which an old weight counts half in the average (StyleGAN2; VToonify keeps it)."""

WARMUP_STEPS = 100
FINAL_LR_SHARE = 0.02
"""The learning rate rises linearly over the warm-up and ends at this share of its peak."""

GRADIENT_CLIP = 1.0
"""Largest norm of the gradient: instance norm on flat early features can make single steps explode."""

FLICKER_PART = 2
"""The flicker loss takes one in so many samples of a batch: the same mean, at a fraction of the cost."""

QUIET_START = 0.1
"""Scale of the first picture contributions: the untrained network then renders grey, not saturated noise."""

FREE_ON_RESUME = {
    "resume", "iter", "lr", "save_every", "log_every", "workers", "device", "precision", "runs", "output"
}  # fmt: skip
"""Options that may differ between a run and its continuation; others would make it another run."""


def learning_rate(step: int, options: TrainOptions) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(step / options.iter, 1.0))
    return options.lr * warm * (FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * cosine)


def ema_decay(step: int, batch: int) -> float:
    """Decay for one step of `batch` pictures; shorter memory in the beginning, when old weights are worthless."""
    return min(0.5 ** (batch / EMA_HALF_LIFE), (step + 1) / (step + 10))


def draw_exemplars(styles: list[str], rows: int, dim: int, seed: int) -> dict[str, np.ndarray]:
    """Random but fixed codes in z+, name → `[1, rows, dim]`: the network learns what each of them looks like."""
    generator = torch.Generator().manual_seed(seed)
    return {style: torch.randn(1, rows, dim, generator=generator).numpy() for style in styles}


@torch.no_grad()
def quieten(network: VToonify) -> None:
    """Scale down all layers that write to the picture."""
    writers = [to_rgb.conv for to_rgb in network.stylegan.to_rgbs if not isinstance(to_rgb, nn.Identity)]
    for layer in [*writers, network.subpixel[-1]]:
        layer.weight.mul_(QUIET_START)


def pick_training_precision(name: str, device: torch.device) -> torch.dtype:
    """As for inference, but float32 instead of float16, in which small gradients vanish."""
    dtype = pick_precision(name, device)
    return torch.float32 if dtype == torch.float16 else dtype


class Run:
    """Networks, optimiser and progress of one training run."""

    def __init__(self, options: TrainOptions, styles: list[str]):
        self.options = options
        self.folder = Path(options.runs) / options.name
        self.device = pick_device(options.device)
        self.dtype = pick_training_precision(options.precision, self.device)
        torch.manual_seed(options.seed)
        config = CONFIGS[options.config]
        self.network = VToonify(config).to(self.device)
        self.network.start_as_pass_through()
        quieten(self.network)
        self.ema = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=options.lr, betas=(0.9, 0.99))
        self.styles = styles
        self.exemplars = draw_exemplars(styles, config.generator.rows, config.generator.style_dim, options.seed)
        codes = np.concatenate([self.exemplars[style] for style in styles])
        self.codes = torch.from_numpy(codes).to(self.device)
        self.step = 0

    @property
    def state_file(self) -> Path:
        """What `save` writes and `resume` reads."""
        return self.folder / "state.pt"

    def save(self) -> None:
        """Write everything that a continuation needs, under a temporary name first."""
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "styles": self.styles,
            "options": asdict(self.options),
        }
        checkpoints.save_state(self.state_file, state)

    def resume(self) -> None:
        """Take up the last state. InputError when there is none or when it belongs to other options."""
        if not self.state_file.is_file():
            raise InputError(f"{self.state_file} does not exist: start the run without --resume.")
        state = checkpoints.load_state(self.state_file)
        try:
            self._check_same(state)
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (LookupError, ValueError, RuntimeError) as error:
            raise InputError(f"{self.state_file} is of another version of this program: start a new run.") from error

    def _check_same(self, state: dict) -> None:
        for name, value in asdict(self.options).items():
            if name not in FREE_ON_RESUME and state["options"][name] != value:
                was = state["options"][name]
                raise InputError(f"The run in {self.folder} was started with --{name} {was}, not {value}: use that.")
        if state["styles"] != self.styles:
            styles = ", ".join(state["styles"])
            raise InputError(f"The run in {self.folder} was started with the styles {styles}: use its pairs.")

    def publish(self) -> Path:
        """Write the averaged network, in half precision, and its exemplar codes to the output folder."""
        folder = Path(self.options.output) / self.options.name
        path = folder / "vtoonify_s_d.pt"
        checkpoints.save_vtoonify(path, self.ema, half=True)
        checkpoints.save_exemplars(folder / "exstyle_code.npy", self.exemplars)
        return path

    def render(self, network: VToonify, x: Tensor, style: Tensor, degree: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pictures `[B, 3, 4h, 4w]` in float32 and fusion masks, from `x [B, 3, h, w]`, `style [B]`, `degree [B]`."""
        w_plus = network.zplus_to_wplus(self.codes)[style]
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            y, masks = network.forward_with_masks(x, w_plus, degree)
        return y.float(), masks

    def compute_losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weighted losses by name."""
        options, network = self.options, self.network
        y, masks = self.render(network, batch["x"], batch["style"], batch["degree"])
        found = {
            "l1": options.grec_loss * losses.weighted_l1(y, batch["y"], batch["weight"]),
            "gradient": options.grec_loss * losses.gradient_l1(y, batch["y"], batch["weight"]),
            "mask": options.msk_loss * losses.mask_excess(masks, batch["degree"]),
        }
        flicker_weight = options.tmp_loss * losses.flicker_ramp(self.step, options.iter)
        if flicker_weight > 0:
            some = slice(0, -(-len(y) // FLICKER_PART))
            moved, _ = self.render(network, batch["moved"][some], batch["style"][some], batch["degree"][some])
            found["flicker"] = flicker_weight * losses.flicker(y[some], moved, batch["offset"][some])
        return found

    def advance(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """One step of the optimiser and of the average; returns the losses.

        Raises InputError, and leaves the weights as they are, when a loss or the gradient is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.options)
        found = self.compute_losses({key: value.to(self.device) for key, value in batch.items()})
        self.optimizer.zero_grad(set_to_none=True)
        sum(found.values()).backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_CLIP)
        values = {name: value.item() for name, value in found.items()}
        self._check_finite(values | {"norm of the gradient": norm.item()})
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            weight = 1 - ema_decay(self.step, self.options.batch)
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), weight)
        return values

    def _check_finite(self, values: dict[str, float]) -> None:
        wrong = ", ".join(f"{name} is {value}" for name, value in values.items() if not math.isfinite(value))
        if wrong:
            advice = f"--resume from {self.state_file}" if self.state_file.is_file() else "start again"
            raise InputError(f"Training broke down at step {self.step} ({wrong}): {advice} with a lower --lr.")
