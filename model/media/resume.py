"""A video written in segments, so that an interrupted run goes on where the last whole segment ends.

Each segment is a file, beside notes with the `Frame.state` after it; in the end their packets go into one file.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import av
from av.packet import Packet

from model.common.errors import InputError
from model.common.files import UNFINISHED, alone, write_whole
from model.media.frames import DEFAULT_RATE, Frame, FrameSink, FrameSource
from model.media.video_writer import Film, VideoSink, refined_tick

SEGMENT = 128  # frames, which is what an interruption costs: five seconds of film, a minute of work on a CPU
PARTS_SUFFIX = ".parts"  # of the folder beside a result that is being made in segments
NOTES = "notes.json"  # the file in that folder that tells what they are
VERSION = 2  # of what is noted: what an older program noted is begun anew


@dataclass(frozen=True)
class Segment:
    """A whole segment: how many frames, when the last one is shown (ticks), the file's bytes, and `Frame.state`."""

    frames: int
    last: int
    size: int
    state: dict[str, Any] | None


class SegmentedSink(FrameSink):
    """As `VideoSink`, but whatever interrupts the work, the segments that are whole stay, and count the next time.

    `done` tells how many frames they hold, `state` is the state of the last one (None for none). made_of: what the
    result is made of, as JSON can hold it: where it has changed, the work begins anew. keep_audio: see `Tracks`.
    """

    def __init__(self, path: Path, source: FrameSource, made_of: dict[str, Any], keep_audio: bool = False):
        super().__init__(path, source)
        self._settings = {"keep_audio": keep_audio}
        self._folder = path.with_suffix(PARTS_SUFFIX)
        self._made_of = json.loads(json.dumps(made_of | {"version": VERSION}))  # tuples come back as lists
        self._segments = self._noted()
        self._segment: VideoSink | None = None
        self.done = self.written = sum(segment.frames for segment in self._segments)
        self.state = self._latest = self._segments[-1].state if self._segments else None

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:05d}.mp4"

    @property
    def _last(self) -> int | None:  # when the last frame is shown, in ticks
        return self._segments[-1].last if self._segments else None

    def _noted(self) -> list[Segment]:
        """The segments of an earlier run, up to the first whose file is not as it was."""
        whole = []
        with suppress(OSError, ValueError, KeyError, TypeError):  # if the place can't be used at all, `_note` tells
            notes = json.loads((self._folder / NOTES).read_text(encoding="utf-8"))
            for number, entry in enumerate(notes["segments"] if notes["made_of"] == self._made_of else []):
                if self._part(number).stat().st_size != entry["size"]:
                    break
                whole.append(Segment(**entry))
        return whole

    def _note(self) -> None:
        """Write the notes; the folder is made. Raises InputError if that is not possible."""
        notes = json.dumps({"made_of": self._made_of, "segments": [asdict(segment) for segment in self._segments]})
        write_whole(self._folder / NOTES, notes)

    def _remove(self, kept: int = 0) -> None:
        """Remove what runs that were killed left, and all segments but the first `kept`; if none, the notes, too."""
        stay = [*map(self._part, range(kept)), self._folder / NOTES] if kept else []
        with suppress(OSError):  # somebody's own files in it, or a folder that can't be changed, do no harm
            for path in self._folder.iterdir():
                is_ours = path.name == NOTES or UNFINISHED.fullmatch(path.name) or path.match("[0-9]*.mp4")
                if is_ours and path not in stay:
                    path.unlink()

    def __enter__(self) -> Self:
        with ExitStack() as lock:
            lock.enter_context(alone(self._folder / ".lock", str(self.path)))
            if self._noted() != self._segments:  # that run ended while this one was getting ready
                raise InputError(f"another run was at work on {self.path} until now: give the same command again")
            self._remove(len(self._segments))
            self._note()
            self._lock = lock.pop_all()
        return self

    def _write(self, frame: Frame) -> None:
        if self._segment is None:
            path = self._part(len(self._segments))
            self._segment = VideoSink(path, self._source, tracks=False, after=self._last)
        self._segment.write(frame)
        self._latest = frame.state
        if self._segment.written == SEGMENT:
            self._end_segment()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        with segment:
            pass
        self._segments.append(Segment(segment.written, segment.last, segment.path.stat().st_size, self._latest))
        self._note()

    def _finish(self, complete: bool) -> None:
        if self._segment is not None:
            self._end_segment()
        parts = [self._part(number) for number in range(len(self._segments))]
        with (
            av.open(str(parts[0].absolute())) as first,
            closing(
                Film(self._unfinished, self._source, template=first.streams.video[0], mark=self.mark, **self._settings)
            ) as film,
        ):
            film.add(joined(parts, film))
            film.finish(self._last, self._source.finished)
            self.warning = film.warning

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
            self._lock.close()
            with suppress(OSError):  # it stays while there is something in it
                self._folder.rmdir()

    def left(self) -> str | None:
        if not self._segments:
            return None
        following = self._last * refined_tick(self._source.time_base) + 1 / (self._source.rate or DEFAULT_RATE)
        return f"{self._source.path} is done up to {float(following):.1f} s: --resume goes on from there"


def joined(parts: list[Path], film: Film) -> Iterator[Packet]:
    """The packets of all parts in the order of decoding, for the pictures of `film`."""
    decoded = None
    for part in parts:
        with av.open(str(part.absolute())) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    # An encoder that begins has not seen how uneven the frames before were, and may start too early.
                    packet.dts = decoded = packet.dts if decoded is None else max(packet.dts, decoded + 1)
                    packet.stream, packet.duration = film.pictures, film.step
                    yield packet
