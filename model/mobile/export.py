"""Write a student for phones (`model/mobile_unet.py`) for other runtimes: ONNX, MNN, ncnn.

    python -m model.mobile.export --ckpt student.pt --out FOLDER --calibration PHOTOS
    python -m model.mobile.export --ckpt student.pt --out FOLDER --formats onnx --size 0

FOLDER gets, under the name of the student's file, NAME.onnx, NAME.fp16.onnx, NAME.int8.onnx (with --calibration),
NAME.web.onnx (half-precision weights, computing in float32: for browsers), NAME.mnn, NAME.ncnn.param and NAME.ncnn.bin.
All take `frame`, float32 [1, 3, H, W], RGB in [-1, 1], and give `picture`, alike, not clamped. Each was run by its own
runtime and compared with PyTorch before it appeared.

Packages: onnx, onnxscript, onnxruntime; MNN; pnnx and ncnn. A format whose packages are missing is left out."""

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common import cli, onnx_files
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import write_whole
from model.mobile_unet import MobileUNet
from model.training.data.pictures import PictureFolder

FORMATS = {"onnx": onnx_files.PACKAGES, "mnn": (*onnx_files.PACKAGES, "MNN"), "ncnn": ("pnnx", "ncnn")}
PRECISIONS = ("fp32", "fp16", "int8", "web")  # of ONNX files
# Largest difference to PyTorch that is let pass, where pictures span 2: MNN's and ncnn's weights are float32, too, but
# they sum in other orders (Winograd); of int8 the mean difference.
TOLERANCES = onnx_files.TOLERANCES | {"web": 0.1, "mnn": 5e-3, "ncnn": 5e-3, "int8": 0.1}
CALIBRATED = 64  # pictures, at most
ANY_SIZE = 256  # side of the frames that a network for any size is traced with
OTHER = 1.5  # sides of the frame with which a network for any size is compared, in those


@dataclass
class Options:
    ckpt: str | None = option(None, "file of a student", metavar="FILE")
    out: Path | None = option(None, "folder for the files", metavar="FOLDER")
    formats: list[str] = option(
        [], "what to write (default: what packages are there for)", choices=list(FORMATS), nargs="+"
    )
    precisions: list[str] = option(
        [], "kinds of ONNX files (default: all; int8 with --calibration)", choices=PRECISIONS, nargs="+"
    )
    size: int = option(256, "side of the frames in pixels, a multiple of 16; 0: any, as far as the format can", least=0)
    calibration: Path | None = option(None, "folder of photos for int8, framed as the student's", metavar="FOLDER")


def check(options: Options, network: MobileUNet) -> None:
    """Raise InputError for options that cannot work."""
    if options.size % network.multiple:
        raise InputError(f"--size is {options.size}: give a multiple of {network.multiple}, or 0 for any size.")
    if "int8" in options.precisions and options.calibration is None:
        raise InputError("int8 needs photos to measure ranges with: name a folder of them with --calibration.")
    for name in options.formats:
        if missing := [package for package in FORMATS[name] if find_spec(package) is None]:
            raise InputError(f"--formats {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}")


def chosen_formats(options: Options) -> list[str]:
    """The formats to be written; says which are left out for want of packages."""
    if options.formats:
        return list(dict.fromkeys(options.formats))
    there = []
    for name, packages in FORMATS.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            print(f"{name} is left out: it needs {' and '.join(missing)} (pip install {' '.join(missing)}).")
        else:
            there.append(name)
    if not there:
        raise InputError("exporting needs packages: pip install onnx onnxscript onnxruntime")
    return there


class Export:
    """What is written of one student."""

    def __init__(self, network: MobileUNet, options: Options):
        self.network, self.options = network.eval(), options
        side = options.size or ANY_SIZE
        self.multiple = None if options.size else network.multiple
        self.frame = onnx_files.random_frame(1, 3, side, side)
        other = round(OTHER * side / network.multiple) * network.multiple
        # What is for any size is compared at another one than it was traced with.
        self.compared = self.frame if options.size else onnx_files.random_frame(1, 3, side // 2, other)
        self.name = Path(options.ckpt).stem

    def write(self, suffixes: list[str], kind: str, fill: Callable[..., Callable[[Tensor], Tensor]]) -> None:
        """Write `NAME.suffix` for each suffix. `fill` writes the files, under the paths it is given, and returns what
        runs them on a frame."""
        # Noise is nothing that the ranges of int8 were measured for.
        frame = Photos(self.options.calibration, self.frame.shape[-1]).first if kind == "int8" else self.compared
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{self.name}.{suffix}" for suffix in suffixes]
            runs = fill(*paths)
            with torch.no_grad():
                apart = (runs(frame) - self.network(frame)).abs()
            largest, mean = apart.max().item(), apart.mean().item()
            if not (mean if kind == "int8" else largest) <= TOLERANCES[kind]:
                raise InputError(f"the {kind} file differs from PyTorch by {largest:.2g}: it was not written.")
            for path in paths:
                write_whole(self.options.out / path.name, lambda partial, path=path: shutil.copyfile(path, partial))
        size = sum((self.options.out / path.name).stat().st_size for path in paths) / 1e6
        names = " and ".join(str(self.options.out / path.name) for path in paths)
        print(f"{names}: {size:.2f} MB; differs from PyTorch by {largest:.1g} at most, {mean:.1g} on average, of 2")

    def trace(self, path: Path, precision: str = "fp32") -> None:
        """Write an ONNX file for onnxruntime."""
        network = onnx_files.without_prelu(self.network)
        program = onnx_files.trace(network, self.frame.shape, self.multiple, precision)
        program.save(path, external_data=False)

    def onnx(self) -> None:
        wanted = self.options.precisions or [p for p in PRECISIONS if p != "int8" or self.options.calibration]
        if not self.options.precisions and "int8" not in wanted:
            print("int8 is left out: it needs photos to measure ranges with (--calibration FOLDER).")
        for precision in dict.fromkeys(wanted):
            suffix = "onnx" if precision == "fp32" else f"{precision}.onnx"
            fill = {"int8": self._quantised, "web": self._halved}.get(precision)
            self.write([suffix], precision, fill or (lambda path, p=precision: self._traced(path, p)))

    def _traced(self, path: Path, precision: str) -> Callable[[Tensor], Tensor]:
        self.trace(path, precision)
        return lambda frame: onnx_files.run(path, frame)

    def _halved(self, path: Path) -> Callable[[Tensor], Tensor]:
        whole = path.with_name("whole.onnx")
        self.trace(whole)
        onnx_files.halve_weights(whole, path)
        return lambda frame: onnx_files.run(path, frame)

    def _trace_plainly(self, path: Path) -> None:
        """Write an ONNX file with the network's own layers, as MNN has them fast, and int8 keeps them exact."""
        onnx_files.trace(self.network, self.frame.shape, self.multiple).save(path, external_data=False)

    def _quantised(self, path: Path) -> Callable[[Tensor], Tensor]:
        """Static quantisation by onnxruntime: ranges of activations from photos, weights by channel."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        whole, prepared = path.with_name("whole.onnx"), path.with_name("prepared.onnx")
        self._trace_plainly(whole)
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(path), Photos(self.options.calibration, self.frame.shape[-1]),
            quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )  # fmt: skip
        return lambda frame: onnx_files.run(path, frame)

    def mnn(self) -> None:
        self.write(["mnn"], "mnn", self._mnn)

    def _mnn(self, path: Path) -> Callable[[Tensor], Tensor]:
        whole = path.with_name("whole.onnx")
        self._trace_plainly(whole)
        # Not its program, which would also report the conversion to its makers where it can.
        words = ["mnnconvert", "-f", "ONNX", "--modelFile", str(whole), "--MNNModel", str(path), "--bizCode", "student"]
        call([sys.executable, "-c", f"from MNN.tools.mnnconvert import convert; convert({words!r})"], path, "MNN")
        return lambda frame: run_mnn(path, frame)

    def ncnn(self) -> None:
        self.write(["ncnn.param", "ncnn.bin"], "ncnn", self._ncnn)

    def _ncnn(self, param: Path, weights: Path) -> Callable[[Tensor], Tensor]:
        import pnnx

        traced = param.with_name("traced.pt")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is the format that pnnx reads
            torch.jit.trace(self.network, self.frame, check_trace=False).save(str(traced))
        shapes = [",".join(map(str, self.frame.shape))]
        if self.multiple:
            shapes.append(",".join(map(str, self.compared.shape)))
        words = [f"inputshape{'2' * bool(n)}=[{shape}]f32" for n, shape in enumerate(shapes)]
        words += [f"ncnnparam={param}", f"ncnnbin={weights}", "fp16=0"]
        call([str(pnnx.EXEC_PATH), str(traced), *words], param, "pnnx")
        return lambda frame: run_ncnn(param, weights, frame)


class Photos:
    """Photos as onnxruntime's calibration reads them: the central squares of those of a folder."""

    def __init__(self, folder: Path, side: int):
        pictures = PictureFolder(folder, side, "--calibration")
        self.first = pictures[0][None]
        self._frames: Iterator[Tensor] = (pictures[n][None] for n in range(min(len(pictures.paths), CALIBRATED)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        frame = next(self._frames, None)
        return None if frame is None else {"frame": frame.contiguous().numpy()}


def call(command: list[str], result: Path, name: str) -> None:
    """Run a converter, which has to write `result`; InputError with its last line where it doesn't."""
    done = subprocess.run(command, cwd=result.parent, capture_output=True, text=True, errors="replace")
    if done.returncode or not result.is_file():
        told = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        raise InputError(f"{name} could not convert the student: {told}")


def run_mnn(path: Path, frame: Tensor) -> Tensor:
    """What MNN makes of a frame `[1, 3, H, W]` with a file."""
    import MNN

    interpreter = MNN.Interpreter(str(path))
    session = interpreter.createSession({"numThread": 1, "precision": "high"})
    given = interpreter.getSessionInput(session, "frame")
    interpreter.resizeTensor(given, tuple(frame.shape))
    interpreter.resizeSession(session)
    pixels, kind = np.ascontiguousarray(frame), MNN.Tensor_DimensionType_Caffe
    given.copyFrom(MNN.Tensor(tuple(frame.shape), MNN.Halide_Type_Float, pixels, kind))
    interpreter.runSession(session)
    found = interpreter.getSessionOutput(session, "picture")
    picture = MNN.Tensor(tuple(frame.shape), MNN.Halide_Type_Float, np.zeros_like(pixels), kind)
    found.copyToHostTensor(picture)
    return torch.from_numpy(np.array(picture.getData(), np.float32).reshape(frame.shape))


def run_ncnn(param: Path, weights: Path, frame: Tensor) -> Tensor:
    """What ncnn makes of a frame `[1, 3, H, W]` with a network's two files."""
    import ncnn

    pixels = np.ascontiguousarray(frame[0])  # ncnn's matrix refers to it
    with ncnn.Net() as network:
        network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
        network.load_param(str(param))
        network.load_model(str(weights))
        with network.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(pixels).clone())
            code, picture = extractor.extract("out0")
            if code:
                raise InputError(f"ncnn could not run {param.name}.")
            return torch.from_numpy(np.array(picture))[None]


def main() -> None:
    options = cli.parse(Options, __doc__)
    if options.ckpt is None:
        raise InputError("--ckpt is missing: name the file of a student.")
    if options.out is None or options.out.is_file():
        raise InputError("--out names no folder: give one for the files.")
    network = checkpoints.load_mobile(options.ckpt)
    check(options, network)
    if options.calibration is not None:
        Photos(options.calibration, options.size or ANY_SIZE)  # a wrong folder is told before work begins
    export = Export(network, options)
    for name in chosen_formats(options):
        getattr(export, name)()


if __name__ == "__main__":
    cli.run(main)
