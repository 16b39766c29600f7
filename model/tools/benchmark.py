"""Measure how fast a model is on this machine: as the published program computes, and folded.

    python -m model.tools.benchmark                                 the starter, and variant D at the published size
    python -m model.tools.benchmark --model cartoon --size 400 --json speed.json

Machines are noisy: trust the ratios, which compare neighbours in time, more than the seconds. "error" is the largest
difference to the first network's picture in levels of 255."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from model.bisenet import BiSeNet
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS, pick_device
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.sizes import INPUT_MULTIPLE
from model.common.tables import markdown_table
from model.config import VToonifyConfig
from model.folded import FoldedVToonify
from model.parsing.smooth import parse
from model.styles.catalog import choose_preset
from model.styles.network import VToonifyStyle
from model.styles.presets import VToonifyPreset
from model.styles.renderer import compile_network
from model.vtoonify import VToonify

SHORTEST = 0.5  # seconds that a measurement takes at least, after a first call that is not counted
PUBLISHED = "published"
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
COLUMNS = {"ms": ".0f", "frames/s": ".2f", "ratio": ".1f", "error": ".2f"}


@dataclass
class Options:
    model: list[str] = option(["starter", PUBLISHED], f"presets or files; {PUBLISHED}: D, random weights", nargs="+")
    size: int = option(256, "side of the input in pixels, a multiple of 8", least=INPUT_MULTIPLE)
    batch: int = option(1, "frames at a time", least=1)
    compile: bool = option(False, "also measure the compiled network")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "number format of the fast way", choices=PRECISIONS)
    json: Path | None = option(None, "also write the numbers to this file", metavar="FILE")


def median_seconds(work: Callable[[], object]) -> float:
    """Median time of `work`, which computes on all threads; GPUs are waited for."""
    work()
    timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=SHORTEST).median


def networks(style: VToonifyStyle, x: Tensor, compiled: bool) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Ways to compute the same picture from `x [B, C, H, W]`, by name; each is made when it is its turn."""
    network, degree, generator = style.network, style.degree(), style.network.config.generator
    exemplars = style.exemplars or {"mean": torch.zeros(1, generator.w_layers, generator.style_dim)}
    z_plus = torch.as_tensor(next(iter(exemplars.values())), dtype=torch.float32, device=x.device)
    w_plus = network.zplus_to_wplus(z_plus)
    yield "unfolded fp32", lambda: network(x, w_plus, degree)
    for dtype in dict.fromkeys((torch.float32, style.dtype)):
        folded = FoldedVToonify(network, w_plus, degree).to(dtype, memory_format=torch.channels_last)
        frames = x.to(dtype, memory_format=torch.channels_last)
        yield f"folded {NAMES[dtype]}", partial(folded, frames)
    if compiled:
        yield f"folded {NAMES[dtype]} compiled", partial(compile_network(folded, x.device), frames)


@torch.no_grad()
def measure(style: VToonifyStyle, options: Options) -> dict[str, dict[str, float]]:
    """What the table shows of a frame, for each way to compute it: by the way's name, then by the column's."""
    channels = 3 + style.network.config.parsing_channels
    x = torch.rand(options.batch, channels, options.size, options.size, device=style.device) * 2 - 1
    found, exact, slowest = {}, None, None
    for name, work in networks(style, x, options.compile):
        picture = work().float().clamp(-1, 1)
        seconds = median_seconds(work) / options.batch
        if exact is None:
            exact, slowest = picture, seconds
        error = (picture - exact).abs().max().item() * 127.5
        found[name] = {"ms": 1000 * seconds, "frames/s": 1 / seconds, "ratio": slowest / seconds, "error": error}
    if style.parser is not None:
        with torch.autocast(x.device.type, style.dtype, enabled=style.dtype != torch.float32):
            seconds = median_seconds(lambda: parse(style.parser, x[:, :3])) / options.batch
        found["parsing"] = {"ms": 1000 * seconds, "frames/s": 1 / seconds}
    return found


def open_model(name: str, options: Options) -> VToonifyStyle:
    """The model `name`; `PUBLISHED` has random weights, which are as fast as any, and needs no file."""
    settings = {"device": options.device, "precision": options.precision}
    if name != PUBLISHED:
        style = choose_preset(name).load(**settings)
        if not isinstance(style, VToonifyStyle):
            raise InputError(f"{name} is no VToonify model: python -m model.tools.example_figures measures pictures.")
        return style
    network = VToonify(VToonifyConfig())
    network.keep_what_renders()
    return VToonifyStyle(VToonifyPreset(PUBLISHED, network.config.backbone, ""), network, parser=BiSeNet(), **settings)


def main() -> None:
    options = cli.parse(Options, __doc__)
    cli.check_ranges(options)
    if options.size % INPUT_MULTIPLE:
        raise InputError(f"--size is {options.size}: give a multiple of {INPUT_MULTIPLE}.")
    torch.manual_seed(0)
    models = {name: measure(open_model(name, options), options) for name in options.model}
    rows = [
        (model, way, *(format(numbers[name], digits) if name in numbers else "" for name, digits in COLUMNS.items()))
        for model, ways in models.items()
        for way, numbers in ways.items()
    ]
    device = pick_device(options.device)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{machine}, input {options.size} x {options.size}\n")
    print(markdown_table(("model", "network", *COLUMNS), rows, text_columns=2))
    if options.json:
        content = {"machine": machine, "size": options.size, "batch": options.batch, "models": models}
        write_whole(options.json, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main)
