"""Measure students for phones beside other networks that make cartoons: multiplications, parameters, milliseconds.

    python -m model.tools.mobile_benchmark
    python -m model.tools.mobile_benchmark --sizes 256 --threads 1 --json speed.json

All compute in float32 in onnxruntime, on the CPU, in turns, so that a busy machine is busy for all of them; the median
of the rounds is shown. Weights are random, which are as fast as any. Networks that have no definition here are
shown by what was published of them, or counted in their files, at 256 pixels, and were not timed."""

import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from model.adain import Adain
from model.common import cli, onnx_files
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.tables import markdown_table
from model.config import MOBILE_CLASSES, UgatitConfig
from model.mobile_unet import MobileUNet
from model.ugatit import UgatitGenerator
from model.whitebox import Whitebox

MULTIPLE = 16  # of all networks
ADAIN_CHANNELS = 512
# Millions of parameters and GMAC at 256×256, counted in the published files.
KNOWN = {"AnimeGANv2": (2.14, 26.3), "AnimeGANv3": (1.03, 7.4), "FacialCartoonization": (1.22, 2.0)}


@dataclass
class Options:
    sizes: list[int] = option([256, 512], f"sides of the frames, multiples of {MULTIPLE}", nargs="+", least=MULTIPLE)
    threads: int = option(2, "threads of onnxruntime", least=1)
    rounds: int = option(7, "turns of each network", least=1)
    only: list[str] = option([], "networks to measure (default: all)", nargs="+", metavar="NAME")
    json: Path | None = option(None, "also write the numbers to this file", metavar="FILE")


class _Restyled(nn.Module):
    """AdaIN with the statistics of a style."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Adain()
        self.register_buffer("style", torch.rand(1, 2, ADAIN_CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        content = self.network.encoder((x + 1) / 2)
        deviation, mean = torch.std_mean(content, dim=(2, 3), keepdim=True)
        return self.network.decoder((content - mean) / (deviation + 1e-5) * self.style[:, 1] + self.style[:, 0])


class _Picture(nn.Module):
    """The picture of a network that gives more than that."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{f"student {name}": lambda config=config: MobileUNet(config) for name, config in MOBILE_CLASSES.items()},
    "White-box": Whitebox,
    "AdaIN": _Restyled,
    "U-GAT-IT light": lambda: _Picture(UgatitGenerator(UgatitConfig())),
}


@torch.no_grad()
def multiplications(network: nn.Module, size: int) -> float:
    """Multiplications and additions of convolutions and products for a frame of this side, in thousand millions."""
    with FlopCounterMode(display=False) as counter:  # of shapes alone: nothing is computed
        copy.deepcopy(network).to("meta")(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops() / 2e9


def in_turns(work: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median milliseconds of each, measured round by round after a first one that does not count."""
    taken: list[list[float]] = [[] for _ in work]
    for number in range(rounds + 1):
        for one, times in zip(work, taken, strict=True):
            start = time.perf_counter()
            one()
            if number:
                times.append(1000 * (time.perf_counter() - start))
    return [statistics.median(times) for times in taken]


def measure(names: Sequence[str], sizes: Sequence[int], threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """What the table shows, by network and column."""
    torch.manual_seed(0)
    networks = {name: NETWORKS[name]().eval() for name in names}
    found = {
        name: {"parameters": sum(p.numel() for p in network.parameters()) / 1e6, "GMAC": multiplications(network, 256)}
        for name, network in networks.items()
    }
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            work, frame = [], onnx_files.random_frame(1, 3, size, size).numpy()
            for number, network in enumerate(networks.values()):
                path = Path(folder) / f"{number}.onnx"
                program = onnx_files.trace(onnx_files.without_prelu(network), frame.shape, None)
                program.save(path, external_data=False)
                session = onnx_files.open_session(path, threads)
                work.append(partial(session.run, None, {"frame": frame}))
            for name, milliseconds in zip(names, in_turns(work, rounds), strict=True):
                found[name][f"ms at {size}"] = milliseconds
    return found


def table(found: dict[str, dict[str, float]], sizes: Sequence[int]) -> str:
    """Markdown."""
    rows = [
        (name, f"{one['parameters']:.2f}", f"{one['GMAC']:.1f}", *(f"{one[f'ms at {size}']:.0f}" for size in sizes))
        for name, one in found.items()
    ]
    rows += [(f"{name} (published)", *map(str, numbers), *("–" for _ in sizes)) for name, numbers in KNOWN.items()]
    header = ("network", "parameters, M", "GMAC at 256", *(f"ms at {size}" for size in sizes))
    return markdown_table(header, rows)


def main() -> None:
    options = cli.parse(Options, __doc__)
    onnx_files.check_packages()
    for size in options.sizes:
        if size % MULTIPLE:
            raise InputError(f"--sizes has {size}: give multiples of {MULTIPLE}.")
    for name in options.only:
        if name not in NETWORKS:
            raise InputError(f"--only has {name!r}: give some of {', '.join(NETWORKS)}.")
    found = measure(options.only or list(NETWORKS), options.sizes, options.threads, options.rounds)
    print(f"onnxruntime, float32, {options.threads} CPU threads\n\n{table(found, options.sizes)}")
    if options.json:
        write_whole(options.json, json.dumps({"threads": options.threads, "networks": found}, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main)
