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
from model.common.files import publish, remove_abandoned, storing, unfinished, write_whole
from model.common.interrupts import uninterrupted
from model.faces.crop import FaceCrop, StyleWindow

CLASSES = 19
ABOUT = "about"
REMEDY = "holds no parsing maps: write them with smooth_parsing_map.py."
DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)  # what reading a broken file raises


def description(crop: FaceCrop | StyleWindow, radius: int) -> dict[str, Any]:
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
    """Writes maps one by one into a file of its own beside `path`, which gets that name when all are there.
    After Ctrl-C it is `partial`, and with `resume` the `done` maps in that need not be made again; other exceptions
    remove it."""

    def __init__(self, path: Path, crop: FaceCrop | StyleWindow, radius: int, resume: bool = False):
        self.path, self._unfinished = path, unfinished(path)
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._about, self._resume, self.done = description(crop, radius), resume, 0

    def __enter__(self) -> Self:
        with storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.path)
            if self._resume and zipfile.is_zipfile(self.partial):
                earlier = ParsingMaps(self.partial)
                if earlier.about != self._about:
                    raise InputError(f"{self.partial} was made of another video or crop: delete it, or omit --resume.")
                self.done = len(earlier)
                self.partial.replace(self._unfinished)
            mode = "a" if self.done else "w"
            self._archive = zipfile.ZipFile(self._unfinished, mode, zipfile.ZIP_DEFLATED, compresslevel=1)
        return self

    def write(self, logits: np.ndarray) -> None:
        """Add one map, float16 `[19, H, W]`. Ctrl-C waits until it is stored. Raises InputError where it can't be."""
        with storing(self.path), uninterrupted():
            if not self.done:
                self._store(ABOUT, np.array(json.dumps(self._about)))
            self._store(f"{self.done:06d}", logits)
            self.done += 1

    def _store(self, name: str, array: np.ndarray) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with storing(self.path), uninterrupted():
            try:
                self._archive.close()
                if kind is None:
                    publish(self._unfinished, self.path)
                    self.partial.unlink(missing_ok=True)
                elif issubclass(kind, KeyboardInterrupt) and self.done:
                    publish(self._unfinished, self.partial)
            finally:
                self._unfinished.unlink(missing_ok=True)


def open_maps(path: str | Path, channels: int, crop: FaceCrop | StyleWindow) -> Iterable[np.ndarray]:
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

    def write(partial: Path) -> None:  # without a memory map: where the disk is full, that kills the program
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(source), *source[0].shape)}
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.writelines(logits.astype("<f4").tobytes() for logits in source)

    write_whole(path, write)
