"""Where and how precisely to compute. torch is loaded where it is needed: options name devices, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from model.common.errors import InputError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")


def pick_device(name: str = "auto") -> torch.device:
    """The device `name`; `auto`: CUDA, then MPS, then the CPU; under torchrun, each process gets another GPU.
    Raises InputError when the device is not there."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device in present if present[device])
    if not present.get(name, False):
        raise InputError(f"The device {name} is not available on this machine: use --device auto or --device cpu.")
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of `name`; `auto`: bfloat16 where the device has units for it, float16 on other GPUs, else float32."""
    import torch

    if name == "auto" and device.type == "cpu":  # without hardware for it, bfloat16 is slower than float32
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        name = "bf16" if any(getattr(torch.cpu, check, bool)() for check in checks) else "fp32"
    elif name == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        name = "bf16" if has_bf16 else "fp16"
    if name == "fp16" and device.type == "cpu":
        raise InputError("--precision fp16 needs a GPU: use --precision auto, bf16 or fp32 on the CPU.")
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]
