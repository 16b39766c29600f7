"""Train a student for phones from pairs of generate_data.py: one style, 256×256 pixels, in a millisecond's arithmetic.

    python generate_data.py --teacher drawn --style ink --photos FOLDER --out pairs
    python -m model.mobile.student --pairs pairs --name phone
    python style_transfer.py --ckpt checkpoint/phone/mobile.pt me.jpg

`--losses` has the steps that a student gains by, each with those before it: pixel (L1), adversarial (perceptual loss
and a discriminator of patches), edges (the discriminator refuses pictures whose edges are blurred, too), all (photos
of other scales, tilts and light). Ctrl-C keeps the state, from which --resume goes on.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from accelerate import Accelerator

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.config import MOBILE_CLASSES
from model.training.options import PERCEPTUAL_HELP, RUN_NAME, SMALLEST_RATE, Recipe, StudentOptions

LOSSES = ("pixel", "adversarial", "edges", "all")
JUDGE_WIDTH = 16  # channels of the discriminator's first layer
JUDGED_FROM = 0.1  # share of the steps before the adversarial loss


@dataclass
class Options(StudentOptions):
    """Options of the command line."""

    name: str = option("phone", RUN_NAME)
    style: str = option("", "the style to learn, where --pairs hold several", metavar="STYLE")
    gmac: str = option(
        "0.5", "size: billions of multiplications for a picture of 256x256 pixels", choices=list(MOBILE_CLASSES)
    )
    losses: str = option("all", "what it learns by: each of these with those before it", choices=LOSSES)
    iter: int = option(6000, "last training step", least=1, free=True)
    batch: int = option(8, "pairs in a step, for each process", least=1, free=True)
    lr: float = option(1e-3, "learning rate", least=SMALLEST_RATE, free=True)
    l1_loss: float = option(1.0, "weight of L1 to the picture, more on eyes, brows, mouth and lines", least=0)
    perc_loss: float | None = option(None, f"weight of the perceptual loss: {PERCEPTUAL_HELP} (default: 1)", least=0)
    adv_loss: float | None = option(None, "weight of the adversarial loss (default: 0.05)", least=0)
    edge_loss: float | None = option(
        None, "weight, beside that of other wrong pictures, of those with blurred edges (default: 1)", least=0
    )
    init_path: str = option("", "finished student of the same size to start from", metavar="FILE", free=True)

    student: str = "mobile"

    @property
    def augmented(self) -> bool:
        """Whether photos are varied."""
        return self.losses == LOSSES[-1]

    @property
    def recipe(self) -> Recipe:
        return Recipe(
            MOBILE_CLASSES[self.gmac], discriminator_size=None, iter=self.iter, pretrain_iter=0, batch=self.batch,
            lr=self.lr, adv_loss=self.adv_loss, grec_loss=0.0, perc_loss=self.perc_loss, l1_loss=self.l1_loss,
            from_scratch=True, young_average=True, adv_begin=JUDGED_FROM, kinds=("drawn", "painted"),
            discriminator_width=JUDGE_WIDTH, any_perceptual=True,
        )  # fmt: skip

    def resolved(self) -> Self:
        """A copy in which every value is known. Raises InputError for a loss that `--losses` leaves out."""
        usual = {"perc_loss": (1, 1.0), "adv_loss": (1, 0.05), "edge_loss": (2, 1.0)}
        known = {}
        for name, (first, value) in usual.items():
            given, has_it = getattr(self, name), LOSSES.index(self.losses) >= first
            if given and not has_it:
                raise InputError(
                    f"--losses {self.losses} has no --{name}: leave it out, or add --losses {LOSSES[first]}."
                )
            known[name] = (value if given is None else given) if has_it else 0.0
        return replace(self, **known)

    def check(self) -> None:
        """Raise InputError for resolved values that cannot work."""
        super().check()
        if not self.pairs:
            raise InputError("--pairs is missing: write pairs of photo and picture with generate_data.py.")
        if self.edge_loss and not self.adv_loss:
            raise InputError("--edge_loss needs a discriminator: give --adv_loss more than 0, or --edge_loss 0.")


def train_student(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `model.training.train.run`."""
    import cv2

    from model.mobile.trainer import MobileTrainer
    from model.training.data.shards import index_pairs, list_styles
    from model.training.sources import StoredPairs
    from model.training.train import run

    cv2.setNumThreads(1)  # a process that is forked while OpenCV has threads can wait for their locks forever
    options = options.resolved()
    options.check()
    pairs = index_pairs(options.pairs)
    if options.style:
        if options.style not in (styles := list_styles(pairs)):
            raise InputError(f"{options.pairs[0]} has no style {options.style}: choose of {', '.join(styles)}.")
        pairs = [pair for pair in pairs if pair.style == options.style]

    def make_trainer(accelerator: Accelerator) -> MobileTrainer:
        return MobileTrainer(options, accelerator, StoredPairs(options, accelerator, pairs))

    return run(options, make_trainer)


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    if result := train_student(cli.parse(Options, __doc__)):
        print(f"The student is {result}.")


if __name__ == "__main__":
    cli.run(main)
