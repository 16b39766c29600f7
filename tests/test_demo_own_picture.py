import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.common.errors import InputError
from model.demo.gallery import Gallery
from model.demo.own_picture import NOT_FOUND, OwnPicture, mean_face
from model.demo.studio import Studio
from model.inference.stylizer import Stylizer
from model.media.files import Frame, open_sink
from model.media.sample import sample_portrait
from model.styles.example.exemplar import find_all_landmarks, read_landmarks
from tests.browser import address, changed, message, needs_chromium, picture, wait_until
from tests.clips import make_clip, write_photo

UPLOAD = "#own_upload input[type=file]"


def posterised() -> np.ndarray:
    return sample_portrait()[:360, 90:390] // 64 * 64 + 32


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


@pytest.fixture
def painting(tmp_path):
    return write_photo(tmp_path / "painting.png", posterised())


@pytest.fixture
def page(tmp_path):  # the handlers, without a browser
    handlers, studio = pytest.importorskip("model.demo.page"), Studio("cpu")
    return handlers.Page(studio, Gallery([], studio.stylizer, tmp_path), tmp_path / "visits")


def bring(page, session: str, path: Path) -> dict:
    list(page.take(session))
    *_, shown = page.bring_picture(session, str(path))
    return shown


def controls(**others) -> dict:
    from model.demo.page import OWN, PADDINGS

    return {"style": OWN, "face": 0} | dict.fromkeys(PADDINGS, 100) | others


def moved(shown: dict, points: list | np.ndarray) -> str:  # what the editor sends
    return json.dumps(json.loads(shown["points"]) | {"points": np.asarray(points).tolist()})


def test_a_face_is_placed_in_the_middle_of_a_picture_without_one(tmp_path):
    points = mean_face((300, 500))
    assert find_all_landmarks(noise()) == [] and points.shape == (68, 2)
    assert np.allclose((points.min(axis=0) + points.max(axis=0)) / 2, (250, 150))
    assert points.min() > 0 and points[:, 1].max() < 300 and 50 < np.ptp(points[:, 0]) < 250
    path = write_photo(tmp_path / "shown.png", noise())
    found = OwnPicture.find(path, noise())
    assert not found.is_found and found.advice == NOT_FOUND
    assert np.allclose(read_landmarks(found.points_file, (120, 160)), mean_face((120, 160)), atol=0.01)


def test_the_page_paints_as_the_command_line_does_with_the_points_that_it_offers(page, tmp_path, painting):
    shown = bring(page, "me", painting)
    points = np.array(json.loads(shown["points"])["points"])
    points[8] += (4.0, -6.5)
    *_, shown = page.place("me", moved(shown, points), **controls())
    note = painting.with_name("painting.landmarks.txt")
    note.write_bytes(Path(shown["points_file"]["value"]).read_bytes())
    assert np.allclose(read_landmarks(note, (360, 300)), points, atol=0.01)
    *_, result = page.result("me", **controls(degree=0.8))
    drawn = cv2.imread(result["picture_file"]["value"])
    content, own = page.visits.known("me").content, Stylizer.from_preset(str(painting), device="cpu")
    _, wanted = page.studio.picture(content, page._person(content, own, **controls(degree=0.8)))
    with open_sink(tmp_path / "wanted.jpg", content.source) as sink:
        sink.write(Frame(wanted))
    assert np.abs(drawn.astype(int) - cv2.imread(str(sink.path))).mean() < 0.1


def test_pictures_are_in_nobody_elses_way(page, painting, tmp_path):
    kept = page.studio.stylizer("starter")
    other = write_photo(tmp_path / "other.png", posterised()[:, ::-1])
    pictures = {"me": painting, "you": other}
    for session, path in pictures.items():
        bring(page, session, path)
    results = {name: list(page.result(name, **controls()))[-1]["picture_file"]["value"] for name in pictures}
    assert not np.array_equal(*(cv2.imread(path)[:200, :200] for path in results.values()))
    assert page.studio.stylizer("starter") is kept and page.studio._load.cache_info().currsize == 1
    mine, yours = (page.visits.known(name) for name in pictures)
    assert mine.picture_style is not yours.picture_style
    with pytest.raises(InputError, match="another picture"):
        list(page.place("me", yours.picture.editor, **controls()))
    list(page.take("third"))
    with pytest.raises(InputError, match="no style ''"):
        list(page.result("third", **controls()))
    page.visits.end("me")
    assert not mine.picture.path.exists() and yours.picture.path.exists()


def test_what_cannot_be_a_style_leaves_the_one_before(page, tmp_path, painting):
    first = bring(page, "me", painting)
    visit = page.visits.known("me")
    style = visit.picture_style
    portrait = sample_portrait()[:360]
    words = tmp_path / "words.png"
    words.write_text("words")
    for path, told in [
        (words, "words.png: it is text"),
        (make_clip(tmp_path / "a.mp4", [portrait[:200, :200]] * 3), "a.mp4 is a video"),
        (write_photo(tmp_path / "two.png", np.hstack([portrait, portrait])), "two.png shows 2 faces"),
        (write_photo(tmp_path / "tiny.png", portrait[:50]), "tiny.png has 512 x 50 pixels"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            list(page.bring_picture("me", str(path)))
        assert str(tmp_path) not in str(error.value)
        assert visit.picture_style is style and visit.picture.path.is_file()
    points = np.array(json.loads(first["points"])["points"])
    for answer, told in [
        ("{", "cannot be read"), ('{"points": 1}', "cannot be read"), (moved(first, points[:9]), "9 points"),
        (moved(first, points + 1000), "outside"), (moved(first, points * 0 + 7), "no face"),
        (moved(first, points * 0.05 + 50), "no face|too small"), (moved(first, points * np.nan), "outside"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            list(page.place("me", answer, **controls()))
        assert str(tmp_path) not in str(error.value)
        assert visit.picture_style is style
    list(page.result("me", **controls()))


def test_a_crop_that_nobody_has_set_goes_with_the_points(page, painting):
    from model.demo.page import PADDINGS, rooms

    shown = bring(page, "me", painting)
    points = np.array(json.loads(shown["points"])["points"])
    before = dict(zip(PADDINGS, rooms(page.visits.known("me").picture_style.style), strict=True))
    *_, result = page.place(
        "me", moved(shown, (points - points.mean(axis=0)) * 0.8 + points.mean(axis=0)), "", **before
    )
    assert all(result[name]["value"] > room for name, room in before.items()), "a smaller face has more room"
    *_, result = page.place("me", moved(shown, points), "", **before | {"padding_left": 77})
    assert not set(PADDINGS) & set(result), "they set it"


def place_of(page, number: int) -> tuple[float, float]:  # of a point, in pixels of the picture
    dot = page.locator("#points .dot").nth(number)
    return tuple(float(dot.get_attribute(name)) for name in ("cx", "cy"))


def drag(page, place: str, by: tuple[float, float], number: int = 0, share: tuple[float, float] = (0.5, 0.5)) -> None:
    page.locator("#points svg").scroll_into_view_if_needed()
    box = page.locator(f"#points {place}").nth(number).bounding_box()
    x, y = box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up()


def open_tab(page, path: Path) -> None:
    page.get_by_role("tab", name="Your own picture").click()
    page.set_input_files(UPLOAD, path)
    page.locator("#points .dot").nth(67).wait_for()


@needs_chromium
def test_a_picture_is_dropped_and_its_points_are_dragged(visit, painting, tmp_path):
    page = visit()
    with changed(page):
        open_tab(page, painting)
    assert "painting.png" in page.inner_text("#about strong") and not page.locator("#message .told").count()
    assert page.request.get(page.locator("#points image").get_attribute("href")).ok
    first = picture(page)
    before = [place_of(page, number) for number in (7, 8, 30)]
    with changed(page):
        drag(page, ".dot", (30, 20), number=8)
    after = [place_of(page, number) for number in (7, 8, 30)]
    assert after[0] == before[0] and after[2] == before[2] and after[1][0] > before[1][0] + 5
    assert np.abs(first - picture(page)).mean() > 0.1

    with changed(page):
        drag(page, ".box", (12, 8), share=(0.25, 0.45))  # the cheek
    shift = np.subtract([place_of(page, number) for number in (7, 8, 30)], after)
    assert np.ptp(shift, axis=0).max() < 0.01 and shift.min() > 1
    wide = place_of(page, 16)[0] - place_of(page, 0)[0]
    with changed(page):
        drag(page, ".corner", (-20, -20), number=2)
    assert place_of(page, 16)[0] - place_of(page, 0)[0] < 0.95 * wide

    with page.expect_download() as download:
        page.locator("#points_file").click()
    assert download.value.suggested_filename == "painting.landmarks.txt"
    notes = tmp_path / "saved.txt"
    download.value.save_as(notes)
    assert np.allclose(read_landmarks(notes, (360, 300))[8], place_of(page, 8), atol=0.02)

    with changed(page):
        page.get_by_role("button", name="Put the points back").click()
    assert place_of(page, 8) == before[1]
    page.get_by_role("tab", name="Gallery").click()
    with changed(page):
        page.get_by_role("button", name="Ink", exact=True).click()
    assert "Ink" in page.inner_text("#about strong")
    page.get_by_role("tab", name="Your own picture").click()
    with changed(page):
        page.locator("#use_own").click()
    with changed(page):
        page.locator("#degree input[type=range]").press("Home")


@needs_chromium
def test_where_no_face_is_found_the_visitor_places_it_by_keyboard(visit, tmp_path):
    page = visit()
    about, result = page.inner_text("#about strong"), address(page)
    open_tab(page, write_photo(tmp_path / "noise.png", noise()))
    told = message(page, "No face was found")
    page.wait_for_timeout(2500)
    assert message(page, "No face") == told, "it stays until they have placed it"
    assert page.inner_text("#about strong") == about and address(page) == result
    start = place_of(page, 30)
    with changed(page):
        page.locator("#points .box").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("+")
    assert place_of(page, 30)[0] > start[0] and "noise.png" in page.inner_text("#about strong")
    assert not page.locator("#message .told").count()
    page.locator("#points .dot").first.focus()
    page.keyboard.press("PageDown")
    start = place_of(page, 1)
    with changed(page):
        page.keyboard.press("Shift+ArrowDown")
    assert place_of(page, 1)[1] >= start[1] + 9
    page.set_input_files(UPLOAD, make_clip(tmp_path / "clip.mp4", [noise()[:120, :160]] * 3))
    assert re.fullmatch(r"clip.mp4 is a video[^\n]+\.", message(page, "is a video").strip())
    assert place_of(page, 1)[1] >= start[1] + 9, "what was there stays"


@needs_chromium
def test_on_a_phone_points_are_dragged_by_finger(visit, painting):
    page = visit(width=390)
    with changed(page):
        open_tab(page, painting)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#points svg").bounding_box()["width"] > 250
    page.get_by_role("button", name="Magnify the face").click()
    page.locator("#points svg").scroll_into_view_if_needed()
    box, start = page.locator("#points .dot").nth(8).bounding_box(), place_of(page, 8)
    x, y, finger = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - 8, page.context.new_cdp_session(page)
    with changed(page):
        for kind, places in [("Start", [0]), ("Move", [-10]), ("Move", [-25]), ("End", [])]:
            touches = [{"x": x, "y": y + down} for down in places]
            finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touches})
    assert place_of(page, 8)[1] < start[1] - 5


@needs_chromium
def test_others_see_nothing_of_it_and_it_goes_with_its_visitor(visit, painting, temporary):
    mine, other = visit(), visit()
    with changed(mine):
        open_tab(mine, painting)
    other.get_by_role("tab", name="Your own picture").click()
    assert not other.locator("#points .dot").count() and "painting" not in other.inner_text("body")
    with changed(other):
        other.locator("#degree input[type=range]").press("Home")
    (folder,) = {path.parents[1] for path in temporary.glob("vtoonify-*/visits/*/style-*/painting.png")}
    mine.close()
    wait_until(lambda: not folder.exists())
    assert not folder.exists()


@needs_chromium
def test_programs_can_bring_a_style_picture(server, painting, tmp_path):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(server, verbose=False, download_files=str(tmp_path))
    photo = handle_file(str(write_photo(tmp_path / "me.png", sample_portrait()[:360:2, ::2])))
    unfit = write_photo(tmp_path / "noise.png", noise())
    notes = tmp_path / "points.txt"
    np.savetxt(notes, mean_face((120, 160)))

    def stylise(**given) -> np.ndarray:
        return cv2.imread(client.predict(photo, api_name="/stylize", **given))

    results = [
        stylise(style="ink"), stylise(style_image=handle_file(str(painting))),
        stylise(style_image=handle_file(str(unfit)), landmarks=handle_file(str(notes))),
    ]  # fmt: skip
    assert len({result.tobytes() for result in results}) == 3
    for given, words in [
        ({"style_image": handle_file(str(unfit))}, "no face was found in the style picture noise.png"),
        ({"landmarks": handle_file(str(notes))}, "no style_image"),
        ({"style_image": handle_file(str(painting)), "landmarks": handle_file(str(painting))}, "cannot be read"),
    ]:
        with pytest.raises(AppError, match=words) as error:
            stylise(**given)
        assert "/tmp" not in str(error.value)
