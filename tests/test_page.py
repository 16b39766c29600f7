from pathlib import Path

import cv2
import numpy as np
import pytest

from model.media.files import open_frames
from model.media.sample import sample_portrait
from tests.browser import changed, message, needs_chromium, picture, wait_until
from tests.clips import make_clip, sound_of, write_photo

pytestmark = needs_chromium

DEGREE, UPLOAD = "#degree input[type=range]", "#upload input[type=file]"


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
    with changed(page):
        page.get_by_role("button", name="Film", exact=True).click()
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
        page.get_by_role("button", name="Painterly", exact=True).click()
    assert page.locator("#degree input[type=number]").input_value() == "0"

    with changed(page), changed(page, "#frame"):
        page.locator("#padding_left input[type=number]").fill("96")
        page.locator("#padding_left input[type=number]").press("Enter")
    assert picture(page).shape[1] < ink.shape[1]


def test_a_style_that_cannot_be_fetched_leaves_the_old_one(visit):
    page = visit()
    page.get_by_role("button", name="⤓ pixar", exact=True).click()
    assert "HF_HUB_OFFLINE" in message(page, "could not be fetched")
    assert page.get_by_role("button", name="Comic", exact=True).get_attribute("class").count("selected")
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
    assert levels[1] > levels[0] + 40, "nobody got the other's"
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
    assert [one["style"] for one in styles[:4]] == ["comic", "oil", "charcoal", "engraving"]
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
