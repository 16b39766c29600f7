"""A stand-in for face parsing: a small matte network, landmarks and colour mixtures.

The network finds the person. Each pixel of the person is scored under Gaussian colour mixtures learnt from the picture
itself (skin from the cheeks, hair from the ring around the forehead, cloth from below), and the soft result is carried
to full size with a guided filter.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.parsing.matting import person_matte
from model.training.drawn.filters import blur, guided_filter, masked_blur, smoothstep
from model.training.drawn.geometry import (
    BROWS,
    EYES,
    FaceFrame,
    face_frame,
    face_outline,
    forehead_arc,
    refine_brows,
)
from model.training.drawn.strokes import pixel_grid, polygon

REGIONS = ("background", "skin", "ears", "neck", "hair", "cloth")
# The parsing runs on a picture of this height; soft masks need no more.
WORK_SIZE = 192
# Log-likelihood given to colours that a mixture does not know.
UNKNOWN = -30.0
# Below this a colour is not taken for skin when the hair and cloth colours are learnt.
NOT_SKIN = -13.0
# Cloth may be of any colour: what no mixture explains is cloth.
CLOTH_FLOOR = -14.0
# Cheeks with less colour (Lab chroma) than this, as in grey photos, say nothing about grey beards.
LEAST_COLOUR = 8.0
# Scores are log-likelihoods; dividing them softens the decision between regions.
TEMPERATURE = 2.0


@dataclass(frozen=True)
class Parsing:
    """Soft regions of a portrait, [H, W, 6] float32 that sums to one in the order of REGIONS, and its landmarks
    [68, 2] with the brows put right."""

    regions: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True)
class _Layout:
    """What the landmarks say about the small picture: coordinates [H, W] in pixels along the face's axes."""

    across: np.ndarray
    up: np.ndarray
    face: np.ndarray
    face_width: float
    face_height: float
    chin: float
    top: float

    @staticmethod
    def of(shape: tuple[int, ...], landmarks: np.ndarray, frame: FaceFrame) -> "_Layout":
        coordinates = frame.to_face(pixel_grid(shape)) * frame.eye_distance
        chin = float((landmarks[8] - frame.origin) @ frame.up)
        top = float((forehead_arc(landmarks)[6] - frame.origin) @ frame.up)
        return _Layout(
            across=coordinates[..., 0],
            up=coordinates[..., 1],
            face=polygon(shape, face_outline(landmarks), 0),
            face_width=float(np.linalg.norm(landmarks[16] - landmarks[0])),
            face_height=top - chin,
            chin=chin,
            top=top,
        )

    def above_chin(self, fraction: float) -> float:
        return self.chin + fraction * self.face_height


def parse_portrait(rgb: np.ndarray, landmarks: np.ndarray) -> Parsing:
    """Parse an aligned portrait [H, W, 3] uint8 with landmarks [68, 2]. Deterministic."""
    landmarks = refine_brows(rgb, landmarks)
    height, width = rgb.shape[:2]
    scale = WORK_SIZE / height
    small = cv2.resize(rgb, (max(8, round(width * scale)), WORK_SIZE), interpolation=cv2.INTER_AREA)
    small = cv2.bilateralFilter(small, 5, 25, 3)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    small_landmarks = landmarks * scale
    layout = _Layout.of(lab.shape, small_landmarks, face_frame(small_landmarks))

    # Whatever the network says, the middle of the face is no background.
    matte = np.maximum(person_matte(small), cv2.erode(layout.face, np.ones((9, 9), np.uint8)))
    person = matte > 0.5
    skin_score = _likelihood(_skin_colours(lab, small_landmarks), lab)
    hair_score = _likelihood(_hair_colours(lab, layout, person, skin_score), lab)
    cloth_score = _likelihood(_cloth_colours(lab, layout, person, skin_score, hair_score), lab)

    scores = _region_scores(layout, skin_score, hair_score, cloth_score)
    parts = np.exp((scores - scores.max(-1, keepdims=True)) / TEMPERATURE)
    parts *= (matte / parts.sum(-1))[..., None]
    regions = cv2.GaussianBlur(np.dstack([1 - matte, parts]), (0, 0), 1.2)
    regions = _to_full_size(regions, rgb)
    return Parsing(_beard_to_hair(regions, rgb, landmarks), landmarks)


def _fit_mixture(colours: np.ndarray, count: int = 3) -> list[tuple[float, np.ndarray, np.ndarray, float]]:
    """Gaussian mixture of Lab `colours` [N, 3]: (log weight, mean, inverse covariance, log determinant) each.

    Empty when there are too few colours to learn from.
    """
    if len(colours) < 10 * count:
        return []
    colours = np.ascontiguousarray(colours[:: max(1, len(colours) // 3000)], np.float32)
    # Starting from bands of lightness keeps the clustering deterministic.
    start = (np.argsort(np.argsort(colours[:, 0])) * count // len(colours)).astype(np.int32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 15, 0.5)
    labels = cv2.kmeans(colours, count, start, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)[1][:, 0]
    mixture = []
    for part in (colours[labels == index] for index in range(count)):
        if len(part) >= 12:
            covariance = np.cov(part.T) + np.diag([12.0, 4.0, 4.0])
            log_det = float(np.linalg.slogdet(covariance)[1])
            inverse = np.linalg.inv(covariance).astype(np.float32)
            mixture.append((float(np.log(len(part) / len(colours))), part.mean(0), inverse, log_det))
    return mixture


def _likelihood(mixture: list, lab: np.ndarray) -> np.ndarray:
    """Log-likelihood [H, W] of each pixel of `lab`, no less than UNKNOWN."""
    total = np.full(lab.shape[:2], UNKNOWN, np.float32)
    for log_weight, mean, inverse, log_det in mixture:
        offset = lab - mean
        distance = ((offset @ inverse) * offset).sum(-1)
        total = np.logaddexp(total, log_weight - 0.5 * distance - 0.5 * log_det)
    return total.astype(np.float32)


def _skin_colours(lab: np.ndarray, landmarks: np.ndarray) -> list:
    """Mixture of the face between jaw and brows, features and outliers (glasses, stray hair) left out."""
    window = np.ones((5, 5), np.uint8)
    inner = cv2.erode(polygon(lab.shape, np.vstack([landmarks[1:16], landmarks[26:16:-1]]), 0), window) > 0.5
    for part in (*EYES, *BROWS, slice(48, 60)):
        hull = cv2.convexHull(landmarks[part].astype(np.float32))[:, 0]
        inner &= cv2.dilate(polygon(lab.shape, hull, 0), window) < 0.3
    colours = lab[inner]
    if not len(colours):
        return []
    spread = np.abs(colours - np.median(colours, 0)) / (18.0, 6.0, 6.0)
    return _fit_mixture(colours[spread.max(1) < 2])


def _hair_colours(lab: np.ndarray, layout: _Layout, person: np.ndarray, skin_score: np.ndarray) -> list:
    around = person & (layout.face < 0.5)
    return _fit_mixture(lab[around & (layout.up > layout.above_chin(0.55)) & (skin_score < NOT_SKIN)])


def _cloth_colours(
    lab: np.ndarray, layout: _Layout, person: np.ndarray, skin_score: np.ndarray, hair_score: np.ndarray
) -> list:
    """Mixture of what lies below and beside the chin and is not skin; nor hair, except on the chest.

    A suit is often as dark as the hair: on the chest its position tells them apart.
    """
    across = abs(layout.across) / layout.face_width
    below = (layout.up < layout.above_chin(-0.02)) & (across > 0.2) | (layout.up < layout.above_chin(-0.2))
    chest = layout.up < layout.above_chin(-0.12)
    return _fit_mixture(lab[person & below & (skin_score < NOT_SKIN) & ((hair_score < NOT_SKIN - 2) | chest)])


def _region_scores(layout: _Layout, skin: np.ndarray, hair: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """Score [H, W, 5] of each region of the person: colour likelihood plus what the position says."""

    def prior(mask: np.ndarray, weight: float) -> np.ndarray:
        return weight * np.log(np.clip(mask, 1e-3, 1))

    across, up, height, width = abs(layout.across), layout.up, layout.face_height, layout.face_width
    face = cv2.GaussianBlur(layout.face, (0, 0), WORK_SIZE / 64)
    below_brows = smoothstep(layout.above_chin(0.72), layout.above_chin(0.62), up)
    below_chin = smoothstep(layout.above_chin(0.05), layout.above_chin(-0.12), up)
    at_ears = (across > 0.42 * width) & (across < 0.64 * width) & (up < 0.12 * height) & (up > -0.36 * height)
    on_chest = smoothstep(layout.above_chin(0.05), layout.above_chin(-0.20), up)
    # Low beside the face, hair falls close to it; what lies further out is a shoulder.
    on_shoulder = on_chest * smoothstep(0.55 * width, 0.8 * width, across)
    crown = (layout.face < 0.5) & (up > layout.above_chin(0.6))
    low = smoothstep(layout.above_chin(0.05), layout.above_chin(-0.06), up)
    scores = np.dstack(
        [
            skin + prior(np.maximum(face, 0.002), 1.6) + (1.0 + 3.5 * below_brows) * face,
            skin + prior(at_ears, 1.0) + prior(1 - face, 1.0) - 0.3,
            skin + prior(below_chin * (1 - face), 1.0) - 0.2,
            hair + prior(1 - below_brows * face, 1.2) + 2.0 * crown - 2.2 * on_chest - 2.0 * on_shoulder,
            np.maximum(cloth, CLOTH_FLOOR) + prior(low, 1.3) + prior(1 - face, 1.5),
        ]
    )
    return np.maximum(scores, UNKNOWN).astype(np.float32)


def _to_full_size(regions: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    size = (rgb.shape[1], rgb.shape[0])
    halves = [cv2.resize(np.ascontiguousarray(half), size) for half in (regions[..., :3], regions[..., 3:])]
    # Squaring undoes some of the softness of the guided filter: little skin is left beyond the edge of the face.
    regions = np.dstack([np.clip(guided_filter(guide, half, 7, 4e-4), 0, 1) for half in halves]) ** 2
    return regions / (regions.sum(-1, keepdims=True) + 1e-6)


def _beard_to_hair(regions: np.ndarray, rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Hand beard and moustache over from skin to hair.

    Beards of any colour differ from skin by their fine texture, dark ones by their lightness too, grey and white ones
    by their lack of colour.
    """
    skin, hair = REGIONS.index("skin"), REGIONS.index("hair")
    unit = face_frame(landmarks).eye_distance
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    cheeks = regions[..., skin] * polygon(rgb.shape, landmarks[[1, 2, 31, 28, 35, 14, 15, 27]], 0) > 0.5
    if cheeks.sum() < 50:
        return regions
    beard = beard_mask(lab, landmarks, unit, np.median(lab[cheeks], 0))
    regions = regions.copy()
    regions[..., hair] += regions[..., skin] * beard
    regions[..., skin] *= 1 - beard
    return regions


def beard_mask(lab: np.ndarray, landmarks: np.ndarray, unit: float, cheek: np.ndarray) -> np.ndarray:
    """Soft mask [H, W] of facial hair, given Lab colours [H, W, 3], the eye distance and the cheeks' colour [3]."""
    lightness = np.ascontiguousarray(lab[..., 0])
    zone = np.vstack([landmarks[2:15], landmarks[[35, 34, 33, 32, 31]] + (0, 0.08 * unit)])
    mask = polygon(lightness.shape, zone, 0.04 * unit)
    lips = polygon(lightness.shape, landmarks[48:60], 0)
    lips = cv2.dilate(lips, np.ones((3, 3), np.uint8), iterations=max(1, round(unit / 60)))
    mask *= 1 - cv2.GaussianBlur(lips, (0, 0), 0.015 * unit)
    # A fold is one strong edge, hair is many: clipping tells them apart. Lips, nostrils and the jaw's edge don't count.
    detail = np.minimum(np.abs(lightness - blur(lightness, 0.025 * unit)), 4.0)
    texture = masked_blur(detail, mask, 0.09 * unit)
    level = blur(lightness, 0.04 * unit)
    dark = smoothstep(0.72, 0.52, level / max(float(cheek[0]), 1.0)) * smoothstep(0.8, 1.4, texture)
    rough = smoothstep(1.9, 2.6, texture)
    colour = blur(np.hypot(lab[..., 1], lab[..., 2]), 0.04 * unit)
    cheek_colour = float(np.hypot(cheek[1], cheek[2]))
    grey = smoothstep(0.6, 0.42, colour / max(cheek_colour, 1.0)) * smoothstep(1.1, 1.7, texture)
    grey *= smoothstep(LEAST_COLOUR, 1.5 * LEAST_COLOUR, cheek_colour)
    return (mask * np.maximum.reduce([dark, rough, grey])).astype(np.float32)
