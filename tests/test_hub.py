import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import pytest
from torchvision.models import VGG16_Weights

from model.checkpoints import load_perceptual
from model.common import hub
from model.common.errors import InputError
from model.common.files import write_whole

NAME = "vtoonify_d_cartoon/vtoonify_s_d.pt"
REMOTE = f"/PKUWilliamYang/VToonify/resolve/main/models/{NAME}"
CONTENT = bytes(range(256)) * 64
VGG = f"/vgg16-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
DAMAGED = "/vgg16-00000000.pth"
ROOT = Path(__file__).parent.parent
CLOSED_PORT = "http://127.0.0.1:9"  # the discard service, which nobody runs
FETCH = "import sys; from model.common import cli, hub; cli.run(lambda: print(hub.ensure_file(*sys.argv[1:])))"


@pytest.fixture
def server() -> Iterator[str]:
    """Address of a server that answers as the hub does, with three files."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.content = CONTENT if self.path in (REMOTE, VGG, DAMAGED) else b""
            self.send_response(200 if self.content else 404)
            for header in (("X-Repo-Commit", "a" * 40), ("ETag", '"etag"'), ("Content-Length", len(self.content))):
                self.send_header(*header)
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(self.content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def fetch(folder: Path, home: Path, **environment: str) -> tuple[str, str]:
    """What `ensure_file` says in a process of its own: the hub's library reads its settings when it is imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    inherited |= {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"} | environment
    command = [sys.executable, "-c", FETCH, NAME, str(folder)]
    done = subprocess.run(command, env=inherited, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout.strip(), done.stderr


def test_files_on_disk_are_taken_as_they_are_and_paths_and_shipped_files_never_fetched(tmp_path):
    (tmp_path / "encoder.pt").write_bytes(b"x")
    assert hub.ensure_file("encoder.pt", tmp_path) == tmp_path / "encoder.pt"
    assert hub.ensure_file(str(tmp_path / "encoder.pt")) == tmp_path / "encoder.pt"
    with pytest.raises(InputError, match="does not exist"):
        hub.ensure_file(str(tmp_path / "mine.pt"))
    with pytest.raises(InputError, match="comes with this project"):
        hub.ensure_file("starter/vtoonify_s_d.pt", tmp_path)


def test_a_missing_file_is_fetched_into_place(tmp_path, server):
    folder = tmp_path / "checkpoint"
    assert fetch(folder, tmp_path / "home", HF_ENDPOINT=server)[0] == str(folder / NAME)
    assert (folder / NAME).read_bytes() == CONTENT
    assert [path for path in folder.rglob("*") if path.suffix in (".pt", ".incomplete")] == [folder / NAME]


def test_another_process_may_have_fetched_and_taken_a_file(tmp_path, monkeypatch):
    def download(*_, **__) -> str:
        write_whole(tmp_path / NAME, CONTENT)
        return str(tmp_path / "gone")

    stand_ins = {"hf_hub_download": download, "get_hf_file_metadata": Mock(), "try_to_load_from_cache": Mock()}
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(f"huggingface_hub.{name}", stand_in)
    assert hub.ensure_file(NAME, tmp_path) == tmp_path / NAME


@pytest.mark.parametrize(("environment", "reason"), [
    ({"HF_ENDPOINT": CLOSED_PORT}, "no connection"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ({"HF_ENDPOINT": "{server}/elsewhere"}, "the server answered 404")])  # fmt: skip
def test_a_failed_fetch_soon_says_where_to_put_the_file(tmp_path, server, environment, reason):
    folder, began = tmp_path / "checkpoint", time.monotonic()
    environment = {name: value.format(server=server) for name, value in environment.items()}
    _, told = fetch(folder, tmp_path / "home", **environment)
    assert time.monotonic() - began < 20
    assert told.startswith(f"-c: {NAME} is not on this machine") and told.count("\n") == 1
    assert all(part in told for part in (reason, REMOTE, str(folder / NAME)))
    assert not folder.exists()


def test_importing_fetches_nothing_and_needs_no_hub_library():
    code = "import sys, model.common.hub; sys.exit(bool({'huggingface_hub', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.fixture
def vgg_at(tmp_path, monkeypatch):
    """A function that makes torchvision's address of VGG-16 another one; it returns where the file is fetched to."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    set_url = partial(monkeypatch.setattr, VGG16_Weights.IMAGENET1K_V1.value, "url")
    return lambda url: set_url(url) or tmp_path / "hub" / "checkpoints"


def test_vgg_is_fetched_once_with_a_progress_bar(vgg_at, server, capfd):
    cache = vgg_at(server + VGG)
    path = hub.ensure_vgg()
    assert path == cache / VGG[1:] and path.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err
    vgg_at(CLOSED_PORT + VGG)
    assert hub.ensure_vgg() == path


@pytest.mark.parametrize(("url", "reason"), [
    ("{server}/none" + VGG, "the server answered 404"), ("{server}" + DAMAGED, "what came was damaged"),
    ("{server}" + VGG, "File exists"),
    (CLOSED_PORT + VGG, "no connection to the server"), ("{silent}" + VGG, "no connection to the server")])  # fmt: skip
def test_a_failed_fetch_of_vgg_soon_says_where_to_put_it(vgg_at, server, monkeypatch, url, reason):
    monkeypatch.setattr(hub, "ANSWER_WITHIN", 0.2)
    limit, began = socket.getdefaulttimeout(), time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        url = url.format(server=server, silent=f"http://127.0.0.1:{silent.getsockname()[1]}")
        cache = vgg_at(url)
        if reason == "File exists":  # where the folder should be
            cache.parent.mkdir(parents=True)
            cache.write_bytes(b"")
        with pytest.raises(InputError) as raised:
            load_perceptual()
    assert time.monotonic() - began < 5 and socket.getdefaulttimeout() == limit
    message, name = str(raised.value), url.rpartition("/")[2]
    assert message.startswith(f"{name} (VGG-16") and f"({reason})" in message and "--perc_loss 0" in message
    assert f"download {url} and put it at {cache / name}" in message and "\n" not in message
    assert not (cache.is_dir() and list(cache.iterdir()))
