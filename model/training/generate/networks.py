"""Pairs of a teacher network: its options, and drawing in batches, which threads encode beside it."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

from model.common.devices import pick_device, pick_precision
from model.common.errors import InputError
from model.training.data.shards import Result
from model.training.data.teacher_pairs import encode_sample, one_of
from model.training.generate.options import NetworkData
from model.training.generate.write import fill_folder
from model.training.teachers.base import NetworkTeacher
from model.training.teachers.variants import load_teacher

# Options that don't matter to the pairs, or are noted as what came of them. The batch changes no more than last bits.
OF_NO_CONSEQUENCE = ("out", "batch", "device", "precision")


def generate_samples(options: NetworkData) -> Counter[str]:
    """Draw every missing shard; returns how many pairs were drawn. Raises InputError before anything is written."""
    options.check()
    device = pick_device(options.device)
    dtype = torch.bfloat16 if pick_precision(options.precision, device) == torch.bfloat16 else torch.float32
    teacher = load_teacher(options.as_training(), device, dtype)
    settings = _describe(options, teacher) | {"arithmetic": f"{device.type} {str(dtype).removeprefix('torch.')}"}
    return fill_folder(options.out, settings, lambda shards: _draw_shards(options, teacher, shards))


def _describe(options: NetworkData, teacher: NetworkTeacher) -> dict:
    """What tells these pairs from others, for `fill_folder`. Files may move, but not change."""
    settings = asdict(options) | {"config": options.as_training().config}
    helpers = {"style_encoder": teacher.style_encoder, "faceparsing": teacher.parser, "direction": teacher.directions}
    for option_name in [name for name in settings if name.endswith("_path")]:
        path, name = settings.pop(option_name), option_name.removesuffix("_path")
        if helpers.get(name, teacher) is not None:
            with Path(path).open("rb") as file:
                settings[name] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return {name: value for name, value in settings.items() if name not in OF_NO_CONSEQUENCE}


def _draw_shards(options: NetworkData, teacher: NetworkTeacher, shards: list[range]) -> Iterator[Result]:
    """The pairs of these numbers, in order; one batch is encoded while the next one is drawn."""
    draw, batch = teacher.sample_features if options.pretrain else teacher.sample, options.as_training().batch
    # Batches begin with their shard, so that none depends on which shards are missing, or whose they are.
    batches = [shard[i : i + batch] for shard in shards for i in range(0, len(shard), batch)]
    threads = min(batch, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

    def encode(sample, number: int) -> Result:
        facts = {"teacher": options.teacher, "seed": options.seed, "number": number}
        return Result(f"{number:06d}", encode_sample(sample, teacher.styles, facts))

    started = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for numbers in batches:
            try:
                sample = draw(numbers, None)
            except torch.OutOfMemoryError as error:
                raise InputError(f"The memory is too small for --batch {len(numbers)}: give a smaller one.") from error
            finished = started
            started = [pool.submit(encode, one_of(sample, i), number) for i, number in enumerate(numbers)]
            yield from (future.result() for future in finished)
        yield from (future.result() for future in started)
