"""Hugging Face accelerate as training uses it: processes, device, number format, and who takes which samples."""

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin

from model.common.devices import pick_device, pick_precision
from model.training.data.batch import Batch
from model.training.options import RunOptions


def make_accelerator(options: RunOptions) -> Accelerator:
    """The accelerator of this process, also under `torchrun` and `accelerate launch`.

    Networks compute in bfloat16 or float32, never in float16, in which small gradients vanish. Raises InputError when
    the device isn't there.
    """
    device = pick_device(options.device)
    dtype = pick_precision(options.precision, device)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="bf16" if dtype == torch.bfloat16 else "no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=options.accumulate, sync_with_dataloader=False
        ),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )


def autocast_dtype(accelerator: Accelerator) -> torch.dtype:
    """What networks compute in: bfloat16 or float32."""
    return torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32


def global_batch(options: RunOptions, accelerator: Accelerator) -> int:
    """Pictures in one step of all processes together."""
    return options.batch * options.accumulate * accelerator.num_processes


def local_numbers(options: RunOptions, accelerator: Accelerator, step: int) -> list[list[int]]:
    """Numbers of the samples that this process takes in `step`: one list for each batch.

    All processes together take `global_batch` consecutive numbers, so that a run is the same however many share it.
    """
    first = step * global_batch(options, accelerator)
    count = accelerator.num_processes
    turns = range(accelerator.process_index, options.accumulate * count, count)
    return [[first + turn * options.batch + i for i in range(options.batch)] for turn in turns]


def to_device(batch: Batch, accelerator: Accelerator) -> Batch:
    """`batch` on the device of this process, inputs with channels last, which is fastest for convolutions."""
    moved = {key: value.to(accelerator.device, non_blocking=True) for key, value in batch.items()}
    for key in moved.keys() & {"x", "moved"}:
        moved[key] = moved[key].contiguous(memory_format=torch.channels_last)
    return moved


def any_process(accelerator: Accelerator, wish: bool) -> bool:
    """Whether any process wishes it; all must ask."""
    if accelerator.num_processes == 1:
        return wish
    return bool(accelerator.reduce(torch.tensor(float(wish), device=accelerator.device), "sum") > 0)
