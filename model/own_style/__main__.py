"""Make a style of your own: from one picture, or a hundred, to a VToonify that stylises clips.

    python -m model.own_style --picture art.png --name mine
    python -m model.own_style --pictures FOLDER --name mine [--kind dual]
    python style_transfer.py --ckpt mine clip.mp4

The stages are programs of their own: faces are cut out, inverted, a StyleGAN2 of photos is tuned to them, and a
VToonify learns from it. Each shows its speed and memory before it begins. Ctrl-C stops; the same command goes on. Look
at the sheet before the long part: --until sheet. All files are in checkpoint/NAME/.
"""

from model.common import cli
from model.own_style.options import Options
from model.own_style.run import make_style


def main() -> None:
    """Parse the command line, go through the stages, and say how to use the style."""
    make_style(cli.parse(Options, __doc__))


if __name__ == "__main__":
    cli.run(main)
