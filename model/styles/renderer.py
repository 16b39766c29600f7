"""Crops to pictures with a folded network, as many at a time as the memory holds."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model.common.errors import InputError
from model.common.sizes import PARSING_SCALE
from model.common.tensors import to_tensor, to_uint8
from model.folded import FoldedVToonify
from model.parsing.smooth import parse

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # torch's words on GPUs and on the CPU
LARGE_FRAME = 1_000_000  # pixels of a crop from which on strips are rendered unasked: results are 16 times as large
LARGEST_BATCH = 16  # frames at a time that are chosen at most: more give no more speed
MEMORY_SHARE = 0.8  # part of the free memory that a batch may take

PendingPictures = Callable[[], np.ndarray]  # waits for pictures RGB uint8 [B, h, w, 3]


class Renderer:
    """Renders crops of one size; `use` tells the network. `parser` is for models that take parsing maps.

    batch: frames at a time; None: as many as fit on CUDA, else one. Halved when the memory does not suffice.
    strips: render strip by strip, with less memory and the same result, as large frames always are.
    compiled: compile the network for the crop's size and the batch.
    """

    def __init__(
        self, parser: nn.Module | None, device: torch.device, dtype: torch.dtype, batch: int | None = None,
        strips: bool = False, compiled: bool = False,
    ):  # fmt: skip
        self.parser, self.device, self.dtype = parser, device, dtype
        self.batch, self.strips, self.compiled = batch or 1, strips, compiled
        self._measures = batch is None and device.type == "cuda"
        self.network: FoldedVToonify | None = None
        if self._measures:
            torch.cuda.reset_peak_memory_stats(device)

    def use(self, network: FoldedVToonify) -> None:
        """Render with this folded network, which is on `device`, in `dtype` and channels last."""
        if network is not self.network:
            self.network = network
            self.forward = compile_network(network, self.device) if self.compiled else network

    @torch.no_grad()
    def start(self, crops: np.ndarray, logits: Tensor | None = None) -> PendingPictures:
        """Begin to render crops RGB uint8 `[B, H, W, 3]`, on a GPU in the background; the results are 4 times as large.

        logits: parsing maps `[B, C, H, W]`; None: the parser is asked where the model takes them.

        Raises InputError when not even one frame fits into the memory.
        """
        parts: list[PendingPictures] = []
        done = 0
        while done < len(crops):
            some = slice(done, done + self.batch)
            try:
                parts.append(self._draw(crops[some], None if logits is None else logits[some]))
                done = some.stop
            except RuntimeError as error:
                if not any(words in str(error) for words in OUT_OF_MEMORY):
                    raise
            if done != some.stop:  # outside of the handler, where the failed call's tensors are freed
                self._use_less_memory(crops)
            elif self._measures:  # after the first frame: as many at a time as its need of memory allows
                self._measures, self.batch = False, frames_that_fit(*cuda_memory(self.device))
        return parts[0] if len(parts) == 1 else lambda: np.concatenate([part() for part in parts])

    def _draw(self, crops: np.ndarray, logits: Tensor | None) -> PendingPictures:
        missing = self.batch - len(crops) if self.compiled else 0
        if missing > 0:  # the last ones of a clip are filled up: another shape would compile again
            crops = np.concatenate([crops, crops[-1:].repeat(missing, 0)])
            logits = None if logits is None else torch.cat([logits, logits[-1:].repeat(missing, 1, 1, 1)])
        x = to_tensor(crops, self.device)
        if self.parser is not None or logits is not None:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                logits = parse(self.parser, x) if logits is None else logits.to(self.device)
            x = torch.cat([x, logits / PARSING_SCALE], dim=1)
        x = x.to(self.dtype, memory_format=torch.channels_last)
        if self.strips or (not self.compiled and crops.shape[1] * crops.shape[2] > LARGE_FRAME):
            pictures = torch.cat([to_uint8(strip) for strip in self.network.in_strips(x)], dim=1)
        else:
            pictures = to_uint8(self.forward(x))
        return fetch(pictures[: len(crops) - max(missing, 0)])

    def _use_less_memory(self, crops: np.ndarray) -> None:
        """Halve the batch, then render in strips. Raises InputError where nothing is left to be tried."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._measures = False
        if self.batch > 1:
            self.batch = min(self.batch, len(crops)) // 2 or 1
        elif not self.strips and not self.compiled:
            self.strips = True
        else:
            size = f"{crops.shape[2]} x {crops.shape[1]} pixels"
            raise InputError(f"There is not enough memory for a frame of {size}: choose a smaller padding or picture.")


def frames_that_fit(free: int, one: int) -> int:
    """How many frames at a time `free` bytes allow when one took `one`: a power of two, 1 to 16."""
    fitting = max(min(int(MEMORY_SHARE * free / max(one, 1)), LARGEST_BATCH), 1)
    return 1 << (fitting.bit_length() - 1)


def cuda_memory(device: torch.device) -> tuple[int, int]:
    """Bytes that are free for tensors, and what the work so far took beyond what is kept."""
    kept = torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - kept
    return free, torch.cuda.max_memory_allocated(device) - kept


def fetch(pictures: Tensor) -> PendingPictures:
    """A function that gives `pictures` as an array. From CUDA they are copied while other work goes on."""
    if pictures.device.type != "cuda":
        found = pictures.cpu().numpy()
        return lambda: found
    host = torch.empty(pictures.shape, dtype=pictures.dtype, pin_memory=True)
    host.copy_(pictures, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> np.ndarray:
        copied.synchronize()
        return host.numpy()

    return wait


def compile_network(network: FoldedVToonify, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile, for each shape anew. Calls raise InputError where there is no compiler."""
    from torch._dynamo.exc import TorchDynamoException  # here: it takes a second to import

    compiled = torch.compile(network, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")

    def call(x: Tensor) -> Tensor:
        try:
            return compiled(x)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            mend = "install a C++ compiler (g++), or leave it out"
            raise InputError(f"--compile does not work here ({reason}): {mend}.") from error

    return call
