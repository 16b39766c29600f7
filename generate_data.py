"""Write training pairs to tar shards: photo and cartoon, with all that training needs to know about them.

    python generate_data.py --teacher drawn --style film --photos FOLDER --out pairs
    python generate_data.py --teacher drawn --style film ink mine.toml --photos FOLDER --out pairs
    python generate_data.py --teacher toonify --finetunegan_path G1.pt --count 10000 --out pairs
    python generate_data.py --teacher dualstyle --stylegan_path generator.pt --count 10000 --out pairs
    python generate_data.py --teacher dualstyle --pretrain --count 10000 --out features

The drawn teacher makes cartoons of your photos (at degree 1 and at one in between), each in every style; the networks
make photos and cartoons from random codes, or with --pretrain what encoder pre-training matches. A sheet of samples,
preview.jpg, is written beside the shards. The same options give the same shards; a run that was stopped goes on with
those that are missing. Under `torchrun --nproc_per_node=8`, the same commands share the shards out over several
processes or GPUs.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from model.common import cli
from model.common.errors import InputError
from model.faces.detect import find_landmarks
from model.media.photos import read_photo
from model.training.data.shards import Result, encode_pair
from model.training.drawn.jobs import Job, describe, draw_all, jobs_of, list_jobs
from model.training.drawn.pair import DrawnPair, draw_pairs
from model.training.drawn.styles import DrawnStyle

# Each process of the drawn teacher imports this file: what only the network teachers need is imported there.
if TYPE_CHECKING:
    from model.training.generate.options import DrawnData


def draw(job: Job) -> list[Result]:
    """Read and align one photo, and draw it in each style."""
    keys = job.keys
    try:
        rgb = read_photo(job.path)
    except InputError:
        return [Result(key, {}, "unreadable") for key in keys]
    landmarks = find_landmarks(rgb)
    if landmarks is None:
        return [Result(key, {}, "without a face") for key in keys]
    rng = np.random.default_rng([job.seed, zlib.crc32(job.source.encode()), job.variant])
    pairs = draw_pairs(rgb, landmarks, job.styles, job.size, rng, mirrored=job.variant % 2 == 1)
    return [encode(job, *parts) for parts in zip(keys, job.styles, pairs, strict=True)]


def encode(job: Job, key: str, style: DrawnStyle, pair: DrawnPair) -> Result:
    """One pair of a shard."""
    facts = {
        "kind": "drawn",
        "source": job.source,
        "style": style.name,
        "degree": pair.degree,
        "seed": job.seed,
        "variant": job.variant,
        "landmarks": np.round(pair.landmarks, 2).tolist(),
        "landmarks_full": np.round(pair.landmarks_full, 2).tolist(),
    }
    return Result(key, encode_pair(pair.photo, pair.full, pair.partial, facts))


def generate_drawn(options: "DrawnData") -> Counter[str]:
    """Draw every missing shard; returns how many pairs were drawn or skipped, by outcome.

    Raises InputError for options that cannot work.
    """
    from model.training.generate.write import fill_folder

    options.check()
    jobs = list_jobs(options)

    def draw_shards(shards: list[range]) -> Iterator[Result]:
        return draw_all(draw, jobs_of(shards, jobs), options.workers)

    return fill_folder(options.out, describe(options, jobs), draw_shards)


def main() -> None:
    """Parse the command line, draw, and say how many pairs there are."""
    from model.training.generate.options import DrawnData, chosen_options
    from model.training.generate.samples import generate_samples
    from model.training.generate.write import share

    options = cli.parse(chosen_options(), __doc__)
    try:
        outcomes = (generate_drawn if isinstance(options, DrawnData) else generate_samples)(options)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; finished shards are kept, and the same command goes on from them.") from error
    if share()[0] == 0:
        print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "nothing to do")


if __name__ == "__main__":
    cli.run(main)
