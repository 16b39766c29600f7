"""Writes frames as H.264 in mp4, with the clock and the sound of their source."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from model.inference.media import DEFAULT_RATE, Frame, FrameSink, FrameSource
from model.inference.sound import Sound

ENCODER = "libx264"
ENCODER_OPTIONS = {"crf": "18", "preset": "medium"}  # visually lossless
# mp4 keeps durations in the order of decoding: B-frames of uneven lengths would make the film too short.
UNSTEADY_OPTIONS = {**ENCODER_OPTIONS, "bf": "0"}
PIXEL_FORMAT = "yuv420p"
# The mp4 muxer refines coarser clocks by doubling until they have this many ticks a second.
MIN_TICKS_PER_SECOND = 10_000
BT709_MATRIX = 1
CONVERSION = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


class VideoSink(FrameSink):
    """H.264 (CRF 18, yuv420p, BT.709, limited range) with the sound of `source`; odd sizes gain a row or column."""

    def __init__(self, path: Path, source: FrameSource):
        super().__init__(path, source)
        self._rate = source.rate or DEFAULT_RATE
        self._tick = refined_tick(source.time_base)
        self._reformatter = VideoReformatter()
        self._container: av.container.OutputContainer | None = None
        self._sound: Sound | None = None
        self._shape: tuple[int, ...] = ()
        self._last: int | None = None

    def _begin(self, frame: Frame) -> None:
        self._shape = frame.rgb.shape
        height, width = self._shape[:2]
        options = {
            "movflags": "+faststart",  # the index before the pictures, so that playback over a network starts at once
            "movie_timescale": str(self._tick.denominator),  # a late start would be rounded to milliseconds
        }
        self._container = av.open(str(self.partial.absolute()), "w", "mp4", container_options=options)
        self._stream = self._container.add_stream(
            ENCODER, rate=self._rate, time_base=self._tick,
            options=ENCODER_OPTIONS if self._source.is_steady else UNSTEADY_OPTIONS,
            width=width + width % 2, height=height + height % 2, pix_fmt=PIXEL_FORMAT,
            colorspace=BT709_MATRIX, color_range=ColorRange.MPEG,
            color_primaries=ColorPrimaries.BT709, color_trc=ColorTrc.BT709,
        )  # fmt: skip
        if self._source.sound_index is not None:
            self._sound = Sound(self._source, self._container)

    def _write(self, frame: Frame) -> None:
        if self._container is None:
            self._begin(frame)
        if frame.rgb.shape != self._shape:
            raise ValueError(f"a frame of shape {frame.rgb.shape} does not fit a video of {self._shape}")
        self._mux(self._stream.encode(self._to_picture(frame)))

    def _to_picture(self, frame: Frame) -> VideoFrame:
        height, width = frame.rgb.shape[:2]
        rgb = np.pad(frame.rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(rgb, "rgb24"), format=PIXEL_FORMAT, dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.MPEG, interpolation=CONVERSION,
        )  # fmt: skip
        step = max(1, round(1 / self._rate / self._tick))
        following = 0 if self._last is None else self._last + step
        pts = following if frame.time is None else round(frame.time / self._tick)
        # Two frames at one instant are a tick apart, so that mp4 keeps both.
        self._last = pts if self._last is None else max(pts, self._last + 1)
        picture.pts, picture.time_base, picture.duration = self._last, self._tick, step
        return picture

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            if self._sound is not None:
                self._sound.advance(packet.dts * packet.time_base)
            self._container.mux(packet)

    def _finish(self, complete: bool) -> None:
        try:
            whole = complete and self._source.finished
            packets = self._stream.encode(None)
            if whole and packets and self._source.end is not None:
                packets[-1].duration = max(1, round(self._source.end / self._tick) - self._last)
            self._mux(packets)
            if self._sound is not None:
                # Where the source was read to its end the sound may go on longer than the pictures.
                self._sound.advance(None if whole else self._last * self._tick + 1 / self._rate)
                self._sound.finish()
        finally:
            self._close()

    def _abandon(self) -> None:
        if self._container is not None:
            self._close()

    def _close(self) -> None:
        if self._sound is not None:
            self._sound.close()
        self._container.close()


def refined_tick(tick: Fraction) -> Fraction:
    """A tick that divides `tick` and is short enough for mp4: seconds."""
    per_second = tick.denominator
    while per_second < MIN_TICKS_PER_SECOND:
        per_second *= 2
    return Fraction(1, per_second)
