import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.common.errors import InputError
from model.demo.gallery import Gallery
from model.demo.own_picture import NOT_FOUND, OwnPicture, mean_face
from model.demo.page import Page
from model.demo.studio import Studio
from model.demo.wishes import OWN, Wish
from model.inference.stylizer import Stylizer
from model.media.sample import sample_portrait
from model.styles.example.exemplar import find_all_landmarks, read_landmarks
from tests.browser import choose, downloaded, message, needs_chromium, picture, settled
from tests.clips import make_clip, write_photo

UPLOAD = "#own_upload"


def posterised() -> np.ndarray:
    return sample_portrait()[:360, 90:390] // 64 * 64 + 32


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


@pytest.fixture
def painting(tmp_path):
    return write_photo(tmp_path / "painting.png", posterised())


@pytest.fixture
def page(tmp_path):  # without a browser
    studio = Studio("cpu")
    page = Page(studio, Gallery([], studio.stylizer, tmp_path), tmp_path / "visits")
    yield page
    page.close()


def bring(page, owner: str, path: Path):
    visit = page.visits.begin(owner)
    page.take_example(visit, "astronaut")
    folder = visit.fresh("style")
    brought = folder / path.name
    brought.write_bytes(path.read_bytes())
    return visit, page.bring_picture(visit, brought)


def paint(page, visit, **told) -> np.ndarray:
    wish = Wish.read({"style": OWN} | told)
    *_, result = page.studio.results(visit.content, wish, *page.studio.chosen(wish, None, visit.picture_style))
    return result.after


def moved(shown: dict, points: list | np.ndarray) -> dict:  # what the editor sends
    return {"key": shown["key"], "points": np.asarray(points).tolist()}


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
    visit, shown = bring(page, "me", painting)
    points = np.array(shown["points"])
    points[8] += (4.0, -6.5)
    page.place(visit, moved(shown, points))
    note = painting.with_name("painting.landmarks.txt")
    note.write_bytes(visit.picture.points_file.read_bytes())
    assert np.allclose(read_landmarks(note, (360, 300)), points, atol=0.01)
    drawn, content = paint(page, visit, degree=0.8, padding=[100] * 4), visit.content
    own = Stylizer.from_preset(str(painting), device="cpu")
    wish = Wish.read({"style": OWN, "degree": 0.8, "padding": [100] * 4})
    *_, wanted = page.studio.results(content, wish, own, wish.look())
    assert np.array_equal(drawn, wanted.after)


def test_pictures_are_in_nobody_elses_way(page, painting, tmp_path):
    kept = page.studio.stylizer("starter")
    other = write_photo(tmp_path / "other.png", posterised()[:, ::-1])
    (mine, _), (yours, shown) = bring(page, "me", painting), bring(page, "you", other)
    assert not np.array_equal(paint(page, mine), paint(page, yours))
    assert page.studio.stylizer("starter") is kept and page.studio._load.cache_info().currsize == 1
    with pytest.raises(InputError, match="another picture"):
        page.place(mine, moved(shown, shown["points"]))
    third = page.visits.begin("third")
    page.take_example(third, "astronaut")
    with pytest.raises(InputError, match="no picture of your own"):
        paint(page, third)
    path = mine.picture.path
    page.visits.end(mine.name)
    assert not path.exists() and yours.picture.path.exists()


def test_what_cannot_be_a_style_leaves_the_one_before(page, tmp_path, painting):
    visit, first = bring(page, "me", painting)
    style, portrait = visit.picture_style, sample_portrait()[:360]
    words = tmp_path / "words.png"
    words.write_text("words")
    for path, told in [
        (words, "words.png: it is text"),
        (make_clip(tmp_path / "a.mp4", [portrait[:200, :200]] * 3), "a.mp4 is a video"),
        (write_photo(tmp_path / "two.png", np.hstack([portrait, portrait])), "two.png shows 2 faces"),
        (write_photo(tmp_path / "tiny.png", portrait[:50]), "tiny.png has 512 x 50 pixels"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            page.bring_picture(visit, path)
        assert str(tmp_path) not in str(error.value)
        assert visit.picture_style is style and visit.picture.path.is_file()
    points = np.array(first["points"])
    for answer, told in [
        ([], "cannot be read"), ({"points": 1}, "cannot be read"), (moved(first, points[:9]), "9 points"),
        (moved(first, points + 1000), "outside"), (moved(first, points * 0 + 7), "no face"),
        (moved(first, points * 0.05 + 50), "no face|too small"), (moved(first, points * np.nan), "outside"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            page.place(visit, answer)
        assert str(tmp_path) not in str(error.value)
        assert visit.picture_style is style


def test_a_picture_without_a_face_is_no_style_until_its_points_were_moved(page, tmp_path, painting):
    visit, _ = bring(page, "me", painting)
    first, visit.live_wish = visit.picture.state, Wish(style=OWN)
    path = visit.fresh("style") / "noise.png"
    write_photo(path, noise())
    shown = page.bring_picture(visit, path)
    assert not shown["is_found"] and visit.picture_style is None and visit.live_wish is None
    with pytest.raises(InputError, match="drag its points onto the face"):
        paint(page, visit)
    placed = page.place(visit, moved(shown, shown["points"]))
    assert placed["is_found"] and visit.picture_style is not None
    assert len({first, shown["state"], placed["state"]}) == 3
    paint(page, visit)


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
    page.get_by_role("tab", name="Own picture").click()
    page.set_input_files(UPLOAD, path)
    page.locator("#points .dot").nth(67).wait_for()


def released(page, before: dict) -> dict:
    """What is shown after the points were moved."""
    page.wait_for_function(
        "number => Number(document.querySelector('#compare').dataset.number) > number", arg=int(before["number"])
    )
    return settled(page)


@needs_chromium
def test_a_picture_is_dropped_and_its_points_are_dragged(visit, painting, tmp_path):
    page = visit()
    start = choose(page, "ink")
    open_tab(page, painting)
    shown = released(page, start)
    assert shown["style"] == "own" and "painting.png" in page.inner_text("#caption")
    assert page.request.get(
        page.evaluate("new URL(document.querySelector('#points image').href.baseVal, document.baseURI).href")
    ).ok
    first = picture(page)
    before = [place_of(page, number) for number in (7, 8, 30)]
    drag(page, ".dot", (30, 20), number=8)
    shown = released(page, shown)
    after = [place_of(page, number) for number in (7, 8, 30)]
    assert after[0] == before[0] and after[2] == before[2] and after[1][0] > before[1][0] + 5
    assert first.shape != picture(page).shape or np.abs(first - picture(page)).mean() > 0.1

    drag(page, ".box", (12, 8), share=(0.25, 0.45))  # the cheek
    shown = released(page, shown)
    shift = np.subtract([place_of(page, number) for number in (7, 8, 30)], after)
    assert np.ptp(shift, axis=0).max() < 0.01 and shift.min() > 1
    wide = place_of(page, 16)[0] - place_of(page, 0)[0]
    drag(page, ".corner", (-20, -20), number=2)
    shown = released(page, shown)
    assert place_of(page, 16)[0] - place_of(page, 0)[0] < 0.95 * wide
    notes = downloaded(page, "#points_file", tmp_path)
    assert notes.name == "painting.landmarks.txt"
    assert np.allclose(read_landmarks(notes, (360, 300))[8], place_of(page, 8), atol=0.02)

    page.get_by_role("button", name="Put the points back").click()
    shown = released(page, shown)
    assert place_of(page, 8) == before[1]
    page.get_by_role("tab", name="Styles").click()
    assert choose(page, "ink")["style"] == "ink"
    page.get_by_role("tab", name="Own picture").click()
    page.locator("#use_own").click()
    assert settled(page)["style"] == "own"


@needs_chromium
def test_where_no_face_is_found_the_visitor_places_it_by_keyboard(visit, tmp_path):
    page = visit()
    before = choose(page, "ink")
    open_tab(page, write_photo(tmp_path / "noise.png", noise()))
    assert "No face was found" in page.inner_text("#advice") and settled(page) == before
    start = place_of(page, 30)
    page.locator("#points .box").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    shown = released(page, before)
    assert place_of(page, 30)[0] > start[0] and "noise.png" in page.inner_text("#caption")
    page.locator("#points .dot").first.focus()
    page.keyboard.press("PageDown")
    start = place_of(page, 1)
    page.keyboard.press("Shift+ArrowDown")
    released(page, shown)
    assert place_of(page, 1)[1] >= start[1] + 9
    page.set_input_files(UPLOAD, make_clip(tmp_path / "clip.mp4", [noise()[:120, :160]] * 3))
    assert re.fullmatch(r"clip.mp4 is a video[^\n]+\.", message(page, "is a video").strip())
    assert place_of(page, 1)[1] >= start[1] + 9, "what was there stays"


@needs_chromium
def test_a_second_picture_without_a_face_does_not_paint_as_the_first(visit, painting, tmp_path):
    page = visit()
    start = choose(page, "ink")
    open_tab(page, painting)
    first = released(page, start)
    assert page.locator("#use_own").is_enabled()
    page.set_input_files(UPLOAD, write_photo(tmp_path / "noise.png", noise()))
    words = page.locator("#compare .words").filter(has_text="Mark the face in your own picture")
    words.wait_for()
    assert page.locator("#use_own").is_disabled() and page.locator("#jpeg").is_disabled()
    page.locator("#degree").fill("0.5")
    assert words.is_visible() and not page.locator("#message").is_visible()
    page.locator("#points .box").focus()
    page.keyboard.press("+")
    second = released(page, first)
    assert page.locator("#use_own").is_enabled() and not words.is_visible()
    assert "noise.png" in page.inner_text("#caption") and second["style"] == "own"

    mine = page.locator("#history button[aria-label^='painting.png']")  # whose picture is there no more
    assert mine.count() == page.locator("#history button[aria-label^='noise.png']").count() == 1
    mine.click()
    assert page.locator("#old").is_visible()
    assert page.locator("#old img").get_attribute("src") == mine.locator("img").get_attribute("src")
    assert settled(page) == second, "nothing is painted"
    assert page.request.get(page.locator("#old img").evaluate("one => one.src")).ok
    page.locator("#old_close").click()
    page.locator("#history button[aria-label^='noise.png']").click()
    assert not page.locator("#old").is_visible() and settled(page)["number"] > second["number"]


@needs_chromium
def test_on_a_phone_points_are_dragged_by_finger(visit, painting):
    page = visit(width=390, has_touch=True)
    start = choose(page, "ink")
    open_tab(page, painting)
    shown = released(page, start)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#points svg").bounding_box()["width"] > 250
    page.get_by_role("button", name="Magnify the face").click()
    page.locator("#points svg").scroll_into_view_if_needed()
    box, start = page.locator("#points .dot").nth(8).bounding_box(), place_of(page, 8)
    x, y, finger = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - 8, page.context.new_cdp_session(page)
    for kind, places in [("Start", [0]), ("Move", [-10]), ("Move", [-25]), ("End", [])]:
        touches = [{"x": x, "y": y + down} for down in places]
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touches})
    released(page, shown)
    assert place_of(page, 8)[1] < start[1] - 5


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
        ({"style_image": handle_file(str(unfit))}, "[Nn]o face was found in the style picture noise.png"),
        ({"landmarks": handle_file(str(notes))}, "no style_image"),
        ({"style_image": handle_file(str(painting)), "landmarks": handle_file(str(painting))}, "cannot be read"),
    ]:
        with pytest.raises(AppError, match=words) as error:
            stylise(**given)
        assert "/tmp" not in str(error.value)
