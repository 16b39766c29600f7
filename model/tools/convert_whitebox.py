"""Make a file of the published White-box cartoonisation network, without TensorFlow.

    python -m model.tools.convert_whitebox saved_models/model-33999

The checkpoint is in test_code/saved_models of https://github.com/SystemErrorWang/White-box-Cartoonization: download
model-33999.index and model-33999.data-00000-of-00001. Its licence is CC BY-NC-SA 4.0, non-commercial. The result goes
to checkpoint/whitebox/whitebox.pt, where `--ckpt whitebox` looks for it.
"""

from dataclasses import dataclass
from pathlib import Path

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.styles.translators.presets import WHITEBOX_FILE

EXPECTED = "the published checkpoint of White-box cartoonisation"
SCOPE = "generator"
OF_TRAINING = ("/Adam", "/Adam_1")  # what names of the optimiser's state end in


@dataclass
class ConvertOptions:
    """Options of this program."""

    checkpoint: list[str] = option(
        [], "the checkpoint, as a path without endings, or one of its files", nargs="+", bare=True
    )
    out: Path = option(CHECKPOINTS / WHITEBOX_FILE, "file to write", metavar="FILE")


def convert(checkpoint: str | Path, out: Path) -> None:
    """Write `out`. Raises InputError for another checkpoint."""
    import torch

    from model import checkpoints
    from model.common import weight_files as files
    from model.common.tensorflow_files import checkpoint_prefix, read_checkpoint
    from model.whitebox import Whitebox, from_tensorflow

    arrays = read_checkpoint(checkpoint, EXPECTED)
    kept = {name: value for name, value in arrays.items() if not name.endswith(OF_TRAINING)}
    weights = from_tensorflow({name: torch.tensor(value) for name, value in kept.items()}, SCOPE)
    network = Whitebox()
    files.fill(network, weights, checkpoint_prefix(checkpoint), EXPECTED)
    checkpoints.save_whitebox(out, network)


def main() -> None:
    options = cli.parse(ConvertOptions, __doc__)
    if len(options.checkpoint) != 1:
        raise InputError("Name one checkpoint, such as saved_models/model-33999.")
    convert(options.checkpoint[0], options.out)
    print(f"{options.out} written: try python style_transfer.py me.jpg --ckpt whitebox")


if __name__ == "__main__":
    cli.run(main)
