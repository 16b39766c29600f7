"""Fine-tune a StyleGAN2 of photos to cartoon faces, the first step of Toonify (Pinkney & Adler, 2020).

    python -m model.training.finetune --data faces --out checkpoint/mine/finetune.pt --name finetune_mine
    python train_vtoonify_t.py --pretrain --finetunegan_path checkpoint/mine/finetune.pt --name mine

The pictures are to be aligned as those that the generator was trained with. It learns against a discriminator, the one
in its file or a new one (Karras et al., 2020, StyleGAN2). Ctrl-C keeps the state, from which --resume goes on.
"""

from pathlib import Path

import torch
from accelerate import Accelerator

from model import checkpoints
from model.common import cli
from model.common.errors import InputError
from model.discriminator import Discriminator
from model.training.data.pictures import PictureFolder
from model.training.finetune.gan import GANTrainer
from model.training.finetune.options import Options
from model.training.train import run


def finetune(options: Options) -> Path | None:
    """Take all steps; returns the file with the average of the generator. Interrupts and errors as for `run`."""
    options = options.resolved()
    if cli.processes()[1] > 1:
        raise InputError("Fine-tuning runs in one process: start it without torchrun, with a larger --accumulate.")
    return run(options, lambda accelerator: make_trainer(options, accelerator))


def make_trainer(options: Options, accelerator: Accelerator) -> GANTrainer:
    """Networks and pictures from the files that the options name."""
    pictures = PictureFolder(options.data, options.generator.size)
    base = checkpoints.load_generator(options.stylegan_path, options.generator)
    discriminator = checkpoints.load_discriminator(options.stylegan_path, options.generator)
    if discriminator is None:
        torch.manual_seed(options.seed)
        discriminator = Discriminator(None, options.generator.size, options.generator.channels)
    return GANTrainer(options, accelerator, base, discriminator, pictures)


def main() -> None:
    """Parse the command line, fine-tune, and say where the result is."""
    if result := finetune(cli.parse(Options, __doc__)):
        print(f"The fine-tuned generator is {result}.")


if __name__ == "__main__":
    cli.run(main)
