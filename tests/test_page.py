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

from model.media.files import open_frames
from model.media.sample import sample_portrait
from tests.clips import make_clip, sound_of, write_photo

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")

ROOT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 120  # machines that are busy with other things are slow
DEGREE, UPLOAD = "#degree input[type=range]", "#upload input[type=file]"


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
        page.wait_for_selector("#result img")
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


@pytest.fixture(scope="module")
def portrait():  # the sample's upper half, at a quarter of the pixels
    return cv2.resize(sample_portrait()[:360], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def test_opens_with_the_sample_and_can_be_read_aloud_and_on_a_phone(visit):
    page = visit(width=390)
    before, after = picture(page, 0), picture(page)
    assert before.shape == after.shape and np.abs(before - after).mean() > 3
    unnamed = page.locator("img").evaluate_all("all => all.filter(one => !one.alt).map(one => one.outerHTML)")
    assert not unnamed and "sample portrait" in page.inner_text("body")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#result").bounding_box()["width"] > 300


def test_style_degree_and_crop_change_the_picture(visit):
    page = visit()
    film = picture(page)
    with changed(page):
        page.get_by_role("button", name="Ink", exact=True).click()
    ink = picture(page)
    assert np.abs(film - ink).mean() > 3

    with changed(page):
        page.locator(DEGREE).press("Home")  # by keyboard
    photo, faint = picture(page, 0), picture(page)
    assert faint.shape == ink.shape, "the picture is in full again when the slider rests"
    assert np.abs(photo - faint).mean() < 0.6 * np.abs(photo - ink).mean()
    with changed(page):
        page.get_by_role("button", name="Watercolour", exact=True).click()
    assert page.locator("#degree input[type=number]").input_value() == "0"

    with changed(page), changed(page, "#frame"):
        page.locator("#padding_left input[type=number]").fill("96")
        page.locator("#padding_left input[type=number]").press("Enter")
    assert picture(page).shape[1] < ink.shape[1]


def test_a_style_that_cannot_be_fetched_leaves_the_old_one(visit):
    page = visit()
    page.get_by_role("button", name="⤓ pixar", exact=True).click()
    assert "HF_HUB_OFFLINE" in message(page, "could not be fetched")
    assert page.get_by_role("button", name="Film", exact=True).get_attribute("class").count("selected")
    with changed(page):
        page.locator(DEGREE).press("Home")


def test_of_several_faces_one_is_clicked(visit, tmp_path, portrait):
    page = visit()
    with changed(page):
        pale = portrait[:, ::-1] // 2 + 60
        page.set_input_files(UPLOAD, write_photo(tmp_path / "two.png", np.hstack([portrait, pale])))
        page.get_by_text("2 faces").wait_for()
    first, frame = picture(page, 0).mean(), page.locator("#frame img")
    chosen, box = page.locator("#face input:checked").get_attribute("value"), frame.bounding_box()
    with changed(page):
        for share in (0.25, 0.75):  # one of them is chosen already
            frame.click(position={"x": share * box["width"], "y": 0.5 * box["height"]})
            page.wait_for_timeout(1000)
            if page.locator("#face input:checked").get_attribute("value") != chosen:
                break
    assert abs(first - picture(page, 0).mean()) > 5, "the other one is paler"


def test_videos_of_visitors_at_once_are_rendered_each_for_its_own(visit, tmp_path, temporary, portrait):
    pages, levels = [visit(), visit()], []
    for number, page in enumerate(pages):
        frames = [np.uint8(np.clip(np.roll(portrait, n % 2, 1) * 0.5 + 120 * number, 0, 255)) for n in range(8)]
        clip = make_clip(tmp_path / f"clip{number}.mp4", frames, rate=8, sound="aac", sound_seconds=1)
        page.set_input_files(UPLOAD, clip)
        page.locator("#run").click()
    message(pages[0], "of 8 frames")
    for number, page in enumerate(pages):
        message(page, "Done: 8 frames")
        with page.expect_download() as download:
            page.locator("#film_file").click()
        assert download.value.suggested_filename == f"clip{number}_vtoonify.mp4"
        result = tmp_path / f"result{number}.mp4"
        download.value.save_as(result)
        frames = [frame.rgb for frame in open_frames(result)]
        levels.append(frames[0].mean())
        assert len(frames) == 8 and min(frames[0].shape[:2]) > 300 and frames[0].std() > 20
        assert len(sound_of(result)) > 0.9 * 44100
        assert page.locator("#film video").evaluate("one => one.videoWidth") == frames[0].shape[1], "the page plays it"
    assert levels[1] > levels[0] + 60, "nobody got the other's"
    folders = {path.parents[1] for path in temporary.glob("vtoonify-*/visits/*/video-*/*.mp4")}
    assert len(folders) == 2
    for page in pages:
        page.close()
    wait_until(lambda: not any(folder.exists() for folder in folders))
    assert not any(folder.exists() for folder in folders), "who leaves, leaves nothing"


def test_a_video_is_cancelled(visit, tmp_path, temporary, portrait):
    page = visit()
    page.set_input_files(UPLOAD, make_clip(tmp_path / "long.mp4", [portrait] * 75, rate=25))
    page.locator("#run").click()
    page.locator("#cancel").click()
    message(page, "Cancelled")
    assert not list(temporary.glob("vtoonify-*/visits/*/video-*/*"))
    assert page.locator("#run").is_enabled()


def test_bad_uploads_are_one_sentence_and_the_page_lives_on(visit, tmp_path, portrait):
    page = visit()
    noise = write_photo(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))
    long = make_clip(tmp_path / "long.mp4", [portrait] * 40, rate=8)
    for path, words in [(noise, "No face"), (long, "up to 3")]:
        page.set_input_files(UPLOAD, path)
        told = message(page, words)
        assert path.name in told and "\n" not in told.strip() and "/" not in told, told
        page.wait_for_timeout(1500)
        assert page.locator("#message [role=alert]").inner_text() == told, "it stays until something else happens"
        page.locator("#sample").click()
        page.wait_for_function("!document.querySelector('#message .told')")
    with changed(page):
        page.set_input_files(UPLOAD, write_photo(tmp_path / "me.png", portrait))
        page.get_by_text("me.png: photo").wait_for()


def test_programs_can_use_it(server, tmp_path, portrait):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(server, verbose=False, download_files=str(tmp_path))
    styles = client.predict(api_name="/styles")
    assert [one["style"] for one in styles[:4]] == ["film", "ink", "painterly", "watercolour"]
    photo = handle_file(str(write_photo(tmp_path / "me.png", portrait)))
    result = client.predict(photo, style="ink", degree=0.5, compare=True, full_frame=1, api_name="/stylize")
    assert Path(result).name == "me_vtoonify.jpg"
    assert cv2.imread(result).shape == (*portrait.shape[:1], 2 * portrait.shape[1], 3)
    for wrong, words in [
        ({"style": "crayon"}, "no style 'crayon'"), ({"degree": 2}, "degree"), ({"content": None}, "no content"),
        ({"padding_left": -8}, "padding"),
    ]:  # fmt: skip
        with pytest.raises(AppError, match=words):
            client.predict(**{"content": photo} | wrong, api_name="/stylize")
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/styles", "/stylize"}
