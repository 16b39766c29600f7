"""How a student for phones learns: as every network of pixels, and edges have to be sharp."""

from torch import Tensor

from model.mobile_unet import MobileUNet
from model.training.data.framed import SIDE
from model.training.data.sampling import Batch
from model.training.pixels import PixelTrainer
from model.training.sources import StoredPairs


class MobileTrainer(PixelTrainer):
    """The discriminator's wrong pictures are results and, with `edge_loss`, targets with blurred edges (CartoonGAN:
    Chen et al., 2018)."""

    file_stem = "mobile"
    cell = SIDE

    def build(self, options, source: StoredPairs) -> MobileUNet:
        return MobileUNet(options.recipe.network)

    def teach_judge(self, y: Tensor, batch: Batch) -> dict[str, float]:
        pictures = [y.detach(), batch["y"], *([batch["smooth"]] if "smooth" in batch else [])]
        fake, real, *smooth = (activations[-1] for activations in self.judge(pictures, batch))
        found = {"discriminator": self.options.adv_loss * self.discrimination(fake, real)}
        if smooth:
            found["edges"] = self.options.adv_loss * self.options.edge_loss * smooth[0].square().mean()
        return self.descend(self.discriminator_optimizer, found)
