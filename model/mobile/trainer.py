"""How a student for phones learns: L1, perceptual and adversarial losses, and edges that have to be sharp."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from model import checkpoints
from model.common.tensors import image_grid
from model.mobile_unet import MobileUNet
from model.training import losses
from model.training.data.framed import SIDE
from model.training.data.sampling import Batch
from model.training.judged import JudgedTrainer, StrokeJudge
from model.training.sources import StoredPairs


class MobileTrainer(JudgedTrainer):
    """The discriminator's errors are squared (LSGAN: Mao et al., 2017); its wrong pictures are results and, with
    `edge_loss`, targets with blurred edges (CartoonGAN: Chen et al., 2018)."""

    discrimination = staticmethod(losses.square_discrimination)
    adversarial = staticmethod(losses.square_adversarial)
    betas = (0.9, 0.999)
    weight_decay = 0.0

    def __init__(self, options, accelerator: Accelerator, source: StoredPairs):
        torch.manual_seed(options.seed)
        network = MobileUNet(options.recipe.network)
        if options.init_path and not options.resume:
            checkpoints.fill_pixel_network(options.init_path, network)
        super().__init__(options, accelerator, source, network)
        if options.adv_loss:
            self.add_judge(StrokeJudge(options.recipe.discriminator_width))
        if options.perc_loss:
            self.add_perceptual()

    def passes(self, network: MobileUNet, batch: Batch) -> Tensor:
        """Pictures `[B, 3, 256, 256]`, float32."""
        return network(batch["x"]).float()

    def learn(self, batch: Batch) -> dict[str, float]:
        y = self.student(batch)
        values = self.teach_judge(y, batch) if self.is_judged else {}
        found = {"l1": self.options.l1_loss * (batch["weight"] * (y - batch["y"]).abs()).mean()}
        if self.perceptual is not None:
            found["perceptual"] = self.options.perc_loss * self.perceptual(y, batch["y"]).mean()
        if self.is_judged:
            found |= self.judged_losses(y, batch)
        return values | self.descend(self.optimizer, found)

    def teach_judge(self, y: Tensor, batch: Batch) -> dict[str, float]:
        pictures = [y.detach(), batch["y"], *([batch["smooth"]] if "smooth" in batch else [])]
        fake, real, *smooth = (activations[-1] for activations in self.judge(pictures, batch))
        found = {"discriminator": self.options.adv_loss * self.discrimination(fake, real)}
        if smooth:
            found["edges"] = self.options.adv_loss * self.options.edge_loss * smooth[0].square().mean()
        return self.descend(self.discriminator_optimizer, found)

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | picture | result of the average; the mean L1 in levels of 255."""
        batch = self.held_out
        with self.accelerator.autocast():
            y = self.passes(self.ema, batch)
        metrics = {"held_out_l1": (y.clamp(-1, 1) - batch["y"]).abs().mean().item() * 127.5}
        return image_grid([batch["x"], batch["y"], y], SIDE), metrics

    def file_name(self, suffix: str = "") -> str:
        return f"mobile_{suffix}.pt" if suffix else "mobile.pt"

    def write_weights(self, path) -> None:
        checkpoints.save_pixel_network(path, self.ema)
