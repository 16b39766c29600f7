from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from PIL import Image

from model.common.errors import InputError
from model.media import video_reader
from model.media.files import Frame, open_frames, open_sink
from tests import clips
from tests.clips import BT709, COLOURS, SMPTE170M, copy, index_of, make_clip, marked, patch_colours, patches


def first(path: Path) -> np.ndarray:
    with open_frames(path) as frames:
        return frames.first.rgb


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


@pytest.mark.parametrize("name", ["o.png", "o.JPEG"])
def test_photo_sink_writes_jpeg_in_full_colour_and_png(tmp_path, name):
    Image.fromarray(patches()).save(tmp_path / "p.png")
    written = copy(tmp_path / "p.png", tmp_path / name)
    with Image.open(written) as image:
        if image.format == "JPEG":
            assert {sampling[1:3] for sampling in image.layer} == {(1, 1)}
        assert np.abs(np.asarray(image).astype(int) - patches()).max() <= (0 if image.format == "PNG" else 12)
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
