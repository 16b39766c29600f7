"""Write random starting files of the tiny sizes, so that the whole training can be tried without published weights.

    python -m model.tools.random_weights --out selfmade

They are laid out as the published files: a StyleGAN2 of colourful patterns with a discriminator, a DualStyleGAN around
it, exemplars, editing directions and a face parser."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoints
from model.bisenet import PARSER_GAIN, BiSeNet
from model.checkpoints import DISCRIMINATOR_KEY, EMA_KEY
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.common.weight_files import write_contents
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN, ModRes
from model.ops import blur_downsample
from model.stylegan2 import Generator, ModulatedConv2d
from model.training.options import TINY
from model.training.teachers.base import TRUNCATION

EXEMPLARS = ("pine.jpg", "rust.jpg", "sky.jpg")
DIRECTIONS = 4  # number of editing directions; the first one changes nothing
DIRECTION_SCALE = 0.5  # size of the others, where codes are of size 1
PICTURE_STD = 0.5  # standard deviation of a photo's pixels, which lie in [-1, 1]
DETAIL = 0.7  # each level's contribution, relative to the next coarser one's: natural pictures are smooth
NOISE = 0.15  # weight of the noise at 4 px; reduced by DETAIL, too, so that most of it is seen in a small picture
STYLE_GAIN = 2.0  # codes modulate features so much more than untrained weights do: truncated codes are short
STRUCTURE_GAIN = 0.35  # size of what a ModRes block adds, relative to the feature
COLOUR_CHANGE = 0.3  # random part of the layers that transform an exemplar's colours; the rest is the identity
LOGIT_STD = 3.0  # standard deviation of parsing logits; those of trained parsers are a few units, too


@dataclass
class Options:
    out: Path | None = option(None, "folder for the files; it is made", metavar="FOLDER")
    seed: int = option(0, "seed of all weights", least=0)


def make_photos() -> Generator:
    """A StyleGAN2 whose truncated codes give smooth, colourful, varied pictures within about [-1, 1]."""
    network = Generator(TINY).eval()
    for module in network.modules():
        if isinstance(module, ModulatedConv2d):
            module.modulation.weight.mul_(STYLE_GAIN)
    for layer, conv in enumerate([network.conv1, *network.convs]):
        conv.noise.weight.fill_(NOISE * DETAIL ** ((layer + 1) // 2))
    writers = [network.to_rgb1, *network.to_rgbs]
    for level, writer in enumerate(writers):
        writer.conv.weight.mul_(DETAIL**level)
    pictures = _pictures(network)
    gain = PICTURE_STD / pictures.std()
    for writer in writers:
        writer.conv.weight.mul_(gain)
    writers[-1].bias.copy_(-pictures.mean((0, 2, 3), keepdim=True) * gain)
    return network


def _pictures(network: Generator) -> Tensor:
    """Pictures of random truncated codes, `[16, 3, S, S]`, to set scales by."""
    codes = TRUNCATION * network.mapping(torch.randn(16, 1, TINY.style_dim)).repeat(1, TINY.w_layers, 1)
    return network(codes, noise="random")


def make_dualstylegan(photos: Generator) -> DualStyleGAN:
    """A DualStyleGAN around `photos` whose exemplars matter: structure and colours change with the degree."""
    network = DualStyleGAN(TINY).eval()
    network.generator.load_state_dict(photos.state_dict())
    for block in network.res:
        if isinstance(block, ModRes):
            block.conv[0].weight.normal_()
            block.conv2[0].weight.normal_(std=STRUCTURE_GAIN)
        else:  # truncated, so that an exemplar's colours are no stronger than the photos'
            identity = torch.eye(TINY.style_dim) / block.scale
            block.weight.mul_(COLOUR_CHANGE).add_(identity).mul_(TRUNCATION)
    return network


def make_parser(photos: Generator) -> BiSeNet:
    """A face parser whose maps of `photos` vary over the picture and are of the usual size."""
    network = BiSeNet()
    frames = PARSER_GAIN * blur_downsample(_pictures(photos).clamp(-1, 1))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all that was seen, here one batch
    network.train()(frames)
    for head in (network.conv_out, network.conv_out16, network.conv_out32):
        head.conv_out.weight.mul_(LOGIT_STD)
    network.conv_out.conv_out.weight.mul_(LOGIT_STD / network.eval()(frames).std())
    return network


@torch.no_grad()
def write(out: Path, seed: int = 0) -> None:
    """Write all files below `out`. Raises InputError when that can't be done."""
    torch.manual_seed(seed)
    rng, shape = np.random.default_rng(seed), (TINY.w_layers, TINY.style_dim)
    photos = make_photos()
    # The layers of a real exemplar have much in common, for they describe one picture.
    codes = {name: rng.normal(size=(1, 1, TINY.style_dim)) + 0.3 * rng.normal(size=(1, *shape)) for name in EXEMPLARS}
    directions = DIRECTION_SCALE * rng.normal(size=(DIRECTIONS, *shape))
    directions[0] = 0
    write_contents(out / "dualstylegan.pt", {EMA_KEY: make_dualstylegan(photos).state_dict()})
    write_contents(out / "faceparsing.pth", make_parser(photos).state_dict())
    torch.manual_seed(seed)
    judge = Discriminator(None, TINY.size, TINY.channels)
    write_contents(out / "stylegan.pt", {EMA_KEY: photos.state_dict(), DISCRIMINATOR_KEY: judge.state_dict()})
    checkpoints.save_exemplars(out / "exstyle_code.npy", codes)
    write_whole(out / "directions.npy", bytes_of(np.save, directions.astype(np.float32)))


def main() -> None:
    options = cli.parse(Options, __doc__)
    if options.out is None:
        raise InputError("--out is missing: name a folder for the files; it is made.")
    cli.check_ranges(options)
    write(options.out, options.seed)
    print(f"wrote {options.out}: stylegan.pt, dualstylegan.pt, exstyle_code.npy, directions.npy, faceparsing.pth")


if __name__ == "__main__":
    cli.run(main)
