"""The page in a real browser: a server, visitors, and what they see."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HINT = "no Chromium on this machine: install the package chromium"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=HINT)

ROOT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 120  # machines that are busy with other things are slow


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):  # where the server makes its temporary files
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(temporary):  # the address of the running demo
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = temporary / "log"
    command = [sys.executable, "app.py", "--server_port", str(port), "--max_seconds", "3", "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    wait_until(lambda: "Running on" in log.read_text() or program.poll() is not None)
    assert "Running on" in log.read_text(), log.read_text()
    yield f"http://127.0.0.1:{port}/"
    program.send_signal(signal.SIGTERM)
    program.wait(60)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert not list(temporary.glob("vtoonify-*")), "its temporary files go with the server"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(server, browser):
    """A function that opens the page as a new visitor, at a width in pixels."""
    contexts, complaints = [], []

    def open_page(width: int = 1280):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT_SECONDS * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server)
        page.wait_for_selector("#result img", state="attached")  # on a phone it is loaded when it is near
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def wait_until(condition, pause=lambda milliseconds: time.sleep(milliseconds / 1000)) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition() and time.monotonic() < deadline:
        pause(100)


def address(page, place: str = "#result", number: int = -1) -> str:
    return page.locator(f"{place} img").nth(number).get_attribute("src")


def picture(page, number: int = -1) -> np.ndarray:
    body = page.request.get(address(page, number=number)).body()
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).astype(int)


@contextmanager
def changed(page, place: str = "#result"):
    """What the block does shows another picture at a place; wait for it, and until no third one follows."""
    before = last = address(page, place)
    yield
    wait_until(lambda: address(page, place) != before, page.wait_for_timeout)
    while (now := address(page, place)) != last:
        last = now
        page.wait_for_timeout(1500)
    assert last != before, f"{place} did not change"


def message(page, words: str) -> str:
    told = page.locator("#message .told").filter(has_text=re.compile(words))
    told.wait_for()
    return told.inner_text()
