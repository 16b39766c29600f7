"""Carries the sound of a source over into the video that is being written."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from model.media.frames import FrameSource
from model.media.video_reader import CLOCK_RESTART, open_container

# What mp4 can hold and players of mp4 also play; FFmpeg would store some more that they do not.
COPIED_CODECS = ("aac", "ac3", "alac", "eac3", "mp3", "opus")
# The mp4 muxer refuses MP3 at the low rates of MPEG-2.5.
MIN_MP3_RATE = 16000
AAC_BIT_RATE_PER_CHANNEL = 96_000
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
FALLBACK_RATE = 48000
AAC_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


class Sound:
    """The sound of `source`, which has some, brought into `output` bit by bit as its pictures go along.

    Make it after the picture stream and before the first packet goes out. The packets are the source's own
    where mp4 can hold them, else AAC.
    """

    def __init__(self, source: FrameSource, output: OutputContainer):
        self._origin = source.origin
        self._output = output
        self._input = open_container(source.path)
        stream = self._input.streams[source.sound_index]
        self._packets = self._stamped(stream)
        self._waiting = next(self._packets, None)
        self._track: _Track | None = None
        if self._waiting is not None:
            self._track = _CopiedTrack(stream, output) if _can_copy(stream) else _EncodedTrack(stream, output)

    def advance(self, until: Fraction | None) -> None:
        """Writes the sound that starts before `until` seconds, or all that is left."""
        while self._waiting is not None:
            if until is not None and self._waiting.dts * self._waiting.time_base >= until:
                return
            self._output.mux(self._track.convert(self._waiting))
            self._waiting = next(self._packets, None)

    def finish(self) -> None:
        """Writes what an encoder still holds back."""
        if self._track is not None:
            self._output.mux(self._track.flush())

    def close(self) -> None:
        self._packets.close()
        self._input.close()

    def _stamped(self, stream: AudioStream) -> Iterator[Packet]:
        """The packets on the clock of the source's frames, with stamps that rise strictly, as mp4 demands."""
        tick = stream.time_base
        shift = -round(self._origin / tick)
        last, following = None, 0
        packets = self._input.demux(stream)
        while (packet := _next_whole(packets)) is not None:
            stamp = packet.dts if packet.dts is not None else packet.pts
            dts = following if stamp is None else stamp + shift
            if last is not None and dts <= last:
                starts_anew = (last - dts) * tick > CLOCK_RESTART
                shift += following - dts if starts_anew else 0
                dts = following if starts_anew else last + 1
            packet.dts = packet.pts = dts
            last, following = dts, dts + max(packet.duration or 0, 1)
            yield packet


class _Track(Protocol):
    def convert(self, packet: Packet) -> list[Packet]: ...

    def flush(self) -> list[Packet]: ...


class _CopiedTrack:
    def __init__(self, stream: AudioStream, output: OutputContainer):
        self._stream = output.add_stream_from_template(stream)

    def convert(self, packet: Packet) -> list[Packet]:
        packet.stream = self._stream
        return [packet]

    def flush(self) -> list[Packet]:
        return []


class _EncodedTrack:
    def __init__(self, stream: AudioStream, output: OutputContainer):
        self._decoder = stream.codec_context
        rate = stream.rate if stream.rate in AAC_RATES else FALLBACK_RATE
        layout = AAC_LAYOUTS.get(stream.layout.nb_channels, "stereo")
        self._stream = output.add_stream("aac", rate=rate, layout=layout)
        self._stream.bit_rate = AAC_BIT_RATE_PER_CHANNEL * self._stream.layout.nb_channels

    def convert(self, packet: Packet) -> list[Packet]:
        try:
            frames: list[AudioFrame] = self._decoder.decode(packet)
            return [encoded for frame in frames for encoded in self._stream.encode(frame)]
        except (av.FFmpegError, ValueError):
            return []  # damage or a change of format leaves a gap; the next packet has its own time

    def flush(self) -> list[Packet]:
        return self._stream.encode(None)


def _can_copy(stream: AudioStream) -> bool:
    codec = stream.codec_context.codec.canonical_name
    return codec in COPIED_CODECS and (codec != "mp3" or stream.rate >= MIN_MP3_RATE)


def _next_whole(packets: Iterator[Packet]) -> Packet | None:
    """The next packet with content; None at the end, or where the file breaks off."""
    try:
        return next((packet for packet in packets if packet.size), None)
    except av.FFmpegError:
        return None
