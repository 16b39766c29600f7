"""The demo in a real browser: `python app.py` and headless Chromium."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from model.media.sample import sample_portrait
from tests.clips import make_clip

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS, WAIT = 180, 90_000
"""A machine that is busy with other things is slow; a page that does nothing at all fails all the same."""


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """Where the server makes its temporary files."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(temporary):
    """Address of the running demo, which takes videos of up to three seconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = temporary / "log"
    command = [sys.executable, "app.py", "--server_port", str(port), "--max_seconds", "3", "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        program = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    deadline = time.monotonic() + START_SECONDS
    while "Running on" not in log.read_text() and program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
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
        context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server)
        page.wait_for_selector("#result img")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def picture(page, place: str, number: int = -1) -> np.ndarray:
    """The picture that the page shows at a place, BGR: the last one there is the result."""
    address = page.locator(f"{place} img").nth(number).get_attribute("src")
    return cv2.imdecode(np.frombuffer(page.request.get(address).body(), np.uint8), cv2.IMREAD_COLOR)


def wait_for_change(page, place: str, before: str, number: int = -1) -> None:
    """Until a place shows another picture than that of the address `before`, and no third one follows."""
    deadline, last, since = time.monotonic() + WAIT / 1000, before, time.monotonic()
    while time.monotonic() < deadline:
        now = page.locator(f"{place} img").nth(number).get_attribute("src")
        if now != last:
            last, since = now, time.monotonic()
        if last != before and time.monotonic() - since > 1.5:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{place} did not change")


def address(page, place: str) -> str:
    return page.locator(f"{place} img").last.get_attribute("src")


def upload(page, path: Path) -> None:
    page.set_input_files("#upload input[type=file]", path)


def message(page, words: str) -> str:
    """The message in the page, once it contains these words."""
    told = page.locator("#message .told").filter(has_text=re.compile(words))
    told.wait_for()
    return told.inner_text()


def save(path: Path, rgb: np.ndarray) -> Path:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path


def clip(path: Path, seconds: float, pictures: list[np.ndarray], rate: int = 8, **settings) -> Path:
    frames = [pictures[n % len(pictures)] for n in range(round(seconds * rate))]
    return make_clip(path, frames, rate=rate, **settings)


@pytest.fixture(scope="module")
def small_portrait():
    """The sample's upper half, at a quarter of the pixels."""
    return cv2.resize(sample_portrait()[:360], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def test_opens_with_the_sample_and_can_be_read_aloud(visit):
    page = visit()
    before, after = picture(page, "#result", 0), picture(page, "#result")
    assert before.shape == after.shape and np.abs(before.astype(int) - after).mean() > 3
    unnamed = page.locator("img").evaluate_all("all => all.filter(one => !one.alt).map(one => one.outerHTML)")
    assert not unnamed
    assert "sample portrait" in page.inner_text("body")


def test_on_a_phone_nothing_is_cut_off(visit):
    page = visit(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#result").bounding_box()["width"] > 300


def test_style_and_degree_change_the_picture(visit):
    page = visit()
    film, shown = picture(page, "#result"), address(page, "#result")
    page.get_by_role("button", name="Ink", exact=True).click()
    wait_for_change(page, "#result", shown)
    ink, shown = picture(page, "#result"), address(page, "#result")
    assert np.abs(film.astype(int) - ink).mean() > 3

    page.locator("#degree input[type=range]").press("Home")  # by keyboard
    wait_for_change(page, "#result", shown)
    photo, faint = picture(page, "#result", 0).astype(int), picture(page, "#result").astype(int)
    assert faint.shape == ink.shape, "the picture is in full again when the slider rests"
    assert np.abs(photo - faint).mean() < 0.6 * np.abs(photo - ink).mean()
    page.get_by_role("button", name="Watercolour", exact=True).click()
    wait_for_change(page, "#result", address(page, "#result"))
    assert page.locator("#degree input[type=number]").input_value() == "0"


def test_a_style_that_cannot_be_fetched_leaves_the_old_one(visit):
    page = visit()
    page.get_by_role("button", name="⤓ pixar", exact=True).click()
    assert "HF_HUB_OFFLINE" in message(page, "could not be fetched")
    page.wait_for_timeout(1500)
    assert page.locator("#message [role=alert]").is_visible()
    assert page.get_by_role("button", name="Film", exact=True).get_attribute("class").count("selected")
    shown = address(page, "#result")
    page.locator("#degree input[type=range]").press("Home")
    wait_for_change(page, "#result", shown)


def test_the_crop_follows_its_sliders(visit):
    page = visit()
    whole, shown, result = picture(page, "#result"), address(page, "#frame"), address(page, "#result")
    page.locator("#padding_left input[type=number]").fill("96")
    page.locator("#padding_left input[type=number]").press("Enter")
    wait_for_change(page, "#frame", shown)
    wait_for_change(page, "#result", result)
    assert picture(page, "#result").shape[1] < whole.shape[1]


def test_of_several_faces_one_is_clicked(visit, tmp_path, small_portrait):
    page = visit()
    shown = address(page, "#result")
    upload(page, save(tmp_path / "two.png", np.hstack([small_portrait, small_portrait[:, ::-1] // 2 + 60])))
    page.get_by_text("2 faces").wait_for()
    wait_for_change(page, "#result", shown)
    first, shown = picture(page, "#result", 0), address(page, "#result")
    chosen = page.locator("#face input:checked").get_attribute("value")
    frame = page.locator("#frame img")
    box = frame.bounding_box()
    for share in (0.25, 0.75):  # one of them is chosen already
        frame.click(position={"x": share * box["width"], "y": 0.5 * box["height"]})
        page.wait_for_timeout(1000)
        if page.locator("#face input:checked").get_attribute("value") != chosen:
            break
    wait_for_change(page, "#result", shown)
    second = picture(page, "#result", 0)
    assert abs(float(first.mean()) - float(second.mean())) > 5, "the other one is paler"


def test_a_video_is_rendered_downloaded_and_decoded(visit, tmp_path, small_portrait):
    page = visit()
    upload(page, clip(tmp_path / "talk.mp4", 2, [small_portrait, np.roll(small_portrait, 2, 1)], sound="aac",
                      sound_seconds=2))  # fmt: skip
    page.locator("#run").click()
    message(page, "of 16 frames")
    message(page, "Done: 16 frames")
    with page.expect_download() as download:
        page.locator("#film_file").click()
    assert download.value.suggested_filename == "talk_vtoonify.mp4"
    download.value.save_as(tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as result:
        frames = [frame.to_ndarray(format="rgb24") for frame in result.decode(video=0)]
    with av.open(str(tmp_path / "result.mp4")) as result:
        sound = sum(frame.samples for frame in result.decode(audio=0))
    assert len(frames) == 16 and min(frames[0].shape[:2]) > 300 and frames[0].std() > 20
    assert sound > 1.9 * 44100
    assert page.locator("#film video").evaluate("one => one.videoWidth") == frames[0].shape[1], "the page plays it"


def test_a_video_is_cancelled(visit, tmp_path, temporary, small_portrait):
    page = visit()
    upload(page, clip(tmp_path / "long.mp4", 3, [small_portrait], rate=25))
    page.locator("#run").click()
    page.locator("#cancel").click()
    message(page, "Cancelled")
    assert not list(temporary.glob("vtoonify-*/visits/*/video-*/*"))
    page.locator("#run").wait_for()
    assert page.locator("#run").is_enabled()


def test_bad_uploads_are_one_sentence_and_the_page_lives_on(visit, tmp_path, small_portrait):
    page = visit()
    shown = address(page, "#result")
    text = tmp_path / "words.mp4"
    text.write_text("not a film\n" * 100)
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    huge = save(tmp_path / "huge.png", np.zeros((4320, 7680, 3), np.uint8))
    black = clip(tmp_path / "black.mp4", 3, [np.zeros((96, 128, 3), np.uint8)])
    long = clip(tmp_path / "long.mp4", 5, [small_portrait])
    for path, words in [
        (text, "no photo or video"), (save(tmp_path / "noise.png", noise), "No face"), (huge, "7680 × 4320"),
        (black, "No face"), (long, "up to 3"),
    ]:  # fmt: skip
        upload(page, path)
        told = message(page, words)
        assert path.name in told and "\n" not in told.strip() and "/" not in told, told
        page.wait_for_timeout(1500)
        assert page.locator("#message [role=alert]").inner_text() == told, "it stays until something else happens"
        page.locator("#sample").click()
        page.wait_for_function("!document.querySelector('#message .told')")
    upload(page, save(tmp_path / "me.png", small_portrait))
    page.get_by_text("me.png: photo").wait_for()
    wait_for_change(page, "#result", shown)


def test_visitors_at_once_never_see_each_others_files(visit, tmp_path, temporary, small_portrait):
    pages = [visit(), visit()]
    for number, page in enumerate(pages):
        pale = np.uint8(np.clip(small_portrait * 0.5 + 120 * number, 0, 255))
        upload(page, clip(tmp_path / f"clip{number}.mp4", 1, [pale]))
    for page in pages:
        page.locator("#run").click()
    levels = []
    for number, page in enumerate(pages):
        message(page, "Done: 8 frames")
        with page.expect_download() as download:
            page.locator("#film_file").click()
        assert download.value.suggested_filename == f"clip{number}_vtoonify.mp4"
        download.value.save_as(tmp_path / f"result{number}.mp4")
        with av.open(str(tmp_path / f"result{number}.mp4")) as result:
            levels.append(next(result.decode(video=0)).to_ndarray(format="rgb24").mean())
    assert levels[1] > levels[0] + 60
    folders = {path.parents[1] for path in temporary.glob("vtoonify-*/visits/*/video-*/*.mp4")}
    assert len(folders) == 2
    for page in pages:
        page.close()
    deadline = time.monotonic() + WAIT / 1000
    while any(folder.exists() for folder in folders) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(folder.exists() for folder in folders), "who leaves, leaves nothing"


def test_programs_can_use_it(server, tmp_path, small_portrait):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(server, verbose=False, download_files=str(tmp_path))
    styles = client.predict(api_name="/styles")
    assert [one["style"] for one in styles[:4]] == ["film", "ink", "painterly", "watercolour"]
    photo = handle_file(str(save(tmp_path / "me.png", small_portrait)))
    result = client.predict(photo, style="ink", degree=0.5, compare=True, api_name="/stylize")
    height, width = cv2.imread(result).shape[:2]
    assert width > 1.5 * height and Path(result).name == "me_vtoonify.jpg"
    with pytest.raises(AppError, match="no style 'crayon'"):
        client.predict(photo, style="crayon", api_name="/stylize")
    with pytest.raises(AppError, match="no content"):
        client.predict(None, api_name="/stylize")
    with pytest.raises(AppError, match="degree"):
        client.predict(photo, degree=2, api_name="/stylize")
    named = set(client.view_api(return_format="dict")["named_endpoints"])
    assert named == {"/styles", "/stylize"}
