"""Networks as ONNX files: traced, run by onnxruntime and compared with PyTorch. The packages are imported on use."""

import contextlib
import copy
import importlib.util
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from model.common.errors import InputError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
TOLERANCES = {"fp32": 1e-3, "fp16": 0.1}  # largest difference to PyTorch in float32 that is let pass; pictures span 2
OPSET = 20  # of ONNX; TensorRT 10 and CoreML tools read it
LARGEST = 4096  # of the multiples that a side can be


class Exported(nn.Module):
    """A network that computes in `dtype` between float32 inputs and outputs."""

    def __init__(self, network: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.network, self.dtype = copy.deepcopy(network).to(dtype), dtype

    def forward(self, frame: Tensor) -> Tensor:
        return self.network(frame.to(self.dtype)).float()


def check_packages(*further: str) -> None:
    """Raise InputError where packages that exporting needs, or `further` ones, are missing."""
    names = (*PACKAGES, *further)
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"exporting needs {' and '.join(missing)}: pip install {' '.join(names)}")


def trace(
    network: nn.Module, shape: Sequence[int], multiple: int | None, precision: str = "fp32", output: str = "picture"
) -> torch.onnx.ONNXProgram:
    """The ONNX program of a network for inputs `frame` of a shape `[B, C, H, W]`, or, with a `multiple`, of any height
    and width that it divides."""
    sides = None
    if multiple:
        sides = ({axis: multiple * Dim(name, min=1, max=LARGEST) for axis, name in ((2, "rows"), (3, "columns"))},)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it chats
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            Exported(network, DTYPES[precision]).eval(), (torch.zeros(*shape),), opset_version=OPSET,
            input_names=["frame"], output_names=[output], dynamic_shapes=sides, dynamo=True, verbose=False,
        )  # fmt: skip


def random_frame(*shape: int) -> Tensor:
    """A frame of noise in [-1, 1], always the same."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def run(path: Path, frame: Tensor, threads: int = 0) -> Tensor:
    """What onnxruntime makes of a frame `[B, C, H, W]` with a file."""
    return torch.from_numpy(open_session(path, threads).run(None, {"frame": np.ascontiguousarray(frame)})[0])


def open_session(path: Path, threads: int = 0):
    """A session of onnxruntime on the CPU, with so many threads (0: as it likes)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def difference(path: Path, network: nn.Module, frame: Tensor) -> float:
    """Largest difference of what onnxruntime makes of a frame with the file, and PyTorch with `network`."""
    return (run(path, frame) - network(frame)).abs().max().item()


def halve_weights(path: Path, out: Path, least: int = 64) -> None:
    """Write a float32 file with weights of `least` numbers or more stored as float16, which runtimes make float32 again
    when they load it: half the size, the speed of float32 also where a processor has no float16."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph, casts = model.graph, []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or int(np.prod(weight.dims)) < least:
            continue
        name, values = weight.name, numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # it names weights, too
    onnx.save(model, str(out))


class Larger(nn.Module):
    """PReLU with slopes up to 1 as the larger one of two pictures, which onnxruntime computes several times faster."""

    def __init__(self, slopes: Tensor):
        super().__init__()
        self.slopes = nn.Parameter(slopes.detach().clone()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.slopes * x)


def without_prelu(network: nn.Module) -> nn.Module:
    """A copy of a network that computes the same, for onnxruntime, whose PReLU is slow."""
    network = copy.deepcopy(network)
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.PReLU) and bool((child.weight <= 1).all()):
                setattr(module, name, Larger(child.weight))
    return network
