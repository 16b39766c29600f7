"""Folders of photos and of pictures of a style, which have nothing to do with each other but what they show."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from model.common.errors import InputError
from model.common.tensors import to_tensor
from model.faces.detect import find_all_landmarks
from model.faces.landmarks import EYES, MEAN_FACE, face_size, in_aligned
from model.training.data.pictures import PictureFolder
from model.training.sources import PREVIEW_ROWS

LEAST, FEW = 10, 100  # pictures in a folder: fewer are refused, or told
HELD_OUT_OF = 10 * PREVIEW_ROWS  # from so many pictures on, those that previews show are not learnt from
FLATTER, LEVELS = 0.1, 3.0  # share of a picture that is even, which photos have less of than drawings; levels of 255
SAMPLED = 12  # pictures of a folder that are looked at for their framing
FAR = 0.12  # of the side: how far eyes may lie from where those of the other folder, or FFHQ's, do


class CroppedFolder(PictureFolder):
    """All pictures below a folder, of which squares of `size` pixels are cut out of those of `loaded` pixels. Raises
    InputError as `PictureFolder`, and for fewer than ten."""

    def __init__(self, folder: str | Path, size: int, loaded: int, named_by: str):
        super().__init__(folder, loaded, named_by)
        self.side, count = size, len(self.paths)
        if count < LEAST:
            raise InputError(f"{folder} holds {count} pictures: give {named_by} a folder of {LEAST} at least.")
        self.shown = [self.paths[number * count // PREVIEW_ROWS] for number in range(PREVIEW_ROWS)]
        if count >= HELD_OUT_OF:
            self.paths = [path for path in self.paths if path not in self.shown]

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Pictures drawn at random, half of them mirrored, cut out at random: `[count, 3, size, size]`, RGB in
        [-1, 1]."""
        pictures = super().draw(rng, count)
        corners = rng.integers(self.size - self.side + 1, size=(count, 2))
        return torch.stack(
            [
                picture[:, top : top + self.side, left : left + self.side]
                for picture, (top, left) in zip(pictures, corners, strict=True)
            ]
        )

    def square(self, path: Path) -> np.ndarray:
        """The central square of a picture, RGB uint8 `[loaded, loaded, 3]`."""
        return self._read(path)

    def preview(self) -> Tensor:
        """Some pictures, the same each time, whole: `[n, 3, size, size]`; of a large folder held out."""
        pictures = torch.stack([to_tensor(self.square(path)) for path in self.shown])
        return torch.nn.functional.interpolate(pictures, (self.side, self.side), mode="area")


def doubts_about(photos: CroppedFolder, styles: CroppedFolder, faces: bool) -> Iterator[str]:
    """What about two folders should be known before days are spent on them, a sentence each. faces: whether they are
    to show faces, framed alike."""
    for folder, named_by in ((photos, "--photos"), (styles, "--style_images")):
        if len(folder.paths) < FEW:
            yield f"{folder.folder} holds {len(folder.paths)} pictures: {named_by} is usually some hundred or more"
    if flatness_of(photos) > flatness_of(styles) + FLATTER:
        yield f"pictures in {photos.folder} are flatter than those in {styles.folder}: are the folders mixed up?"
    if not faces:
        return
    eyes = [eyes_of(folder) for folder in (photos, styles)]
    how = "python -m model.training.own.align --data FOLDER --out ALIGNED cuts faces out alike"
    if eyes[0] is None:
        yield f"hardly a picture in {photos.folder} shows a face that is found: this learns faces; {how}"
    elif eyes[1] is not None and np.abs(eyes[0] - eyes[1]).max() > FAR:
        yield f"faces in {photos.folder} and {styles.folder} are framed differently: {how}"
    elif np.abs(eyes[0] - _eyes(in_aligned(MEAN_FACE, MEAN_FACE, 1000)) / 1000).max() > FAR:
        yield f"faces in {photos.folder} are not framed as FFHQ's, as they will be when the result is used: {how}"


def sample_of(folder: CroppedFolder) -> Iterator[np.ndarray]:
    """Some pictures, spread over the folder, RGB uint8."""
    for number in np.linspace(0, len(folder.paths) - 1, min(SAMPLED, len(folder.paths))).round().astype(int):
        yield folder.square(folder.paths[number])


def flatness_of(folder: CroppedFolder) -> float:
    """Median share of some pictures in which brightness hardly bends."""
    greys = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in sample_of(folder))
    return float(np.median([(np.abs(cv2.Laplacian(grey, cv2.CV_32F)) < LEVELS).mean() for grey in greys]))


def _eyes(landmarks: np.ndarray) -> np.ndarray:
    return np.stack([landmarks[eye].mean(0) for eye in EYES])


def eyes_of(folder: CroppedFolder) -> np.ndarray | None:
    """Where eyes usually are, `[2, 2]`, in parts of the side, of the largest face of some pictures; None where few
    show a face that is found."""
    found = []
    for rgb in sample_of(folder):
        if faces := find_all_landmarks(rgb):
            found.append(_eyes(max(faces, key=face_size)) / len(rgb))
    return np.median(found, axis=0) if len(found) * 3 >= SAMPLED else None
