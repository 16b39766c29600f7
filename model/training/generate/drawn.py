"""Pairs of the drawn teacher: a photo, its cartoon at degree 1, and one at a degree in between."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from model.training.data.shards import Result, encode_pair
from model.training.drawn.geometry import frame_portrait, mirror
from model.training.drawn.parsing import parse_portrait
from model.training.drawn.styles import DrawnStyle, load_style
from model.training.drawn.teacher import draw_full
from model.training.generate.options import DrawnData
from model.training.generate.photos import Job, check_names, fill_from_photos, results_of

PARTIAL_DEGREES = (0.1, 0.9)  # range of the degree in between: closer to 0 or 1 it would tell nothing new


def generate_drawn(options: DrawnData) -> Counter[str]:
    """Draw every missing shard; returns how many pairs were drawn or skipped, by outcome. Raises InputError."""
    options.check()
    styles = [load_style(name) for name in options.style]
    check_names(styles, "--style")
    described = [vars(style) | {"shape": vars(style.shape)} for style in styles]
    return fill_from_photos(options, styles, described, draw)


def draw(job: Job) -> list[Result]:
    """Read one photo, and draw it in each style."""
    return results_of(job, draw_pairs)


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
