"""Draw a sheet of a model's styles: one row for each, with the sample portrait and what becomes of it by degree.

python -m model.tools.style_sheet --model starter --out data/starter_styles.jpg"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.inference.stylizer import Stylizer
from model.media.files import Frame, PhotoSource, open_sink
from model.media.sample import SAMPLE_NAME, sample_portrait

DEGREES = (0.25, 0.5, 0.75, 1.0)
WIDTH, LABEL_HEIGHT = 256, 28  # of one picture, and of the label below it, in pixels


@dataclass
class Options:
    model: str = option("starter", "preset or file of a VToonify-D")
    out: Path = option(Path("styles.jpg"), "the sheet, .jpg or .png", metavar="FILE")


def labelled(rgb: np.ndarray, text: str) -> np.ndarray:
    """A picture at WIDTH with `text` below it in black on white."""
    height = round(WIDTH * rgb.shape[0] / rgb.shape[1])
    interpolation = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_CUBIC
    label = np.full((LABEL_HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.putText(label, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([cv2.resize(rgb, (WIDTH, height), interpolation=interpolation), label])


def main() -> None:
    options = cli.parse(Options, __doc__)
    rgb, stylizer = sample_portrait(), Stylizer.from_preset(options.model)
    if "degree" not in stylizer.style.uses:
        raise InputError(f"{stylizer.style.name} has a single style and no degrees: give a D model.")
    portrait = stylizer.fit(rgb)
    rows = []
    for style in stylizer.style.exemplar_names:
        row = [labelled(portrait.crop.show(rgb), "photo")]
        for degree in DEGREES:
            (cartoon,) = stylizer.render([rgb], portrait, style=style, degree=degree)
            row.append(labelled(cartoon, f"{style} {degree:g}"))
        rows.append(np.hstack(row))
    with open_sink(options.out, PhotoSource(Path(SAMPLE_NAME), rgb)) as sink:
        sink.write(Frame(np.vstack(rows)))


if __name__ == "__main__":
    cli.run(main)
