"""The exemplar: a style picture with the landmarks of its face, and what the engine needs of it, found once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from model.common.errors import InputError
from model.common.sizes import EYE_DISTANCE
from model.faces.detect import find_all_landmarks
from model.faces.landmarks import eye_midpoint, face_size
from model.media.files import open_frames
from model.parsing.matting import cut_out
from model.styles.example.guides import Guides, guides_of
from model.styles.example.labels import (
    BACKGROUND,
    CLOTHES,
    EDGE,
    FEATURES,
    HAIR,
    INSIDE,
    LABELS,
    SKIN,
    parts_of,
    with_borders,
)  # fmt: skip
from model.styles.example.presets import LANDMARKS_SUFFIX, PHOTO_SUFFIX
from model.styles.example.styleblit import BINS, CELL

EYE_DISTANCES = 120.0, 240.0  # a picture is resized so that its eyes are so far apart, in pixels
LARGEST, MOST_ENLARGED = 2.0e6, 3.0  # pixels of a picture that is worked with, and times it is enlarged at most
LEAST_SIDE, LEAST_EYES = 64, 12.0  # pixels of a picture, and between its eyes
# Of the search for matches of each label: pixels, and the weights in it.
REACH, STRIDE = (60, 90, 90, 30, 10, 24), (3, 3, 3, 1, 1, 1)
TABLE_POSITION, TABLE_APPEARANCE = (1.0, 0.4, 0.4, 3.0, 3.0, 3.0), (0.6, 2.0, 2.0, 2.0, 2.0, 2.0)
STAND_INS = {
    HAIR: (CLOTHES, SKIN),
    CLOTHES: (HAIR, SKIN),
    BACKGROUND: (CLOTHES, HAIR),
    INSIDE: (FEATURES,),
}  # where one is missing
LEAST_SHARE = {INSIDE: 0.0002}  # part of a picture that a label takes, or else it is missing
USUAL_SHARE = 0.003
BARE_BLUR, BARE = 0.04, 10.0  # eye distances over which lines are averaged, and difference in Lab from paper
DEPTHS = 0.25, 0.5, 1.0  # parts of the distance to a region that are tried beyond its border


@dataclass(frozen=True, eq=False)
class Exemplar:
    """A style picture RGB uint8 `[H, W, 3]` with landmarks float32 `[68, 2]` in its pixels.

    likeness: the photo that the picture was painted from, of the same size, where there is one: guides come from it.
    """

    picture: np.ndarray
    landmarks: np.ndarray
    name: str = "a picture of your own"
    likeness: np.ndarray | None = None

    @cached_property
    def eye_distance(self) -> float:
        return face_size(self.landmarks)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Room left, right, above and below the eyes, in pixels at an eye distance of 64."""
        x, y = eye_midpoint(self.landmarks)
        height, width = self.picture.shape[:2]
        return tuple(max(round(EYE_DISTANCE / self.eye_distance * room), 1) for room in (x, width - x, y, height - y))

    @property
    def seen(self) -> np.ndarray:
        """What guides come from, RGB uint8 `[H, W, 3]`."""
        return self.picture if self.likeness is None else self.likeness

    @cached_property
    def parts(self) -> np.ndarray:
        """As `labels.parts_of`."""
        is_painted = self.likeness is None
        return parts_of(
            self.seen, self.landmarks, cut_out(self.seen, self.landmarks, painted=is_painted), painted=is_painted
        )

    @cached_property
    def guides(self) -> Guides:
        guides = guides_of(self.seen, self.landmarks, self.parts)
        labels = with_borders(guides.labels, self.landmarks)
        if self.likeness is not None:
            labels[np.isin(labels, (HAIR, CLOTHES)) & bare_paper(self.picture, self.eye_distance)] = EDGE
        return replace(guides, labels=labels)

    @cached_property
    def table(self) -> np.ndarray:
        """Best matches, int16 `[rows, columns, 6, BINS, 2]`: see `kernels.best_matches`."""
        from model.styles.example import kernels  # Numba takes a second to import

        settings = (np.int32(REACH), np.int32(STRIDE), np.float32(TABLE_POSITION), np.float32(TABLE_APPEARANCE))
        labels = self.guides.labels
        sources = _sources(labels)
        return kernels.best_matches(self.guides.appearance, labels, sources, _starts(labels, sources), BINS, *settings)


def bare_paper(rgb: np.ndarray, eye_distance: float) -> np.ndarray:
    """Where a picture RGB uint8 `[H, W, 3]` is left as its paper, which is what most of its border is: bool `[H,
    W]`."""
    lab = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), (0, 0), BARE_BLUR * eye_distance).astype(np.float32)
    inner = np.s_[2:-2, 2:-2]
    border = np.ones(rgb.shape[:2], bool)
    border[inner] = False
    away = np.linalg.norm(lab - np.median(lab[border], axis=0), axis=2)
    return (away < BARE) & ((away[border] < BARE).mean() > 0.5)


def _sources(labels: np.ndarray) -> np.ndarray:
    """The label whose pixels serve for each label: its own, unless there are next to none of it. uint8 `[6]`."""
    shares = np.bincount(labels.ravel(), minlength=len(LABELS)) / labels.size
    choices = [(kind, *STAND_INS.get(kind, ())) for kind in LABELS]
    chosen = [
        next((kind for kind in own if shares[kind] > LEAST_SHARE.get(kind, USUAL_SHARE)), own[0]) for own in choices
    ]
    return np.array(chosen, np.uint8)


def _starts(labels: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Where the search for a match of each label begins, (x, y), int16 `[rows, columns, 6, 2]`: in the middle of each
    square, or what is that as seen in a mirror at the border of the label's region, so that what lies beyond the region
    is not all made of its border."""
    middles = [np.minimum(np.arange(0, side, CELL) + CELL // 2, side - 1) for side in labels.shape]
    y, x = np.meshgrid(*middles, indexing="ij")
    starts = np.empty((*y.shape, len(REACH), 2), np.int16)
    for kind, source in enumerate(sources):
        starts[:, :, kind] = np.stack([x, y], axis=-1)
        elsewhere = (labels != source).astype(np.uint8)
        if not elsewhere.all():
            rows, columns = np.nonzero(elsewhere == 0)
            _, nearest = cv2.distanceTransformWithLabels(
                elsewhere, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
            )
            place = np.zeros((nearest.max() + 1, 2), np.int16)
            place[nearest[rows, columns]] = np.stack([columns, rows], axis=1)
            middle, border = np.stack([x, y], axis=-1), place[nearest[y, x]].astype(int)
            starts[:, :, kind] = border
            for depth in DEPTHS:
                inner = border + (depth * (border - middle)).round().astype(int)
                inner = np.clip(inner, 0, np.array(labels.shape[::-1]) - 1)
                is_inside = labels[inner[..., 1], inner[..., 0]] == source
                starts[is_inside, kind] = inner[is_inside]
    return starts


def load_exemplar(path: str | Path) -> Exemplar:
    """The style picture in a file, with landmarks from `NAME.landmarks.txt` beside it or found in it.

    Raises InputError, which says what to do, for a file that is no
    picture, is too small, or in which not exactly one face is found.
    """
    path = Path(path)
    rgb = read_picture(path)
    landmarks = landmarks_for(path, rgb)
    if face_size(landmarks) < LEAST_EYES:
        raise InputError(f"{path} shows a face too small to paint from: cut it out, or take a larger picture.")
    exemplar = Exemplar(rgb, landmarks, path.stem, likeness=_likeness_of(path, rgb))
    return resized_by(exemplar, usual_scale(exemplar))


def _likeness_of(path: Path, rgb: np.ndarray) -> np.ndarray | None:
    """The photo that a style picture was painted from, at its size, where it lies beside it; InputError if it is
    another."""
    photo = path.with_name(path.stem + PHOTO_SUFFIX)
    if not photo.is_file():
        return None
    with open_frames(photo) as source:
        likeness = source.first.rgb
    (height, width), own = rgb.shape[:2], likeness.shape[:2]
    if abs(own[0] * width - own[1] * height) > max(height, width) * 2:
        raise InputError(
            f"{photo} is of another shape than {path}: give the photo that it was painted from, or move it."
        )
    return _resized(likeness, (width, height))


def read_picture(path: Path) -> np.ndarray:
    """A style picture, RGB uint8 `[H, W, 3]`. Raises InputError for anything else, and for tiny ones."""
    with open_frames(path) as source:
        if source.is_video:
            raise InputError(f"{path} is a video: a style is one picture, so save a frame of it and name that.")
        rgb = source.first.rgb
    if min(rgb.shape[:2]) < LEAST_SIDE:
        raise InputError(
            f"{path} has {rgb.shape[1]} x {rgb.shape[0]} pixels: take a style picture of {LEAST_SIDE} or more."
        )
    return rgb


def landmarks_for(path: Path, rgb: np.ndarray) -> np.ndarray:
    """Landmarks float32 `[68, 2]` of the face in a style picture. Raises InputError as `load_exemplar`."""
    notes = path.with_name(path.stem + LANDMARKS_SUFFIX)
    if notes.is_file():
        return read_landmarks(notes, rgb.shape[:2])
    face = only_face(path, rgb)
    if face is None:
        by_hand = f"place the 68 points of its face on the page (python app.py), or write them into {notes.name}"
        raise InputError(f"no face was found in the style picture {path}: {by_hand}")
    return face


def only_face(path: Path, rgb: np.ndarray) -> np.ndarray | None:
    """Landmarks float32 `[68, 2]` of the face that is surely in a style picture; None if there is none. InputError if
    there are several."""
    faces = find_all_landmarks(rgb)
    if len(faces) > 1:
        raise InputError(f"{path} shows {len(faces)} faces: cut out the one whose style you want.")
    return faces[0] if faces else None


def read_landmarks(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Landmarks from a text file of 68 lines `x y` in pixels of a picture `(h, w)`: float32 `[68, 2]`. InputError if it
    holds anything else."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        points = np.array([[float(word) for word in line] for line in lines], np.float32)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as landmarks ({error}): write 68 lines, each x y in pixels."
        ) from error
    check_landmarks(points, size, str(path))
    return points


def check_landmarks(points: np.ndarray, size: tuple[int, int], where: str) -> None:
    """Raise InputError unless these are 68 points (x, y) in a picture `(h, w)` that can be a face."""
    if points.shape != (68, 2):
        count = len(points)
        raise InputError(f"{where} holds {count} points: write 68 lines, each x y in pixels.")
    outside = ~((points >= 0) & (points <= np.array(size[::-1]) - 1)).all(axis=1)
    if outside.any():
        number, (x, y) = int(outside.argmax()), points[outside.argmax()].tolist()
        raise InputError(
            f"{where}: point {number + 1} ({x:g}, {y:g}) is outside of the picture ({size[1]} x {size[0]} pixels)."
        )
    if len(np.unique(points.round(), axis=0)) < 34:
        raise InputError(f"{where}: the points are no face: many of them are at the same place.")


def usual_scale(exemplar: Exemplar) -> float:
    """How many times as large the exemplar is to be worked with."""
    wanted = np.clip(exemplar.eye_distance, *EYE_DISTANCES) / exemplar.eye_distance
    height, width = exemplar.picture.shape[:2]
    return min(wanted, MOST_ENLARGED, (LARGEST / (height * width)) ** 0.5)


def _resized(rgb: np.ndarray, size: Sequence[int]) -> np.ndarray:
    enlarges = size[0] > rgb.shape[1]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA)


def resized_by(exemplar: Exemplar, factor: float) -> Exemplar:
    """An exemplar, and with it its strokes, `factor` times as large."""
    if factor == 1:
        return exemplar
    height, width = exemplar.picture.shape[:2]
    size = [max(round(factor * side), 8) for side in (width, height)]
    pictures = [None if rgb is None else _resized(rgb, size) for rgb in (exemplar.picture, exemplar.likeness)]
    landmarks = (exemplar.landmarks + 0.5) * np.float32(np.divide(size, (width, height))) - 0.5
    return Exemplar(pictures[0], landmarks.astype(np.float32), exemplar.name, pictures[1])
