"""Frames to be painted over: PNG files with a note of where they are from, and what is read when they are painted.

Programs for painting may drop the note; what is known without it is the size.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from model.common.errors import InputError
from model.common.files import write_whole
from model.faces.track import thumbnail_of
from model.media.files import open_frames
from model.styles.base import Crop

NOTE = "keyframe"  # of the text in a PNG file
UNLIKE = 10.0  # levels by which two thumbnails differ on average from where on they are not of one frame


@dataclass(frozen=True)
class Note:
    """Where a picture is from: name of the clip, number and time of the frame in seconds, and its thumbnail."""

    clip: str
    frame: int
    time: float
    thumbnail: list[list[int]]

    @classmethod
    def of(cls, clip: str, frame: int, crop: Crop) -> Self:
        return cls(clip, frame, float(crop.time or 0), thumbnail_of(crop.rgb).astype(int).tolist())

    def is_of(self, rgb: np.ndarray) -> bool:
        """Whether a crop looks as the one that the note is of."""
        own, now = np.array(self.thumbnail), thumbnail_of(rgb).astype(int)
        return own.shape == now.shape and float(np.abs(own - now).mean()) < UNLIKE


def write_crop(path: Path, crop: Crop, note: Note) -> None:
    """Write the picture of a crop, to be painted over, with its note."""
    text, written = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text(NOTE, json.dumps(vars(note)))
    Image.fromarray(crop.rgb).save(written, "PNG", pnginfo=text)
    write_whole(path, written.getvalue())


def read_note(path: Path) -> Note | None:
    """The note in a picture; None where there is none any more."""
    try:
        with Image.open(path) as image:
            return Note(**json.loads(image.info[NOTE]))
    except (OSError, ValueError, LookupError, TypeError, SyntaxError):
        return None


def is_changed(path: Path, crop: Crop) -> bool:
    """Whether a file is no more, or not, what `write_crop` writes: somebody may have painted it."""
    return path.exists() and not np.array_equal(read_painting(path), crop.rgb)


def read_painting(path: Path) -> np.ndarray:
    """A painted frame, RGB uint8 `[H, W, 3]`. InputError for anything but a picture."""
    with open_frames(path) as source:
        if source.is_video:
            raise InputError(f"{path} is a video: give a picture, painted over an exported frame.")
        return source.first.rgb


def read_cover(path: Path) -> np.ndarray | None:
    """How much a painted frame covers, uint8 `[H, W]`, upright; None where all of it is opaque."""
    try:
        with Image.open(path) as image:
            if image.has_transparency_data:
                return np.array(ImageOps.exif_transpose(image).convert("RGBA").getchannel("A"))
    except (OSError, ValueError, SyntaxError):
        pass  # kinds of pictures that Pillow does not open have none
    return None


def laid_over(picture: np.ndarray, cover: np.ndarray | None, rgb: np.ndarray) -> np.ndarray:
    """A layer of paint, as it is over white, on the frame that it was painted for: RGB uint8 `[H, W, 3]`."""
    if cover is None:
        return picture
    bare = 1 - cover[..., None].astype(np.float32) / 255
    return np.clip(picture - bare * (255 - rgb.astype(np.float32)), 0, 255).round().astype(np.uint8)


def check_painting(path: Path, picture: np.ndarray, number: int, crop: Crop, advice: str = "") -> None:
    """Raise InputError for a painting of another frame or clip than the crop of frame `number` is of; `advice` says
    what to do about it."""
    options = "" if advice else " with these options"
    advice = advice or f"paint over what --export_keyframe {number} writes"
    note = read_note(path)
    if note is not None and note.frame != number:
        raise InputError(f"{path} was painted over frame {note.frame}, not {number}: write {note.frame}={path}.")
    if picture.shape != crop.rgb.shape:
        (height, width), (own_height, own_width) = crop.rgb.shape[:2], picture.shape[:2]
        there = f"frame {number} is {width} x {height} pixels large{options}"
        raise InputError(f"{path} has {own_width} x {own_height} pixels, but {there}: {advice}, and keep its size.")
    if note is not None and not note.is_of(crop.rgb):
        raise InputError(f"{path} was painted over a frame of another clip ({note.clip}) or crop: {advice}.")
