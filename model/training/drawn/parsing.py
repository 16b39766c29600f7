"""A stand-in for face parsing: a small matte network finds the person, and each pixel of the person is scored under
Gaussian colour mixtures learnt from the picture itself: skin from the cheeks, hair from around the forehead, cloth from
below. The soft result is carried to full size with a guided filter."""

from collections import namedtuple

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.parsing.matting import person_matte
from model.training.drawn.geometry import BROWS, EYES, face_frame, forehead_arc, refine_brows
from model.training.drawn.raster import blur, guided_filter, masked_blur, polygon, smoothstep, to_lab

REGIONS = ("background", "skin", "ears", "neck", "hair", "cloth")
WORK_SIZE = 192  # the parsing runs on a picture of this height; soft masks need no more
UNKNOWN = -30.0  # log-likelihood of colours that a mixture does not know
NOT_SKIN = -13.0  # colours less likely than this are no skin when the hair and cloth colours are learnt
CLOTH_FLOOR = -14.0  # cloth may be of any colour: what no mixture explains is cloth
LEAST_COLOUR = 8.0  # cheeks of less chroma, as in grey photos, say nothing about grey beards
TEMPERATURE = 2.0  # scores are log-likelihoods; dividing them softens the decision between regions


# Soft regions of a portrait, `[H, W, 6]` float32 that sums to one in the order of REGIONS, and its landmarks `[68, 2]`
# with the brows put right.
Parsing = namedtuple("Parsing", "regions landmarks")


class _Layout:
    """Where the pixels of a small picture of `shape` lie on the face with `landmarks [68, 2]`."""

    def __init__(self, shape: tuple[int, ...], landmarks: np.ndarray):
        frame, forehead = face_frame(landmarks), forehead_arc(landmarks)
        right, up = np.moveaxis(frame.to_face(pixel_grid(*shape[:2])) * frame.eye_distance, -1, 0)
        chin = float((landmarks[8] - frame.origin) @ frame.up)
        height = float((forehead[6] - frame.origin) @ frame.up) - chin
        self.across = abs(right) / float(np.linalg.norm(landmarks[16] - landmarks[0]))  # 0: middle, 0.5: jaw
        self.up = (up - chin) / height  # 0: chin, 1: hairline
        self.above_root = up / height  # the same, 0 at the root of the nose
        self.face = polygon(shape, np.vstack([landmarks[:17], forehead[::-1]]), 0)  # mask of its outline


def parse_portrait(rgb: np.ndarray, landmarks: np.ndarray) -> Parsing:
    """Parse an aligned portrait `[H, W, 3]` uint8 with landmarks `[68, 2]`. Deterministic."""
    landmarks = refine_brows(rgb, landmarks)
    height, width = rgb.shape[:2]
    scale = WORK_SIZE / height
    small = cv2.resize(rgb, (max(8, round(width * scale)), WORK_SIZE), interpolation=cv2.INTER_AREA)
    small = cv2.bilateralFilter(small, 5, 25, 3)
    lab = to_lab(small)
    layout = _Layout(lab.shape, landmarks * scale)

    # Whatever the network says, the middle of the face is no background.
    matte = np.maximum(person_matte(small), cv2.erode(layout.face, np.ones((9, 9), np.uint8)))
    person = matte > 0.5
    skin = _likelihood(_skin_colours(lab, landmarks * scale), lab)
    hair = _likelihood(lab[person & (layout.face < 0.5) & (layout.up > 0.55) & (skin < NOT_SKIN)], lab)
    # Cloth lies below and beside the chin and is not skin; nor hair, except on the chest: a suit is often as dark as
    # the hair, and only its position tells them apart.
    below = ((layout.up < -0.02) & (layout.across > 0.2)) | (layout.up < -0.2)
    no_hair = (hair < NOT_SKIN - 2) | (layout.up < -0.12)
    cloth = _likelihood(lab[person & below & (skin < NOT_SKIN) & no_hair], lab)

    scores = _region_scores(layout, skin, hair, cloth)
    parts = np.exp((scores - scores.max(-1, keepdims=True)) / TEMPERATURE)
    parts *= (matte / parts.sum(-1))[..., None]
    small = cv2.GaussianBlur(np.dstack([1 - matte, parts]), (0, 0), 1.2)

    # Full size. Squaring undoes some softness of the guided filter: little skin is left beyond the edge of the face.
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    regions = np.clip(guided_filter(guide, cv2.resize(small, rgb.shape[1::-1]), 7, 4e-4), 0, 1) ** 2
    regions /= regions.sum(-1, keepdims=True) + 1e-6
    skin, hair, lab = regions[..., REGIONS.index("skin")], regions[..., REGIONS.index("hair")], to_lab(rgb)
    cheeks = skin * polygon(rgb.shape, landmarks[[1, 2, 31, 28, 35, 14, 15, 27]], 0) > 0.5
    if cheeks.sum() >= 50:
        beard = beard_mask(lab, landmarks, face_frame(landmarks).eye_distance, np.median(lab[cheeks], 0))
        hair += skin * beard
        skin *= 1 - beard
    return Parsing(regions, landmarks)


def _likelihood(colours: np.ndarray, lab: np.ndarray, count: int = 3) -> np.ndarray:
    """Log-likelihood `[H, W]` of each pixel of `lab` under a mixture of Gaussians fitted to Lab `colours [N, 3]`, at
    least UNKNOWN, which it is everywhere when there are too few colours to learn from."""
    total = np.full(lab.shape[:2], UNKNOWN, np.float32)
    if len(colours) < 10 * count:
        return total
    colours = np.ascontiguousarray(colours[:: max(1, len(colours) // 3000)], np.float32)
    # Starting from bands of lightness keeps the clustering deterministic.
    start = (np.argsort(np.argsort(colours[:, 0])) * count // len(colours)).astype(np.int32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 15, 0.5)
    labels = cv2.kmeans(colours, count, start, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)[1][:, 0]
    for part in (colours[labels == index] for index in range(count)):
        if len(part) >= 12:
            covariance = np.cov(part.T) + np.diag([12.0, 4.0, 4.0])
            offset = lab - part.mean(0)
            distance = ((offset @ np.linalg.inv(covariance).astype(np.float32)) * offset).sum(-1)
            constant = np.log(len(part) / len(colours)) - 0.5 * np.linalg.slogdet(covariance)[1]
            total = np.logaddexp(total, float(constant) - 0.5 * distance)
    return total


def _skin_colours(lab: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Colours `[N, 3]` of the face between jaw and brows, features and outliers (glasses, stray hair) left out."""
    window = np.ones((5, 5), np.uint8)
    inner = cv2.erode(polygon(lab.shape, np.vstack([landmarks[1:16], landmarks[26:16:-1]]), 0), window) > 0.5
    for part in (*EYES, *BROWS, slice(48, 60)):
        hull = cv2.convexHull(landmarks[part].astype(np.float32))[:, 0]
        inner &= cv2.dilate(polygon(lab.shape, hull, 0), window) < 0.3
    colours = lab[inner]
    middle = np.median(colours, 0) if len(colours) else 0
    return colours[(np.abs(colours - middle) / (18.0, 6.0, 6.0)).max(1) < 2]


def _region_scores(layout: _Layout, skin: np.ndarray, hair: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """Score `[H, W, 5]` of each region of the person: colour likelihood plus what the position says."""

    def prior(mask: np.ndarray, weight: float) -> np.ndarray:
        return weight * np.log(np.clip(mask, 1e-3, 1))

    across, up, face = layout.across, layout.up, cv2.GaussianBlur(layout.face, (0, 0), WORK_SIZE / 64)
    below_brows, below_chin, on_chest = (smoothstep(*step, up) for step in ((0.72, 0.62), (0.05, -0.12), (0.05, -0.2)))
    at_ears = (across > 0.42) & (across < 0.64) & (layout.above_root < 0.12) & (layout.above_root > -0.36)
    # Low beside the face, hair falls close to it; what lies further out is a shoulder.
    on_shoulder = on_chest * smoothstep(0.55, 0.8, across)
    crown = (layout.face < 0.5) & (up > 0.6)
    scores = np.dstack([
        skin + prior(np.maximum(face, 0.002), 1.6) + (1.0 + 3.5 * below_brows) * face,
        skin + prior(at_ears, 1.0) + prior(1 - face, 1.0) - 0.3,
        skin + prior(below_chin * (1 - face), 1.0) - 0.2,
        hair + prior(1 - below_brows * face, 1.2) + 2.0 * crown - 2.2 * on_chest - 2.0 * on_shoulder,
        np.maximum(cloth, CLOTH_FLOOR) + prior(smoothstep(0.05, -0.06, up), 1.3) + prior(1 - face, 1.5),
    ])  # fmt: skip
    return np.maximum(scores, UNKNOWN).astype(np.float32)


def beard_mask(lab: np.ndarray, landmarks: np.ndarray, unit: float, cheek: np.ndarray) -> np.ndarray:
    """Soft mask `[H, W]` of facial hair in `lab [H, W, 3]`, given the eye distance and the cheeks' colour `[3]`. Beards
    differ from skin by their fine texture, dark ones by their lightness too, grey ones by their lack of colour."""
    lightness = lab[..., 0]
    zone = np.vstack([landmarks[2:15], landmarks[[35, 34, 33, 32, 31]] + (0, 0.08 * unit)])
    mask = polygon(lightness.shape, zone, 0.04 * unit)
    lips = polygon(lightness.shape, landmarks[48:60], 0)
    lips = cv2.dilate(lips, np.ones((3, 3), np.uint8), iterations=max(1, round(unit / 60)))
    mask *= 1 - cv2.GaussianBlur(lips, (0, 0), 0.015 * unit)
    # A fold is one strong edge, hair is many: clipping tells them apart. Lips, nostrils and the jaw's edge don't count.
    detail = np.minimum(np.abs(lightness - blur(lightness, 0.025 * unit)), 4.0)
    texture = masked_blur(detail, mask, 0.09 * unit)
    level = blur(lightness, 0.04 * unit) / max(float(cheek[0]), 1.0)
    dark, rough = smoothstep(0.72, 0.52, level) * smoothstep(0.8, 1.4, texture), smoothstep(1.9, 2.6, texture)
    cheek_colour = float(np.hypot(cheek[1], cheek[2]))
    colour = blur(np.hypot(lab[..., 1], lab[..., 2]), 0.04 * unit) / max(cheek_colour, 1.0)
    grey = smoothstep(0.6, 0.42, colour) * smoothstep(1.1, 1.7, texture)
    grey *= smoothstep(LEAST_COLOUR, 1.5 * LEAST_COLOUR, cheek_colour)
    return (mask * np.maximum.reduce([dark, rough, grey])).astype(np.float32)
