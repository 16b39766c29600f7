"""Pairs of a photo and what a network that learnt without pairs makes of it; kept as those of the drawn teacher."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from model.common import cli
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.faces.landmarks import align_face, face_size, in_aligned
from model.styles.base import Crop, Preset, Style
from model.styles.translators.presets import WHITEBOX, AdainPreset, UgatitPreset, WhiteboxFilePreset
from model.training.data.shards import Result, encode_pair
from model.training.drawn.geometry import frame_portrait, mirror
from model.training.generate.drawn import PARTIAL_DEGREES
from model.training.generate.options import AdainData, PhotoData, UgatitData, WhiteboxData
from model.training.generate.photos import Job, check_names, fill_from_photos, results_of

AGAIN = 0.03  # of the eye distance: how far the framing of a photo is moved that comes a third time, or later


@dataclass(frozen=True)
class TranslatedLook:
    """A look by its preset, which is loaded in each process."""

    name: str
    preset: Preset
    keep_colors: bool = False
    own_colours: bool = False  # whether colours are the style's, not the photo's
    has_degrees: bool = True
    aligned: bool = False  # whether photos are framed as FFHQ's


def generate_translated(options: PhotoData) -> Counter[str]:
    """Make every missing shard; returns how many pairs were made or skipped, by outcome. Raises InputError."""
    options.check()
    if isinstance(options, UgatitData):
        looks, named = _ugatits(options), "--ckpt"
    elif isinstance(options, WhiteboxData):
        preset = WHITEBOX if options.ckpt is None else WhiteboxFilePreset(options.ckpt)
        looks, named = [TranslatedLook(preset.name, preset)], "--ckpt"
    else:
        looks, named = _pictures(options), "--style_image"
    check_names(looks, named)
    for look in looks:
        _load(look.preset)  # what is missing or wrong is told before the first photo
    described = [
        {"name": look.name, "keep_colors": look.keep_colors, "files": [_hash(file) for file in look.preset.files]}
        for look in looks
    ]
    return fill_from_photos(options, looks, described, translate)


def _ugatits(options: UgatitData) -> list[TranslatedLook]:
    from model import checkpoints

    if not options.ckpt:
        raise InputError("--ckpt is missing: give the file of a U-GAT-IT.")
    for path in options.ckpt:
        config = checkpoints.read_ugatit_config(path)
        if config.size != options.size:
            told = f"{path} learnt from pictures of {config.size} pixels, and pairs have {options.size}"
            if not config.light:
                raise InputError(f"{told}: a full U-GAT-IT takes no others; give --size {config.size}.")
            cli.say(f"{told}: give --size {config.size}, or a light one that learnt at {options.size}")
    return [TranslatedLook(path.stem, UgatitPreset(path), has_degrees=False, aligned=True) for path in options.ckpt]


def _pictures(options: AdainData) -> list[TranslatedLook]:
    if not options.style_image:
        raise InputError("--style_image is missing: give pictures as styles.")
    presets = {path: AdainPreset(((path, 1.0),), options.ckpt) for path in options.style_image}
    kept = options.keep_colors
    return [TranslatedLook(path.stem, presets[path], kept, own_colours=not kept) for path in options.style_image]


def _hash(file: str | Path) -> str:
    with (CHECKPOINTS / file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


@cache
def _load(preset: Preset) -> Style:
    """The style of a preset, once for each process, which is the only one on its core."""
    return preset.load(device="cpu")


def translate(job: Job) -> list[Result]:
    """Read one photo, and make its pair in each look."""
    return results_of(job, translated_pairs)


def translated_pairs(
    rgb: np.ndarray, landmarks: np.ndarray, looks: Sequence[TranslatedLook], size: int, rng: np.random.Generator,
    mirrored: bool, facts: dict,
) -> Iterator[dict[str, bytes]]:  # fmt: skip
    """Frame, mirror if asked, and translate a photo `[H, W, 3]` with the face at `landmarks [68, 2]`; side `size`.
    Yields the parts of a stored pair in each look with further `facts`. Shapes are taken to stay as they are."""
    if looks[0].aligned:
        photo, landmarks = _aligned(rgb, landmarks, size, rng, facts["variant"] > 1)
    else:
        photo, landmarks = frame_portrait(rgb, landmarks, size, rng)
    if mirrored:
        photo, landmarks = mirror(photo, landmarks)
    points = np.round(landmarks, 2).tolist()
    for look in looks:
        degree = round(float(rng.uniform(*PARTIAL_DEGREES)), 4) if look.has_degrees else 1.0
        full = partial = _painted(look, photo, landmarks, 1.0)
        if look.has_degrees:
            partial = _painted(look, photo, landmarks, degree)
        known = {"kind": "drawn", "style": look.name, "degree": degree}
        known |= {"landmarks": points, "landmarks_full": points, "own_colours": look.own_colours}
        yield encode_pair(photo, full, partial, known | facts)


def _aligned(
    rgb: np.ndarray, landmarks: np.ndarray, size: int, rng: np.random.Generator, again: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A photo framed as the faces that U-GAT-IT learns from."""
    framing = landmarks
    if again:
        framing = landmarks + rng.normal(0, AGAIN * face_size(landmarks), 2).astype(np.float32)
    return align_face(rgb, framing, size), in_aligned(landmarks, framing, size)


def _painted(look: TranslatedLook, photo: np.ndarray, landmarks: np.ndarray, degree: float) -> np.ndarray:
    effects = {"keep_colors": True} if look.keep_colors else {}
    renderer = _load(look.preset).renderer(None, degree=degree, **effects)
    (picture,) = renderer.start([Crop(photo, landmarks)])()
    return picture
