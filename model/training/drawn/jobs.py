"""Which photos become which pairs, and the processes that draw them."""

import multiprocessing
import os
import signal
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from model.errors import InputError
from model.training.shards import Result

if TYPE_CHECKING:
    from model.training.generate_options import DrawnData

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Job:
    """One pair to draw."""

    index: int
    path: Path
    source: str  # the path inside its folder, which the random numbers depend on
    variant: int  # 0 for the first pair from a photo
    style: str
    size: int
    seed: int


def list_jobs(options: "DrawnData") -> list[Job]:
    """Photos in the order of folders and names: evenly spaced ones for a small count, repeated for a large one."""
    photos = []
    for folder in options.photos:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder: give --photos a folder of pictures.")
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        photos += [(path, path.relative_to(folder).as_posix()) for path in found]
    if not photos:
        folders, suffixes = ", ".join(map(str, options.photos)), ", ".join(sorted(PHOTO_SUFFIXES))
        raise InputError(f"No pictures ({suffixes}) in {folders}: give --photos other folders.")
    count = options.count or len(photos)
    jobs = []
    for index in range(count):
        variant, place = divmod(index, len(photos)) if count > len(photos) else (0, index * len(photos) // count)
        path, source = photos[place]
        jobs.append(Job(index, path, source, variant, options.style, options.size, options.seed))
    return jobs


def describe(options: "DrawnData", jobs: Sequence[Job]) -> dict:
    """What tells these pairs from others, for `fill_folder`."""
    return {
        "photos": len(options.photos),
        "teacher": options.teacher,
        "style": options.style,
        "count": len(jobs),
        "size": options.size,
        "seed": options.seed,
        "pairs_per_shard": options.pairs_per_shard,
        "sources": zlib.crc32("\n".join(job.source for job in jobs).encode()),
    }


def draw_all(draw: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """What `draw` makes of `jobs`, in their order; one worker draws in this process."""
    if workers == 1 or len(jobs) < 2:
        yield from map(draw, jobs)
        return
    # Each process draws alone on its core; the libraries read these when a spawned process loads them.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs)), _start_worker) as pool:
        yield from pool.imap(draw, jobs)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    cv2.setNumThreads(1)
