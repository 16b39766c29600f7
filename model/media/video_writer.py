"""Writes frames as H.264 in mp4, with the clock, the sound and the subtitles of their source."""

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from model.media.frames import DEFAULT_RATE, Frame, FrameSink, FrameSource
from model.media.tracks import Tracks
from model.media.video_pictures import CONVERSION as READING

ENCODER_OPTIONS = {"crf": "18", "preset": "medium"}  # visually lossless
# mp4 keeps durations in the order of decoding: B-frames of uneven lengths would make the film too short.
UNSTEADY = {"bf": "0"}
LOOKAHEAD = 40  # frames, as the preset has it
LOOKAHEAD_PIXELS = 32 * 3840 * 2160  # at most of these: for results of 8K x264 would else take 5 GB
LARGEST_LEVEL = 139264 * 16**2  # pixels of the largest frame that any level of H.264 has
FEW_FRAMES = {"bf": "1", "refs": "1", "b-pyramid": "none"}  # that x264 holds, where each takes a gigabyte
AHEAD_BYTES, OTHER_BYTES = 2.6, (46, 24)  # of memory for each pixel of the frames ahead, and of a frame for all others
PIXEL_FORMAT, BT709_MATRIX = "yuv420p", 1
MIN_TICKS_PER_SECOND = 10_000  # the mp4 muxer refines coarser clocks by doubling until they have that many
CONVERSION = READING | Interpolation.FULL_CHR_H_INP


class VideoSink(FrameSink):
    """H.264 (CRF 18, yuv420p, BT.709, limited range) with the tracks of `source`; odd sizes gain a row or column.

    tracks: whether it gets them; keep_audio: see `Tracks`;
    after: when the picture before the first one is shown, in ticks, where the file is to go on from another.
    """

    def __init__(
        self, path: Path, source: FrameSource, *, tracks: bool = True, keep_audio: bool = False,
        after: int | None = None,
    ):  # fmt: skip
        super().__init__(path, source)
        self._reformatter = VideoReformatter()
        self._film: Film | None = None
        self._tracks = {"tracks": tracks, "keep_audio": keep_audio}
        self._shape: tuple[int, ...] = ()
        self.last = after  # when the last picture is shown, in ticks

    def _write(self, frame: Frame) -> None:
        if self._film is None:
            self._shape = frame.rgb.shape
            self._film = Film(self._unfinished, self._source, size=self._shape[:2], mark=self.mark, **self._tracks)
        if frame.rgb.shape != self._shape:
            raise ValueError(f"a frame of shape {frame.rgb.shape} does not fit a video of {self._shape}")
        self._film.add(self._film.pictures.encode(self._to_picture(frame)))

    def _to_picture(self, frame: Frame) -> VideoFrame:
        height, width = self._shape[:2]
        rgb = frame.rgb
        if height % 2 or width % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
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
            self.warning = self._film.warning
        finally:
            self._film.close()

    def _abandon(self) -> None:
        if self._film is not None:
            self._film.close()


class Film:
    """An mp4 file while it is written: packets of pictures on the clock of `source`, and its tracks if they are wanted.

    The pictures are to be encoded, with this `size` (height, width), or they are packets as those of `template`.
    """

    def __init__(
        self, path: Path, source: FrameSource, *, size: tuple[int, int] | None = None,
        template: VideoStream | None = None, tracks: bool = True, keep_audio: bool = False, mark: str | None = None,
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
        if mark:
            self._container.metadata["comment"] = mark
        if template is not None:
            self.pictures = self._container.add_stream_from_template(template)
            self.pictures.time_base = self.tick
        else:
            height, width = (side + side % 2 for side in size)
            self.pictures = self._container.add_stream(
                "libx264", rate=self._rate, time_base=self.tick, width=width, height=height, pix_fmt=PIXEL_FORMAT,
                options=encoder_options(width * height) | ({} if source.is_steady else UNSTEADY),
                colorspace=BT709_MATRIX, color_range=ColorRange.MPEG,
                color_primaries=ColorPrimaries.BT709, color_trc=ColorTrc.BT709,
            )  # fmt: skip
        self._tracks = Tracks(source, self._container, keep_audio) if tracks and source.tracks else None
        self._waiting: Packet | None = None  # the latest packet, whose duration may still change

    def add(self, packets: Iterable[Packet]) -> None:
        """Write packets of the pictures, in the order of decoding, and the tracks up to there."""
        for packet in packets:
            if self._waiting is None:
                self._delay = packet.pts - packet.dts  # of what is shown behind what is decoded, as it is at the start
            self._write_waiting()
            self._waiting = packet

    def _write_waiting(self) -> None:
        if self._waiting is not None:
            if self._tracks is not None:
                self._tracks.advance(self._waiting.dts * self._waiting.time_base)
            self._container.mux(self._waiting)

    def finish(self, last: int, whole: bool) -> None:
        """Write what is left. last: when the last picture is shown, in ticks; whole: nothing is missing."""
        end = last * self.tick + 1 / self._rate
        if whole and self._source.end is not None:
            end = self._source.end
        # The film is as long as its packets, which are in the order of decoding: the last may be of an earlier picture.
        self._waiting.duration = max(1, round(end / self.tick) - self._delay - self._waiting.dts)
        self._write_waiting()
        if self._tracks is not None:
            self._tracks.finish(end, whole)

    @property
    def warning(self) -> str | None:
        """A sentence on what of the tracks did not come along."""
        return self._tracks and self._tracks.warning

    def close(self) -> None:
        """Let go of the file, whatever its state."""
        if self._tracks is not None:
            self._tracks.close()
        self._container.close()


def lookahead(pixels: int) -> int:
    """How many frames of so many pixels the encoder looks ahead: fewer than usual where they are large."""
    return min(max(LOOKAHEAD_PIXELS // pixels, 2), LOOKAHEAD)


def encoder_options(pixels: int) -> dict[str, str]:
    """x264's options for frames of so many pixels."""
    return ENCODER_OPTIONS | {"rc-lookahead": str(lookahead(pixels))} | (FEW_FRAMES if pixels > LARGEST_LEVEL else {})


def encoder_memory(pixels: int) -> int:
    """Bytes that x264 takes for frames of so many pixels, about."""
    return round(pixels * (AHEAD_BYTES * lookahead(pixels) + OTHER_BYTES[pixels > LARGEST_LEVEL]))


def refined_tick(tick: Fraction) -> Fraction:
    """A tick that divides `tick` and is short enough for mp4: seconds."""
    doublings = max(0, math.ceil(math.log2(MIN_TICKS_PER_SECOND / tick.denominator)))
    return Fraction(1, tick.denominator * 2**doublings)
