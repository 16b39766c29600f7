"""From guides to a painting, on the CPU (Numba) or on CUDA (PyTorch): the same picture to the last bit."""

import threading

import numpy as np
import torch

from model.common import cli
from model.styles.example import styleblit
from model.styles.example.exemplar import Exemplar
from model.styles.example.guides import Guides
from model.styles.example.seeds import Seeds
from model.styles.example.styleblit import CELL, USUAL, Weights

SLOW = 5.0  # seconds after which the first call tells why
_tables = threading.Lock()  # each is made once, even if two pages want it


def paint(
    exemplar: Exemplar, guides: Guides, places: np.ndarray, back: np.ndarray, held: np.ndarray, seeds: Seeds,
    device: torch.device, weights: Weights = USUAL,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """A frame with `guides`, painted as the exemplar: RGB uint8 `[h, w, 3]`; where each pixel is copied from, (x, y),
    float32 `[h, w, 2]`; and the seeds of their chunks, int `[h, w]`.

    places, back: as `Seeds.offsets` takes them. held: as `styleblit.blit` takes it.
    """
    offsets = seeds.offsets(guides, places, back, exemplar.guides, exemplar.table)
    run = _on_cuda if device.type == "cuda" else _on_cpu
    return run(exemplar, guides, places, held, seeds, offsets, device, weights)


def _on_cpu(
    exemplar: Exemplar, guides: Guides, places: np.ndarray, held: np.ndarray, seeds: Seeds, offsets: np.ndarray,
    device: torch.device, weights: Weights,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    from model.styles.example import kernels  # Numba takes a second to import

    source = exemplar.guides
    numbers = (
        weights.position, weights.far, weights.appearance, weights.mismatch, weights.threshold, weights.slack,
        weights.hold,
    )  # fmt: skip
    field, chosen = kernels.blit(
        places, guides.labels, guides.appearance, guides.trust, source.labels, source.appearance, exemplar.table, CELL,
        seeds.levels, seeds.places, offsets, held, *map(np.float32, numbers),
    )  # fmt: skip
    return kernels.vote(field, chosen, exemplar.picture, 1), field, chosen


def _on_cuda(
    exemplar: Exemplar, guides: Guides, places: np.ndarray, held: np.ndarray, seeds: Seeds, offsets: np.ndarray,
    device: torch.device, weights: Weights,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    source, xp = exemplar.guides, styleblit.Torch(device)
    field, chosen = styleblit.blit(
        on_device(places), [on_device(each) for each in (guides.labels, guides.appearance, guides.trust)],
        [on_device(each) for each in (source.labels, source.appearance)], on_device(exemplar.table), seeds.levels,
        on_device(seeds.places), on_device(offsets), on_device(held), weights, xp,
    )  # fmt: skip
    picture = styleblit.vote(field, chosen, on_device(exemplar.picture), 1, xp)
    return picture.cpu().numpy(), field.cpu().numpy(), chosen.to(torch.int32).cpu().numpy()


def warm_up(exemplar: Exemplar) -> None:
    """Make the exemplar's table, and compile what is not compiled yet; what takes long is told."""
    told = threading.Timer(
        SLOW, cli.say, ["the painting engine is compiled once for each machine, which takes half a minute"]
    )
    told.daemon = True
    told.start()
    try:
        with _tables:
            exemplar.table  # noqa: B018 - made by its first reader
        guides = exemplar.guides
        small = Guides(*(each[:16, :16].copy() for each in (guides.labels, guides.appearance, guides.trust)))
        places = np.zeros((16, 16, 2), np.float32)
        back = np.zeros((*guides.size, 2), np.float32)
        paint(exemplar, small, places, back, np.full((16, 16), -1, np.int32), Seeds(guides.size), torch.device("cpu"))
    finally:
        told.cancel()
