"""Train a U-GAT-IT (Kim et al., ICLR 2020): it learns to turn photos into pictures of a style, and back, from a folder
of each, without pairs, and changes shapes, too.

    python -m model.training.ugatit --photos A --style_images B --light --out mine.pt
    python style_transfer.py --ckpt mine.pt me.jpg

Faces in both folders are to be framed alike, as FFHQ's (python -m model.training.own.align). The published TensorFlow
weights are of another network, and are not read. Ctrl-C keeps the state, from which --resume goes on.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tensors import image_grid
from model.config import UgatitConfig
from model.training.adversarial import AdversarialTrainer
from model.training.options import UNPAIRED_MARGIN
from model.training.train import run
from model.training.unpaired import memory
from model.training.unpaired import ugatit as steps
from model.training.unpaired.trainer import UnpairedOptions, UnpairedTrainer, one_by_one
from model.ugatit import MULTIPLE, SMALLEST_SIDE, Ugatit, clip_rho

FLAT = 0.05  # contrast of a heat map, in parts of its largest value, below which it says nothing


@dataclass
class Options(UnpairedOptions):
    """Options of the command line."""

    out: str = option("checkpoint/ugatit.pt", "file of the result, for --ckpt", free=True)
    iter: int = option(
        1_000_000, "last training step, which rates fall to 0 for from half of them on", least=1, free=True
    )
    light: bool = option(False, "the small variant, which takes pictures of any size; the paper's has one size alone")
    width: int = option(64, "channels at full size, of generators and discriminators", least=1, most=512)
    blocks: int = option(4, "residual blocks before and after the attention", least=1, most=64)
    adversarial: float = option(1.0, "weight of the adversarial losses", least=0)
    cycle: float = option(10.0, "weight of what is lost on the way to the other folder and back", least=0)
    identity: float = option(10.0, "weight of what changes in pictures that are of the wanted kind already", least=0)
    attention: float = option(1000.0, "weight of the loss of the attention (CAM)", least=0)
    init_path: str = option("", "U-GAT-IT of the same variant and sizes to start from", free=True)
    name: str = option("ugatit", "name of the run")

    @property
    def network(self) -> UgatitConfig:
        """Sizes of the generators."""
        return UgatitConfig(self.width, self.blocks, self.size, self.light)

    @property
    def weights(self) -> steps.Weights:
        """Of the generators' losses."""
        return steps.Weights(self.adversarial, self.cycle, self.identity, self.attention)

    def check(self) -> None:
        super().check()
        if self.size < SMALLEST_SIDE or self.size % MULTIPLE:
            raise InputError(f"--size is {self.size}: give a multiple of {MULTIPLE}, {SMALLEST_SIDE} at least.")

    def tell_memory(self) -> None:
        """Print what a step takes, or raise InputError where that is clearly too much."""
        with torch.device("meta"):
            networks = Ugatit(self.network, self.width)
            a, b = torch.empty(2, self.batch, 3, self.size, self.size)

        def passes() -> tuple:
            fakes = steps.translate(networks, a, b)
            networks.discriminators.requires_grad_(False)
            return fakes, steps.generator_terms(networks, a, b, fakes)

        advice = "lower --size, --batch or --width, or add " + ("--light or " * (not self.light)) + "--precision bf16"
        memory.tell_memory(self, networks, networks.generators, passes, advice)


class UgatitTrainer(UnpairedTrainer, AdversarialTrainer):
    """Both generators, whose averages are the result, and four discriminators. The published step, of which the
    translations serve discriminators and generators."""

    in_parts = (*AdversarialTrainer.in_parts, "warned")
    losses = ("pictures",)  # all phases of a batch see the same
    advice = "a lower --identity (1) and --cycle (1) may help"

    def __init__(self, options: Options, accelerator: Accelerator):
        self.read_folders(options, options.size + UNPAIRED_MARGIN, faces=True)
        torch.manual_seed(options.seed)
        networks = Ugatit(options.network, options.width)
        if options.init_path and not options.resume:
            checkpoints.fill_ugatit(options.init_path, networks)
        self.networks = networks.to(accelerator.device)
        super().__init__(options, accelerator, nn.ModuleList(networks.generators))
        self.discriminator = networks.discriminators
        self.optimizer, self.discriminator_optimizer = (
            self._optimizer(module) for module in (self.network, self.discriminator)
        )
        self._translated: list[tuple[Tensor, Tensor, steps.Translated]] = []

    def _optimizer(self, networks: nn.Module) -> torch.optim.Optimizer:
        optimizer = steps.make_optimizer(networks, self.options.lr)
        optimizer.param_groups[0]["lr_factor"] = 1.0
        return self.accelerator.prepare(optimizer)

    def learning_rate(self) -> float:
        return steps.rate_at(self.step + 1, self.options.iter, self.options.lr)

    def take_step(self) -> dict[str, float]:
        found = self.phase(self.discriminator_optimizer, "pictures", self._discrimination)
        with self.resting_judges():
            found |= self.phase(self.optimizer, "pictures", self._translation)
        clip_rho(self.network)
        return found

    def _discrimination(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """How sure the discriminators are, too: squared errors, of which 0.25 is as good as chance."""
        is_kept = self.options.accumulate == 1  # translations of several batches would take too much memory
        with self.accelerator.autocast():
            a, b = self.drawn(self.photos, rng), self.drawn(self.styles, rng)
            with torch.set_grad_enabled(is_kept):
                fakes = steps.translate(self.networks, a, b)
            terms = steps.discriminator_terms(self.networks, a, b, fakes)
        if is_kept:
            self._translated = [(a, b, fakes)]
        found = {"discriminator": self.options.adversarial * sum(terms.values())}
        for kind in ("real", "fake"):
            errors = [value.detach() for name, value in terms.items() if name.endswith(f".{kind}")]
            found[f"D({kind})"] = torch.stack(errors).mean()
        return found

    def _translation(self, rng: np.random.Generator) -> dict[str, Tensor]:
        with self.accelerator.autocast():
            if self._translated:
                a, b, fakes = self._translated.pop()
            else:
                a, b = self.drawn(self.photos, rng), self.drawn(self.styles, rng)
                fakes = steps.translate(self.networks, a, b)
            terms = steps.generator_terms(self.networks, a, b, fakes)
        found: dict[str, Tensor] = {}
        for name, term in terms.items():
            kind = name.partition("_")[0]
            kind = kind if kind in ("cycle", "identity", "attention") else "adversarial"
            found[kind] = found.get(kind, 0.0) + steps.weight_of(name, self.options.weights) * term
        return found

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | heat map | in the style | back again | picture of the style | as a photo: by the averages; how far
        results are from the photos, in levels of 255, those that came back, and the contrast of heat maps."""
        a, b = self.shown()
        to_b, to_a = (partial(self._shown_by, network) for network in self.ema)
        (a2b, heat), (b2a, _) = one_by_one(to_b, a), one_by_one(to_a, b)
        back = one_by_one(to_a, a2b)[0]
        low, high = heat.amin((1, 2, 3), keepdim=True), heat.amax((1, 2, 3), keepdim=True)
        contrast = ((high - low) / heat.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)).mean().item()
        if contrast < FLAT:
            self.warn("flat", f"heat maps are flat (contrast {contrast:.3f}), and a lower --attention (100) may help")
        heat = 2 * (heat - low) / (high - low).clamp(min=1e-12) - 1
        found = {"held_out_change": self.change(a, a2b), "heat_contrast": contrast}
        found["held_out_cycle"] = 127.5 * (back - a).abs().mean().item()
        return image_grid([a, heat, a2b, back, b, b2a]), found

    def _shown_by(self, network: nn.Module, picture: Tensor) -> tuple[Tensor, Tensor]:
        with self.accelerator.autocast():
            result, _, heat = network(picture)
        return result.float(), heat.float()

    def publish(self) -> Path:
        """Write all six networks, averages of the generators, in the published layout."""
        if self.accelerator.is_main_process:
            with torch.device("meta"):
                whole = Ugatit(self.options.network, self.options.width)
            whole.genA2B, whole.genB2A = self.ema
            for name in checkpoints.UGATIT_NETWORKS[2:]:
                setattr(whole, name, self.networks.get_submodule(name))
            checkpoints.save_ugatit(self.options.out, whole)
        self.accelerator.wait_for_everyone()
        return Path(self.options.out)


def train_ugatit(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options.check()
    options.tell_memory()
    return run(options, partial(UgatitTrainer, options))


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    if result := train_ugatit(cli.parse(Options, __doc__)):
        print(f"The U-GAT-IT is {result}: python style_transfer.py --ckpt {result} me.jpg")


if __name__ == "__main__":
    cli.run(main)
