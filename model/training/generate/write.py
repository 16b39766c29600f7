"""Fill a folder with shards of pairs: resumable, and shared out over the processes of `torchrun`."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
from tqdm import tqdm

from model.common.errors import InputError
from model.common.weight_files import write_whole
from model.training.data.shards import Result, write_shard
from model.training.generate.preview import preview_sheet

Draw = Callable[[list[range]], Iterator[Result]]
"""Draws the pairs of these numbers, in order: one range for each shard."""


@dataclass(frozen=True)
class Shard:
    """A shard that is to be: its file, and the numbers of its pairs."""

    path: Path
    numbers: range


def plan(folder: Path, count: int, pairs_per_shard: int) -> list[Shard]:
    """All shards of `count` pairs; the last one may be smaller."""
    starts = range(0, count, pairs_per_shard)
    return [
        Shard(folder / f"pairs-{place:05d}.tar", range(start, min(start + pairs_per_shard, count)))
        for place, start in enumerate(starts)
    ]


def share() -> tuple[int, int]:
    """Number of this process and how many there are, as `torchrun` says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def fill_folder(folder: Path, settings: dict, draw: Draw) -> Counter[str]:
    """Draw the missing shards of this process, and the preview sheet once all are there.

    Shard s is for process s modulo their number, so the result is the same however many share the work, and they need
    not talk to each other.

    Args:
        settings: what the pairs depend on, with `count` and `pairs_per_shard`. They are noted in options.json.

    Returns how many pairs were drawn or skipped, by outcome. Raises InputError for a folder with pairs of other
    settings, and when it can't be written.
    """
    rank, processes = share()
    note_settings(folder, settings, writes=rank == 0)
    shards = plan(folder, settings["count"], settings["pairs_per_shard"])
    missing = [shard for shard in shards if not shard.path.exists()]
    if rank == 0:
        print(f"{settings['count']} pairs in {len(shards)} shards, {len(shards) - len(missing)} of them finished")
    own = [shard for shard in shards[rank::processes] if shard in missing]

    outcomes = write_shards(own, draw, rank)
    # Whoever finishes last sees all shards; should several, they write the same.
    if all(shard.path.exists() for shard in shards):
        write_preview([shard.path for shard in shards], folder / "preview.jpg")
    return outcomes


def write_shards(shards: Sequence[Shard], draw: Draw, rank: int) -> Counter[str]:
    """Draw and write `shards`; the first process shows how far it is. Returns how many pairs there are, by outcome."""
    outcomes: Counter[str] = Counter()
    total = sum(len(shard.numbers) for shard in shards)
    with (
        closing(draw([shard.numbers for shard in shards])) as results,
        tqdm(total=total, unit="pair", disable=rank != 0 or not shards) as progress,
    ):
        try:
            for shard in shards:
                write_shard(shard.path, _counted(islice(results, len(shard.numbers)), outcomes, progress))
        except InputError as error:
            if rank != 0:  # what went wrong here need not go wrong in the first process, which speaks for all
                print(f"process {rank}: {error}", file=sys.stderr)
            raise
    return outcomes


def _counted(results: Iterator[Result], outcomes: Counter[str], progress: tqdm) -> Iterator[tuple[str, dict]]:
    for result in results:
        outcomes[result.skipped or "drawn"] += 1
        progress.update()
        yield result.key, result.parts


def note_settings(folder: Path, settings: dict, writes: bool) -> None:
    """Make the folder and note what its shards are made of, so that a later run cannot mix in others."""
    note = folder / "options.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(note.read_text()) if note.exists() else None
    except OSError as error:
        raise InputError(f"Cannot write to {folder} ({error.strerror}): give --out another folder.") from error
    except ValueError as error:
        raise InputError(f"{note} is damaged: give --out another folder.") from error
    if known is not None and known != settings:
        differing = next(name for name in settings | known if settings.get(name) != known.get(name))
        raise InputError(f"{folder} holds pairs of other options ({differing}): give --out another folder.")
    if known is None and writes:
        write_whole(note, lambda partial: partial.write_text(json.dumps(settings, indent=1)))


def write_preview(shards: Sequence[Path], path: Path) -> None:
    """Write a sheet of the first pairs, unless there are none."""
    sheet = preview_sheet(shards)
    if sheet is not None:
        data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes()
        write_whole(path, lambda partial: partial.write_bytes(data))
