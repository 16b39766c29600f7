"""Fill a folder with shards of pairs and a preview: resumable, and shared out over the processes of `torchrun`."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor
from tqdm import tqdm

from model.common import cli
from model.common.errors import InputError
from model.common.files import alone, write_whole
from model.common.tensors import image_grid, to_tensor
from model.training.data.shards import PICTURES, Result, StoredPair, encode_picture, index_shard, write_shard
from model.training.data.teacher_pairs import decode_sample

Draw = Callable[[list[range]], Iterator[Result]]  # draws the pairs of these numbers, in order: a range for each shard
ROWS = 12  # pairs in a preview, spread over the shards


def fill_folder(folder: Path, settings: dict, draw: Draw) -> Counter[str]:
    """Draw the missing shards of this process, and the preview once all are there; returns how many pairs were drawn or
    skipped, by outcome. Raises InputError for a folder with pairs of other settings, and when it can't be written.

    Shard s is for process s modulo their number, so the result is the same however many share the work. `settings`, all
    that the pairs depend on, with `count` and `pairs_per_shard`, are noted in options.json.
    """
    rank, processes = cli.processes()
    with nullcontext() if rank else alone(folder / ".lock", str(folder)):
        return _fill(folder, settings, draw, rank, processes)


def _fill(folder: Path, settings: dict, draw: Draw, rank: int, processes: int) -> Counter[str]:
    _note_settings(folder, settings, writes=rank == 0)
    count, each = settings["count"], settings["pairs_per_shard"]
    starts = range(0, count, each)
    shards = {folder / f"pairs-{s:05d}.tar": range(start, min(start + each, count)) for s, start in enumerate(starts)}
    missing = {path for path in shards if not path.exists()}
    if rank == 0:
        print(f"{count} pairs in {len(shards)} shards, {len(shards) - len(missing)} of them finished")
    own = {path: shards[path] for path in list(shards)[rank::processes] if path in missing}
    try:
        outcomes = _write_shards(own, draw, is_first=rank == 0)
    except InputError as error:
        if rank:  # what went wrong here need not go wrong in the first process, which speaks for all
            cli.say(f"process {rank}: {error}", all_processes=True)
        raise
    # Whoever finishes last sees all shards; should several, they write the same.
    if all(path.exists() for path in shards) and (grid := preview_grid(list(shards))) is not None:
        write_whole(folder / "preview.jpg", encode_picture(grid))
    return outcomes


def _note_settings(folder: Path, settings: dict, writes: bool) -> None:
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
        write_whole(note, json.dumps(settings, indent=1))


def _write_shards(shards: dict[Path, range], draw: Draw, is_first: bool) -> Counter[str]:
    """Draw and write `shards`; the first process shows how far it is. Returns how many pairs there are, by outcome."""
    outcomes, total = Counter(), sum(map(len, shards.values()))
    bar = tqdm(total=total, unit="pair", disable=not is_first or not shards)
    with closing(draw(list(shards.values()))) as results, bar:

        def members(count: int) -> Iterator[tuple[str, dict]]:
            for result in islice(results, count):
                outcomes[result.skipped or "drawn"] += 1
                bar.update()
                yield result.key, result.parts

        for path, numbers in shards.items():
            write_shard(path, members(len(numbers)))
    return outcomes


def preview_grid(shards: list[Path]) -> np.ndarray | None:
    """A row for each of the first pairs of each shard, RGB uint8; None when the shards are empty."""
    each = -(-ROWS // max(len(shards), 1))
    pairs = [pair for shard in shards[:ROWS] for pair in index_shard(shard)[:each]]
    return np.vstack([image_grid(_columns_of(pair)) for pair in pairs[:ROWS]]) if pairs else None


def _columns_of(pair: StoredPair) -> list[Tensor]:
    """Pictures `[1, 3, H, W]` in [-1, 1] of one pair: of a stylised one with parsing also its classes in colours."""
    if "full.jpg" in pair.parts:
        return [to_tensor(pair.picture(name))[None] for name in PICTURES if f"{name}.jpg" in pair.parts]
    sample = decode_sample(pair, [pair.style])
    if pair.kind == "features":
        return [sample.photo, sample.skip]
    return [sample.photo, sample.cartoon] + ([] if sample.logits is None else [class_colours(sample.logits)])


def class_colours(logits: Tensor) -> Tensor:
    """The likeliest class of each pixel in `logits [..., C, h, w]` as a colour, `[..., 3, h, w]`; class 0 is black."""
    classes = logits.shape[-3]
    hsv = np.full((1, classes, 3), (0, 160, 230), np.uint8)
    hsv[0, :, 0] = np.arange(classes) * 180 // classes  # OpenCV counts a half turn of the colour circle
    hsv[0, 0, 2] = 0
    return to_tensor(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0][logits.argmax(-3).numpy()])
