"""Where training runs: one process or many, which device, which arithmetic (Hugging Face accelerate)."""

import os

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin

from model.common.devices import pick_device, pick_precision
from model.training.data.pair import Pair
from model.training.options import TrainOptions

PRECISION_OF_LAUNCHER = "ACCELERATE_MIXED_PRECISION"
"""What `accelerate launch --mixed_precision` sets."""


def make_engine(options: TrainOptions) -> Accelerator:
    """The accelerator for this process, also under `torchrun` and `accelerate launch`.

    Float32 takes the place of float16, in which small gradients vanish. Raises InputError when the device isn't there.
    """
    device = pick_device(options.device)
    on_cpu = device.type == "cpu"
    if options.precision == "auto" and os.environ.get(PRECISION_OF_LAUNCHER, "no") == "bf16":
        dtype = torch.bfloat16
    else:
        dtype = pick_precision(options.precision, device)
    return Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if dtype == torch.bfloat16 else "no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=options.accumulate, sync_with_dataloader=False
        ),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )


def arithmetic(engine: Accelerator) -> torch.dtype:
    """What networks compute with under `engine`."""
    return torch.bfloat16 if engine.mixed_precision == "bf16" else torch.float32


def global_batch(options: TrainOptions, engine: Accelerator) -> int:
    """Pairs in one step of all processes together."""
    return options.batch * options.accumulate * engine.num_processes


def local_numbers(options: TrainOptions, engine: Accelerator, step: int) -> list[list[int]]:
    """Numbers of the samples that this process takes in `step`: one list for each batch.

    All processes together take `global_batch` consecutive numbers, so that a run is the same however many share it.
    """
    first = step * global_batch(options, engine)
    turns = range(engine.process_index, options.accumulate * engine.num_processes, engine.num_processes)
    return [[first + turn * options.batch + i for i in range(options.batch)] for turn in turns]


def to_device(pair: Pair, engine: Accelerator) -> Pair:
    """`pair` on the device of this process, pictures in the order of memory that convolutions are fastest in."""
    moved = {key: value.to(engine.device, non_blocking=True) for key, value in pair.items()}
    for key in ("x", "moved"):
        if key in moved:
            moved[key] = moved[key].contiguous(memory_format=torch.channels_last)
    return moved
