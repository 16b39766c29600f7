"""Serve the page that draws in the browser, as `python -m model.demo.web.build --out FOLDER` wrote it.

    python -m model.demo.web --folder FOLDER

Any server of files can do it; this one also asks the browser to isolate the page, so that threads work at once."""

import functools
import http.server
from dataclasses import dataclass
from pathlib import Path

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError

TYPES = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@dataclass
class Options:
    folder: Path | None = option(None, "what the build wrote", metavar="FOLDER")
    host: str = option("127.0.0.1", "address to listen at; cameras work on localhost and https only")
    port: int = option(8000, "port; 0: any that is free", least=0, most=65535)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, with the headers that threads need."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | TYPES
    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        for name, value in (ISOLATED | {"Cache-Control": "no-cache"}).items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_) -> None:
        """Say nothing of each file."""


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of the files in a folder, not yet started. InputError where it can't be."""
    if not (folder / "index.html").is_file():
        raise InputError(f"{folder} holds no page: write one with python -m model.demo.web.build --out {folder}")
    try:
        return http.server.ThreadingHTTPServer((host, port), functools.partial(Handler, directory=str(folder)))
    except OSError as error:
        raise InputError(f"cannot listen at {host}, port {port}: {error.strerror}; choose another --port.") from error


def main() -> None:
    options = cli.parse(Options, __doc__)
    if options.folder is None:
        raise InputError("--folder is missing: name what python -m model.demo.web.build wrote.")
    with make_server(options.folder, options.host, options.port) as server:
        print(f"Running on http://{options.host}:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    cli.run(main)
