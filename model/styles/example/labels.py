"""Labels: what each pixel of a portrait is, by landmarks, the person's matte, and the colours of skin and hair."""

import cv2
import numpy as np

from model.faces.landmarks import BROWS, EYES, MOUTH, NOSE, face_size, open_mouth
from model.styles.example.skin import (
    THROAT,
    below_brim,
    cheek_zone,
    face_zone,
    fair_hair,
    hair_of,
    height_above,
    hull_of,
    in_shadow,
    neck_zone,
    skin_of,
)

LABELS = BACKGROUND, HAIR, CLOTHES, SKIN, FEATURES, INSIDE = range(6)  # the last one: of an open mouth
# In exemplars alone: what is between person and background, of neither for sure; and skin at the hair, which is right
# where it is, and elsewhere would look like cracks. Their widths in eye distances.
EDGE, HAIRLINE = 6, 7
EDGE_OUTSIDE, EDGE_INSIDE, HAIRLINE_WIDTH = 0.08, 0.025, 0.12
PIECE, ENOUGH = 0.1, 0.4  # pieces of hair by the largest, and hair above the chin by all, from which on they tell
SMALL = 4  # regions are found in a copy reduced so many times
INNER = 0.75  # trust that there is within the landmarks' outline alone
TRUST_FADES = 0.2  # eye distances over which trust fades around the landmarks
ONE_BROW = slice(17, 22), slice(22, 27)
OWN = 0.5  # part of a dark spot that lies on eye and brow if it is these themselves
ISLAND = 0.03  # smaller pieces of skin, in parts of the face, are none
SUNGLASSES = 0.6, 0.6  # grey level by that of skin under which it may be dark glass, and part of both eyes that is
# Clothes begin so far below the chin, in heights from chin to brows; and at so many widths of the face to the side of
# it.
SHOULDERS = -0.05, 0.6


def parts_of(rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray, painted: bool = False) -> np.ndarray:
    """Soft masks of the person, skin, hair, features, and where positions are to be trusted: float32 `[H/4, W/4, 5]`.

    Of RGB uint8 `[H, W, 3]` with landmarks `[68, 2]` and the person's matte `[H, W]`. painted: edges and
    shades of skin are strokes, and tell neither hats nor sunglasses.
    """
    size = (max(rgb.shape[1] // SMALL, 1), max(rgb.shape[0] // SMALL, 1))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    points = (landmarks + 0.5) * np.divide(size, rgb.shape[1::-1]) - 0.5
    person = cv2.resize(matte, size, interpolation=cv2.INTER_AREA)
    fair = fair_hair(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), points, person)
    skin = skin_of(small, points) * (1 - fair)
    hair = hair_of(small, points, person, skin)
    face, throat = face_zone(points, skin.shape), neck_zone(points, skin.shape, THROAT)
    hair[(throat > 0) & (face == 0)] = 0
    hair = np.maximum(hair, fair)
    shadow, tinted = in_shadow(small, skin, face, throat)
    hair[tinted & (cheek_zone(points, skin.shape) > 0)] = 0  # hair of the colour of shaded skin, not on the cheeks
    skin = np.maximum(skin, (1 - hair) * shadow)
    skin = _joined(skin if painted else below_brim(skin, small, points), face, points)
    features, trust = _features(small, points, skin, painted)
    skin = _without_specks(skin, features, face)
    if not painted:
        features[_hidden(skin, features) & (trust < INNER)] = 0
    return np.dstack([person, skin, hair, features, trust])


def labels_of(landmarks: np.ndarray, parts: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and trust from 0 to 255, uint8 `[H, W]` of a size `(H, W)`, of landmarks `[68, 2]` and the masks of
    `parts_of`."""
    from model.styles.example import pixels  # Numba takes a second to import

    down = landmarks[8] - landmarks[BROWS].mean(axis=0)
    height, width = np.linalg.norm(down), np.linalg.norm(landmarks[16] - landmarks[0])
    shoulders = *landmarks[8], *(down / height), SHOULDERS[1] * width, SHOULDERS[0] * height
    labels, trust = pixels.labelled(np.ascontiguousarray(parts, np.float32), *size, *map(float, shoulders))
    if open_mouth(landmarks) > 0:
        cv2.fillPoly(labels, [landmarks[60:].round().astype(np.int32)], INSIDE)
    return labels, trust


def _joined(skin: np.ndarray, face: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The mask of the skin without small islands, and those above the brows, which are fair hair on a forehead."""
    is_above = height_above(landmarks, skin.shape) > 0
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((skin > 0.5).astype(np.uint8))
    is_large = stats[:, cv2.CC_STAT_AREA] > ISLAND * (face > 0).sum()
    kept = [piece for piece in np.unique(pieces[~is_above]) if is_large[piece]]
    return np.where(np.isin(pieces, kept), skin, 0).astype(np.float32)


def _without_specks(skin: np.ndarray, features: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The mask of the skin without small holes in the face, which are shadows, as at the corners of a mouth."""
    is_hole = (skin <= 0.5) & (features <= 0.5)
    _, holes, stats, _ = cv2.connectedComponentsWithStats(is_hole.astype(np.uint8))
    outside = np.unique(holes[face == 0])
    is_speck = (stats[:, cv2.CC_STAT_AREA] < ISLAND * (face > 0).sum()) & ~np.isin(np.arange(len(stats)), outside)
    return np.where(is_speck[holes] & is_hole, np.float32(1), skin)


def _hidden(skin: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Where hair that hangs into the face hides a brow or the corner of an eye, bool `[H, W]`. A dark brow by itself
    hides nothing."""
    is_dark = skin < 0.5
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(is_dark.astype(np.uint8), connectivity=4)
    within = np.bincount(pieces[features > 0.5], minlength=len(stats))
    return is_dark & (within < OWN * stats[:, cv2.CC_STAT_AREA])[pieces]


def _features(
    rgb: np.ndarray, landmarks: np.ndarray, skin: np.ndarray, painted: bool
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Soft masks float32 of eyes with brows, nose and mouth; and of the face, as far as landmarks say where all lies.
    Eyes behind sunglasses are none, in photos."""
    size, around = skin.shape, face_size(landmarks)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    dark = (
        (skin < 0.5) & (grey < SUNGLASSES[0] * np.median(grey[skin > 0.9]))
        if (skin > 0.9).any()
        else np.zeros(size, bool)
    )
    mask, face = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    eyes = [np.concatenate([landmarks[eye], landmarks[brow]]) for eye, brow in zip(EYES, ONE_BROW, strict=True)]
    parts = [(landmarks[NOSE], 0.1), (landmarks[MOUTH], 0.1)]
    if painted or min(_share(dark, eye) for eye in eyes) < SUNGLASSES[1]:
        parts += [(eye, 0.08) for eye in eyes]
    for part, grown in parts:
        side = 2 * max(round(grown * around), 1) + 1
        mask |= cv2.dilate(hull_of(part, size), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    cv2.fillConvexPoly(face, cv2.convexHull(landmarks.astype(np.int32)), 255)
    soft = cv2.GaussianBlur(mask, (0, 0), 1), cv2.GaussianBlur(face, (0, 0), TRUST_FADES * around)
    return tuple(part.astype(np.float32) / 255 for part in soft)


def _share(mask: np.ndarray, points: np.ndarray) -> float:
    """The part of a hull that a mask, bool `[H, W]`, takes."""
    inside = hull_of(points, mask.shape) > 0
    return float(mask[inside].mean()) if inside.any() else 0.0


def with_borders(labels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels of an exemplar with landmarks `[68, 2]`, with the edge between person and background, and the hairline,
    marked as such; and as of neither, too, what may be hair and may be not: small pieces, and all below the chin where
    there is enough above."""
    eye_distance = face_size(landmarks)
    is_behind = labels == BACKGROUND
    outer, inner = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 3) / eye_distance for side in (is_behind, ~is_behind)
    )
    is_edge = (is_behind & (outer < EDGE_OUTSIDE)) | (np.isin(labels, (HAIR, CLOTHES)) & (inner < EDGE_INSIDE))
    marked = np.where(is_edge, np.uint8(EDGE), labels)
    marked[_doubtful(labels == HAIR, height_above(landmarks, labels.shape) < -1)] = EDGE
    hair = cv2.distanceTransform((labels != HAIR).astype(np.uint8), cv2.DIST_L2, 3) / eye_distance
    marked[(marked == SKIN) & (hair < HAIRLINE_WIDTH)] = HAIRLINE
    return marked


def _doubtful(hair: np.ndarray, is_below: np.ndarray) -> np.ndarray:
    """What of the mask of hair, bool `[H, W]`, may be none."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(hair.astype(np.uint8))
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    doubtful = hair & (sizes < PIECE * sizes.max())[pieces]
    rest = hair & ~doubtful & ~is_below
    return doubtful | (hair & is_below) if rest.sum() > ENOUGH * hair.sum() else doubtful
