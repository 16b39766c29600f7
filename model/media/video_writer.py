"""Writes frames as H.264 in mp4, with the clock and the sound of their source."""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from model.media import video_reader
from model.media.audio import Sound
from model.media.frames import DEFAULT_RATE, Frame, FrameSink, FrameSource

ENCODER = "libx264"
ENCODER_OPTIONS = {"crf": "18", "preset": "medium"}  # visually lossless
# mp4 keeps durations in the order of decoding: B-frames of uneven lengths would make the film too short.
UNSTEADY_OPTIONS = {**ENCODER_OPTIONS, "bf": "0"}
PIXEL_FORMAT = "yuv420p"
MIN_TICKS_PER_SECOND = 10_000  # the mp4 muxer refines coarser clocks by doubling until they have that many
BT709_MATRIX = 1
CONVERSION = video_reader.CONVERSION | Interpolation.FULL_CHR_H_INP


class Film:
    """An mp4 file while it is written: packets of pictures on the clock of `source`, and its sound if that is wanted.

    add_pictures: adds the stream of the pictures to the file, with this tick of the clock in seconds.
    """

    def __init__(
        self,
        path: Path,
        source: FrameSource,
        add_pictures: Callable[[OutputContainer, Fraction], VideoStream],
        sound: bool = True,
    ):
        self._source = source
        self._rate = source.rate or DEFAULT_RATE
        self.tick = refined_tick(source.time_base)
        self.step = max(1, round(1 / self._rate / self.tick))
        options = {
            "movflags": "+faststart",  # the index before the pictures, so that playback over a network starts at once
            "movie_timescale": str(self.tick.denominator),  # a late start would be rounded to milliseconds
        }
        self._container = av.open(str(path.absolute()), "w", "mp4", container_options=options)
        self.pictures = add_pictures(self._container, self.tick)
        self._sound = Sound(source, self._container) if sound and source.sound_index is not None else None

    def add(self, packets: list[Packet]) -> None:
        """Write packets of the pictures, in the order of decoding, and the sound up to there."""
        for packet in packets:
            if self._sound is not None:
                self._sound.advance(packet.dts * packet.time_base)
            self._container.mux(packet)

    def finish(self, packets: list[Packet], last: int, whole: bool) -> None:
        """Write the last packets. last: when the last picture is shown, in ticks; whole: nothing is missing."""
        if whole and packets and self._source.end is not None:
            packets[-1].duration = max(1, round(self._source.end / self.tick) - last)
        self.add(packets)
        if self._sound is not None:
            # Where the source was read to its end the sound may go on longer than the pictures.
            self._sound.finish(None if whole else last * self.tick + 1 / self._rate)

    def close(self) -> None:
        """Let go of the file, whatever its state."""
        if self._sound is not None:
            self._sound.close()
        self._container.close()


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

    def _add_pictures(self, container: OutputContainer, tick: Fraction) -> VideoStream:
        height, width = self._shape[:2]
        return container.add_stream(
            ENCODER, rate=self._source.rate or DEFAULT_RATE, time_base=tick,
            options=ENCODER_OPTIONS if self._source.is_steady else UNSTEADY_OPTIONS,
            width=width + width % 2, height=height + height % 2, pix_fmt=PIXEL_FORMAT,
            colorspace=BT709_MATRIX, color_range=ColorRange.MPEG,
            color_primaries=ColorPrimaries.BT709, color_trc=ColorTrc.BT709,
        )  # fmt: skip

    def _write(self, frame: Frame) -> None:
        if self._film is None:
            self._shape = frame.rgb.shape
            self._film = Film(self.partial, self._source, self._add_pictures, self._with_sound)
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
            self._film.finish(self._film.pictures.encode(None), self.last, complete and self._source.finished)
        finally:
            self._film.close()

    def _abandon(self) -> None:
        if self._film is not None:
            self._film.close()


def refined_tick(tick: Fraction) -> Fraction:
    """A tick that divides `tick` and is short enough for mp4: seconds."""
    doublings = max(0, math.ceil(math.log2(MIN_TICKS_PER_SECOND / tick.denominator)))
    return Fraction(1, tick.denominator * 2**doublings)
