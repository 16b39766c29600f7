import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from model.common import hub
from model.common.errors import InputError

NAME = "vtoonify_d_cartoon/vtoonify_s_d.pt"
REMOTE = f"/PKUWilliamYang/VToonify/resolve/main/models/{NAME}"
CONTENT = bytes(range(256)) * 64

FETCH = """
import sys
from model.common.errors import InputError
from model.common.hub import ensure_file
try:
    print(ensure_file(sys.argv[1], sys.argv[2]))
except InputError as error:
    print(f"InputError: {error}")
"""

CLOSED_PORT = "http://127.0.0.1:9"
"""The discard service, which nobody runs."""


def fetch(folder: Path, home: Path, **environment: str) -> str:
    """Outcome of `ensure_file` in a process of its own: the hub's library reads its settings when it is imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    inherited |= {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"}
    command = [sys.executable, "-c", FETCH, NAME, str(folder)]
    root = Path(__file__).parent.parent
    done = subprocess.run(
        command, env=inherited | environment, cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def hub_server() -> Iterator[str]:
    """Address of a server that answers as the hub does, with one file."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200 if self.path == REMOTE else 404)
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", '"etag"')
            self.send_header("Content-Length", str(len(CONTENT) if self.path == REMOTE else 0))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            if self.path == REMOTE:
                self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_files_on_disk_are_taken_as_they_are(tmp_path):
    (tmp_path / "encoder.pt").write_bytes(b"x")
    assert hub.ensure_file("encoder.pt", tmp_path) == tmp_path / "encoder.pt"
    assert hub.ensure_file(str(tmp_path / "encoder.pt")) == tmp_path / "encoder.pt"


def test_paths_and_shipped_files_are_never_fetched(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        hub.ensure_file(str(tmp_path / "mine.pt"))
    with pytest.raises(InputError, match="comes with this project"):
        hub.ensure_file("starter/vtoonify_s_d.pt", tmp_path)


def test_a_missing_file_is_fetched_into_place(tmp_path, hub_server):
    folder = tmp_path / "checkpoint"
    assert fetch(folder, tmp_path / "home", HF_ENDPOINT=hub_server) == str(folder / NAME)
    assert (folder / NAME).read_bytes() == CONTENT
    assert [path for path in folder.rglob("*") if path.suffix in (".pt", ".incomplete")] == [folder / NAME]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({"HF_ENDPOINT": CLOSED_PORT}, "no connection"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set")],
)
def test_without_a_network_the_sentence_says_where_to_put_the_file(tmp_path, environment, reason):
    folder = tmp_path / "checkpoint"
    began = time.monotonic()
    outcome = fetch(folder, tmp_path / "home", **environment)
    assert time.monotonic() - began < 20
    assert outcome.startswith(f"InputError: {NAME} is not on this machine") and reason in outcome
    assert REMOTE in outcome and str(folder / NAME) in outcome and "\n" not in outcome
    assert not folder.exists()


def test_a_file_that_the_hub_does_not_have_gets_a_sentence(tmp_path, hub_server):
    outcome = fetch(tmp_path, tmp_path / "home", HF_ENDPOINT=f"{hub_server}/elsewhere")
    assert "the server answered 404" in outcome and not (tmp_path / NAME).exists()


def test_importing_fetches_nothing_and_needs_no_hub_library():
    code = "import sys, model.common.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0
