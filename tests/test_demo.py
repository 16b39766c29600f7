import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from app import Options
from model.common.errors import InputError
from model.demo import studio as studio_module
from model.demo.gallery import Gallery, list_entries
from model.demo.studio import IDLE, Stopped, Studio, Visits
from model.inference.look import Look
from model.inference.stylizer import Stylizer
from model.styles.network import _Fold
from tests.clips import make_clip, write_photo
from tests.small_models import CODES, dual, face_picture, save_model
from tests.test_frames_failures import files_no_larger_than


@pytest.fixture(scope="module")
def studio():
    return Studio("cpu", "fp32", max_seconds=4)


@pytest.fixture(scope="module")
def sample(studio):
    return studio.bring()


@pytest.fixture
def long_clip(tmp_path):  # three seconds
    return make_clip(tmp_path / "a.mp4", [face_picture()[:140]] * 60)


def film(studio, content, **look):
    return studio.person(content, "starter", 0, Look(style_id="film", style_degree=1.0, **look))


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
    for name in [*"abcd", "starter"]:
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
    person = film(studio, sample)
    assert (person.portrait.crop.shown is person.portrait.crop) == (quarters == 0)
    assert sample.crop_view(0, person.portrait.crop).size == (512, 512)
    before, after = studio.picture(sample, person)
    stylizer = person.stylizer
    portrait = stylizer.fit(sample.shown)
    assert np.array_equal(after, next(stylizer.render([sample.shown.rgb], portrait, style="film", degree=1.0)))
    _, rough = studio.draft(sample, person)
    assert before.shape == after.shape == rough.shape
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (after, rough)]
    (dx, dy), _ = cv2.phaseCorrelate(*(cv2.GaussianBlur(one, (0, 0), 4) for one in grey))
    assert max(abs(dx), abs(dy)) < 2 and np.abs(grey[0] - grey[1]).mean() < 10, "nothing jumps at the release"


def test_a_face_is_encoded_once_for_each_style(monkeypatch):
    encoded, stylizer = [], dual()
    monkeypatch.setattr(stylizer.style, "encode", lambda *face: encoded.append(face))
    monkeypatch.setattr(Stylizer, "from_preset", lambda name, **settings: stylizer)
    studio = Studio("cpu")
    sample = studio.bring()
    wide, narrow = (film(studio, sample, padding=[side] * 4).portrait.crop for side in (200, 100))
    assert len(encoded) == 1 and wide.width > narrow.width


@pytest.mark.parametrize("end", ["cancelled", "too long", "closed"])
def test_nothing_is_left_of_a_video_that_is_broken_off(studio, tmp_path, long_clip, monkeypatch, end):
    content, folder, stop = studio.bring(long_clip), tmp_path / "out", threading.Event()
    folder.mkdir()
    steps = studio.video(content, film(studio, content), folder / "out.mp4", stop.is_set)
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


def test_limits_in_words_that_do_not_tell_where_the_server_keeps_files(tmp_path, long_clip, monkeypatch):
    monkeypatch.setattr(studio_module, "MAX_PIXELS", {"photo": 40_000, "video": 30_000})
    words = tmp_path / ("long" * 20 + ".mp4")
    words.write_text("words")
    for path, told in [
        (write_photo(tmp_path / "me.png", skimage.data.astronaut()[:300, :300]), "me.png has 300 × 300 pixels"),
        (make_clip(tmp_path / "b.mp4", [face_picture()] * 2), "b.mp4 has 192 × 192 pixels"),
        (long_clip, "a.mp4 lasts 3 seconds.*up to 1"),
        (words, "it is text"),
    ]:
        with pytest.raises(InputError, match=told) as error:
            Studio("cpu", max_seconds=1).bring(path)
        assert str(tmp_path) not in str(error.value) and len(str(error.value)) < 200


def test_a_result_can_be_too_large(studio, tmp_path, sample, monkeypatch):
    monkeypatch.setitem(studio_module.MAX_PIXELS, "result", 512 * 512)
    studio.picture(sample, film(studio, sample, full_frame=1))
    large = film(studio, sample, full_frame=2)
    for render in (studio.picture, lambda *wanted: next(studio.video(*wanted, tmp_path / "out.jpg", lambda: False))):
        with pytest.raises(InputError, match="result has 1024 × 1024 pixels"):
            render(sample, large)


def test_the_crop_is_bright_and_faces_are_marked(studio, sample):
    crop, frame = film(studio, sample).portrait.crop, sample.shown.rgb
    view = np.asarray(sample.crop_view(0, crop))
    assert view.shape == frame.shape
    x, y = round(crop.left / crop.scale) + 10, round(crop.top / crop.scale) + 10
    assert np.array_equal(view[y, x], frame[y, x])
    assert view[-5:].mean() < 0.5 * frame[-5:].mean()
    with pytest.raises(InputError, match="padding"):
        film(studio, sample, padding=[0] * 4)


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
    assert ["⤓" in caption for _, caption in gallery.pictures()] == [not entry.on_disk for entry in entries]
    with pytest.raises(InputError, match="no style 'crayon'"):
        gallery.entry("crayon")
    shipped = [entry for entry in list_entries() if entry.preset.name.startswith("starter")]
    keys = ["film", "ink", "painterly", "starter-watercolour", "starter-pd-film", "starter-pd-ink"]
    assert [entry.key for entry in shipped[:6]] == keys and shipped[4].title == "PD film"
    assert [entry.key for entry in entries if entry.preset.name in ("painters", "comic")] == [*painters, "comic-d"]


def test_pictures_are_drawn_once_and_anew_for_another_model(studio, tmp_path):
    model = own_model(tmp_path)
    (entry,) = (one for one in list_entries(tmp_path) if one.key == "mine")

    def picture(draw: bool = False) -> np.ndarray:
        gallery = Gallery([entry], studio.stylizer, tmp_path)
        if draw:
            gallery.draw_missing()
        return np.asarray(gallery.pictures()[0][0])

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
    one, other = visits.of("one"), visits.of("other")
    assert one.folder != other.folder and visits.of("one") is one
    first, second = one.fresh("video"), one.fresh("video")
    assert second.is_dir() and not first.exists() and one.fresh("picture") and second.is_dir()
    visits.end("one")
    assert one.stop.is_set() and not one.folder.exists() and other.folder.exists()
    with pytest.raises(Stopped):
        one.fresh("picture")
    assert visits.known("one") is None and visits.known("other") is other
    other.last_seen -= IDLE + 1
    visits.of("third")
    assert not other.folder.exists() and visits.known("other") is None


@pytest.mark.parametrize(
    ("name", "value"), [("auth", ["me"]), ("max_seconds", 0.0), ("max_megabytes", 0), ("server_port", 99999)]
)
def test_wrong_options(name, value):
    with pytest.raises(InputError, match=f"--{name} (is {value}|needs NAME:PASSWORD)"):
        Options(**{name: value}).check()
    assert Options(auth=["me:se:cret"]).visitors == [("me", "se:cret")]


@pytest.fixture
def page(studio, tmp_path):  # the handlers, without a browser
    handlers = pytest.importorskip("model.demo.page")
    return handlers.Page(studio, Gallery(list_entries(), studio.stylizer, tmp_path), tmp_path / "visits")


def test_after_an_unexpected_error_a_video_can_be_run_again(page, monkeypatch, long_clip, caplog):
    def breaks(*arguments):
        yield 1
        raise ZeroDivisionError("in /srv/secret")

    monkeypatch.setattr(page.studio, "video", breaks)
    list(page.take("me", str(long_clip)))
    first, *_, last = page.film("me", style="film")
    assert first["run"]["interactive"] is False and last["run"]["interactive"] is True
    assert last["cancel"]["visible"] is False and 'role="alert"' in last["message"]
    assert "went wrong" in last["message"] and "secret" not in last["message"] and "ZeroDivision" in caplog.text


def test_a_bad_upload_leaves_the_video_before_to_be_run(page, tmp_path, long_clip):
    list(page.take("me", str(long_clip)))
    words = tmp_path / "words.mp4"
    words.write_text("no video")
    for _ in range(2):
        with pytest.raises(InputError):
            list(page.take("me", str(words)))
    visit = page.visits.known("me")
    assert visit.content.source.path.is_file() and len(list(visit.folder.glob("input-*"))) == 2


def test_controls_are_shown_where_the_style_has_a_use_for_them(page, monkeypatch):
    stylizer = dual()
    stylizer.style.uses = frozenset({"code", "exemplars"})
    monkeypatch.setattr(page.studio, "stylizer", lambda preset: stylizer)
    monkeypatch.setattr(page.gallery, "draw", lambda entry: None)
    number = page.gallery.entries.index(page.gallery.entry("cartoon"))
    *_, shown = page.choose("me", number, "film")
    visible = {name: shown[name]["visible"] for name in ("degree", "color_transfer", "exemplar")}
    assert visible == {"degree": False, "color_transfer": True, "exemplar": True}
    assert [name for name, _ in shown["exemplar"]["choices"]] == [Path(name).stem for name in CODES]


def test_it_is_told_how_much_of_a_model_is_fetched(page, monkeypatch, tmp_path):
    there, amounts = threading.Event(), iter([0, 2_000_000])

    def fetch(name: str) -> Stylizer:
        assert there.wait(10)
        raise InputError("The network is gone.")

    monkeypatch.setattr("model.demo.page.fetched_bytes", lambda: next(amounts))
    monkeypatch.setattr(page.studio, "stylizer", fetch)
    page.gallery.entries = list_entries(tmp_path)
    steps = page.choose("me", 5, page.gallery.entries[0].key)
    assert "MB" not in next(steps)["message"]
    assert "2 MB fetched" in next(steps)["message"]
    there.set()
    assert next(steps)["gallery"]["selected_index"] == 0
    with pytest.raises(InputError, match="network is gone"):
        next(steps)
