"""Which parts of a person are skin, and which hair: by colour, by edges, and by where the face is."""

import cv2
import numpy as np

from model.faces.landmarks import BROWS, EYES, JAW, MOUTH, face_size

SKIN_SPREAD = np.float32((13, 5.5, 5.5))  # least deviations of skin from its median, in Lab of 8 bits
HAIR_SPREAD = np.float32((16, 7, 7))  # the same of hair
REACH = 3.2  # deviations from the median up to which it is the same
GLOSS = 0.35  # how much a difference counts in what is lighter than most of the skin, which shines
# Hair that is as light as skin is yellower. Degrees of hue that it is so at least, and shares of the way from the hue
# of the cheeks to its own between which it is more and more likely; chroma under which nothing has a hue.
YELLOWER, YELLOW, COLOURED = 22.0, (0.5, 0.7), 6.0
LEAST_COUNT = 30  # pixels that tell a colour
FINE = 0.02  # eye distances of blur before hues and edges are told
# A brim, or another edge that is so strong by the lightness of skin, ends a forehead. Eye distances: from where above
# the brows on, over which colours are compared, and the widest gap in it.
EDGE_CONTRAST, EDGE_ABOVE, EDGE_WIDTH, EDGE_GAP = 0.36, 0.12, 0.06, 0.09
SPECK = 0.06  # eye distances: smaller spots on skin are no hair
FOREHEAD = 0.38  # of the height from chin to brows, above those
DARKEST, TINT = 0.4, 16.0  # of the grey level of skin, in shadow, and how far in a and b of Lab it is from lit skin
CHEEK_BORDER = 0.06  # eye distances along the border of a face where hair may hang
NECK, THROAT = 1.2, 0.25  # lengths of what may be neck, and of what is no hair, in heights from chin to brows
UNLIKELY = 6.0  # deviations of colour that an eye distance from where skin is expected counts as much as
CHEEKS = [1, 2, 31, 28, 35, 14, 15]  # landmarks around what is skin for certain, above any beard


def skin_of(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How much each pixel has the colour that the cheeks have: float32 `[H, W]` in [0, 1]."""
    sample = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillConvexPoly(sample, cv2.convexHull(landmarks[CHEEKS].astype(np.int32)), 1)
    for part in (*EYES, MOUTH):
        cv2.fillConvexPoly(sample, cv2.convexHull(landmarks[part].astype(np.int32)), 0)
    is_face = face_zone(landmarks, rgb.shape[:2])[..., None] > 0
    distance = _difference(rgb, sample, SKIN_SPREAD, np.where(is_face, np.float32(GLOSS), 1))  # necks don't shine
    if distance is None:
        return np.zeros(rgb.shape[:2], np.float32)
    return _alike(distance + _unlikely(landmarks, rgb.shape[:2]), landmarks)


def hair_of(rgb: np.ndarray, landmarks: np.ndarray, person: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """How much each pixel has the colour that hair, or a hat, has above the brows: float32 `[H, W]` in [0, 1]."""
    is_above = height_above(landmarks, rgb.shape[:2]) > 0
    sample = (is_above & (person > 0.9) & (skin < 0.1)).astype(np.uint8)
    distance = _difference(rgb, sample, HAIR_SPREAD)
    return np.zeros(rgb.shape[:2], np.float32) if distance is None else _alike(distance, landmarks)


def fair_hair(lab: np.ndarray, landmarks: np.ndarray, person: np.ndarray) -> np.ndarray:
    """How much each pixel of a person is fair hair, which is as light as their skin, and yellower: float32 `[H, W]` in
    [0, 1], of a picture in Lab float32 `[H, W, 3]`. All 0 where what is above the forehead is not."""
    lab = cv2.GaussianBlur(lab, (0, 0), max(FINE * face_size(landmarks), 0.5))
    chroma, hue = cv2.cartToPolar(lab[..., 1], lab[..., 2], angleInDegrees=True)
    size = person.shape
    cheeks = hull_of(landmarks[CHEEKS], size)
    for part in (*EYES, MOUTH):
        cheeks[hull_of(landmarks[part], size) > 0] = 0
    is_coloured = chroma > COLOURED
    own = hue[(cheeks > 0) & is_coloured]
    crown = hue[(height_above(landmarks, size) > FOREHEAD) & (person > 0.9) & is_coloured]
    if min(len(own), len(crown)) < LEAST_COUNT:
        return np.zeros(size, np.float32)
    skin, hair = np.median(_signed(own)), np.median(_signed(crown))
    if not YELLOWER < hair - skin < 90:
        return np.zeros(size, np.float32)
    low, high = (skin + share * (hair - skin) for share in YELLOW)
    fair = np.clip((_signed(hue) - low) / (high - low), 0, 1) * is_coloured * (person > 0.5)
    fair[(hull_of(landmarks, size) > 0) | (neck_zone(landmarks, size, THROAT) > 0)] = 0
    return fair.astype(np.float32)


def below_brim(skin: np.ndarray, rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The mask of the skin without what lies beyond a strong edge above the brows, as a hat of the colour of skin does
    beyond its brim."""
    unit = face_size(landmarks)
    known = rgb[skin > 0.9]
    above = height_above(landmarks, skin.shape) * np.linalg.norm(landmarks[BROWS].mean(axis=0) - landmarks[8]) / unit
    if len(known) == 0:
        return skin
    lab = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), (0, 0), max(FINE * unit, 0.5))
    reach, gap = max(round(EDGE_WIDTH * unit), 1), max(round(EDGE_GAP / 2 * unit), 1)
    contrast = cv2.morphologyEx(lab, cv2.MORPH_GRADIENT, np.ones((2 * reach + 1,) * 2, np.uint8)).astype(np.float32)
    contrast = np.sqrt((contrast**2 * np.float32((1, 4, 4))).sum(axis=2))  # colour tells more than light
    is_above = above > EDGE_ABOVE
    is_edge = is_above & (contrast > EDGE_CONTRAST * np.median(lab[..., 0][skin > 0.9]))
    free = ((skin > 0.5) & ~is_edge).astype(np.uint8)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * gap + 1,) * 2)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(cv2.erode(free, element), connectivity=4)
    face = [piece for piece in np.unique(pieces[~is_above]) if stats[piece, cv2.CC_STAT_AREA] > LEAST_COUNT]
    joined = (np.isin(pieces, face) & (pieces > 0)).astype(np.uint8)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * (gap + reach) + 1,) * 2)
    return np.where(is_above & (cv2.dilate(joined, element) == 0), np.float32(0), skin)


def in_shadow(
    rgb: np.ndarray, skin: np.ndarray, face: np.ndarray, throat: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Where in these zones there may be skin in shadow, float32 `[H, W]`, 0 or 1: in the face what is not as dark as
    black clothes; on the throat what is, besides, darker than the skin and has its tint, which a collar has not. And
    all of that tint that is not so dark, bool `[H, W]`."""
    light, *tint = (plane.astype(np.float32) for plane in cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    known = skin > 0.9
    if not known.any():
        return ((face > 0) | (throat > 0)).astype(np.float32), np.zeros(skin.shape, bool)
    is_lit = grey > DARKEST * np.median(grey[known])
    is_tinted = np.hypot(*(plane - np.median(plane[known]) for plane in tint)) < TINT
    is_shaded = is_tinted & (light < np.median(light[known]))
    return (is_lit & ((face > 0) | ((throat > 0) & is_shaded))).astype(np.float32), is_lit & is_tinted


def _difference(
    rgb: np.ndarray, sample: np.ndarray, least: np.ndarray, gloss: np.ndarray | float = 1.0
) -> np.ndarray | None:
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
    zone = cv2.bitwise_or(face_zone(landmarks, size), neck_zone(landmarks, size, NECK))
    away = cv2.distanceTransform(255 - zone, cv2.DIST_L2, 3)
    return np.minimum(UNLIKELY / face_size(landmarks) * away, REACH + 1)


def _signed(hue: np.ndarray) -> np.ndarray:
    """Hues in degrees from -180 to 180."""
    return np.where(hue > 180, hue - 360, hue)


def height_above(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How far each pixel of a picture `(h, w)` is above the brows, in heights from chin to brows: float32 `[h, w]`."""
    brows = landmarks[BROWS].mean(axis=0)
    up = brows - landmarks[8]
    rows, columns = np.ogrid[: size[0], : size[1]]
    above = (columns - brows[0]) * up[0] + (rows - brows[1]) * up[1]
    return (above / max(float(up @ up), 1e-6)).astype(np.float32)


def face_zone(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask of 0 and 255, uint8 `[H, W]`, of the face up to the forehead, with the ears."""
    up = landmarks[BROWS].mean(axis=0) - landmarks[8]
    across = (landmarks[16] - landmarks[0]) / 2
    side = np.stack([landmarks[0] - 0.2 * across, landmarks[16] + 0.2 * across])
    outline = np.concatenate([landmarks[JAW], landmarks[BROWS] + FOREHEAD * up, side, side - 0.4 * up])
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), cv2.convexHull(outline.astype(np.int32)), 255)


def neck_zone(landmarks: np.ndarray, size: tuple[int, int], length: float) -> np.ndarray:
    """The same of the neck; length: in heights from chin to brows."""
    up, jaw = landmarks[BROWS].mean(axis=0) - landmarks[8], landmarks[3:14]
    outline = np.concatenate([jaw, jaw - length * up])
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), cv2.convexHull(outline.astype(np.int32)), 255)


def cheek_zone(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same of the face between eyes and mouth, without its border."""
    side = 2 * max(round(CHEEK_BORDER * face_size(landmarks)), 1) + 1
    return cv2.erode(hull_of(landmarks[[*range(4), *range(13, 17), 48, 54]], size), np.ones((side, side), np.uint8))


def hull_of(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask of 0 and 255, uint8 `[H, W]`, of the convex hull of points."""
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), cv2.convexHull(points.astype(np.int32)), 255)
