"""The training loop: distil stored pairs into a VToonify. Flat, with an absolute step and a full resume."""

import copy
import json
import math
import signal
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from model import checkpoints
from model.devices import pick_device, pick_precision
from model.errors import InputError
from model.training import losses
from model.training.options import CONFIGS, TrainOptions
from model.training.pairs import PairDataset, index_shards, list_styles, split_held_out
from model.vtoonify import VToonify

EMA_HALF_LIFE = 10_000
"""Pictures after which an old weight counts half in the average (StyleGAN2; VToonify keeps it)."""

WARMUP_STEPS = 100
FINAL_LR_SHARE = 0.02
"""The learning rate rises linearly over the warm-up and ends at this share of its peak."""

GRADIENT_CLIP = 1.0
"""Largest norm of the gradient: instance norm on flat early features can make single steps explode."""

QUIET_START = 0.1
"""Scale of the first picture contributions: the untrained network then renders grey, not saturated noise."""

PREVIEW_ROWS = 6

UNSAVED_ON_RESUME = {"resume", "iter", "save_every", "log_every", "workers", "device", "precision", "runs", "output"}
"""Options that may change between a run and its continuation."""


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


class Run:
    """Networks, optimiser and progress of one training run."""

    def __init__(self, options: TrainOptions, styles: list[str]):
        self.options = options
        self.folder = Path(options.runs) / options.name
        self.device = pick_device(options.device)
        self.dtype = pick_precision(options.precision, self.device)
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
        for name, value in asdict(self.options).items():
            if name not in UNSAVED_ON_RESUME and state["options"].get(name) != value:
                was = state["options"].get(name)
                raise InputError(f"The run in {self.folder} was started with --{name} {was}, not {value}: use that.")
        if state["styles"] != self.styles:
            raise InputError(f"The run in {self.folder} has other styles ({state['styles']}): use its pairs.")
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def publish(self) -> Path:
        """Write the averaged network, in half precision, and its exemplar codes to the output folder."""
        folder = Path(self.options.output) / self.options.name
        path = folder / "vtoonify_s_d.pt"
        checkpoints.save_vtoonify(path, self.ema, half=True)
        checkpoints.save_exemplars(folder / "exstyle_code.npy", self.exemplars)
        return path

    def render(self, network: VToonify, x: Tensor, style: Tensor, degree: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Results `[B, 3, 4h, 4w]` in float32 and fusion masks."""
        w_plus = network.zplus_to_wplus(self.codes)[style]
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            y, masks = network.forward_with_masks(x, w_plus, degree)
        return y.float(), masks

    def compute_losses(self, batch: dict) -> dict[str, Tensor]:
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
            moved, _ = self.render(network, batch["moved"], batch["style"], batch["degree"])
            found["flicker"] = flicker_weight * losses.flicker(y, moved, batch["offset"])
        return found

    def advance(self, batch: dict) -> dict[str, float]:
        """One step of the optimiser and of the average; returns the losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.options)
        batch = {key: value.to(self.device) for key, value in batch.items()}
        found = self.compute_losses(batch)
        total = sum(found.values())
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {value.item():.3g}" for name, value in found.items())
            raise InputError(
                f"The loss stopped being finite at step {self.step} ({values}): lower --lr and --resume from "
                f"{self.state_file}."
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_CLIP)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            weight = 1 - ema_decay(self.step, self.options.batch)
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), weight)
        return {name: value.item() for name, value in found.items()}

    @torch.no_grad()
    def preview(self, batch: dict) -> float:
        """Write a sheet of photo | target | result of held-out pairs; returns their mean L1 in levels of 255."""
        y, _ = self.render(self.ema, batch["x"].to(self.device), batch["style"], batch["degree"].to(self.device))
        y = y.clamp(-1, 1).cpu()
        photo = nn.functional.interpolate(batch["x"], scale_factor=4, mode="nearest")
        rows = [torch.cat(row, dim=2) for row in zip(photo, batch["y"], y, strict=True)]
        half = (len(rows) + 1) // 2
        sheet = torch.cat([torch.cat(rows[:half], dim=1), torch.cat(rows[half:], dim=1)], dim=2)
        sheet = ((sheet + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        path = self.folder / f"preview-{self.step:06d}.jpg"
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        return (y - batch["y"]).abs().mean().item() * 127.5


def _ignore_interrupt(worker: int) -> None:
    """Ctrl-C reaches the whole process group; the loop stops the workers itself, after saving."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _held_out_batch(dataset: PairDataset) -> dict:
    samples = [dataset[n] for n in range(PREVIEW_ROWS)]
    return torch.utils.data.default_collate(samples)


def train(options: TrainOptions) -> Path:
    """Run training to its last step; returns the finished model file.

    Ctrl-C and SIGTERM save the state and raise KeyboardInterrupt; `--resume` goes on from there.
    """
    options.check()
    pairs, held_out = split_held_out(index_shards(options.pairs))
    if not pairs:
        raise InputError(f"{options.pairs} holds a single pair, which is held out: draw more with generate_data.py.")
    run = Run(options, list_styles(pairs))
    run.folder.mkdir(parents=True, exist_ok=True)
    if options.resume:
        run.resume()
    elif run.state_file.exists():
        raise InputError(f"{run.folder} already holds a run: add --resume to go on, or choose another --name.")
    (run.folder / "options.json").write_text(json.dumps(asdict(options), indent=2) + "\n")
    dataset = PairDataset(pairs, run.styles, options.seed, options.iter * options.batch)
    rest = Subset(dataset, range(run.step * options.batch, len(dataset)))
    loader = DataLoader(rest, options.batch, num_workers=options.workers, worker_init_fn=_ignore_interrupt)
    sheet = _held_out_batch(PairDataset(held_out, run.styles, options.seed + 1, PREVIEW_ROWS))

    stop = []
    previous = {number: signal.signal(number, lambda *_: stop.append(1)) for number in (signal.SIGINT, signal.SIGTERM)}
    bar = tqdm(loader, initial=run.step, total=options.iter, unit="step", desc=options.name)
    sums: dict[str, float] = {}
    try:
        for batch in bar:
            for name, value in run.advance(batch).items():
                sums[name] = sums.get(name, 0.0) + value
            if run.step % options.log_every == 0:
                means = {name: value / options.log_every for name, value in sums.items()}
                _log(run, {"step": run.step, **means})
                bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
                sums = {}
            done = run.step == options.iter
            if stop or done or run.step % options.save_every == 0:
                run.save()
                _log(run, {"step": run.step, "held_out_l1": run.preview(sheet)})
            if stop:
                raise KeyboardInterrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return run.publish()


def _log(run: Run, line: dict) -> None:
    with (run.folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
