"""How fast a model is on this machine, beside the way the published program computes, in one run.

    python -m model.tools.benchmark                                 the starter, and variant D at the published size
    python -m model.tools.benchmark --model cartoon --size 400 --json speed.json
    python -m model.tools.benchmark --model starter --content clip.mp4

Machines are noisy: trust the ratios, which compare neighbours in time, more than the seconds.
"""

import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model.bisenet import BiSeNet
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS, pick_device, pick_precision
from model.common.errors import InputError
from model.common.sizes import INPUT_MULTIPLE
from model.common.weight_files import write_whole
from model.folded import FoldedVToonify
from model.inference.stylizer import Stylizer
from model.media.files import FrameSource, open_frames, open_sink
from model.media.pan import CameraSource
from model.media.sample import SAMPLE_NAME, sample_portrait
from model.media.threads import ahead, behind
from model.parsing.smooth import parse
from model.styles.presets import Preset
from model.styles.renderer import compile_network
from model.vtoonify import VToonify, VToonifyConfig

MATRIX_SIDE = 2048
"""Of the square matrices whose product shows what the hardware can do."""

SHORTEST = 0.5
"""Seconds that a measurement takes at least, after a first call that is not counted."""

PUBLISHED = "published"
"""Variant D at the published size with random weights, which are as fast as any."""

UNFOLDED = "unfolded fp32"
"""The way of the published program: everything is computed for every frame, in float32, channels first in memory."""

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}

CLIP_SECONDS = 2.0
"""Length of the clip that is stylised from file to file where none is given."""


@dataclass
class Options:
    """Options of the command line."""

    model: list[str] = option(
        ["starter", PUBLISHED], f"presets or files of models; {PUBLISHED}: variant D with random weights", nargs="+"
    )
    size: int = option(256, "side of the input in pixels, a multiple of 8")
    batch: int = option(1, "frames at a time")
    content: str | None = option(None, "video to be stylised from file to file; nothing: a camera move over the sample")
    frames: int = option(50, "frames of the video that are stylised")
    compile: bool = option(False, "also measure the compiled network")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "arithmetic of the fast way", choices=PRECISIONS)
    json: Path | None = option(None, "also write the figures to this file", metavar="FILE")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.size < INPUT_MULTIPLE or self.size % INPUT_MULTIPLE:
            raise InputError(f"--size is {self.size}: give a multiple of {INPUT_MULTIPLE}.")
        for name in ("batch", "frames"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give 1 or more.")


@dataclass(frozen=True)
class Speed:
    """One way to compute frames."""

    model: str
    way: str
    seconds: float
    """Median, for one frame."""
    ratio: float
    """How many times as fast as `UNFOLDED`, in this run."""
    floor: float
    """Seconds that its multiplications would take at the measured rate of matrix products, for one frame."""
    memory: float
    """Most GiB in use meanwhile: of the GPU, or of the process with everything it has loaded."""
    error: float
    """Largest difference to the picture of `UNFOLDED`, in levels of 255."""

    @property
    def fps(self) -> float:
        return 1 / self.seconds


def median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median time of `work`, over as many calls as take half a second, three at least."""
    work()
    times: list[float] = []
    while sum(times) < SHORTEST or len(times) < 3:
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second (a multiplication and an addition are two) of a large matrix product."""
    a, b = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device).to(dtype) for _ in range(2))
    return 2 * MATRIX_SIDE**3 / median_seconds(lambda: a @ b, device)


def forget_peak(device: torch.device) -> None:
    """Let `peak_memory` begin anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float:
    """Most GiB in use since `forget_peak`: of the GPU's memory, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "linux":
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class Way(NamedTuple):
    """One way to compute frames."""

    name: str
    work: Callable[[], Tensor]
    dtype: torch.dtype
    counted: bool = True
    """Whether its multiplications can be counted; else they are those of the way before."""


def ways(stylizer: Stylizer, options: Options) -> Iterator[Way]:
    """The ways to compute the same frames, each made when it is its turn."""
    network, device = stylizer.network, stylizer.device
    w_plus, degree = code_of(stylizer), stylizer.degree()
    channels = 3 + network.config.parsing_channels
    x = torch.rand(options.batch, channels, options.size, options.size, device=device) * 2 - 1
    yield Way(UNFOLDED, lambda: network(x, w_plus, degree), torch.float32)
    for dtype in dict.fromkeys((torch.float32, stylizer.dtype)):
        folded = FoldedVToonify(network, w_plus, degree).to(dtype, memory_format=torch.channels_last)
        frames = x.to(dtype, memory_format=torch.channels_last)
        yield Way(f"folded {NAMES[dtype]}", partial(folded, frames), dtype)
    if options.compile:
        compiled = partial(compile_network(folded, device), frames)
        yield Way(f"folded {NAMES[dtype]} compiled", compiled, dtype, counted=False)


@torch.no_grad()
def measure_network(stylizer: Stylizer, options: Options) -> list[Speed]:
    """Speeds of the ways to compute frames, the unfolded one first."""
    device = stylizer.device
    found: list[Speed] = []
    wanted = None
    for name, work, dtype, counted in ways(stylizer, options):
        if counted:
            with FlopCounterMode(display=False) as counter:
                work()
            operations = counter.get_total_flops()
        picture = work().float().clamp(-1, 1)
        wanted = picture if wanted is None else wanted
        forget_peak(device)
        seconds = median_seconds(work, device) / options.batch
        memory = peak_memory(device)
        floor = operations / matrix_rate(device, dtype) / options.batch
        ratio = found[0].seconds / seconds if found else 1.0
        error = (picture - wanted).abs().max().item() * 127.5
        found.append(Speed(stylizer.preset.name, name, seconds, ratio, floor, memory, error))
    return found


@torch.no_grad()
def measure_parsing(stylizer: Stylizer, options: Options) -> float | None:
    """Seconds to parse one frame; None for models that need no parsing."""
    if stylizer.parser is None:
        return None
    frames = torch.rand(options.batch, 3, options.size, options.size, device=stylizer.device) * 2 - 1
    frames = frames.contiguous(memory_format=torch.channels_last)
    half = stylizer.dtype != torch.float32
    with torch.autocast(stylizer.device.type, stylizer.dtype, enabled=half):
        return median_seconds(lambda: parse(stylizer.parser, frames), stylizer.device) / options.batch


def measure_file(stylizer: Stylizer, options: Options, folder: Path) -> tuple[float, tuple[int, int]]:
    """Seconds a frame from video file to video file, without loading and looking for the face; size of the crop."""
    with open_clip(options, folder) as source, open_sink(folder / "result.mp4", source) as sink:
        portrait = stylizer.fit_source(source)
        next(stylizer.render([source.first], portrait))  # folding, and the first call of everything
        count, start = 0, time.perf_counter()
        with ahead(islice(source, options.frames)) as frames, behind(sink.write) as write:
            for frame in stylizer.render(frames, portrait):
                write(frame)
                count += 1
        return (time.perf_counter() - start) / count, (portrait.crop.height, portrait.crop.width)


def open_clip(options: Options, folder: Path) -> FrameSource:
    """The clip of the command line, or one of a camera that moves over the sample portrait."""
    if options.content:
        return open_frames(options.content)
    clip = folder / "clip.mp4"
    camera = CameraSource(Path(SAMPLE_NAME), sample_portrait(), seconds=CLIP_SECONDS)
    with camera, open_sink(clip, camera) as sink:
        for frame in camera:
            sink.write(frame)
    return open_frames(clip)


def open_model(name: str, options: Options) -> Stylizer:
    """The model `name`; `PUBLISHED` has random weights and needs no file."""
    if name != PUBLISHED:
        return Stylizer.from_preset(name, device=options.device, precision=options.precision)
    torch.manual_seed(0)
    network = VToonify(VToonifyConfig())
    network.keep_what_renders()
    generator = network.config.generator
    codes = {"random": np.random.default_rng(0).normal(size=(1, generator.w_layers, generator.style_dim))}
    preset = Preset(PUBLISHED, network.config.backbone, "")
    return Stylizer(
        preset, network, codes, parser=BiSeNet(), device=options.device, precision=options.precision
    )  # fmt: skip


def code_of(stylizer: Stylizer) -> Tensor:
    """A style code `[1, rows, D]`: the default exemplar's, or any, for models whose code comes from a photo."""
    generator = stylizer.network.config.generator
    z_plus = torch.zeros(1, generator.w_layers, generator.style_dim, device=stylizer.device)
    if stylizer.exemplars is not None:
        z_plus = torch.from_numpy(stylizer.exemplars[stylizer.style_name()]).to(stylizer.device, torch.float32)
    return stylizer.network.zplus_to_wplus(z_plus)


def table(speeds: list[Speed]) -> str:
    """Markdown."""
    lines = ["| model | network | ms | frames/s | ratio | floor, ms | GiB | error |"]
    lines.append("| --- | --- |" + " ---: |" * 6)
    lines += [
        f"| {s.model} | {s.way} | {1000 * s.seconds:.0f} | {s.fps:.2f} | {s.ratio:.1f} | {1000 * s.floor:.0f} | "
        f"{s.memory:.1f} | {s.error:.2f} |"
        for s in speeds
    ]
    return "\n".join(lines)


def machine(device: torch.device) -> str:
    """What it ran on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {torch.get_num_threads()} threads"


def processor() -> str:
    """Name of the processor, and its matrix units as far as PyTorch knows them."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    checks = {"AMX": "_is_amx_tile_supported", "AVX-512 bf16": "_is_avx512_bf16_supported"}
    units = [unit for unit, check in checks.items() if getattr(torch.cpu, check, bool)()]
    return f"{name} ({', '.join(units) or 'no units for bfloat16'})"


def run(options: Options) -> dict:
    """Measure everything, print it, and return it."""
    device = pick_device(options.device)
    dtype = pick_precision(options.precision, device)
    figures: dict = {"machine": machine(device), "size": options.size, "batch": options.batch, "models": {}}
    speeds: list[Speed] = []
    for name in options.model:
        stylizer = open_model(name, options)
        ways = measure_network(stylizer, options)
        speeds += ways
        own: dict = {way.way: asdict(way) | {"fps": way.fps} for way in ways}
        parsing = measure_parsing(stylizer, options)
        if parsing is not None:
            own["parsing"] = parsing
        if name != PUBLISHED:
            with tempfile.TemporaryDirectory() as folder:
                forget_peak(device)
                seconds, crop = measure_file(stylizer, options, Path(folder))
            own["file"] = {"seconds": seconds, "fps": 1 / seconds, "crop": crop, "memory": peak_memory(device)}
        figures["models"][name] = own
        bf16 = own.get("folded bf16")
        if name == PUBLISHED and bf16:
            figures[f"ratio_bf16_folded_to_fp32_unfolded_d{options.size}"] = bf16["ratio"]
    print(f"{figures['machine']}; input {options.size} x {options.size}, fast arithmetic {dtype}\n")
    print(table(speeds))
    for name, own in figures["models"].items():
        if "parsing" in own:
            print(f"\n{name}: parsing takes {1000 * own['parsing']:.0f} ms a frame")
        if "file" in own:
            height, width = own["file"]["crop"]
            print(f"\n{name}: {own['file']['fps']:.1f} frames/s from file to file, crops of {width} x {height}")
    return figures


def main() -> None:
    """Parse the command line, print the figures; write the JSON file when asked."""
    options = cli.parse(Options, __doc__)
    options.check()
    figures = run(options)
    if options.json:
        write_whole(options.json, lambda path: path.write_text(json.dumps(figures, indent=2) + "\n"))


if __name__ == "__main__":
    cli.run(main)
