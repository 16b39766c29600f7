import re
import resource
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from model.common.errors import InputError
from model.media import video_writer
from model.media.files import Frame, PhotoSource, open_frames, open_sink
from tests.clips import SAMPLE_RATE, copy, index_of, make_clip, marked, patches, sound_packets, video_times, write_photo
from tests.small_models import noises


@pytest.fixture
def clip(tmp_path):
    pictures = [marked(i) for i in range(40)]
    return make_clip(tmp_path / "in.mp4", pictures, sound="aac", sound_seconds=2)


def test_ctrl_c_leaves_a_playable_partial_file(tmp_path, clip):
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt), open_frames(clip) as frames, open_sink(target, frames) as sink:
        for frame in islice(frames, 10):
            sink.write(frame)
        raise KeyboardInterrupt
    assert not target.exists() and sink.partial.name == "out.partial.mp4"
    assert video_times(sink.partial) == [Fraction(i, 20) for i in range(10)]
    assert sound_packets(sink.partial) == sound_packets(clip)[: len(sound_packets(sink.partial))]
    assert 0.4 < sound_packets(sink.partial)[-1][1] <= 0.5


@pytest.mark.usefixtures("heeded_ctrl_c")
def test_a_signal_in_the_middle_of_a_write_loses_no_frame(tmp_path, clip, monkeypatch):
    with pytest.raises(KeyboardInterrupt), open_frames(clip) as frames, open_sink(tmp_path / "o.mp4", frames) as sink:
        convert = sink._to_picture
        monkeypatch.setattr(sink, "_to_picture", lambda frame: signal.raise_signal(signal.SIGINT) or convert(frame))
        sink.write(frames.first)
    assert video_times(sink.partial) == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_any_other_error_leaves_nothing_and_an_older_file_intact(tmp_path, clip):
    target = tmp_path / "out.mp4"
    with open_frames(clip) as frames, open_sink(target, frames), open_sink(tmp_path / "o.png", frames):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"], "without frames there is no file"
    target.write_bytes(b"older result")
    with pytest.raises(RuntimeError), open_frames(clip) as frames, open_sink(target, frames) as sink:
        sink.write(frames.first)
        raise RuntimeError
    assert target.read_bytes() == b"older result" and not sink.partial.exists()
    assert len(video_times(copy(clip, target))) == 40


def test_two_runs_with_one_name_leave_each_a_whole_file_and_the_later_one_wins(tmp_path, clip):
    target = tmp_path / "out.mp4"
    with open_frames(clip) as frames, open_sink(target, frames) as later:
        with pytest.raises(KeyboardInterrupt), open_sink(target, frames) as broken_off:
            broken_off.write(frames.first)
            later.write(frames.first)
            raise KeyboardInterrupt
        assert video_times(broken_off.partial) == [0] and broken_off.left().endswith("out.partial.mp4")
        with open_sink(target, frames) as sooner:
            for frame in islice(frames, 1, 30):
                sooner.write(frame)
                later.write(frame)
        assert len(video_times(target)) == 29
    assert len(video_times(target)) == 30
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.mp4", "out.mp4"], "nor is the part of before"


@pytest.mark.parametrize(("name", "most"), [("out.mp4", 16384), ("out.jpg", 65500)])
@pytest.mark.parametrize("is_high", [True, False])
def test_what_a_file_cannot_hold_is_refused_with_its_limit(tmp_path, name, most, is_high):
    def write(side: int) -> None:
        frame = Frame(np.full((side, 16, 3) if is_high else (16, side, 3), 90, np.uint8))
        with open_sink(tmp_path / name, PhotoSource(Path("long"), frame.rgb)) as sink:
            sink.write(frame)

    write(most)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=rf" ends at {most} a side: "):
        write(most + 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_beyond", [False, True])
def test_the_encoder_holds_few_of_large_frames(tmp_path, clip, monkeypatch, is_beyond):
    usual = copy(clip, tmp_path / "usual.mp4").read_bytes()
    assert b"rc_lookahead=40" in usual and b" ref=3 " in usual and b" bframes=3 " in usual
    monkeypatch.setattr(video_writer, "LOOKAHEAD_PIXELS", 7 * 48 * 64)
    monkeypatch.setattr(video_writer, "LARGEST_LEVEL", 48 * 64 - is_beyond)
    large = copy(clip, tmp_path / "large.mp4").read_bytes()
    assert b"rc_lookahead=7" in large and (b" ref=1 " in large and b" bframes=1 " in large) == is_beyond
    assert video_times(tmp_path / "large.mp4") == video_times(clip)
    assert video_writer.lookahead(10**9) == 2


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk looks like to a program: within the block, writing beyond `size` bytes of a file fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("share", [0.1, 0.999])
@pytest.mark.parametrize("name", ["out.mp4", "out.png"])
def test_a_full_disk_is_one_sentence_and_no_stub(tmp_path, name, share):
    source, noise = tmp_path / "in", noises(120, 96, 96)
    if name == "out.png":
        Image.fromarray(noise[0]).save(source, format="BMP")
    else:
        make_clip(tmp_path / "in.mp4", noise, options={"preset": "ultrafast"}).rename(source)
    room = int(share * copy(source, tmp_path / name).stat().st_size)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"{name}.*; free some space"), files_no_larger_than(room):
        copy(source, tmp_path / name)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", ["missing/out.mp4", "out.avi", "out", "in.mp4", "folder.mp4"])
def test_impossible_outputs_are_refused_at_once(tmp_path, clip, name):
    (tmp_path / "folder.mp4").mkdir()
    before = clip.read_bytes()
    with open_frames(clip) as frames, pytest.raises(InputError, match="; |: "):
        open_sink(tmp_path / name, frames)
    assert clip.read_bytes() == before


def cut_photo(path: Path) -> bytes:
    return write_photo(path, noises(1, 64, 64)[0]).read_bytes()[: path.stat().st_size // 2]


def sound_only(path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.rate, samples.pts = SAMPLE_RATE, 0
        container.mux([*track.encode(samples), *track.encode(None)])
    return path.read_bytes()


def playlist(path: Path) -> bytes:
    make_clip(path.with_name("part.ts"), [patches()] * 5, tick=Fraction(1, 90000))
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.ts\n#EXT-X-ENDLIST\n"


def undecodable(path: Path) -> bytes:
    data = make_clip(path, [patches()] * 5).read_bytes()
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    return data[:start] + bytes(end - start) + data[end:]


BAD_FILES = {
    "empty.jpg": lambda _: b"",
    "text.mp4": lambda _: b"no video at all\n" * 200,
    "noise.png": lambda _: np.random.default_rng(1).bytes(5000),
    "playlist.m3u8": playlist,
    "bomb.ppm": lambda _: b"P6 60000 60000 255\n",
    **dict.fromkeys(("cut.png", "cut.jpg", "cut.webp"), cut_photo),
    "phone.jpg": lambda _: struct.pack(">I", 24) + b"ftypheic" + bytes(100),
    "cut.mp4": lambda path: make_clip(path, [patches()] * 5).read_bytes()[:1000],
    "sound.m4a": sound_only,
    "undecodable.mp4": undecodable,
}


@pytest.mark.parametrize("name", [*BAD_FILES, "missing.mp4", "."])
def test_bad_files_are_one_sentence_that_names_them(tmp_path, name):
    path = tmp_path / name
    if name in BAD_FILES:
        path.write_bytes(BAD_FILES[name](tmp_path / f"whole{path.suffix}"))
    with pytest.raises(InputError) as error:
        open_frames(path)
    assert re.fullmatch(f".*{path.name}.*; .*", str(error.value)), "one line"


def test_a_video_that_breaks_off_gives_its_frames_and_a_warning(tmp_path):
    pictures = [marked(i) for i in range(50)]
    data = make_clip(tmp_path / "w.mp4", pictures, options={"g": "10"}, movflags="+faststart").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    with open_frames(cut) as frames:
        assert frames.expected_frames == 50
        read = [index_of(frame.rgb) for frame in frames]
        assert 5 < len(read) < 45 and read == list(range(len(read)))
        assert "cut.mp4 announces 2.5 s" in frames.warning


def test_a_damaged_packet_is_skipped(tmp_path):
    whole = make_clip(tmp_path / "w.mkv", [marked(i) for i in range(20)], codec="ffv1", pix_fmt="bgr0", tagged=False,
                      options={"g": "1"})  # fmt: skip
    damaged = tmp_path / "damaged.mkv"
    with av.open(str(whole)) as source, av.open(str(damaged), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for index, packet in enumerate(p for p in source.demux(video=0) if p.size):
            broken = av.Packet(bytes(packet)[: packet.size // 2][::-1]) if index == 7 else packet
            broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
            broken.stream = stream
            target.mux(broken)
    with open_frames(damaged) as frames:
        assert [index_of(frame.rgb) for frame in frames] == [i for i in range(20) if i != 7]
        assert "damaged.mkv" in frames.warning
