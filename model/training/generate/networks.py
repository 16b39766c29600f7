"""Pairs of a teacher network: drawn in batches, encoded by threads beside it."""

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
from model.training.data.sampling import Sample
from model.training.data.shards import Result
from model.training.data.teacher_pairs import encode_sample, one_of
from model.training.generate.options import NetworkData, ToonifyData
from model.training.generate.write import fill_folder
from model.training.teachers.base import NetworkTeacher
from model.training.teachers.load import load_dualstyle_teacher, load_toonify_teacher

OF_NO_CONSEQUENCE = ("out", "batch", "device", "precision")
"""Options that the pairs don't depend on, or that are noted as what came of them; files are noted by their contents.
The batch is one: it changes the last bits of the results at most."""


def generate_samples(options: NetworkData) -> Counter[str]:
    """Draw every missing shard; returns how many pairs were drawn.

    Raises InputError for options and files that cannot work, before anything is written.
    """
    options.check()
    device = pick_device(options.device)
    dtype = torch.bfloat16 if pick_precision(options.precision, device) == torch.bfloat16 else torch.float32
    load = load_toonify_teacher if isinstance(options, ToonifyData) else load_dualstyle_teacher
    teacher = load(options.as_training(), device, dtype)
    settings = describe(options, teacher) | {"arithmetic": f"{device.type} {str(dtype).removeprefix('torch.')}"}
    return fill_folder(options.out, settings, lambda shards: draw_shards(options, teacher, shards))


def describe(options: NetworkData, teacher: NetworkTeacher) -> dict:
    """What tells these pairs from others, for `fill_folder`. Files may move, but not change."""
    settings = asdict(options) | {"config": options.as_training().config}
    parts = {
        "style_encoder_path": teacher.style_encoder,
        "faceparsing_path": teacher.parser,
        "direction_path": teacher.directions,
    }
    for name in [name for name in settings if name.endswith("_path")]:
        path = settings.pop(name)
        if parts.get(name, teacher) is not None:
            with Path(path).open("rb") as file:
                settings[name.removesuffix("_path")] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return {name: value for name, value in settings.items() if name not in OF_NO_CONSEQUENCE}


def draw_shards(options: NetworkData, teacher: NetworkTeacher, shards: list[range]) -> Iterator[Result]:
    """The pairs of these numbers, in order; one batch is encoded while the next one is drawn."""
    batch = options.as_training().batch
    # Batches begin with their shard, so that none depends on which shards are missing, or whose they are.
    batches = [shard[i : i + batch] for shard in shards for i in range(0, len(shard), batch)]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    started = []
    with ThreadPoolExecutor(max(1, min(batch, (os.cpu_count() or 1) // processes))) as pool:
        for numbers in batches:
            sample = draw_batch(options, teacher, numbers)
            encoded, started = started, [
                pool.submit(encode, options, teacher.styles, one_of(sample, i), number)
                for i, number in enumerate(numbers)
            ]
            yield from (future.result() for future in encoded)
        yield from (future.result() for future in started)


def draw_batch(options: NetworkData, teacher: NetworkTeacher, numbers: range) -> Sample:
    """Samples to be stored. InputError when the device's memory is too small."""
    try:
        return (teacher.sample_features if options.pretrain else teacher.sample)(numbers, None)
    except torch.OutOfMemoryError as error:
        raise InputError(f"The memory is too small for --batch {len(numbers)}: give a smaller one.") from error


def encode(options: NetworkData, styles: list[str], sample: Sample, number: int) -> Result:
    """One pair of a shard."""
    facts = {"teacher": options.teacher, "seed": options.seed, "number": number}
    return Result(f"{number:06d}", encode_sample(sample, styles, facts))
