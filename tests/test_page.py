"""The page in a real browser, as visitors use it."""

import re
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from model.media.files import open_frames
from model.media.sample import sample_portrait
from tests.browser import (
    UPLOAD,
    bring,
    choose,
    downloaded,
    free_port,
    message,
    needs_chromium,
    picture,
    settled,
    start_server,
    wait_until,
)
from tests.clips import make_clip, sound_of, write_photo

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def portrait():  # the sample's upper half, at a quarter of the pixels
    return cv2.resize(sample_portrait()[:360], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):  # without a face
    grey = np.random.default_rng(0).integers(90, 130, (96, 128, 3), np.uint8)
    return write_photo(tmp_path_factory.mktemp("noise") / "noise.png", grey)


def clip_of(path: Path, portrait: np.ndarray, count: int = 8, shade: int = 0) -> Path:
    frames = [np.uint8(np.clip(np.roll(portrait, n % 2, 1) * 0.5 + shade, 0, 255)) for n in range(count)]
    return make_clip(path, frames, rate=8, sound="aac", sound_seconds=count / 8)


def folders(temporary: Path) -> set[Path]:
    return set(temporary.glob("vtoonify-*/visits/*"))


def run(page, name: str = "film"):
    page.locator(f"#{name} .run").click()


def done(page, words: str = r"Done: \d+ frames", name: str = "film") -> str:
    told = page.locator(f"#{name} .state span").filter(has_text=re.compile(words))
    told.wait_for()
    return told.inner_text()


def test_opens_with_the_sample_on_a_phone(visit):
    page = visit(width=390, has_touch=True)
    before, after = picture(page, "#compare .before"), picture(page)
    assert before.shape == after.shape and np.abs(before - after).mean() > 3
    assert not page.locator("img:not([alt])").count() and "sample portrait" in page.inner_text("body")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    upload, result = (page.locator(one).bounding_box() for one in ("#drop", "#compare"))
    assert result["y"] - upload["y"] - upload["height"] < 120 and result["width"] > 300, "the result comes next"
    lefts = page.locator("#here .tile").evaluate_all("all => all.map((one) => one.getBoundingClientRect().left)")
    assert len(set(lefts)) == 2, "two columns"
    assert page.locator("#compare .pictures").evaluate("one => getComputedStyle(one).touchAction") == "pan-y"
    page.mouse.move(200, result["y"] + 50)
    page.mouse.wheel(0, 400)
    page.wait_for_function("scrollY > 300")
    assert page.title().startswith("VToonify") and page.locator("meta[name=description]").count()
    assert page.request.get(page.locator("meta[property='og:image']").get_attribute("content")).ok


def test_the_last_wish_wins(visit):
    page = visit()
    for gap in (50, 200, 500, 1000):
        wish_for_many(page, gap)


def wish_for_many(page, gap: int) -> None:
    for style in ("ink", "painterly", "watercolour", "film"):
        page.locator(f"#here [data-key={style}]").click()
        page.wait_for_timeout(gap)
    last = settled(page)
    assert last["style"] == "film" and page.locator("#caption").inner_text().startswith("Film")
    assert page.locator("#here [aria-checked=true]").get_attribute("data-key") == "film"
    degree = page.locator("#degree")
    for value in ("0.2", "0.9"):
        degree.fill(value)
        page.wait_for_timeout(gap)
    page.locator("input[name=full_frame][value='1']").check()
    page.wait_for_timeout(gap)
    page.locator("input[name=full_frame][value='0']").check()
    assert settled(page)["draft"] == "false" and "degree 0.9" in page.locator("#caption").inner_text()
    shown = picture(page)
    choose(page, "ink")
    choose(page, "film")
    assert np.array_equal(shown, picture(page)), "the picture is that of what the controls say"


def test_downloads_are_off_until_picture_and_controls_agree(visit, tmp_path):
    page = visit()
    with page.expect_response(lambda answer: "/wish" in answer.url):
        page.locator("#here [data-key=ink]").click()
        assert page.locator("#jpeg").is_disabled() and page.locator("#png").is_disabled()
        assert page.locator("#compare .spinner").is_visible()
    settled(page)
    page.locator("#png").is_enabled()
    exact, small = (cv2.imread(str(downloaded(page, one, tmp_path))) for one in ("#png", "#jpeg"))
    shown = picture(page)
    assert exact.shape == small.shape == shown.shape and np.abs(exact - shown).mean() < 3
    assert f"{exact.shape[1]} × {exact.shape[0]}" in page.locator("#caption").inner_text()


def test_before_is_the_photo_itself(visit, tmp_path):
    page = visit()
    choose(page, "ink")
    rgb = np.uint8(np.kron(np.indices((40, 40)).sum(axis=0) % 2, np.ones((2, 2)))[..., None] * (60, 90, 120))
    sharp = sample_portrait()[:400].copy()
    sharp[:80, :80] = rgb
    bring(page, write_photo(tmp_path / "sharp.png", sharp))
    page.locator("#more summary").first.click()
    page.get_by_role("button", name="Whole", exact=True).click()
    settled(page)
    before = picture(page, "#compare .before")
    assert before[: before.shape[0] // 8, : before.shape[1] // 8].std() > 20, "its finest pattern is there"


def test_crops_and_the_history(visit):
    page = visit()
    choose(page, "ink")
    wide = picture(page)
    page.locator("#more summary").first.click()
    page.get_by_role("button", name="Tight").click()
    settled(page)
    assert picture(page).shape[0] < wide.shape[0]
    page.locator("#paddings input").first.press("ArrowLeft")
    assert settled(page)["draft"] == "false"
    pictures = page.locator("#history button")
    assert pictures.count() >= 3
    wait_until(lambda: page.locator("#history button[aria-label^=Ink]").count() == 3)
    page.locator("#history button[aria-label^=Ink]").last.click()
    settled(page)
    assert np.array_equal(picture(page), wide)


def test_a_style_that_cannot_be_fetched_leaves_the_old_one(visit):
    page = visit()
    page.locator("#more_styles summary").click()
    page.locator("[data-key=pixar]").click()
    box = page.locator("#fetch_message")
    box.wait_for()
    assert "HF_HUB_OFFLINE" in box.inner_text() and "checkpoint" not in box.inner_text()
    assert page.locator("[aria-checked=true]").get_attribute("data-key") == "comic"
    assert settled(page)["style"] == "comic"
    box.get_by_role("button").click()
    assert not box.is_visible()
    assert "Cartoon 26" in page.inner_text("#elsewhere")


def test_of_several_faces_one_is_clicked_and_all_can_be_painted(visit, tmp_path, portrait):
    page = visit()
    choose(page, "ink")
    bring(page, write_photo(tmp_path / "two.png", np.hstack([portrait, portrait[:, ::-1] // 2])))
    page.get_by_text("2 faces").wait_for()
    first = picture(page, "#compare .before").mean()
    page.locator("#frame button[aria-pressed=false]").click()
    settled(page)
    assert abs(first - picture(page, "#compare .before").mean()) > 5, "the other one is darker"
    page.locator("#more summary").last.click()
    page.locator("#everybody").check()
    settled(page)
    both, photo = picture(page), picture(page, "#compare .before")
    assert both.shape == (180, 512, 3)
    faces = [np.abs(both - photo)[43:89, left : left + 46].mean() for left in (90, 376)]
    assert min(faces) > 4, "both are painted"


def test_a_face_that_is_not_found_is_marked(visit, noise, tmp_path):
    page = visit(has_touch=True)
    choose(page, "film")
    page.set_input_files(UPLOAD, noise)
    page.get_by_text("mark it by hand").wait_for()
    assert page.locator("#jpeg").is_disabled()
    frame = page.locator("#frame").bounding_box()
    page.mouse.move(frame["x"] + 20, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + 80, frame["y"] + 80, steps=3)
    page.mouse.up()
    page.locator("#mark_done").click()
    page.locator("#facts").filter(has_text="one face").wait_for()
    first = settled(page)
    assert picture(page).shape[0] > 50
    page.locator("#mark").focus()
    page.keyboard.press("Enter")
    for key in ("ArrowRight", "+", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("2 faces").wait_for()
    assert settled(page)["number"] != first["number"]


def test_where_no_face_is_found_nothing_of_the_one_before_is_shown(visit, noise, tmp_path, portrait):
    page = visit()
    choose(page, "ink")
    bring(page, write_photo(tmp_path / "me.png", portrait))
    page.wait_for_function("[...document.querySelectorAll('#here img')].every((one) => one.src.startsWith('data:'))")
    page.set_input_files(UPLOAD, noise)
    words = page.locator("#compare .words").filter(has_text="Mark the face")
    words.wait_for()
    assert words.is_visible() and not page.locator("#compare .line").is_visible()
    shown, frame = picture(page), picture(page, "#frame img")
    assert np.array_equal(shown, frame) and shown.shape == (96, 128, 3)
    assert not page.locator("#here .tile:not(.pending), #here img[src^='data:']").count()
    choose(page, "film")
    assert words.is_visible() and np.array_equal(picture(page), frame), "another style is no reason for a result"
    bring(page, write_photo(tmp_path / "me.png", portrait))
    assert not words.is_visible() and page.locator("#compare .line").is_visible()


def test_a_message_goes_with_its_cause(visit, tmp_path, portrait):
    page = visit()
    choose(page, "ink")
    words = tmp_path / "words.mp4"
    words.write_text("words")
    page.set_input_files(UPLOAD, words)
    message(page, "words.mp4")
    page.locator("#degree").fill("0.5")
    settled(page)
    assert page.locator("#message").is_visible(), "another result is no answer to it"
    page.get_by_role("tab", name="Paint a frame").click()
    assert not page.locator("#message").is_visible()
    page.get_by_role("tab", name="Styles").click()
    assert not page.locator("#message").is_visible()
    bring(page, clip_of(tmp_path / "clip.mp4", portrait))
    page.get_by_text("More for videos").click()
    page.locator("#curve").fill("much")
    run(page)
    message(page, "much")
    page.locator("#curve").fill("")
    run(page)
    done(page)
    assert not page.locator("#message").is_visible()


def test_a_lost_connection_is_told_and_a_new_server_begins_anew(visit, tmp_path, portrait):
    port = free_port()
    program = start_server(port, tmp_path)
    try:
        page = visit(address=f"http://127.0.0.1:{port}/")
        choose(page, "ink")
        bring(page, clip_of(tmp_path / "clip.mp4", portrait, 24))
        run(page)
        done(page, "before you|Waiting|frames")
        assert page.locator("#history button").count() == 3
        program.kill()
        program.wait()
        page.locator("#message p").filter(has_text="is lost; trying again").wait_for(timeout=2000)
        assert not page.locator("#film .cancel").is_visible() and not page.locator("#film progress").is_visible()
        page.get_by_role("tab", name="Paint a frame").click()
        assert page.locator("#message").is_visible(), "that is of all tabs"
        page.get_by_role("tab", name="Styles").click()
        page.locator("#here [data-key=film]").click()
        assert "trying again" in page.inner_text("#message p")
        program = start_server(port, tmp_path)
        assert message(page, "anew") == "The server began anew: bring your picture again."
        page.locator("#facts").filter(has_text="sample portrait").wait_for()
        assert settled(page)["style"] == "comic" and "#" not in page.url
        assert not page.locator("#history_part").is_visible() and not page.locator("#film_part").is_visible()
        page.route("**/news*", lambda route: route.fulfill(status=401))  # as where a password is wanted
        program.kill()
        program.wait()
        message(page, "password again: reload")
    finally:
        program.kill()


def test_videos_stand_in_line_and_each_visitor_gets_their_own(visit, tmp_path, temporary, portrait):
    pages, levels = [visit(), visit()], []
    for number, page in enumerate(pages):
        choose(page, "ink")
        bring(page, clip_of(tmp_path / f"clip{number}.mp4", portrait, 16, 120 * number))
    for page in pages:
        run(page)
    told = pages[1].locator("#film .state span").filter(has_text=re.compile("before you|frames"))
    told.wait_for()
    assert pages[1].locator("#film .cancel").is_visible() and pages[1].locator("#film .run").is_disabled()
    for number, page in enumerate(pages):
        done(page, "Done: 16 frames")
        result = downloaded(page, "#film .mp4", tmp_path)
        assert result.name == f"clip{number}_vtoonify.mp4"
        frames = [frame.rgb for frame in open_frames(result)]
        levels.append(frames[0].mean())
        assert len(frames) == 16 and min(frames[0].shape[:2]) > 300 and frames[0].std() > 20
        assert len(sound_of(result)) > 1.9 * 44100
        page.wait_for_function("document.querySelector('#film .outcome').videoWidth > 0")
    assert levels[1] > levels[0] + 40, "nobody got the other's"
    animation = downloaded(pages[0], "#film .gif", tmp_path)
    assert open_frames(animation).expected_frames >= 12 and max(open_frames(animation).size) <= 480


def test_what_waits_or_runs_is_cancelled(visit, tmp_path, temporary, portrait):
    pages = [visit(), visit()]
    for page in pages:
        choose(page, "ink")
        bring(page, clip_of(tmp_path / "long.mp4", portrait, 24))
        run(page)
    for page in reversed(pages):
        page.locator("#film .cancel").click()
        done(page, "Cancelled")
        assert page.locator("#film .run").is_enabled()
    assert not list(temporary.glob("vtoonify-*/visits/*/film-*/*"))


def test_a_part_of_a_long_video_is_rendered(visit, tmp_path, portrait):
    page = visit()
    choose(page, "ink")
    bring(page, clip_of(tmp_path / "long.mp4", portrait, 40))
    assert page.locator("#end").input_value() == "3" and "at most 3 s" in page.inner_text("#part_facts")
    page.locator("#end").fill("5")
    assert page.locator("#film .run").is_disabled() and "choose a shorter part" in page.inner_text("#part_facts")
    page.locator("#start").fill("4")
    run(page)
    done(page, "Done: 8 frames")
    assert 0.9 < len(sound_of(downloaded(page, "#film .mp4", tmp_path))) / 44100 < 1.2


def test_a_new_photo_asks_before_it_stops_a_video(visit, tmp_path, portrait):
    page, asked = visit(), []
    choose(page, "ink")
    bring(page, clip_of(tmp_path / "long.mp4", portrait, 24))
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    run(page)
    page.set_input_files(UPLOAD, write_photo(tmp_path / "me.png", portrait))
    wait_until(lambda: asked, page.wait_for_timeout)
    assert "Stop it?" in asked[0] and "long.mp4" in page.inner_text("#facts")
    page.locator("#film .cancel").click()
    done(page, "Cancelled")


def test_nobody_else_is_served_a_visitors_files_and_they_go_with_them(visit, server, tmp_path, temporary, portrait):
    other = visit()
    before = folders(temporary)
    page = visit()
    (mine,) = folders(temporary) - before
    bring(page, write_photo(tmp_path / "me.png", portrait))
    assert list(mine.glob("content-*/me.png"))
    address = page.locator("#compare .after").evaluate("one => one.src")
    assert page.request.get(address).ok
    assert httpx.get(address).status_code == other.request.get(address).status == 404
    path = next(mine.glob("content-*/me.png"))
    assert other.request.get(f"{server}gradio_api/file={path}").status == 404
    page.close()
    wait_until(lambda: not mine.exists())
    assert not mine.exists() and before <= folders(temporary)


def test_bad_uploads_are_one_sentence_and_the_page_lives_on(visit, tmp_path, portrait):
    page = visit()
    choose(page, "ink")
    words, heic = tmp_path / "words.mp4", tmp_path / "me.heic"
    words.write_text("words")
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    top = page.locator("#drop").bounding_box()["y"]
    for path in (words, heic):
        page.set_input_files(UPLOAD, path)
        told = message(page, path.name)
        assert "\n" not in told.strip() and "/" not in told and "plays" not in told, told
        assert page.locator("#drop").bounding_box()["y"] == top, "nothing moves"
    page.locator("#message button").click()
    assert not page.locator("#message").is_visible()
    bring(page, write_photo(tmp_path / "me.png", portrait))


def test_by_keyboard_alone(visit):
    page = visit()
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "upload":
            break
    else:
        raise AssertionError("the upload comes early")
    stops = []
    while len(stops) < 40 and not any("tile" in one for one in stops):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id + ' ' + document.activeElement.className"))
    assert any(one.startswith("compare_at") for one in stops) and any(one.startswith("degree") for one in stops)
    last = page.locator("#here [data-key]").last.get_attribute("data-key")
    page.keyboard.press("ArrowLeft")  # from the first to the last
    page.keyboard.press("Enter")
    assert settled(page)["style"] == last
    page.locator("#compare_at").focus()
    page.keyboard.press("Home")
    assert page.locator("#compare").evaluate("one => one.style.getPropertyValue('--at')") == "0%"
    assert page.locator("#compare_at").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"


def test_the_visitors_face_in_all_styles(visit, tmp_path, portrait):
    page = visit()
    choose(page, "ink")
    bring(page, write_photo(tmp_path / "me.png", portrait))
    page.wait_for_function("[...document.querySelectorAll('#here img')].every((one) => one.src.startsWith('data:'))")
    addresses = page.locator("#here img").evaluate_all("all => all.map((one) => one.src)")
    assert len(set(addresses)) == len(addresses) > 10


def test_the_webcam_is_shown_live_and_a_photo_of_it_is_taken(visit):
    page = visit()
    choose(page, "film")
    page.get_by_role("tab", name="Webcam").click()
    page.locator("#camera_on").click()
    page.locator("#live figcaption").filter(has_text="frames a second").wait_for()
    assert page.locator("#live img").evaluate("one => one.naturalWidth") == 480
    page.locator("#camera_photo").click()
    page.get_by_text("webcam.jpg: photo").wait_for()


def test_programs_can_use_it(server, tmp_path, temporary, portrait):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(server, verbose=False, download_files=str(tmp_path))
    styles = client.predict(api_name="/styles")
    assert [one["style"] for one in styles[:4]] == ["comic", "oil", "charcoal", "engraving"]
    photo = handle_file(str(write_photo(tmp_path / "me.png", np.hstack([portrait, portrait // 2]))))
    result = client.predict(photo, style="ink", degree=0.5, compare=True, full_frame=1, api_name="/stylize")
    assert Path(result).name == "me_vtoonify.jpg"
    assert cv2.imread(result).shape == (180, 4 * 256, 3)
    other = client.predict(photo, style="ink", face=2, api_name="/stylize")
    first = client.predict(photo, style="ink", api_name="/stylize")
    assert abs(cv2.imread(other).mean() - cv2.imread(first).mean()) > 10
    clip = handle_file(str(clip_of(tmp_path / "clip.mp4", portrait, 16)))
    result = client.predict(clip, style="ink", start=0.5, end=1.5, api_name="/stylize")
    assert len(list(open_frames(result))) == 8
    for wrong, words in [
        ({"style": "crayon"}, "no style 'crayon'"), ({"degree": 2}, "[Dd]egree"), ({"content": None}, "no content"),
        ({"padding_left": -8}, "padding"), ({"degree": "much"}, "'much' is not a number"), ({"boil": True}, "Boil"),
        ({"exemplar": "nobody"}, "one style"), ({"keep_tone": "on", "style": "ink"}, "no use for keep_tone"),
        ({"face": 9}, "no face 9"), ({"face": 0}, "from 1"), ({"people": "1=/etc/passwd:x"}, "which there is not"),
    ]:  # fmt: skip
        with pytest.raises(AppError, match=words) as error:
            client.predict(**{"content": photo} | wrong, api_name="/stylize")
        assert "/tmp" not in str(error.value)
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/styles", "/stylize"}
    assert not list(temporary.glob("vtoonify-*/*/me.png")), "uploads are gone"
