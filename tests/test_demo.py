"""What is behind the demo's page: limits, the crop, drafts, videos, the gallery, visitors' folders, options."""

import sys
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
from model.demo.drawing import crop_view, nearest_face, shown_scale
from model.demo.gallery import Gallery, find_entry, list_entries
from model.demo.studio import Limits, RenderRequest, Stopped, Studio, bring, bring_sample
from model.demo.visits import IDLE, Visits
from model.inference.look import Look
from model.inference.stylizer import Stylizer
from model.media.files import open_frames
from model.styles.network import _Fold
from tests.clips import make_clip
from tests.small_models import CODES, dual, face_picture, save_model


def film(**look) -> RenderRequest:
    """What a visitor wants: the starter's first style in full, with other options of the look."""
    return RenderRequest("starter", look=Look(style_id="film", style_degree=1.0, **look))


@pytest.fixture(scope="module")
def studio():
    return Studio("cpu", "fp32", Limits(seconds=2))


@pytest.fixture(scope="module")
def sample():
    return bring_sample()


@pytest.fixture
def long_clip(tmp_path):
    """Three seconds."""
    return make_clip(tmp_path / "a.mp4", [face_picture()[:140]] * 60)


def write(path: Path, rgb: np.ndarray) -> Path:
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))
    return path


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
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        studio, names = Studio("cpu"), list("abcd") * 2000
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(studio.stylizer, names)) == names
    finally:
        sys.setswitchinterval(interval)


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


def test_a_picture_is_that_of_the_command_line_and_a_draft_lies_over_it(studio, sample):
    before, after = studio.picture(sample, film())
    stylizer = studio.stylizer("starter")
    portrait = stylizer.fit(sample.shown)
    assert np.array_equal(after, next(stylizer.render([sample.shown.rgb], portrait, style="film", degree=1.0)))
    assert before.shape == after.shape
    _, rough = studio.draft(sample, film())
    assert rough.shape == after.shape
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (after, rough)]
    (dx, dy), _ = cv2.phaseCorrelate(*(cv2.GaussianBlur(one, (0, 0), 4) for one in grey))
    assert abs(dx) < 2 and abs(dy) < 2, "nothing jumps when the slider is released"
    assert np.abs(grey[0] - grey[1]).mean() < 10


def test_a_face_is_encoded_once_for_each_style(monkeypatch):
    encoded = []
    stylizer = dual()
    monkeypatch.setattr(stylizer.style, "encode", lambda *face: encoded.append(face))
    monkeypatch.setattr(Stylizer, "from_preset", lambda name, **settings: stylizer)
    studio, sample = Studio("cpu"), bring_sample()
    wide, narrow = (studio.person(sample, film(padding=[side] * 4)).portrait.crop for side in (200, 100))
    assert len(encoded) == 1 and wide.width > narrow.width


def test_a_video_keeps_its_frames_and_shows_how_far_it_is(studio, tmp_path):
    content = bring(make_clip(tmp_path / "a.mp4", [face_picture()] * 6), studio.limits)
    done = studio.video(content, film(crop="follow"), tmp_path / "out.mp4", lambda: False)
    assert list(done) == [1, 2, 3, 4, 5, 6]
    with open_frames(tmp_path / "out.mp4") as frames:
        assert len(list(frames)) == 6


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_nothing_is_left_of_a_video_that_is_broken_off(studio, tmp_path, long_clip, is_cancelled):
    content, folder = bring(long_clip, Limits()), tmp_path / "out"
    folder.mkdir()
    stop = threading.Event()
    steps = studio.video(content, film(), folder / "out.mp4", stop.is_set)
    next(steps)
    if is_cancelled:
        stop.set()
        with pytest.raises(Stopped):
            next(steps)
    else:
        steps.close()
    assert not list(folder.iterdir())


def test_limits_in_words_that_do_not_tell_where_the_server_keeps_files(tmp_path, long_clip):
    limits = Limits(seconds=1, photo_pixels=40_000, video_pixels=30_000)
    words = tmp_path / ("long" * 20 + ".mp4")
    words.write_text("words")
    for path, told in [
        (write(tmp_path / "me.png", skimage.data.astronaut()[:300, :300]), "me.png has 300 × 300 pixels.*photos of up"),
        (make_clip(tmp_path / "b.mp4", [face_picture()] * 2), "b.mp4 has 192 × 192 pixels.*videos"),
        (long_clip, "a.mp4 lasts 3 seconds.*up to 1"),
        (words, "no photo or video"),
    ]:
        with pytest.raises(InputError, match=told) as error:
            bring(path, limits)
        assert str(tmp_path) not in str(error.value) and len(str(error.value)) < 200


def test_a_result_can_be_too_large(tmp_path, sample):
    studio = Studio("cpu", limits=Limits(result_pixels=512 * 512))
    studio.picture(sample, film(full_frame=1))
    for render in (studio.picture, lambda *wanted: next(studio.video(*wanted, tmp_path / "out.jpg", lambda: False))):
        with pytest.raises(InputError, match="would have 1 megapixels"):
            render(sample, film(full_frame=2))


def test_a_length_that_no_header_tells_is_found_out(studio, tmp_path, long_clip, monkeypatch):
    content = bring(long_clip, Limits())
    monkeypatch.setattr(studio, "limits", Limits(seconds=0.1))
    with pytest.raises(InputError, match="up to 0.1"):
        list(studio.video(content, film(), tmp_path / "out.mp4", lambda: False))
    assert not (tmp_path / "out.mp4").exists()


def test_the_crop_is_bright_and_faces_are_marked(studio, sample):
    crop = studio.person(sample, film()).portrait.crop
    view = crop_view(sample, 0, crop)
    assert view.shape == sample.shown.rgb.shape
    x, y = round(crop.left / crop.scale) + 10, round(crop.top / crop.scale) + 10
    assert np.array_equal(view[y, x], sample.shown.rgb[y, x])
    assert view[-5:].mean() < 0.5 * sample.shown.rgb[-5:].mean()
    with pytest.raises(InputError, match="padding"):
        studio.person(sample, film(padding=[0] * 4))


def test_a_click_chooses_the_nearest_face(tmp_path):
    face = skimage.data.astronaut()[:250, 80:380]
    content = bring(write(tmp_path / "two.png", np.tile(face, (1, 4, 1))), Limits())
    assert len(content.faces) == 4 and shown_scale(content) < 1
    for number, landmarks in enumerate(content.faces):
        assert nearest_face(content, *(landmarks.mean(axis=0) * shown_scale(content) + 3)) == number


def own_model(folder: Path) -> Path:
    """A model that the user has trained, in a checkpoint folder."""
    (folder / "mine").mkdir()
    return save_model(folder / "mine").rename(folder / "mine/vtoonify_s_d.pt")


def test_entries_on_disk_come_first(tmp_path):
    own_model(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/vtoonify_t.pt").write_bytes(b"words")
    entries = list_entries(tmp_path)
    assert [entry.key for entry in entries if entry.on_disk] == ["mine"]
    assert [entry.on_disk for entry in entries] == sorted((entry.on_disk for entry in entries), reverse=True)
    assert len({entry.key for entry in entries}) == len(entries) > 12
    captions = [caption for _, caption in Gallery(entries, tmp_path).pictures()]
    assert ["⤓" in caption for caption in captions] == [not entry.on_disk for entry in entries]
    with pytest.raises(InputError, match="no style 'crayon'"):
        find_entry(entries, "crayon")
    styles = ["film", "ink", "painterly", "watercolour"]
    assert [entry.key for entry in list_entries()[:8]] == styles + [f"starter-pd-{style}" for style in styles]
    assert [entry.title for entry in list_entries()[3:5]] == ["Watercolour", "PD film"]


def test_pictures_are_drawn_once_and_anew_for_another_model(tmp_path):
    model = own_model(tmp_path)
    entry = list_entries(tmp_path)[0]
    gallery = Gallery([entry], tmp_path)
    ((grey, _),) = gallery.pictures()
    gallery.draw(entry, lambda ckpt: Stylizer.from_preset(ckpt, device="cpu", precision="fp32"))
    ((drawn, caption),) = gallery.pictures()
    assert drawn.size == (256, 256) and not np.array_equal(grey, drawn) and caption == entry.title
    assert np.array_equal(Gallery([entry], tmp_path).pictures()[0][0], drawn)
    model.touch()
    assert np.array_equal(Gallery([entry], tmp_path).pictures()[0][0], grey)


def test_who_leaves_leaves_nothing(tmp_path):
    visits = Visits(tmp_path)
    one, other = visits.of("one"), visits.of("other")
    assert one.folder != other.folder and visits.of("one") is one
    first, second = one.fresh("video"), one.fresh("video")
    assert second.is_dir() and not first.exists() and one.fresh("picture") and second.is_dir()
    visits.end("one")
    assert one.stop.is_set() and not one.folder.exists() and other.folder.exists()
    assert visits.known("one") is None and visits.known("other") is other
    other.last_seen -= IDLE + 1
    visits.of("third")
    assert not other.folder.exists() and visits.known("other") is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"auth": ["me"]}, "--auth needs NAME:PASSWORD"),
        ({"max_seconds": 0.0}, "--max_seconds is 0"),
        ({"max_megabytes": 0}, "--max_megabytes is 0"),
        ({"server_port": 99999}, "--server_port is 99999"),
    ],
)
def test_wrong_options(wrong, told):
    with pytest.raises(InputError, match=told):
        Options(**wrong).check()
    assert Options(auth=["me:se:cret"]).visitors == [("me", "se:cret")]


@pytest.fixture
def page(tmp_path):
    """The handlers, without a browser."""
    handlers = pytest.importorskip("model.demo.page")
    return handlers.Page(Studio("cpu", "fp32"), Gallery(list_entries(), tmp_path), tmp_path / "visits")


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
    for _ in range(2):
        words.write_text("no video")
        with pytest.raises(InputError):
            list(page.take("me", str(words)))
    visit = page.visits.known("me")
    assert visit.content.source.path.is_file() and len(list(visit.folder.glob("input-*"))) == 2


def test_controls_are_shown_where_the_style_has_a_use_for_them(page, monkeypatch):
    stylizer = dual()
    stylizer.style.uses = frozenset({"code", "exemplars"})
    monkeypatch.setattr(page.studio, "stylizer", lambda preset: stylizer)
    number = next(n for n, entry in enumerate(page.gallery.entries) if entry.key == "cartoon")
    *_, shown = page.choose("me", number, "film")
    visible = {name: shown[name]["visible"] for name in ("degree", "color_transfer", "exemplar")}
    assert visible == {"degree": False, "color_transfer": True, "exemplar": True}
    assert [name for name, _ in shown["exemplar"]["choices"]] == [Path(name).stem for name in CODES]


def test_it_is_told_how_much_of_a_model_is_fetched(page, monkeypatch, tmp_path):
    there = threading.Event()

    def fetch(name: str) -> Stylizer:
        assert there.wait(10)
        raise InputError("The network is gone.")

    amounts = iter([0, 2_000_000])
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
