"""Which photos become which pairs, and the processes that make them: what teachers of photos have in common."""

import multiprocessing
import os
import signal
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from model.common.errors import InputError
from model.faces.detect import find_landmarks
from model.media.files import read_photo
from model.training.data.pictures import SUFFIXES, pictures_below
from model.training.data.shards import Result
from model.training.generate.options import PhotoData
from model.training.generate.write import fill_folder


@dataclass(frozen=True)
class Job:
    """One photo in one framing, to become a pair in every style."""

    keys: list[str]  # of the pairs, in the order of the styles; no two jobs of a run share one
    path: Path
    source: str  # the path inside its folder, which the random numbers depend on
    variant: int  # 0 for the first framing of a photo; odd ones are mirrored
    styles: Sequence[Any]  # what the teacher makes the pairs with; each has a `name`
    size: int
    seed: int


# Of a photo `[H, W, 3]`, landmarks `[68, 2]`, styles, the side of the pictures, random numbers, whether it is mirrored,
# and facts to be noted: the parts of a pair in each style, or why there is none.
PairsOf = Callable[..., Iterable[dict[str, bytes] | str]]


def fill_from_photos(
    options: PhotoData, styles: Sequence[Any], described: list[dict], draw: Callable[[Job], list[Result]]
) -> Counter[str]:
    """Make every missing shard of all photos in all `styles`; returns how many pairs were made or skipped, by outcome.
    Raises InputError.

    described: all that the pairs depend on of each style; draw: the pairs of a job, in other processes, too.
    """
    jobs = list_jobs(options, styles)
    settings = {"photos": len(options.photos), "teacher": options.teacher, "styles": described}
    settings |= {"count": len(jobs) * len(styles), "size": options.size, "seed": options.seed}
    settings["pairs_per_shard"] = max(1, options.pairs_per_shard // len(styles)) * len(styles)  # a photo is not parted
    settings["sources"] = zlib.crc32("\n".join(job.source for job in jobs).encode())

    def draw_shards(shards: list[range]) -> Iterator[Result]:
        missing = [jobs[numbers.start // len(styles) : numbers.stop // len(styles)] for numbers in shards]
        return draw_all(list(chain.from_iterable(missing)), draw, options.workers)

    return fill_folder(options.out, settings, draw_shards)


def check_names(styles: Sequence[Any], option: str) -> None:
    """Raise InputError where two of the styles that `option` named have the same name."""
    name, times = Counter(style.name for style in styles).most_common(1)[0]
    if times > 1:
        raise InputError(f"{option} names {name} {times} times: pairs could not be told apart; give each its own name.")


def list_jobs(options: PhotoData, styles: Sequence[Any]) -> list[Job]:
    """Photos in the order of folders and names: evenly spaced ones for a small count, repeated for a large one. Raises
    InputError where there are none."""
    if not options.photos:
        raise InputError("--photos is missing: name a folder of pictures.")
    photos = []
    for folder in options.photos:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder: give --photos a folder of pictures.")
        photos += [(path, path.relative_to(folder).as_posix()) for path in pictures_below(folder)]
    if not photos:
        folders, suffixes = ", ".join(map(str, options.photos)), ", ".join(SUFFIXES)
        raise InputError(f"No pictures ({suffixes}) in {folders}: give --photos other folders.")
    count, jobs = options.count or len(photos), []
    for index in range(count):
        variant, place = divmod(index, len(photos)) if count > len(photos) else (0, index * len(photos) // count)
        keys = [f"{index * len(styles) + number:06d}" for number in range(len(styles))]
        jobs.append(Job(keys, *photos[place], variant, styles, options.size, options.seed))
    return jobs


def draw_all(jobs: Sequence[Job], draw: Callable[[Job], list[Result]], workers: int) -> Iterator[Result]:
    """What `draw` makes of `jobs`, in their order; one worker draws in this process."""
    if workers == 1 or len(jobs) < 2:
        yield from chain.from_iterable(map(draw, jobs))
        return
    with _started(min(workers, len(jobs))) as pool:
        yield from chain.from_iterable(pool.imap(draw, jobs))


def _started(workers: int) -> Pool:
    """Processes that draw alone on their cores: libraries read how many threads they may have when they are loaded. The
    environment of this process is as it was, since its own libraries look there, too."""
    before = dict(os.environ)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    try:
        return multiprocessing.get_context("spawn").Pool(workers, _start_worker)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    cv2.setNumThreads(1)


def results_of(job: Job, pairs_of: PairsOf) -> list[Result]:
    """Read the photo of a job, look for its face, and let `pairs_of` make the pairs."""
    rng = np.random.default_rng([job.seed, zlib.crc32(job.source.encode()), job.variant])
    facts, skipped = {"source": job.source, "seed": job.seed, "variant": job.variant}, "unreadable"
    with suppress(InputError):  # no picture, or the eyes coincide
        rgb = read_photo(job.path)
        skipped = "without a face"
        if (landmarks := find_landmarks(rgb)) is not None:
            pairs = pairs_of(rgb, landmarks, job.styles, job.size, rng, job.variant % 2 == 1, facts)
            made = [({}, pair) if isinstance(pair, str) else (pair, "") for pair in pairs]
            return [Result(key, *pair) for key, pair in zip(job.keys, made, strict=True)]
    return [Result(key, {}, skipped) for key in job.keys]
