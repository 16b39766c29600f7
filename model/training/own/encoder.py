"""Train an encoder of faces for a generator of one's own: an aligned face becomes codes in z+, as by pSp.

    python -m model.training.own.encoder --stylegan_path mine/generator.pt --config tiny --out mine/encoder.pt
    python -m model.training.own.encoder --stylegan_path mine/generator.pt --config tiny --data faces --out
    mine/encoder.pt

It learns from what the generator draws, whose codes are known: the codes it finds are to mean the same in w, and to
give the same picture. With --data, there is a photo to every four of them, of which only the picture can be compared.
The published generators have published encoders (pSp, e4e) and need none of this. Ctrl-C keeps the state, from which
--resume goes on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tensors import image_grid
from model.config import EncoderConfig, GeneratorConfig
from model.psp import PSPEncoder
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.options import BACKBONES, RECIPES, SMALLEST_RATE, Recipe, RunOptions, ToonifyOptions
from model.training.own.critic import Critic
from model.training.own.invert import resized
from model.training.sources import FIRST_HELD_OUT, PREVIEW_ROWS
from model.training.train import run
from model.training.trainer import Trainer, mean_losses

MIXING = 0.5  # share of the codes whose rows are of two: the rows of a photo's code differ, too
MEASURED = 1024  # codes that the size of w is measured with
CALIBRATION_BATCH = 32  # pictures that starting weights are measured with
COMPARED_SHARE = 4  # one in so many pictures is drawn again, which takes most of the time
BLOCKS = (1, 2, 3, 1)  # residual blocks of the stages of a small encoder
W_WEIGHT, PICTURE_WEIGHT, CRITIC_WEIGHT, SIZE_WEIGHT = 1.0, 1.0, 1.0, 0.1


@dataclass
class Options(RunOptions):
    """Options of the command line."""

    stylegan_path: str = option(ToonifyOptions.stylegan_path, "StyleGAN2 whose codes are to be found", free=True)
    data: str | None = option(None, "folder of aligned photos to learn from, too", metavar="FOLDER", free=True)
    out: str = option("checkpoint/encoder_own.pt", "file of the result, for --encoder_path", free=True)
    iter: int = option(2000, "last training step", least=1, free=True)
    batch: int = option(16, "pictures that are computed at a time, for each process", least=4, free=True)
    accumulate: int = option(1, "such batches in a step", least=1, free=True)
    lr: float = option(1e-3, "highest learning rate", least=SMALLEST_RATE, free=True)
    width: int = option(16, "channels of the first stage; each other stage has twice as many", least=1, most=128)
    face_size: int = option(64, "pixels a side of the faces that it takes: a power of two", least=32, most=256)
    config: str = option("published", "sizes of the generator", choices=BACKBONES["toonify"])
    name: str = option("encoder_own", "name of the run")
    precision: str = option("fp32", "number format of the networks", choices=["auto", "bf16", "fp32"], free=True)

    @property
    def recipe(self) -> Recipe:
        """Sizes of the generator; a rate that rises and sinks again, and an average that starts young."""
        return replace(RECIPES[self.config], from_scratch=True, young_average=True)

    def encoder_config(self, generator: GeneratorConfig) -> EncoderConfig:
        """Sizes of the encoder."""
        widths = tuple(self.width << stage for stage in range(4))
        return EncoderConfig(self.face_size, generator.w_layers, generator.style_dim, widths, BLOCKS)

    def resolved(self) -> Self:
        """A copy in which every value is known."""
        return self

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        super().check()
        if self.face_size.bit_count() != 1:
            raise InputError(f"--face_size is {self.face_size}: give a power of two.")
        if self.batch % COMPARED_SHARE:
            raise InputError(f"--batch is {self.batch}: give a multiple of {COMPARED_SHARE}.")
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")


class EncoderTrainer(Trainer):
    """An encoder that learns to invert a frozen generator. Its batch norms are measured once, on the generator's
    pictures, and then kept: so a picture's code depends on no other picture, and on no number of processes."""

    shares_gradients = True

    def __init__(self, options: Options, accelerator: Accelerator):
        sizes, device = options.recipe.network.generator, accelerator.device
        self.photos = PictureFolder(options.data, sizes.size) if options.data else None
        self.data = {"photos": self.photos.names if self.photos else []}
        generator = checkpoints.load_generator(options.stylegan_path, sizes)
        self.generator = generator.requires_grad_(False).eval().to(device)
        discriminator = checkpoints.load_discriminator(options.stylegan_path, sizes)
        self.critic = None if discriminator is None else Critic(discriminator).to(device)
        torch.manual_seed(options.seed)
        network = PSPEncoder(options.encoder_config(sizes)).to(device).eval()
        self._begin(network, options.seed)
        super().__init__(options, accelerator, network)
        self.in_state = list(network.state_dict())
        self.optimizer = accelerator.prepare(
            torch.optim.Adam([{"params": list(network.parameters()), "lr_factor": 1.0}], options.lr, betas=(0.9, 0.99))
        )

    @torch.no_grad()
    def _begin(self, network: PSPEncoder, seed: int) -> None:
        """Starting weights whose codes vary with the picture and are as large as normal numbers: random ones, scaled by
        what becomes of some pictures. Sets the batch norms, and learns how large w is."""
        config, device = self.generator.config, next(network.parameters()).device
        rng = np.random.default_rng((seed, FIRST_HELD_OUT))
        z = torch.from_numpy(rng.standard_normal((MEASURED, config.style_dim), dtype=np.float32)).to(device)
        w = self.generator.mapping(z)
        self.w_size = w.var(0).mean()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean of all that is seen
        codes = w[:CALIBRATION_BATCH, None].repeat(1, config.w_layers, 1)
        pictures = self.generator(codes, layer_noise(config, range(CALIBRATION_BATCH), device))
        pictures = resized(pictures, network.config.face_size)
        network.train()(pictures)
        found = network.eval()(pictures)
        for head, codes in zip(network.styles, found.unbind(1), strict=True):
            deviation = codes.std(0).mean()
            head.linear.weight.div_(deviation)
            head.linear.bias.copy_(-codes.mean(0) / deviation)

    def _draw(self, numbers: range) -> tuple[Tensor, list[Tensor]]:
        """Codes `[B, layers, D]` in w+ and noise of samples, each of which follows from the seed and its number."""
        config, device = self.generator.config, self.accelerator.device
        rngs = [np.random.default_rng((self.options.seed, number)) for number in numbers]
        z = np.stack([rng.standard_normal((2, config.style_dim), dtype=np.float32) for rng in rngs])
        cuts = [rng.integers(1, config.w_layers) if rng.random() < MIXING else config.w_layers for rng in rngs]
        seeds = [int(rng.integers(2**63)) for rng in rngs]
        one, other = self.generator.mapping(torch.from_numpy(z).to(device)).unbind(1)
        is_one = torch.arange(config.w_layers)[None] < torch.tensor(cuts)[:, None]
        codes = torch.where(is_one[..., None].to(device), one[:, None], other[:, None])
        return codes, layer_noise(config, seeds, device)

    def take_step(self) -> dict[str, float]:
        """Gradients of all batches of the step, and a step of the optimiser."""
        found, accelerator, options = [], self.accelerator, self.options
        photos = options.batch // COMPARED_SHARE
        for number in range(options.accumulate):
            first = (self.step * options.accumulate + number) * accelerator.num_processes + accelerator.process_index
            with accelerator.accumulate(self.network):
                loss = self._of_drawn(range(first * options.batch, (first + 1) * options.batch))
                if self.photos:
                    loss |= self._of_photos(first, photos)
                found.append(self.descend(self.optimizer, loss))
        return mean_losses(found)

    def _of_drawn(self, numbers: range) -> dict[str, Tensor]:
        with torch.no_grad():
            w_plus, noise = self._draw(numbers)
            few = self.options.batch // COMPARED_SHARE
            parts = [slice(i, i + few) for i in range(0, len(w_plus), few)]  # a CPU is faster on little memory
            pictures = torch.cat([self.generator(w_plus[part], [layer[part] for layer in noise]) for part in parts])
        z, codes = self._codes(self.network, pictures)
        found = {"w": W_WEIGHT * F.mse_loss(codes, w_plus) / self.w_size, "size": SIZE_WEIGHT * size_of(z)}
        again = slice(None, None, COMPARED_SHARE)
        result = self._picture(codes[again], [layer[again] for layer in noise])
        return found | self._likeness(result, pictures[again], "")

    def _of_photos(self, first: int, count: int) -> dict[str, Tensor]:
        numbers = range(first * count, (first + 1) * count)
        rngs = [np.random.default_rng((self.options.seed, 1, number)) for number in numbers]
        photos = torch.cat([self.photos.draw(rng, 1) for rng in rngs]).to(self.accelerator.device)
        noise = layer_noise(self.generator.config, [int(rng.integers(2**63)) for rng in rngs], photos.device)
        z, codes = self._codes(self.network, photos)
        result = self._picture(codes, noise)
        return {"size of photos": SIZE_WEIGHT * size_of(z)} | self._likeness(result, photos, " of photos")

    def _codes(self, network: PSPEncoder, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Codes in z+ and in w+."""
        with self.accelerator.autocast():
            z = network.style_codes(resized(pictures, network.config.face_size)).float()
            return z, self.generator.mapping(z)

    def _picture(self, codes: Tensor, noise: list[Tensor]) -> Tensor:
        with self.accelerator.autocast():
            return self.generator(codes, noise).float()

    def _likeness(self, result: Tensor, wanted: Tensor, of: str) -> dict[str, Tensor]:
        """Of pictures: squared difference, and that of the critic's features where the file has a discriminator."""
        found = {f"picture{of}": PICTURE_WEIGHT * F.mse_loss(result, wanted)}
        if self.critic is not None:
            with self.accelerator.autocast():
                found[f"critic{of}"] = CRITIC_WEIGHT * self.critic(result, wanted).mean()
        return found

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Picture | what the generator makes of its codes, and with --data the same of photos; and the errors of held
        out pictures, that of codes in parts of their variance."""
        w_plus, noise = self._draw(range(FIRST_HELD_OUT, FIRST_HELD_OUT + PREVIEW_ROWS))
        pictures = self.generator(w_plus, noise)
        codes = self._codes(self.ema, pictures)[1]
        result = self._picture(codes, noise)
        columns = [pictures, result]
        if self.photos:
            photos = torch.stack([self.photos[n % len(self.photos.paths)] for n in range(PREVIEW_ROWS)])
            columns += [photos, self._picture(self._codes(self.ema, photos.to(pictures.device))[1], noise)]
        error = {"held_out_w": F.mse_loss(codes, w_plus) / self.w_size}
        error["held_out_picture"] = F.mse_loss(result, pictures)
        return image_grid(columns), {name: value.item() for name, value in error.items()}

    def publish(self) -> Path:
        """Write the average."""
        checkpoints.save_encoder(self.options.out, self.ema)
        return Path(self.options.out)


def size_of(z: Tensor) -> Tensor:
    """How far codes are from those of normal numbers in size, of which the mapping network takes no notice."""
    return (z.square().mean(-1) - 1).square().mean()


def train_encoder(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    return run(options.resolved(), lambda accelerator: EncoderTrainer(options, accelerator))


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    if result := train_encoder(cli.parse(Options, __doc__)):
        print(f"The encoder is {result}.")


if __name__ == "__main__":
    cli.run(main)
