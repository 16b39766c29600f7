"""One sheet of a portrait in every style that works without anything to be fetched."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from model.common.hub import CHECKPOINTS
from model.faces.detect import search_face
from model.inference.options import Options
from model.inference.stylizer import Stylizer
from model.media.files import PhotoSource, open_sink
from model.media.frames import Frame, FrameSource
from model.styles.base import Preset
from model.styles.catalog import PRESETS, preset_with

PADDING = (112, 112, 112, 148)  # around the eyes of each picture
CELL, COLUMNS, GAP, LABEL = (448, 520), 5, 12, 44  # width and height of a picture, and of what is around and below it
PAPER, INK, FAINT = (250, 248, 244), (32, 30, 28), (120, 114, 106)


def offline() -> list[tuple[Preset, list[str]]]:
    """The presets whose files are there, with their looks; of those of one name, the first."""
    found = []
    for preset in PRESETS:
        names = [name for name in preset.style_names if preset_with(name) == preset.name]
        if names and all((CHECKPOINTS / file).is_file() for file in preset.files):
            found.append((preset, names))
    return found


def draw_sheet(source: FrameSource, name: str, options: Options) -> Path:
    """Write NAME_sheet.jpg: the first frame with a face, in every style. Returns its path."""
    frame, landmarks = search_face(source)
    path = Path(options.output_path) / f"{name}_sheet.jpg"
    pictures = list(_pictures(frame.rgb, landmarks, options))
    with open_sink(path, PhotoSource(source.path, frame.rgb)) as sink:
        sink.write(Frame(arranged(pictures)))
    return path


def _pictures(rgb: np.ndarray, landmarks: np.ndarray, options: Options) -> Iterator[tuple[str, str, np.ndarray]]:
    """Each look: its name, what it is one of, and the picture."""
    styles = offline()
    with tqdm(total=sum(len(names) for _, names in styles), unit="style", desc="sheet") as bar:
        for preset, names in styles:
            device = "cpu" if options.cpu else options.device
            stylizer = Stylizer.from_preset(preset.source, device=device, precision=options.precision)
            portrait = stylizer.fit(rgb, PADDING, landmarks=landmarks)
            if preset is styles[0][0]:
                yield "photo", "", portrait.crop.show(rgb)
            for name in names:
                bar.set_postfix_str(name)
                (picture,) = stylizer.render([rgb], portrait, style=name)
                yield name, preset.name, picture
                bar.update()


def arranged(pictures: list[tuple[str, str, np.ndarray]]) -> np.ndarray:
    """Pictures in rows with their names below: RGB uint8."""
    (width, height), rows = CELL, -(-len(pictures) // COLUMNS)
    columns = min(COLUMNS, len(pictures))
    size = columns * (width + GAP) + GAP, rows * (height + LABEL) + GAP
    sheet = Image.new("RGB", size, PAPER)
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(24), ImageFont.load_default(17)
    for number, (name, kind, rgb) in enumerate(pictures):
        left, top = GAP + number % COLUMNS * (width + GAP), GAP + number // COLUMNS * (height + LABEL)
        sheet.paste(Image.fromarray(_filling(rgb, width, height)), (left, top))
        pen.text((left + 2, top + height + 6), name, INK, font)
        pen.text((left + width - 2, top + height + 12), kind, FAINT, small, anchor="ra")
    return np.asarray(sheet)


def _filling(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture at this size, its middle where it is of another shape."""
    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    size = max(round(scale * rgb.shape[1]), width), max(round(scale * rgb.shape[0]), height)
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 3
    return resized[top : top + height, left : left + width]
