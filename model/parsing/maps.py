"""Files of parsing maps: what smooth_parsing_map.py writes and style_transfer.py reads. A file is a zip archive of .npy
arrays that `numpy.load` opens: a map float16 `[19, H, W]` for each frame, named by its number, and what they were made
of. The published program's single array is read, too."""

import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from model.common.errors import InputError
from model.common.interrupts import uninterrupted
from model.common.weight_files import write_whole
from model.faces.crop import FaceCrop

CLASSES = 19
ABOUT = "about"
REMEDY = "holds no parsing maps: write them with smooth_parsing_map.py."
DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)  # what reading a broken file raises


def description(crop: FaceCrop, radius: int) -> dict[str, Any]:
    """What maps are made of, as it is stored with them: the crop, the window, and the classes."""
    return json.loads(json.dumps(asdict(crop) | {"window_size": radius, "channels": CLASSES}))


class ParsingMaps(Sequence):
    """The maps float16 `[19, H, W]` in a file, read one by one. InputError for other files, and for a damaged map."""

    def __init__(self, path: str | Path):
        self.path = path
        try:
            self._archive = np.load(path, allow_pickle=False)
            self.about: dict[str, Any] = json.loads(str(self._archive[ABOUT]))
        except (*DAMAGE, AttributeError) as error:
            raise InputError(f"{path} {REMEDY}") from error

    def __len__(self) -> int:
        return len(self._archive.files) - 1

    def __getitem__(self, number: int) -> np.ndarray:
        if number >= len(self):
            raise IndexError(number)
        try:
            return self._archive[f"{number:06d}"]
        except DAMAGE as error:
            raise InputError(f"{self.path} is damaged at parsing map {number + 1}: make it anew.") from error


class MapSink:
    """Writes maps one by one into `path`; until all are there, they are in `partial`, beside it. That stays after
    Ctrl-C, and with `resume` the `done` maps in it need not be made again; other exceptions remove it."""

    def __init__(self, path: Path, crop: FaceCrop, radius: int, resume: bool = False):
        self.path, self.partial = path, path.with_name(f"{path.stem}.partial{path.suffix}")
        self._about, self.done = description(crop, radius), 0
        if resume and zipfile.is_zipfile(self.partial):
            earlier = ParsingMaps(self.partial)
            if earlier.about != self._about:
                raise InputError(f"{self.partial} was made of another video or crop: delete it, or omit --resume.")
            self.done = len(earlier)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if self.done else "w"
        self._archive = zipfile.ZipFile(self.partial, mode, zipfile.ZIP_DEFLATED, compresslevel=1)
        if not self.done:
            self._store(ABOUT, np.array(json.dumps(self._about)))
        return self

    def write(self, logits: np.ndarray) -> None:
        """Add one map, float16 `[19, H, W]`. Ctrl-C waits until it is stored."""
        with uninterrupted():
            self._store(f"{self.done:06d}", logits)
            self.done += 1

    def _store(self, name: str, array: np.ndarray) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with uninterrupted():
            self._archive.close()
            if kind is None:
                self.partial.replace(self.path)
            elif not issubclass(kind, KeyboardInterrupt):
                self.partial.unlink(missing_ok=True)


def open_maps(path: str | Path, channels: int, crop: FaceCrop) -> Iterable[np.ndarray]:
    """The parsing maps of a clip `[channels, H, W]`, read as they are used. InputError if they are not of this crop.
    The file is one of smooth_parsing_map.py, or the published program's .npy with an array `[N, channels, H, W]`."""
    if zipfile.is_zipfile(path):
        maps = ParsingMaps(path)
        if maps.about != description(crop, maps.about["window_size"]) | {"channels": channels}:
            raise InputError(f"{path} was made of another crop or video: make it anew, with the same --padding.")
        return maps
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGE as error:
        raise InputError(f"{path} {REMEDY}") from error
    wanted = (channels, crop.height, crop.width)
    if array.dtype.kind != "f" or array.shape[1:] != wanted:
        raise InputError(f"The parsing maps in {path} are {array.shape[1:]}, the crop needs {wanted}: make them anew.")
    return array


def write_published(path: Path, maps: Path) -> None:
    """Write the file `maps` as the array float32 `[N, 19, H, W]` of the published program."""
    source = ParsingMaps(maps)

    def write(partial: Path) -> None:
        array = np.lib.format.open_memmap(partial, "w+", np.float32, (len(source), *source[0].shape))
        for number, logits in enumerate(source):
            array[number] = logits
        array.flush()

    write_whole(path, write)
