"""Pairs of a photo and its painting, by the painters or after a picture; those that went wrong are left out."""

import dataclasses
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from model.common.hub import CHECKPOINTS
from model.faces.detect import find_all_landmarks
from model.faces.landmarks import face_size, open_mouth
from model.styles import catalog
from model.styles.base import Crop, Style
from model.styles.example.exemplar import load_exemplar
from model.styles.example.presets import EXEMPLARS, FOLDER
from model.styles.names import resolve_style
from model.styles.painters.features import open_eyes
from model.styles.painters.presets import PAINTERS
from model.styles.painters.values import load_painter
from model.training.data.shards import Result, encode_pair
from model.training.drawn.geometry import frame_portrait, mirror
from model.training.generate.options import ExampleData, PainterData
from model.training.generate.photos import Job, check_names, fill_from_photos, results_of

# Landmarks that are found again in the framed photo may be so far away, on the average, in eye distances. Where they
# are not, guides fail: the face is turned, or something lies over it.
UNSURE = 0.06
UNLIKE = 0.6  # difference in how open a mouth or eyes are, from 0 to 1, from which on photo and painting differ


@dataclasses.dataclass(frozen=True)
class PaintedLook:
    """A look by the name of its preset, which is loaded in each process."""

    name: str
    preset: str
    own_colours: bool  # whether colours are the style's, not the photo's
    exemplar: str | None = None  # which look of the preset; None: it has one


def generate_painted(options: PainterData | ExampleData) -> Counter[str]:
    """Paint every missing shard; returns how many pairs were drawn or skipped, by outcome. Raises InputError."""
    options.check()
    if isinstance(options, PainterData):
        looks, described = _painters(options.style)
        check_names(looks, "--style")
    else:
        looks, described = _pictures(options)
        check_names(looks, "--style_id and --style_image")
    return fill_from_photos(options, looks, described, paint)


def _painters(names: Sequence[str]) -> tuple[list[PaintedLook], list[dict]]:
    """The painters of these names or files, and all their values."""
    looks, described = [], []
    for name in names:
        values = dataclasses.asdict(load_painter(name))
        if name in PAINTERS.style_names:
            looks.append(PaintedLook(name, PAINTERS.name, False, name))
        else:
            looks.append(PaintedLook(Path(name).stem, name, False))
        described.append({"name": looks[-1].name} | json.loads(json.dumps(values)))  # as they are read back
    return looks, described


def _pictures(options: ExampleData) -> tuple[list[PaintedLook], list[dict]]:
    """The pictures that the options name, and what tells them from others."""
    ids = [resolve_style(EXEMPLARS.style_names, name) for name in options.style_id]
    ids = ids if ids or options.style_image else [EXEMPLARS.style_names[0]]
    looks = [PaintedLook(name, EXEMPLARS.name, True, name) for name in ids]
    looks += [PaintedLook(path.stem, str(path), True) for path in options.style_image]
    files = [CHECKPOINTS / FOLDER / f"{name}.jpg" for name in ids] + options.style_image
    described = []
    for look, file in zip(looks, files, strict=True):
        exemplar = load_exemplar(file)
        pictures = exemplar.picture, exemplar.landmarks, np.array(exemplar.likeness is not None)
        described.append({"name": look.name, "picture": zlib.crc32(b"".join(each.tobytes() for each in pictures))})
    return looks, described


@cache
def _load(preset: str) -> Style:
    """The style of a preset, once for each process, which is the only one on its core."""
    return catalog.choose_preset(preset).load(device="cpu")


def paint(job: Job) -> list[Result]:
    """Read one photo, and paint it in each look."""
    return results_of(job, paint_pairs)


def paint_pairs(
    rgb: np.ndarray, landmarks: np.ndarray, looks: Sequence[PaintedLook], size: int, rng: np.random.Generator,
    mirrored: bool, facts: dict,
) -> Iterator[dict[str, bytes] | str]:  # fmt: skip
    """Frame, mirror if asked, and paint a photo `[H, W, 3]` with the face at `landmarks [68, 2]`; side `size`. Yields
    the parts of a stored pair in each look with further `facts`, or why the painting is not to be learnt from."""
    photo, landmarks = frame_portrait(rgb, landmarks, size, rng)
    if mirrored:
        photo, landmarks = mirror(photo, landmarks)
    if not is_sure(photo, landmarks):
        yield from ["with uncertain landmarks"] * len(looks)
        return
    for look in looks:
        renderer = _load(look.preset).renderer(None, exemplar=look.exemplar)
        (painting,) = renderer.start([Crop(photo, landmarks)])()
        if (reason := what_differs(painting, landmarks)) is not None:
            yield reason
            continue
        known = {"kind": "painted", "style": look.name, "own_colours": look.own_colours}
        known["landmarks"] = np.round(landmarks, 2).tolist()
        yield encode_pair(photo, painting, None, known | facts)


def is_sure(photo: np.ndarray, landmarks: np.ndarray) -> bool:
    """Whether the face at `landmarks [68, 2]` is found again there in a framed photo."""
    return any(away(face, landmarks) < UNSURE for face in find_all_landmarks(photo))


def what_differs(painting: np.ndarray, landmarks: np.ndarray) -> str | None:
    """In what the face of a painting, if one is found, differs from that in the photo at `landmarks [68, 2]`: a mouth
    or eyes that are open in one of them alone. None where they are alike, as far as can be seen."""
    faces = find_all_landmarks(painting)
    near = min(faces, key=lambda face: away(face, landmarks), default=None)
    if near is None or away(near, landmarks) > 2 * UNSURE:
        return None
    for openness, part in ((open_mouth, "mouth"), (open_eyes, "eyes")):
        if abs(openness(near) - openness(landmarks)) > UNLIKE:
            return f"with another {part}" if part == "mouth" else f"with other {part}"
    return None


def away(face: np.ndarray, landmarks: np.ndarray) -> float:
    """Mean distance of two faces `[68, 2]`, in eye distances of the second."""
    return float(np.linalg.norm(face - landmarks, axis=1).mean()) / face_size(landmarks)
