"""A network learns to paint pixel by pixel, from patches of a few painted frames or of many painted photos (Texler et
al., 2020, Sec. 3)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from model import checkpoints
from model.common.tensors import image_grid
from model.training import losses
from model.training.data.sampling import Batch
from model.training.judged import JudgedTrainer, StrokeJudge
from model.training.options import TrainOptions
from model.training.sources import StoredPairs
from model.translator import Translator

LARGEST_CELL = 384  # side of a picture in previews


class Translation(JudgedTrainer):
    """L1, perceptual and adversarial losses of patches; the discriminator's squared errors."""

    discrimination = staticmethod(losses.square_discrimination)
    adversarial = staticmethod(losses.square_adversarial)
    betas = (0.9, 0.999)
    weight_decay = 0.0

    def __init__(self, options: TrainOptions, accelerator: Accelerator, source: StoredPairs):
        torch.manual_seed(options.seed)
        network = Translator(replace(options.recipe.network, eye_distance=source.eye_distance))
        if options.init_path and not options.resume:
            checkpoints.fill_pixel_network(options.init_path, network)
        super().__init__(options, accelerator, source, network)
        if options.adv_loss:
            self.add_judge(StrokeJudge(options.recipe.discriminator_width))
        if options.perc_loss:
            self.add_perceptual()

    def passes(self, network: Translator, batch: Batch) -> Tensor:
        """Paintings `[B, 3, H, W]`, float32."""
        return network(batch["x"]).float()

    def learn(self, batch: Batch) -> dict[str, float]:
        y = self.student(batch)
        values = self.teach_judge(y, batch) if self.is_judged else {}
        found = {"l1": self.options.l1_loss * (y - batch["y"]).abs().mean()}
        if self.options.grec_loss:
            found["mse"] = self.options.grec_loss * (y - batch["y"]).square().mean()
        if self.perceptual is not None:
            found["perceptual"] = self.options.perc_loss * self.perceptual(y, batch["y"]).mean()
        if self.is_judged:
            found |= self.judged_losses(y, batch)
        return values | self.descend(self.optimizer, found)

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo or frame | painting | result of the average; the mean L1 in levels of 255."""
        batch = self.held_out
        with self.accelerator.autocast():
            y = torch.cat([self.passes(self.ema, {"x": x[None]}) for x in batch["x"]])  # whole pictures may be large
        metrics = {"held_out_l1": (y - batch["y"]).abs().mean().item() * 127.5}
        return image_grid([batch["x"], batch["y"], y], min(max(batch["x"].shape[-2:]), LARGEST_CELL)), metrics

    def file_name(self, suffix: str = "") -> str:
        return f"translator_{suffix}.pt" if suffix else "translator.pt"

    def write_weights(self, path: Path) -> None:
        checkpoints.save_pixel_network(path, self.ema)
