"""What those who draw take from a photo before they begin: its size for the work, the person's outline and tones, the
irises."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from model.common.errors import InputError
from model.faces.landmarks import EYES
from model.styles.painters.subject import Subject

LIGHTEST, DIM = 99.0, 70.0  # percentile of the lightness of a photo, and what it is at least where that is not too dark
LIGHTNESS_POWER = 0.95  # RGB values go about with this power of lightness
LARGEST_GAIN = 3.0  # of a dark photo: noise limits it
GUIDE_EYE_DISTANCE = 50.0  # pixels between the eyes in the copy from which the outline is computed
GUIDE_SMOOTHNESS = 2e-3  # variance of Lab / 100 from which on an edge is one
SMALL_SIGMA = 4.0  # pixels of the copies on which broad blurs are computed
LARGEST_FACTOR = 3.0  # by which a small picture is enlarged to be planned
LARGEST_WORK = 1500  # pixels of the longer side that a drawing is planned at
IRIS = 0.21  # radius of an iris as a part of the eye's width between its corners: people differ little
LEAST_EYE = 6  # pixels between the corners of an eye that is worth a closer look
LEAST_CONTRAST = 5.0  # lightness by which an iris is darker than the white around it
OPEN = 0.12  # height of an eye as a part of its width from which an iris is looked for
SKIN_TONE = (0.22, 0.66)  # planned tone of skin of lightness 0, and what a lightness of 1 adds
PERSON_RANGE = (2.0, 98.0)  # percentiles of the person's lightness that become black and white


@dataclass(frozen=True)
class Iris:
    """Centre and radius in pixels."""

    x: float
    y: float
    radius: float


def three_numbers(painter: object, *names: str) -> None:
    """Raise InputError unless these values of a painter are lists of three."""
    for name in names:
        if len(getattr(painter, name)) != 3:
            raise InputError(f"{name!r} must be three numbers, not {getattr(painter, name)}.")


def well_exposed(subject: Subject) -> Subject:
    """The subject as on a photo that is not too dark: its lightest parts tell. Others stay as they are."""
    lightest = float(np.percentile(lab_of(subject.rgb)[..., 0], LIGHTEST))
    gain = min((DIM / max(lightest, 1.0)) ** LIGHTNESS_POWER, LARGEST_GAIN)
    if gain <= 1:
        return subject
    return replace(subject, rgb=np.clip(subject.rgb * gain + 0.5, 0, 255).astype(np.uint8))


def resized(subject: Subject, eye_distance: float) -> Subject:
    """The subject at another size, so that the eyes are about `eye_distance` pixels apart, or less where the picture
    would be larger than is worth the time: see the `eye_distance` of the result."""
    height, width = subject.rgb.shape[:2]
    factor = min(eye_distance / subject.eye_distance, LARGEST_WORK / max(height, width), LARGEST_FACTOR)
    size = (max(round(width * factor), 16), max(round(height * factor), 16))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scale = np.array(size) / (width, height)
    points = None if subject.landmarks is None else ((subject.landmarks + 0.5) * scale - 0.5).astype(np.float32)
    rgb, matte = (cv2.resize(picture, size, interpolation=how) for picture in (subject.rgb, subject.matte))
    return replace(subject, rgb=rgb, landmarks=points, matte=np.clip(matte, 0, 1))


def enlarged(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Smooth values float32 `[h, w]` or `[h, w, C]` at the size of another picture, which may be smaller, too."""
    size = like.shape[1::-1]
    how = cv2.INTER_AREA if size[0] < values.shape[1] else cv2.INTER_CUBIC
    if values.ndim == 2:
        return cv2.resize(values, size, interpolation=how)
    return np.dstack([cv2.resize(layer, size, interpolation=how) for layer in np.moveaxis(values, -1, 0)])


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """float32 `[H, W]` under a Gaussian of `sigma` pixels; broad ones are computed on a small copy."""
    factor = max(int(sigma / SMALL_SIGMA), 1)
    if factor == 1:
        return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.1))
    size = [-(-side // factor) for side in values.shape[1::-1]]
    small = cv2.GaussianBlur(cv2.resize(values, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / factor)
    return cv2.resize(small, values.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """From 0 below `low` to 1 above `high`, smoothly; also downwards, where `high` is the lower one, and at once, where
    they are the same."""
    t = np.clip((values - low) / ((high - low) or 1e-6), 0, 1)
    return t * t * (3 - 2 * t)


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab float32 of RGB uint8: L in 0..100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def rgb_of(lab: np.ndarray) -> np.ndarray:
    """RGB float32 in 0..255 of CIE Lab float32."""
    return 255 * np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def person(subject: Subject) -> np.ndarray:
    """The matte float32 `[H, W]` drawn to the edges of the photo, then made firmer. The guided filter, computed on a
    small copy (He et al. 2010; He and Sun 2015)."""
    small = resized(subject, min(GUIDE_EYE_DISTANCE, subject.eye_distance))
    radius = round(0.16 * small.eye_distance) + 1
    slope, offset = _guided(lab_of(small.rgb) / 100, small.matte.astype(np.float32), radius)
    guide = lab_of(subject.rgb) / 100
    matte = (enlarged(slope, guide) * guide).sum(axis=-1) + enlarged(offset, guide)
    return step(matte, 0.2, 0.8).astype(np.float32)


def _guided(guide: np.ndarray, values: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """(slope `[H, W, 3]`, offset `[H, W]`) by which the values are an affine function of the guide `[H, W, 3]`."""

    def mean(picture: np.ndarray) -> np.ndarray:
        return cv2.blur(picture, (2 * radius + 1, 2 * radius + 1))

    middle, level = mean(guide), mean(values)
    cross = mean(guide * values[..., None]) - middle * level[..., None]
    pairs = guide[..., :, None] * guide[..., None, :]
    spread = mean(pairs.reshape(*values.shape, 9)).reshape(pairs.shape) - middle[..., :, None] * middle[..., None, :]
    slope = np.linalg.solve(spread + GUIDE_SMOOTHNESS * np.eye(3, dtype=np.float32), cross[..., None])[..., 0]
    return mean(slope), mean(level - (slope * middle).sum(axis=-1))


def tones(subject: Subject, matte: np.ndarray, local: float) -> np.ndarray:
    """Lightness float32 `[H, W]` in [0, 1] as an artist plans it: the person's tones fill the scale from black to
    white, and skin lands on a middle tone that stays in proportion to its own lightness; `local` is how much detail
    stands out from its surroundings."""
    light = lab_of(subject.rgb)[..., 0] / 100
    here = light[matte > 0.6] if (matte > 0.6).any() else light.ravel()
    black, white = np.percentile(here, PERSON_RANGE)
    spread = np.clip((light - black) / max(white - black, 0.3), 1e-3, 1)
    around = blurred(spread, 0.45 * subject.eye_distance)
    skin = subject.face > 0.8
    if skin.any():
        middle = np.clip(np.median(spread[skin]), 0.15, 0.9)
        wanted = SKIN_TONE[0] + SKIN_TONE[1] * np.median(light[skin])
        power = np.clip(np.log(wanted) / np.log(middle), 0.6, 2.5)
        spread, around = spread**power, around**power
    return np.clip(spread + local * (spread - around), 0, 1).astype(np.float32)


def vignette(size: tuple[int, int], corners: float, fade: float) -> np.ndarray:
    """1 in the middle of a picture and 0 at its border, float32 `[H, W]`; it falls from a part `fade` of the way on.
    `corners` is the exponent of the superellipse: 2 is an oval, more is squarer."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y = np.abs(2 * columns / (size[1] - 1) - 1), np.abs(2 * rows / (size[0] - 1) - 1)
    return step((x**corners + y**corners) ** (1 / corners), 1.0, fade).astype(np.float32)


def eyes(subject: Subject) -> list[tuple[Iris, np.ndarray]]:
    """The irises of those eyes that are open, in the middle where none stands out from the white, and the soft shapes
    of the eyes between their lids, float32 `[H, W]`."""
    if subject.landmarks is None:
        return []
    light = cv2.GaussianBlur(lab_of(subject.rgb)[..., 0], (0, 0), max(0.015 * subject.eye_distance, 0.3))
    found = []
    for eye in (subject.landmarks[part] for part in EYES):
        shape = np.zeros(light.shape, np.float32)
        cv2.fillConvexPoly(shape, cv2.convexHull(np.round(eye * 16).astype(np.int32)), 1.0, cv2.LINE_AA, 4)
        iris = _iris(light, eye, shape > 0.5)
        if iris is not None:
            found.append((iris, cv2.GaussianBlur(shape, (0, 0), max(0.02 * subject.eye_distance, 0.5))))
    return found


def _iris(light: np.ndarray, eye: np.ndarray, inside: np.ndarray) -> Iris | None:
    """The darkest disc in the eye that has the size of an iris."""
    width = float(np.linalg.norm(eye[3] - eye[0]))
    upper, lower = (eye[1] + eye[2]) / 2, (eye[4] + eye[5]) / 2
    if np.linalg.norm(lower - upper) < OPEN * width or width < LEAST_EYE:
        return None
    radius, along = IRIS * width, (eye[3] - eye[0]) / width
    rows, columns = np.nonzero(inside)
    seen = light[rows, columns]
    best, centre = LEAST_CONTRAST, tuple(((upper + lower) / 2).tolist())
    for offset in np.linspace(-0.22, 0.22, 45) * width:
        x, y = (upper + lower) / 2 + offset * along
        disc = np.hypot(columns - x, rows - y) < radius
        if disc.any() and not disc.all() and (darker := seen[~disc].mean() - seen[disc].mean()) > best:
            best, centre = darker, (float(x), float(y))
    return Iris(*centre, radius)
