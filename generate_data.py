"""Draw training pairs: photo, cartoon at degree 1, cartoon at one degree in between.

    python generate_data.py --photos FOLDER --out pairs --style film

Each photo is aligned, drawn by a teacher and written to tar shards (see model/training/shards.py) with a sheet of
samples, preview.jpg. The same options give the same shards; a run that was stopped goes on with those that are missing.
"""

import json
import multiprocessing
import os
import signal
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from model import cli
from model.cli import option
from model.errors import InputError
from model.inference.face import find_landmarks
from model.inference.photos import read_photo
from model.training.drawn.pair import draw_pair
from model.training.drawn.styles import STYLES
from model.training.shards import encode_pair, preview_sheet, write_shard

TEACHERS = ("drawn",)
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
SMALLEST = {"count": 0, "size": 128, "seed": 0, "workers": 1, "pairs_per_shard": 1}
"""Least value of each number that can be asked for."""


@dataclass
class Options:
    """Options of the command line."""

    photos: list[Path] = option(
        [], "folders of photos, one face each, searched with their subfolders", nargs="+", metavar="FOLDER"
    )
    out: Path | None = option(None, "folder for the shards; finished shards in it are kept", metavar="FOLDER")
    teacher: str = option("drawn", "what draws", choices=TEACHERS)
    style: str = option("film", "style of the drawn teacher", choices=sorted(STYLES))
    count: int = option(
        0, "pairs to draw; 0: one for each photo; more than photos: again in other framings, mirrored"
    )
    size: int = option(512, "side of the pictures in pixels, at least 128")
    seed: int = option(0, "seed of framing and degrees")
    workers: int = option(os.cpu_count() or 1, "processes that draw")
    pairs_per_shard: int = option(256, "pairs in one tar file")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if not self.photos:
            raise InputError("--photos is missing: name a folder of pictures.")
        if self.out is None:
            raise InputError("--out is missing: name a folder for the shards; it is made.")
        for name, least in SMALLEST.items():
            if getattr(self, name) < least:
                raise InputError(f"--{name} is {getattr(self, name)}: give at least {least}.")


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


@dataclass(frozen=True)
class Result:
    """Encoded parts of one pair, or why there are none."""

    key: str
    parts: dict[str, bytes]
    skipped: str = ""


def list_jobs(options: Options) -> list[Job]:
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


def prepare_folder(options: Options, jobs: list[Job]) -> None:
    """Make the folder and note what its shards are made of, so that a later run cannot mix in others."""
    settings = asdict(options) | {"photos": len(options.photos), "count": len(jobs)}
    settings["sources"] = zlib.crc32("\n".join(job.source for job in jobs).encode())
    del settings["out"], settings["workers"]
    note = options.out / "options.json"
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if note.exists() and json.loads(note.read_text()) != settings:
            raise InputError(f"{options.out} holds pairs of other options or photos: give --out another folder.")
        note.write_text(json.dumps(settings, indent=1))
    except OSError as error:
        raise InputError(f"Cannot write to {options.out} ({error.strerror}): give --out another folder.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{note} is damaged: give --out another folder.") from error


def draw(job: Job) -> Result:
    """Read, align and draw one photo."""
    key = f"{job.index:06d}"
    try:
        rgb = read_photo(job.path)
    except InputError:
        return Result(key, {}, "unreadable")
    landmarks = find_landmarks(rgb)
    if landmarks is None:
        return Result(key, {}, "without a face")
    rng = np.random.default_rng([job.seed, zlib.crc32(job.source.encode()), job.variant])
    pair = draw_pair(rgb, landmarks, STYLES[job.style], job.size, rng, mirrored=job.variant % 2 == 1)
    facts = {
        "source": job.source,
        "style": job.style,
        "degree": pair.degree,
        "seed": job.seed,
        "variant": job.variant,
        "landmarks": np.round(pair.landmarks, 2).tolist(),
        "landmarks_full": np.round(pair.landmarks_full, 2).tolist(),
    }
    return Result(key, encode_pair(pair.photo, pair.full, pair.partial, facts))


@contextmanager
def drawing_processes(workers: int, jobs: list[Job]) -> Iterator[Iterator[Result]]:
    """Results in the order of `jobs`; one worker draws in this process."""
    if workers == 1 or len(jobs) < 2:
        yield map(draw, jobs)
        return
    # Each process draws alone on its core; the libraries read these when a spawned process loads them.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs)), _start_worker) as pool:
        yield pool.imap(draw, jobs)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    cv2.setNumThreads(1)


def generate(options: Options) -> Counter[str]:
    """Draw every missing shard and the preview sheet; returns how many photos were drawn or skipped, by outcome.

    Raises InputError for options that cannot work.
    """
    options.check()
    jobs = list_jobs(options)
    prepare_folder(options, jobs)
    shards = [jobs[start : start + options.pairs_per_shard] for start in range(0, len(jobs), options.pairs_per_shard)]
    paths = [options.out / f"pairs-{number:05d}.tar" for number in range(len(shards))]
    missing = [(path, shard) for path, shard in zip(paths, shards, strict=True) if not path.exists()]
    print(f"{len(jobs)} pairs in {len(shards)} shards, {len(shards) - len(missing)} of them finished")

    outcomes: Counter[str] = Counter()
    todo = [job for _, shard in missing for job in shard]
    with drawing_processes(options.workers, todo) as results, tqdm(total=len(todo), unit="pair") as progress:
        for path, shard in missing:
            write_shard(path, _counted(islice(results, len(shard)), outcomes, progress))
    write_preview(paths, options.out / "preview.jpg")
    return outcomes


def _counted(results: Iterator[Result], outcomes: Counter[str], progress: tqdm) -> Iterator[tuple[str, dict]]:
    for result in results:
        outcomes[result.skipped or "drawn"] += 1
        progress.update()
        yield result.key, result.parts


def write_preview(shards: list[Path], path: Path) -> None:
    """Write a sheet of the first pairs, unless there are none."""
    sheet = preview_sheet(shards)
    if sheet is not None and not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise InputError(f"{path} can't be written: the disk may be full.")


def main() -> None:
    """Parse the command line, draw, and say how many pairs there are."""
    options = cli.parse(Options, __doc__)
    try:
        outcomes = generate(options)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; finished shards are kept, and the same command goes on from them.") from error
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "nothing to do")


if __name__ == "__main__":
    cli.run(main)
