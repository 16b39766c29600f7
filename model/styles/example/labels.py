"""Labels: what each pixel of a portrait is, by landmarks, the person's matte, and the colours of skin and hair."""

import cv2
import numpy as np

from model.faces.landmarks import BROWS, EYES, JAW, MOUTH, NOSE, face_size, open_mouth

LABELS = BACKGROUND, HAIR, CLOTHES, SKIN, FEATURES, INSIDE = range(6)  # the last one: of an open mouth
# In exemplars alone: what is between person and background, of neither for sure; and skin at the hair, which is right
# where it is, and elsewhere would look like cracks. Their widths in eye distances.
EDGE, HAIRLINE = 6, 7
EDGE_OUTSIDE, EDGE_INSIDE, HAIRLINE_WIDTH = 0.08, 0.025, 0.12
SMALL = 4  # regions are found in a copy reduced so many times
SKIN_SPREAD = np.float32((13, 5.5, 5.5))  # least deviations of skin from its median, in Lab of 8 bits
HAIR_SPREAD = np.float32((16, 7, 7))  # the same of hair
REACH = 3.2  # deviations from the median up to which it is the same
GLOSS = 0.35  # how much a difference counts in what is lighter than most of the skin, which shines
INNER = 0.75  # trust that there is within the landmarks' outline alone
TRUST_FADES = 0.2  # eye distances over which trust fades around the landmarks
ONE_BROW = slice(17, 22), slice(22, 27)
SPECK = 0.06  # eye distances: smaller spots on skin are no hair
FOREHEAD = 0.38  # of the height from chin to brows, above those
DARKEST = 0.4  # of the grey level of skin, in shadow
ISLAND = 0.03  # smaller pieces of skin, in parts of the face, are none
SUNGLASSES = 0.6, 0.6  # grey level by that of skin under which it may be dark glass, and part of both eyes that is
# Clothes begin so far below the chin, in heights from chin to brows; and at so many widths of the face to the side of
# it.
SHOULDERS = -0.05, 0.6
NECK, THROAT = 1.2, 0.25  # lengths of what may be neck, and of what is no hair, in heights from chin to brows
UNLIKELY = 6.0  # deviations of colour that an eye distance from where skin is expected counts as much as
CHEEKS = [1, 2, 31, 28, 35, 14, 15]  # landmarks around what is skin for certain, above any beard


def parts_of(rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Soft masks of the person, skin, hair, features, and where positions are to be trusted: float32 `[H/4, W/4, 5]`.

    Of RGB uint8 `[H, W, 3]` with landmarks `[68, 2]` and the person's matte `[H, W]`.
    """
    size = (max(rgb.shape[1] // SMALL, 1), max(rgb.shape[0] // SMALL, 1))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    points = (landmarks + 0.5) * np.divide(size, rgb.shape[1::-1]) - 0.5
    person = cv2.resize(matte, size, interpolation=cv2.INTER_AREA)
    skin = skin_of(small, points)
    hair = hair_of(small, points, person, skin)
    face, throat = _face_zone(points, skin.shape), _neck_zone(points, skin.shape, THROAT)
    hair[(throat > 0) & (face == 0)] = 0
    skin = np.maximum(skin, (1 - hair) * _in_shadow(small, skin, cv2.bitwise_or(face, throat)))
    skin = _joined(skin, face, points)
    features, trust = _features(small, points, skin)
    skin = _without_specks(skin, features, face)
    features[(skin < 0.5) & (trust < INNER)] = 0  # a brow or the corner of an eye under hair
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


def skin_of(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How much each pixel has the colour that the cheeks have: float32 `[H, W]` in [0, 1]."""
    sample = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillConvexPoly(sample, cv2.convexHull(landmarks[CHEEKS].astype(np.int32)), 1)
    for part in (*EYES, MOUTH):
        cv2.fillConvexPoly(sample, cv2.convexHull(landmarks[part].astype(np.int32)), 0)
    distance = _difference(rgb, sample, SKIN_SPREAD, GLOSS)
    if distance is None:
        return np.zeros(rgb.shape[:2], np.float32)
    return _alike(distance + _unlikely(landmarks, rgb.shape[:2]), landmarks)


def hair_of(rgb: np.ndarray, landmarks: np.ndarray, person: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """How much each pixel has the colour that hair, or a hat, has above the brows: float32 `[H, W]` in [0, 1]."""
    brows = landmarks[BROWS].mean(axis=0)
    down = landmarks[8] - brows
    rows, columns = np.ogrid[: rgb.shape[0], : rgb.shape[1]]
    is_above = (columns - brows[0]) * down[0] + (rows - brows[1]) * down[1] < 0
    sample = (is_above & (person > 0.9) & (skin < 0.1)).astype(np.uint8)
    distance = _difference(rgb, sample, HAIR_SPREAD)
    return np.zeros(rgb.shape[:2], np.float32) if distance is None else _alike(distance, landmarks)


def _difference(rgb: np.ndarray, sample: np.ndarray, least: np.ndarray, gloss: float = 1.0) -> np.ndarray | None:
    """How many deviations colours are away from the median of a sample, a mask: float32 `[H, W]`, or None without any.
    least: deviations at least, in Lab of 8 bits; gloss: how much it counts in what is lighter."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    known = lab[sample > 0]
    if len(known) == 0:
        return None
    middle = np.median(known, axis=0)
    away = (lab - middle) / np.maximum(1.48 * np.median(np.abs(known - middle), axis=0), least)
    away *= np.where(away[..., :1] > 0, gloss, 1)
    return np.sqrt((away**2).sum(axis=2))


def _alike(distance: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """1 for small differences, 0 for large ones, without specks: float32 `[H, W]`."""
    likeness = (255 * np.clip(REACH + 0.5 - distance, 0, 1)).astype(np.uint8)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(SPECK * face_size(landmarks)) + 1,) * 2)
    clean = cv2.morphologyEx(cv2.medianBlur(likeness, 5), cv2.MORPH_CLOSE, element)
    return cv2.GaussianBlur(clean, (0, 0), 0.8).astype(np.float32) / 255


def _unlikely(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How unlikely skin is in each place: 0 in the face, at the ears and on the neck, and more away from there. As
    deviations from the colour of skin, float32 `[H, W]`."""
    zone = cv2.bitwise_or(_face_zone(landmarks, size), _neck_zone(landmarks, size, NECK))
    away = cv2.distanceTransform(255 - zone, cv2.DIST_L2, 3)
    return np.minimum(UNLIKELY / face_size(landmarks) * away, REACH + 1)


def _in_shadow(rgb: np.ndarray, skin: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """Where in a zone there may be skin in shadow: it is not as dark as black clothes. float32 `[H, W]`, 0 or 1."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    known = grey[skin > 0.9]
    darkest = DARKEST * np.median(known) if len(known) else 0
    return ((zone > 0) & (grey > darkest)).astype(np.float32)


def _joined(skin: np.ndarray, face: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The mask of the skin without small islands, and those above the brows, which are fair hair on a forehead."""
    brows = landmarks[BROWS].mean(axis=0)
    down = landmarks[8] - brows
    rows, columns = np.ogrid[: skin.shape[0], : skin.shape[1]]
    is_above = (columns - brows[0]) * down[0] + (rows - brows[1]) * down[1] < 0
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


def _face_zone(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask of 0 and 255, uint8 `[H, W]`, of the face up to the forehead, with the ears."""
    up = landmarks[BROWS].mean(axis=0) - landmarks[8]
    across = (landmarks[16] - landmarks[0]) / 2
    side = np.stack([landmarks[0] - 0.2 * across, landmarks[16] + 0.2 * across])
    outline = np.concatenate([landmarks[JAW], landmarks[BROWS] + FOREHEAD * up, side, side - 0.4 * up])
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), cv2.convexHull(outline.astype(np.int32)), 255)


def _neck_zone(landmarks: np.ndarray, size: tuple[int, int], length: float) -> np.ndarray:
    """The same of the neck; length: in heights from chin to brows."""
    up, jaw = landmarks[BROWS].mean(axis=0) - landmarks[8], landmarks[3:14]
    outline = np.concatenate([jaw, jaw - length * up])
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), cv2.convexHull(outline.astype(np.int32)), 255)


def _features(rgb: np.ndarray, landmarks: np.ndarray, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Soft masks float32 of eyes with brows, nose and mouth; and of the face, as far as landmarks say where all lies.
    Eyes behind sunglasses are none."""
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
    if min(_share(dark, eye) for eye in eyes) < SUNGLASSES[1]:
        parts += [(eye, 0.08) for eye in eyes]
    for part, grown in parts:
        side = 2 * max(round(grown * around), 1) + 1
        mask |= cv2.dilate(_hull(part, size), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    cv2.fillConvexPoly(face, cv2.convexHull(landmarks.astype(np.int32)), 255)
    soft = cv2.GaussianBlur(mask, (0, 0), 1), cv2.GaussianBlur(face, (0, 0), TRUST_FADES * around)
    return tuple(part.astype(np.float32) / 255 for part in soft)


def _hull(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask of 0 and 255, uint8 `[H, W]`, of the convex hull of points."""
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), cv2.convexHull(points.astype(np.int32)), 255)


def _share(mask: np.ndarray, points: np.ndarray) -> float:
    """The part of a hull that a mask, bool `[H, W]`, takes."""
    inside = _hull(points, mask.shape) > 0
    return float(mask[inside].mean()) if inside.any() else 0.0


def with_borders(labels: np.ndarray, eye_distance: float) -> np.ndarray:
    """Labels of an exemplar, with the edge between person and background, and the hairline, marked as such."""
    is_behind = labels == BACKGROUND
    outer, inner = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 3) / eye_distance for side in (is_behind, ~is_behind)
    )
    is_edge = (is_behind & (outer < EDGE_OUTSIDE)) | (np.isin(labels, (HAIR, CLOTHES)) & (inner < EDGE_INSIDE))
    marked = np.where(is_edge, np.uint8(EDGE), labels)
    hair = cv2.distanceTransform((labels != HAIR).astype(np.uint8), cv2.DIST_L2, 3) / eye_distance
    marked[(marked == SKIN) & (hair < HAIRLINE_WIDTH)] = HAIRLINE
    return marked
