import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import pytest
import skimage.data
from starlette.applications import Starlette
from starlette.testclient import TestClient

import app
from app import Options
from model.common.errors import InputError
from model.common.memory import give_back, keep_little
from model.demo import studio as studio_module
from model.demo.doors import browser_page
from model.demo.gallery import Gallery, list_entries
from model.demo.line import Line
from model.demo.page import Page
from model.demo.programs import Programs
from model.demo.server import check_address
from model.demo.studio import Stopped, Studio
from model.demo.visits import IDLE, RETURN_WITHIN, Visits
from model.demo.wishes import Wish
from model.inference.stylizer import Stylizer
from model.styles.network import _Fold
from tests.clips import make_clip, sound_of, write_photo
from tests.small_models import CODES, dual, face_picture, save_model
from tests.test_frames_failures import files_no_larger_than


@pytest.fixture(scope="module")
def studio():
    return Studio("cpu", "fp32", max_seconds=4)


@pytest.fixture(scope="module")
def sample(studio):
    return studio.example("astronaut")


@pytest.fixture
def long_clip(tmp_path):  # three seconds
    return make_clip(tmp_path / "a.mp4", [face_picture()[:140]] * 60)


def film(studio, content, **told):
    """A wish for the starter's film, and the arguments with which it is rendered."""
    wish = Wish.read({"style": "film", "degree": 1.0} | told)
    entry = next(entry for entry in list_entries() if entry.key == "film")
    return content, wish, *studio.chosen(wish, entry, None)


def person(studio, content, **told):
    content, wish, stylizer, look = film(studio, content, **told)
    return studio.person(content, stylizer, wish.face, look)


def test_all_visitors_share_one_copy_of_a_network(monkeypatch):
    loads = []

    def slow(name, **settings):
        loads.append(name)
        time.sleep(0.05)
        return object()

    monkeypatch.setattr(Stylizer, "from_preset", slow)
    studio = Studio("cpu")
    with ThreadPoolExecutor(5) as pool:
        assert len(set(pool.map(studio.stylizer, ["starter"] * 5))) == 1
    assert loads == ["starter"]
    for name in [*"abcdefg", "starter"]:
        studio.stylizer(name)
    assert loads.count("starter") == 2, "the one not used for the longest went"


def test_a_model_that_goes_while_it_is_asked_for_is_no_error(monkeypatch):
    monkeypatch.setattr(studio_module, "KEPT_MODELS", 1)
    monkeypatch.setattr(Stylizer, "from_preset", lambda name, **settings: name)
    studio, names = Studio("cpu"), list("abcd") * 2000
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(studio.stylizer, names)) == names


def test_two_threads_get_each_their_own_degree(monkeypatch):
    def slowly(fold, name, value):
        object.__setattr__(fold, name, value)
        time.sleep(0.02)  # the other thread's turn

    monkeypatch.setattr(_Fold, "__setattr__", slowly)
    stylizer, face = dual(), face_picture()
    portrait = stylizer.fit(face)

    def render(degree: float) -> bytes:
        return next(stylizer.render([face], portrait, degree=degree)).tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(render, [0.0, 1.0] * 8)) == [render(0.0), render(1.0)] * 8 and render(0.0) != render(1.0)


@pytest.mark.parametrize("quarters", [0, 1])
def test_a_picture_is_that_of_the_command_line_and_a_draft_lies_over_it(studio, tmp_path, quarters):
    lying = np.ascontiguousarray(np.rot90(skimage.data.astronaut(), quarters))
    sample = studio.bring(write_photo(tmp_path / "me.png", lying))
    draft, result = studio.results(*film(studio, sample))
    stylizer = studio.stylizer("starter")
    portrait = stylizer.fit(sample.shown)
    assert np.array_equal(result.after, next(stylizer.render([sample.shown.rgb], portrait, style="film", degree=1.0)))
    assert draft.is_draft and draft.after.shape == draft.before.shape == result.before.shape == result.after.shape
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (result.after, draft.after)]
    (dx, dy), _ = cv2.phaseCorrelate(*(cv2.GaussianBlur(one, (0, 0), 4) for one in grey))
    assert max(abs(dx), abs(dy)) < 2 and np.abs(grey[0] - grey[1]).mean() < 10, "nothing jumps when it is in full"
    assert len(list(studio.results(*film(studio, sample, quick=True)))) == 1


def test_before_has_the_photos_own_pixels(studio, tmp_path):
    checks = np.uint8(np.indices((512, 512)).sum(axis=0) // 2 % 2 * 40)[..., None]
    sharp = studio.bring(write_photo(tmp_path / "me.png", np.maximum(skimage.data.astronaut(), 40) - checks))
    (_, result) = studio.results(*film(studio, sharp, padding=[400] * 4))
    before = cv2.cvtColor(result.before, cv2.COLOR_RGB2GRAY).astype(float)
    fine = before - cv2.GaussianBlur(before, (0, 0), 5)
    assert fine.std() > 8, "a crop at the size that the network takes has lost the pattern"
    left, top, right, bottom = result.crop
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    (whole,) = studio.results(*film(studio, sharp, full_frame=1))
    assert np.array_equal(whole.before, sharp.shown.rgb)


def test_a_face_is_encoded_once_for_each_style(monkeypatch):
    encoded, stylizer = [], dual()
    monkeypatch.setattr(stylizer.style, "encode", lambda *face: encoded.append(face))
    monkeypatch.setattr(Stylizer, "from_preset", lambda name, **settings: stylizer)
    studio = Studio("cpu")
    sample = studio.example("astronaut")
    looks = [Wish(padding=(side,) * 4).look() for side in (200, 100)]
    wide, narrow = (studio.person(sample, stylizer, 0, look).portrait.crop for look in looks)
    assert len(encoded) == 1 and wide.width > narrow.width


def test_several_people_and_a_face_in_a_box(studio, tmp_path):
    half = skimage.data.astronaut()[:240:2, 60:400:2]
    two = studio.bring(write_photo(tmp_path / "two.png", np.hstack([half, half[:, ::-1]])))
    assert len(two.faces) == 2 and len(two.boxes()) == 2
    (result,) = studio.results(*film(studio, two, people="all"))
    changes = np.abs(result.after.astype(int) - result.before).mean(axis=(0, 2))
    assert result.after.shape == two.shown.rgb.shape and min(part.max() for part in np.split(changes, 2)) > 3
    with pytest.raises(InputError, match="no person 7"):
        list(studio.results(*film(studio, two, people="7=ink")))
    blank = studio.bring(write_photo(tmp_path / "blank.png", np.full((90, 120, 3), 90, np.uint8)))
    with pytest.raises(InputError, match="draw a box"):
        list(studio.results(*film(studio, blank)))
    marked = blank.with_box([0.3, 0.3, 0.7, 0.8])
    ((left, top, right, bottom),) = marked.boxes()
    assert left < 0.5 < right and top < 0.55 < bottom and not blank.faces
    assert len(list(studio.results(*film(studio, marked)))) == 2
    for box, told in [([0.1, 0.1, 0.11, 0.9], "too small"), ([1, 2], "four edges"), ([0, 0, float("nan"), 1], "four")]:
        with pytest.raises(InputError, match=told):
            blank.with_box(box)


@pytest.mark.parametrize("end", ["cancelled", "too long", "closed"])
def test_nothing_is_left_of_a_video_that_is_broken_off(studio, tmp_path, long_clip, monkeypatch, end):
    content, folder, stop = studio.bring(long_clip), tmp_path / "out", threading.Event()
    folder.mkdir()
    steps = studio.video(*film(studio, content), folder / "out.mp4", stop.is_set)
    next(steps)
    if end == "too long":  # which no header told
        monkeypatch.setattr(studio, "max_seconds", -1)
    elif end == "cancelled":
        stop.set()
    if end == "closed":
        steps.close()
    else:
        with pytest.raises(Stopped if end == "cancelled" else InputError, match="Cancelled|up to -1"):
            next(steps)
    assert not list(folder.iterdir())


def test_a_part_of_a_video_keeps_its_sound(studio, tmp_path):
    clip = make_clip(tmp_path / "a.mp4", [face_picture()] * 24, rate=8, sound="aac", sound_seconds=3)
    out = tmp_path / "out.mp4"
    assert list(studio.video(*film(studio, studio.bring(clip), start=1.0, end=2.0), out, lambda: False))[-1] == 8
    assert 0.95 < len(sound_of(out)) / 44100 < 1.1
    with pytest.raises(InputError, match="no picture from 9 s on") as error:
        list(studio.video(*film(studio, studio.bring(clip), start=9.0), out, lambda: False))
    assert str(tmp_path) not in str(error.value)


def test_limits_in_words_that_do_not_tell_where_the_server_keeps_files(tmp_path, long_clip, monkeypatch):
    monkeypatch.setattr(studio_module, "MAX_PIXELS", {"photo": 40_000, "video": 30_000, "result": 10**6})
    words = tmp_path / ("long" * 20 + ".mp4")
    words.write_text("words")
    for path, told in [
        (write_photo(tmp_path / "me.png", skimage.data.astronaut()[:300, :300]), "me.png has 300 × 300 pixels"),
        (make_clip(tmp_path / "b.mp4", [face_picture()] * 2), "b.mp4 has 192 × 192 pixels"),
        (long_clip, "a.mp4 lasts 3 seconds.*up to 1"),
        (words, "it is text"),
    ]:
        with pytest.raises(InputError, match=told) as error:
            studio = Studio("cpu", max_seconds=1)
            list(studio.video(*film(studio, studio.bring(path)), tmp_path / "out.mp4", lambda: False))
        assert str(tmp_path) not in str(error.value) and len(str(error.value)) < 200


def test_a_result_can_be_too_large(studio, tmp_path, sample, monkeypatch):
    monkeypatch.setitem(studio_module.MAX_PIXELS, "result", 1000 * 1000)
    list(studio.results(*film(studio, sample, full_frame=1)))
    large = film(studio, sample, full_frame=2)
    for render in (studio.results, lambda *wanted: studio.video(*wanted, tmp_path / "out.jpg", lambda: False)):
        with pytest.raises(InputError, match="result has 1024 × 1024 pixels"):
            next(iter(render(*large)))
    with pytest.raises(InputError, match="more room"):
        next(iter(studio.results(*film(studio, sample, padding=[0] * 4))))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"degree": "much"}, "not a number"), ({"degree": 2}, "degree"), ({"degree": True}, "a number"),
        ({"degree": float("nan")}, "a number"),
        ({"face": "first"}, "a whole number"),
        ({"boil": True}, "a number"),
        ({"keep_tone": "maybe"}, "one of auto, on, off"), ({"full_frame": 3}, "one of 0, 1, 2"), ({"crop": 1}, "text"),
        ({"padding": [1, 2]}, "four numbers"), ({"padding": [-8, 1, 1, 1]}, "four numbers"),
        ({"stile": 1}, "no option"),
        ({"start": 3, "end": 2}, "part of the video"), ({"people": "1=/etc/passwd:a"}, "which there is not"),
        ({"people": "one"}, "list of people|--styles"), ({"exemplar": "a" * 999}, "999 letters"), ([], "object"),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be(told, words):
    with pytest.raises(InputError, match=words):
        Wish.read(told)


def test_a_wish_is_what_was_sent():
    told = {"number": 7, "style": "ink", "degree": "0@0s,1@3s", "padding": [1, 2, 3, 4], "boil": 0.5, "crop": "auto"}
    wish = Wish.read(told)
    assert wish.look("ink").padding == [1, 2, 3, 4] and wish.look().degree(3) == 1 and wish.options == (("boil", 0.5),)
    assert wish.unused(["degree"]) == ["boil"] and wish.unused(["boil"]) == ["degree"]


def test_who_waits_in_a_line_is_told_their_place_and_can_leave():
    line, gate, places, done = Line(), threading.Event(), {}, []
    blocking = line.submit(gate.wait)
    while not blocking.has_begun:
        time.sleep(0.01)
    tickets = [
        line.submit(lambda name=name: done.append(name), urgency, lambda place, name=name: places.update({name: place}))
        for name, urgency in (("late", 1), ("first", -1), ("left", 0), ("second", 0))
    ]
    assert places["first"] == 1 and places["late"] > places["second"] > places["left"] > 1
    assert tickets[2].cancel() and not tickets[2].cancel()
    gate.set()
    while len(done) < 3:
        time.sleep(0.01)
    assert done == ["first", "second", "late"] and places["late"] == -1
    line.close()
    assert not tickets[0].cancel()


def test_work_that_fails_does_not_stop_a_line(capsys):
    line, done = Line(), threading.Event()
    line.submit(lambda: 1 / 0)
    line.submit(done.set)
    assert done.wait(10) and "ZeroDivision" in capsys.readouterr().err
    line.close()


def own_model(folder: Path) -> Path:  # one that the user has trained, in a checkpoint folder
    (folder / "mine").mkdir()
    return save_model(folder / "mine").rename(folder / "mine/vtoonify_s_d.pt")


def test_entries_on_disk_come_first(studio, tmp_path):
    own_model(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/vtoonify_t.pt").write_bytes(b"words")
    entries = list_entries(tmp_path)
    painters = ["comic", "oil", "charcoal", "engraving", "watercolour"]
    assert [entry.key for entry in entries if entry.on_disk] == [*painters, "mine"]
    assert [entry.on_disk for entry in entries] == sorted((entry.on_disk for entry in entries), reverse=True)
    assert len({entry.key for entry in entries}) == len(entries) > 12
    gallery = Gallery(entries, studio.stylizer, tmp_path)
    assert "Cartoon 26" in [entry.title for entry in entries] and len({e.title for e in entries}) == len(entries)
    with pytest.raises(InputError, match="no style 'crayon'"):
        gallery.entry("crayon")
    shipped = [entry for entry in list_entries() if entry.preset.name.startswith("starter")]
    keys = ["film", "ink", "painterly", "starter-watercolour", "starter-pd-film", "starter-pd-ink"]
    assert [entry.key for entry in shipped[:6]] == keys and shipped[4].title == "Film (PD)"
    assert [entry.key for entry in entries if entry.preset.name in ("painters", "comic")] == [*painters, "comic-d"]


def test_pictures_are_drawn_once_and_anew_for_another_model(studio, tmp_path):
    model = own_model(tmp_path)
    (entry,) = (one for one in list_entries(tmp_path) if one.key == "mine")

    def picture(draw: bool = False) -> np.ndarray:
        gallery = Gallery([entry], studio.stylizer, tmp_path)
        if draw:
            gallery.try_to_draw(entry)
        return np.asarray(gallery.picture(entry))

    grey, drawn = picture(), picture(draw=True)
    assert drawn.shape == (256, 256, 3) and not np.array_equal(grey, drawn)
    assert np.array_equal(picture(), drawn)
    (file,) = (tmp_path / ".pictures").iterdir()
    size = file.stat().st_size
    file.unlink()
    with files_no_larger_than(size - 1):
        assert np.array_equal(picture(draw=True), drawn) and np.array_equal(picture(), grey), "shown, but not kept"
    assert not list(file.parent.iterdir())
    model.touch()
    assert np.array_equal(picture(), grey)


def test_who_leaves_leaves_nothing(tmp_path):
    visits = Visits(tmp_path)
    one, other = visits.begin("me"), visits.begin("you")
    assert one.folder != other.folder and visits.find(one.name, "me") is one and visits.find(one.name, "you") is None
    first, second = one.fresh("result"), one.fresh("result")
    one.forget("result", second / "a.jpg")
    assert second.is_dir() and not first.exists()
    assert visits.owner_of(second / "a.jpg") == "me" and visits.owner_of(tmp_path) is None
    visits.end(one.name)
    assert one.is_over and not one.folder.exists() and other.folder.exists()
    with pytest.raises(Stopped):
        one.fresh("result")
    assert visits.find(one.name, "me") is None
    visits.sweep(time.monotonic() + RETURN_WITHIN + 1)
    assert visits.find(other.name, "you") is other, "a program may take its time"
    other.has_page = True
    visits.sweep(time.monotonic() + RETURN_WITHIN + 1)
    assert not other.folder.exists(), "a page whose connection is gone"
    third = visits.begin("you", "session")
    assert visits.begin("you", "session") is third and visits.begin("me", "session") is not third
    visits.sweep(time.monotonic() + IDLE + 1)
    assert visits.find("session", "me") is None


@pytest.mark.parametrize(
    ("name", "value"), [("auth", ["me"]), ("max_seconds", 0.0), ("max_megabytes", 0), ("server_port", 99999)]
)
def test_wrong_options(name, value):
    with pytest.raises(InputError, match=f"--{name} (is {value}|needs NAME:PASSWORD)"):
        Options(**{name: value}).check()
    assert Options(auth=["me:se:cret"]).visitors == [("me", "se:cret")]


@pytest.fixture
def page(studio, tmp_path):  # without a browser
    page = Page(studio, Gallery(list_entries(), studio.stylizer, tmp_path), tmp_path / "visits")
    yield page
    page.close()


def told(visit, kind: str, **facts):
    """Wait for news of a kind."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        news = visit._news.get(kind, (0, {}))[1]
        if news and all(news.get(name) == value for name, value in facts.items()):
            return news
        time.sleep(0.02)
    raise AssertionError((kind, facts, visit._news))


def test_of_many_wishes_the_last_one_is_rendered(page):
    visit, rendered = page.visits.begin("me"), []
    page.take_example(visit, "astronaut")
    results = page.studio.results
    page.studio.results = lambda content, wish, *rest: rendered.append(wish.number) or results(content, wish, *rest)
    try:
        for number, style in enumerate(["film", "ink", "painterly", "film", "ink"] * 4, 1):
            page.wish(visit, {"number": number, "style": style, "quick": False})
        page.wish(visit, {"number": 3, "style": "film"})
        news = told(visit, "result", number=20, is_draft=False)
    finally:
        del page.studio.results
    assert news["style"] == "ink" and len(rendered) < 6
    folder = visit.folder / news["jpeg"].partition("files/")[2]
    assert folder.is_file() and folder.with_suffix(".png").is_file()


def test_after_an_unexpected_error_a_video_can_be_run_again(page, monkeypatch, long_clip, caplog):
    def breaks(*arguments):
        yield 1
        raise ZeroDivisionError("in /srv/secret")

    visit = page.visits.begin("me")
    page.take(visit, long_clip)
    monkeypatch.setattr(page.studio, "video", breaks)
    page.film(visit, {"style": "film"})
    news = told(visit, "film", state="failed")
    assert "went wrong" in news["error"] and "secret" not in news["error"] and "ZeroDivision" in caplog.text
    monkeypatch.undo()
    page.film(visit, {"style": "film", "end": 0.5})
    assert told(visit, "film", state="done")["done"] == 10
    assert page.films.animation(visit, "film").endswith(".gif")


def test_a_bad_upload_leaves_what_was_there(page, tmp_path, long_clip):
    visit = page.visits.begin("me")
    page.take(visit, long_clip)
    content, words = visit.content, tmp_path / "words.mp4"
    words.write_text("no video")
    with pytest.raises(InputError):
        page.take(visit, words)
    assert visit.content is content


def test_controls_are_those_that_the_style_has_a_use_for(page, monkeypatch):
    stylizer = dual()
    stylizer.style.uses = frozenset({"code", "exemplars"})
    shown = page._controls(Wish(style="cartoon"), stylizer.style)
    assert shown["uses"] == ["code", "exemplars"] and not shown["has_colours"]
    assert [name for name, _ in shown["exemplars"]] == [Path(name).stem for name in CODES]


def test_one_style_is_chosen_not_two(page, tmp_path):
    brought = []
    for name in ("content", "picture"):
        (tmp_path / name).mkdir()
        brought.append(write_photo(tmp_path / name / "a.png", np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(gr.Error, match="There are a style and a style_image: give one"):
        Programs(page).stylize(None, str(brought[0]), "ink", str(brought[1]))
    assert not any(path.exists() for path in brought)  # nothing of a call stays


@pytest.mark.parametrize("name", ["999.1.1.1", "no such host", "192.0.2.1"])
def test_an_address_that_is_none_of_this_machine_is_told(name):
    with pytest.raises(InputError, match="no address of this machine"):
        check_address(name)
    check_address("127.0.0.1")


def test_it_is_told_how_much_of_a_model_is_fetched(page, monkeypatch):
    there = threading.Event()

    def fetch(name: str) -> Stylizer:
        assert there.wait(10)
        raise InputError("The network is gone.")

    monkeypatch.setattr("model.demo.page.fetched_bytes", lambda: 2_000_000)
    visit = page.visits.begin("me")
    page.take_example(visit, "astronaut")
    monkeypatch.setattr(page.studio, "stylizer", fetch)
    page.wish(visit, {"number": 1, "style": "pixar"})
    assert told(visit, "waiting", number=1)["fetched"] == 2_000_000
    there.set()
    assert told(visit, "result", number=1) == {"number": 1, "error": "The network is gone.", "is_style": True}


def test_memory_that_lies_idle_goes_back():
    keep_little()
    give_back()


def test_a_page_that_draws_in_the_browser_is_served_to_who_may_come_in(tmp_path):
    (tmp_path / "index.html").write_text("here")

    class App:
        auth, cookie_id, tokens = None, "c", {"known": "me"}

    site = Starlette(routes=[browser_page(tmp_path, lambda: App)])
    client = TestClient(site)
    assert client.get("/browser/").text == "here" and client.get("/browser/none.js").status_code == 404
    App.auth = [("me", "secret")]
    assert client.get("/browser/").status_code == 401
    client.cookies.set("access-token-c", "known")
    assert client.get("/browser/").text == "here"


def test_a_folder_without_such_a_page_is_told(call, tmp_path, capsys):
    assert call(app.main, "--browser_page", tmp_path) == 2
    assert "holds no page: make one with" in capsys.readouterr().err
