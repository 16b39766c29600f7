"""Sound and subtitles of a clip, and when it begins: what a player gets of them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from model.media import resume
from model.media.files import open_frames, open_sink
from model.media.resume import SegmentedSink
from tests.clips import sound_packets, video_times

RATE, HZ, SECONDS = 25, 48000, 2
EVENTS = (0.48, 1.48)  # s; then a picture is white, there is a beep, and a line of text is shown
LINES = [(EVENTS[0], 0.9, "<i>Beep</i> {\\an8}one, ä"), (EVENTS[1], 1.8, "Beep two")]
SHOWN = [(0.48, 0.9, "Beep one, ä"), (1.48, 1.8, "Beep two")]
TICKS = {"ts": Fraction(1, 90000), "avi": Fraction(1, RATE), "mp4": Fraction(1, 12800), "mov": Fraction(1, 12800)}
ASS_TAGS = {"<i>": "{\\i1}", "</i>": "{\\i0}"}


def beep(start: float, stop: float, channels: int) -> av.AudioFrame:
    times = np.arange(round(start * HZ), round(stop * HZ)) / HZ
    wave = sum(((times >= event) & (times < event + 0.1)) * np.sin(2 * np.pi * 440 * times) for event in EVENTS)
    samples = np.repeat(wave[None].astype(np.float32) * 0.5, channels, 0)
    frame = av.AudioFrame.from_ndarray(samples, "fltp", {1: "mono", 2: "stereo", 6: "5.1"}[channels])
    frame.rate, frame.pts, frame.time_base = HZ, round(start * HZ), Fraction(1, HZ)
    return frame


def add_text(container, codec: str):
    stream, plain = container.add_stream(codec), av.CodecContext.create("subrip", "r")
    plain.open(strict=False)
    stream.codec_context.subtitle_header, stream.time_base = plain.subtitle_header + b"\0", Fraction(1, 1000)
    return stream


def text_packets(stream, lines, begin: float):
    for start, stop, line in lines:
        for tag, of_ass in ASS_TAGS.items():
            line = line.replace(tag, of_ass)
        packet = stream.codec_context.encode_subtitle(SubtitleSet.create(b"0,0,Default,,0,0,0,," + line.encode(), 0, 1))
        packet.stream, packet.time_base, packet.duration = stream, stream.time_base, round((stop - start) * 1000)
        packet.pts = packet.dts = round((begin + start) * 1000)
        yield packet


def make_film(
    path: Path, sounds=("aac",), text: str | None = None, *, lines=LINES, video="libx264", begin=0.0, later=0.0,
    chunk=1024 / HZ, channels=1,
) -> Path:  # fmt: skip
    """A clip of 2 s that starts at `begin` s and whose sound comes `later` s; the events are beside each other."""
    tick = TICKS.get(path.suffix[1:], Fraction(1, 1000))
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(video, rate=RATE, time_base=tick, width=64, height=48, options={"bf": "0"})
        tracks = [container.add_stream(codec, rate=HZ, layout={1: "mono", 2: "stereo"}[channels]) for codec in sounds]
        texts = [add_text(container, text)] if text else []
        for number, track in enumerate([*tracks, *texts]):
            track.metadata.update({"language": ("eng", "ger", "fre", "spa")[number], "title": f"Track {number}"})
            track.disposition = Disposition.default if number == 1 else 0
        waiting = [packet for track in texts for packet in text_packets(track, lines, begin)]
        for number in range(SECONDS * RATE):
            is_white = any(abs(number / RATE - event) < 0.01 for event in EVENTS)
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 * is_white, np.uint8), "rgb24")
            picture.pts, picture.time_base = round((begin + number / RATE) / tick), tick
            waiting += pictures.encode(picture)
        for track in tracks:
            for number in range(round(SECONDS / chunk)):
                samples = beep(number * chunk, (number + 1) * chunk, channels)
                samples.pts += round((begin + later) * HZ)
                waiting += track.encode(samples)
            waiting += track.encode(None)
        waiting += pictures.encode(None)
        container.mux(sorted(waiting, key=lambda packet: packet.dts * packet.time_base))
    return path


def write(source: Path, target: Path, keep_audio: bool = False) -> str | None:
    """Copy a clip, and say what of it did not come along."""
    with open_frames(source) as frames, open_sink(target, frames, keep_audio) as sink:
        for frame in frames:
            sink.write(frame)
    return sink.warning


def flashes(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(p.time) for p in container.decode(video=0) if p.to_ndarray(format="gray").mean() > 128]


def beeps(path: Path, number: int = 0) -> list[float]:
    found: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=number):
            for index in np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1):
                time = frame.time + index / frame.sample_rate
                found += [time] if not found or time > found[-1] + 0.3 else []
    return found


def shown_texts(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.size > 2]
        return [
            (float(p.pts * p.time_base), float((p.pts + p.duration) * p.time_base), text_of(bytes(p))) for p in packets
        ]


def text_of(packet: bytes) -> str:
    size = int.from_bytes(packet[:2], "big")
    assert len(packet) == 2 + size, "text without styles"
    return packet[2:].decode()


def about(times, within=0.012):
    return pytest.approx(times, abs=within)


FILMS = {
    "a.mkv": ("libx264", ("aac", "libopus"), "ass"),
    "b.mkv": ("libx264", ("flac", "eac3"), "subrip"),
    "c.mp4": ("libx264", ("aac", "libmp3lame"), "mov_text"),
    "d.mov": ("libx264", ("alac", "aac"), "mov_text"),
    "e.webm": ("libvpx", ("libopus", "libopus"), "webvtt"),
    "f.ts": ("libx264", ("aac", "ac3"), None),
    "g.avi": ("ffv1", ("pcm_s16le", "pcm_s16le"), None),
    "h.flv": ("flv", ("aac",), None),
}


@pytest.mark.parametrize("name", FILMS)
def test_all_sound_and_text_comes_along_in_time(tmp_path, name):
    video, sounds, text = FILMS[name]
    source, made = make_film(tmp_path / name, sounds, text, video=video), tmp_path / "out.mp4"
    assert write(source, made) is None
    with av.open(str(made)) as film, av.open(str(source)) as original:
        assert [s.type for s in film.streams] == ["video", *["audio"] * len(sounds), *["subtitle"] * bool(text)]
        assert {s.codec_context.codec.canonical_name for s in film.streams.audio} == {"aac"}
        for track, given in zip(list(film.streams)[1:], list(original.streams)[1:], strict=True):
            assert track.language == (given.language or "und")
            assert track.metadata.get("name") == (given.metadata.get("title") or given.metadata.get("name"))
            is_default = bool(track.disposition & Disposition.default)
            assert track.type == "subtitle" or is_default == (track.index == 2 or len(sounds) == 1) or text is None
    times = video_times(source)
    assert video_times(made) == [time - times[0] for time in times] and len(times) == SECONDS * RATE
    assert flashes(made) == about(EVENTS)
    for number in range(len(sounds)):
        assert beeps(made, number) == about(EVENTS)
    if text:
        assert shown_texts(made) == [(about(start), about(stop), line) for start, stop, line in SHOWN]


def test_texts_lose_tags_and_drawings_and_those_at_one_time_are_shown_together(tmp_path):
    lines = [(0.2, 1.0, "{\\i1}One{\\r}, {note}two\\Nthree\\hfour"), (0.2, 1.0, "{\\blur3}One, two\\Nthree four"),
             (0.3, 0.4, "{\\p1}m 0 0 l 9 9{\\p0}"), (0.5, 1.2, "{\\pos(1,2)}Sign"), (1.9, 60.0, "End"),
             (50.0, 60.0, "Beyond")]  # fmt: skip
    source = make_film(tmp_path / "in.mkv", text="ass", lines=lines)
    assert write(source, tmp_path / "out.mp4") is None
    one, end = "One, two\nthree four", float(sound_packets(tmp_path / "out.mp4")[-1][1]) + 1024 / HZ
    wanted = [(0.2, 0.5, one), (0.5, 1.0, f"{one}\nSign"), (1.0, 1.2, "Sign"), (1.9, end, "End")]
    assert shown_texts(tmp_path / "out.mp4") == [(about(start), about(stop), text) for start, stop, text in wanted]
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.duration / av.time_base == about(end)


@pytest.mark.parametrize("keep_audio", [False, True])
@pytest.mark.parametrize("codec", ["aac", "libopus", "flac", "ac3", "eac3", "alac", "libmp3lame"])
def test_sound_that_not_all_players_play_is_kept_only_on_demand(tmp_path, codec, keep_audio):
    source = make_film(tmp_path / ("in.mov" if codec == "alac" else "in.mkv"), (codec,))
    write(source, tmp_path / "out.mp4", keep_audio)
    original, kept = (sound_packets(path) for path in (source, tmp_path / "out.mp4"))
    assert ([data for data, _ in kept] == [data for data, _ in original]) == (keep_audio or codec == "aac")
    assert beeps(tmp_path / "out.mp4") == about(EVENTS)


def patched(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    data = path.read_bytes()
    for old, new in changes:
        assert len(old) == len(new) and data.count(old) >= 1
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


NO_FLAC, NO_EAC3, PICTURES = (b"A_FLAC", b"A_NONE"), (b"A_EAC3", b"A_NONE"), (b"S_TEXT/UTF8", b"S_HDMV/PGS\0")
MISSING = {
    "ac4.mp4": (("libopus",), None, [(b"Opus", b"ac-4")],
                "its sound (codec ac4) can't be decoded: the result is silent"),
    "no.mkv": (("flac",), "subrip", [NO_FLAC], "its sound (codec unknown) can't be decoded: the result is silent"),
    "pgs.mkv": (("flac",), "subrip", [PICTURES],
                "its subtitles (codec hdmv_pgs_subtitle) are pictures, which mp4 can't hold: left out"),
    "both.mkv": (("flac", "eac3"), "subrip", [NO_EAC3, (", ä".encode(), b", \xe4?"), (b"Track 0", b"Tr\xe4ck 0")],
                 "sound 2 (codec unknown) can't be decoded, damaged packets in its subtitles (1): left out"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_what_cannot_come_along_is_told(tmp_path, name):
    sounds, text, changes, told = MISSING[name]
    source = patched(make_film(tmp_path / name, sounds, text), *changes)
    assert write(source, tmp_path / "out.mp4") == f"{source}: {told}"
    assert flashes(tmp_path / "out.mp4") == about(EVENTS)
    with av.open(str(tmp_path / "out.mp4")) as film:
        heard = len(film.streams.audio)
    assert heard == len(sounds) - told.count("sound") and bool(heard) != ("silent" in told)


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4", "in.ts"])
@pytest.mark.parametrize(("begin", "later"), [(0.4, 0.0), (3600.4, 0.0), (0.4, 0.3), (0.4, -0.3), (0.0, 0.3)])
def test_a_late_start_of_all_is_dropped_and_one_of_the_sound_stays(tmp_path, name, begin, later):
    text = {"in.mkv": "subrip", "in.mp4": "mov_text"}.get(name)
    source = make_film(tmp_path / name, text=text, begin=begin, later=later)
    write(source, tmp_path / "out.mp4")
    made, lead = tmp_path / "out.mp4", max(0.0, -later)
    seen, heard = flashes(made), beeps(made)
    assert video_times(made)[0] == about(lead, 0.03) and min(video_times(made)[0], sound_packets(made)[0][1]) <= 0
    assert seen == about([lead + event for event in EVENTS], 0.03)
    assert [sound - flash for sound, flash in zip(heard, seen, strict=True)] == about([later] * len(EVENTS))
    assert not text or [start for start, _, _ in shown_texts(made)] == about(seen)


def test_a_continued_film_has_the_same_tracks(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SEGMENT", 20)
    source = patched(make_film(tmp_path / "in.mkv", ("aac", "libopus", "flac"), "subrip"), NO_FLAC)
    told = write(source, tmp_path / "whole.mp4", keep_audio=True)

    def go_on(stop: int | None = None) -> str | None:
        with open_frames(source) as frames, SegmentedSink(tmp_path / "out.mp4", frames, {}, keep_audio=True) as sink:
            for number, frame in enumerate(frames):
                if number == stop:
                    raise KeyboardInterrupt
                if number >= sink.done:
                    sink.write(frame)
        return sink.warning

    with pytest.raises(KeyboardInterrupt):
        go_on(30)
    assert go_on() == told and "sound 3" in told
    assert tracks_of(tmp_path / "out.mp4") == tracks_of(tmp_path / "whole.mp4")


def tracks_of(path: Path) -> list[tuple]:
    with av.open(str(path)) as film:
        packets = [[] for _ in film.streams]
        for packet in film.demux():
            if packet.size and packet.stream.type != "video":
                packets[packet.stream.index].append((bytes(packet), packet.pts, packet.duration))
        return [(s.type, s.codec_context.name, s.metadata, s.disposition, packets[s.index]) for s in film.streams]


def test_sound_may_change_its_channels_and_have_coarse_stamps(tmp_path):
    parts = [make_film(tmp_path / f"{channels}.mkv", ("ac3",), channels=channels) for channels in (1, 2)]
    with av.open(str(tmp_path / "in.mkv"), "w") as joined:
        tracks = {}
        for number, part in enumerate(parts):
            with av.open(str(part)) as film:
                for packet in film.demux():
                    if not packet.size:
                        continue
                    kind, shift = packet.stream.type, round(number * SECONDS / packet.time_base)
                    if kind not in tracks:
                        tracks |= {s.type: joined.add_stream_from_template(s) for s in film.streams}
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, tracks[kind]
                    joined.mux(packet)
    write(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert beeps(tmp_path / "out.mp4") == about([*EVENTS, *(SECONDS + event for event in EVENTS)], 0.02)
    short = make_film(tmp_path / "short.mkv", ("pcm_s16le",), chunk=40 / HZ)  # less than a tick
    for source in (short, make_film(tmp_path / "whole_frames.avi", ("libmp3lame",), video="ffv1")):
        write(source, tmp_path / "out.mp4")
        assert beeps(tmp_path / "out.mp4") == about(beeps(source))
