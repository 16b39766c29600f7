"""Scenes to learn from: portraits, cut out or as they are, at random places, sizes and angles before what is no
face."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from tqdm import tqdm

from model.common.errors import InputError
from model.common.weight_files import read_contents, write_contents
from model.faces.detect import find_landmarks_quickly
from model.faces.landmarks import eye_midpoint, face_size
from model.media.files import read_photo
from model.parsing.matting import matte_around
from model.training.data.pictures import SUFFIXES, pictures_below

STORED_SIDE = 224  # pixels of a portrait's longer side
SIDE = 160  # pixels of a scene
SMALLEST, LARGEST = 5.0, 60.0  # face size in a scene, in pixels
CUT_OUT, UPRIGHT, NO_FACE, SECOND = 0.5, 0.85, 0.12, 0.2  # shares: of portraits, of heads, of scenes, of scenes
LEAN, LIE = 9.0, 50.0  # degrees: deviation of upright heads, reach of the others
PANEL = 0.4  # share of scenes with a rectangle of something else in them
CLOTHES = 0.35  # share of backgrounds that are taken from portraits, below the chin
# Pictures of scikit-image's wheel that show nobody.
PICTURES = ("coffee", "chelsea", "rocket", "brick", "grass", "gravel", "hubble_deep_field", "immunohistochemistry",
            "coins", "moon", "page", "text", "clock", "colorwheel")  # fmt: skip


@dataclass(frozen=True)
class Portrait:
    """RGB uint8 `[h, w, 3]`, the person's matte uint8 `[h, w]`, landmarks float32 `[68, 2]` in its pixels."""

    rgb: np.ndarray
    matte: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True)
class Label:
    """A face in a scene: its size, and the centres (x, y) of the eye on the left and of that on the right, in
    pixels."""

    size: float
    eyes: np.ndarray  # float64 [2, 2]

    @property
    def middle(self) -> np.ndarray:
        return self.eyes.mean(0)


def find_photos(folders: list[Path]) -> list[Path]:
    """All pictures below the folders. InputError for a folder without any."""
    photos = []
    for folder in folders:
        found = pictures_below(folder)
        if not found:
            raise InputError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}): give another folder.")
        photos += found
    return photos


def read_portraits(photos: list[Path], cache: Path) -> list[Portrait]:
    """The portraits in which the landmark detector is sure of a face. What it found is kept in `cache`, a file."""
    known = read_contents(cache, "a file of landmarks") if cache.is_file() else {}
    portraits, found = [], {}
    with tqdm(photos, desc="looking for faces") as bar:
        for path in bar:
            name, rgb = str(path), read_photo(path)
            scale = STORED_SIDE / max(rgb.shape[:2])
            if name in known and known[name]["side"] == max(rgb.shape[:2]):
                landmarks = known[name]["landmarks"]
            else:
                landmarks = find_landmarks_quickly(rgb)
                landmarks = None if landmarks is None else landmarks.tolist()
            found[name] = {"side": max(rgb.shape[:2]), "landmarks": landmarks}
            if landmarks is None:
                continue
            points = np.array(landmarks, np.float32)
            matte = (matte_around(rgb, points) * 255).astype(np.uint8)
            size = [max(round(side * scale), 1) for side in rgb.shape[1::-1]]
            small, matte = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (rgb, matte))
            portraits.append(Portrait(small, matte, (points + 0.5) * np.float32(scale) - 0.5))
    if found != known:
        write_contents(cache, found)
    return portraits


def read_backgrounds(folders: list[Path]) -> list[np.ndarray]:
    """Pictures without a face: scikit-image's, and those of folders, at most 512 pixels a side."""
    pictures = [getattr(skimage.data, name)() for name in PICTURES]
    pictures += skimage.data.stereo_motorcycle()[:1]
    pictures += [read_photo(path) for path in find_photos(folders)]
    return [_as_rgb(picture) for picture in pictures]


def _as_rgb(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == bool:
        picture = picture.astype(np.uint8) * 255
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    scale = min(512 / max(picture.shape[:2]), 1)
    size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    return cv2.resize(np.ascontiguousarray(picture[..., :3]), size, interpolation=cv2.INTER_AREA)


class Scenes:
    """Scenes of portraits before backgrounds; each is a function of the random numbers that it is drawn with."""

    def __init__(self, portraits: list[Portrait], backgrounds: list[np.ndarray]):
        self.portraits, self.backgrounds = portraits, backgrounds

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[Label]]:
        """A scene, RGB float32 `[160, 160, 3]` in [0, 1], and the faces in it."""
        scene, labels = self._background(rng), []
        if rng.random() < PANEL:  # edges alone say nothing about faces
            (left, top), (width, height) = rng.integers(0, SIDE - 24, 2), rng.integers(12, SIDE, 2)
            scene[top : top + height, left : left + width] = self._background(rng)[
                top : top + height, left : left + width
            ]
        if rng.random() >= NO_FACE:
            count = 1 + (rng.random() < SECOND)
            for number in range(count):
                scene, label = self._paste(rng, scene, labels, largest=LARGEST if count == 1 else 20.0)
                labels += [label] if label is not None else []
                if number == 0 and label is None:
                    break
        return recoloured(rng, scene), [
            label for label in labels if np.all((label.middle > 2) & (label.middle < SIDE - 3))
        ]

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """A piece of a background, or of somebody's clothes, at any angle; float32 in [0, 1]."""
        if rng.random() < CLOTHES:
            portrait = self.portraits[rng.integers(len(self.portraits))]
            chin = int(portrait.landmarks[:, 1].max()) + 3
            picture = portrait.rgb[chin:]
            if min(picture.shape[:2]) < 12:
                picture = cv2.GaussianBlur(portrait.rgb, (0, 0), 25)
        else:
            picture = self.backgrounds[rng.integers(len(self.backgrounds))]
        height, width = picture.shape[:2]
        scale = SIDE / min(height, width) * math.exp(rng.uniform(0, 1.2))
        matrix = cv2.getRotationMatrix2D(
            (rng.uniform(0, width), rng.uniform(0, height)), rng.normal(0, 15) + 180 * (rng.random() < 0.1), scale
        )
        matrix[:, 2] += SIDE / 2 - matrix @ (width / 2, height / 2, 1)
        matrix[:, 2] += rng.uniform(-0.5, 0.5, 2) * np.maximum(np.array([width, height]) * scale - SIDE, 0)
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        view = cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        if rng.random() < 0.35:
            view = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.5, 6))
        view = view.astype(np.float32) / 255
        return view * rng.uniform(0.4, 1.1) + rng.uniform(0, 0.25) if rng.random() < 0.5 else view

    def _paste(
        self, rng: np.random.Generator, scene: np.ndarray, others: list[Label], largest: float
    ) -> tuple[np.ndarray, Label | None]:
        """The scene with a portrait, and where its face is; None where it would cover another face."""
        portrait = self.portraits[rng.integers(len(self.portraits))]
        rgb, matte, points = portrait.rgb, portrait.matte, portrait.landmarks
        if rng.random() < 0.5:
            rgb, matte = rgb[:, ::-1], matte[:, ::-1]
            points = np.float32([rgb.shape[1] - 1, 0]) + points * np.float32([-1, 1])
        own, eyes = face_size(portrait.landmarks), np.stack([points[36:42].mean(0), points[42:48].mean(0)])
        eyes = eyes[np.argsort(eyes[:, 0])]
        size = math.exp(rng.uniform(math.log(SMALLEST), math.log(largest)))
        angle = rng.normal(0, LEAN) if rng.random() < UPRIGHT else rng.uniform(-LIE, LIE)
        matrix = cv2.getRotationMatrix2D(eye_midpoint(points).tolist(), angle, size / own)
        margin = min(0.8 * size, SIDE / 2 - 4)
        place = rng.uniform(margin, SIDE - margin, 2)
        matrix[:, 2] += place - matrix @ (*eye_midpoint(points), 1)
        if any(np.linalg.norm(other.middle - place) < 3.5 * max(size, other.size) for other in others):
            return scene, None
        blur = 0.45 * own / size
        if blur > 0.6:  # against jaggies, when the portrait is reduced
            rgb, matte = (cv2.GaussianBlur(each, (0, 0), blur) for each in (rgb, matte))
        if rng.random() < CUT_OUT:
            mask = matte
        else:
            mask = np.zeros(matte.shape, np.uint8)
            inset = rng.integers(1, 14)
            mask[inset:-inset, inset:-inset] = 255
            mask = cv2.GaussianBlur(mask, (0, 0), inset / 2)
        alpha = cv2.warpAffine(np.ascontiguousarray(mask), matrix, (SIDE, SIDE))
        whole = cv2.warpAffine(np.ascontiguousarray(rgb), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        alpha = alpha[..., None].astype(np.float32) / 255
        return scene + alpha * (whole.astype(np.float32) / 255 - scene), Label(
            size, cv2.transform(eyes[None], matrix)[0]
        )


def recoloured(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """The scene in another light, from another camera: float32 `[H, W, 3]` in [0, 1]."""
    scene = scene.clip(0, 1) ** math.exp(rng.normal(0, 0.35))
    grey = scene.mean(-1, keepdims=True)
    scene = grey + (scene - grey) * (0 if rng.random() < 0.08 else rng.uniform(0.4, 1.5))
    scene = scene * (1 + rng.normal(0, 0.08, 3)) * rng.uniform(0.6, 1.2)
    if rng.random() < 0.4:  # light from one side
        slope = np.linspace(-1, 1, SIDE) * rng.uniform(-0.4, 0.4)
        scene = scene * (1 + (slope[None, :, None] if rng.random() < 0.7 else slope[:, None, None]))
    if rng.random() < 0.3:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.3:
        scene = scene + rng.normal(0, rng.uniform(0, 0.06), scene.shape)
    if rng.random() < 0.1:  # a hand, a cup, a microphone
        scene, place = np.ascontiguousarray(scene, np.float32), rng.integers(0, SIDE, 2).tolist()
        cv2.circle(scene, place, int(rng.integers(4, 22)), rng.random(3).tolist(), -1)
    return scene.clip(0, 1).astype(np.float32)
