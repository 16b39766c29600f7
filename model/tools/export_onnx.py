"""Write a model, in one style and at one degree, as an ONNX file for other runtimes.

    python -m model.tools.export_onnx --style_id ink --out ink.onnx
    python -m model.tools.export_onnx --ckpt cartoon --content me.jpg --precision fp16 --out me.onnx

The file takes `frame`, float32 [1, 3, H, W], RGB in [-1, 1], H and W multiples of 8; of models with face parsing
[1, 22, H, W], with the parser's logits divided by 16 behind the colours. It gives `picture`, float32 [1, 3, 4H, 4W],
RGB in [-1, 1], not clamped. It was compared with PyTorch, at another size than it was traced with, before it appeared.

Needs the packages onnx, onnxscript and onnxruntime."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from model.common import cli, onnx_files
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.onnx_files import DTYPES, TOLERANCES
from model.common.sizes import INPUT_MULTIPLE
from model.folded import FoldedVToonify
from model.inference.stylizer import Stylizer
from model.media.files import PhotoSource, open_frames
from model.media.sample import sample_portrait

TRACED, CHECKED = (64, 80), (104, 48)  # heights and widths of the frames that are traced and compared


@dataclass
class Options:
    ckpt: str = option("starter", "preset (style_transfer.py --list_styles) or file of a VToonify model")
    style_id: str | None = option(None, "style of a D model, as a number or by name; nothing: the preset's own")
    style_degree: float | None = option(None, "style degree of a D model, 0 (photo) to 1; nothing: the preset's own")
    color_transfer: bool = option(False, "take the colours of the style, too (D models)")
    content: str | None = option(None, "photo or video of the face that the file is for; nothing: the sample portrait")
    precision: str = option("fp32", "number format inside the file", choices=list(DTYPES))
    out: Path | None = option(None, "file to be written", metavar="FILE.onnx")


def fold(options: Options) -> tuple[nn.Module, int]:
    """The folded network on the CPU in float32, and the number of its input channels."""
    stylizer = Stylizer.from_preset(options.ckpt, device="cpu", precision="fp32")
    style = stylizer.style
    degree = style.degree(options.style_degree)  # first: a wrong one is told before faces are looked for
    with open_frames(options.content) if options.content else PhotoSource(Path("sample"), sample_portrait()) as source:
        portrait = stylizer.fit_source(source, scale_image=style.needs_code)
    code = style.style_code(portrait.code, options.style_id, options.color_transfer)
    return FoldedVToonify(style.network, code, degree), 3 + style.network.config.parsing_channels


def trace(network: nn.Module, channels: int, precision: str) -> torch.onnx.ONNXProgram:
    """The ONNX program of a folded network, for frames of any size."""
    return onnx_files.trace(network, (1, channels, *TRACED), INPUT_MULTIPLE, precision)


def difference(path: Path, network: nn.Module, channels: int) -> float:
    """Largest difference of what onnxruntime makes with the file of a random frame, and PyTorch with `network`."""
    return onnx_files.difference(path, network, onnx_files.random_frame(1, channels, *CHECKED))


def main() -> None:
    options = cli.parse(Options, __doc__)
    if options.out is None or options.out.suffix.lower() != ".onnx":
        raise InputError(f"--out is {options.out or 'missing'}: name the file to be written, which ends in .onnx.")
    onnx_files.check_packages()
    network, channels = fold(options)
    program = trace(network, channels, options.precision)

    def write(path: Path) -> None:
        program.save(path, external_data=False)
        apart = difference(path, network, channels)
        if not apart <= TOLERANCES[options.precision]:
            raise InputError(f"the exported file differs from PyTorch by {apart:.2g}: nothing was written.")
        size = path.stat().st_size / 1e6
        print(f"{options.out}: {size:.1f} MB; differs from PyTorch by {apart:.1g} at most, where pictures span 2")

    write_whole(options.out, write)


if __name__ == "__main__":
    cli.run(main)
