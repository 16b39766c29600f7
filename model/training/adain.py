"""Train a decoder of AdaIN (Huang and Belongie, ICCV 2017): any picture as a style, as of now on VGG-19's features. The
more kinds of pictures --style_images has, the more kinds it can paint.

    python -m model.training.adain --photos A --style_images B --vgg vgg_normalised.pth --out mine.pt
    python style_transfer.py --ckpt mine.pt --style_image painting.jpg me.jpg

VGG-19 is the published vgg_normalised.pth or torchvision's, whose filters are scaled to a mean activation of one first.
The result holds it, too. Ctrl-C keeps the state, from which --resume goes on.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from model import checkpoints
from model.adain import MULTIPLE, Adain, AdainEncoder, restyle, statistics_of
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS, vgg_on_disk
from model.common.tensors import image_grid
from model.styles.translators.presets import ADAIN_FILES, ADAIN_PLACE
from model.training.adversarial import PhaseTrainer
from model.training.train import run
from model.training.trainer import weight_sum
from model.training.unpaired import memory
from model.training.unpaired.adain import STYLE_WEIGHT, decoder_terms, normalise
from model.training.unpaired.trainer import UnpairedOptions, UnpairedTrainer, one_by_one

LARGER = 2  # sides of pictures / sides of what is cut out of them
DECAY = 5e-5  # of the learning rate, by step
CALIBRATED_ON = 16  # pictures of each folder that activations are measured with


@dataclass
class Options(UnpairedOptions):
    """Options of the command line."""

    out: str = option("checkpoint/adain_own.pt", "file of the result, VGG-19 and decoder, for --ckpt", free=True)
    iter: int = option(160_000, "last training step", least=1, free=True)
    batch: int = option(8, "pictures of each folder that are computed at a time, for each process", least=1, free=True)
    vgg: str = option(
        "", "VGG-19: vgg_normalised.pth or torchvision's file (default: the first of both that is in its place)",
        metavar="FILE", free=True,
    )  # fmt: skip
    style: float = option(STYLE_WEIGHT, "weight of the loss of the style", least=0)
    name: str = option("adain", "name of the run")

    @property
    def vgg_file(self) -> Path | None:
        """The file of --vgg, the published one or torchvision's where they are on disk; None where none is."""
        published = CHECKPOINTS / ADAIN_FILES[0]
        if self.vgg:
            return Path(self.vgg)
        return published if published.is_file() else vgg_on_disk(19)

    def check(self) -> None:
        super().check()
        if self.size % MULTIPLE:
            raise InputError(f"--size is {self.size}: give a multiple of {MULTIPLE}.")
        if self.vgg_file is None:
            where = f"{ADAIN_PLACE}vgg_normalised.pth or https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
            raise InputError(f"--vgg is missing, without which there is nothing to decode: download {where}.")

    def tell_memory(self) -> None:
        """Print what a step takes, or raise InputError where that is clearly too much."""
        with torch.device("meta"):
            network = Adain()
            photo, style = torch.empty(2, self.batch, 3, self.size, self.size)
        network.encoder.requires_grad_(False)
        advice = "lower --batch with a larger --accumulate, or --size, or add --precision bf16"
        memory.tell_memory(self, network, network.decoder, lambda: decoder_terms(network, photo, style), advice)


class AdainTrainer(UnpairedTrainer, PhaseTrainer):
    """The decoder, whose average is the result; the encoder stays as it is."""

    in_parts = (*PhaseTrainer.in_parts, "warned", "encoder")
    losses = ("pictures",)
    advice = "a higher --style may help"

    def __init__(self, options: Options, accelerator: Accelerator):
        self.read_folders(options, options.size * LARGER, faces=False)
        torch.manual_seed(options.seed)
        networks = Adain().to(accelerator.device)
        self.encoder = networks.encoder.requires_grad_(False).eval()
        is_normalised = checkpoints.fill_adain_encoder(options.vgg_file, self.encoder)
        self.data["VGG-19"] = f"{weight_sum(self.encoder.parameters()):.6g}"
        super().__init__(options, accelerator, networks.decoder)
        if not is_normalised:
            self._normalise()
        self.networks = networks
        group = {"params": list(self.network.parameters()), "lr_factor": 1.0}
        self.optimizer = accelerator.prepare(torch.optim.Adam([group], options.lr))

    def _normalise(self) -> None:
        """Scale torchvision's filters by what photos and pictures of the style let them find."""
        rng, size = np.random.default_rng(self.options.seed), self.options.size
        pictures = [folder.draw(rng, CALIBRATED_ON) for folder in (self.photos, self.styles)]
        pictures = torch.cat(pictures).view(-1, 3, size, size).to(self.accelerator.device)
        normalise(self.encoder, unit(pictures))
        if self.accelerator.is_main_process:
            print("torchvision's VGG-19: its filters were scaled to a mean activation of one", flush=True)

    def learning_rate(self) -> float:
        return self.options.lr / (1 + DECAY * self.step)

    def take_step(self) -> dict[str, float]:
        return self.phase(self.optimizer, "pictures", self._decoding)

    def _decoding(self, rng: np.random.Generator) -> dict[str, Tensor]:
        photo, style = (unit(self.drawn(folder, rng)) for folder in (self.photos, self.styles))
        with self.accelerator.autocast():
            terms = decoder_terms(self.networks, photo, style)
        return {"content": terms["content"], "style": self.options.style * terms["style"]}

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | picture of the style | the photo in it | the photo decoded as it is, by the average; both losses,
        without weights, and how far results are from the photos, in levels of 255."""
        photos, styles = self.shown()
        whole = self._whole(self.encoder)
        plain, results, content, style = one_by_one(partial(self._shown_by, whole), photos, styles)
        found = {"held_out_content": content.mean().item(), "held_out_style": style.mean().item()}
        found["held_out_change"] = self.change(photos, results)
        return image_grid([photos, styles, results, plain]), found

    def _shown_by(self, network: Adain, photo: Tensor, style: Tensor) -> tuple[Tensor, ...]:
        with self.accelerator.autocast():
            features = network.encoder(unit(photo))
            wanted = restyle(features, statistics_of(network.encoder(unit(style))))
            plain, result = (2 * network.decoder(each).float() - 1 for each in (features, wanted))
            terms = decoder_terms(network, unit(photo), unit(style))
        return plain, result, terms["content"].float()[None], terms["style"].float()[None]

    def _whole(self, encoder: AdainEncoder) -> Adain:
        """With the average of the decoder."""
        with torch.device("meta"):
            network = Adain()
        network.encoder, network.decoder = encoder, self.ema
        return network

    def publish(self) -> Path:
        """Write VGG-19 and the average."""
        if self.accelerator.is_main_process:
            checkpoints.save_own_adain(self.options.out, self._whole(self.encoder))
        self.accelerator.wait_for_everyone()
        return Path(self.options.out)


def unit(pictures: Tensor) -> Tensor:
    """RGB in [-1, 1] to [0, 1]."""
    return pictures / 2 + 0.5


def train_adain(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options.check()
    options.tell_memory()
    return run(options, partial(AdainTrainer, options))


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    if result := train_adain(cli.parse(Options, __doc__)):
        print(f"The AdaIN is {result}: python style_transfer.py --ckpt {result} --style_image PICTURE me.jpg")


if __name__ == "__main__":
    cli.run(main)
