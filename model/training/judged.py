"""What both students of paintings and drawings share: a discriminator that judges them, and a perceptual loss."""

from collections.abc import Callable
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from model import checkpoints
from model.common.hub import vgg_on_disk
from model.discriminator import STDDEV_GROUP, Discriminator, PatchDiscriminator, StrokeDiscriminator
from model.training import losses
from model.training.data.sampling import Batch
from model.training.options import TrainOptions
from model.training.student import StudentTrainer

BY_DISCRIMINATOR = "features of the discriminator"  # the perceptual loss that needs no file


class Judge(nn.Module):
    """The recipe's discriminator for so many `styles`; it is called with pictures and the batch they belong to."""

    def __init__(self, options: TrainOptions, styles: int):
        super().__init__()
        network, self.size = options.recipe.network, options.recipe.discriminator_size
        if self.size is None:
            self.discriminator = PatchDiscriminator(styles, options.recipe.discriminator_width)
            return
        # As wide as the generator at each resolution, as published; below its lowest, as wide as there.
        widths = network.generator.channels
        sides = (4 << k for k in range((self.size // 4).bit_length()))
        channels = {side: widths.get(side, widths[min(widths)]) for side in sides}
        self.discriminator = Discriminator(styles if options.backbone == "dualstylegan" else None, self.size, channels)

    def forward(self, pictures: list[Tensor], batch: Batch) -> list[list[Tensor]]:
        """For each of `pictures [B, 3, S, S]` what the layers of a discriminator of patches say, and last the logits:
        `[B, 1]`, or of patches `[B, 1, S/8, S/8]`."""
        return [[activation.float() for activation in self._activations(each, batch)] for each in pictures]

    def _activations(self, pictures: Tensor, batch: Batch) -> list[Tensor]:
        degree, style = batch["degree"], batch["style"]
        if self.size is None:
            return self.discriminator.activations(pictures, batch["x"][:, :3], degree, style)
        # Groups, each with statistics of its own, make the result independent of how batches are split.
        small = F.adaptive_avg_pool2d(pictures, self.size)
        groups = zip(*(tensor.split(STDDEV_GROUP) for tensor in (small, degree, style)), strict=True)
        return [torch.cat([self.discriminator(*group) for group in groups])]


class StrokeJudge(nn.Module):
    """A discriminator that is shown pictures alone; called as `Judge`."""

    def __init__(self, width: int):
        super().__init__()
        self.discriminator = StrokeDiscriminator(width)

    def forward(self, pictures: list[Tensor], batch: Batch) -> list[list[Tensor]]:
        return [[activation.float() for activation in self.discriminator.activations(each)] for each in pictures]


class JudgedTrainer(StudentTrainer):
    """A student with a discriminator and a perceptual loss, where their weights are not zero. A subclass may choose
    other `discrimination(fake, real)` and `adversarial(fake)` losses of logits."""

    perceptual: nn.Module | None = None
    matches_features = False  # whether the discriminator's activations serve as the perceptual loss
    discrimination: Callable[[Tensor, Tensor], Tensor] = staticmethod(losses.discrimination)
    adversarial: Callable[[Tensor], Tensor] = staticmethod(losses.adversarial)

    def add_judge(self, judge: nn.Module) -> None:
        """`judge(pictures, batch)` as `Judge`; its `discriminator` is what a state holds."""
        judge = judge.to(self.accelerator.device)
        self.discriminator = judge.discriminator
        self.judge, self.discriminator_optimizer = self.prepare(judge)
        self.models.append(self.judge)

    def add_perceptual(self) -> None:
        """LPIPS, which may have to be fetched; or what the recipe allows in its place, which is told."""
        if not self.options.recipe.any_perceptual:
            with self.accelerator.local_main_process_first():
                self.perceptual = checkpoints.load_perceptual().to(self.accelerator.device)
            return
        network, name = load_any_perceptual()
        if network is not None:
            self.perceptual = network.to(self.accelerator.device)
        self.matches_features = network is None and self.discriminator is not None
        name = name if network is not None or self.matches_features else "none, for want of a discriminator"
        self.data["perceptual loss"] = name  # a continuation must have the same
        self.accelerator.print(f"perceptual loss: {name}", flush=True)

    @property
    def is_judged(self) -> bool:
        """Whether the adversarial loss takes part in this step."""
        return self.discriminator is not None and self.step >= self.options.recipe.adv_begin * self.options.iter

    def teach_judge(self, y: Tensor, batch: Batch) -> dict[str, float]:
        """A step of the discriminator, which is to tell results `y [B, 3, S, S]` from the batch's targets."""
        (*_, fake), (*_, real) = self.judge([y.detach(), batch["y"]], batch)
        loss = self.options.adv_loss * self.discrimination(fake, real)
        return self.descend(self.discriminator_optimizer, {"discriminator": loss})

    def judged_losses(self, y: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Weighted adversarial loss of results, and that of the discriminator's features; gradients reach the results,
        not the discriminator."""
        judge = self.accelerator.unwrap_model(self.judge)
        weights = {name: value.detach() for name, value in judge.named_parameters()}
        pictures = [y, batch["y"]] if self.matches_features else [y]
        with self.accelerator.autocast():
            own, *others = functional_call(judge, weights, (pictures, batch))
        found = {"adversarial": self.options.adv_loss * self.adversarial(own[-1])}
        if others:
            found["features"] = self.options.perc_loss * losses.feature_matching(own[:-1], others[0][:-1])
        return found


def load_any_perceptual() -> tuple[nn.Module | None, str]:
    """The best network for a perceptual loss that is on disk, and its name; None where the discriminator's features
    have to serve."""
    if (path := vgg_on_disk(19)) is not None:
        return checkpoints.load_likeness(path), "features of VGG-19"
    if vgg_on_disk(16) is not None and find_spec("lpips") is not None:
        return checkpoints.load_perceptual(), "LPIPS"
    return None, BY_DISCRIMINATOR
