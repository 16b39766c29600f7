"""Framing a portrait, where the parts of a face lie, its own axes, and brows put right.

Points are (x, y) in pixels, float32 `[N, 2]`; landmarks are the 68 points of the iBUG scheme that dlib finds.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.faces.landmarks import LEFT_EYE, RIGHT_EYE, eye_centres
from model.training.drawn.raster import curve

Portrait = tuple[np.ndarray, np.ndarray]  # picture and landmarks
BROWS, EYES = (slice(17, 22), slice(22, 27)), (LEFT_EYE, RIGHT_EYE)  # left in the picture comes first
MOUTH = slice(48, 68)
BROW_SHIFTS = 0.02 * np.arange(-10, 4)  # how far brows may slide along the face's up axis, in eye distances
LEAST_BROW_GAP = 0.13  # how near they may come to the lid
# In grey levels: what it costs to come nearer to the lid, to slide one brow an eye distance further than the other,
# and the difference that tells a good place from a bad one.
LID_TOO_NEAR, UNEQUAL_BROWS, BROW_TEMPERATURE = 1e3, 90.0, 2.5
# In profile the eyes come close; the distance from eyes to mouth, nearly as long on a frontal face, bounds the scale.
PROFILE_RATIO = 0.95
# Eyes this far apart, as a fraction of the side; the smallest that keeps the square inside the photo is taken, because
# what a border mirrors (ears, chins) would be drawn and learnt.
EYE_FRACTIONS = np.arange(0.16, 0.34, 0.01)
FRAMING_TRIES, MAX_OVERRUN = 6, 0.015
CENTRE, CENTRE_JITTER, ZOOM_JITTER = (0.5, 0.47), (0.06, 0.05), 1.12
ANGLE_JITTER = 0.05  # radians, standard deviation
# Where each landmark goes when left and right change places: jaw, brows, nose, eyes, lips.
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


@dataclass(frozen=True)
class FaceFrame:
    """Axes of the face: origin at the root of the nose, unit vectors up and right, unit of length the eye distance."""

    origin: np.ndarray
    up: np.ndarray
    right: np.ndarray
    eye_distance: float

    def to_face(self, points: np.ndarray) -> np.ndarray:
        """(right, up) of image `points [..., 2]` in eye distances."""
        axes = np.stack([self.right, self.up], 1).astype(np.float32)
        return (points - self.origin) @ axes / np.float32(self.eye_distance)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_face`, for `points [N, 2]`."""
        return self.origin + self.eye_distance * (points[:, :1] * self.right + points[:, 1:] * self.up)


def face_frame(landmarks: np.ndarray) -> FaceFrame:
    """The axes of a face with `landmarks [68, 2]`."""
    up = landmarks[17:27].mean(0) - landmarks[8]
    up = up / (np.linalg.norm(up) + 1e-6)
    distance = float(np.linalg.norm(np.subtract(*np.float32(eye_centres(landmarks)))))
    return FaceFrame(landmarks[27], up, np.array([-up[1], up[0]], np.float32), distance)


def forehead_arc(landmarks: np.ndarray) -> np.ndarray:
    """13 points `[13, 2]` from the left temple over the hairline, which dlib does not mark, to the right one."""
    brows = landmarks[17:27].mean(0)
    # Artists' rule of thirds: the forehead is as high as the stretch from the brows to the base of the nose.
    top = brows + face_frame(landmarks).up * np.linalg.norm(brows - landmarks[33]) * 0.98
    middle, half = (landmarks[0] + landmarks[16]) / 2, (landmarks[16] - landmarks[0]) / 2
    angle = np.linspace(np.pi, 0, 15)[1:-1, None]
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.75
    return (middle + half * 1.02 * across + (top - middle) * np.sin(angle) ** 0.8).astype(np.float32)


def values_at(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of `image [H, W]` at the pixels nearest to `points [N, 2]`: `[N]`; beyond the border its edge."""
    x, y = np.round(points).astype(int).T
    return image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)]


def refine_brows(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Landmarks `[68, 2]` with each brow slid along the face's up axis onto the darkest band above its eye: dlib places
    those of older faces too high. Both slide about equally far."""
    landmarks, frame = landmarks.copy(), face_frame(landmarks)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.028 * frame.eye_distance)
    lids = landmarks[[37, 38]].mean(0), landmarks[[43, 44]].mean(0)
    costs = [_brow_costs(grey, landmarks[brow], lid, frame) for brow, lid in zip(BROWS, lids, strict=True)]
    both = costs[0][:, None] + costs[1] + UNEQUAL_BROWS * abs(BROW_SHIFTS[:, None] - BROW_SHIFTS)
    # The mean over good places moves smoothly with the landmarks; the best place would jump.
    weight = np.exp((both.min() - both) / BROW_TEMPERATURE)
    weight /= weight.sum()
    for brow, axis in zip(BROWS, (1, 0), strict=True):
        landmarks[brow] += frame.up * (weight.sum(axis) @ BROW_SHIFTS * frame.eye_distance)
    return landmarks


def _brow_costs(grey: np.ndarray, brow: np.ndarray, lid: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """What speaks against each of BROW_SHIFTS, in grey levels of the blurred `grey`; brow `[5, 2]`, lid `[2]`."""
    unit, line = frame.eye_distance, curve(brow, 5)
    gap = (brow.mean(0) - lid) @ frame.up / unit

    def brightness(shifts: np.ndarray) -> np.ndarray:
        return np.array([values_at(grey, line + frame.up * shift * unit).mean() for shift in shifts])

    # Dark on the line, light just above and below it; a long slide has to be worth it, and none ends on the lid.
    shifts, too_near = BROW_SHIFTS, (BROW_SHIFTS < 0) & (gap + BROW_SHIFTS < LEAST_BROW_GAP)
    dark = 1.5 * brightness(shifts) - 0.9 * brightness(shifts + 0.11) - 0.6 * brightness(shifts - 0.09)
    return dark + 14 * abs(shifts) + LID_TOO_NEAR * too_near


def alignment(landmarks: np.ndarray, size: int, eye_fraction: float, centre=CENTRE, angle: float = 0.0) -> np.ndarray:
    """Similarity `[2, 3]` that levels the eyes (then turns by `angle` radians), puts them `eye_fraction * size` apart
    and their middle at `centre * size`."""
    left, right = np.float32(eye_centres(landmarks))
    middle, across = (left + right) / 2, right - left
    distance = max(np.linalg.norm(across), PROFILE_RATIO * np.linalg.norm(landmarks[MOUTH].mean(0) - middle))
    scale, turn = size * eye_fraction / distance, angle - np.arctan2(across[1], across[0])
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    matrix[:, 2] = size * np.asarray(centre) - matrix[:, :2] @ middle
    return matrix


def overrun(matrix: np.ndarray, shape: tuple[int, ...], size: int) -> float:
    """How far the aligned square sticks out of a photo of `shape`, as a fraction of the square's side; 0 if inside."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse[:, :2].T + inverse[:, 2]
    side = size * np.sqrt(abs(np.linalg.det(inverse[:, :2])))
    return float(max(0.0, -corners.min(), (corners - (shape[1], shape[0])).max()) / side)


def align_portrait(
    rgb: np.ndarray, landmarks: np.ndarray, size: int = 512, eye_fraction: float = 0.27, centre=CENTRE, angle=0.0
) -> Portrait:
    """Turn, scale and crop a photo `[H, W, 3]` uint8 to a square portrait with level eyes, see `alignment`; landmarks
    `[68, 2]` float32. What lies beyond the photo is mirrored; `eye_fraction` of at least 0.27 keeps FFHQ-framed photos
    from growing a second ear there."""
    matrix = alignment(landmarks, size, eye_fraction, centre, angle)
    aligned = landmarks @ matrix[:, :2].T + matrix[:, 2]
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.5:  # shrink by areas first: the cubic kernel alone would alias
        rgb = cv2.resize(rgb, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= 2 * scale
    portrait = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return portrait, aligned.astype(np.float32)


def frame_portrait(rgb: np.ndarray, landmarks: np.ndarray, size: int, rng: np.random.Generator) -> Portrait:
    """`align_portrait` with a little variety: of a few random places and tilts, the one that shows most without
    leaving the photo, zoomed in a little."""
    framings = []
    for _ in range(FRAMING_TRIES):
        place = tuple(CENTRE + rng.uniform(-1, 1, 2) * CENTRE_JITTER), rng.normal(0, ANGLE_JITTER)
        runs = (overrun(alignment(landmarks, size, fraction, *place), rgb.shape, size) for fraction in EYE_FRACTIONS)
        fits = (fraction for fraction, out in zip(EYE_FRACTIONS, runs, strict=True) if out <= MAX_OVERRUN)
        framings.append((float(next(fits, EYE_FRACTIONS[-1])), *place))
    fraction, *place = min(framings)
    return align_portrait(rgb, landmarks, size, fraction * rng.uniform(1, ZOOM_JITTER), *place)


def mirror(rgb: np.ndarray, landmarks: np.ndarray) -> Portrait:
    """Swap left and right of a portrait and of its landmarks, which keep their meaning."""
    flipped = landmarks[MIRRORED] * np.float32([-1, 1]) + np.float32([rgb.shape[1] - 1, 0])
    return np.ascontiguousarray(rgb[:, ::-1]), flipped
