"""Files as phones, cameras and broadcasts write them. This needs no torch, nor does test_frames.py."""

import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from PIL import Image

from model.common.errors import InputError
from model.media.files import AVIF_BRANDS, HEIF_BRANDS, MEDIA_SUFFIXES, PHOTO_FORMATS, open_frames
from model.media.video_pictures import display_matrix, oriented
from tests.clips import COLOURS, PATCH, copy, make_clip, patch_colours, patches, video_times

BT2020_MATRIX = 9


def first(path: Path) -> np.ndarray:
    with open_frames(path) as frames:
        return frames.first.rgb


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_tags_that_are_no_utf8_keep_no_file_closed(tmp_path, suffix):
    path = make_clip(tmp_path / f"c.{suffix}", [patches()])
    assert b"Lavf" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"L\xe4\xfff"))
    assert np.abs(patch_colours(first(path)) - COLOURS).max() <= 4


# From linear light of BT.709 to that of other primaries: ITU-R BT.2087, and the same for Display P3.
FROM_BT709 = {
    ColorPrimaries.BT2020: [(0.6274, 0.3293, 0.0433), (0.0691, 0.9195, 0.0114), (0.0164, 0.0880, 0.8956)],
    ColorPrimaries.SMPTE432: [(0.8225, 0.1775, 0), (0.0332, 0.9668, 0), (0.0171, 0.0724, 0.9105)],
}
SEEN = np.array([(220, 60, 60), (60, 180, 80), (50, 70, 200), (210, 160, 130), (255, 255, 255), (0, 0, 0)])


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(("primaries", "curve", "gamma"), [
    (ColorPrimaries.BT2020, ColorTrc.BT709, 2.4), (ColorPrimaries.BT2020, ColorTrc.BT2020_10, 2.4),
    (ColorPrimaries.SMPTE432, ColorTrc.BT709, 2.4), (ColorPrimaries.SMPTE432, ColorTrc.IEC61966_2_1, 2.2),
    (ColorPrimaries.UNSPECIFIED, ColorTrc.BT709, None),
])  # fmt: skip
def test_wide_primaries_are_brought_to_bt709_and_unmarked_ones_left(tmp_path, primaries, curve, gamma, alpha):
    stored = SEEN / 255
    if gamma:
        stored = (stored**gamma @ np.array(FROM_BT709[primaries]).T) ** (1 / gamma)
    red, green, blue = stored.T
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    chroma = (blue - luma) / 1.8814, (red - luma) / 1.4746
    levels = 64 + 876 * luma, *(512 + 896 * value for value in chroma), np.full_like(luma, 1023)
    planes = [np.round(level).astype(np.uint16).repeat(PATCH) for level in levels][: 3 + alpha]
    pixel_format = "yuva444p10le" if alpha else "yuv444p10le"
    picture = av.VideoFrame(len(planes[0]), PATCH, pixel_format)
    for plane, row in zip(picture.planes, planes, strict=True):
        rows = np.zeros((PATCH, plane.line_size // 2), np.uint16)
        rows[:, : len(row)] = row
        plane.update(rows.tobytes())
    with av.open(str(tmp_path / "c.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, pixel_format
        stream.colorspace, stream.color_range = BT2020_MATRIX, ColorRange.MPEG
        stream.color_primaries, stream.color_trc = primaries, curve
        container.mux([*stream.encode(picture), *stream.encode(None)])
    read = first(tmp_path / "c.mkv")[PATCH // 2, PATCH // 2 :: PATCH]
    assert np.abs(read.astype(int) - SEEN).max() <= 3


def moving(time: int) -> np.ndarray:
    picture = np.full((96, 128, 3), 40, np.uint8)
    picture[:, 8 + 4 * time : 32 + 4 * time] = 200, 160, 120
    return picture


def woven(later: int) -> list[np.ndarray]:
    """Frames of two fields, of which the later one is in the lines 0, 2, 4 … or 1, 3, 5 …"""
    frames = [moving(2 * i) for i in range(12)]
    for i, frame in enumerate(frames):
        frame[later::2] = moving(2 * i + 1)[later::2]
    return frames


def comb(rgb: np.ndarray) -> float:
    """How much lines differ from those above and below them, in levels."""
    lines = rgb.astype(int)
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())


INTERLACED = {"options": {"flags": "+ilme+ildct", "x264-params": "bff=1"}}
OUTSIDE = {"codec": "ffv1", "options": {"field_order": "tt"}}  # by the container, not in the pictures


@pytest.mark.parametrize(("name", "how", "later", "rotation"), [
    ("a.mp4", INTERLACED, 0, 0), ("a.mp4", INTERLACED, 0, 90), ("a.ts", INTERLACED, 0, 0), ("a.mkv", OUTSIDE, 1, 0),
])  # fmt: skip
def test_interlaced_pictures_lose_their_comb_and_nothing_else(tmp_path, name, how, later, rotation):
    pictures = woven(later)
    assert min(map(comb, pictures)) > 10
    tick = Fraction(1, 90000) if name == "a.ts" else Fraction(1, 1000)
    path = make_clip(tmp_path / name, pictures, rate=25, tick=tick, rotation=rotation, **how)
    stamps = video_times(path)
    for _ in range(2):
        with open_frames(path) as frames:
            read = list(frames)
            assert "is interlaced: its pictures were deinterlaced" in frames.warning
            assert [frame.time - read[0].time for frame in read] == [stamp - stamps[0] for stamp in stamps]
            assert frames.end - read[0].time == Fraction(12, 25)
        upright = [np.rot90(frame.rgb, -rotation // 90) for frame in read]
        assert max(map(comb, upright[1:])) < 2  # the first has no neighbour to be made of
        assert all(np.abs(rgb - moving(2 * i).astype(int)).mean() < 3 for i, rgb in enumerate(upright))
    with av.open(str(copy(path, tmp_path / "out.mp4"))) as container:
        assert not any(picture.interlaced_frame for picture in container.decode(video=0))


def test_whole_pictures_stay_as_they_are_and_so_do_those_too_small_for_fields(tmp_path):
    with open_frames(make_clip(tmp_path / "a.mkv", woven(1), codec="ffv1", pix_fmt="bgr0", tagged=False)) as frames:
        assert all((frame.rgb == rgb).all() for frame, rgb in zip(frames, woven(1), strict=True))
        assert frames.warning is None
    small = [np.full((2, 2, 3), 9, np.uint8)] * 3
    with open_frames(make_clip(tmp_path / "b.mkv", small, pix_fmt="yuv444p", **OUTSIDE)) as frames:
        assert len(list(frames)) == 3


NOISE = np.random.default_rng(0).integers(0, 255, (50, 6, 8, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
H264, MPEG4 = {"options": {"g": "12", "bf": "2"}}, {"codec": "mpeg4"}
KINDS = {  # container: how its pictures are made, ticks of the clock, and a codec of sound
    "mp4": (H264, 600, "aac"), "mov": (H264, 600, "aac"), "mkv": (H264, 1000, "aac"), "flv": (H264, 1000, "aac"),
    "webm": ({"codec": "libvpx-vp9", "options": {"cpu-used": "8"}}, 1000, None), "avi": (MPEG4, 25, "libmp3lame"),
    "mxf": ({"codec": "mpeg2video"}, 25, None),
    "rm": ({"codec": "rv20"}, 25, "ac3"), "wmv": ({"codec": "wmv2"}, 1000, None), "ts": (H264, 90000, "aac"),
    "mpg": ({"codec": "mpeg2video", "options": {"bf": "2"}}, 25, "mp2"), "nut": (H264, 25, "aac"),
    "ogv": ({"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}, 25, "flac"),
}  # fmt: skip
TELLING = ("mp4", "mov", "mkv", "flv", "webm", "avi", "mxf", "rm")  # kinds that announce how long they are
LENGTHS = {"plain": (0, None), "late": (100, None), "long sound": (0, 5), "late and long": (50, 6)}


def whole_file(folder: Path, kind: str, late: int, sound_seconds: float | None) -> Path:
    """Two seconds, `late` frames after the clock's zero."""
    how, ticks, sound = KINDS[kind]
    if sound_seconds and not sound:
        return pytest.skip("this kind is tried without sound")
    times = [(late + i) * ticks // 25 for i in range(len(NOISE))]
    heard = {"sound": sound, "sound_seconds": sound_seconds} if sound_seconds else {}
    index = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
    try:
        settings = {"rate": 25, "tick": Fraction(1, ticks), **how, **heard, **index}
        return make_clip(folder / f"c.{kind}", list(NOISE), times, **settings)
    except (ValueError, av.FFmpegError) as error:
        return pytest.skip(f"this build cannot write it: {error}")


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_a_file_that_was_cut_off_is_told_to_be(tmp_path, kind, lengths):
    path = whole_file(tmp_path, kind, *LENGTHS[lengths])
    with open_frames(path) as frames:
        assert len(list(frames)) == len(NOISE) and frames.warning is None
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_frames(path) as frames:
        assert 0 < len(list(frames)) <= len(NOISE)  # where sound and pictures are far apart, all pictures may be there
        if kind in TELLING and (kind, lengths) != ("flv", "late"):  # whose length is not one from the clock's zero
            assert "it may be cut off" in frames.warning


def test_recordings_that_were_joined_are_not_cut_off(tmp_path):
    path = whole_file(tmp_path, "ts", 90000, None)
    path.write_bytes(path.read_bytes() + whole_file(tmp_path / "..", "ts", 0, None).read_bytes())
    with open_frames(path) as frames:
        assert len(list(frames)) == 2 * len(NOISE) and frames.warning is None


@pytest.fixture
def heif() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()  # which lets Pillow write it, too


def heic(path: Path, rgb: np.ndarray, **settings: object) -> Path:
    Image.fromarray(np.ascontiguousarray(rgb)).save(path, quality=100, chroma=444, **settings)
    return path


@pytest.mark.usefixtures("heif")
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, -1)])
def test_a_heic_photo_is_turned_once(tmp_path, orientation, turns, brand):
    exif = Image.Exif()
    exif[274] = orientation
    path = heic(tmp_path / "IMG_1.HEIC", np.rot90(patches(), turns), exif=exif.tobytes())
    data = path.read_bytes()
    assert (b"irot" in data) == (orientation != 1), "the container's own turn, beside that of EXIF"
    path.write_bytes(data[:8] + brand + data[12:])
    with open_frames(path) as frames:
        assert not frames.is_video and np.abs(patch_colours(frames.first.rgb) - COLOURS).max() <= 3
    heic(path, patches(), exif=exif)  # EXIF alone, which does not count in this container
    assert np.abs(patch_colours(first(path)) - COLOURS).max() <= 3


@pytest.mark.usefixtures("heif")
def test_heic_is_laid_on_white_and_of_several_photos_the_primary_one(tmp_path):
    rgba = np.dstack([patches(), np.full((64, 4 * PATCH), 255, np.uint8)])
    rgba[:, :PATCH, 3] = 0
    clear = heic(tmp_path / "b.heic", rgba)
    assert np.abs(patch_colours(first(clear)) - [(255, 255, 255), *COLOURS[1:]]).max() <= 4
    burst = [Image.fromarray(np.full((64, 64, 3), level, np.uint8)) for level in (50, 100, 150)]
    burst[0].save(tmp_path / "c.heic", save_all=True, append_images=burst[1:], primary_index=1)
    with open_frames(tmp_path / "c.heic") as frames:
        assert not frames.is_video and abs(frames.first.rgb.mean() - 100) < 2


def test_without_pillow_heif_heic_says_what_to_install_and_avif_opens(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for brand in HEIF_BRANDS:
        (tmp_path / "a.heic").write_bytes(struct.pack(">I", 24) + b"ftyp" + brand + bytes(100))
        with pytest.raises(InputError, match="a.heic.*; pip install pillow-heif"):
            open_frames(tmp_path / "a.heic")
    Image.fromarray(patches()).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    data = (tmp_path / "a.avif").read_bytes()
    for brand in (*AVIF_BRANDS[:1], b"mif1"):
        (tmp_path / "a.avif").write_bytes(data[:8] + brand + data[12:])
        assert np.abs(patch_colours(first(tmp_path / "a.avif")) - COLOURS).max() <= 4
    (tmp_path / "a.avif").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="a.avif.*damaged"):
        open_frames(tmp_path / "a.avif")


@pytest.mark.usefixtures("heif")
def test_names_that_pillow_knows_are_taken_out_of_folders():
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*PHOTO_FORMATS, "MPO")}
    assert known - MEDIA_SUFFIXES == {".pfm"}  # of floating point numbers without a range


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_pictures_with_side_data_that_has_no_name_are_turned_all_the_same(tmp_path, rotation):
    class Unnamed:
        def __init__(self, picture):
            self.rotation = picture.rotation

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    clip = make_clip(tmp_path / "c.mp4", [patches()], rotation=rotation)
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0))
        wanted, found = (oriented(patches(), display_matrix(p)) for p in (picture, Unnamed(picture)))
    np.testing.assert_array_equal(wanted, found)
