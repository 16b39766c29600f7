"""Frames of a video, by PyAV (FFmpeg)."""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from model.media.frames import DEFAULT_RATE, Frame, FrameSource, over_white, unreadable

# What FFmpeg may open. Its others are text, playlists of other files, or photos that Pillow found damaged.
CONTAINERS = (
    "asf", "avi", "av1", "dv", "flv", "h264", "hevc", "ivf", "m4v", "matroska", "mov", "mpeg", "mpegts",
    "mpegvideo", "mxf", "nut", "obu", "ogg", "rm", "webm", "wtv", "yuv4mpegpipe",
)  # fmt: skip
OPEN_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own drop the alpha plane
KNOWN_MATRICES = (1, 4, 5, 6, 7, 9)  # that swscale converts (ITU-T H.273): BT.709, FCC, BT.470BG, SMPTE, BT.2020
HDR_CURVES = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # washed out unless brought to BT.709, which is slow to set up
SD_WIDTH, SD_HEIGHT = 1279, 576  # up to these, unmarked video is BT.601, above them BT.709, as players assume
CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
MAX_PIXEL_ASPECT = 4  # anamorphic PAL is 64:45; beyond, the figure is garbage
WARM_UP = Fraction(1, 20)  # s; how much earlier than the pictures sound may begin only for its decoder's sake
CLOCK_RESTART = 1  # s; a step back by more is a clock set anew (joined recordings); by less, jitter
MISSING_TOLERANCE = Fraction(1, 2)  # s; how much less than it announces a video may hold before the user hears of it


class VideoSource(FrameSource):
    """The main picture stream of a video file."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._reformatter = VideoReformatter()
        with open_container(path) as container:
            pictures = container.streams.video
            videos = [s for s in pictures if not s.disposition & Disposition.attached_pic and s.codec_context]
            if not videos:
                reason = "it holds no pictures, or none that can be decoded"
                raise unreadable(path, reason, "pass a photo, or an H.264 video")
            best = container.streams.best("video")
            stream = best if best in videos else videos[0]
            self._index = stream.index
            self.time_base = stream.time_base
            self.rate = stream.guessed_rate or stream.average_rate or DEFAULT_RATE
            self.is_steady = stream.average_rate is not None and stream.average_rate == stream.base_rate
            # A broadcast may hold several programmes, each with its own pictures.
            beside = [s for s in (*container.streams.audio, *container.streams.subtitles)
                      if container.streams.best("video", related=s) == best]  # fmt: skip
            self.tracks = tuple(sorted(s.index for s in beside))
            sounds = [s for s in beside if s.type == "audio" and s.codec_context and s.start_time is not None]
            starts = [s.start_time * s.time_base for s in sounds]
            own_length = (stream.duration or 0) * stream.time_base
            self._announced = own_length or Fraction(container.duration or 0, av.time_base)
            self.expected_frames = stream.frames or round(self._announced * self.rate) or None
        first = next(iter(self), None)
        self.close()
        if first is None:
            raise unreadable(path, "not one frame of this video can be decoded", "check that it plays")
        # The film starts with what comes first of pictures and sound: a later start of the other is deliberate.
        earliest = min(starts, default=first.time)
        self.origin = earliest if first.time - earliest >= WARM_UP else first.time
        self.first = replace(first, time=first.time - self.origin)

    def _read(self) -> Iterator[Frame]:
        clock, step, start = Clock(self.origin), 1 / self.rate, None
        with open_container(self.path) as container:
            stream = container.streams[self._index]
            for picture, stamp in self._decode(container, stream):
                time = clock.time(None if stamp is None else stamp * stream.time_base, step)
                if start is None:
                    start, display_matrix = time, picture.side_data.get(SideDataType.DISPLAYMATRIX)
                    size = _square_pixel_size(picture, stream.sample_aspect_ratio)
                self.end = time + (picture.duration * stream.time_base or step)
                yield Frame(_oriented(to_rgb(picture, size, self._reformatter), display_matrix), time)
        if start is not None and self.end - start < self._announced - MISSING_TOLERANCE:
            due, seen = float(self._announced), float(self.end - start)
            self.warning = f"{self.path} announces {due:.1f} s, but its pictures end at {seen:.1f} s: it may be cut off"

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, int | None]]:
        """Pictures and their stamps, to the end and past damaged packets; a file that breaks off ends there."""
        decoder, name = stream.codec_context, ALPHA_DECODERS.get(stream.codec_context.name)
        if stream.metadata.get("alpha_mode") == "1" and name in av.codecs_available:
            decoder = av.CodecContext.create(name, "r")
        # AVI stamps packets, not pictures: there the n-th picture shown belongs to the n-th stamp.
        trusts_pictures = container.format.name != "avi"
        stamps: deque[int | None] = deque()
        damaged = 0
        for packet in chain(whole_packets(container, stream), [None]):
            try:
                pictures = decoder.decode(packet)
            except av.FFmpegError:
                damaged += 1
                self.warning = f"{self.path}: {damaged} damaged packets were skipped"
                continue
            stamps.append(None if packet is None else packet.dts)
            for picture in pictures:
                stamp = stamps.popleft() if stamps else None
                yield picture, picture.pts if trusts_pictures and picture.pts is not None else stamp


class Clock:
    """Seconds since `origin`, going on evenly where stamps are missing or start anew."""

    def __init__(self, origin: Fraction):
        self._shift, self._following = -origin, Fraction(0)
        self._last: Fraction | float = -math.inf

    def time(self, stamp: Fraction | None, length: Fraction) -> Fraction:
        """The time of what comes next: its stamp in the file is `stamp` seconds, or unknown, and it lasts so long."""
        time = self._following if stamp is None else stamp + self._shift
        if time < self._last - CLOCK_RESTART:
            self._shift += self._following - time
            time = self._following
        self._last, self._following = time, time + length
        return time


def open_container(path: Path) -> InputContainer:
    """Opens a media file of a known kind. Raises InputError for anything else."""
    try:
        return av.open(str(path.absolute()), options=OPEN_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        reason = "it is no photo or video that can be read, or its beginning or end is cut off"
        raise unreadable(path, reason, "check that it plays, and pass a whole file") from error


def whole_packets(container: InputContainer, streams: av.stream.Stream | list[av.stream.Stream]) -> Iterator[Packet]:
    """The packets with content, up to the end or where the file breaks off; a decoder takes empty ones for the end."""
    with suppress(av.FFmpegError):
        yield from (packet for packet in container.demux(streams) if packet.size)


def to_rgb(picture: VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> np.ndarray:
    """A decoded picture as RGB uint8 [H, W, 3], full range, over white; `size` is (width, height)."""
    is_hd = picture.width > SD_WIDTH or picture.height > SD_HEIGHT
    assumed = Colorspace.ITU709 if is_hd else Colorspace.ITU601  # of a picture that states no matrix
    has_alpha = picture.format.name == "pal8" or any(c.is_alpha for c in picture.format.components)
    is_hdr = picture.color_trc in HDR_CURVES
    pixels = reformatter.reformat(
        picture, *size, "rgba" if has_alpha else "rgb24",
        src_colorspace=None if picture.format.is_rgb or picture.colorspace in KNOWN_MATRICES else assumed,
        dst_color_range=ColorRange.JPEG, interpolation=CONVERSION,
        dst_color_trc=ColorTrc.BT709 if is_hdr else None,
        dst_color_primaries=ColorPrimaries.BT709 if is_hdr else None,
    ).to_ndarray()  # fmt: skip
    return over_white(pixels) if has_alpha else pixels


def _square_pixel_size(picture: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height after stretching pixels of `aspect` width / height to squares."""
    if not aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
        return picture.width, picture.height
    return round(picture.width * max(aspect, 1)), round(picture.height / min(aspect, 1))


def _oriented(rgb: np.ndarray, display_matrix: bytes | None) -> np.ndarray:
    """Applies the quarter turns and mirrors of a container's display matrix; other angles go to the nearest of them."""
    if display_matrix is None:
        return rgb
    # Its upper left 2 x 2 maps row vectors (x, y).
    (a, b), (c, d) = np.frombuffer(bytes(display_matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    right, down = a, d
    if abs(b) > abs(a):
        rgb, right, down = rgb.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
