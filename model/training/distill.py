"""Distillation: encoder and fusion learn to draw what the teacher draws, steadily (VToonify, Sec. 4.1.3 and 4.2.3)."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from model import checkpoints
from model.checkpoints import load_perceptual
from model.common.tensors import image_grid
from model.training import losses
from model.training.critics import make_critic
from model.training.data.pair import Pair
from model.training.options import TrainOptions
from model.training.student import DistillStudent, Rendered, code_of
from model.training.trainer import Run

FLICKER_PART = 4
"""From scratch, the flicker loss takes one in so many samples of a batch: the same mean, at a fraction of the cost."""


class Distillation(Run):
    """Reconstruction, perceptual, adversarial, flicker and mask losses, each where its weight is not zero."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        options = self.options
        self.critic = None
        if options.adv_loss:
            critic = make_critic(options, len(self.styles)).to(self.engine.device)
            self.critic, self.critic_optimizer = self.prepare(critic)
            self.models.append(self.critic)
        self.perceptual = None
        if options.perc_loss:
            with self.engine.local_main_process_first():  # it may have to be fetched
                self.perceptual = load_perceptual().to(self.engine.device)

    def make_student(self) -> nn.Module:
        return DistillStudent(self.network, self._codes(), self.flicker_part)

    @property
    def flicker_part(self) -> int:
        """The flicker loss takes one in so many samples."""
        return FLICKER_PART if self.options.recipe.from_scratch else 1

    @property
    def is_judged(self) -> bool:
        """Whether the adversarial loss takes part in this step."""
        return self.critic is not None and self.step >= self.options.recipe.adv_begin * self.options.iter

    def _codes(self) -> Tensor | None:
        """The exemplars `[n, rows, D]` in z+, which a network that learns from scratch maps itself."""
        if self.options.from_backbone:
            return None
        return torch.from_numpy(np.concatenate(list(self.exemplars.values()))).to(self.engine.device)

    def learn(self, pair: Pair) -> dict[str, float]:
        flicker_weight = self.options.tmp_loss * losses.flicker_ramp(self.step, self.options.iter)
        rendered = self.student(pair, flicker_weight > 0)
        values = {}
        if self.is_judged:
            fake, real = self.critic([rendered.y.detach(), pair["y"]], pair)
            found = {"discriminator": self.options.adv_loss * losses.discrimination(fake, real)}
            values = self.descend(self.critic_optimizer, found)
        return values | self.descend(self.optimizer, self.losses(rendered, pair, flicker_weight))

    def losses(self, rendered: Rendered, pair: Pair, flicker_weight: float) -> dict[str, Tensor]:
        """Weighted losses of the student by name."""
        options, y, target = self.options, rendered.y, pair["y"]
        found = {}
        if options.grec_loss:
            found["mse"] = options.grec_loss * losses.reconstruction(y, target)
        if options.l1_loss:
            weight = pair.get("weight", target.new_ones(()).expand_as(target[:, :1]))
            found["l1"] = options.l1_loss * losses.weighted_l1(y, target, weight)
            found["gradient"] = options.l1_loss * losses.gradient_l1(y, target, weight)
        if self.perceptual is not None:
            half = y.shape[-1] // 2  # the whole size would be too large, a quarter gives blurred results
            distance = self.perceptual(F.adaptive_avg_pool2d(y, half), F.adaptive_avg_pool2d(target, half))
            found["lpips"] = options.perc_loss * losses.perceptual(distance)
        if self.is_judged:
            found["adversarial"] = options.adv_loss * losses.adversarial(self._judge_without_learning(y, pair))
        if rendered.masks and options.msk_loss:
            found["mask"] = options.msk_loss * losses.mask_excess(rendered.masks, pair["degree"])
        if rendered.moved is not None:
            some = slice(None, None, self.flicker_part)
            found["flicker"] = flicker_weight * losses.flicker(y[some], rendered.moved, pair["offset"][some])
        return found

    def _judge_without_learning(self, y: Tensor, pair: Pair) -> Tensor:
        """Logits of results; gradients reach the results, not the discriminator."""
        critic = self.engine.unwrap_model(self.critic)
        weights = {name: value.detach() for name, value in critic.named_parameters()}
        with self.engine.autocast():
            (logits,) = functional_call(critic, weights, ([y], pair))
        return logits

    def state(self) -> dict:
        state = super().state()
        if self.critic is not None:
            state["discriminator"] = self.engine.unwrap_model(self.critic).discriminator.state_dict()
            state["discriminator_optimizer"] = self.critic_optimizer.state_dict()
        return state

    def load(self, state: dict) -> None:
        super().load(state)
        if self.critic is not None:
            self.engine.unwrap_model(self.critic).discriminator.load_state_dict(state["discriminator"])
            self.critic_optimizer.load_state_dict(state["discriminator_optimizer"])

    @torch.no_grad()
    def sheet(self, pair: Pair) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | target | result of the average | its fusion masks, coarse to fine; the mean L1 in levels of 255."""
        with self.engine.autocast():
            w_plus = code_of(self.ema, pair, self._codes())
            y, masks = self.ema.forward_with_masks(pair["x"], w_plus, pair["degree"])
        y = y.float().clamp(-1, 1)
        columns = [pair["x"][:, :3], pair["y"], y, *(2 * mask.float() - 1 for mask in masks)]
        return image_grid(columns), {"held_out_l1": (y - pair["y"]).abs().mean().item() * 127.5}

    def file_name(self, step: int | None = None) -> str:
        """As the published program names files: `_s` style, `_d` degree, each with its number where it is fixed."""
        name = "vtoonify" + suffix_of(self.options)
        return f"{name}.pt" if step is None else f"{name}_{step:05d}.pt"

    def write_weights(self, path: Path) -> None:
        checkpoints.save_vtoonify(path, self.ema, half=self.options.recipe.from_scratch)


def suffix_of(options: TrainOptions) -> str:
    """What a D model was trained for: `_s026_d0.5`, `_s_d_c` and so on; nothing for T."""
    if options.backbone == "toonify":
        return ""
    style = f"_s{options.style_id:03d}" if options.fix_style else "_s"
    degree = f"_d{float(options.style_degree)}" if options.fix_degree else "_d"
    return style + degree + ("" if options.fix_color or options.recipe.from_scratch else "_c")

