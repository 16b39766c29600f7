"""Where the parts of a face lie, its own axes, and brows put right.

Points are (x, y) in pixels, float32 `[N, 2]`; landmarks are the 68 points of the iBUG scheme that dlib finds.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from model.faces.landmarks import LEFT_EYE, RIGHT_EYE, eye_centres
from model.training.drawn.strokes import curve

# Left in the picture comes first in each pair.
BROWS = (slice(17, 22), slice(22, 27))
EYES = (LEFT_EYE, RIGHT_EYE)
NOSE = slice(27, 36)
MOUTH = slice(48, 68)
INNER_MOUTH = slice(60, 68)

# How far brows may slide along the face's up axis, and how near to the lid, in eye distances.
BROW_SHIFTS = 0.02 * np.arange(-10, 4)
LEAST_BROW_GAP = 0.13
# In grey levels: what it costs to come nearer to the lid, to slide one brow an eye distance further than the other,
# and the difference that tells a good place from a bad one.
LID_TOO_NEAR, UNEQUAL_BROWS, BROW_TEMPERATURE = 1e3, 90.0, 2.5


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
    distance = float(np.linalg.norm(np.subtract(*eye_centres(landmarks))))
    return FaceFrame(landmarks[27], up, np.array([-up[1], up[0]], np.float32), distance)


def forehead_arc(landmarks: np.ndarray) -> np.ndarray:
    """13 points `[13, 2]` from the left temple over the hairline, which dlib does not mark, to the right one."""
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
    """Closed outline `[30, 2]`: jaw from the left ear to the right, then back over the forehead."""
    return np.vstack([landmarks[:17], forehead_arc(landmarks)[::-1]])


def values_at(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of `image [H, W]` at the pixels nearest to `points [N, 2]`: `[N]`; beyond the border its edge."""
    x, y = np.round(points).astype(int).T
    return image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)]


def refine_brows(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Landmarks `[68, 2]` with each brow slid along the face's up axis onto the darkest band above its eye.

    dlib places the brows of older faces too high; everything drawn there depends on them. Both slide about equally far.
    """
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

    def brightness(shift: float) -> float:
        return values_at(grey, line + frame.up * shift * unit).mean()

    # Dark on the line, light just above and below it; a long slide has to be worth it, and none ends on the lid.
    return np.array([
        1.5 * brightness(s) - 0.9 * brightness(s + 0.11) - 0.6 * brightness(s - 0.09)
        + 14 * abs(s) + (LID_TOO_NEAR if s < 0 and gap + s < LEAST_BROW_GAP else 0)
        for s in BROW_SHIFTS
    ])  # fmt: skip
