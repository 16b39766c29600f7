"""The tab "Paint a frame": what is behind it, and one visit in a real browser."""

import re
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model.common.errors import InputError
from model.demo.gallery import Gallery
from model.demo.page import Page
from model.demo.paint_frame import PaintFrame
from model.demo.painted_clip import worth_painting
from model.demo.studio import Studio
from model.faces.detect import find_landmarks
from model.media.files import open_frames
from model.media.sample import sample_portrait
from model.styles.base import Crop
from model.styles.keyframes.suggest import View
from tests.browser import downloaded, message, needs_chromium, wait_until
from tests.clips import make_clip, sound_of, write_photo

LAST, RATE = 12, 8
NOISE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


def frames(shift: int = 0) -> list[np.ndarray]:  # head and shoulders of the sample portrait, which move
    portrait = sample_portrait()[:360, 70:400]
    return [np.roll(portrait, (n // 2 + shift, n), (0, 1))[20:320, 20:320] for n in range(LAST + 1)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_clip(path, frames(), rate=RATE, sound="aac", sound_seconds=1.5)


@pytest.fixture
def tab(tmp_path):
    studio = Studio("cpu", max_seconds=4)
    page = Page(studio, Gallery([], studio.stylizer, tmp_path), tmp_path / "visits")
    yield PaintFrame(page)
    page.close()


def news(visit, kind: str, *states: str) -> dict:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        told = visit._news.get(kind, (0, {}))[1]
        if told.get("state") in states:
            return told
        time.sleep(0.02)
    raise AssertionError((kind, visit._news))


def bring(tab, owner: str, path: Path):
    visit = tab.page.visits.begin(owner)
    tab.bring(visit, Path(shutil.copy(path, visit.fresh("clip"))))
    return visit, news(visit, "clip", "ready", "failed")


def file_of(visit, address: str) -> Path:
    return visit.folder / address.partition("files/")[2]


def negative(path: str | Path, to: Path, note: bool = True) -> Path:
    """Paints over an exported frame."""
    with Image.open(path) as image:
        kept = PngInfo()
        for name, text in image.info.items():
            if note and isinstance(text, str):
                kept.add_text(name, text)
        Image.fromarray(255 - np.asarray(image.convert("RGB"))).save(to, pnginfo=kept)
    return to


def away(picture: np.ndarray, other: np.ndarray) -> float:
    """How far two pictures are from each other, in levels, but for their sizes."""
    small = (cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in (picture, other))
    return float(cv2.absdiff(*small).mean())


def photo_of(visit, number: int) -> np.ndarray:
    """What is shown of a frame."""
    return visit.clip.places[number].window.trim(visit.clip.crops([number])[number].rgb, 1)


def test_a_frame_is_painted_and_the_video_is_as_it(tab, clip, tmp_path):
    visit, shown = bring(tab, "me", clip)
    assert shown["last"] == LAST and 1 <= len(shown["frames"]) <= 3
    assert [frame["number"] for frame in shown["frames"]] == visit.clip.offered
    assert shown["frames"][0]["file_name"] == f"clip_key_{visit.clip.offered[0]:06d}.png"
    frames = tab.choose(visit, {"numbers": f" 1 ,{LAST};"})["frames"]
    assert [frame["file_name"] for frame in frames] == ["clip_key_000001.png", "clip_key_000012.png"]
    assert tab.preview(visit) == []
    assert "clip" not in visit._news, "a page that comes back keeps these frames"

    painted = negative(visit.clip.files()[0], tmp_path / "mine.png")
    assert [frame["is_painted"] for frame in tab.paint(visit, [painted])["frames"]] == [True, False]
    pictures = tab.preview(visit)
    numbers = [int(re.match(r"frame (\d+) · ", one["caption"])[1]) for one in pictures]
    assert len(numbers) == 3 and numbers == sorted(numbers) and numbers[-1] == LAST and 1 not in numbers
    for number, one in zip(numbers, pictures, strict=True):
        assert away(np.asarray(Image.open(file_of(visit, one["picture"]))), 255 - photo_of(visit, number)) < 8

    tab.film(visit)
    done = news(visit, "painted", "done", "failed")
    assert done["name"] == "clip_painted.mp4" and done["done"] == LAST + 1
    result = file_of(visit, done["video"])
    with open_frames(result) as film:
        results = [frame.rgb.copy() for frame in film]
    assert len(results) == LAST + 1 and len(sound_of(result)) > 40000
    for number in (0, 1, LAST):
        photo = photo_of(visit, number)
        assert away(results[number], 255 - photo) < 8 < 30 < away(results[number], photo)
    visit.hush("painted")
    tab.film(visit, full_frame=1)
    with open_frames(file_of(visit, news(visit, "painted", "done")["video"])) as film:
        assert film.size == (300, 300)


def test_a_film_is_cancelled_and_a_frame_that_is_not_named_is_painted_no_more(tab, clip, tmp_path):
    visit, _ = bring(tab, "me", clip)
    tab.paint(visit, [negative(path, tmp_path / path.name) for path in visit.clip.files()])
    tab.film(visit)
    tab.page.films.cancel(visit, "painted")
    assert news(visit, "painted", "cancelled", "done")["state"] == "cancelled"
    assert not list(visit.folder.glob("painted-*/*"))
    painted = visit.clip.offered
    other = next(n for n in range(LAST) if n not in painted)
    told = tab.choose(visit, {"numbers": str(other)})
    assert not any(frame["is_painted"] for frame in told["frames"]) and told["aside"] == painted
    with pytest.raises(InputError, match="No frame is painted"):
        tab.film(visit)
    told = tab.choose(visit, {"numbers": f"{other} {painted[0]}"})
    assert {frame["number"]: frame["is_painted"] for frame in told["frames"]} == {painted[0]: True, other: False}
    assert told["aside"] == []
    tab.preview(visit)


@pytest.mark.parametrize("how", ["chosen", "by name", "the only one"])
def test_a_picture_without_a_note_is_matched(tab, clip, tmp_path, how):
    visit, _ = bring(tab, "me", clip)
    tab.choose(visit, {"numbers": "3" if how == "the only one" else "3, 9"})
    name = "clip_key_000003 (2).png" if how == "by name" else "mine.png"
    tab.paint(visit, [negative(visit.clip.files()[0], tmp_path / name, note=False)], 3 if how == "chosen" else None)
    assert list(visit.clip.paintings) == [3]


def test_what_cannot_be_is_told_in_one_sentence_and_changes_nothing(tab, clip, tmp_path):
    with pytest.raises(InputError, match="no video"):
        tab.choose(tab.page.visits.begin("third"), {"numbers": "0"})
    visit, _ = bring(tab, "me", clip)
    tab.choose(visit, {"numbers": "3, 9"})
    mine, files = visit.clip, visit.clip.files()
    tab.paint(visit, [negative(files[0], tmp_path / "good.png")])
    you, _ = bring(tab, "you", make_clip(tmp_path / "other.mp4", [frame[:, ::-1] for frame in frames()], rate=RATE))
    other = negative(you.clip.files()[0], tmp_path / "other.png")
    crop = np.asarray(Image.open(files[1]))
    words = tmp_path / "words.png"
    words.write_text("words")
    for path, told in [
        (write_photo(tmp_path / "me.png", frames()[0]), "me.png is a photo"),
        (make_clip(tmp_path / "noise.mp4", [NOISE] * 3), "[Nn]o face"),
        (make_clip(tmp_path / "long.mp4", frames() * 3, rate=RATE), "long.mp4 lasts 5 seconds"),
        (words, "words.png: it is text"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            tab.bring(visit, path)
        assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)
    for path, told in [
        (write_photo(tmp_path / "small_key_000003.png", NOISE), "has 160 x 120 pixels.*keep its size"),
        (other, r"other clip|another clip \(other.mp4\)|pixels"),
        (write_photo(tmp_path / "bare.png", crop), "bare.png does not tell which frame"),
        (clip, "clip.mp4 is a video"),
        (words, "words.png: it is text"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            tab.paint(visit, [path], 9 if path in (clip, words) else None)
        assert "--" not in str(error.value) and str(tmp_path) not in str(error.value)
    for numbers, told in [
        ("first", "as in 0, 12"), ("", "as in 0, 12"), (str(LAST + 1), "there is no frame 13"),
        ("0 1 2 3 4 5 6 7 8", "9 frames are named"), ("-3", "as in"), (None, "as in"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told):
            tab.choose(visit, {"numbers": numbers})
    assert visit.clip is mine and mine.offered == [3, 9] and list(mine.paintings) == [3]
    tab.preview(visit)


def test_visitors_have_their_own_and_it_goes_with_them(tab, clip):
    mine, _ = bring(tab, "me", clip)
    yours = tab.page.visits.begin("you")
    tab.page.films.line.close()  # theirs is not looked through
    tab.bring(yours, clip)
    with pytest.raises(InputError, match="bring one first"):
        tab.choose(yours, {"numbers": "0"})
    tab.page.visits.end(mine.name)
    assert mine.is_over and not mine.folder.exists() and yours.folder.exists()


def test_as_many_frames_are_suggested_as_look_different():
    rgb = frames()[0]
    landmarks = find_landmarks(rgb)
    still = [View.of(n, Crop(rgb, landmarks)) for n in range(9)]
    assert len(worth_painting(still)) == 1
    dark = [View.of(n, Crop(rgb // 3, landmarks)) for n in range(9, 20)]
    one, other = worth_painting(still + dark)
    assert one < 9 <= other


@needs_chromium
def test_a_visitor_paints_a_frame_on_a_phone(visit, clip, tmp_path, temporary):
    page = visit(width=390)
    page.get_by_role("tab", name="Paint a frame").click()
    page.set_input_files("#paint_upload", write_photo(tmp_path / "me.png", frames()[0]))
    assert message(page, "e.png is a photo").strip().count("\n") == 0
    page.set_input_files("#paint_upload", clip)
    page.locator("#paint_frames button").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#paint_numbers").fill("4")
    page.locator("#paint_choose button").click()
    page.get_by_text("frame 4 ·").first.wait_for()
    saved = downloaded(page, "#paint_frames button", tmp_path)
    assert saved.name == "clip_key_000004.png"
    painted = negative(saved, tmp_path / "painted.png")
    page.set_input_files("#painting_upload", [painted])
    page.locator("#paint_preview img").nth(2).wait_for()
    assert page.locator("#paint_preview img").count() == 3 and page.get_by_text("✓ frame 4").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#paint_numbers").fill("9")
    page.locator("#paint_choose button").click()
    assert message(page, "aside") == "The painting of frame 4 was put aside: name its number to have it back."
    page.locator("#paint_result").wait_for(state="hidden")
    page.locator("#paint_numbers").fill("4, 9")
    page.locator("#paint_choose button").click()
    page.locator("#paint_preview img").nth(2).wait_for()
    assert page.get_by_text("✓ frame 4").count() and not page.locator("#message").is_visible()
    page.locator("#painted .run").click()
    page.locator("#painted .state span").filter(has_text=f"Done: {LAST + 1} frames").wait_for()
    result = downloaded(page, "#painted .mp4", tmp_path)
    with open_frames(result) as film:
        pictures = [frame.rgb.copy() for frame in film]
    assert len(pictures) == LAST + 1 and away(pictures[4], np.asarray(Image.open(painted))) < 8
    assert len(sound_of(result)) > 40000
    folders = {path.parents[1] for path in temporary.glob("vtoonify-*/visits/*/painted-*/*.mp4")}
    page.context.close()
    wait_until(lambda: not any(folder.exists() for folder in folders))
    assert len(folders) == 1 and not any(folder.exists() for folder in folders)
