"""The two stages: the encoder learns the teacher's features, then all learn to draw what the teacher draws."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.func import functional_call

from model import checkpoints
from model.common.tensors import image_grid
from model.discriminator import STDDEV_GROUP, Discriminator, PatchDiscriminator
from model.training import losses
from model.training.data.sampling import Batch
from model.training.options import TrainOptions
from model.training.sources import LivePairs, StoredPairs
from model.training.student import VToonifyTrainer
from model.vtoonify import VToonify

FLICKER_PART = 4  # from scratch, the flicker loss takes one in so many samples: the same mean at a fraction of the cost


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
        checkpoints.save_weights(path, self.ema.encoder)


class Judge(nn.Module):
    """The recipe's discriminator for so many `styles`; it is called with pictures and the batch they belong to."""

    def __init__(self, options: TrainOptions, styles: int):
        super().__init__()
        network, self.size = options.recipe.network, options.recipe.discriminator_size
        if self.size is None:
            self.discriminator = PatchDiscriminator(styles)
            return
        # As wide as the generator at each resolution, as published; below its lowest, as wide as there.
        widths = network.generator.channels
        sides = (4 << k for k in range((self.size // 4).bit_length()))
        channels = {side: widths.get(side, widths[min(widths)]) for side in sides}
        self.discriminator = Discriminator(styles if options.backbone == "dualstylegan" else None, self.size, channels)

    def forward(self, pictures: list[Tensor], batch: Batch) -> list[Tensor]:
        """Logits for each of `pictures [B, 3, S, S]`: `[B, 1]`, or of patches `[B, 1, S/8, S/8]`."""
        return [self._logits(each, batch).float() for each in pictures]

    def _logits(self, pictures: Tensor, batch: Batch) -> Tensor:
        degree, style = batch["degree"], batch["style"]
        if self.size is None:
            return self.discriminator(pictures, batch["x"][:, :3], degree, style)
        # Groups, each with statistics of its own, make the result independent of how batches are split.
        small = F.adaptive_avg_pool2d(pictures, self.size)
        groups = zip(*(tensor.split(STDDEV_GROUP) for tensor in (small, degree, style)), strict=True)
        return torch.cat([self.discriminator(*group) for group in groups])


class Distillation(VToonifyTrainer):
    """Encoder and fusion learn to draw what the teacher draws, steadily (VToonify, Sec. 4.1.3 and 4.2.3). Each loss
    takes part where its weight is not zero."""

    perceptual: nn.Module | None = None

    def __init__(self, options: TrainOptions, accelerator: Accelerator, source: LivePairs | StoredPairs):
        super().__init__(options, accelerator, source)
        self.codes, self.some = None, slice(None)
        if options.recipe.from_scratch:  # the network maps the exemplars `[n, layers, D]`, in z+, itself
            self.codes = torch.from_numpy(np.concatenate(list(source.exemplars.values()))).to(accelerator.device)
            self.some = slice(None, None, FLICKER_PART)
        if options.adv_loss:
            judge = Judge(options, len(source.styles)).to(accelerator.device)
            self.discriminator = judge.discriminator
            self.judge, self.discriminator_optimizer = self.prepare(judge)
            self.models.append(self.judge)
        if options.perc_loss:
            with accelerator.local_main_process_first():  # it may have to be fetched
                self.perceptual = checkpoints.load_perceptual().to(accelerator.device)

    def passes(self, network: VToonify, batch: Batch, with_flicker: bool = False) -> tuple:
        """Results `[B, 3, S, S]`, fusion masks (none in T), and where asked `some` results for the moved camera."""
        degree, some = batch["degree"], self.some
        if self.codes is None:
            w_plus = batch["w_plus"]
        else:
            with torch.autocast(self.codes.device.type, enabled=False):  # small, and everything depends on it
                w_plus = network.zplus_to_wplus(self.codes)[batch["style"]]
        y, masks = network.forward_with_masks(batch["x"], w_plus, degree)
        moved = network(batch["moved"][some], w_plus[some], degree[some]).float() if with_flicker else None
        return y.float(), masks, moved

    @property
    def is_judged(self) -> bool:
        """Whether the adversarial loss takes part in this step."""
        return self.discriminator is not None and self.step >= self.options.recipe.adv_begin * self.options.iter

    def learn(self, batch: Batch) -> dict[str, float]:
        flicker_weight = self.options.tmp_loss * losses.flicker_ramp(self.step, self.options.iter)
        y, masks, moved = self.student(batch, flicker_weight > 0)
        values = {}
        if self.is_judged:
            loss = self.options.adv_loss * losses.discrimination(*self.judge([y.detach(), batch["y"]], batch))
            values = self.descend(self.discriminator_optimizer, {"discriminator": loss})
        found = self.losses(y, masks, batch)
        if moved is not None:
            found["flicker"] = flicker_weight * losses.flicker(y[self.some], moved, batch["offset"][self.some])
        return values | self.descend(self.optimizer, found)

    def losses(self, y: Tensor, masks: list[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Weighted losses of results `y [B, 3, S, S]` and their masks by name; all but the flicker loss."""
        options, target, found = self.options, batch["y"], {}
        if options.grec_loss:
            found["mse"] = options.grec_loss * F.mse_loss(y, target)
        if options.l1_loss:
            weight = batch.get("weight", torch.ones_like(target[:, :1]))
            found["l1"] = options.l1_loss * losses.weighted_l1(y, target, weight)
            found["gradient"] = options.l1_loss * losses.gradient_l1(y, target, weight)
        if self.perceptual is not None:
            # At half size: the whole would be too large, a quarter gives blurred results.
            distance = self.perceptual(F.avg_pool2d(y, 2), F.avg_pool2d(target, 2)).mean()
            found["lpips"] = options.perc_loss * losses.PUBLISHED_BATCH * distance
        if self.is_judged:
            found["adversarial"] = options.adv_loss * losses.adversarial(self._judge_without_learning(y, batch))
        if masks and options.msk_loss:
            found["mask"] = options.msk_loss * losses.mask_excess(masks, batch["degree"])
        return found

    def _judge_without_learning(self, y: Tensor, batch: Batch) -> Tensor:
        """Logits of results; gradients reach the results, not the discriminator."""
        judge = self.accelerator.unwrap_model(self.judge)
        weights = {name: value.detach() for name, value in judge.named_parameters()}
        with self.accelerator.autocast():
            (logits,) = functional_call(judge, weights, ([y], batch))
        return logits

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | target | result of the average | its fusion masks, coarse to fine; the mean L1 in levels of 255."""
        batch = self.held_out
        with self.accelerator.autocast():
            y, masks, _ = self.passes(self.ema, batch)
        y = y.clamp(-1, 1)
        columns = [batch["x"][:, :3], batch["y"], y, *(2 * mask.float() - 1 for mask in masks)]
        return image_grid(columns), {"held_out_l1": (y - batch["y"]).abs().mean().item() * 127.5}

    def file_name(self, suffix: str = "") -> str:
        """As the published program names files of D: `_s026` or `_s` the style, `_d0.5` or `_d` the degree, `_c`."""
        name, options = "vtoonify", self.options
        if options.backbone == "dualstylegan":
            name += f"_s{options.style_id:03d}" if options.fix_style else "_s"
            name += f"_d{float(options.style_degree)}" if options.fix_degree else "_d"
            name += "" if options.fix_color or options.recipe.from_scratch else "_c"
        return f"{name}_{suffix}.pt" if suffix else f"{name}.pt"

    def write_weights(self, path: Path) -> None:
        checkpoints.save_vtoonify(path, self.ema, half=self.options.recipe.from_scratch)
