"""Carries the sound of a source over into the video that is being written."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from model.media.frames import FrameSource
from model.media.video_reader import Clock, open_container, whole_packets

# What mp4 can hold and players of mp4 also play; FFmpeg would store some more that they do not.
COPIED_CODECS = ("aac", "ac3", "alac", "eac3", "mp3", "opus")
MIN_MP3_RATE = 16000  # the mp4 muxer refuses MP3 at the low rates of MPEG-2.5
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
        self._output = output
        self._input = open_container(source.path)
        stream = self._input.streams[source.sound_index]
        self._packets = self._stamped(stream, source.origin)
        self._waiting = next(self._packets, None)
        self._decoder = None if _can_copy(stream) or self._waiting is None else stream.codec_context
        if self._decoder is not None:
            rate = stream.rate if stream.rate in AAC_RATES else FALLBACK_RATE
            layout = AAC_LAYOUTS.get(stream.layout.nb_channels, "stereo")
            self._track = output.add_stream("aac", rate=rate, layout=layout)
            self._track.bit_rate = AAC_BIT_RATE_PER_CHANNEL * self._track.layout.nb_channels
        elif self._waiting is not None:
            self._track = output.add_stream_from_template(stream)

    def advance(self, until: Fraction | None) -> None:
        """Writes the sound that starts before `until` seconds, or all that is left."""
        while self._waiting is not None:
            if until is not None and self._waiting.dts * self._waiting.time_base >= until:
                return
            self._output.mux(self._converted(self._waiting))
            self._waiting = next(self._packets, None)

    def finish(self, until: Fraction | None) -> None:
        """As `advance`, and writes what an encoder still holds back."""
        self.advance(until)
        if self._decoder is not None:
            self._output.mux(self._track.encode(None))

    def close(self) -> None:
        self._packets.close()
        self._input.close()

    def _converted(self, packet: Packet) -> list[Packet]:
        if self._decoder is None:
            packet.stream = self._track
            return [packet]
        try:
            return [encoded for samples in self._decoder.decode(packet) for encoded in self._track.encode(samples)]
        except (av.FFmpegError, ValueError):
            return []  # damage or a change of format leaves a gap; the next packet has its own time

    def _stamped(self, stream: AudioStream, origin: Fraction) -> Iterator[Packet]:
        """The packets on the clock of the source's frames, with stamps that rise strictly, as mp4 demands."""
        tick, clock, last = stream.time_base, Clock(origin), None
        for packet in whole_packets(self._input, stream):
            stamp = packet.dts if packet.dts is not None else packet.pts
            time = clock.time(None if stamp is None else stamp * tick, max(packet.duration or 0, 1) * tick)
            dts = round(time / tick)
            packet.dts = packet.pts = last = dts if last is None else max(dts, last + 1)
            yield packet


def _can_copy(stream: AudioStream) -> bool:
    codec = stream.codec_context.codec.canonical_name
    return codec in COPIED_CODECS and (codec != "mp3" or stream.rate >= MIN_MP3_RATE)
