"""Files of tensors and arrays: read without executing anything in them, loaded strictly, written whole.
An `InputError` names a wrong file, what was expected, and for a wrong network the first parameter that differs."""

import contextlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from model.common.errors import InputError
from model.common.files import storing, write_whole

Network = TypeVar("Network", bound=nn.Module)
FLOAT_CODES = ("f2", "f4", "f8")  # kinds of numbers that a pickled array may hold


def read_contents(path: str | Path, expected: str, lazily: bool = False) -> dict[str, Any]:
    """The dictionary of tensors (on the CPU) and plain containers in a torch file; InputError for any other file.
    expected: what it should be ("a VToonify model"), for the message. lazily: leave tensors on disk until they are
    used, where the format allows."""
    with _sentences(path, expected):
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily and zipfile.is_zipfile(path))
    if not isinstance(contents, dict):
        raise not_one(path, expected, f"it holds a {type(contents).__name__}, not a dictionary")
    return contents


def read_array(path: str | Path, expected: str) -> np.ndarray:
    """The array of numbers in a .npy file."""
    with _sentences(path, expected), Path(path).open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def read_pickled_arrays(path: str | Path, expected: str) -> dict[str, np.ndarray]:
    """The dictionary of arrays of numbers that `numpy.save` pickled into a .npy file."""
    with _sentences(path, expected), Path(path).open("rb") as file:
        return {str(name): _numbers(array) for name, array in _unpickled(file).items()}


def read_pickled_layers(path: str | Path, expected: str) -> dict[str, list[np.ndarray]]:
    """The same of a dictionary of lists of arrays, which Python 2 may have written."""
    with _sentences(path, expected), Path(path).open("rb") as file:
        return {str(name): [_numbers(array) for array in arrays] for name, arrays in _unpickled(file).items()}


def _unpickled(file: BinaryIO) -> dict:
    version = np.lib.format.read_magic(file)
    getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)
    *_, (contents,) = _ArrayUnpickler(file, encoding="latin1").load().state  # an array without axes holds one object
    return contents


def is_array_file(path: str | Path) -> bool:
    """Whether a file begins as .npy files do."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
    except OSError:
        return False


def holds_objects(path: str | Path, expected: str) -> bool:
    """Whether a .npy file holds pickled objects instead of numbers."""
    with _sentences(path, expected), Path(path).open("rb") as file:
        version = np.lib.format.read_magic(file)
        return getattr(np.lib.format, f"read_array_header_{version[0]}_0")(file)[2].hasobject


def not_one(path: str | Path, expected: str, reason: str) -> InputError:
    """The error for a file that is not what was `expected`."""
    return InputError(f"{path} is not {expected}: {reason}.")


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
        raise not_one(path, expected, reason) from error


class _Pickled:
    """Stands in for an array or a dtype while unpickling, for numpy's own take internal state from a file on trust."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments

    def __setstate__(self, state: tuple):
        self.state = state


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that knows numpy arrays and Python's own containers and nothing else."""

    ARRAYS = re.compile(r"numpy\.(ndarray|dtype|_?core\.multiarray\._reconstruct)")  # `_core` since numpy 2

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return lambda text, _: text.encode("latin1")
        if not self.ARRAYS.fullmatch(f"{module}.{name}"):
            raise pickle.UnpicklingError(f"global {module}.{name} is not a part of arrays")
        return _Pickled


def _numbers(array: _Pickled) -> np.ndarray:
    _, shape, dtype, is_fortran, data = array.state
    code, order = dtype.arguments[0], dtype.state[1]
    data = data.encode("latin1") if isinstance(data, str) else data  # as Python 2 wrote bytes
    if code not in FLOAT_CODES:
        raise ValueError(f"array of {code}")
    return np.frombuffer(data, np.dtype(order + code)).reshape(shape, order="F" if is_fortran else "C")


def named_tensors(value: Any, path: str | Path, expected: str, key: str = "") -> dict[str, Tensor]:
    """`value`, found under `key` of the file, as ordinary tensors by name; floating-point ones as float32."""
    if not isinstance(value, Mapping):
        raise not_one(path, expected, "it holds no parameters" + (f" under '{key}'" if key else ""))
    tensors = {}
    for name, tensor in value.items():
        is_dense = isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not isinstance(name, str) or not is_dense or tensor.is_quantized or tensor.is_complex():
            raise not_one(path, expected, f"{name!r} is no ordinary tensor")
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to(dtype).contiguous()
    return tensors


def load_network(build: Callable[[], Network], path: str | Path, expected: str, key="", rename=dict) -> Network:
    """The network in `path`, in evaluation mode: its state dict is the file, or stands there under `key`. It is built
    without memory and takes the file's tensors over, which is faster than random starting weights. So every buffer has
    to be in the file, or be set by the caller."""
    contents = read_contents(path, expected)
    weights = named_tensors(contents.get(key) if key else contents, path, expected, key)
    with torch.device("meta"):
        network = build()
    fill(network, rename(weights), path, expected, assign=True)
    return network.eval()


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path, expected: str, assign=False) -> None:
    """Load `weights` strictly. Raises InputError at the first parameter that is missing, misshapen or left over."""
    own = network.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise not_one(path, expected, f"parameter {name} is missing")
        if (shape := list(weights[name].shape)) != list(value.shape):
            raise not_one(path, expected, f"parameter {name} has shape {shape}, not {list(value.shape)}")
    if surplus := [name for name in weights if name not in own]:
        raise not_one(path, expected, f"parameter {surplus[0]} is unexpected")
    network.load_state_dict(weights, assign=assign)


def stored(network: nn.Module, half: bool = False) -> dict[str, Tensor]:
    """The state dict as it is written: on the CPU, contiguous, with `half` in float16."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return {name: value.half() if half and value.is_floating_point() else value for name, value in state.items()}


def write_contents(path: str | Path, contents: dict[str, Any]) -> None:
    """Write a torch file, whole or not at all; TypeError for contents that `read_contents` would refuse."""

    def write(partial: Path) -> None:
        with storing(Path(path), RuntimeError), partial.open("wb") as file:
            torch.save(contents, file)
        if refused := torch.serialization.get_unsafe_globals_in_checkpoint(partial):
            raise TypeError(f"not tensors and plain containers: {', '.join(refused)}")

    write_whole(path, write)
