"""Stored pairs framed as a student for phones will see faces: at one size, in one place, or nearly so.

Item n is a function of the seed and n alone. Pictures are decoded once and kept, at about the size they are needed.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from model.common.tensors import to_tensor
from model.faces.landmarks import eye_centres
from model.training.data.drawn_pairs import along, detail_weights, feature_weights, light_curve, spoil
from model.training.data.shards import StoredPair
from model.training.unpaired.edges import smooth_edges

SIDE = 256  # of an item, in pixels
EYES = 0.5, 121 / 256  # where the point between the eyes is, as a share of the side: as in FFHQ
KEPT = 2048  # pairs whose pictures are kept: a GB
KEPT_SCALE = 1.25  # of these, relative to the size that they are needed at
SCALES, ANGLE, SHIFT = (0.8, 1.1), 10.0, 0.1  # of the augmentation: scale, degrees, share of the side


class FramedPictures(Dataset):
    """Items of a Batch, that of pair n (over and over) in its exact place: `x`, `y [3, 256, 256]`, `weight [1, 256,
    256]`."""

    def __init__(self, pairs: Sequence[StoredPair], eye_distance: float):
        self.pairs, self.eye_distance = pairs, eye_distance
        self._read = lru_cache(KEPT)(self._decode)

    def __getitem__(self, n: int) -> dict:
        photo, target, weight = self.framed(n % len(self.pairs))
        return _item(photo, target, weight)

    def framed(self, number: int, scale=1.0, angle=0.0, shift=(0.0, 0.0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Photo, target and weights of pair `number`: so much larger, tilted by radians, shifted by shares of the
        side."""
        *pictures, weight, landmarks = self._read(number)
        view, size = self._view(landmarks, scale, angle, shift), (SIDE, SIDE)
        photo, target = (cv2.warpAffine(each, view, size, borderMode=cv2.BORDER_REFLECT_101) for each in pictures)
        return photo, target, cv2.warpAffine(weight, view, size)  # weight is 0 beyond the picture

    def _view(self, landmarks: np.ndarray, scale: float, angle: float, shift: Sequence[float]) -> np.ndarray:
        """Affine matrix `[2, 3]` from a kept picture to an item."""
        eyes = eye_centres(landmarks)
        zoom = scale * self.eye_distance / math.dist(*eyes)
        turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        offset = (np.array(EYES) + np.array(shift)) * SIDE - turn @ np.mean(eyes, axis=0)
        return np.column_stack([turn, offset]).astype(np.float32)

    def _decode(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Photo, target, weights of the loss, landmarks of the photo."""
        pair = self.pairs[number]
        facts, photo, target = pair.facts(), pair.picture("photo"), pair.picture("full")
        landmarks = np.float32(facts["landmarks"])
        drawn = np.float32(facts.get("landmarks_full", landmarks))
        share = min(KEPT_SCALE * self.eye_distance / math.dist(*eye_centres(landmarks)), 1.0)
        if share < 1:
            size = round(share * len(photo))
            share = size / len(photo)
            photo, target = (cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in (photo, target))
        landmarks, drawn = landmarks * share, drawn * share
        weight = feature_weights(drawn, len(photo))
        if pair.kind == "drawn":  # where each stroke of a painting lies, nobody can know
            weight = weight + detail_weights(target)
        return photo, target, weight, landmarks


class FramedPairs(FramedPictures):
    """Items of a Batch as those of FramedPictures, of pairs by chance; with `edges` also `smooth`, the target with
    blurred edges.

    augmented: faces are a little smaller or larger, tilted and shifted, and photos have other light and the faults of
    cameras. Nothing is mirrored here: drawings have their light on one side, so photos are mirrored before they are
    drawn (generate_data.py --count).
    """

    def __init__(self, pairs: Sequence[StoredPair], eye_distance: float, seed: int, augmented: bool, edges: bool):
        super().__init__(pairs, eye_distance)
        self.seed, self.augmented, self.edges = seed, augmented, edges

    def __getitem__(self, n: int) -> dict:
        rng = np.random.default_rng((self.seed, n))
        number = int(rng.integers(len(self.pairs)))
        if self.augmented:
            scale, angle = math.exp(rng.uniform(*np.log(SCALES))), math.radians(rng.uniform(-ANGLE, ANGLE))
            photo, target, weight = self.framed(number, scale, angle, rng.uniform(-SHIFT, SHIFT, 2))
            photo = spoil(rng, along(light_curve(rng), photo))
        else:
            photo, target, weight = self.framed(number)
        item = _item(photo, target, weight)
        return item | {"smooth": to_tensor(smooth_edges(target))} if self.edges else item


def _item(photo: np.ndarray, target: np.ndarray, weight: np.ndarray) -> dict:
    item = {"x": to_tensor(photo), "y": to_tensor(target), "weight": torch.from_numpy(weight)[None]}
    return item | {"style": 0, "degree": np.float32(1)}
