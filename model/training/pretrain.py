"""Encoder pre-training: the encoder learns to hand over what the generator's low-resolution half would (eq. 1, 8)."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from model import checkpoints
from model.common.tensors import image_grid
from model.training import losses
from model.training.data.pair import Pair
from model.training.student import EncoderStudent
from model.training.trainer import Run


class Pretraining(Run):
    """`‖E(x) - f_G1(w)‖²` for feature and skip image at the structure size."""

    def make_student(self) -> nn.Module:
        return EncoderStudent(self.network)

    def learn(self, pair: Pair) -> dict[str, float]:
        feature, skip = self.student(pair)
        return self.descend(self.optimizer, losses.encoder_error(feature, skip, pair["feature"], pair["skip"]))

    @torch.no_grad()
    def sheet(self, pair: Pair) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | the teacher's skip image | the encoder's; errors of the average."""
        with self.engine.autocast():
            encoded = self.ema.encode(pair["x"], pair["w_plus"], pair["degree"])
        feature, skip = encoded.feature.float(), encoded.skip.float()
        found = losses.encoder_error(feature, skip, pair["feature"], pair["skip"])
        figures = {f"held_out_{name}": value.item() for name, value in found.items()}
        return image_grid([pair["x"][:, :3], pair["skip"], skip]), figures

    def file_name(self, step: int | None = None) -> str:
        return "pretrain.pt" if step is None else f"pretrain-{step:05d}.pt"

    def write_weights(self, path: Path) -> None:
        checkpoints.save_encoder_pretrain(path, self.ema)
