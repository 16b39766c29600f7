"""Draw training pairs: photo, cartoon at degree 1, cartoon at one degree in between.

Each photo is aligned, drawn by a teacher and written to tar shards in the layout WebDataset reads: KEY.photo.jpg,
KEY.full.jpg, KEY.partial.jpg and KEY.json. The same options give the same shards; a run that was stopped goes on with
the shards that are missing.
"""

import argparse
import io
import json
import multiprocessing
import os
import signal
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from model.errors import InputError
from model.inference.face import find_landmarks
from model.inference.photos import read_photo
from model.training.drawn.geometry import align_portrait, alignment, overrun
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.styles import STYLES
from model.training.drawn.teacher import draw_full

TEACHERS = ("drawn",)
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
JPEG_FLAGS = [
    cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
]  # fmt: skip
PARTIAL_DEGREES = (0.1, 0.9)
PREVIEW_ROWS, PREVIEW_SIZE = 12, 256

# Framing: eyes this far apart, as a fraction of the side; the smallest that keeps the square inside the photo is
# taken, because what a border mirrors (ears, chins) would be drawn and learnt.
EYE_FRACTIONS = np.arange(0.16, 0.34, 0.01)
FRAMING_TRIES = 6
MAX_OVERRUN = 0.015
CENTRE, CENTRE_JITTER = (0.5, 0.47), (0.06, 0.05)
ZOOM_JITTER = 1.12
ANGLE_JITTER = 0.05  # radians, standard deviation


@dataclass
class Options:
    """What the command line offers; each field is an option of the same name."""

    photos: list[Path] = field(metadata={"help": "folders of photos, one face each, searched with their subfolders"})
    out: Path = field(metadata={"help": "folder for the shards; finished shards in it are kept"})
    teacher: str = field(default="drawn", metadata={"help": "what draws: " + ", ".join(TEACHERS)})
    style: str = field(default="film", metadata={"help": "style of the drawn teacher: " + ", ".join(STYLES)})
    count: int = field(
        default=0,
        metadata={"help": "pairs to draw; 0: one for each photo; more than photos: again in other framings, mirrored"},
    )
    size: int = field(default=512, metadata={"help": "side of the pictures in pixels, at least 128"})
    seed: int = field(default=0, metadata={"help": "of framing and degrees"})
    workers: int = field(default=os.cpu_count() or 1, metadata={"help": "processes that draw"})
    pairs_per_shard: int = field(default=256, metadata={"help": "pairs in one tar file"})


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
    """Encoded files of one pair by suffix, or why there is none."""

    key: str
    members: dict[str, bytes]
    skipped: str = ""


def main(arguments: list[str] | None = None) -> int:
    try:
        generate(parse_options(arguments))
    except InputError as error:
        print(f"generate_data.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. Finished shards are kept; the same command goes on from them.", file=sys.stderr)
        return 130
    return 0


def parse_options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for option in fields(Options):
        needed = option.name in ("photos", "out")
        parser.add_argument(
            f"--{option.name}",
            type=Path if needed else option.type,
            nargs="+" if option.name == "photos" else None,
            required=needed,
            default=None if needed else option.default,
            metavar="FOLDER" if needed else None,
            help=option.metadata["help"] + ("" if needed else " (default: %(default)s)"),
        )
    return Options(**vars(parser.parse_args(arguments)))


def generate(options: Options) -> None:
    """Draw every missing shard and the preview sheet; InputError for options that cannot work."""
    check(options)
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
            with shard_writer(path) as add:
                for _ in shard:
                    result = next(results)
                    add(result)
                    outcomes[result.skipped or "drawn"] += 1
                    progress.update()
    write_preview(paths, options.out / "preview.jpg")
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "nothing to do")


def check(options: Options) -> None:
    if options.teacher not in TEACHERS:
        raise InputError(f"There is no teacher '{options.teacher}'; choose one of: {', '.join(TEACHERS)}.")
    if options.style not in STYLES:
        raise InputError(f"There is no drawn style '{options.style}'; choose one of: {', '.join(STYLES)}.")
    for name, least in (("count", 0), ("size", 128), ("seed", 0), ("workers", 1), ("pairs_per_shard", 1)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} is {getattr(options, name)}; it must be at least {least}.")


def list_jobs(options: Options) -> list[Job]:
    """Photos in the order of folders and names: evenly spaced ones for a small count, repeated for a large one."""
    photos = []
    for folder in options.photos:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give --photos a folder of pictures.")
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        photos += [(path, path.relative_to(folder).as_posix()) for path in found]
    if not photos:
        folders, suffixes = ", ".join(map(str, options.photos)), ", ".join(sorted(PHOTO_SUFFIXES))
        raise InputError(f"No pictures ({suffixes}) in {folders}; give --photos other folders.")
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
            raise InputError(f"{options.out} holds pairs of other options or photos; give --out another folder.")
        note.write_text(json.dumps(settings, indent=1))
    except OSError as error:
        raise InputError(f"Cannot write to {options.out} ({error.strerror}); give --out another folder.") from error


@contextmanager
def drawing_processes(workers: int, jobs: list[Job]) -> Iterator[Iterator[Result]]:
    """Results in the order of `jobs`; one worker draws in this process."""
    if workers == 1 or len(jobs) < 2:
        yield map(draw_pair, jobs)
        return
    # Each process draws alone on its core; the libraries read these when a spawned process loads them.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs)), _start_worker) as pool:
        yield pool.imap(draw_pair, jobs)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    cv2.setNumThreads(1)


def draw_pair(job: Job) -> Result:
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
    photo, aligned = frame_portrait(rgb, landmarks, job.size, rng)
    if job.variant % 2:
        photo, aligned = mirror(photo, aligned)
    drawing = draw_full(photo, STYLES[job.style], parse_portrait(photo, aligned))
    degree = round(float(rng.uniform(*PARTIAL_DEGREES)), 4)
    facts = {
        "source": job.source,
        "style": job.style,
        "degree": degree,
        "seed": job.seed,
        "variant": job.variant,
        "landmarks": np.round(aligned, 2).tolist(),
        # Where the features are in the full drawing; in the partial one they are `degree` of the way there.
        "landmarks_full": np.round(drawing.landmarks_at(1.0), 2).tolist(),
    }
    members = {
        "photo.jpg": encode(photo),
        "full.jpg": encode(drawing.full),
        "partial.jpg": encode(drawing.at_degree(degree)),
        "json": json.dumps(facts).encode(),
    }
    return Result(key, members)


def frame_portrait(
    rgb: np.ndarray, landmarks: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Align with a little variety: of a few random places and tilts, the one that shows most without leaving the
    photo, zoomed in a little."""
    framings = []
    for _ in range(FRAMING_TRIES):
        centre = tuple(np.asarray(CENTRE) + rng.uniform(-1, 1, 2) * CENTRE_JITTER)
        angle = rng.normal(0, ANGLE_JITTER)
        fits = (
            fraction
            for fraction in EYE_FRACTIONS
            if overrun(alignment(landmarks, size, fraction, centre, angle), rgb.shape, size) <= MAX_OVERRUN
        )
        framings.append((float(next(fits, EYE_FRACTIONS[-1])), centre, angle))
    fraction, centre, angle = min(framings)
    return align_portrait(rgb, landmarks, size, fraction * rng.uniform(1, ZOOM_JITTER), centre, angle)


# Where each landmark goes when left and right change places: jaw, brows, nose, eyes, lips.
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


def mirror(rgb: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flipped = landmarks[MIRRORED] * np.float32([-1, 1]) + np.float32([rgb.shape[1] - 1, 0])
    return np.ascontiguousarray(rgb[:, ::-1]), flipped


def encode(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), JPEG_FLAGS)[1].tobytes()


@contextmanager
def shard_writer(path: Path):
    """A function that adds results to the shard; the file gets its name when all are in."""
    temporary = path.with_suffix(".tar.part")
    try:
        with tarfile.open(temporary, "w") as tar:
            yield lambda result: _add(tar, result)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, result: Result) -> None:
    for suffix, data in result.members.items():
        member = tarfile.TarInfo(f"{result.key}.{suffix}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def write_preview(shards: list[Path], path: Path) -> None:
    """A sheet of photo, full and partial drawing for the first pairs of each shard."""
    rows: list[np.ndarray] = []
    for shard in shards:
        rows += _preview_rows(shard, -(-PREVIEW_ROWS // len(shards)))
    if rows:
        temporary = path.with_suffix(".part.jpg")
        cv2.imwrite(str(temporary), np.vstack(rows[:PREVIEW_ROWS]))
        temporary.replace(path)


def _preview_rows(shard: Path, count: int) -> list[np.ndarray]:
    rows = []
    with tarfile.open(shard) as tar:
        keys = [name.removesuffix(".json") for name in tar.getnames() if name.endswith(".json")]
        for key in keys[:count]:
            files = [tar.extractfile(f"{key}.{name}.jpg").read() for name in ("photo", "full", "partial")]
            pictures = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in files]
            small = [cv2.resize(p, (PREVIEW_SIZE, PREVIEW_SIZE), interpolation=cv2.INTER_AREA) for p in pictures]
            rows.append(np.hstack(small))
    return rows


if __name__ == "__main__":
    sys.exit(main())
