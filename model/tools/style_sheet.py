"""Draw a sheet of a model's styles: one row for each, with the sample portrait and what becomes of it by degree.

    python -m model.tools.style_sheet --model starter --out data/starter_styles.jpg
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.inference.stylizer import Stylizer
from model.media.files import Frame, open_sink
from model.media.photos import PhotoSource
from model.media.sample import SAMPLE_NAME, sample_portrait

DEGREES = (0.25, 0.5, 0.75, 1.0)
WIDTH, LABEL_HEIGHT = 256, 28  # of one picture, and of the label below it, in pixels


@dataclass
class Options:
    """Options of the command line."""

    model: str = option("starter", "preset or file of a VToonify-D")
    out: Path = option(Path("styles.jpg"), "the sheet, .jpg or .png", metavar="FILE")


def style_sheet(stylizer: Stylizer, rgb: np.ndarray) -> np.ndarray:
    """RGB uint8 sheet of the photo `[H, W, 3]` in every style; columns: photo, then DEGREES.

    Raises InputError for a model without styles, and for a photo without a face.
    """
    if "degree" not in stylizer.style.uses:
        raise InputError(f"{stylizer.style.name} has a single style and no degrees: give a D model.")
    portrait = stylizer.fit(rgb)
    photo = labelled(portrait.crop.trim(portrait.crop.apply(rgb), factor=1), "photo")
    rows = []
    for style in stylizer.style.exemplar_names:
        drawn = (next(stylizer.render([rgb], portrait, style=style, degree=degree)) for degree in DEGREES)
        labels = (f"{style} {degree:g}" for degree in DEGREES)
        rows.append(np.hstack([photo, *map(labelled, drawn, labels)]))
    return np.vstack(rows)


def labelled(rgb: np.ndarray, text: str) -> np.ndarray:
    """A picture at WIDTH with `text` below it in black on white."""
    height = round(WIDTH * rgb.shape[0] / rgb.shape[1])
    smaller = height < rgb.shape[0]
    picture = cv2.resize(rgb, (WIDTH, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    label = np.full((LABEL_HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.putText(label, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([picture, label])


def main() -> None:
    """Write the sheet."""
    options = cli.parse(Options, __doc__)
    rgb = sample_portrait()
    with open_sink(options.out, PhotoSource(Path(SAMPLE_NAME), rgb)) as sink:
        sink.write(Frame(style_sheet(Stylizer.from_preset(options.model), rgb)))


if __name__ == "__main__":
    cli.run(main)
