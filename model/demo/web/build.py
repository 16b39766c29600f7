"""Write the page that draws in the browser: a folder of files for any file server.

    python -m model.demo.web.build --out FOLDER
    python -m model.demo.web.build --out FOLDER --models student.pt other.pt
    python -m model.demo.web --folder FOLDER

Styles are students for phones (`model/mobile_unet.py`), by the names of their files. The runtime, onnxruntime-web,
comes from npm's registry, once, and is checked; when the page runs, nothing is fetched from elsewhere."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from model import checkpoints
from model.common import cli, onnx_files
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import write_whole
from model.demo.web import runtime
from model.face_finder import MULTIPLE
from model.styles.translators.presets import STUDENTS

SITE = Path(__file__).parent / "site"
FINDER = Path(__file__).parents[3] / "checkpoint" / "finder" / "face_finder.pt"
FINDER_LICENCE = "CC BY-NC-SA 4.0, non-commercial"
MARK = "/*SITE*/"  # in a script: what follows on its line is replaced by the site's own description
FLAT = ("comic",)  # of the project's own students, those that paint a flat background
LARGEST = 5_000_000  # bytes of weights that a visitor should have to load
TOLERANCE = 0.02  # largest difference to PyTorch, where pictures span 2: weights are rounded to half precision


@dataclass
class Options:
    out: Path | None = option(None, "folder for the page", metavar="FOLDER")
    models: list[Path] = option(
        [], "files of students, one style each (default: those of the project)", nargs="+", metavar="FILE"
    )
    backgrounds: list[str] = option(
        [], "styles that paint a flat background, which frames are to keep out", nargs="+", metavar="NAME"
    )
    finder: Path = option(FINDER, "file of the face finder", metavar="FILE")
    licence: str = option(
        "CC BY-NC-SA 4.0, non-commercial", "what the page says of the students' licence; that of what they learnt from"
    )
    package: Path | None = option(
        None, f"onnxruntime-web-{runtime.VERSION}.tgz, instead of fetching it", metavar="FILE"
    )


def exported(network: nn.Module, multiple: int, output: str, name: str) -> bytes:
    """A network as an ONNX file for pictures of any size, its weights in half precision; it computes in float32."""
    with tempfile.TemporaryDirectory() as folder:
        whole, halved = Path(folder) / "whole.onnx", Path(folder) / "halved.onnx"
        side = 4 * multiple
        program = onnx_files.trace(onnx_files.without_prelu(network), (1, 3, side, side), multiple, output=output)
        program.save(whole, external_data=False)
        onnx_files.halve_weights(whole, halved)
        frame = onnx_files.random_frame(1, 3, side, 2 * side)
        if not (apart := onnx_files.difference(halved, network, frame)) <= TOLERANCE:
            raise InputError(f"{name} differs from PyTorch by {apart:.2g} in onnxruntime: it can't be used here.")
        return halved.read_bytes()


def title(path: Path) -> str:
    """The name of a style, from that of its file."""
    return path.stem.replace("_", " ").replace("-", " ").capitalize()


def described(options: Options) -> tuple[dict, dict[str, bytes]]:
    """What the scripts are told about the site, and the contents of its files by name."""
    if unknown := set(options.backgrounds) - {path.stem for path in options.models}:
        raise InputError(f"--backgrounds has {min(unknown)}: give names of the models' files, without .pt.")
    contents = {
        name: (SITE / name).read_bytes() for name in sorted(path.name for path in SITE.iterdir() if path.is_file())
    }
    finder = checkpoints.load_face_finder(options.finder)
    contents["models/finder.onnx"] = exported(finder, MULTIPLE, "faces", str(options.finder))
    styles = []
    for path in options.models:
        network, file = checkpoints.load_mobile(path).eval(), f"models/{path.stem}.onnx"
        if file in contents:
            raise InputError(f"two models are called {path.stem}: rename one of them.")
        contents[file] = exported(network, network.multiple, "picture", str(path))
        style = {"name": title(path), "file": file, "eyeDistance": network.config.eye_distance}
        styles.append(style | {"hasBackground": path.stem in options.backgrounds, "licence": options.licence})
    weights = sum(len(data) for name, data in contents.items() if name.startswith("models/"))
    if weights > LARGEST:
        print(f"The weights are {weights / 1e6:.1f} MB: pages for phones should have less than {LARGEST / 1e6:.0f} MB.")
    files = {kind: [f"runtime/{name}" for name in names] for kind, names in runtime.FILES.items()}
    site = {"finder": "models/finder.onnx", "finderLicence": FINDER_LICENCE, "styles": styles, "runtime": files}
    return site, contents


def build(options: Options) -> None:
    """Write the site: each file whole, `sw.js`, which makes browsers take the others anew, last."""
    folder = runtime.ensure(options.package)
    site, contents = described(options)
    digest = hashlib.sha256(runtime.VERSION.encode() + json.dumps(site).encode())
    for name, data in sorted(contents.items()):
        digest.update(name.encode() + data)
    site["version"] = digest.hexdigest()[:16]
    site["files"] = ["./", *(name for name in sorted(contents) if name != "sw.js")]
    for name in [*runtime.all_files(), "NOTICE.txt"]:
        write_whole(options.out / "runtime" / name, (folder / name).read_bytes())
    for name in sorted(contents, key=lambda name: name == "sw.js"):
        write_whole(options.out / name, filled(contents[name], site) if name.endswith(".js") else contents[name])


def filled(script: bytes, site: dict) -> bytes:
    """A script with the site's description where it has the mark."""
    lines = script.decode().split("\n")
    for number, line in enumerate(lines):
        if MARK in line:
            lines[number] = f"{line[: line.index(MARK)]}{json.dumps(site)};"
    return "\n".join(lines).encode()


def main() -> None:
    options = cli.parse(Options, __doc__)
    if options.out is None or options.out.is_file():
        raise InputError("--out names no folder: give one for the page.")
    if not options.models:
        options.models, options.backgrounds = [preset.path for preset in STUDENTS], [*options.backgrounds, *FLAT]
    onnx_files.check_packages()
    build(options)
    size = sum(path.stat().st_size for path in (options.out / "models").iterdir()) / 1e6
    print(f"{options.out} holds the page, {size:.1f} MB of weights: python -m model.demo.web --folder {options.out}")


if __name__ == "__main__":
    cli.run(main)
