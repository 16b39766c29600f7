"""Fine-tune a pre-trained DualStyleGAN to exemplars, 100 to 300 drawn faces (Yang et al., CVPR 2022, Sec. 3.3, stage
3).

    python -m model.training.own.destylize --data FOLDER --finetunegan_path finetuned.pt --out checkpoint/mine
    python -m model.training.own.dual_transfer --data FOLDER --codes checkpoint/mine --out checkpoint/mine/generator.pt
    python train_vtoonify_d.py --stylegan_path checkpoint/mine/generator.pt --exstyle_path
    checkpoint/mine/exstyle_code.npy

Steps that draw an exemplar from its own codes take turns with steps that draw random faces in its style. From
--save_begin on, generators are kept beside --out: look at the previews and choose. Ctrl-C keeps the state, from which
--resume goes on. When "real signs" in the log stays near 1, the discriminator knows the exemplars by heart: stop there.
"""

import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tensors import image_grid
from model.training import losses
from model.training.data.pictures import PictureFolder
from model.training.finetune import mixed_codes
from model.training.own import dual_losses
from model.training.own.codes import load_code_pairs
from model.training.own.destylize import own_rows
from model.training.own.dual import DualTrainer, DualTrainingOptions
from model.training.own.dual_pretrain import GENERATOR_KEY
from model.training.own.judges import load_features, load_identity
from model.training.own.sheet import small
from model.training.sources import FIRST_HELD_OUT, PREVIEW_ROWS
from model.training.train import run

JITTER = 0.1  # deviation of numbers added to exemplars in w+
KINDS = {"cartoon": (1.0, 0.015), "caricature": (4.0, 0.005), "anime": (1.0, 0.02), "other": (1.0, 0.01)}


@dataclass
class Options(DualTrainingOptions):
    """Options of the command line."""

    lengths: ClassVar = {"published": 1500}
    batches: ClassVar = {"published": 8}
    data: str = option("", "folder of the exemplars: aligned pictures", metavar="FOLDER", free=True)
    codes: str = option("", "folder with exstyle_code.npy and instyle_code.npy", metavar="FOLDER", free=True)
    pretrain_path: str = option("checkpoint/generator-pretrain.pt", "pre-trained DualStyleGAN", free=True)
    out: str = option("checkpoint/mine/generator.pt", "file of the result", free=True)
    kind: str = option("other", "kind of drawings, which sets the next two", choices=list(KINDS))
    id_loss: float | None = option(None, "weight of the loss that keeps who a face is (1; caricature 4)", least=0)
    reg_loss: float | None = option(None, "weight of the lengths of parameters (0.005 to 0.02)", least=0)
    save_begin: int = option(1000, "keep a generator with each state from this step on", least=1, free=True)
    name: str = option("dual_transfer", "name of the run")

    def resolved(self) -> "Options":
        """A copy in which every value is known."""
        known, defaults = super().resolved(), KINDS[self.kind]
        known.id_loss, known.reg_loss = (
            default if value is None else value
            for value, default in zip((self.id_loss, self.reg_loss), defaults, strict=True)
        )
        return known

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        self.missing("data", "codes")
        super().check()
        if Path(self.out).exists() and not self.resume and not self.measure:
            raise InputError(f"{self.out} already exists: give --out another file.")


class TransferTrainer(DualTrainer):
    """The third stage."""

    def __init__(self, options: Options, accelerator: Accelerator):
        sizes, device, path = options.recipe.network.generator, accelerator.device, options.pretrain_path
        self.pictures = PictureFolder(options.data, sizes.size)
        names = self.pictures.names
        extrinsic, intrinsic = (codes.to(device) for codes in load_code_pairs(options.codes, names, sizes))
        sums = [zlib.crc32(codes.cpu().numpy().tobytes()) for codes in (extrinsic, intrinsic)]
        self.data = {"pictures": names, "codes": sums}
        network = checkpoints.load_dualstylegan(path, sizes, GENERATOR_KEY)
        judge = checkpoints.load_discriminator(path, sizes)
        if judge is None:
            raise InputError(f"{path} has no discriminator (under 'd'): give the file of dual_pretrain.")
        self.features = load_features(options, path, sizes, device)
        self.arcface = load_identity(options, device) if options.id_loss else None
        super().__init__(options, accelerator, network, judge)
        self.intrinsic = intrinsic
        with torch.no_grad():
            self.exemplars = self.photos.mapping(extrinsic)

    @property
    def is_paired(self) -> bool:
        """Whether exemplars are drawn from their own codes in this step."""
        return self.step % 2 == 1

    def draw(self, rng: np.random.Generator, count: int) -> dict:
        """Exemplars, and the codes of their own faces, with random colours, or of random faces."""
        numbers = rng.integers(len(self.exemplars), size=count)
        pictures = torch.stack([self.pictures[number] for number in numbers]).to(self.exemplars)
        exemplar = self.exemplars[numbers]
        exemplar = exemplar + JITTER * self.normal(rng, *exemplar.shape)
        own = self.intrinsic[numbers].clone()
        own[:, own_rows(self.config)] = self.normal(rng, *own[:, own_rows(self.config)].shape)
        random = mixed_codes(self.photos, rng, count)
        w_plus = self.photos.mapping(own) if self.is_paired else random
        noise = self.noise(rng, count)
        return {"w_plus": w_plus, "exemplar": exemplar, "noise": noise, "pictures": pictures, "numbers": numbers}

    def real(self, rng: np.random.Generator, batch: dict) -> Tensor:
        return batch["pictures"]

    def terms(self, result: Tensor, batch: dict) -> dict[str, Tensor]:
        """The same codes, and one draw of them, make the result and the photo whose identity it is to keep."""
        with torch.no_grad():
            of_picture = self.features(batch["pictures"])
        of_result = self.features(result)
        found = {"style": dual_losses.style_term(of_result, of_picture)}
        if self.is_paired:
            found["pair"] = dual_losses.pair_term(of_result, of_picture)
        if self.arcface is not None:
            with torch.no_grad():
                photo = self.arcface(self.photos(batch["w_plus"], batch["noise"]))
            found["identity"] = self.options.id_loss * losses.identity(self.arcface(result), photo)
        if self.options.reg_loss:
            found["change"] = self.options.reg_loss * dual_losses.change_term(self.network.res.parameters())
        return found

    def save(self) -> None:
        """Write the state; from --save_begin on, the generator of each is kept."""
        super().save()
        if self.accelerator.is_main_process and self.options.save_begin <= self.step < self.options.iter:
            out = Path(self.options.out)
            checkpoints.save_weights(out.with_name(f"{out.stem}-{self.step:06d}{out.suffix}"), self.ema)

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Exemplar | photo of its intrinsic code | drawn from its own codes | another face | that in its style; how far
        the third column is from the first."""
        count = min(PREVIEW_ROWS, len(self.exemplars))
        rng = np.random.default_rng((self.options.seed, FIRST_HELD_OUT))
        pictures = torch.stack([self.pictures[number] for number in range(count)]).to(self.exemplars)
        own, random = self.photos.mapping(self.intrinsic[:count]), mixed_codes(self.photos, rng, count, 0.0)
        draws = partial(self.one_by_one, noise=self.noise(rng, count))
        styled = partial(draws, lambda w, exemplar, noise: self.ema(w, exemplar, self.weights, noise))
        exemplars = self.exemplars[:count]
        columns = [pictures, draws(self.photos, own), styled(own, exemplars), draws(self.photos, random)]
        columns.append(styled(random, exemplars))
        distance = (columns[2].clamp(-1, 1) - pictures).abs().mean().item()
        return image_grid([small(column) for column in columns]), {"exemplars_l1": 127.5 * distance}

    def publish(self) -> Path:
        """Write the average."""
        if self.accelerator.is_main_process:
            checkpoints.save_weights(self.options.out, self.ema)
        self.accelerator.wait_for_everyone()
        return Path(self.options.out)


def transfer(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options = options.resolved()
    print(options.told(), flush=True)
    return run(options, partial(TransferTrainer, options))


def main() -> None:
    """Parse the command line, fine-tune, and say where the result is."""
    if result := transfer(cli.parse(Options, __doc__)):
        print(f"The DualStyleGAN of the style is {result}.")


if __name__ == "__main__":
    cli.run(main)
