"""Style codes, editing directions, and states of trainings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model.common import weight_files as files
from model.common.files import bytes_of, write_whole

EXEMPLARS, DIRECTIONS = "a file of exemplar style codes", "a file of editing directions"
CODES = "a file of codes for this generator"


def load_exemplars(path: str | Path) -> dict[str, np.ndarray]:
    """Style codes of exemplars by name: float32 `[1, w_layers, dim]` in z+ (published ones: `[1, 18, 512]`).
    File: a dictionary that `numpy.save` pickled, such as exstyle_code.npy and refined_exstyle_code.npy."""
    codes = files.read_pickled_arrays(path, EXEMPLARS)
    if not codes:
        raise files.not_one(path, EXEMPLARS, "it is an empty dictionary")
    first = next(iter(codes.values())).shape
    for name, code in codes.items():
        if code.ndim != 3 or len(code) != 1 or code.shape != first or not np.isfinite(code).all():
            what = f"{name!r} of shape {list(code.shape)}"
            raise files.not_one(path, EXEMPLARS, f"{what} is no finite array [1, layers, dim] like the others")
    return {name: np.array(code, dtype=np.float32, order="C") for name, code in codes.items()}


def save_exemplars(path: str | Path, codes: Mapping[str, np.ndarray]) -> None:
    """Write what `load_exemplars` reads; the published programs read it too."""
    plain = {str(name): np.asarray(code, dtype=np.float32) for name, code in codes.items()}
    write_whole(path, bytes_of(np.save, np.array(plain, dtype=object), allow_pickle=True))


def load_codes(path: str | Path, w_layers: int, dim: int) -> np.ndarray | dict[str, np.ndarray]:
    """Codes of pictures, float32: by name, `[1, w_layers, dim]` each, from a file of exemplars, or one after the other,
    `[N, w_layers, dim]`, from an array. InputError for other sizes."""
    if files.holds_objects(path, CODES):
        codes = load_exemplars(path)
        shape = list(next(iter(codes.values())).shape)
        if shape[1:] != [w_layers, dim]:
            raise files.not_one(path, CODES, f"its codes are of shape {shape}, not [1, {w_layers}, {dim}]")
        return codes
    array = files.read_array(path, CODES)
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[1:] != (w_layers, dim):
        found = f"it holds {array.dtype} of shape {list(array.shape)}"
        raise files.not_one(path, CODES, f"{found}, not float of shape [N, {w_layers}, {dim}]")
    if not np.isfinite(array).all():
        raise files.not_one(path, CODES, "it holds numbers that are not finite")
    return array.astype(np.float32)


def load_directions(path: str | Path, w_layers: int = 18, dim: int = 512) -> np.ndarray:
    """Editing directions in w+, float32 `[N, w_layers, dim]`, N > 0. File: directions.npy, published `[5, 18, 512]`."""
    array = files.read_array(path, DIRECTIONS)
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[1:] != (w_layers, dim):
        found = f"it holds {array.dtype} of shape {list(array.shape)}"
        raise files.not_one(path, DIRECTIONS, f"{found}, not float of shape [N, {w_layers}, {dim}]")
    if not len(array) or not np.isfinite(array).all():
        raise files.not_one(path, DIRECTIONS, "it holds none, or numbers that are not finite")
    return array.astype(np.float32)


def load_state(path: str | Path) -> dict[str, Any]:
    """A training state that `write_contents` wrote; tensors come back on the CPU in their own precision."""
    return files.read_contents(path, "a training state")
