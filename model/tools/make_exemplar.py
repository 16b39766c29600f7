"""Make a style picture: a photo, painted by a painter, with what the engine of example-based styles needs beside it.

python -m model.tools.make_exemplar face.jpg --painter oil --out checkpoint/exemplars/face.jpg
python style_transfer.py me.jpg --style_image checkpoint/exemplars/face.jpg
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole

JPEG_SUFFIXES, QUALITY = (".jpg", ".jpeg"), 88


@dataclass
class Options:
    photo: list[str] = option([], "a photo of one face, frontal, its mouth closed", nargs=1, bare=True)
    painter: str = option("oil", "a painter, or the .toml file of your own")
    side: int = option(960, "longer side of the picture, in pixels", least=256, most=4096)
    out: Path = option(
        Path("exemplar.jpg"), "the style picture, .jpg; the files beside it are named after it", metavar="FILE"
    )


def main() -> None:
    options = cli.parse(Options, __doc__)
    if not options.photo:
        raise InputError("There is no photo: name the one that is to be painted.")
    if options.out.suffix.lower() not in JPEG_SUFFIXES:
        raise InputError(f"{options.out} is no name for a style picture: give one that ends in .jpg.")
    from model.parsing.matting import matte_around
    from model.styles.example.exemplar import landmarks_for, read_picture
    from model.styles.example.presets import LANDMARKS_SUFFIX, PHOTO_SUFFIX
    from model.styles.painters.subject import Subject
    from model.styles.painters.values import load_painter

    painter, path = load_painter(options.painter), Path(options.photo[0])
    rgb = read_picture(path)
    scale = options.side / max(rgb.shape[:2])
    landmarks = (landmarks_for(path, rgb) + 0.5) * scale - 0.5
    rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture = painter.paint(Subject(rgb, landmarks, matte_around(rgb, landmarks)))
    lines = "".join(f"{x:.1f} {y:.1f}\n" for x, y in landmarks)
    write_whole(options.out.with_name(options.out.stem + LANDMARKS_SUFFIX), lines.encode())
    half = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # guides need no more
    for place, pixels in ((options.out, picture), (options.out.with_name(options.out.stem + PHOTO_SUFFIX), half)):
        write_whole(place, bytes_of(Image.fromarray(pixels).save, "JPEG", quality=QUALITY, optimize=True))
    print(f"{path} → {options.out}")


if __name__ == "__main__":
    cli.run(main)
