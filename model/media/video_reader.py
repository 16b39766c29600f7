"""Frames of a video, by PyAV (FFmpeg)."""

import codecs
import math
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from model.media.frames import DEFAULT_RATE, Frame, FrameSource, unreadable
from model.media.video_pictures import deinterlaced, display_matrix, first_field, oriented, square_pixel_size, to_rgb

# What FFmpeg may open. Its others are text, playlists of other files, or photos that Pillow found damaged.
CONTAINERS = (
    "asf", "avi", "av1", "dv", "flv", "h264", "hevc", "ivf", "m4v", "matroska", "mov", "mpeg", "mpegts",
    "mpegvideo", "mxf", "nut", "obu", "ogg", "rm", "webm", "wtv", "yuv4mpegpipe",
)  # fmt: skip
OPEN_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
# Tags that are no UTF-8 must not keep a file closed; from version 19 on PyAV sees to it, and has no such argument.
TAGS = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
LENGTH_FIRST = {"asf", "flv", "matroska", "mov", "mxf", "rm"}  # say so themselves; of others FFmpeg asks the end
LASTING = ("audio", "subtitle", "video")  # kinds of streams whose packets show how far a file goes
BROKEN_OFF = (av.FFmpegError, IndexError)  # PyAV 18 stumbles at the end over streams that turned up on the way
SOUND_MARKS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"fLaC")  # begin MP3 and FLAC
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own drop the alpha plane
WARM_UP = Fraction(1, 20)  # s; how much earlier than the pictures sound may begin only for its decoder's sake
CLOCK_RESTART = 1  # s; a step back by more is a clock set anew (joined recordings); by less, jitter
MISSING_TOLERANCE = Fraction(1, 2)  # s; how much sooner than it announces a file may end before the user hears of it


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
            length = Fraction(container.duration or 0, av.time_base)
            self.expected_frames = stream.frames or round((own_length or length) * self.rate) or None
            self._announced = _announced_end(container, stream)
        first = next(iter(self), None)
        self.close()
        if first is None:
            raise unreadable(path, "not one frame of this video can be decoded", "check that it plays")
        # The film starts with what comes first of pictures and sound: a later start of the other is deliberate.
        earliest = min(starts, default=first.time)
        self.origin = earliest if first.time - earliest >= WARM_UP else first.time
        self.first = replace(first, time=first.time - self.origin)

    def _read(self) -> Iterator[Frame]:
        clock, step, size = Clock(self.origin), 1 / self.rate, None
        self._damaged, self._reached, was_interlaced = 0, Fraction(0), False
        with open_container(self.path) as container:
            stream = container.streams[self._index]
            pictures = deinterlaced(self._decode(container, stream), first_field(stream.codec_context))
            for picture, stamp, is_interlaced in pictures:
                time = clock.time(None if stamp is None else stamp * stream.time_base, step)
                if size is None:
                    size, turn = square_pixel_size(picture, stream.sample_aspect_ratio), display_matrix(picture)
                self.end = time + (picture.duration * stream.time_base or step)
                was_interlaced |= is_interlaced
                yield Frame(oriented(to_rgb(picture, size, self._reformatter), turn), time)
        told = {
            "is interlaced: its pictures were deinterlaced": was_interlaced,
            f"has damaged packets: {self._damaged} were skipped": self._damaged,
            f"announces {float(self._announced):.1f} s, but ends at {float(self._reached):.1f} s: it may be cut off":
                self._reached < self._announced - MISSING_TOLERANCE,
        }  # fmt: skip
        self.warning = "; ".join(f"{self.path} {sentence}" for sentence, holds in told.items() if holds) or None

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, int | None]]:
        """Pictures and their stamps, to the end and past damaged packets; a file that breaks off ends there."""
        decoder, name = stream.codec_context, ALPHA_DECODERS.get(stream.codec_context.name)
        if stream.metadata.get("alpha_mode") == "1" and name in av.codecs_available:
            decoder = av.CodecContext.create(name, "r")
        # AVI stamps packets, not pictures: there the n-th picture shown belongs to the n-th stamp.
        trusts_pictures = container.format.name != "avi"
        stamps: deque[int | None] = deque()
        for packet in chain(self._packets(container), [None]):
            try:
                pictures = decoder.decode(packet)
            except av.FFmpegError:
                self._damaged += 1
                continue
            stamps.append(None if packet is None else packet.dts)
            for picture in pictures:
                stamp = stamps.popleft() if stamps else None
                yield picture, picture.pts if trusts_pictures and picture.pts is not None else stamp

    def _packets(self, container: InputContainer) -> Iterator[Packet]:
        """The packets of the pictures; those of all streams tell how far the file goes, on its own clock."""
        with suppress(*BROKEN_OFF):
            for packet in container.demux():
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.stream.type in LASTING:
                    length = (packet.duration or 0) * packet.time_base or 1 / self.rate
                    self._reached = max(self._reached, stamp * packet.time_base + length)
                if packet.stream.index == self._index and packet.size:
                    yield packet


def _announced_end(container: InputContainer, stream: VideoStream) -> Fraction:
    """When a file ends that was not cut off, in seconds on its own clock; 0 if only its end could tell."""
    start, length = (Fraction(value or 0, av.time_base) for value in (container.start_time, container.duration))
    names = {*container.format.name.split(",")}
    if "avi" in names:  # FFmpeg corrects the length by the size of the file, but not the number of frames
        return max(length, stream.frames * stream.time_base)
    # Files of other kinds may count from 0 though they start later.
    return start + length if "mov" in names else length if names & LENGTH_FIRST else Fraction(0)


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
        return av.open(str(path.absolute()), options=OPEN_OPTIONS, **TAGS)
    except (av.FFmpegError, OSError) as error:
        raise unreadable(path, _kind_of_other(path), "pass a whole photo or video") from error


def _kind_of_other(path: Path) -> str:
    """What a file is that is no photo and no video, in words."""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(512)
        if start.startswith(SOUND_MARKS) or start[8:12] == b"WAVE":
            return "it is a sound file"
        with suppress(UnicodeDecodeError):
            if "\0" not in codecs.getincrementaldecoder("utf-8")().decode(start):  # the last letter may be cut
                return "it is text, such as a web page, whatever its name says"
    return "it is no photo or video that can be read, or its beginning or end is cut off"


def whole_packets(container: InputContainer, streams: av.stream.Stream | list[av.stream.Stream]) -> Iterator[Packet]:
    """The packets with content, up to the end or where the file breaks off; a decoder takes empty ones for the end."""
    with suppress(*BROKEN_OFF):
        yield from (packet for packet in container.demux(streams) if packet.size)
