"""Which photos become which pairs, and the processes that draw them."""

import json
import multiprocessing
import os
import signal
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from model.common.errors import InputError
from model.training.data.pictures import SUFFIXES, pictures_below
from model.training.data.shards import Result
from model.training.drawn.styles import DrawnStyle, load_style

if TYPE_CHECKING:
    from model.training.generate.options import DrawnData


@dataclass(frozen=True)
class Job:
    """One photo in one framing, to be drawn in every style: as many pairs."""

    index: int
    path: Path
    source: str  # the path inside its folder, which the random numbers depend on
    variant: int  # 0 for the first framing of a photo
    styles: tuple[DrawnStyle, ...]
    size: int
    seed: int

    @property
    def keys(self) -> list[str]:
        """Key of the pair in each style; no two jobs of a run share one."""
        return [f"{self.index * len(self.styles) + place:06d}" for place in range(len(self.styles))]


def load_styles(names: Sequence[str]) -> tuple[DrawnStyle, ...]:
    """Styles by name or file. InputError for one that can't be read, and for two of the same name."""
    styles = tuple(load_style(name) for name in names)
    name, times = Counter(style.name for style in styles).most_common(1)[0]
    if times > 1:
        raise InputError(f"--style names {name} {times} times: pairs could not be told apart; give each its own name.")
    return styles


def list_jobs(options: "DrawnData") -> list[Job]:
    """Photos in the order of folders and names: evenly spaced ones for a small count, repeated for a large one."""
    styles = load_styles(options.style)
    photos = []
    for folder in options.photos:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder: give --photos a folder of pictures.")
        photos += [(path, path.relative_to(folder).as_posix()) for path in pictures_below(folder)]
    if not photos:
        folders, suffixes = ", ".join(map(str, options.photos)), ", ".join(SUFFIXES)
        raise InputError(f"No pictures ({suffixes}) in {folders}: give --photos other folders.")
    count = options.count or len(photos)
    jobs = []
    for index in range(count):
        variant, place = divmod(index, len(photos)) if count > len(photos) else (0, index * len(photos) // count)
        path, source = photos[place]
        jobs.append(Job(index, path, source, variant, styles, options.size, options.seed))
    return jobs


def describe(options: "DrawnData", jobs: Sequence[Job]) -> dict:
    """What tells these pairs from others, for `fill_folder`. All pairs of a job are in one shard."""
    styles = jobs[0].styles
    return {
        "photos": len(options.photos),
        "teacher": options.teacher,
        "styles": json.loads(json.dumps([asdict(style) for style in styles])),  # as they are read back: no tuples
        "count": len(jobs) * len(styles),
        "size": options.size,
        "seed": options.seed,
        "pairs_per_shard": max(1, options.pairs_per_shard // len(styles)) * len(styles),
        "sources": zlib.crc32("\n".join(job.source for job in jobs).encode()),
    }


def jobs_of(shards: Sequence[range], jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose pairs have the numbers in `shards`."""
    each = len(jobs[0].styles)
    return [job for numbers in shards for job in jobs[numbers.start // each : numbers.stop // each]]


def draw_all(draw: Callable[[Job], list[Result]], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """What `draw` makes of `jobs`, in their order; one worker draws in this process."""
    if workers == 1 or len(jobs) < 2:
        yield from chain.from_iterable(map(draw, jobs))
        return
    # Each process draws alone on its core; the libraries read these when a spawned process loads them.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs)), _start_worker) as pool:
        yield from chain.from_iterable(pool.imap(draw, jobs))


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    cv2.setNumThreads(1)
