"""Train a VToonify-T: one collection style.

    python train_vtoonify_t.py --pretrain --iter 30000 --batch 1 --finetunegan_path G1.pt --name mine
    python train_vtoonify_t.py --iter 2000 --batch 4 --finetunegan_path G1.pt --name mine
    python style_transfer.py --ckpt checkpoint/mine/vtoonify.pt --content photo.jpg

Under `torchrun --nproc_per_node=8` or `accelerate launch`, the same commands use several GPUs.
"""

from model.common import cli
from model.training.options import ToonifyOptions


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    options = cli.parse(ToonifyOptions, __doc__)
    from model.training.train import train  # it loads torch, which a wrong option should not wait for

    if result := train(options):
        print(f"The trained model is {result}.")


if __name__ == "__main__":
    cli.run(main)
