"""Files of tensors and arrays, read without executing anything in them and written whole or not at all.

`model.checkpoints` builds networks from them.
"""

import contextlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.common.errors import InputError

FLOAT_CODES = ("f2", "f4", "f8")
"""Kinds of numbers that a pickled array may hold."""


def read_contents(path: str | Path, expected: str, lazily: bool = False) -> dict[str, Any]:
    """The dictionary in a torch file: tensors on the CPU and plain containers.

    Args:
        expected: what the file should be ("a VToonify model"), for the message.
        lazily: leave tensors on disk until they are used, where the file's format allows.

    Raises InputError for a file that is missing, no torch file, damaged, refers to code, or holds no dictionary.
    """
    with _sentences(path, expected):
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily and zipfile.is_zipfile(path))
    if not isinstance(contents, dict):
        raise InputError(f"{path} is not {expected}: it holds a {type(contents).__name__}, not a dictionary.")
    return contents


def read_array(path: str | Path, expected: str) -> np.ndarray:
    """The array of numbers in a .npy file."""
    with _sentences(path, expected), Path(path).open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def read_pickled_arrays(path: str | Path, expected: str) -> dict[str, np.ndarray]:
    """The dictionary of arrays of numbers that `numpy.save` pickled into a .npy file."""
    with _sentences(path, expected), Path(path).open("rb") as file:
        version = np.lib.format.read_magic(file)
        getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)
        (contents,) = _ArrayUnpickler(file).load().data  # an array without axes holds one object
        return {str(name): array.numbers() for name, array in contents.items()}


@contextlib.contextmanager
def _sentences(path: str | Path, expected: str) -> Iterator[None]:
    """Turn whatever goes wrong while reading `path` into an InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: {expected} was expected.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on formats that are refused right after
            yield
    except OSError as error:
        raise InputError(f"{path} ({expected}) can't be read: {error.strerror or error}.") from error
    except Exception as error:  # unpicklers act on whatever the bytes happen to say, and fail in every way there is
        # torch's own message advises programmers to load without protection.
        refers_to_code = isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower()
        reason = "it refers to code, which is not run" if refers_to_code else "it is empty, damaged or of another kind"
        raise InputError(f"{path} is not {expected}: {reason}.") from error


def named_tensors(value: Any, path: str | Path, expected: str, key: str = "") -> dict[str, Tensor]:
    """`value`, found under `key` of the file, as ordinary tensors by name; floating-point ones as float32."""
    if not isinstance(value, Mapping):
        where = f" under '{key}'" if key else ""
        raise InputError(f"{path} is not {expected}: it holds no parameters{where}.")
    for name, tensor in value.items():
        if not isinstance(name, str) or not is_plain(tensor):
            raise InputError(f"{path} is not {expected}: {name!r} is no ordinary tensor.")
    return {name: as_float32(tensor) for name, tensor in value.items()}


def is_plain(value: Any) -> bool:
    """Whether `value` is a dense, real tensor with its numbers in memory."""
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        and not value.is_quantized and not value.is_complex()
    )  # fmt: skip


def as_float32(tensor: Tensor) -> Tensor:
    """Detached and contiguous; half and double precision as float32, integers as they are."""
    return tensor.detach().to(torch.float32 if tensor.is_floating_point() else tensor.dtype).contiguous()


def write_contents(path: str | Path, contents: dict[str, Any]) -> None:
    """Write a torch file of tensors and plain containers, whole or not at all.

    Raises TypeError for contents that `read_contents` would refuse, before an older file is lost.
    """

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            torch.save(contents, file)
        if refused := torch.serialization.get_unsafe_globals_in_checkpoint(partial):
            raise TypeError(f"not tensors and plain containers: {', '.join(refused)}")

    write_whole(path, write)


def write_whole(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then move it there: until then an older file stays as it is.

    Folders are made. Raises InputError when the disk is full, the place can't be written, and so on.
    """
    path = Path(path)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise InputError(f"{path} can't be written: {reason}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


class _Dtype:
    """Stands in for numpy.dtype while unpickling: its kind and byte order, and none of its internal flags."""

    def __init__(self, code: str, *_):
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple):
        self.order = state[1]


class _Array:
    """Stands in for an array while unpickling, for numpy's own takes internal state from a file on trust."""

    def __setstate__(self, state: tuple):
        _, self.shape, self.dtype, self.is_fortran, self.data = state

    def numbers(self) -> np.ndarray:
        if self.dtype.code not in FLOAT_CODES:
            raise ValueError(f"array of {self.dtype.code}")
        flat = np.frombuffer(self.data, np.dtype(self.dtype.order + self.dtype.code))
        return flat.reshape(self.shape, order="F" if self.is_fortran else "C")


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that knows numpy arrays and Python's own containers and nothing else."""

    STAND_INS = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),  # since numpy 2
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # how protocol 2 writes bytes
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.STAND_INS:
            raise pickle.UnpicklingError(f"global {module}.{name} is not a part of arrays")
        return self.STAND_INS[module, name]
