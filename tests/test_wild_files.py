"""What people's files hold is what the program sees and writes: a table of files (tests/wild.py) and what must hold.

Most rows go from the source to the sink that the program uses; a few go through the whole program.
"""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from model.media.files import open_frames
from model.media.frames import Frame
from tests import wild
from tests.clips import copy, make_clip
from tests.small_models import face_picture
from tests.wild import CORNERS, FILMS, HDR, PHOTOS, Film, Photo, corners_of, level_of

pytest_plugins = ("tests.commands_plugin",)
LEVELS = 3  # by which a colour may be off
SYNC = 0.05  # s; what is before the first sample that a decoder gives back differs between codecs by that much


def made(row: Film | Photo, folder: Path) -> Path:
    try:
        return row.make(folder)
    except (ValueError, av.FFmpegError) as error:
        return pytest.skip(f"this build cannot write it: {error}")


def assert_shown(
    row: Film, frames: list[Frame], size: tuple[int, int], corners: wild.Colours | np.ndarray, start: float = 0
) -> None:
    """All frames, upright, in their order, at their times after `start`, and with the colours of the corners."""
    assert [float(f.time) for f in frames] == pytest.approx([float(t) + start for t in row.seconds], abs=row.slack)
    for frame in frames:
        assert frame.rgb.shape == (*size, 3)
        assert np.abs(corners_of(frame.rgb) - corners).max() <= LEVELS
    levels = [level_of(frame.rgb) for frame in frames]
    assert levels == sorted(set(levels)), "another order"


def first_sounds(path: Path) -> list[float]:
    """When the silence ends in each track of a film: seconds."""
    found = []
    with av.open(str(path)) as container:
        tracks = [stream.index for stream in container.streams.audio]
    for track in tracks:
        with av.open(str(path)) as container:
            to_floats = av.AudioResampler("fltp")
            decoded = container.decode(container.streams[track])
            for samples in (part for frame in decoded for part in to_floats.resample(frame)):
                is_loud = np.abs(samples.to_ndarray()).max(axis=0) > 0.1
                if is_loud.any():
                    found.append(samples.time + is_loud.argmax() / samples.sample_rate)
                    break
    return found


@pytest.mark.parametrize("film", FILMS, ids=str)
def test_a_film_keeps_its_frames_times_colours_and_sound(tmp_path, film):
    path = made(film, tmp_path)
    size = film.seen_size or film.pictures()[0].shape[:2]
    with open_frames(path) as frames:
        read = list(frames)
        assert frames.is_video and (frames.warning is None or "deinterlaced" in frames.warning)
    assert_shown(film, read, size, film.corners, float(read[0].time))
    assert float(frames.end - read[0].time) == pytest.approx(float(film.end), abs=1 / float(film.fps))

    written = copy(path, tmp_path / "written.mp4")
    with open_frames(written) as frames:
        again = list(frames)
    start = float(again[0].time)
    assert start == pytest.approx((film.late[0] - min(film.late)) / 1000, abs=SYNC), "starts too early or too late"
    assert_shown(film, again, (size[0] + size[0] % 2, size[1] + size[1] % 2), corners_of(read[0].rgb), start)
    with av.open(str(written)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(float(film.end), abs=1 / float(film.fps))
        assert next(container.decode(video=0)).rotation == 0
    late = (film.late[1] - film.late[0]) / 1000
    wanted = [start + float(film.beep) + late] * (film.how.get("tracks", 1) if film.sound else 0)
    assert first_sounds(written) == pytest.approx(wanted, abs=SYNC), "sound lost or out of step"


@pytest.mark.parametrize("film", HDR, ids=str)
def test_high_dynamic_range_stays_neutral_and_its_white_white(tmp_path, film):
    with open_frames(made(film, tmp_path)) as frames:
        read = list(frames)
    black, white, grey, dark = corners_of(read[-1].rgb)
    assert max(np.ptp(colour) for colour in (black, white, grey, dark)) <= LEVELS
    assert black.max() < 16 and dark.max() < grey.min() and white.min() >= 235 and len(read) == film.count


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mpg", "mpeg2video"), ("a.mkv", "ffv1")])
def test_an_interlaced_film_is_not_combed(tmp_path, name, codec):
    def field(time: int) -> np.ndarray:
        picture = wild.scene(CORNERS, 100)
        picture[16:48, 8 * time : 8 * time + 16] = 235
        return picture

    def comb(rgb: np.ndarray) -> float:
        return float(np.abs(rgb[20:44:2].astype(int) - rgb[21:45:2]).mean())

    woven = [field(2 * i) for i in range(5)]
    for i, picture in enumerate(woven):
        picture[1::2] = field(2 * i + 1)[1::2]
    options = {"flags": "+ildct+ilme", "field_order": "tt", "top": "1"}
    path = make_clip(tmp_path / name, woven, rate=25, tick=Fraction(1, 25), codec=codec, options=options)
    for source in (path, copy(path, tmp_path / "written.mp4")):
        with open_frames(source) as frames:
            read = list(frames)
        assert len(read) in (5, 10) and comb(woven[2]) > 20
        assert max(comb(frame.rgb) for frame in read[1:-1]) < 5
        assert np.abs(corners_of(read[2].rgb) - CORNERS).max() <= LEVELS
    with av.open(str(tmp_path / "written.mp4")) as container:
        assert not next(container.decode(video=0)).interlaced_frame


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.avif"])
def test_an_animation_is_a_film(tmp_path, name):
    first, *others = (Image.fromarray(wild.scene(CORNERS, 40 + 20 * i)) for i in range(4))
    settings = {"lossless": True} if name == "a.webp" else {"quality": 100} if name == "a.avif" else {}
    first.save(tmp_path / name, save_all=True, append_images=others, duration=[40, 120, 200, 300], **settings)
    row = Film(name, times=(0, 40, 160, 360))
    for path in (tmp_path / name, copy(tmp_path / name, tmp_path / "written.mp4")):
        with open_frames(path) as frames:
            assert_shown(row, list(frames), (64, 96), CORNERS)
        assert float(frames.end) == pytest.approx(0.66, abs=0.002)


@pytest.mark.parametrize("photo", PHOTOS, ids=str)
def test_a_photo_is_upright_and_keeps_its_colours(tmp_path, photo):
    path = made(photo, tmp_path)
    for shown in (path, *(copy(path, tmp_path / f"written{suffix}") for suffix in (".jpg", ".png"))):
        with open_frames(shown) as frames:
            (frame,) = frames
        assert not frames.is_video and frame.rgb.shape == (64, 96, 3)
        is_exact = photo.note == "sRGB" and shown == path  # a conversion would only add rounding
        assert np.abs(corners_of(frame.rgb) - photo.corners).max() <= (0 if is_exact else LEVELS)


def with_face(corners: wild.Colours, level: int = 100, size: tuple[int, int] = (192, 192)) -> np.ndarray:
    """A face between the corners; nothing of it depends on the level."""
    picture = wild.scene(corners, level, size)
    picture[24:-24] = np.dstack([face_picture(), np.full(size, 255, np.uint8)])[24:-24, :, : picture.shape[2]]
    picture[24:48, :32], picture[24:48, -32:] = picture[:24, :32], picture[:24, -32:]
    return picture


FACE = {"draw": with_face, "size": (192, 192)}
WHOLE = [
    Photo("a.jpg", note="orientation 6", orientation=6, draw=with_face),
    Photo("a.png", "RGBA", **wild.ALPHA, draw=with_face),
    Photo("a.jpg", **wild.in_profile("Display P3"), draw=with_face),
    Film("a.mov", "libx265", "yuv420p", "aac", turns=1, **FACE),
    Film("a.webm", "libvpx-vp9", "yuva420p", "libopus", **wild.ALPHA, **FACE),
    Film("a.mp4", colour="bt2020", note="bt2020", stored=wild.MILD, corners=wild.MILD, **FACE),
]


@pytest.mark.parametrize("row", WHOLE, ids=str)
def test_the_program_keeps_what_it_does_not_draw(stylize, row):
    made(row, Path())
    assert stylize("--content", row.name, "--full_frame", 1)[0] == 0
    (written,) = Path("output").glob("a_vtoonify_d.*")
    with open_frames(written) as frames:
        read = list(frames)
    assert written.suffix == (".mp4" if isinstance(row, Film) else ".jpg")
    for frame in read:
        assert frame.rgb.shape == (192, 192, 3)
        edges = corners_of(np.vstack([frame.rgb[:24], frame.rgb[-24:]]))
        assert np.abs(edges - row.corners).max() <= LEVELS
    if isinstance(row, Film):
        assert [float(frame.time) for frame in read] == pytest.approx(list(map(float, row.seconds)), abs=0.002)
        assert first_sounds(written) == pytest.approx([float(row.beep)] if row.sound else [], abs=SYNC)


NAMES = [
    "with space.jpg", "it's \"quoted\".png", "Jürgen 😀.jpg", "-dash.jpg", "100%.jpg", "frame_%d.png", "a\nb.jpg",
    "n" * 196 + ".jpg", "UPPER.JPG", "wrong.png", "none", ".hidden.jpg", "two.dots.jpg", "end .jpg", "[b].jpg",
    "s*.jpg", "q?.jpg", "$(x) & ;|.jpg", "caf\udce9.jpg", "ｆｕｌｌ.jpg", "photo.mp4",
]  # fmt: skip


def test_names_of_all_kinds_give_results_of_their_own(stylize):
    for name in NAMES:
        Image.fromarray(with_face(CORNERS)).save(name, "JPEG", quality=95)
    Film("film.jpg", **FACE, how={"container_format": "mp4"}).make(Path())
    code, out, err = stylize("--content", *(f"./{name}" for name in [*NAMES, "film.jpg"]), "--full_frame", 1)
    assert (code, err) == (0, "")
    stems = (os.fsencode(Path(name).stem).decode(errors="ignore") for name in NAMES)
    wanted = {f"{stem}_vtoonify_d.jpg" for stem in stems} | {"film_vtoonify_d.mp4"}
    assert {file.name for file in Path("output").glob("*_vtoonify_*")} == wanted
    for name in wanted:
        with open_frames(Path("output") / name) as frames:
            assert frames.size == (192, 192)
