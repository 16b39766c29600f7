"""Pairs of the drawn teacher: its options, which photos become which pairs, and the processes that draw them."""

import multiprocessing
import os
import signal
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from model.common.errors import InputError
from model.faces.detect import find_landmarks
from model.media.files import read_photo
from model.training.data.pictures import SUFFIXES, pictures_below
from model.training.data.shards import Result, encode_pair
from model.training.drawn.geometry import frame_portrait, mirror
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.styles import DrawnStyle, load_style
from model.training.drawn.teacher import draw_full
from model.training.generate.options import DrawnData
from model.training.generate.write import fill_folder

PARTIAL_DEGREES = (0.1, 0.9)  # range of the degree in between: closer to 0 or 1 it would tell nothing new


@dataclass(frozen=True)
class Job:
    """One photo in one framing, to be drawn in every style: as many pairs."""

    keys: list[str]  # of the pairs, in the order of the styles; no two jobs of a run share one
    path: Path
    source: str  # the path inside its folder, which the random numbers depend on
    variant: int  # 0 for the first framing of a photo; odd ones are mirrored
    styles: list[DrawnStyle]
    size: int
    seed: int


def generate_drawn(options: DrawnData) -> Counter[str]:
    """Draw every missing shard; returns how many pairs were drawn or skipped, by outcome. Raises InputError."""
    options.check()
    if not options.photos:
        raise InputError("--photos is missing: name a folder of pictures.")
    styles = (jobs := list_jobs(options))[0].styles
    settings = {"photos": len(options.photos), "teacher": "drawn"}
    settings["styles"] = [vars(style) | {"shape": vars(style.shape)} for style in styles]
    settings |= {"count": len(jobs) * len(styles), "size": options.size, "seed": options.seed}
    settings["pairs_per_shard"] = max(1, options.pairs_per_shard // len(styles)) * len(styles)  # a photo is not parted
    settings["sources"] = zlib.crc32("\n".join(job.source for job in jobs).encode())

    def draw_shards(shards: list[range]) -> Iterator[Result]:
        missing = [jobs[numbers.start // len(styles) : numbers.stop // len(styles)] for numbers in shards]
        return draw_all(list(chain.from_iterable(missing)), options.workers)

    return fill_folder(options.out, settings, draw_shards)


def list_jobs(options: DrawnData) -> list[Job]:
    """Photos in the order of folders and names: evenly spaced ones for a small count, repeated for a large one. Raises
    InputError for folders without pictures, and for styles that can't be read or have the same name."""
    styles = [load_style(name) for name in options.style]
    name, times = Counter(style.name for style in styles).most_common(1)[0]
    if times > 1:
        raise InputError(f"--style names {name} {times} times: pairs could not be told apart; give each its own name.")
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


def draw_all(jobs: Sequence[Job], workers: int) -> Iterator[Result]:
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


def draw(job: Job) -> list[Result]:
    """Read one photo, and draw it in each style."""
    rng = np.random.default_rng([job.seed, zlib.crc32(job.source.encode()), job.variant])
    facts, skipped = {"source": job.source, "seed": job.seed, "variant": job.variant}, "unreadable"
    with suppress(InputError):  # no picture, or the eyes coincide
        rgb = read_photo(job.path)
        skipped = "without a face"
        if (landmarks := find_landmarks(rgb)) is not None:
            pairs = draw_pairs(rgb, landmarks, job.styles, job.size, rng, job.variant % 2 == 1, facts)
            return [Result(key, parts) for key, parts in zip(job.keys, pairs, strict=True)]
    return [Result(key, {}, skipped) for key in job.keys]


def draw_pairs(
    rgb: np.ndarray, landmarks: np.ndarray, styles: Sequence[DrawnStyle], size: int, rng: np.random.Generator,
    mirrored: bool, facts: dict,
) -> Iterator[dict[str, bytes]]:  # fmt: skip
    """Frame, mirror if asked, and draw a photo `[H, W, 3]` with the face at `landmarks [68, 2]`; side `size`. Yields
    the parts of a stored pair in each style: one framing, partial degrees of their own, further `facts`."""
    photo, landmarks = frame_portrait(rgb, landmarks, size, rng)
    if mirrored:
        photo, landmarks = mirror(photo, landmarks)
    parsing = parse_portrait(photo, landmarks)
    for style in styles:
        drawing = draw_full(photo, style, parsing)
        degree = round(float(rng.uniform(*PARTIAL_DEGREES)), 4)
        known = {"kind": "drawn", "style": style.name, "degree": degree}
        for name, points in (("landmarks", landmarks), ("landmarks_full", drawing.warp.landmarks_at(1.0))):
            known[name] = np.round(points, 2).tolist()
        yield encode_pair(photo, drawing.full, drawing.at_degree(degree), known | facts)
