"""Measure students: how sharp they draw, how near they come, beside the photo's own values and the teacher's.

    python generate_data.py --teacher drawn --style ink --photos OTHERS --out held_out
    python -m model.mobile.table --students a/mobile.pt b/mobile.pt --pairs held_out --learnt pairs --out table.md

`--pairs` are of people that no student has seen, `--learnt` those that they learnt from. Written are a table (Markdown)
and, beside it, a sheet (.jpg): photo, teacher, students.

sharpness   mean size of the Laplacian, grey levels 0-255, of pictures as large as the student draws them; it grows with
            noise, so that the photo's and the teacher's own are told
L1          mean difference to the teacher's picture of the same photo, in levels of 255; of the photo itself, too
FID         (with --inception_path) between the pictures of these people and the teacher's of the others; from 5000
            pictures on it compares with published figures. Without the file the kernel distance (KID, x 1000) of pixel
            features takes its place, which compares within one table only
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, pick_device
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.tensors import image_grid, to_uint8
from model.mobile_unet import MobileUNet
from model.training.data.framed import SIDE, FramedPictures
from model.training.data.shards import StoredPair, encode_picture, index_pairs, list_styles
from model.training.gan import quality

LEAST = 8  # pictures of each side
MOST = 1000  # pairs of each side that are looked at
BATCH, SHEET_ROWS = 8, 8


@dataclass
class Options:
    """Options of the command line."""

    students: list[str] = option([], "students, mobile.pt each", nargs="+", metavar="FILE")
    names: list[str] = option([], "what the table calls them (default: their folders)", nargs="+", metavar="NAME")
    pairs: list[str] = option([], "pairs of people that no student has seen", nargs="+", metavar="SHARDS")
    learnt: list[str] = option([], "pairs that the students learnt from", nargs="+", metavar="SHARDS")
    style: str = option("", "the style, where pairs hold several", metavar="STYLE")
    inception_path: str = option("", "inception-2015-12-05.pt, for FID", metavar="FILE")
    out: str = option("table.md", "table to write; the sheet gets its name with .jpg", metavar="FILE")
    device: str = option("auto", "where to compute", choices=DEVICES)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        for name in ("students", "pairs", "learnt"):
            if not getattr(self, name):
                raise InputError(f"--{name} is missing: give --students, --pairs of other people, and --learnt pairs.")
        if self.names and len(self.names) != len(self.students):
            raise InputError(f"--names has {len(self.names)} names for {len(self.students)} students: give one each.")


@dataclass(frozen=True)
class Row:
    """A line of the table; None where it has no meaning."""

    name: str
    sharpness: float
    l1: float | None
    distance: float | None


def chosen_pairs(sources: Sequence[str], style: str) -> list[StoredPair]:
    """Pairs of one style; InputError where there are several, or too few."""
    pairs = index_pairs(sources)
    styles = list_styles(pairs)
    if not style and len(styles) > 1:
        raise InputError(f"{sources[0]} holds several styles ({', '.join(styles)}): choose one with --style.")
    pairs = [pair for pair in pairs if not style or pair.style == style]
    if len(pairs) < LEAST:
        raise InputError(f"{sources[0]} has {len(pairs)} pairs{f' of {style}' * bool(style)}: give {LEAST} or more.")
    return pairs[:MOST]


def framed(pairs: Sequence[StoredPair], eye_distance: float, part: str) -> Iterator[Tensor]:
    """`x` (photos) or `y` (pictures) of pairs, framed as students see them: batches `[B, 3, 256, 256]`."""
    items = FramedPictures(pairs, eye_distance)
    for numbers in quality.in_batches(len(pairs), BATCH):
        yield torch.stack([items[n][part] for n in numbers])


def measure(options: Options) -> tuple[list[Row], str, np.ndarray]:
    """Rows of the table, what the distance is, and the sheet, RGB uint8. InputError for files that don't fit."""
    options.check()
    device = pick_device(options.device)
    students = [checkpoints.load_mobile(path).eval().requires_grad_(False).to(device) for path in options.students]
    if len({student.config.eye_distance for student in students}) > 1:
        raise InputError("--students have learnt from faces of different sizes: measure them apart.")
    eyes = students[0].config.eye_distance
    others, learnt = (chosen_pairs(sources, options.style) for sources in (options.pairs, options.learnt))
    kind, features, distance = "KID of pixels x 1000", quality.pixel_features, _kernel
    if options.inception_path:
        kind, features = "FID", quality.inception_features(options.inception_path, device)
        distance = quality.frechet_distance
    wanted = quality.features_of((batch.to(device) for batch in framed(learnt, eyes, "y")), features)
    photos, targets = (torch.cat([*framed(others, eyes, part)]) for part in ("x", "y"))
    columns = {"photo": photos, "teacher": targets}
    names = options.names or [Path(path).parent.name or Path(path).stem for path in options.students]
    columns |= {name: drawn(student, photos, device) for name, student in zip(names, students, strict=True)}
    rows = []
    for name, pictures in columns.items():
        found = quality.features_of((batch.to(device) for batch in pictures.split(BATCH)), features)
        l1 = None if name == "teacher" else (pictures - targets).abs().mean().item() * 127.5
        sharp = fmean(quality.sharpness(rgb) for rgb in to_uint8(pictures).numpy())
        rows.append(Row(name, sharp, l1, distance(wanted, found)))
    chosen = np.linspace(0, len(photos) - 1, min(SHEET_ROWS, len(photos))).astype(int)
    return rows, kind, image_grid([pictures[chosen] for pictures in columns.values()], SIDE)


def _kernel(real: np.ndarray, fake: np.ndarray) -> float:
    return 1000 * quality.kernel_distance(real, fake)


@torch.no_grad()
def drawn(student: MobileUNet, photos: Tensor, device: torch.device) -> Tensor:
    """The student's pictures, in [-1, 1], on the CPU."""
    return torch.cat([student(batch.to(device)).clamp(-1, 1).cpu() for batch in photos.split(BATCH)])


def markdown(rows: Sequence[Row], kind: str) -> str:
    """The table."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    lines = [f"| | sharpness | L1 | {kind} |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {r.name} | {number(r.sharpness)} | {number(r.l1)} | {number(r.distance)} |" for r in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, measure, write and print the table."""
    options = cli.parse(Options, __doc__)
    rows, kind, sheet = measure(options)
    table, out = markdown(rows, kind), Path(options.out)
    write_whole(out.with_suffix(".jpg"), encode_picture(sheet))
    write_whole(out, table)
    print(table)


if __name__ == "__main__":
    cli.run(main)
