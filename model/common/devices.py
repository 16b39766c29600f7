"""Where and how precisely to compute."""

import os

import torch

from model.common.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")


def pick_device(name: str = "auto") -> torch.device:
    """Return the device `name`; `auto` takes CUDA, then MPS, then the CPU. InputError when it is not there."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present.get(name, False):
        raise InputError(f"The device {name} is not available on this machine: use --device auto or --device cpu.")
    return torch.device(name)


def pick_own_gpu() -> None:
    """Of several processes on a machine (torchrun), let each one use another GPU."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware; without that, bfloat16 is slower than float32."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic `name` as a dtype.

    `auto` is bfloat16 where CPU or GPU has units for it, float16 on older CUDA and on MPS, else float32.
    """
    if name == "auto":
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        elif device.type == "mps":
            name = "fp16"
        else:
            name = "bf16" if _cpu_has_bf16() else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise InputError("--precision fp16 needs a GPU: use --precision auto, bf16 or fp32 on the CPU.")
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]
