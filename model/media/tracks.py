"""Sound and subtitles of a source, brought into an mp4 file beside its pictures."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain

import av
import av.logging
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet

from model.media.frames import FrameSource
from model.media.video_reader import Clock, open_container, whole_packets

# Sound that all players of mp4 play, and what mp4 can hold besides: MP3 is silent in QuickTime and Safari, AC-3, E-AC-3
# and ALAC in other browsers, Opus and FLAC on older phones and computers.
PLAYED_CODEC, HELD_CODECS = "aac", ("ac3", "alac", "eac3", "flac", "mp3", "opus")
MIN_MP3_RATE = 16000  # the mp4 muxer refuses MP3 at the low rates of MPEG-2.5
AAC_BIT_RATE_PER_CHANNEL, FALLBACK_RATE = 96_000, 48_000
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
TEXT_CODECS = ("ass", "mov_text", "ssa", "subrip", "text", "webvtt")
TEXT_TICK = Fraction(1, 1000)  # s
UNTOLD_LENGTH = Fraction(3)  # s; of subtitles that do not tell how long they are shown
# What FFmpeg makes of every line of text: the text comes after eight commas, with drawings and other things in braces.
ASS_LINE, ASS_FIELDS = b"0,0,Default,,0,0,0,,", 8
ASS_BRACES = re.compile(rb"\{[^}]*\\p[1-9].*?(?:\{[^}]*\\p0[^}]*\}|$)|\{[^}]*\}", re.DOTALL)
JITTER = Fraction(1, 50)  # s; stamps of containers are that coarse: what differs by more is a gap, or came twice
OWN_TAGS = {"language": "language", "name": "title", "title": "title"}  # as mp4 and other files call them
KINDS = {"audio": "sound", "subtitle": "subtitles"}


class Tracks:
    """All sound and subtitles of `source`, in their order, brought into `output` bit by bit.

    Sound of a codec that all players know is copied, with `keep_audio` all that mp4 can hold; other sound becomes AAC,
    subtitles become mov_text. Make it after the picture stream and before the first packet goes out.
    """

    def __init__(self, source: FrameSource, output: OutputContainer, keep_audio: bool = False):
        self._path, self._output, self._is_part = source.path, output, source.is_part
        self._input = open_container(source.path)
        self._streams = [self._input.streams[index] for index in source.tracks]
        self._lost: list[str] = []  # what can't come along, in words
        self._tracks: dict[int, Sound | Subtitles] = {}
        for stream in self._streams:
            if (track := self._track(stream, source.origin, keep_audio)) is not None:
                for name, own_name in OWN_TAGS.items():
                    if tag := stream.metadata.get(name):  # what is no UTF-8 becomes question marks
                        track.out.metadata[own_name] = tag.encode(errors="replace").decode()
                track.out.disposition = stream.disposition
                self._tracks[stream.index] = track
        self._packets = self._stamped()
        self._waiting = next(self._packets, None)

    def _track(self, stream: Stream, origin: Fraction, keep_audio: bool) -> "Sound | Subtitles | None":
        codec = stream.codec_context.codec if stream.codec_context else None
        name = codec.canonical_name if codec else codec_names(self._input).get(stream.index, "unknown")
        if codec and stream.type == "audio" and stream.rate:
            can_hold = name in HELD_CODECS and (name != "mp3" or stream.rate >= MIN_MP3_RATE)
            return Sound(stream, self._output, origin, copies=name == PLAYED_CODEC or (keep_audio and can_hold))
        if codec and name in TEXT_CODECS:
            return Subtitles(stream, self._output, origin)
        reason = "are pictures, which mp4 can't hold" if codec and codec.bitmap_sub else "can't be decoded"
        self._lost.append(f"{self._name(stream)} (codec {name}) {reason}")
        return None

    def _name(self, stream: Stream) -> str:
        kind, alike = KINDS[stream.type], [s.index for s in self._streams if s.type == stream.type]
        return f"{kind} {alike.index(stream.index) + 1}" if len(alike) > 1 else f"its {kind}"

    def _stamped(self) -> Iterator[Packet]:
        streams = [self._input.streams[index] for index in self._tracks]
        for packet in whole_packets(self._input, streams) if streams else ():
            self._tracks[packet.stream.index].stamp(packet)
            if not (self._is_part and packet.dts < 0):
                yield packet

    @property
    def warning(self) -> str | None:
        """A sentence on what did not come along, so far."""
        told = list(self._lost)
        for index, track in self._tracks.items():
            if track.damaged:
                told.append(f"damaged packets in {self._name(self._input.streams[index])} ({track.damaged})")
        is_silent = any(stream.type == "audio" for stream in self._streams) and not self._ends()
        outcome = "the result is silent" if is_silent else "left out"
        return f"{self._path}: {', '.join(told)}: {outcome}" if told else None

    def _ends(self) -> list[Fraction]:
        """When each sound ends that is written, so far."""
        return [t.end for t in self._tracks.values() if isinstance(t, Sound) and t.end is not None]

    def advance(self, until: Fraction) -> None:
        """Write what starts before `until` seconds."""
        while self._waiting is not None and self._waiting.dts * self._waiting.time_base < until:
            self._output.mux(self._tracks[self._waiting.stream.index].take(self._waiting))
            self._waiting = next(self._packets, None)
        for track in self._tracks.values():
            self._output.mux(track.pass_to(until))

    def finish(self, end: Fraction, whole: bool) -> None:
        """Write what is left; the pictures end after `end` seconds.

        Where nothing of them is missing (`whole`) the sound may go on longer, and the subtitles with it.
        """
        self.advance(end)
        texts = []
        for packet in chain([self._waiting], self._packets) if whole and self._waiting is not None else ():
            track = self._tracks[packet.stream.index]
            if isinstance(track, Sound):
                self._output.mux(track.take(packet))
            else:
                texts.append((track, packet))
        last = max([end, *self._ends()]) if whole else end
        for track, packet in texts:
            if packet.dts * packet.time_base < last:
                self._output.mux(track.take(packet))
        for track in self._tracks.values():
            self._output.mux(track.finish(last))

    def close(self) -> None:
        """Let go of the source."""
        self._packets.close()
        self._input.close()


class Sound:
    """One track of sound: its own packets (`copies`), or AAC. `out` is the stream that is written."""

    def __init__(self, stream: AudioStream, output: OutputContainer, origin: Fraction, copies: bool):
        self._clock = Clock(origin)
        self._last: int | None = None  # stamp of the latest packet, in its ticks
        self.end: Fraction | None = None  # of what is written, in seconds
        self.damaged = 0  # packets that could not be decoded
        self._decoder = None if copies else stream.codec_context
        self._due: Fraction | None = None  # when the next samples are due that go to the encoder, in seconds
        self._resampler, self._format = None, None
        if copies:
            self.out = output.add_stream_from_template(stream)
            return
        rate = stream.rate if stream.rate in AAC_RATES else FALLBACK_RATE
        layout = AAC_LAYOUTS.get(stream.layout.nb_channels, "stereo")
        self.out = output.add_stream("aac", rate=rate, layout=layout)
        self.out.bit_rate = AAC_BIT_RATE_PER_CHANNEL * self.out.layout.nb_channels

    def stamp(self, packet: Packet) -> None:
        """Set the clock of a packet to that of the source's frames; a copy's rises strictly, as mp4 demands."""
        tick, stamp = packet.time_base, packet.dts if packet.dts is not None else packet.pts
        time = self._clock.time(None if stamp is None else stamp * tick, max(packet.duration or 0, 1) * tick)
        ticks = round(time / tick)
        if self._decoder is None:
            ticks = self._last = ticks if self._last is None else max(ticks, self._last + 1)
        packet.dts = packet.pts = ticks

    def take(self, packet: Packet) -> list[Packet]:
        """What is to be written of a packet."""
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        if self._decoder is None:
            packet.stream = self.out
        packets = [packet] if self._decoder is None else self._converted(packet)
        self.end = end if packets else self.end
        return packets

    def _converted(self, packet: Packet) -> list[Packet]:
        try:
            frames = self._decoder.decode(packet)
            return [encoded for frame in frames for part in self._resampled(frame) for encoded in self.out.encode(part)]
        except (av.FFmpegError, ValueError):
            self.damaged += 1  # it leaves a gap; the next packet has its own time
            return []

    def _resampled(self, frame: AudioFrame) -> list[AudioFrame]:
        """The samples as the encoder takes them, without jitter or what comes twice; there may be gaps."""
        start = self._due if frame.pts is None else frame.pts * frame.time_base
        if self._due is not None and abs(start - self._due) < JITTER:
            start = self._due
        elif start is None or (self._due is not None and start < self._due):
            return []
        tick = Fraction(1, frame.sample_rate)
        frame.pts, frame.time_base, self._due = round(start / tick), tick, start + frame.samples * tick
        # Broadcasts change rate and number of channels on their way.
        if self._format != (changed := (frame.format.name, frame.layout.name, frame.sample_rate)):
            # 16 bits clip what damage or a wrong mix makes louder than all: the encoder refuses that, or never ends.
            self._resampler = AudioResampler("s16", self.out.layout, self.out.rate)
            self._format = changed
        return self._resampler.resample(frame)

    def pass_to(self, time: Fraction) -> list[Packet]:
        """What is to be written once `time` has come: nothing, since packets are written as they come."""
        return []

    def finish(self, end: Fraction) -> list[Packet]:
        """What an encoder still holds back."""
        return self.out.encode(None) if self._decoder is not None else []


class Subtitles:
    """One track of text, as mov_text: lines that are shown at the same time become one, since mp4 has no two at a time.

    `out` is the stream that is written.
    """

    def __init__(self, stream: SubtitleStream, output: OutputContainer, origin: Fraction):
        self._origin, self._decoder = origin, stream.codec_context
        self.out = output.add_stream("mov_text")
        self.out.time_base = TEXT_TICK
        unstyled = av.CodecContext.create("subrip", "r")
        unstyled.open(strict=False)
        self.out.codec_context.subtitle_header = unstyled.subtitle_header + b"\0"  # FFmpeg reads up to there
        self.damaged = 0  # packets that could not be decoded
        self._lines: list[tuple[Fraction, bytes]] = []  # what is shown: each text, and when it ends, in seconds
        self._since = Fraction(0)  # when that began

    def stamp(self, packet: Packet) -> None:
        """Set the clock of a packet to that of the source's frames."""
        packet.dts = packet.pts = (packet.pts or 0) - round(self._origin / packet.time_base)

    def take(self, packet: Packet) -> list[Packet]:
        """What is to be written before the text of a packet is shown."""
        try:
            texts = [text for line in self._decoder.decode2(packet) or () if (text := plain_text(line.ass))]
        except av.FFmpegError:
            self.damaged += 1
            return []
        start = packet.pts * packet.time_base
        end = start + ((packet.duration or 0) * packet.time_base or UNTOLD_LENGTH)
        start = max(start, self._since)
        if not texts or end <= start:
            return []
        before = self.pass_to(start) + self._shown(start)
        self._lines += [(end, text) for text in texts]
        return before

    def pass_to(self, time: Fraction) -> list[Packet]:
        """What was shown and is over at `time` seconds."""
        packets = []
        while self._lines and (end := min(end for end, _ in self._lines)) <= time:
            packets += self._shown(end)
        return packets

    def finish(self, end: Fraction) -> list[Packet]:
        """What is still shown, up to the film's end."""
        return self.pass_to(end) + self._shown(end)

    def _shown(self, until: Fraction) -> list[Packet]:
        """What is shown up to then; what goes on is shown since then."""
        start, stop = (round(time / TEXT_TICK) for time in (self._since, until))
        text = b"\\N".join(dict.fromkeys(text for _, text in self._lines))
        self._since, self._lines = until, [(end, text) for end, text in self._lines if end > until]
        if not text or stop <= start:
            return []
        packet = self.out.codec_context.encode_subtitle(SubtitleSet.create(ASS_LINE + text, 0, stop - start))
        packet.stream, packet.time_base = self.out, TEXT_TICK
        packet.pts = packet.dts = start
        packet.duration = stop - start
        return [packet]


def plain_text(line: bytes) -> bytes:
    """The text of a line of ASS, without styles, places, comments and drawings."""
    return ASS_BRACES.sub(b"", line.split(b",", ASS_FIELDS)[-1]).replace(b"\\h", b" ").strip()


def codec_names(container: InputContainer) -> dict[int, str]:
    """The codecs by number of the stream; FFmpeg's list is the only place where PyAV names those without a decoder."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        listed = re.findall(r"Stream #0:(\d+).*?: (?:Audio|Subtitle): (\w+)", container.dumps_format())
    finally:
        av.logging.set_level(level)
    return {int(index): name for index, name in listed if name != "none"}
