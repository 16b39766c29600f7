"""The page in a real browser: a server, visitors, and what they see."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HINT = "no Chromium on this machine: install the package chromium"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=HINT)

ROOT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 120  # machines that are busy with other things are slow
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
UPLOAD = "#upload"


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):  # where the server makes its temporary files
    return tmp_path_factory.mktemp("server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(port: int, temporary: Path) -> subprocess.Popen:
    """The running demo; its messages are in `temporary / "log"`."""
    log = temporary / "log"
    command = [sys.executable, "app.py", "--server_port", str(port), "--max_seconds", "3", "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    wait_until(lambda: "Running on" in log.read_text() or program.poll() is not None)
    assert "Running on" in log.read_text(), log.read_text()
    return program


@pytest.fixture(scope="module")
def server(temporary):  # the address of the running demo
    log, port = temporary / "log", free_port()
    program = start_server(port, temporary)
    yield f"http://127.0.0.1:{port}/"
    program.send_signal(signal.SIGTERM)
    program.wait(60)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert not list(temporary.glob("vtoonify-*")), "its temporary files go with the server"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA])
        yield started
        started.close()


@pytest.fixture
def visit(server, browser):
    """A function that opens the page as a new visitor, at a width in pixels."""
    contexts, complaints = [], []

    def open_page(width: int = 1280, address: str = server, **settings):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, accept_downloads=True, **settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT_SECONDS * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def wait_until(condition, pause=lambda milliseconds: time.sleep(milliseconds / 1000)) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition() and time.monotonic() < deadline:
        pause(100)


def settled(page) -> dict:
    """Wait until picture and controls agree; what the picture says of itself: style, degree, number."""
    page.wait_for_selector("#compare[aria-busy=false]:has(.after[src])", state="attached")
    return page.evaluate("({...document.querySelector('#compare').dataset})")


def picture(page, place: str = "#compare .after") -> np.ndarray:
    address = page.locator(place).evaluate("one => one.src")
    return cv2.imdecode(np.frombuffer(page.request.get(address).body(), np.uint8), cv2.IMREAD_COLOR).astype(int)


def choose(page, style: str) -> dict:
    page.locator(f"#here [data-key={style}]").click()
    return settled(page)


def bring(page, path: Path, words: str | None = None) -> None:
    """Bring a file, and wait until its picture is there."""
    page.set_input_files(UPLOAD, path)
    page.get_by_text(f"{words or path.name}: ").wait_for()
    settled(page)


def message(page, words: str) -> str:
    told = page.locator("#message p").filter(has_text=re.compile(words))
    told.wait_for()
    return told.inner_text()


def downloaded(page, button: str, to: Path) -> Path:
    with page.expect_download() as download:
        page.locator(button).click()
    path = to / download.value.suggested_filename
    download.value.save_as(path)
    return path
