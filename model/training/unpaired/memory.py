"""How much memory a training takes, told before it starts."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from model.common import cli
from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.training.options import RunOptions

FULL, HALF = 4, 2  # bytes of a number
CLEARLY = 1.15  # times the free memory, from where on a run is refused: the estimate is rough
GIB = 1 << 30


def activation_bytes(networks: nn.Module, passes: Callable[[], object]) -> int:
    """Bytes of what `passes()` keeps for the backward pass, beside the parameters of `networks`, all of them on the
    device "meta", where nothing is computed or allocated."""
    own = {value.untyped_storage()._cdata for value in networks.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        results = passes()  # kept until all is counted, lest places are taken again
    total = sum(storage.nbytes() for storage in kept.values())
    del results
    return total


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    if device.type != "cpu" or "MemAvailable" not in known:
        return None
    return 1024 * int(known["MemAvailable"].split()[0])


def tell_memory(
    options: RunOptions, networks: nn.Module, averaged: nn.Module, passes: Callable[[], object], advice: str
) -> None:
    """Print what a step takes: parameters of `networks`, those that learn with gradients and both averages of Adam,
    those of `averaged` once more, and the activations of `passes`, about half as many in bfloat16, beside which weights
    are kept twice. InputError where that is clearly more than what is free, with `advice`. All modules are on "meta".
    """
    device = pick_device(options.device)
    half = pick_precision(options.precision, device) == torch.bfloat16
    learning, all_numbers = (
        sum(value.numel() for value in networks.parameters() if value.requires_grad or is_all)
        for is_all in (False, True)
    )
    average = sum(value.numel() for value in averaged.parameters())
    activations = activation_bytes(networks, passes)
    weights = FULL * (3 * learning + all_numbers + average) + (HALF * all_numbers if half else 0)
    activations = activations // 2 if half else activations
    total, free = weights + activations, free_memory(device)
    parts = f"{weights / GIB:.1f} for weights, gradients, Adam and average, {activations / GIB:.1f} for activations"
    known = f"{free / GIB:.1f} are free on {device}" if free is not None else f"what is free on {device} is not known"
    told = f"memory: about {total / GIB:.1f} GiB ({parts}); {known}"
    if free is not None and total > CLEARLY * free:
        raise InputError(f"This run takes more memory than there is, {told.removeprefix('memory: ')}: {advice}.")
    if cli.processes()[0] == 0:
        print(told, flush=True)
