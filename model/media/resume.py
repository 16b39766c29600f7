"""A video written in segments, so that an interrupted run goes on where the last whole segment ends.

    sink = SegmentedSink(path, source, made_of)
    with sink:
        for frame in stylised(source, people, look, state=sink.state):
            sink.write(frame)

Each segment is a file of its own. Beside them stands what a run after them has to know (`Frame.state`). At the end
their packets go into one file as they are.
"""

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from model.common.weight_files import write_whole
from model.media.frames import DEFAULT_RATE, Frame, FrameSink, FrameSource
from model.media.video_writer import Film, VideoSink, refined_tick

SEGMENT = 128  # frames, which is what an interruption costs: five seconds of film, a minute of work on a CPU
PARTS_SUFFIX = ".parts"  # of the folder beside a result that is being made in segments
NOTES = "notes.json"  # the file in that folder that tells what they are


@dataclass(frozen=True)
class Segment:
    """A whole segment: how many frames, when the last one is shown (ticks), the file's bytes, and `Frame.state`."""

    frames: int
    last: int
    size: int
    state: dict[str, Any] | None


class SegmentedSink(FrameSink):
    """As `VideoSink`, but whatever interrupts the work, the segments that are whole stay, and count the next time.

    `done` tells how many frames they hold, `state` is the state of the last one (None for none).

    Args:
        path, source: as `open_sink` takes them.
        made_of: what the result is made of, as JSON can hold it: where it has changed, the work begins anew.
    """

    def __init__(self, path: Path, source: FrameSource, made_of: dict[str, Any]):
        super().__init__(path, source)
        self._folder = path.with_suffix(PARTS_SUFFIX)
        self._made_of = json.loads(json.dumps(made_of))  # tuples come back as lists
        self._segments: list[Segment] = []
        for number, segment in enumerate(self._noted()):
            if size_of(self._part(number)) != segment.size:
                break
            self._segments.append(segment)
        self._segment: VideoSink | None = None
        self.done = self.written = sum(segment.frames for segment in self._segments)
        self.state = self._latest = self._segments[-1].state if self._segments else None

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:05d}.mp4"

    @property
    def _last(self) -> int | None:
        """When the last frame is shown, in ticks; None without one."""
        return self._segments[-1].last if self._segments else None

    def _noted(self) -> list[Segment]:
        try:
            notes = json.loads((self._folder / NOTES).read_text(encoding="utf-8"))
            return [Segment(**entry) for entry in notes["segments"]] if notes["made_of"] == self._made_of else []
        except (OSError, ValueError, KeyError, TypeError):  # if the place can't be used at all, `_note` tells
            return []

    def _note(self) -> None:
        """Write the notes; the folder is made. Raises InputError if that is not possible."""
        notes = json.dumps({"made_of": self._made_of, "segments": [asdict(segment) for segment in self._segments]})
        write_whole(self._folder / NOTES, lambda path: path.write_text(notes, encoding="utf-8"))

    def _remove(self, kept: int = 0) -> None:
        """Remove all segments but the first `kept`; if those are none, the notes and the folder, too."""
        stay = [*map(self._part, range(kept)), self._folder / NOTES] if kept else []
        with suppress(OSError):  # somebody's own files in it, or a folder that can't be changed, do no harm
            for path in [*self._folder.glob("[0-9]*.mp4"), *self._folder.glob(f"{Path(NOTES).stem}*.json")]:
                if path not in stay:
                    path.unlink()
            if not kept:
                self._folder.rmdir()

    def __enter__(self) -> Self:
        self._remove(len(self._segments))
        self._note()
        return self

    def _write(self, frame: Frame) -> None:
        if self._segment is None:
            path = self._part(len(self._segments))
            self._segment = VideoSink(path, self._source, sound=False, after=self._last)
        self._segment.write(frame)
        self._latest = frame.state
        if self._segment.written == SEGMENT:
            self._end_segment()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        with segment:
            pass
        size = size_of(self._part(len(self._segments)))
        self._segments.append(Segment(segment.written, segment.last, size, self._latest))
        self._note()

    def _finish(self, complete: bool) -> None:
        if self._segment is not None:
            self._end_segment()
        join([self._part(number) for number in range(len(self._segments))], self.partial, self._source, self._last)

    def _abandon(self) -> None:
        if self._segment is not None:
            self._segment.discard()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        is_done = False
        try:
            if kind is None and self.written:
                super().__exit__(None, None, None)
                is_done = True
        finally:
            self.discard()
            if is_done or not self._segments:
                self._remove()

    def left(self) -> str | None:
        """As `FrameSink.left`."""
        if not self._segments:
            return None
        following = self._last * refined_tick(self._source.time_base) + 1 / (self._source.rate or DEFAULT_RATE)
        return f"{self._source.path} is done up to {float(following):.1f} s: --resume goes on from there"


def join(parts: list[Path], path: Path, source: FrameSource, last: int) -> None:
    """Write the packets of `parts`, and the sound of `source`, into `path`.

    last: when the last picture is shown, in ticks.
    """
    with av.open(str(parts[0].absolute())) as template:

        def add_pictures(container: OutputContainer, tick: Fraction) -> VideoStream:
            stream = container.add_stream_from_template(template.streams.video[0])
            stream.time_base = tick
            return stream

        with closing(Film(path, source, add_pictures)) as film:
            packets = joined(parts, film)
            waiting = next(packets)
            for packet in packets:
                film.add([waiting])
                waiting = packet
            film.finish([waiting], last, source.finished)


def joined(parts: list[Path], film: Film) -> Iterator[Packet]:
    """The packets of all parts in the order of decoding, for the pictures of `film`."""
    decoded = None
    for part in parts:
        with av.open(str(part.absolute())) as container:
            for packet in container.demux(video=0):
                if not packet.size:
                    continue
                # An encoder that begins has not seen how uneven the frames before were, and may start too early.
                packet.dts = packet.dts if decoded is None else max(packet.dts, decoded + 1)
                decoded = packet.dts
                packet.stream, packet.duration = film.pictures, film.step
                yield packet


def size_of(path: Path) -> int | None:
    """Bytes of a file; None where it can't be read."""
    try:
        return path.stat().st_size
    except OSError:
        return None
