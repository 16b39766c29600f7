"""A network learns to paint pixel by pixel, from patches of a few painted frames or of many painted photos (Texler et
al., 2020, Sec. 3)."""

from dataclasses import replace

from torch import Tensor

from model.training.data.sampling import Batch
from model.training.options import TrainOptions
from model.training.pixels import PixelTrainer
from model.training.sources import StoredPairs
from model.translator import Translator


class Translation(PixelTrainer):
    """The network of patches, which remembers how large the faces were that it learnt from."""

    file_stem = "translator"
    cell = 384

    def build(self, options: TrainOptions, source: StoredPairs) -> Translator:
        return Translator(replace(options.recipe.network, eye_distance=source.eye_distance))

    def distances(self, y: Tensor, batch: Batch) -> dict[str, Tensor]:
        found = super().distances(y, batch)
        if self.options.grec_loss:
            found["mse"] = self.options.grec_loss * (y - batch["y"]).square().mean()
        return found
