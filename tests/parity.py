"""Hold every network and image function against golden numbers.

    python -m tests.parity CASES.json GOLDEN.npz MANIFEST.json.gz [--seed N]

A cases file lists calls: the module, what is called, its inputs and parameters, and which part of the output was kept.
Weights and inputs are reproducible noise: `fill(name, ...)` seeds a generator with the name. Every row gives one line,
its key first; the exit code is 1 when any figure is missing or disagrees, 2 when the arguments cannot be used.
"""

import argparse
import gzip
import json
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from model.common.errors import InputError
from model.raft import to_torchvision_names
from tests import parity_calls, parity_own, parity_translation

TOLERANCE, CHAOTIC_TOLERANCE = 1e-3, 1e-2  # of the largest magnitude; RAFT feeds its own flow back: after
STEADY_ITERATIONS = 10  # rounding has grown
LEVELS, ALIGNMENT_LEVELS = 2, 3  # 8-bit images; those that were resampled twice


class Golden:
    """Expected figures, the parameter manifest, and the noise that weights and inputs are made of."""

    def __init__(self, figures: dict[str, np.ndarray], manifest: dict[str, dict], seed: int = 0):
        self.figures, self.manifest, self.seed = figures, manifest, seed

    def fill(self, name: str, shape: list[int], mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        """Normal noise that depends on the name and the seed only; float32."""
        state = np.random.RandomState((zlib.crc32(name.encode()) + self.seed) % 2**32)
        return (state.standard_normal(tuple(shape)) * std + mean).astype(np.float32)

    def make_input(self, entry: dict, params: dict) -> Tensor | list[Tensor] | np.ndarray:
        """The input that a row describes: a float32 tensor, several of them, or an 8-bit RGB image [H, W, 3]."""
        if "uint8" in entry:
            return self._make_image(entry, params)
        if "figure" in entry:
            return torch.from_numpy(self.figures[entry["figure"]])
        if "shapes" in entry:
            parts = [{**entry, "name": f"{entry['name']}.{n}", "shape": s} for n, s in enumerate(entry["shapes"])]
            return [self.make_input({k: v for k, v in part.items() if k != "shapes"}, params) for part in parts]
        x = torch.from_numpy(self.fill("input:" + entry["name"], entry["shape"]))
        scale, shift = entry.get("scale", 1.0), entry.get("shift", 0.0)
        if not entry.get("scale_after_resize"):
            x = x * scale + shift
        if "bicubic_to" in entry:
            x = nn.functional.interpolate(x, tuple(entry["bicubic_to"]), mode="bicubic", align_corners=False)
        if "clamp" in entry:
            x = x.clamp(*entry["clamp"])
        if entry.get("scale_after_resize"):
            x = x * scale + shift
        return x.reshape(entry["reshape"]) if "reshape" in entry else x

    def _make_image(self, entry: dict, params: dict) -> np.ndarray:
        shape, size = entry["shape"], entry["cubic_to"]
        if size == "hw":  # the frame size is a figure: the noise is drawn 20 times smaller
            height, width = (int(side) for side in self.figures[params["hw"]])
            shape, size = [height // 20, width // 20, 3], [width, height]
        noise = self.fill(entry["uint8"], shape) * entry.get("scale", 1.0) + entry.get("shift", 0.0)
        return cv2.resize(noise.clip(0, 255).astype(np.uint8), tuple(size), interpolation=cv2.INTER_CUBIC)

    def network(self, module: str) -> nn.Module:
        """The network of a module with the manifest's parameters; those that it leaves open keep their own values."""
        network = (parity_calls.BUILDERS.get(module) or parity_own.builder(module))().eval().requires_grad_(False)
        own = network.state_dict()
        kept = {name: own[name] for name in self.manifest[module] if name in own}
        state = parity_own.fitted(module, kept | self.parameters(module), own)
        network.load_state_dict(to_torchvision_names(state) if module == "raft" else state, strict=True)
        return network

    def parameters(self, module: str) -> dict[str, Tensor]:
        """The manifest's parameters of a module, but for those that it leaves open."""
        state = {}
        for name, entry in self.manifest[module].items():
            shape, mean, std = entry or (None, None, None)
            if mean is not None:
                value = torch.from_numpy(self.fill(name, shape, mean, std))
                state[name] = value.abs() if name.endswith("running_var") else value
        return state


def evaluate(rows: list[dict], golden: Golden) -> Iterator[tuple[str, str, bool]]:
    """Key, report and whether it agrees, for each row; module by module, so that one network is in memory at a time."""
    for module in dict.fromkeys(row.get("module") for row in rows):
        network, failure, recent, trained = None, None, {}, {}
        if module != parity_calls.FUNCTIONS:
            try:
                if parity_translation.answers(module):
                    network = parity_translation.networks(module, golden.parameters)
                else:
                    parts = {part: golden.network(part) for part in module.split("+")}
                    network = parts if parity_own.answers(module) else parts[module]
            except Exception as error:
                failure = ValueError(f"no network {module!r}: {describe(error)}")
        for row in (row for row in rows if row.get("module") == module):
            try:
                if failure:
                    raise failure
                error, magnitude = compare(row, output_of(row, network, golden, recent, trained), golden.figures)
                report = f"largest error {error:.3e}  largest magnitude {magnitude:.3e}  agrees"
            except Exception as error:  # its row fails, the others run
                report = f"FAILS: {describe(error)}"
            yield str(row.get("key")), report, report.endswith("agrees")


def output_of(row: dict, network: nn.Module | None, golden: Golden, recent: dict, trained: dict) -> np.ndarray:
    """What the call of a row returns; `recent` keeps the last call, whose other parts the next rows often compare, and
    `trained` the networks that several calls look at."""
    params = row.get("params", {})
    signature = json.dumps([row["inputs"], params], sort_keys=True)
    if row["call"] not in recent.get(signature, {}):
        inputs = {name: golden.make_input(entry, params) for name, entry in row["inputs"].items()}
        recent.clear()
        if parity_translation.answers(row["module"]):
            recent[signature] = parity_translation.call(row, network, inputs, trained)
        elif parity_own.answers(row["module"], row["call"]):
            recent[signature] = parity_own.call(row, network or {}, inputs)
        else:
            with torch.inference_mode():
                recent[signature] = parity_calls.call(row, network, inputs, golden.figures)
    output = recent[signature][row["call"]]
    return output.detach().numpy() if isinstance(output, Tensor) else output


def cut(whole: np.ndarray, take: dict) -> np.ndarray:
    """The part of an output that was kept."""
    step, every = take.get("stride", 1), take.get("every", 1)
    if "last_stride" in take:
        whole = whole[..., :: take["last_stride"]]
    if step != 1:
        whole = whole[..., ::step, ::step]
    if "channel_stride" in take:
        whole = whole[:, :: take["channel_stride"]]
    return whole[::every, ::every] if every != 1 else whole


def compare(row: dict, whole: np.ndarray, figures: dict[str, np.ndarray]) -> tuple[float, float]:
    """Largest error and magnitude of the part that was kept; ValueError where it, or a statistic of `whole`, is off."""
    ours, expected = cut(whole, row.get("take", {})), figures[row["key"]]
    if ours.shape != expected.shape:
        raise ValueError(f"shape {list(ours.shape)} instead of {list(expected.shape)}")
    error, magnitude = largest(ours.astype(np.float64) - expected), largest(expected)
    allowed = tolerance(row, expected, magnitude)
    if not error <= allowed:  # this way round, a NaN fails too
        raise ValueError(f"error {error:.3e} above {allowed:.3e}, largest magnitude {magnitude:.3e}")
    statistics = figures.get(row["key"] + ".stat")
    if statistics is not None:
        flat = whole.astype(np.float64).ravel()
        own = np.array([flat.mean(), flat.std(ddof=1) if flat.size > 1 else np.nan, largest(whole)])
        allowed = tolerance(row, expected, float(statistics[2]))
        if not np.nanmax(np.abs(own - statistics)) <= allowed or not np.isfinite(own[[0, 2]]).all():
            raise ValueError(f"mean, deviation, largest magnitude {own.tolist()}, expected {statistics.tolist()}")
    return error, magnitude


def tolerance(row: dict, expected: np.ndarray, magnitude: float) -> float:
    """Largest error allowed for a row."""
    params = row.get("params", {})
    if expected.dtype == np.uint8:
        return params.get("tolerance", ALIGNMENT_LEVELS if row["call"] == "align" else LEVELS)
    if "tolerance_absolute" in params:
        return params["tolerance_absolute"]
    if share := params.get("tolerance_relative", params.get("tolerance")):
        return magnitude * share
    return magnitude * (CHAOTIC_TOLERANCE if params.get("iters", 0) > STEADY_ITERATIONS else TOLERANCE)


def largest(x: np.ndarray) -> float:
    return float(np.abs(x.astype(np.float64)).max())


def describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


READERS = {
    "a JSON list of cases": lambda path: [dict(row) for row in json.loads(path.read_text(encoding="utf-8"))],
    "an .npz file": lambda path: dict(np.load(path, allow_pickle=False)),
    "gzipped JSON": lambda path: dict(json.loads(gzip.decompress(path.read_bytes()))),
}


def load_golden(cases: Path, figures: Path, manifest: Path, seed: int = 0) -> tuple[list[dict], Golden]:
    """Read the three files. Raises InputError, naming the file, when one is missing or is not what it should be."""
    contents = []
    for path, (kind, read) in zip((cases, figures, manifest), READERS.items(), strict=True):
        try:
            contents.append(read(path))
        except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path} cannot be read as {kind}: {error}") from error
    return contents[0], Golden(*contents[1:], seed)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.partition("\n")[0])
    parser.add_argument("cases", type=Path, help="rows to evaluate (.json)")
    parser.add_argument("golden", type=Path, help="expected figures (.npz)")
    parser.add_argument("manifest", type=Path, help="parameter names, shapes and statistics (.json.gz)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and inputs (default 0)")
    options = parser.parse_args(arguments)
    try:
        rows, golden = load_golden(options.cases, options.golden, options.manifest, options.seed)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    agreeing = 0
    for key, report, agrees in evaluate(rows, golden):
        print(f"{key}  {report}", flush=True)
        agreeing += agrees
    print(f"{agreeing} of {len(rows)} rows agree")
    return int(agreeing < len(rows))


if __name__ == "__main__":
    sys.exit(main())
