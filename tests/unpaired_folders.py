"""Folders of small pictures for trainings without pairs, and what all of these have to refuse."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model.common.errors import InputError

TEAL, TAN = (30, 120, 140), (220, 180, 140)


def write_folders(folder: Path, side: int = 48, count: int = 10) -> tuple[str, str]:
    """Photos: discs of noise on teal; pictures of the style: even discs on tan. Returns both folders."""
    rng = np.random.default_rng(0)
    for name in ("photos", "styles"):
        (folder / name).mkdir()
        for number in range(count):
            picture = np.full((side, side, 3), TEAL if name == "photos" else TAN, np.uint8)
            centre = [int(value) for value in rng.integers(side // 3, 2 * side // 3, 2)]
            cv2.circle(picture, centre, side // 5 + number % 3, TAN if name == "photos" else TEAL, -1)
            if name == "photos":
                picture = np.clip(picture + rng.normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / name / f"{number}.png")
    return str(folder / "photos"), str(folder / "styles")


def assert_wrong_folders_are_told(train, options) -> None:
    """`options(**changes)` are those of a short run in `write_folders`."""
    photos = Path(options().photos)
    (photos / "inside").mkdir()
    few = photos.with_name("few")
    few.mkdir()
    for changes, sentence in (
        ({"photos": ""}, "--photos is missing"),
        ({"style_images": str(photos)}, "are both"),
        ({"style_images": str(photos / "inside")}, "is a folder inside"),
        ({"style_images": "nowhere"}, "nowhere is no folder: give --style_images"),
        ({"style_images": str(few)}, "holds no pictures"),
    ):
        with pytest.raises(InputError, match=sentence):
            train(options(**changes))
    first = next(photos.glob("*.png"))
    (few / "one.png").write_bytes(first.read_bytes())
    with pytest.raises(InputError, match="holds 1 pictures: give --style_images a folder of 10"):
        train(options(style_images=str(few)))
    for number in range(10):
        Image.new("RGB", (48, 48), (number, 0, 0)).save(few / f"{number}.png")
    with pytest.raises(InputError, match="one.png and .*png are the same picture"):
        train(options(style_images=str(few)))
    Image.new("RGB", (1, 1)).save(few / "one.png")
    with pytest.raises(InputError, match="one.png is only 1 pixels wide or high"):
        train(options(style_images=str(few)))
    assert not Path(options().runs).exists()
    Path(options().out).write_bytes(b"")
    with pytest.raises(InputError, match="already exists: give --out another file"):
        train(options())
