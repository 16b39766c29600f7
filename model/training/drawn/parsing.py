"""A stand-in for face parsing that needs no network: landmarks, GrabCut and colour mixtures.

It finds the person with GrabCut from head-and-shoulder priors, scores each pixel under Gaussian colour mixtures
learnt from the picture itself (skin from the cheeks, hair from the ring around the forehead, cloth from below), and
carries the soft result to full size with a guided filter.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.training.drawn.filters import blur, guided_filter, smoothstep
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
HAIR_LIKE = -9.5
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
    seed: tuple[int, int]  # (row, column) of a point surely on the person: the tip of the nose

    @staticmethod
    def of(shape: tuple[int, ...], landmarks: np.ndarray, frame: FaceFrame) -> "_Layout":
        coordinates = frame.to_face(pixel_grid(shape)) * frame.eye_distance
        chin = float((landmarks[8] - frame.origin) @ frame.up)
        top = float((forehead_arc(landmarks)[6] - frame.origin) @ frame.up)
        column, row = np.clip(landmarks[30], 0, (shape[1] - 1, shape[0] - 1)).astype(int)
        return _Layout(
            across=coordinates[..., 0],
            up=coordinates[..., 1],
            face=polygon(shape, face_outline(landmarks), 0),
            face_width=float(np.linalg.norm(landmarks[16] - landmarks[0])),
            face_height=top - chin,
            chin=chin,
            top=top,
            seed=(row, column),
        )

    def ellipse(self, half_width: float, centre: float, half_height: float) -> np.ndarray:
        """Inside of an ellipse given in face widths and face heights above the chin."""
        x = self.across / (half_width * self.face_width)
        y = (self.up - self.chin - centre * self.face_height) / (half_height * self.face_height)
        return x * x + y * y < 1

    def above_chin(self, fraction: float) -> float:
        return self.chin + fraction * self.face_height


GRABCUT_LEAST = 64
"""Pixels of person and of background that GrabCut's colour mixtures need at least."""


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

    person = _find_person(small, layout)
    skin_score = _likelihood(_skin_colours(lab, small_landmarks), lab)
    hair_score = _likelihood(_hair_colours(lab, layout, person, skin_score), lab)
    cloth_score = _likelihood(_cloth_colours(lab, layout, person, np.maximum(skin_score, hair_score + 2)), lab)
    person = _grow_into_hair(lab, layout, person, hair_score)

    scores = _region_scores(layout, person.astype(np.float32), skin_score, hair_score, cloth_score)
    regions = np.exp((scores - scores.max(-1, keepdims=True)) / TEMPERATURE)
    regions = cv2.GaussianBlur(regions / regions.sum(-1, keepdims=True), (0, 0), 1.2)
    regions = _to_full_size(regions, rgb)
    return Parsing(_beard_to_hair(regions, rgb, landmarks), landmarks)


def _find_person(small: np.ndarray, layout: _Layout) -> np.ndarray:
    across, up = abs(layout.across), layout.up
    labels = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    head = layout.ellipse(0.80, 0.60, 0.80)
    shoulders = (up < layout.above_chin(-0.10)) & (
        across < 0.75 * layout.face_width + 1.2 * np.maximum(0, layout.chin - up)
    )
    labels[head | shoulders] = cv2.GC_PR_FGD
    neck = (up < layout.above_chin(0.10)) & (up > layout.above_chin(-0.45)) & (across < 0.30 * layout.face_width)
    below_chin = layout.above_chin(-0.06) - up
    chest = (below_chin > 0) & (across < 0.45 * layout.face_width + 1.3 * below_chin)
    labels[(layout.face > 0.5) | neck | chest | layout.ellipse(0.52, 0.58, 0.60)] = cv2.GC_FGD
    far = (up > layout.above_chin(0.15)) & (across > 1.25 * layout.face_width)
    labels[far | (up > layout.top + 0.62 * layout.face_height)] = cv2.GC_BGD
    border = np.ones_like(head)
    border[3:, 3:-3] = False
    labels[border & (up > layout.above_chin(0.10)) & (labels != cv2.GC_FGD) & ~head] = cv2.GC_BGD

    seen_as_person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).sum()
    if min(seen_as_person, labels.size - seen_as_person) < GRABCUT_LEAST:
        return _connected(labels != cv2.GC_BGD, layout.seed, 5)  # a face that fills the picture leaves nothing to learn
    cv2.setRNGSeed(0)  # GrabCut starts from a random clustering
    cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    person = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return _connected(person, layout.seed, 5)


def _connected(mask: np.ndarray, seed: tuple[int, int], closing: int) -> np.ndarray:
    """The part of `mask` that hangs together with `seed`, small holes closed."""
    components = cv2.connectedComponents(mask.astype(np.uint8))[1]
    part = (components == components[seed]).astype(np.uint8)
    return cv2.morphologyEx(part, cv2.MORPH_CLOSE, np.ones((closing, closing), np.uint8)) > 0


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


def _cloth_colours(lab: np.ndarray, layout: _Layout, person: np.ndarray, known_score: np.ndarray) -> list:
    """Mixture of what lies below and beside the chin and is neither skin nor hair."""
    across = abs(layout.across) / layout.face_width
    below = (layout.up < layout.above_chin(-0.02)) & (across > 0.2) | (layout.up < layout.above_chin(-0.2))
    return _fit_mixture(lab[person & below & (known_score < NOT_SKIN)])


def _grow_into_hair(lab: np.ndarray, layout: _Layout, person: np.ndarray, hair_score: np.ndarray) -> np.ndarray:
    """Add connected hair-coloured pixels: big hair reaches beyond the GrabCut priors."""
    hair_like = hair_score > HAIR_LIKE
    beyond = hair_like & ~person
    backdrop = _likelihood(_fit_mixture(lab[~person & ~hair_like], 4), lab)
    grown = beyond & (hair_score > backdrop + 1) & (layout.up > layout.above_chin(-0.5))
    grown = cv2.morphologyEx(grown.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    candidate = _connected(person | grown, layout.seed, 7)
    # A backdrop of the colour of the hair would be swallowed whole.
    if candidate.mean() > 0.93 or beyond.sum() > 0.40 * (~person).sum():
        return person
    return candidate


def _region_scores(
    layout: _Layout, person: np.ndarray, skin: np.ndarray, hair: np.ndarray, cloth: np.ndarray
) -> np.ndarray:
    """Score [H, W, 6] of each region: colour likelihood plus what the position says."""

    def prior(mask: np.ndarray, weight: float) -> np.ndarray:
        return weight * np.log(np.clip(mask, 1e-3, 1))

    across, up, height, width = abs(layout.across), layout.up, layout.face_height, layout.face_width
    face = cv2.GaussianBlur(layout.face, (0, 0), WORK_SIZE / 64)
    below_brows = smoothstep(layout.above_chin(0.72), layout.above_chin(0.62), up)
    below_chin = smoothstep(layout.above_chin(0.05), layout.above_chin(-0.12), up)
    at_ears = (across > 0.42 * width) & (across < 0.64 * width) & (up < 0.12 * height) & (up > -0.36 * height)
    on_chest = smoothstep(layout.above_chin(-0.12), layout.above_chin(-0.40), up) * (across < 0.9 * width)
    crown = (layout.face < 0.5) & (up > layout.above_chin(0.6))
    low = smoothstep(layout.above_chin(0.05), layout.above_chin(-0.06), up)
    scores = np.dstack(
        [
            np.where(person > 0.5, -22.0, -4.0) - 6 * face,
            skin + prior(np.maximum(face, 0.002), 1.6) + (1.0 + 3.5 * below_brows) * face,
            skin + prior(at_ears, 1.0) + prior(1 - face, 1.0) - 0.3,
            skin + prior(below_chin * (1 - face), 1.0) - 0.2,
            hair + prior(1 - below_brows * face, 1.2) + prior(person, 0.9) + 2.0 * crown - 2.2 * on_chest,
            cloth + prior(low, 1.3) + prior(person, 0.8),
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

    Stubble and beards of any colour differ from skin by their fine texture, dark ones by their lightness too.
    """
    skin, hair = REGIONS.index("skin"), REGIONS.index("hair")
    unit = face_frame(landmarks).eye_distance
    lightness = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0]
    cheeks = regions[..., skin] * polygon(rgb.shape, landmarks[[1, 2, 31, 28, 35, 14, 15, 27]], 0) > 0.5
    if cheeks.sum() < 50:
        return regions
    beard = beard_mask(lightness, landmarks, unit, float(np.median(lightness[cheeks])))
    regions = regions.copy()
    regions[..., hair] += regions[..., skin] * beard
    regions[..., skin] *= 1 - beard
    return regions


def beard_mask(lightness: np.ndarray, landmarks: np.ndarray, unit: float, cheek: float) -> np.ndarray:
    """Soft mask [H, W] of facial hair, given lightness [H, W], the eye distance and the lightness of the cheeks."""
    zone = np.vstack([landmarks[2:15], landmarks[[35, 34, 33, 32, 31]] + (0, 0.04 * unit)])
    mask = polygon(lightness.shape, zone, 0.04 * unit)
    lips = polygon(lightness.shape, landmarks[48:60], 0)
    lips = cv2.dilate(lips, np.ones((3, 3), np.uint8), iterations=max(1, round(unit / 60)))
    mask *= 1 - cv2.GaussianBlur(lips, (0, 0), 0.015 * unit)
    # A fold or a lip is one strong edge, hair is many: clipping tells them apart.
    texture = blur(np.minimum(np.abs(lightness - blur(lightness, 0.025 * unit)), 4.0), 0.09 * unit)
    level = blur(lightness, 0.04 * unit)
    dark = smoothstep(0.72, 0.52, level / max(cheek, 1.0)) * smoothstep(0.8, 1.4, texture)
    rough = smoothstep(1.9, 2.6, texture)
    return (mask * np.maximum(dark, rough)).astype(np.float32)
