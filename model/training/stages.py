"""The two stages: the encoder learns the teacher's features, then all learn to draw what the teacher draws."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from model import checkpoints
from model.common.tensors import image_grid
from model.training import losses
from model.training.data.sampling import Batch
from model.training.judged import Judge, JudgedTrainer
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


class Distillation(VToonifyTrainer, JudgedTrainer):
    """Encoder and fusion learn to draw what the teacher draws, steadily (VToonify, Sec. 4.1.3 and 4.2.3). Each loss
    takes part where its weight is not zero."""

    def __init__(self, options: TrainOptions, accelerator: Accelerator, source: LivePairs | StoredPairs):
        super().__init__(options, accelerator, source)
        self.codes, self.some = None, slice(None)
        if options.recipe.from_scratch:  # the network maps the exemplars `[n, layers, D]`, in z+, itself
            self.codes = torch.from_numpy(np.concatenate(list(source.exemplars.values()))).to(accelerator.device)
            self.some = slice(None, None, FLICKER_PART)
        if options.adv_loss:
            self.add_judge(Judge(options, len(source.styles)))
        if options.perc_loss:
            self.add_perceptual()

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

    def learn(self, batch: Batch) -> dict[str, float]:
        flicker_weight = self.options.tmp_loss * losses.flicker_ramp(self.step, self.options.iter)
        y, masks, moved = self.student(batch, flicker_weight > 0)
        values = self.teach_judge(y, batch) if self.is_judged else {}
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
            if (square := options.recipe.l1_square) > 1:
                found["l1"] = options.l1_loss * losses.coarse_l1(y, target, weight, square)
            else:
                found["l1"] = options.l1_loss * losses.weighted_l1(y, target, weight)
                found["gradient"] = options.l1_loss * losses.gradient_l1(y, target, weight)
        if self.perceptual is not None:
            # At half size: the whole would be too large, a quarter gives blurred results.
            distance = self.perceptual(F.avg_pool2d(y, 2), F.avg_pool2d(target, 2)).mean()
            found["lpips"] = options.perc_loss * losses.PUBLISHED_BATCH * distance
        if self.is_judged:
            found |= self.judged_losses(y, batch)
        if masks and options.msk_loss:
            found["mask"] = options.msk_loss * losses.mask_excess(masks, batch["degree"])
        return found

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
