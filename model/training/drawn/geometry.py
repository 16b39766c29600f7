"""Framing a portrait, the face's own axes, and the thin-plate warp that exaggerates it.

Points are (x, y) in pixels, [N, 2] float32; landmarks are the 68 points of the iBUG scheme that dlib finds.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from model.training.drawn.filters import smoothstep
from model.training.drawn.strokes import curve
from model.training.drawn.styles import Exaggeration

# Left in the picture comes first in each pair.
BROWS = (slice(17, 22), slice(22, 27))
EYES = (slice(36, 42), slice(42, 48))
NOSE = slice(27, 36)
MOUTH = slice(48, 68)
INNER_MOUTH = slice(60, 68)

# In profile the eyes come close; the distance from eyes to mouth, nearly as long on a frontal face, bounds the scale.
PROFILE_RATIO = 0.95
# The warp is computed on a coarse grid of this step (pixels) and interpolated.
GRID_STEP = 8
# In eye distances: the warp is whole up to the first radius and gone beyond the second.
WARP_FULL, WARP_GONE = 2.5, 4.2
# Height over width of an eye from closed to open: closed lids are hardly enlarged upwards, so that they stay closed.
LIDS = (0.10, 0.24)
# From nose root to chin in eye distances, adult and child: children's large eyes grow by less, this much of it.
CHILD_FACE, CHILD_GROWTH = (1.65, 1.35), 0.6
# Ring of points that the warp leaves where they are.
ANCHOR_RADIUS, ANCHOR_COUNT = 3.9, 16
# How far brows may slide along the face's up axis, and how near to the lid, in eye distances.
BROW_SHIFTS = 0.02 * np.arange(-10, 4)
LEAST_BROW_GAP = 0.13
# In grey levels: what it costs to come nearer to the lid, to slide one brow an eye distance further than the other,
# and the difference that tells a good place from a bad one.
LID_TOO_NEAR, UNEQUAL_BROWS, BROW_TEMPERATURE = 1e3, 90.0, 2.5
# Softening of the thin-plate spline: it need not pass through noisy landmarks exactly.
WARP_SMOOTHING = 1e-3


@dataclass(frozen=True)
class FaceFrame:
    """Axes of the face: origin at the root of the nose, unit vectors up and right, unit of length the eye distance."""

    origin: np.ndarray
    up: np.ndarray
    right: np.ndarray
    eye_distance: float

    def to_face(self, points: np.ndarray) -> np.ndarray:
        """(right, up) of image `points` [..., 2] in eye distances."""
        axes = np.stack([self.right, self.up], 1).astype(np.float32)
        return (points - self.origin) @ axes / np.float32(self.eye_distance)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        return self.origin + self.eye_distance * (points[:, :1] * self.right + points[:, 1:] * self.up)


def eye_centres(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return landmarks[EYES[0]].mean(0), landmarks[EYES[1]].mean(0)


def face_frame(landmarks: np.ndarray) -> FaceFrame:
    left, right = eye_centres(landmarks)
    up = landmarks[17:27].mean(0) - landmarks[8]
    up = up / (np.linalg.norm(up) + 1e-6)
    return FaceFrame(landmarks[27], up, np.array([-up[1], up[0]], np.float32), float(np.linalg.norm(right - left)))


def forehead_arc(landmarks: np.ndarray) -> np.ndarray:
    """13 points [13, 2] from the left temple over the hairline, which dlib does not mark, to the right one."""
    frame = face_frame(landmarks)
    brows = landmarks[17:27].mean(0)
    # Artists' rule of thirds: the forehead is as high as the stretch from the brows to the base of the nose.
    top = brows + frame.up * np.linalg.norm(brows - landmarks[33]) * 0.98
    middle, half = (landmarks[0] + landmarks[16]) / 2, (landmarks[16] - landmarks[0]) / 2
    angle = np.linspace(np.pi, 0, 15)[1:-1]
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.75
    rise = np.sin(angle) ** 0.8
    return (middle + half * 1.02 * across[:, None] + (top - middle) * rise[:, None]).astype(np.float32)


def face_outline(landmarks: np.ndarray) -> np.ndarray:
    """Closed outline [30, 2]: jaw from the left ear to the right, then back over the forehead."""
    return np.vstack([landmarks[:17], forehead_arc(landmarks)[::-1]])


def alignment(
    landmarks: np.ndarray, size: int, eye_fraction: float, centre: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """Similarity [2, 3] that levels the eyes (then turns by `angle` radians), puts them `eye_fraction * size` apart
    and their middle at `centre * size`."""
    left, right = eye_centres(landmarks)
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
    rgb: np.ndarray,
    landmarks: np.ndarray,
    size: int = 512,
    eye_fraction: float = 0.27,
    centre: tuple[float, float] = (0.5, 0.47),
    angle: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn, scale and crop a photo [H, W, 3] uint8 to a square portrait with level eyes.

    Returns the portrait [size, size, 3] uint8 and its landmarks [68, 2] float32. What lies beyond the photo is
    mirrored; `eye_fraction` of at least 0.27 keeps FFHQ-framed photos from growing a second ear there.
    """
    matrix = alignment(landmarks, size, eye_fraction, centre, angle)
    aligned_landmarks = landmarks @ matrix[:, :2].T + matrix[:, 2]
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.5:  # shrink by areas first: the cubic kernel alone would alias
        smaller = 2 * scale
        rgb = cv2.resize(rgb, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= smaller
    portrait = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return portrait, aligned_landmarks.astype(np.float32)


def refine_brows(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Slide each brow along the face's up axis onto the darkest band above its eye, both about equally far.

    dlib places the brows of older faces too high; everything drawn there depends on them.
    """
    landmarks, frame = landmarks.copy(), face_frame(landmarks)
    unit = frame.eye_distance
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.028 * unit)
    costs = [
        _brow_costs(grey, landmarks[brow], landmarks[lid].mean(0), frame)
        for brow, lid in ((BROWS[0], [37, 38]), (BROWS[1], [43, 44]))
    ]
    both = costs[0][:, None] + costs[1] + UNEQUAL_BROWS * abs(BROW_SHIFTS[:, None] - BROW_SHIFTS)
    # The mean over good places moves smoothly with the landmarks; the best place would jump.
    weight = np.exp((both.min() - both) / BROW_TEMPERATURE)
    weight /= weight.sum()
    for brow, axis in zip(BROWS, (1, 0), strict=True):
        landmarks[brow] += frame.up * (weight.sum(axis) @ BROW_SHIFTS * unit)
    return landmarks


def _brow_costs(grey: np.ndarray, brow: np.ndarray, lid: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """What speaks against each of BROW_SHIFTS, in grey levels of the blurred picture `grey`; brow [5, 2], lid [2]."""
    unit, line = frame.eye_distance, curve(brow, 5)

    def brightness(shift: float) -> float:
        x, y = np.round(line + frame.up * shift * unit).astype(int).T
        return grey[y.clip(0, grey.shape[0] - 1), x.clip(0, grey.shape[1] - 1)].mean()

    gap = (brow.mean(0) - lid) @ frame.up / unit
    # Dark on the line, light just above and below it; a long slide has to be worth it, and none ends on the lid.
    return np.array([
        1.5 * brightness(s) - 0.9 * brightness(s + 0.11) - 0.6 * brightness(s - 0.09)
        + 14 * abs(s) + (LID_TOO_NEAR if s < 0 and gap + s < LEAST_BROW_GAP else 0)
        for s in BROW_SHIFTS
    ])  # fmt: skip


def exaggerate(landmarks: np.ndarray, shape: Exaggeration) -> tuple[np.ndarray, np.ndarray]:
    """Control points [81, 2] (68 landmarks and the forehead's arc) and where they go at degree 1."""
    frame = face_frame(landmarks)
    points = np.vstack([landmarks, forehead_arc(landmarks)])
    source = frame.to_face(points)
    target = source.copy()
    _move_jaw_and_forehead(source, target, shape)
    _move_mouth_and_nose(source, target, shape)
    for eye, brow in zip(EYES, BROWS, strict=True):
        _move_eye(source, target, shape, eye, brow)
    pivot = source[29]
    target = pivot + (target - pivot) * shape.head_size
    return points, frame.to_image(target).astype(np.float32)


def _move_jaw_and_forehead(source: np.ndarray, target: np.ndarray, shape: Exaggeration) -> None:
    towards_chin = 1 - np.abs(np.arange(17) - 8) / 8  # 0 at the ears, 1 at the chin
    slim = smoothstep(0.1, 0.55, towards_chin) * (1 - 0.55 * smoothstep(0.8, 1.0, towards_chin))
    middle = source[8, 0] * towards_chin + (source[0, 0] + source[16, 0]) / 2 * (1 - towards_chin)
    target[:17, 0] = middle + (source[:17, 0] - middle) * (1 - (1 - shape.jaw_width) * slim)
    target[:17, 1] += shape.chin_rise * smoothstep(0.55, 1.0, towards_chin)
    arc = len(source) - 68
    target[68:, 1] += shape.forehead_rise * np.sin(np.linspace(0, np.pi, arc))
    target[68:, 0] *= 1 + 0.25 * shape.forehead_rise


def _move_mouth_and_nose(source: np.ndarray, target: np.ndarray, shape: Exaggeration) -> None:
    mouth = source[MOUTH].mean(0)
    target[MOUTH] = mouth + (source[MOUTH] - mouth) * shape.mouth_size + (0, shape.mouth_rise)
    target[31:36, 0] = source[30, 0] + (source[31:36, 0] - source[30, 0]) * shape.nose_width
    target[NOSE, 1] = source[27, 1] + (source[NOSE, 1] - source[27, 1]) * shape.nose_length


def _move_eye(source: np.ndarray, target: np.ndarray, shape: Exaggeration, eye: slice, brow: slice) -> None:
    centre = source[eye].mean(0)
    outwards = np.sign(centre[0] - source[27, 0]) * shape.eye_apart
    eye_width, eye_height = _eye_growth(source, shape, eye)
    target[eye] = centre + (outwards, shape.eye_rise) + (source[eye] - centre) * (eye_width, eye_height)
    lift = (source[eye, 1].max() - centre[1]) * (eye_height - 1) + shape.eye_rise + shape.brow_rise
    middle = source[brow].mean(0)
    wider = (1 + (eye_width - 1) / 2, 1)
    target[brow] = middle + (source[brow] - middle) * wider + (outwards, lift)


def _eye_growth(source: np.ndarray, shape: Exaggeration, eye: slice) -> tuple[float, float]:
    """Factors for an eye's width and height."""
    points = source[eye]
    lids = np.linalg.norm(points[[1, 2]] - points[[5, 4]], axis=1).mean()
    openness = smoothstep(*LIDS, lids / (np.linalg.norm(points[3] - points[0]) + 1e-3))
    growth = 1 - (1 - CHILD_GROWTH) * smoothstep(*CHILD_FACE, source[27, 1] - source[8, 1])
    wider, taller = (growth * (factor - 1) for factor in (shape.eye_width, shape.eye_height))
    return float(1 + wider), float(1 + taller * (0.3 + 0.7 * openness))


@dataclass(frozen=True)
class Warp:
    """A face's exaggeration: displacement fields that say, for each pixel of the result, where it comes from."""

    source: np.ndarray
    target: np.ndarray
    centre: np.ndarray
    eye_distance: float

    @staticmethod
    def fit(landmarks: np.ndarray, shape: Exaggeration) -> "Warp":
        source, target = exaggerate(landmarks, shape)
        return Warp(source, target, landmarks[29], face_frame(landmarks).eye_distance)

    def landmarks_at(self, degree: float) -> np.ndarray:
        """Landmarks [68, 2] of the warped face: linear in the degree."""
        return (self.source + degree * (self.target - self.source))[:68].astype(np.float32)

    def coarse_field(self, shape: tuple[int, ...], degree: float) -> tuple[np.ndarray, np.ndarray]:
        """Grid points [h, w, 2] of step GRID_STEP covering `shape`, and the displacement (source − result) there."""
        grid = np.stack(
            np.meshgrid(*(np.arange(0, side + GRID_STEP, GRID_STEP) for side in (shape[1], shape[0]))), -1
        ).astype(np.float32)
        angle = np.linspace(0, 2 * np.pi, ANCHOR_COUNT, endpoint=False)
        ring = self.centre + ANCHOR_RADIUS * self.eye_distance * np.stack([np.cos(angle), np.sin(angle)], 1)
        # The inner lips would fold a closed mouth over itself; the outer ones carry them along.
        kept = np.r_[0:60, 68 : len(self.source)]
        eyes = [np.vstack([points[eye].mean(0) for eye in EYES]) for points in (self.source, self.target)]
        source = np.vstack([self.source[kept], eyes[0], ring])
        target = np.vstack([self.target[kept], eyes[1], ring])
        target = source + degree * (target - source)
        spline = RBFInterpolator(
            target / self.eye_distance, source - target, kernel="thin_plate_spline", smoothing=WARP_SMOOTHING
        )
        field = spline(grid.reshape(-1, 2) / self.eye_distance).reshape(grid.shape).astype(np.float32)
        radius = np.linalg.norm(grid - self.centre, axis=-1, keepdims=True) / self.eye_distance
        return grid, field * smoothstep(WARP_GONE, WARP_FULL, radius).astype(np.float32)

    def field(self, shape: tuple[int, ...], degree: float) -> np.ndarray:
        """Dense displacement field [H, W, 2] in pixels."""
        return _dense(self.coarse_field(shape, degree)[1], shape)

    def field_from_full(self, shape: tuple[int, ...], degree: float, full_field: np.ndarray) -> np.ndarray:
        """Displacement [H, W, 2] that takes a picture drawn at degree 1 back to `degree`.

        With f the maps into the photo, this is f_1^-1 ∘ f_degree, solved by fixed-point iteration: the
        exaggeration stretches by much less than a factor of two, so each round at least halves the error.
        """
        grid, field = self.coarse_field(shape, degree)
        wanted, position = grid + field, grid.copy()
        for _ in range(8):
            position = wanted - cv2.remap(
                full_field, position, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        return _dense(position - grid, shape)


def _dense(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    matrix = np.array([[GRID_STEP, 0, 0], [0, GRID_STEP, 0]], np.float32)
    return cv2.warpAffine(coarse, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def displace(image: np.ndarray, field: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Sample `image` [H, W, C <= 4] at each pixel plus `field` [H, W, 2]."""
    grid = np.stack(np.meshgrid(np.arange(field.shape[1]), np.arange(field.shape[0])), -1)
    return cv2.remap(
        image, (grid + field).astype(np.float32), None, interpolation, borderMode=cv2.BORDER_REFLECT_101
    )
