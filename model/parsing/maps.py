"""Files of parsing maps: what smooth_parsing_map.py writes and style_transfer.py reads.

A file is a zip archive of .npy arrays that `numpy.load` opens: a map float16 `[19, H, W]` for each frame, named by its
number, what they were made of, and a mark that none is missing. The published program's single array is read, too.
"""

import json
import warnings
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

SUFFIX = "_parsingmap"  # between a video's name and the ending of its file of maps, as the published program has it
CLASSES = 19
ABOUT, COMPLETE = "about", "complete"
NO_MAPS = "holds no parsing maps"
DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)  # what reading a broken file raises


def description(crop: FaceCrop, radius: int) -> dict[str, Any]:
    """What maps are made of, as it is stored with them: the crop, the window, and the classes."""
    return json.loads(json.dumps(asdict(crop) | {"window_size": radius, "channels": CLASSES}))


class MapSink:
    """Writes maps one by one into `path`.

    Until all are written they are in `partial`, beside it. That stays after Ctrl-C, and with `resume` the `done` maps
    in it need not be made again; any other exception removes it.
    """

    def __init__(self, path: Path, crop: FaceCrop, radius: int, resume: bool = False):
        self.path, self._about = path, description(crop, radius)
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self.done = 0
        if resume and zipfile.is_zipfile(self.partial):
            with ParsingMaps(self.partial, whole=False) as earlier:
                if earlier.about != self._about:
                    raise InputError(
                        f"{self.partial} was made of another video or crop: delete it, or leave --resume out."
                    )
                self.done = earlier.count_intact()

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "a" if self.done else "w"
            self._archive = zipfile.ZipFile(self.partial, mode, zipfile.ZIP_DEFLATED, compresslevel=1)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}.") from error
        if not self.done:
            self._store(ABOUT, np.array(json.dumps(self._about)))
        return self

    def write(self, logits: np.ndarray) -> None:
        """Add one map, float16 `[19, H, W]`. Ctrl-C waits until it is stored."""
        with uninterrupted():
            self._store(f"{self.done:06d}", logits)
            self.done += 1

    def _store(self, name: str, array: np.ndarray) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a map that was broken off and is stored again
            with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with uninterrupted():
            if kind is None:
                self._store(COMPLETE, np.array(self.done))
            self._archive.close()
            if kind is None:
                self.partial.replace(self.path)
            elif not issubclass(kind, KeyboardInterrupt):
                self.partial.unlink(missing_ok=True)


class ParsingMaps(Sequence):
    """The maps in a file, float16 `[19, H, W]` each, read one by one.

    Raises InputError for another kind of file, for a damaged map, and unless `whole` is False for one that breaks off.
    """

    def __init__(self, path: str | Path, whole: bool = True):
        self.path = path
        try:
            self._archive = np.load(path, allow_pickle=False)
            names = set(self._archive.files)
            self.about: dict[str, Any] = json.loads(str(self._archive[ABOUT]))
        except (*DAMAGE, AttributeError) as error:
            raise InputError(f"{path} {NO_MAPS}: write them with smooth_parsing_map.py.") from error
        self._count = len(names - {ABOUT, COMPLETE})
        if whole and COMPLETE not in names:
            raise InputError(f"{path} breaks off after {self._count} parsing maps: go on with --resume.")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> np.ndarray:
        if number >= self._count:
            raise IndexError(number)
        try:
            return self._archive[f"{number:06d}"]
        except DAMAGE as error:
            raise InputError(f"{self.path} is damaged at parsing map {number + 1}: make it anew.") from error

    def count_intact(self) -> int:
        """How many maps there are without the last one, should that be broken off."""
        try:
            self[self._count - 1]
        except InputError:
            return max(self._count - 1, 0)
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()


def open_maps(path: str | Path, channels: int, crop: FaceCrop) -> Iterable[np.ndarray]:
    """The parsing maps of a clip `[channels, H, W]`, read one by one as they are used.

    The file is one of smooth_parsing_map.py, or an array `[N, channels, H, W]` in a .npy file as the published program
    writes it. Raises InputError for maps that are not of this crop.
    """
    if zipfile.is_zipfile(path):
        maps = ParsingMaps(path)
        if maps.about != description(crop, maps.about["window_size"]) | {"channels": channels}:
            raise InputError(f"{path} was made of another crop or video: make it anew, with the same --padding.")
        return maps
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} {NO_MAPS} ({error}): write them with smooth_parsing_map.py.") from error
    if not isinstance(array, np.ndarray) or array.ndim != 4 or not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{path} {NO_MAPS}: an array of numbers [N, {channels}, H, W] is expected.")
    wanted = (channels, crop.height, crop.width)
    if array.shape[1:] != wanted:
        raise InputError(f"The parsing maps in {path} are {array.shape[1:]}, the crop needs {wanted}: make them anew.")
    return array


def write_published(path: Path, maps: Path) -> None:
    """Write the file `maps` as the array float32 `[N, 19, H, W]` of the published program."""

    def write(partial: Path) -> None:
        array = np.lib.format.open_memmap(partial, "w+", np.float32, (len(source), *source[0].shape))
        for number, logits in enumerate(source):
            array[number] = logits
        array.flush()

    with ParsingMaps(maps) as source:
        write_whole(path, write)
