"""Videos take long: they wait in a line, tell how far they are, and can be cancelled."""

import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from model.common.errors import InputError
from model.common.files import write_whole
from model.demo.line import Line
from model.demo.studio import Stopped
from model.demo.visits import Job, Visit
from model.demo.words import failure
from model.media.files import open_frames

TELL_EVERY = 0.3  # seconds between two messages about the progress of something
GIF_SIDE, GIF_RATE = 480, 12.5  # longer side and frames a second of an animation
Steps = Callable[[Callable[[], bool]], Iterator[int]]  # takes what tells whether to stop, yields how many are done


class Films:
    """The videos of all visits, `at_once` rendered at a time; a visit has one of each kind, and is told news of that
    kind: waiting, running, done, cancelled, failed."""

    def __init__(self, at_once: int):
        self.line = Line(at_once, "video")

    def submit(self, visit: Visit, kind: str, steps: Steps, total: int | None, done: Callable[[], dict]) -> None:
        """Put work into the line, in place of that of its kind; it takes `total` steps, as far as that is known. `done`
        makes what is told at its end."""
        self.drop(visit, kind)
        job = visit.jobs[kind] = Job()

        def tell(**facts: Any) -> None:
            if visit.jobs.get(kind) is job:
                visit.tell(kind, **facts)

        def work() -> None:
            begun, told_at, count = time.monotonic(), 0.0, 0
            try:
                for count in steps(job.stop.is_set):
                    if (now := time.monotonic()) - told_at > TELL_EVERY:
                        told_at = now
                        left = (now - begun) / count * (total - count) if total else None
                        tell(state="running", done=count, total=total, left=left)
                tell(**{"state": "done", "done": count} | done())
            except Stopped:
                tell(state="cancelled")
            except Exception as error:
                tell(state="failed", error=failure(error))

        def moved(place: int) -> None:
            tell(state="waiting", place=place)

        tell(state="waiting", place=0)
        job.ticket = self.line.submit(work, moved=moved)

    def render(
        self, visit: Visit, kind: str, frames: Callable[[Path, Callable[[], bool]], Iterator[int]], name: str,
        total: int | None,
    ) -> None:  # fmt: skip
        """Render a video into a file of this name: `frames(path, is_stopped)` does it, and yields how many frames are
        done."""
        place: list[Path] = []

        def steps(is_stopped: Callable[[], bool]) -> Iterator[int]:
            visit.forget(kind)
            place.append(visit.fresh(kind) / name)
            yield from frames(place[0], is_stopped)

        self.submit(visit, kind, steps, total, lambda: {"video": visit.address(place[0]), "name": name})

    def cancel(self, visit: Visit, kind: str) -> None:
        """End what is done of this kind, and tell so where it had not begun."""
        job = visit.jobs.get(kind)
        if job is not None and job.cancel():
            visit.tell(kind, state="cancelled")

    def drop(self, visit: Visit, kind: str) -> None:
        """End what is done of this kind; nobody wants to know of it any more."""
        if job := visit.jobs.pop(kind, None):
            job.cancel()

    def animation(self, visit: Visit, kind: str) -> str:
        """A rendered video as a GIF, reduced; returns where it is."""
        films = sorted(visit.folder.glob(f"{kind}-*/*.mp4"))
        if not films:
            raise InputError("There is no video: render it first.")
        path = films[-1].with_suffix(".gif")
        if not path.is_file():
            write_whole(path, partial(_write_gif, films[-1]))
        return visit.address(path)


def _write_gif(video: Path, path: Path) -> None:
    """A video as an animation, as small as messengers like it."""
    pictures, due = [], 0.0
    with open_frames(video) as source:
        for frame in source:
            if float(frame.time or 0) + 1e-6 < due:
                continue
            due += 1 / GIF_RATE
            picture = Image.fromarray(frame.rgb)
            picture.thumbnail((GIF_SIDE, GIF_SIDE))
            pictures.append(picture.quantize(128, dither=Image.Dither.FLOYDSTEINBERG))
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / GIF_RATE), loop=0)
    path.write_bytes(file.getvalue())
