"""Counting what operations cost, whether they are computed or, on fake tensors, only gone through."""

import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Work:
    """What was counted."""

    peak: int
    """Most bytes that were alive at once, of those that were allocated on the way."""
    flops: dict[str, float]
    """Floating-point operations by phase."""
    seconds: float


class Meter(TorchDispatchMode):
    """Memory, arithmetic and time of all operations within the context, with those of backward passes.

    Time is that of a roofline: each operation takes as long as its arithmetic, its memory traffic or its launch,
    whichever is most.

    Args:
        rates: floating-point operations a second by the type of result; those of other types take no time.
        bandwidth: bytes a second, to and from memory.
        launch: seconds.
    """

    phase = ""
    """What arithmetic is booked under; whoever uses the meter sets it."""

    def __init__(self, rates: Mapping[torch.dtype, float], bandwidth: float, launch: float = 0.0):
        super().__init__()
        self.rates, self.bandwidth, self.launch = rates, bandwidth, launch
        self._flops: Counter[str] = Counter()
        self._seconds = 0.0
        self._live = self._peak = 0
        self._known: set[int] = set()

    def work(self, steps: int = 1) -> Work:
        """What a step cost in the mean, if the context saw `steps`; of memory, the most of all."""
        flops = {phase: flops / steps for phase, flops in self._flops.items()}
        return Work(self._peak, flops, self._seconds / steps)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.is_view or func.namespace != "aten":  # fake tensors are asked for their device, too
            return result
        read, written = _tensors((args, kwargs)), _tensors(result)
        self._note_memory(read, written)
        arithmetic = 0.0
        if count := flop_registry.get(func.overloadpacket):
            flops = count(*args, **kwargs, out_val=result)
            self._flops[self.phase] += flops
            arithmetic = flops / self.rates.get(written[0].dtype, float("inf"))
        traffic = sum(map(_extent, read + written)) / self.bandwidth
        self._seconds += max(arithmetic, traffic, self.launch)
        return result

    def _note_memory(self, read: list[Tensor], written: list[Tensor]) -> None:
        """Add what `written` takes, until it is freed; what an operation changes in place is not new."""
        changed = {id(tensor.untyped_storage()) for tensor in read}
        for storage in (tensor.untyped_storage() for tensor in written):
            if id(storage) in changed or id(storage) in self._known:
                continue
            self._known.add(id(storage))
            self._live += storage.nbytes()
            weakref.finalize(storage, self._release, id(storage), storage.nbytes())
        self._peak = max(self._peak, self._live)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _extent(tensor: Tensor) -> int:
    """Bytes that an operation touches: where a tensor is expanded, only what there is."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
