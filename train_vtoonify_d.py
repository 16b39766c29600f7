"""Train a VToonify-D on stored pairs (photo, cartoon).

    python generate_data.py --teacher drawn --style film --photos FOLDER --out pairs
    python train_vtoonify_d.py --pairs pairs --name mystyle
    python style_transfer.py --ckpt checkpoint/mystyle/vtoonify_s_d.pt --content photo.jpg
"""

from model import cli
from model.training.loop import train
from model.training.options import TrainOptions


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    options = cli.parse(TrainOptions, __doc__)
    print(f"The trained model is {train(options)}.")


if __name__ == "__main__":
    cli.run(main)
