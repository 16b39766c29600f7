from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc, VideoReformatter
from PIL import Image, ImageCms

from model.common.errors import InputError
from model.media import video_pictures, video_reader
from model.media.files import Frame, open_frames, open_sink
from tests import clips
from tests.clips import BT709, COLOURS, PATCH, SMPTE170M, copy, index_of, make_clip, marked, patch_colours, patches

RANGES = [{"color_range": ColorRange.MPEG}, {"color_range": ColorRange.JPEG}]


def first(path: Path) -> np.ndarray:
    with open_frames(path) as frames:
        return frames.first.rgb


@pytest.mark.parametrize(
    ("matrix", "how", "height"),
    [*((matrix, how, 64) for matrix in (BT709, SMPTE170M) for how in RANGES), (BT709, {"pix_fmt": "yuv420p10le"}, 64),
     (SMPTE170M, {"tagged": False}, 64), (BT709, {"tagged": False}, 720)],
)  # fmt: skip
def test_matrix_range_and_depth_give_the_colours_back(tmp_path, matrix, how, height):
    clip = make_clip(tmp_path / "c.mp4", [patches(height)], matrix=matrix, **how)
    with av.open(str(clip)) as container:
        assert (container.streams.video[0].colorspace == clips.UNSPECIFIED) == ("tagged" in how)
    assert np.abs(patch_colours(first(clip)) - COLOURS).max() <= 4


def test_written_video_is_tagged_bt709_limited_and_keeps_colours(tmp_path):
    source = make_clip(tmp_path / "in.mp4", [patches()] * 3, matrix=SMPTE170M, color_range=ColorRange.JPEG)
    written = copy(source, tmp_path / "out.mp4")
    with av.open(str(written)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        tags = (stream.colorspace, stream.color_range, stream.color_primaries, stream.color_trc)
        assert tags == (BT709, ColorRange.MPEG, ColorPrimaries.BT709, ColorTrc.BT709)
    assert np.abs(patch_colours(first(written)) - COLOURS).max() <= 6
    data = written.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first"


def test_high_dynamic_range_is_brought_to_bt709():
    code = np.full((96, 64), 64 + 0.75 * 876, np.uint16)  # reference white: 75 % of the HLG signal (ITU-R BT.2408)
    code[64:] = 512
    picture = av.VideoFrame.from_ndarray(code, "yuv420p10le")
    picture.color_trc, picture.color_primaries = ColorTrc.ARIB_STD_B67, ColorPrimaries.BT2020
    picture.colorspace, picture.color_range = 9, ColorRange.MPEG
    assert video_pictures.to_rgb(picture, (64, 64), VideoReformatter()).min() >= 240


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [("c.mov", "prores_ks", "yuva444p10le", {"profile": "4"}), ("c.webm", "libvpx-vp9", "yuva420p", {})],
)
def test_video_alpha_is_laid_on_white(tmp_path, name, codec, pix_fmt, options):
    rgba = np.dstack([patches(), np.full((64, 4 * PATCH), 255, np.uint8)])
    rgba[:, :PATCH, 3] = 0
    clip = make_clip(tmp_path / name, [rgba], codec=codec, pix_fmt=pix_fmt, options=options)
    assert np.abs(patch_colours(first(clip)) - [(255, 255, 255), *COLOURS[1:]]).max() <= 8


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (-90, -1), (180, 2)])
def test_rotation_in_the_container_is_applied(tmp_path, rotation, turns):
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :32], stored[:32, 32:] = (255, 0, 0), (0, 0, 255)
    clip = make_clip(tmp_path / "c.mp4", [stored], rotation=rotation)
    expected = np.rot90(stored, turns)
    with open_frames(clip) as frames:
        assert frames.size == expected.shape[:2]
        assert np.abs(frames.first.rgb[16::32, 16::32].astype(int) - expected[16::32, 16::32]).max() <= 6
    with av.open(str(copy(clip, tmp_path / "out.mp4"))) as container:
        picture = next(container.decode(video=0))
        assert (picture.rotation, picture.height) == (0, expected.shape[0])


def test_oblong_pixels_become_square_and_odd_sizes_even(tmp_path):
    assert first(make_clip(tmp_path / "c.mp4", [patches()], sample_aspect=Fraction(3, 2))).shape[:2] == (64, 192)
    odd = make_clip(tmp_path / "c.mkv", [patches()[:63, :127]] * 2, codec="ffv1", pix_fmt="bgr0", tagged=False)
    assert first(odd).shape[:2] == (63, 127) and first(copy(odd, tmp_path / "out.mp4")).shape[:2] == (64, 128)


def test_variable_frame_rate_keeps_its_steps_and_length(tmp_path):
    ticks = [7, 20, 60, 61, 200, 210, 215, 500, 530, 600]
    times = [Fraction(tick - ticks[0], 600) for tick in ticks]
    source = make_clip(tmp_path / "in.mp4", [marked(i) for i in range(10)], ticks, movie_timescale="600")
    with open_frames(source) as frames:
        assert [frame.time for frame in frames] == times
        wanted = float(frames.end - frames.first.time)
    written = copy(source, tmp_path / "out.mp4")
    assert clips.video_times(written) == times
    with av.open(str(written)) as container:
        assert container.duration / av.time_base == pytest.approx(wanted, abs=0.002)


def test_frames_at_one_instant_or_back_in_time_are_all_kept_in_order(tmp_path):
    source = make_clip(tmp_path / "in.mp4", [marked(i) for i in range(6)])
    times = [Fraction(t, 20) for t in (0, 1, 1, 0, 2, 3)]
    with open_frames(source) as frames, open_sink(tmp_path / "out.mp4", frames) as sink:
        for frame, time in zip(frames, times, strict=True):
            sink.write(Frame(frame.rgb, time))
    stamps = clips.video_times(sink.path)
    assert len(stamps) == 6 and stamps == sorted(set(stamps)) and stamps[4:] == times[4:]


@pytest.mark.parametrize(
    ("name", "ticks", "how", "times", "rate"),
    [
        ("no_stamps.h264", None, {"rate": 25}, range(5), 25),
        ("dropped_frames.avi", [0, 1, 2, 6, 7], {"tick": Fraction(1, 20), "codec": "mpeg4"}, [0, 1, 2, 6, 7], 20),
        ("broadcast.ts", [90000 * 3600 + 4500 * i for i in range(5)], {"tick": Fraction(1, 90000)}, range(5), 20),
    ],
)
def test_clocks_of_other_kinds(tmp_path, name, ticks, how, times, rate):
    with open_frames(make_clip(tmp_path / name, [marked(i) for i in range(5)], ticks, **how)) as frames:
        assert [frame.time for frame in frames] == [Fraction(time, rate) for time in times] and frames.warning is None


def test_each_loop_starts_at_the_first_frame_and_decodes_only_what_is_asked_for(tmp_path, monkeypatch):
    source = open_frames(make_clip(tmp_path / "c.mp4", [marked(i) for i in range(50)]))
    decoded = []
    decode = video_reader.VideoSource._decode
    counted = lambda *args: (decoded.append(picture) or picture for picture in decode(*args))  # noqa: E731
    monkeypatch.setattr(video_reader.VideoSource, "_decode", counted)
    with source:
        reading = iter(source)
        assert [index_of(next(reading).rgb) for _ in range(3)] == [0, 1, 2] and len(decoded) == 3
        assert index_of(source.first.rgb) == index_of(next(iter(source)).rgb) == 0
        assert not source.finished
    assert next(reading, None) is None, "leaving the block ends the loops"


@pytest.mark.parametrize(("count", "rate", "seconds"), [(40, 20, 0.5), (40, 20, 4), (300, 10, 30)])
def test_sound_packets_are_copied_unchanged_in_sync_and_interleaved(tmp_path, count, rate, seconds):
    pictures = [marked(i % 50) for i in range(count)]
    source = make_clip(tmp_path / "in.mp4", pictures, rate=rate, sound="aac", sound_seconds=seconds)
    written = copy(source, tmp_path / "out.mp4")
    assert clips.sound_packets(written) == clips.sound_packets(source) and len(clips.video_times(written)) == count
    newest = {"audio": 0.0, "video": 0.0}
    with av.open(str(written)) as container:
        for packet in sorted((p for p in container.demux() if p.size), key=lambda packet: packet.pos):
            newest[packet.stream.type] = float(packet.dts * packet.time_base)
            assert seconds < 30 or abs(newest["audio"] - newest["video"]) < 1


def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path):
    pictures, tick = [marked(i) for i in range(20)], Fraction(1, 1000)
    source = make_clip(tmp_path / "in.mkv", pictures, sound="pcm_s16le", sound_seconds=1, tick=tick)
    written = copy(source, tmp_path / "out.mp4")
    with av.open(str(written)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    original, heard = clips.sound_of(source) / 2**15, clips.sound_of(written)
    assert len(heard) == pytest.approx(len(original), abs=2048)
    middle = slice(10000, 30000)
    assert np.abs(original[middle] - heard[middle]).max() < 0.05, "same wave at the same time"


def test_gif_is_a_video_with_its_own_times_over_white(tmp_path):
    rgba = np.zeros((4, 32, 32, 4), np.uint8)
    for index in range(4):
        rgba[index, :16] = (60 * index, 0, 0, 255)
    first, *others = map(Image.fromarray, rgba)
    path = tmp_path / "a.b.gif"
    first.save(path, save_all=True, append_images=others, duration=[50, 120, 200, 300], disposal=2)
    with open_frames(path) as frames:
        assert (frames.is_video, frames.name, frames.expected_frames, frames.size) == (True, "a.b", 4, (32, 32))
        read = list(frames)
    assert [frame.time for frame in read] == [0, Fraction(5, 100), Fraction(17, 100), Fraction(37, 100)]
    assert all((frame.rgb[16:] == 255).all() for frame in read)
    assert [int(frame.rgb[8, 8, 0]) for frame in read] == pytest.approx([0, 60, 120, 180], abs=3)
    with av.open(str(copy(path, tmp_path / "out.mp4"))) as container:
        assert container.duration / av.time_base == pytest.approx(0.67, abs=0.002)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animated_png_and_webp_are_videos_and_still_ones_are_photos(tmp_path, suffix):
    first, *others = (Image.fromarray(marked(i)) for i in range(3))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others, duration=40, lossless=True)
    first.save(tmp_path / f"s.{suffix}", lossless=True)
    with open_frames(tmp_path / f"a.{suffix}") as frames:
        assert frames.is_video
        assert [(index_of(f.rgb), f.time) for f in frames] == [(i, Fraction(i, 25)) for i in range(3)]
    assert not open_frames(tmp_path / f"s.{suffix}").is_video


def test_numbered_photos_are_a_video_at_25_frames_per_second(tmp_path):
    for index in (9, 10, 11):
        Image.fromarray(marked(index)).save(tmp_path / f"shot_{index:04d}.png")
    with open_frames(tmp_path / "shot_%04d.png") as frames:
        assert (frames.is_video, frames.name, frames.rate, frames.expected_frames) == (True, "shot", 25, 3)
        assert [(index_of(f.rgb), f.time) for f in frames] == [(9 + i, Fraction(i, 25)) for i in range(3)]
    Image.fromarray(marked(12)[:, 1:]).save(tmp_path / "shot_0012.png")
    with pytest.raises(InputError, match="shot_0012.png"):
        list(open_frames(tmp_path / "shot_%04d.png"))
    with pytest.raises(InputError, match="no file"):
        open_frames(tmp_path / "none_%d.png")


def photo(tmp_path: Path, image: Image.Image, name: str = "p.png", **options: object) -> np.ndarray:
    image.save(tmp_path / name, **options)
    with open_frames(tmp_path / name) as frames:
        assert not frames.is_video and frames.expected_frames == 1
        (only,) = frames
        assert only.time is None and (only.rgb == frames.first.rgb).all()
    assert only.rgb.dtype == np.uint8 and only.rgb.shape[2] == 3
    return only.rgb


def test_photo_alpha_and_palette_transparency_are_laid_on_white(tmp_path):
    rgba = np.dstack([patches(), np.full((64, 4 * PATCH), 255, np.uint8)])
    rgba[:, :PATCH, 3], rgba[:, PATCH : 2 * PATCH, 3] = 0, 128
    colours = patch_colours(photo(tmp_path, Image.fromarray(rgba)))
    assert colours.tolist() == [[255, 255, 255], [127, 255, 127], [0, 0, 255], [128, 128, 128]]
    palette = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8), 8).reshape(4, 4))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    photo(tmp_path, Image.fromarray(patches()), "photo.mp4", format="JPEG")  # content decides, not the suffix
    assert open_frames(make_clip(tmp_path / "clip.mp4", [marked(0)]).rename(tmp_path / "clip.jpg")).is_video
    rgb = photo(tmp_path, palette, transparency=0)
    assert rgb[0, 0].tolist() == [255, 255, 255] and rgb[3, 3].tolist() == [40, 50, 60]


def test_grey_of_8_and_16_bit_and_cmyk_are_read_as_rgb(tmp_path):
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    rgb = photo(tmp_path, Image.fromarray(grey))
    assert np.abs(rgb[..., 1].reshape(-1).astype(int) - np.arange(256)).max() <= 1, "scaled, not clipped"
    assert index_of(photo(tmp_path, Image.fromarray(marked(20)[..., 0]))) == 20
    rgb = photo(tmp_path, Image.fromarray(patches()).convert("CMYK"), "p.jpg", quality=100)
    assert np.abs(patch_colours(rgb) - COLOURS).max() <= 6


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_exif_orientation_is_applied(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[274] = orientation
    assert (photo(tmp_path, Image.fromarray(patches()), exif=exif) == np.rot90(patches(), turns)).all()


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
for old, new in ((b"rXYZ", b"?XYZ"), (b"bXYZ", b"rXYZ"), (b"?XYZ", b"bXYZ")):
    SWAPPED = SWAPPED.replace(old, new)  # with its red and blue primaries swapped, a profile swaps the channels


@pytest.mark.parametrize("kind", ["sRGB", "opaque", "transparent", "palette"])
def test_a_profile_other_than_srgb_is_converted_before_alpha_is_laid_on_white(tmp_path, kind):
    image, expected = Image.fromarray(patches()), COLOURS.astype(int)
    expected = expected if kind == "sRGB" else expected[:, ::-1].copy()
    if kind == "transparent":
        image = image.convert("RGBA")
        image.paste((255, 0, 0, 128), (0, 0, PATCH, 64))
        expected[0] = 127, 127, 255
    image = image.quantize() if kind == "palette" else image
    rgb = photo(tmp_path, image, icc_profile=SRGB if kind == "sRGB" else SWAPPED)
    assert np.abs(patch_colours(rgb) - expected).max() <= (0 if kind == "sRGB" else 3)


@pytest.mark.parametrize("name", ["o.png", "o.JPEG"])
def test_photo_sink_writes_jpeg_in_full_colour_and_png(tmp_path, name):
    Image.fromarray(patches()).save(tmp_path / "p.png")
    written = copy(tmp_path / "p.png", tmp_path / name)
    with Image.open(written) as image:
        if image.format == "JPEG":
            assert {sampling[1:3] for sampling in image.layer} == {(1, 1)}
        assert np.abs(np.asarray(image).astype(int) - patches()).max() <= (0 if image.format == "PNG" else 12)
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
