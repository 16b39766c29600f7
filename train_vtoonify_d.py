"""Train a VToonify-D: exemplar styles and a style degree, from a DualStyleGAN or from drawn pairs.

    python train_vtoonify_d.py --pretrain --iter 30000 --batch 1 --stylegan_path generator.pt --name mine
    python train_vtoonify_d.py --iter 2000 --batch 4 --stylegan_path generator.pt --name mine

    python generate_data.py --teacher drawn --style film --photos FOLDER --out pairs
    python train_vtoonify_d.py --pairs pairs --name mystyle

Under `torchrun --nproc_per_node=8` or `accelerate launch`, the same commands use several GPUs.
"""

from model.common import cli
from model.training.options import DualOptions


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    options = cli.parse(DualOptions, __doc__)
    from model.training.train import train  # it loads torch, which a wrong option should not wait for

    if result := train(options):
        print(f"The trained model is {result}.")


if __name__ == "__main__":
    cli.run(main)
