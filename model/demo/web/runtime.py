"""onnxruntime-web, which runs networks in browsers: one version, fetched from npm's registry once and checked.

    python -m model.demo.web.runtime

The build of the page (`build`) does the same; this prepares a machine that will have no network then."""

import base64
import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from model.common import cli
from model.common.errors import InputError
from model.common.files import write_whole

VERSION = "1.30.0"
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# What each way to compute needs of it: with WebAssembly on the processor, with WebGPU on the graphics card.
FILES = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": (
        "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
    ),
}  # fmt: skip
NOTICE = f"""onnxruntime-web {VERSION}, as published on npm ({ADDRESS}).
Copyright (c) Microsoft Corporation. Licensed under the MIT License: https://github.com/microsoft/onnxruntime
"""
SECONDS = 60  # without an answer, after which the registry counts as out of reach


def cache_folder() -> Path:
    """Where the runtime is kept on this machine, whole or not at all."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "vtoonify" / f"onnxruntime-web-{VERSION}"


def all_files() -> list[str]:
    """Names of all files that are taken."""
    return [name for names in FILES.values() for name in names]


def is_there(folder: Path | None = None) -> bool:
    """Whether the runtime needn't be fetched any more."""
    folder = folder or cache_folder()
    return all((folder / name).is_file() for name in all_files())


def ensure(package: Path | None = None) -> Path:
    """The folder with the runtime's files; what isn't there yet comes out of `package`, the .tgz, or from the registry.
    Raises InputError where neither has it as it was published."""
    folder = cache_folder()
    if not is_there(folder):
        data = package.read_bytes() if package else fetch()
        check(data, str(package or ADDRESS))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for name in all_files():
                write_whole(folder / name, archive.extractfile(f"package/dist/{name}").read())
        write_whole(folder / "NOTICE.txt", NOTICE)
    return folder


def fetch() -> bytes:
    """The published package."""
    try:
        with urllib.request.urlopen(ADDRESS, timeout=SECONDS) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{ADDRESS} can't be fetched ({reason}): give the file with --package, as npm pack has it."
        ) from error


def check(data: bytes, name: str) -> None:
    """Raise InputError for any other bytes than those that were published."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != INTEGRITY:
        raise InputError(f"{name} is not onnxruntime-web {VERSION} as published: its checksum is another one.")


def main() -> None:
    print(f"onnxruntime-web {VERSION} is in {ensure()}.")


if __name__ == "__main__":
    cli.run(main)
