"""Measure how fast a model is on this machine: as the published program computes, and folded.

    python -m model.tools.benchmark                                 the starter, and variant D at the published size
    python -m model.tools.benchmark --model cartoon --size 400 --json speed.json

Machines are noisy: trust the ratios, which compare neighbours in time, more than the seconds. "floor" is what the
multiplications alone would take at the measured rate of matrix products, "error" the largest difference to the first
network's picture in levels of 255.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from model.bisenet import BiSeNet
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS, pick_device
from model.common.errors import InputError
from model.common.sizes import INPUT_MULTIPLE
from model.common.tables import markdown_table
from model.common.weight_files import write_whole
from model.folded import FoldedVToonify
from model.parsing.smooth import parse
from model.styles.network import VToonifyStyle
from model.styles.presets import Preset
from model.styles.renderer import compile_network
from model.vtoonify import VToonify, VToonifyConfig

MATRIX_SIDE = 2048  # of the square matrices whose product shows what the hardware can do
SHORTEST = 0.5  # seconds that a measurement takes at least, after a first call that is not counted
PUBLISHED = "published"
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
COLUMNS = {"ms": ".0f", "frames/s": ".2f", "ratio": ".1f", "floor, ms": ".0f", "GiB": ".1f", "error": ".2f"}


@dataclass
class Options:
    """Options of the command line."""

    model: list[str] = option(
        ["starter", PUBLISHED], f"presets or files of models; {PUBLISHED}: variant D with random weights", nargs="+"
    )
    size: int = option(256, "side of the input in pixels, a multiple of 8", least=INPUT_MULTIPLE)
    batch: int = option(1, "frames at a time", least=1)
    compile: bool = option(False, "also measure the compiled network")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "number format of the fast way", choices=PRECISIONS)
    json: Path | None = option(None, "also write the numbers to this file", metavar="FILE")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        cli.check_ranges(self)
        if self.size % INPUT_MULTIPLE:
            raise InputError(f"--size is {self.size}: give a multiple of {INPUT_MULTIPLE}.")


def median_seconds(work: Callable[[], object]) -> float:
    """Median time of `work`, which computes on all threads; GPUs are waited for."""
    work()
    timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=SHORTEST).median


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second (a multiplication and an addition are two) of a large matrix product."""
    a, b = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device).to(dtype) for _ in range(2))
    return 2 * MATRIX_SIDE**3 / median_seconds(lambda: a @ b)


def peak_memory(device: torch.device) -> float:
    """Most GiB in use since the last call: of the GPU, or of the process (on Linux; 0 elsewhere)."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak / 2**30
    if not clear.exists():
        return 0.0
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", status.read_text())
    clear.write_text("5")
    return int(kilobytes) / 2**20


def networks(
    style: VToonifyStyle, x: Tensor, compiled: bool
) -> Iterator[tuple[str, torch.dtype, Callable[[], Tensor]]]:
    """Ways to compute the same picture from `x [B, C, H, W]`: name, dtype, function; each made when it is its turn."""
    network, degree, generator = style.network, style.degree(), style.network.config.generator
    exemplars = style.exemplars or {"mean": torch.zeros(1, generator.w_layers, generator.style_dim)}
    z_plus = torch.as_tensor(next(iter(exemplars.values())), dtype=torch.float32, device=x.device)
    w_plus = network.zplus_to_wplus(z_plus)
    yield "unfolded fp32", torch.float32, lambda: network(x, w_plus, degree)
    for dtype in dict.fromkeys((torch.float32, style.dtype)):
        folded = FoldedVToonify(network, w_plus, degree).to(dtype, memory_format=torch.channels_last)
        frames = x.to(dtype, memory_format=torch.channels_last)
        yield f"folded {NAMES[dtype]}", dtype, partial(folded, frames)
    if compiled:
        yield f"folded {NAMES[dtype]} compiled", dtype, partial(compile_network(folded, x.device), frames)


@torch.no_grad()
def measure(style: VToonifyStyle, options: Options) -> dict[str, dict[str, float]]:
    """What the table shows of a frame, for each way to compute it: by the way's name, then by the column's."""
    channels = 3 + style.network.config.parsing_channels
    x = torch.rand(options.batch, channels, options.size, options.size, device=style.device) * 2 - 1
    found: dict[str, dict[str, float]] = {}
    exact, operations = None, 0
    for name, dtype, work in networks(style, x, options.compile):
        picture = work().float().clamp(-1, 1)
        exact = picture if exact is None else exact
        if "compiled" not in name:  # what is compiled can't be counted; its operations are those of the one before
            with FlopCounterMode(display=False) as counter:
                work()
            operations = counter.get_total_flops() / options.batch
        peak_memory(x.device)
        seconds = median_seconds(work) / options.batch
        found[name] = {
            "ms": 1000 * seconds,
            "frames/s": 1 / seconds,
            "GiB": peak_memory(x.device),
            "floor, ms": 1000 * operations / matrix_rate(x.device, dtype),
            "error": (picture - exact).abs().max().item() * 127.5,
        }
        found[name]["ratio"] = found["unfolded fp32"]["ms"] / found[name]["ms"]
    if style.parser is not None:
        with torch.autocast(x.device.type, style.dtype, enabled=style.dtype != torch.float32):
            seconds = median_seconds(lambda: parse(style.parser, x[:, :3])) / options.batch
        found["parsing"] = {"ms": 1000 * seconds, "frames/s": 1 / seconds}
    return found


def open_model(name: str, options: Options) -> VToonifyStyle:
    """The model `name`; `PUBLISHED` has random weights, which are as fast as any, and needs no file."""
    settings = {"device": options.device, "precision": options.precision}
    if name != PUBLISHED:
        return VToonifyStyle.load(name, **settings)
    network = VToonify(VToonifyConfig())
    network.keep_what_renders()
    return VToonifyStyle(Preset(PUBLISHED, network.config.backbone, ""), network, parser=BiSeNet(), **settings)


def run(options: Options) -> dict:
    """Measure all models, print the table, and return the numbers."""
    torch.manual_seed(0)
    models = {name: measure(open_model(name, options), options) for name in options.model}
    rows = [
        (model, way, *(format(numbers[name], digits) if name in numbers else "" for name, digits in COLUMNS.items()))
        for model, ways in models.items()
        for way, numbers in ways.items()
    ]
    device = pick_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{name}, input {options.size} x {options.size}\n")
    print(markdown_table(("model", "network", *COLUMNS), rows, text_columns=2))
    return {"machine": name, "size": options.size, "batch": options.batch, "models": models}


def main() -> None:
    """Parse the command line, print the table; write the JSON file when asked."""
    options = cli.parse(Options, __doc__)
    options.check()
    numbers = run(options)
    if options.json:
        write_whole(options.json, lambda path: path.write_text(json.dumps(numbers, indent=2) + "\n"))


if __name__ == "__main__":
    cli.run(main)
