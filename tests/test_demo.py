"""What is behind the demo's page: limits, the crop, drafts, videos, the gallery, visitors' folders, options."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from app import Options
from model.common.errors import InputError
from model.common.hub import FETCHING, fetched_bytes
from model.demo.drawing import crop_view, nearest_face, shown_scale
from model.demo.gallery import MANY, Gallery, find_entry, list_entries
from model.demo.studio import Limits, Stopped, Studio, Wish, bring, bring_sample
from model.demo.visits import IDLE, Visits
from model.inference.stylizer import Stylizer, _Fold
from model.media.files import open_frames
from tests.clips import make_clip
from tests.small_models import CODES, dual, face_picture, save_model

FILM = Wish("starter", "film", 1.0)


@pytest.fixture(scope="module")
def studio():
    return Studio("cpu", "fp32", Limits(seconds=2))


@pytest.fixture(scope="module")
def sample():
    return bring_sample()


def write(path: Path, rgb: np.ndarray) -> Path:
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))
    return path


def test_all_visitors_share_one_copy_of_a_network(monkeypatch):
    loads = []

    def slow(name, **settings):
        loads.append(name)
        threading.Event().wait(0.05)
        return dual()

    monkeypatch.setattr(Stylizer, "from_preset", slow)
    studio = Studio("cpu")
    got = []
    threads = [threading.Thread(target=lambda: got.append(studio.stylizer("starter"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["starter"] and len(set(map(id, got))) == 1
    for name in "abcd":
        studio.stylizer(name)
    studio.stylizer("starter")
    assert loads.count("starter") == 2, "the one not used for the longest went"


def test_two_threads_get_each_their_own_degree(monkeypatch):
    def slowly(fold, name, value):
        object.__setattr__(fold, name, value)
        time.sleep(0.02)  # the other thread's turn

    monkeypatch.setattr(_Fold, "__setattr__", slowly)
    stylizer = dual()
    face = face_picture()
    portrait = stylizer.fit(face)
    wanted = {degree: next(stylizer.render([face], portrait, degree=degree)) for degree in (0.0, 1.0)}
    assert not np.array_equal(wanted[0.0], wanted[1.0])
    wrong = []

    def render(degree: float) -> None:
        for _ in range(8):
            if not np.array_equal(next(stylizer.render([face], portrait, degree=degree)), wanted[degree]):
                wrong.append(degree)

    threads = [threading.Thread(target=render, args=(degree,)) for degree in (0.0, 1.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_picture_is_that_of_the_command_line(studio, sample):
    before, after = studio.picture(sample, FILM)
    stylizer = studio.stylizer("starter")
    portrait = stylizer.fit(sample.shown)
    assert np.array_equal(after, next(stylizer.render([sample.shown.rgb], portrait, style="film", degree=1.0)))
    assert before.shape == after.shape


def test_a_draft_lies_over_the_picture(studio, sample):
    before, after = studio.picture(sample, FILM)
    rough_before, rough = studio.draft(sample, FILM)
    assert rough.shape == after.shape
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (after, rough)]
    (dx, dy), _ = cv2.phaseCorrelate(*(cv2.GaussianBlur(one, (0, 0), 4) for one in grey))
    assert abs(dx) < 2 and abs(dy) < 2, "nothing jumps when the slider is released"
    assert np.abs(grey[0] - grey[1]).mean() < 10


def test_a_style_code_is_found_once_for_each_person(monkeypatch, sample):
    fits = []
    stylizer = dual()
    fit = stylizer.fit
    monkeypatch.setattr(stylizer, "fit", lambda *args, **named: fits.append(named) or fit(*args, **named))
    monkeypatch.setattr(Stylizer, "from_preset", lambda name, **settings: stylizer)
    studio = Studio("cpu")
    wide, narrow = (studio.portrait(sample, Wish("x", padding=(side,) * 4)).crop for side in (200, 100))
    assert len(fits) == 1 and wide.width > narrow.width


def test_a_video_keeps_its_frames_and_shows_how_far_it_is(studio, tmp_path):
    content = bring(make_clip(tmp_path / "a.mp4", [face_picture()] * 6), studio.limits)
    steps = list(studio.video(content, FILM, tmp_path / "out.mp4", lambda: False))
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6, 6] and steps[0].total == 6
    assert steps[0].seconds_left > 0 and steps[-1].path == tmp_path / "out.mp4"
    with open_frames(tmp_path / "out.mp4") as frames:
        assert len(list(frames)) == 6


@pytest.mark.parametrize("how", ["stopped", "left"])
def test_nothing_is_left_of_a_video_that_is_broken_off(studio, tmp_path, how):
    content = bring(make_clip(tmp_path / "a.mp4", [face_picture()] * 6), studio.limits)
    (tmp_path / "out").mkdir()
    done = []
    steps = studio.video(content, FILM, tmp_path / "out/out.mp4", lambda: how == "stopped" and len(done) == 2)
    if how == "left":
        next(steps)
        steps.close()
    else:
        with pytest.raises(Stopped):
            for step in steps:
                done.append(step)
    assert not list((tmp_path / "out").iterdir())


def test_limits(tmp_path):
    limits = Limits(seconds=1, photo_pixels=40_000, video_pixels=30_000)
    photo = write(tmp_path / "me.png", skimage.data.astronaut()[:300, :300])
    with pytest.raises(InputError, match=r"^me.png has 300 × 300 pixels.*photos of up to 0 megapixels"):
        bring(photo, limits)
    with pytest.raises(InputError, match=r"^a.mp4 has 192 × 192 pixels.*videos"):
        bring(make_clip(tmp_path / "a.mp4", [face_picture()] * 2), limits)
    with pytest.raises(InputError, match=r"^b.mp4 lasts 2 seconds.*up to 1"):
        bring(make_clip(tmp_path / "b.mp4", [face_picture()[:140]] * 40), limits)


def test_a_result_can_be_too_large(tmp_path, sample):
    studio = Studio("cpu", limits=Limits(result_pixels=512 * 512))
    studio.picture(sample, replace(FILM, full_frame=1))
    for render in (studio.picture, lambda *wanted: next(studio.video(*wanted, tmp_path / "out.jpg", lambda: False))):
        with pytest.raises(InputError, match="would have 1 megapixels"):
            render(sample, replace(FILM, full_frame=2))


def test_a_length_that_no_header_tells_is_found_out(studio, tmp_path, monkeypatch):
    content = bring(make_clip(tmp_path / "a.mp4", [face_picture()] * 60), Limits(seconds=10))
    with pytest.raises(InputError, match="up to 2"):
        list(studio.video(content, FILM, tmp_path / "out.mp4", lambda: False))
    assert not (tmp_path / "out.mp4").exists()


def test_messages_do_not_tell_where_the_server_keeps_files(tmp_path):
    words = tmp_path / ("long" * 20 + ".mp4")
    words.write_text("words")
    with pytest.raises(InputError) as error:
        bring(words, Limits())
    assert str(tmp_path) not in str(error.value) and "…" in str(error.value)


def test_the_crop_is_bright_and_faces_are_marked(studio, sample):
    view = crop_view(sample, studio.crop(sample, FILM), 0)
    assert view.shape == sample.shown.rgb.shape
    crop = studio.crop(sample, FILM)
    x, y = round(crop.left / crop.scale) + 10, round(crop.top / crop.scale) + 10
    assert np.array_equal(view[y, x], sample.shown.rgb[y, x])
    assert view[-5:].mean() < 0.5 * sample.shown.rgb[-5:].mean()
    with pytest.raises(InputError, match="padding"):
        studio.crop(sample, Wish("starter", padding=(0, 0, 0, 0)))


def test_a_click_chooses_the_nearest_face(tmp_path):
    face = skimage.data.astronaut()[:250, 80:380]
    content = bring(write(tmp_path / "two.png", np.tile(face, (1, 4, 1))), Limits())
    assert len(content.faces) == 4 and shown_scale(content) < 1
    for number, landmarks in enumerate(content.faces):
        assert nearest_face(content, *(landmarks.mean(axis=0) * shown_scale(content) + 3)) == number


def test_entries_on_disk_come_first(tmp_path):
    (tmp_path / "mine").mkdir()
    save_model(tmp_path / "mine").rename(tmp_path / "mine/vtoonify_s_d.pt")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/vtoonify_t.pt").write_bytes(b"words")
    entries = list_entries(tmp_path)
    assert [entry.title for entry in entries if entry.on_disk] == [f"mine: {Path(name).stem}" for name in CODES]
    assert [entry.on_disk for entry in entries] == sorted((entry.on_disk for entry in entries), reverse=True)
    assert len({entry.key for entry in entries}) == len(entries) > MANY
    assert all("⤓" in entry.caption for entry in entries if not entry.on_disk)
    with pytest.raises(InputError, match="no style 'crayon'"):
        find_entry(entries, "crayon")
    styles = ["film", "ink", "painterly", "watercolour"]
    assert [entry.key for entry in list_entries()[:8]] == styles + [f"starter-pd-{style}" for style in styles]
    assert [entry.title for entry in list_entries()[3:5]] == ["Watercolour", "PD film"]


def test_pictures_are_drawn_once_and_anew_for_another_model(tmp_path):
    (tmp_path / "mine").mkdir()
    model = save_model(tmp_path / "mine").rename(tmp_path / "mine/vtoonify_s_d.pt")
    entry = list_entries(tmp_path)[0]
    stylizer = Stylizer.from_preset(str(model), device="cpu", precision="fp32")
    gallery = Gallery([entry], tmp_path)
    (grey, _), = gallery.pictures()
    gallery.draw(entry, stylizer)
    (drawn, caption), = gallery.pictures()
    assert drawn.shape == (256, 256, 3) and not np.array_equal(grey, drawn) and caption == entry.caption
    again = Gallery([entry], tmp_path)
    assert again.is_drawn(entry) and np.array_equal(again.pictures()[0][0], drawn)
    model.touch()
    assert not Gallery([entry], tmp_path).is_drawn(entry)


def test_who_leaves_leaves_nothing(tmp_path, monkeypatch):
    visits = Visits(tmp_path)
    one, other = visits.of("one"), visits.of("other")
    upload = write(tmp_path / "me.png", face_picture())
    assert one.folder != other.folder and visits.of("one") is one
    assert one.keep(str(upload)).parent.parent == one.folder
    first, second = one.fresh("video"), one.fresh("video")
    assert second.is_dir() and not first.exists() and one.fresh("picture") and second.is_dir()
    visits.end("one")
    assert one.stop.is_set() and not one.folder.exists() and other.folder.exists()
    assert visits.known("one") is None and visits.known("other") is other and len(visits) == 1
    other.last_seen -= IDLE + 1
    visits.of("third")
    assert not other.folder.exists() and len(visits) == 1


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
    Options(auth=["me:se:cret"]).check()
    assert Options(auth=["me:se:cret"]).visitors == [("me", "se:cret")]


def test_it_is_told_how_much_of_a_model_is_fetched(tmp_path, monkeypatch):
    page = pytest.importorskip("model.demo.page")
    monkeypatch.setattr(page, "fetched_bytes", lambda: fetched_bytes(tmp_path))
    part = tmp_path / FETCHING / "models" / "part.incomplete"
    part.parent.mkdir(parents=True)
    assert fetched_bytes(tmp_path) == 0
    there = threading.Event()

    def fetch(name: str) -> Stylizer:
        assert there.wait(10)
        raise InputError("The network is gone.")

    studio = Studio("cpu")
    monkeypatch.setattr(studio, "stylizer", fetch)
    entries = list_entries(tmp_path)
    steps = page.Page(studio, Gallery(entries, tmp_path), tmp_path / "visits").choose(5, entries[0].key)
    assert "MB" not in next(steps)["message"]
    part.write_bytes(b"x" * 2_000_000)
    assert "2 MB fetched" in next(steps)["message"]
    there.set()
    assert "gallery" in [*next(steps)]
    with pytest.raises(InputError, match="network is gone"):
        next(steps)
