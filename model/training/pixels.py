"""What both students that paint pixel by pixel share: L1, perceptual and adversarial losses of their pictures."""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common.tensors import image_grid
from model.training import losses
from model.training.data.sampling import Batch
from model.training.judged import JudgedTrainer, StrokeJudge
from model.training.sources import StoredPairs


class PixelTrainer(JudgedTrainer):
    """A network from pictures `[B, 3, H, W]` to pictures of the same size; the discriminator's errors are squared
    (LSGAN: Mao et al., 2017). A subclass says what it is built of and what its file is called."""

    discrimination = staticmethod(losses.square_discrimination)
    adversarial = staticmethod(losses.square_adversarial)
    betas = (0.9, 0.999)
    weight_decay = 0.0
    file_stem: str
    cell: int  # side of a picture in previews

    def __init__(self, options, accelerator: Accelerator, source: StoredPairs):
        torch.manual_seed(options.seed)
        network = self.build(options, source)
        if options.init_path and not options.resume:
            checkpoints.fill_pixel_network(options.init_path, network)
        super().__init__(options, accelerator, source, network)
        if options.adv_loss:
            self.add_judge(StrokeJudge(options.recipe.discriminator_width))
        if options.perc_loss:
            self.add_perceptual()

    def build(self, options, source: StoredPairs) -> nn.Module:
        """The network, with random weights."""
        raise NotImplementedError

    def passes(self, network: nn.Module, batch: Batch) -> Tensor:
        """Pictures `[B, 3, H, W]`, float32."""
        return network(batch["x"]).float()

    def learn(self, batch: Batch) -> dict[str, float]:
        y = self.student(batch)
        values = self.teach_judge(y, batch) if self.is_judged else {}
        found = self.distances(y, batch)
        if self.perceptual is not None:
            found["perceptual"] = self.options.perc_loss * self.perceptual(y, batch["y"]).mean()
        if self.is_judged:
            found |= self.judged_losses(y, batch)
        return values | self.descend(self.optimizer, found)

    def distances(self, y: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Weighted losses of results `y` by their distance to the batch's targets, pixel by pixel."""
        return {"l1": self.options.l1_loss * (batch.get("weight", 1.0) * (y - batch["y"]).abs()).mean()}

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo or frame | picture | result of the average; the mean L1 in levels of 255."""
        batch = self.held_out
        with self.accelerator.autocast():
            y = torch.cat([self.passes(self.ema, {"x": x[None]}) for x in batch["x"]])  # whole pictures may be large
        metrics = {"held_out_l1": (y.clamp(-1, 1) - batch["y"]).abs().mean().item() * 127.5}
        return image_grid([batch["x"], batch["y"], y], min(max(batch["x"].shape[-2:]), self.cell)), metrics

    def file_name(self, suffix: str = "") -> str:
        return f"{self.file_stem}_{suffix}.pt" if suffix else f"{self.file_stem}.pt"

    def write_weights(self, path: Path) -> None:
        checkpoints.save_pixel_network(path, self.ema)
