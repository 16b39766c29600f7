"""How results are written: into which sink, with a progress bar, and with a word on what an interruption leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from model.common import cli
from model.inference.manifest import ingredients
from model.inference.options import Options
from model.inference.stylizer import Portrait, Stylizer
from model.media.files import Frame, FrameSink, FrameSource, open_sink
from model.media.resume import SegmentedSink
from model.media.threads import ahead, behind


def sink_for(path: Path, source: FrameSource, options: Options, fitted: list[tuple[Stylizer, Portrait]]) -> FrameSink:
    """What a result is written to. With `options.resume`, videos go on where the same was interrupted.

    fitted: who is stylised by which model; with `options`, all that the result depends on. Raises InputError as
    `open_sink` does.
    """
    if options.resume and source.is_video and not options.preview:
        return SegmentedSink(path, source, ingredients(str(source.path), options, fitted))
    return open_sink(path, source)


def deliver(
    source: FrameSource,
    sink: FrameSink,
    results_of: Callable[[Iterator[Frame]], Iterator[Frame]],
    preview: Frame | None = None,
) -> None:
    """Write what `results_of` makes of the frames of a source, or of the one frame of a preview.

    All frames are given to `results_of`; what it makes begins after the `sink.done` first ones.
    """
    hidden = None if source.is_video and preview is None else True  # None: where stderr is no terminal
    bar = {"desc": source.name, "total": source.expected_frames, "initial": sink.done, "unit": "frame"}
    try:
        with sink, ahead(source if preview is None else [preview]) as frames, behind(sink.write) as write:
            for frame in tqdm(results_of(frames), disable=hidden, **bar):
                write(frame)
    except KeyboardInterrupt:
        if left := sink.left():
            cli.say(left, all_processes=True)
        raise
