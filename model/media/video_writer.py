"""Writes frames as H.264 in mp4, with the clock and the sound of their source."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from model.media import video_reader
from model.media.frames import DEFAULT_RATE, Frame, FrameSink, FrameSource
from model.media.video_pictures import CONVERSION as READING

ENCODER_OPTIONS = {"crf": "18", "preset": "medium"}  # visually lossless
# mp4 keeps durations in the order of decoding: B-frames of uneven lengths would make the film too short.
UNSTEADY_OPTIONS = {**ENCODER_OPTIONS, "bf": "0"}
PIXEL_FORMAT, BT709_MATRIX = "yuv420p", 1
MIN_TICKS_PER_SECOND = 10_000  # the mp4 muxer refines coarser clocks by doubling until they have that many
CONVERSION = READING | Interpolation.FULL_CHR_H_INP
# Sound that mp4 can hold and players of mp4 also play; FFmpeg would store some more that they do not.
COPIED_CODECS = ("aac", "ac3", "alac", "eac3", "mp3", "opus")
MIN_MP3_RATE = 16000  # the mp4 muxer refuses MP3 at the low rates of MPEG-2.5
AAC_BIT_RATE_PER_CHANNEL, FALLBACK_RATE = 96_000, 48_000
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


class VideoSink(FrameSink):
    """H.264 (CRF 18, yuv420p, BT.709, limited range) with the sound of `source`; odd sizes gain a row or column.

    after: when the picture before the first one is shown, in ticks, where the file is to go on from another.
    """

    def __init__(self, path: Path, source: FrameSource, *, sound: bool = True, after: int | None = None):
        super().__init__(path, source)
        self._reformatter = VideoReformatter()
        self._film: Film | None = None
        self._with_sound = sound
        self._shape: tuple[int, ...] = ()
        self.last = after  # when the last picture is shown, in ticks

    def _write(self, frame: Frame) -> None:
        if self._film is None:
            self._shape = frame.rgb.shape
            self._film = Film(self.partial, self._source, size=self._shape[:2], sound=self._with_sound)
        if frame.rgb.shape != self._shape:
            raise ValueError(f"a frame of shape {frame.rgb.shape} does not fit a video of {self._shape}")
        self._film.add(self._film.pictures.encode(self._to_picture(frame)))

    def _to_picture(self, frame: Frame) -> VideoFrame:
        height, width = self._shape[:2]
        rgb = np.pad(frame.rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(rgb, "rgb24"), format=PIXEL_FORMAT, dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.MPEG, interpolation=CONVERSION,
        )  # fmt: skip
        tick, step = self._film.tick, self._film.step
        following = 0 if self.last is None else self.last + step
        pts = following if frame.time is None else round(frame.time / tick)
        # Two frames at one instant are a tick apart, so that mp4 keeps both.
        self.last = pts if self.last is None else max(pts, self.last + 1)
        picture.pts, picture.time_base, picture.duration = self.last, tick, step
        return picture

    def _finish(self, complete: bool) -> None:
        try:
            self._film.add(self._film.pictures.encode(None))
            self._film.finish(self.last, complete and self._source.finished)
        finally:
            self._film.close()

    def _abandon(self) -> None:
        if self._film is not None:
            self._film.close()


class Film:
    """An mp4 file while it is written: packets of pictures on the clock of `source`, and its sound if that is wanted.

    The pictures are to be encoded, with this `size` (height, width), or they are packets as those of `template`.
    """

    def __init__(
        self, path: Path, source: FrameSource, *, size: tuple[int, int] | None = None,
        template: VideoStream | None = None, sound: bool = True,
    ):  # fmt: skip
        self._source = source
        self._rate = source.rate or DEFAULT_RATE
        self.tick = refined_tick(source.time_base)
        self.step = max(1, round(1 / self._rate / self.tick))
        options = {
            "movflags": "+faststart",  # the index before the pictures, so that playback over a network starts at once
            "movie_timescale": str(self.tick.denominator),  # a late start would be rounded to milliseconds
        }
        self._container = av.open(str(path.absolute()), "w", "mp4", container_options=options)
        if template is not None:
            self.pictures = self._container.add_stream_from_template(template)
            self.pictures.time_base = self.tick
        else:
            height, width = (side + side % 2 for side in size)
            self.pictures = self._container.add_stream(
                "libx264", rate=self._rate, time_base=self.tick, width=width, height=height, pix_fmt=PIXEL_FORMAT,
                options=ENCODER_OPTIONS if source.is_steady else UNSTEADY_OPTIONS,
                colorspace=BT709_MATRIX, color_range=ColorRange.MPEG,
                color_primaries=ColorPrimaries.BT709, color_trc=ColorTrc.BT709,
            )  # fmt: skip
        self._sound = Sound(source, self._container) if sound and source.sound_index is not None else None
        self._waiting: Packet | None = None  # the latest packet, whose duration may still change

    def add(self, packets: Iterable[Packet]) -> None:
        """Write packets of the pictures, in the order of decoding, and the sound up to there."""
        for packet in packets:
            self._write_waiting()
            self._waiting = packet

    def _write_waiting(self) -> None:
        if self._waiting is not None:
            if self._sound is not None:
                self._sound.advance(self._waiting.dts * self._waiting.time_base)
            self._container.mux(self._waiting)

    def finish(self, last: int, whole: bool) -> None:
        """Write what is left. last: when the last picture is shown, in ticks; whole: nothing is missing."""
        if whole and self._source.end is not None:
            self._waiting.duration = max(1, round(self._source.end / self.tick) - last)
        self._write_waiting()
        if self._sound is not None:
            # Where the source was read to its end the sound may go on longer than the pictures.
            self._sound.finish(None if whole else last * self.tick + 1 / self._rate)

    def close(self) -> None:
        """Let go of the file, whatever its state."""
        if self._sound is not None:
            self._sound.close()
        self._container.close()


class Sound:
    """The sound of `source`, brought into `output` bit by bit: its own packets where mp4 can hold them, else AAC.

    Make it after the picture stream and before the first packet goes out.
    """

    def __init__(self, source: FrameSource, output: OutputContainer):
        self._output = output
        self._input = video_reader.open_container(source.path)
        stream = self._input.streams[source.sound_index]
        self._packets = self._stamped(stream, source.origin)
        self._waiting = next(self._packets, None)
        codec = stream.codec_context.codec.canonical_name
        can_copy = codec in COPIED_CODECS and (codec != "mp3" or stream.rate >= MIN_MP3_RATE)
        self._decoder = None if can_copy or self._waiting is None else stream.codec_context
        if self._decoder is not None:
            rate = stream.rate if stream.rate in AAC_RATES else FALLBACK_RATE
            layout = AAC_LAYOUTS.get(stream.layout.nb_channels, "stereo")
            self._track = output.add_stream("aac", rate=rate, layout=layout)
            self._track.bit_rate = AAC_BIT_RATE_PER_CHANNEL * self._track.layout.nb_channels
        elif self._waiting is not None:
            self._track = output.add_stream_from_template(stream)

    def advance(self, until: Fraction | None) -> None:
        """Write the sound that starts before `until` seconds, or all that is left."""
        while self._waiting is not None:
            if until is not None and self._waiting.dts * self._waiting.time_base >= until:
                return
            self._output.mux(self._converted(self._waiting))
            self._waiting = next(self._packets, None)

    def finish(self, until: Fraction | None) -> None:
        """As `advance`, and write what an encoder still holds back."""
        self.advance(until)
        if self._decoder is not None:
            self._output.mux(self._track.encode(None))

    def close(self) -> None:
        """Let go of the source."""
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
        tick, clock, last = stream.time_base, video_reader.Clock(origin), None
        for packet in video_reader.whole_packets(self._input, stream):
            stamp = packet.dts if packet.dts is not None else packet.pts
            time = clock.time(None if stamp is None else stamp * tick, max(packet.duration or 0, 1) * tick)
            dts = round(time / tick)
            packet.dts = packet.pts = last = dts if last is None else max(dts, last + 1)
            yield packet


def refined_tick(tick: Fraction) -> Fraction:
    """A tick that divides `tick` and is short enough for mp4: seconds."""
    doublings = max(0, math.ceil(math.log2(MIN_TICKS_PER_SECOND / tick.denominator)))
    return Fraction(1, tick.denominator * 2**doublings)
