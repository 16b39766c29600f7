"""Pictures of a folder as training data for a generator."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from model.common.errors import InputError
from model.common.tensors import to_tensor
from model.media.files import DAMAGE, read_photo

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
ENLARGEMENT = 4  # a picture may be enlarged so many times at most: a generator learns its blur, too
KEPT = 3 * 512 * 1024**2  # bytes of decoded pictures that are kept: 512 at 1024 px, and usual sets are smaller


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a folder and its subfolders, told by their suffix, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def check_apart(photos: str | Path, others: str | Path, named_by: str = "--style_images") -> None:
    """Raise InputError where both folders, --photos and what is `named_by` another option, are one, or one is in the
    other: pictures would be learnt to be something else than they are."""
    one, other = Path(photos).resolve(), Path(others).resolve()
    if one == other:
        raise InputError(f"--photos and {named_by} are both {photos}: give a folder for each.")
    for inner, outer in ((one, other), (other, one)):
        if inner.is_relative_to(outer):
            raise InputError(f"{inner.name} is a folder inside {outer}: give --photos and {named_by} apart.")


def check_no_copies(photos: Sequence[Path], others: Sequence[Path]) -> None:
    """Raise InputError where the same file is among both."""
    sizes: dict[int, list[Path]] = {}
    for path in photos:
        sizes.setdefault(path.stat().st_size, []).append(path)
    for path in others:
        for twin in sizes.get(path.stat().st_size, ()):
            if _digest(path) == _digest(twin):
                raise InputError(f"{path} and {twin} are the same picture: leave it in one of the folders.")


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


class PictureFolder:
    """All pictures below `folder`, which an option named: upright, the central square, `size` pixels wide. Raises
    InputError when there are none, and for files that are no pictures or too small."""

    def __init__(self, folder: str | Path, size: int, named_by: str = "--data"):
        self.folder, self.size = Path(folder), size
        if not self.folder.is_dir():
            raise InputError(f"{folder} is no folder: give {named_by} a folder of pictures.")
        self.paths = pictures_below(self.folder)
        if not self.paths:
            raise InputError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}): give {named_by} another folder.")
        least = size // ENLARGEMENT
        for path in self.paths:
            try:
                with Image.open(path) as image:
                    smaller = min(image.size)
            except (*DAMAGE, Image.DecompressionBombError) as error:
                raise InputError(f"{path} can't be read as a picture: remove it or replace it.") from error
            if smaller * ENLARGEMENT < size:
                raise InputError(f"{path} is only {smaller} pixels wide or high: remove it or give at least {least}.")
        self._read = lru_cache(KEPT // (3 * size**2))(self._decode)

    @property
    def names(self) -> list[str]:
        """Paths inside the folder, in the order of the pictures' numbers."""
        return [path.relative_to(self.folder).as_posix() for path in self.paths]

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Pictures drawn at random, half of them mirrored: `[count, 3, size, size]`, RGB in [-1, 1]."""
        numbers, mirrored = rng.integers(len(self.paths), size=count), rng.random(count) < 0.5
        return torch.stack([self[n].flip(2) if flip else self[n] for n, flip in zip(numbers, mirrored, strict=True)])

    def __getitem__(self, number: int) -> Tensor:
        """Picture `number`, `[3, size, size]`."""
        return to_tensor(self._read(self.paths[number]))

    def _decode(self, path: Path) -> np.ndarray:
        """RGB uint8 `[size, size, 3]`; what is transparent becomes white."""
        square = ImageOps.fit(Image.fromarray(read_photo(path)), (self.size, self.size), Image.Resampling.LANCZOS)
        return np.array(square)
