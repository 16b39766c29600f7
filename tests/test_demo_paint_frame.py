"""The tab "Paint a frame": its handlers, and one visit in a real browser."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model.common.errors import InputError
from model.demo.gallery import Gallery
from model.demo.painted_clip import worth_painting
from model.demo.studio import Studio
from model.faces.detect import find_landmarks
from model.media.files import open_frames
from model.media.sample import sample_portrait
from model.styles.base import Crop
from model.styles.keyframes.suggest import View
from tests.browser import message, needs_chromium, wait_until
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
    module = pytest.importorskip("model.demo.paint_frame")
    studio = Studio("cpu", max_seconds=4)
    from model.demo.page import Page

    return module.PaintFrame(Page(studio, Gallery([], studio.stylizer, tmp_path), tmp_path / "visits"))


def bring(tab, session: str, path: Path) -> dict:
    list(tab.bring(session, str(path)))
    *_, shown = tab.look(session)
    return shown


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


def photo_of(tab, session: str, number: int) -> np.ndarray:
    """What is shown of a frame."""
    clip = tab.page.visits.known(session).clip
    return clip.places[number].window.trim(clip.crops([number])[number].rgb, 1)


def test_a_frame_is_painted_and_the_video_is_as_it(tab, clip, tmp_path):
    shown = bring(tab, "me", clip)
    assert f"frames 0 to {LAST}" in shown["paint_facts"] and shown["paint_part"]["visible"]
    files, offered = shown["paint_files"], tab.page.visits.known("me").clip.offered
    assert 1 <= len(files) == len(offered) <= 3 and len(shown["paint_frames"]["value"]) == len(files)
    assert Path(files[0]).name == f"clip_key_{offered[0]:06d}.png"
    *_, shown = tab.choose("me", f" 1 ,{LAST};")
    assert [Path(path).name for path in shown["paint_files"]] == ["clip_key_000001.png", "clip_key_000012.png"]
    *_, nothing = tab.preview("me")
    assert "paint_preview" not in nothing and nothing["paint_run"]["interactive"] is False

    painted = negative(shown["paint_files"][0], tmp_path / "mine.png")
    *_, shown = tab.paint("me", [str(painted)])
    assert ["✓" in caption for _, caption in shown["paint_frames"]["value"]] == [True, False]
    *_, preview = tab.preview("me")
    pictures = preview["paint_preview"]["value"]
    assert len(pictures) == 3 and preview["paint_run"]["interactive"] is True
    numbers = [int(re.match(r"frame (\d+) · ", caption)[1]) for _, caption in pictures]
    assert numbers == sorted(numbers) and numbers[-1] == LAST and 1 not in numbers
    for number, (path, _) in zip(numbers, pictures, strict=True):
        assert away(np.asarray(Image.open(path)), 255 - photo_of(tab, "me", number)) < 8

    first, *_, last = tab.film("me")
    assert first["paint_run"]["interactive"] is False and last["paint_run"]["interactive"] is True
    result = Path(last["paint_film_file"]["value"])
    assert result.name == "clip_painted.mp4" and f"Done: {LAST + 1} frames" in last["message"]
    with open_frames(result) as film:
        results = [frame.rgb.copy() for frame in film]
    assert len(results) == LAST + 1 and len(sound_of(result)) > 40000
    for number in (0, 1, LAST):
        photo = photo_of(tab, "me", number)
        assert away(results[number], 255 - photo) < 8 < 30 < away(results[number], photo)
    *_, last = tab.film("me", paint_full_frame=1)
    with open_frames(Path(last["paint_film_file"]["value"])) as film:
        assert film.size == (300, 300)


def test_a_film_is_cancelled_and_a_frame_that_is_not_named_is_painted_no_more(tab, clip, tmp_path):
    shown = bring(tab, "me", clip)
    *_, shown = tab.paint("me", [str(negative(path, tmp_path / Path(path).name)) for path in shown["paint_files"]])
    steps = tab.film("me")
    next(steps)
    tab.cancel(type("Request", (), {"session_hash": "me"}))
    *_, last = steps
    assert "Cancelled" in last["message"] and not list(tab.page.visits.known("me").folder.glob("painted-*/*"))
    other = next(n for n in range(LAST) if n not in tab.page.visits.known("me").clip.offered)
    *_, shown = tab.choose("me", str(other))
    assert not any("✓" in caption for _, caption in shown["paint_frames"]["value"])
    with pytest.raises(InputError, match="No frame is painted"):
        list(tab.film("me"))


@pytest.mark.parametrize("how", ["chosen", "by name", "the only one"])
def test_a_picture_without_a_note_is_matched(tab, clip, tmp_path, how):
    bring(tab, "me", clip)
    *_, shown = tab.choose("me", "3" if how == "the only one" else "3, 9")
    name = "clip_key_000003 (2).png" if how == "by name" else "mine.png"
    painted = negative(shown["paint_files"][0], tmp_path / name, note=False)
    *_, shown = tab.paint("me", [str(painted)], "3" if how == "chosen" else "")
    assert list(tab.page.visits.known("me").clip.paintings) == [3]


def test_what_cannot_be_is_told_in_one_sentence_and_changes_nothing(tab, clip, tmp_path):
    with pytest.raises(InputError, match="reload"):
        list(tab.choose("me", "0"))
    bring(tab, "me", clip)
    *_, shown = tab.choose("me", "3, 9")
    mine = tab.page.visits.known("me").clip
    list(tab.paint("me", [str(negative(shown["paint_files"][0], tmp_path / "good.png"))]))
    other = bring(tab, "you", make_clip(tmp_path / "other.mp4", [frame[:, ::-1] for frame in frames()], rate=RATE))
    other = negative(other["paint_files"][0], tmp_path / "other.png")
    crop = np.asarray(Image.open(shown["paint_files"][1]))
    words = tmp_path / "words.png"
    words.write_text("words")
    for path, told in [
        (write_photo(tmp_path / "me.png", frames()[0]), "me.png is a photo"),
        (make_clip(tmp_path / "noise.mp4", [NOISE] * 3), "[Nn]o face"),
        (make_clip(tmp_path / "long.mp4", frames() * 3, rate=RATE), "long.mp4 lasts 5 seconds"),
        (words, "words.png: it is text"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            list(tab.bring("me", str(path)))
        assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)
    for path, told in [
        (write_photo(tmp_path / "small_key_000003.png", NOISE), "has 160 x 120 pixels.*keep its size"),
        (other, r"other clip|another clip \(other.mp4\)|pixels"),
        (write_photo(tmp_path / "bare.png", crop), "bare.png does not tell which frame"),
        (clip, "clip.mp4 is a video"),
        (words, "words.png: it is text"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told) as error:
            list(tab.paint("me", [str(path)], "9" if path in (clip, words) else ""))
        assert "--" not in str(error.value) and str(tmp_path) not in str(error.value)
    for numbers, told in [
        ("first", "as in 0, 12"), ("", "as in 0, 12"), (str(LAST + 1), "there is no frame 13"),
        ("0 1 2 3 4 5 6 7 8", "9 frames are named"), ("-3", "as in"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told):
            list(tab.choose("me", numbers))
    assert tab.page.visits.known("me").clip is mine and mine.offered == [3, 9] and list(mine.paintings) == [3]
    list(tab.preview("me"))


def test_visitors_have_their_own_and_it_goes_with_them(tab, clip):
    bring(tab, "me", clip)
    list(tab.bring("you", str(clip)))
    mine, yours = (tab.page.visits.known(name).clip for name in ("me", "you"))
    assert mine.folder.parent != yours.folder.parent
    with pytest.raises(InputError, match="upload one first"):  # theirs is not looked through yet
        list(tab.choose("you", "0"))
    tab.page.visits.end("me")
    assert mine.stop.is_set() and not mine.folder.exists() and yours.folder.exists()
    bring(tab, "you", clip)
    assert not yours.folder.exists() or tab.page.visits.known("you").clip is not yours


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
    page.set_input_files("#paint_upload input[type=file]", write_photo(tmp_path / "me.png", frames()[0]))
    assert message(page, "me.png is a photo").strip().count("\n") == 0
    page.set_input_files("#paint_upload input[type=file]", clip)
    page.locator("#paint_files a").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#paint_numbers input, #paint_numbers textarea").fill("4")
    page.locator("#paint_choose").click()
    page.get_by_text("frame 4 ·").first.wait_for()
    with page.expect_download() as download:
        page.locator("#paint_files a").first.click()
    assert download.value.suggested_filename == "clip_key_000004.png"
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    painted = negative(saved, tmp_path / "painted.png")
    page.set_input_files("#paint_pictures input[type=file]", [painted])
    page.locator("#paint_preview img").nth(2).wait_for()
    assert page.locator("#paint_preview img").count() == 3 and page.get_by_text("✓ frame 4").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#paint_run").click()
    message(page, f"Done: {LAST + 1} frames")
    with page.expect_download() as download:
        page.locator("#paint_film_file").click()
    result = tmp_path / "result.mp4"
    download.value.save_as(result)
    with open_frames(result) as film:
        pictures = [frame.rgb.copy() for frame in film]
    assert len(pictures) == LAST + 1 and away(pictures[4], np.asarray(Image.open(painted))) < 8
    assert len(sound_of(result)) > 40000
    folders = {path.parents[1] for path in temporary.glob("vtoonify-*/visits/*/painted-*/*.mp4")}
    page.context.close()
    wait_until(lambda: not any(folder.exists() for folder in folders))
    assert len(folders) == 1 and not any(folder.exists() for folder in folders)
