"""Stored pairs of drawings or paintings as training data: augmented on the fly, with weights for the loss.

Item n is a function of the seed and n alone, so that a resumed run sees what an uninterrupted one would have seen.
"""

import math

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from model.common.tensors import to_tensor
from model.faces.landmarks import LEFT_EYE, RIGHT_EYE, eye_centres
from model.training.data.shards import StoredPair

OUTPUT_SIZE = 384  # side of a target in pixels; about three eye distances, so that most of the face is seen
WINDOW_SIZE = 320  # side of the window that the simulated camera move shows, in pixels of the target
SCALE = 4  # target side divided by input side
# Smallest, usual and largest eye distance in a target. In pairs it is about 120 px: larger ones would teach blur.
EYE_DISTANCES = (80.0, 144.0, 224.0)
FACE_SHARE, FACE_JITTER = 0.6, 0.4  # of views that look at the face; standard deviation in eye distances
EYES_AND_NOSE = slice(27, 48)  # landmarks whose mean is the middle of the face
# Weights of the loss on eyes, and on brows and mouth: small in area, but all of the charm. They are smooth, so they are
# made at a quarter of the size, which is much faster.
EYE_WEIGHT, FEATURE_WEIGHT, WEIGHT_REDUCTION = 8.0, 4.0, 4
WEIGHTED_PARTS = [(slice(17, 22), FEATURE_WEIGHT), (slice(22, 27), FEATURE_WEIGHT), (slice(48, 68), FEATURE_WEIGHT)]
WEIGHTED_PARTS += [(LEFT_EYE, EYE_WEIGHT), (RIGHT_EYE, EYE_WEIGHT)]
# What differs from its surroundings (blurred by so many pixels) by so many grey levels weighs so much more. L1 draws
# the median of what may be: where a line is likely but not certain, that would be no line.
DETAIL_SIGMA, DETAIL_CONTRAST, DETAIL_WEIGHT = 6.0, 48.0, 3.0
GREY_SHARE = 0.10  # of samples, turned grey so that black-and-white photos stay so
HAZE_SHARE, HAZE_CONTRAST, HAZE_LEVELS = 0.25, (0.45, 0.9), (80.0, 220.0)  # so that faces keep their eyes in flat light
BLENDED_DEGREES = (0.1, 0.9)  # of paintings and their photos
FULL_SHARE, PARTIAL_SHARE = 0.70, 0.20  # of samples at degree 1 and at a partial one; the rest is at 0, the photo


def feature_weights(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Loss weights float32 `[size, size]`: 1, more on brows and mouth, most on eyes. `landmarks [68, 2]` in pixels."""
    distance = math.dist(*eye_centres(landmarks)) / WEIGHT_REDUCTION
    weights = np.ones((size // WEIGHT_REDUCTION,) * 2, np.float32)
    for part, weight in WEIGHTED_PARTS:
        hull = cv2.convexHull(np.round(landmarks[part] / WEIGHT_REDUCTION).astype(np.int32))
        part_weights = cv2.fillConvexPoly(np.ones_like(weights), hull, weight)
        reach = 2 * round(0.1 * distance) + 1  # lashes and outlines lie around the features
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        weights = np.maximum(weights, cv2.dilate(part_weights, kernel))
    weights = cv2.GaussianBlur(weights, (0, 0), 0.03 * distance)
    return cv2.resize(weights, (size, size), interpolation=cv2.INTER_LINEAR)


def detail_weights(picture: np.ndarray) -> np.ndarray:
    """Further loss weights float32 `[S, S]`, 0 to 3, on lines, strands and lights of a target RGB uint8 `[S, S, 3]`."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    contrast = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), DETAIL_SIGMA))
    return DETAIL_WEIGHT * np.minimum(contrast / DETAIL_CONTRAST, 1)


def random_view(rng: np.random.Generator, size: int, landmarks: np.ndarray) -> np.ndarray:
    """Affine matrix `[2, 3]` from a pair of side `size` with `landmarks [68, 2]` to a target: zoom, rotation and shift.
    Nothing is mirrored here, but before photos are drawn: drawings have their light on one side, and a network that
    sees catch-lights on either draws faint ones on both."""
    eyes = math.dist(*eye_centres(landmarks))
    zoom = math.exp(rng.triangular(*np.log(EYE_DISTANCES))) / eyes
    angle = math.radians(rng.normal(0, 9))
    matrix = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    # Slack between the picture and the window, plus a little beyond the border.
    slack = max(size - OUTPUT_SIZE / zoom, 0) / 2 + 0.08 * OUTPUT_SIZE / zoom
    seen, jitter, on_face = size / 2 + rng.uniform(-1, 1, 2) * slack, rng.normal(0, FACE_JITTER, 2), rng.random()
    if on_face < FACE_SHARE:
        seen = landmarks[EYES_AND_NOSE].mean(0) + jitter * eyes
    offset = OUTPUT_SIZE / 2 - matrix @ np.clip(seen, size / 2 - slack, size / 2 + slack)
    return np.column_stack([matrix, offset]).astype(np.float32)


def light_curve(rng: np.random.Generator) -> np.ndarray:
    """Another gamma, exposure and white balance: new levels `[256, 3]` for those from 0 to 255, perhaps above."""
    gamma = math.exp(rng.normal(0, 0.15))
    gain = rng.uniform(0.9, 1.08) * rng.uniform(0.94, 1.06, 3)
    return (np.arange(256)[:, None] / 255) ** gamma * gain * 255


def along(curve: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """RGB uint8 `[H, W, 3]` with the levels of `curve [256, 3]`."""
    return cv2.LUT(rgb, np.clip(np.round(curve), 0, 255).astype(np.uint8)[None])


def relight(rng: np.random.Generator, *pictures: np.ndarray) -> list[np.ndarray]:
    """Change gamma, exposure and white balance of RGB uint8 pictures, all alike; sometimes add haze or turn to grey."""
    curve = light_curve(rng)
    if rng.random() < HAZE_SHARE:
        contrast, level = rng.uniform(*HAZE_CONTRAST), rng.uniform(*HAZE_LEVELS)
        curve = level + (curve - level) * contrast
    changed = [along(curve, picture) for picture in pictures]
    if rng.random() < GREY_SHARE:
        changed = [cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for p in changed]
    return changed


def shrink(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    """Input made of an RGB uint8 photo: a quarter as large, with the faults of real cameras."""
    return spoil(rng, cv2.resize(photo, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA))


def spoil(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    """An RGB uint8 photo with the blur, noise and JPEG's squares of real cameras, or some of these."""
    if rng.random() < 0.3:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 0.8))
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(0.5, 5), photo.shape)
        photo = np.clip(np.round(photo + noise), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])[1]
        photo = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return photo


class DrawnPairs(Dataset):
    """Augmented items of a Batch, without `w_plus`, for any number from 0 on: `x [3, 96, 96]`, `y [3, 384, 384]`."""

    def __init__(self, pairs: list[StoredPair], styles: list[str], seed: int):
        self.pairs, self.styles, self.seed = pairs, styles, seed

    def __getitem__(self, n: int) -> dict:
        rng = np.random.default_rng((self.seed, n))
        pair = self.pairs[rng.integers(len(self.pairs))]
        facts, photo = pair.facts(), pair.picture("photo")
        is_drawn = pair.kind == "drawn"
        share, target, degree = rng.random(), photo, 0.0
        if share < FULL_SHARE:
            target, degree = pair.picture("full"), 1.0
        elif share < FULL_SHARE + PARTIAL_SHARE:
            target = pair.picture("partial" if is_drawn else "full")
            degree = facts["degree"] if is_drawn else rng.uniform(*BLENDED_DEGREES)
        landmarks = np.array(facts["landmarks"], np.float32)
        drawn = np.array(facts.get("landmarks_full", landmarks), np.float32)
        weight = feature_weights(landmarks + degree * (drawn - landmarks), len(photo))
        view = random_view(rng, len(photo), landmarks)
        how = {"dsize": (OUTPUT_SIZE, OUTPUT_SIZE), "flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
        photo, target, weight = (cv2.warpAffine(each, view, **how) for each in (photo, target, weight))
        lit, target_lit = relight(rng, photo, target)
        if degree == 0 or not facts.get("own_colours"):  # else a painting has its colours in any light
            target = target_lit
        if not is_drawn and 0 < degree < 1:
            target = cv2.addWeighted(target, degree, lit, 1 - degree, 0)
        photo = lit
        row, column = offset = rng.integers(0, OUTPUT_SIZE - WINDOW_SIZE + 1, 2)
        window = photo[row : row + WINDOW_SIZE, column : column + WINDOW_SIZE]
        item = {"x": to_tensor(shrink(rng, photo)), "moved": to_tensor(shrink(rng, window)), "offset": offset}
        if is_drawn:  # where each stroke of a painting lies, nobody can know
            weight = weight + detail_weights(target)
        item |= {"y": to_tensor(target), "weight": torch.from_numpy(weight)[None]}
        return item | {"degree": np.float32(degree), "style": self.styles.index(facts["style"])}
