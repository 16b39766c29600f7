"""Write training pairs to tar shards: photo and cartoon, with all that training needs to know about them.

    python generate_data.py --teacher drawn --style film --photos FOLDER --out pairs
    python generate_data.py --teacher toonify --finetunegan_path G1.pt --count 10000 --out pairs
    python generate_data.py --teacher dualstyle --stylegan_path generator.pt --count 10000 --out pairs
    python generate_data.py --teacher dualstyle --pretrain --count 10000 --out features

The drawn teacher makes cartoons of your photos (at degree 1 and at one in between); the networks make photos and
cartoons from random codes, or with --pretrain what encoder pre-training matches. A sheet of samples, preview.jpg, is
written beside the shards. The same options give the same shards; a run that was stopped goes on with those that are
missing. Under `torchrun --nproc_per_node=8`, the same commands share the shards out over several processes or GPUs.
"""

import zlib
from collections import Counter

import numpy as np

from model import cli
from model.errors import InputError
from model.inference.face import find_landmarks
from model.inference.photos import read_photo
from model.training.drawn.jobs import Job, describe, draw_all, list_jobs
from model.training.drawn.pair import draw_pair
from model.training.drawn.styles import STYLES
from model.training.generate import Result, fill_folder, share
from model.training.generate_options import BY_TEACHER, DrawnData, GenerateOptions
from model.training.generate_samples import generate_samples
from model.training.shards import encode_pair


def chosen_options() -> type[GenerateOptions]:
    """The options of the teacher that the command line names."""
    parser = cli.OneLineParser(add_help=False)
    parser.add_argument("--teacher", choices=BY_TEACHER, default=GenerateOptions.teacher)
    return BY_TEACHER[parser.parse_known_args()[0].teacher]


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
        "kind": "drawn",
        "source": job.source,
        "style": job.style,
        "degree": pair.degree,
        "seed": job.seed,
        "variant": job.variant,
        "landmarks": np.round(pair.landmarks, 2).tolist(),
        "landmarks_full": np.round(pair.landmarks_full, 2).tolist(),
    }
    return Result(key, encode_pair(pair.photo, pair.full, pair.partial, facts))


def generate_drawn(options: DrawnData) -> Counter[str]:
    """Draw every missing shard; returns how many photos were drawn or skipped, by outcome.

    Raises InputError for options that cannot work.
    """
    options.check()
    jobs = list_jobs(options)

    def draw_shards(shards: list[range]):
        return draw_all(draw, [jobs[number] for numbers in shards for number in numbers], options.workers)

    return fill_folder(options.out, describe(options, jobs), draw_shards)


def main() -> None:
    """Parse the command line, draw, and say how many pairs there are."""
    options = cli.parse(chosen_options(), __doc__)
    try:
        outcomes = (generate_drawn if isinstance(options, DrawnData) else generate_samples)(options)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; finished shards are kept, and the same command goes on from them.") from error
    if share()[0] == 0:
        print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "nothing to do")


if __name__ == "__main__":
    cli.run(main)
