"""The thin-plate warp that exaggerates a face. Points are (x, y) in pixels, `[N, 2]`."""

from types import SimpleNamespace

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from model.common.tensors import pixel_grid
from model.training.drawn.geometry import BROWS, EYES, MOUTH, face_frame, forehead_arc
from model.training.drawn.raster import smoothstep

GRID_STEP = 8  # pixels of the coarse grid that the warp is computed on, to be interpolated
WARP_FULL, WARP_GONE = 2.5, 4.2  # eye distances up to which the warp is whole, and beyond which it is gone
ANCHOR_RADIUS, ANCHOR_COUNT = 3.9, 16  # ring of points that the warp leaves where they are
WARP_SMOOTHING = 1e-3  # of the thin-plate spline: it need not pass through noisy landmarks exactly
LIDS = (0.10, 0.24)  # height over width of an eye from closed (lids hardly enlarged, so that they stay closed) to open
# From nose root to chin in eye distances, adult and child: children's large eyes grow by less, this much of it.
CHILD_FACE, CHILD_GROWTH = (1.65, 1.35), 0.6


class Warp:
    """The exaggeration of a face with `landmarks [68, 2]` to the `shape` of a style at degree 1.
    `source` and `target`, `[81, 2]`, are control points (the landmarks and the forehead's arc) and where they go. The
    displacement fields `[H, W, 2]` say, for each pixel of the result, where it comes from.
    """

    def __init__(self, landmarks: np.ndarray, shape: SimpleNamespace):
        frame = face_frame(landmarks)
        self.source = np.vstack([landmarks, forehead_arc(landmarks)])
        self.target = frame.to_image(_exaggerate(frame.to_face(self.source), shape)).astype(np.float32)
        self.centre, self.eye_distance = landmarks[29], frame.eye_distance

    def landmarks_at(self, degree: float) -> np.ndarray:
        """Landmarks `[68, 2]` of the warped face: linear in the degree."""
        return (self.source + degree * (self.target - self.source))[:68].astype(np.float32)

    def field(self, shape: tuple[int, ...], degree: float) -> np.ndarray:
        """Displacement (source − result) in pixels."""
        return _dense(self._coarse_field(shape, degree)[1], shape)

    def field_from_full(self, shape: tuple[int, ...], degree: float) -> np.ndarray:
        """Displacement that takes a picture drawn at degree 1 back to `degree`: f_1^-1 ∘ f_degree, with f the maps into
        the photo. Solved by fixed-point iteration; as the warp stretches by much less than two, each round at least
        halves the error."""
        full = self.field(shape, 1.0)
        grid, field = self._coarse_field(shape, degree)
        wanted, position = grid + field, grid
        for _ in range(8):
            position = wanted - cv2.remap(full, position, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return _dense(position - grid, shape)

    def _coarse_field(self, shape: tuple[int, ...], degree: float) -> tuple[np.ndarray, np.ndarray]:
        """Grid points `[h, w, 2]` of step GRID_STEP that cover `shape`, and the displacement there."""
        grid = GRID_STEP * pixel_grid(*(-(-side // GRID_STEP) + 1 for side in shape[:2]))
        angle = np.linspace(0, 2 * np.pi, ANCHOR_COUNT, endpoint=False)
        ring = self.centre + ANCHOR_RADIUS * self.eye_distance * np.stack([np.cos(angle), np.sin(angle)], 1)
        # The inner lips would fold a closed mouth over itself; the outer ones carry them along.
        kept = np.r_[0:60, 68 : len(self.source)]
        ends = self.source, self.target
        source, target = (np.vstack([end[kept], *(end[eye].mean(0) for eye in EYES), ring]) for end in ends)
        target, unit = source + degree * (target - source), self.eye_distance
        spline = RBFInterpolator(target / unit, source - target, kernel="thin_plate_spline", smoothing=WARP_SMOOTHING)
        field = spline(grid.reshape(-1, 2) / unit).reshape(grid.shape).astype(np.float32)
        radius = np.linalg.norm(grid - self.centre, axis=-1, keepdims=True) / unit
        return grid, field * smoothstep(WARP_GONE, WARP_FULL, radius).astype(np.float32)


def _dense(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    matrix = np.array([[GRID_STEP, 0, 0], [0, GRID_STEP, 0]], np.float32)
    return cv2.warpAffine(coarse, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def displace(image: np.ndarray, field: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Sample `image [H, W(, C <= 4)]` at each pixel plus `field [H, W, 2]`."""
    place = pixel_grid(*field.shape[:2]) + field
    return cv2.remap(image, place, None, interpolation, borderMode=cv2.BORDER_REFLECT_101)


def _exaggerate(source: np.ndarray, shape: SimpleNamespace) -> np.ndarray:
    """Where control points `[81, 2]` go at degree 1; all in the face's own axes."""
    target = source.copy()
    towards_chin = 1 - np.abs(np.arange(17) - 8) / 8  # 0 at the ears, 1 at the chin
    slim = smoothstep(0.1, 0.55, towards_chin) * (1 - 0.55 * smoothstep(0.8, 1.0, towards_chin))
    middle = source[8, 0] * towards_chin + (source[0, 0] + source[16, 0]) / 2 * (1 - towards_chin)
    target[:17, 0] = middle + (source[:17, 0] - middle) * (1 - (1 - shape.jaw_width) * slim)
    target[:17, 1] += shape.chin_rise * smoothstep(0.55, 1.0, towards_chin)
    target[68:, 1] += shape.forehead_rise * np.sin(np.linspace(0, np.pi, len(source) - 68))
    target[68:, 0] *= 1 + 0.25 * shape.forehead_rise
    mouth = source[MOUTH].mean(0)
    target[MOUTH] = mouth + (source[MOUTH] - mouth) * shape.mouth_size + (0, shape.mouth_rise)
    target[31:36, 0] = source[30, 0] + (source[31:36, 0] - source[30, 0]) * shape.nose_width
    target[27:36, 1] = source[27, 1] + (source[27:36, 1] - source[27, 1]) * shape.nose_length
    for eye, brow in zip(EYES, BROWS, strict=True):
        _move_eye(source, target, shape, eye, brow)
    return source[29] + (target - source[29]) * shape.head_size


def _move_eye(source: np.ndarray, target: np.ndarray, shape: SimpleNamespace, eye: slice, brow: slice) -> None:
    centre = source[eye].mean(0)
    outwards = np.sign(centre[0] - source[27, 0]) * shape.eye_apart
    growth = 1 - (1 - CHILD_GROWTH) * smoothstep(*CHILD_FACE, source[27, 1] - source[8, 1])
    lids = np.linalg.norm(source[eye][[1, 2]] - source[eye][[5, 4]], axis=1).mean()
    openness = smoothstep(*LIDS, lids / (np.linalg.norm(source[eye][3] - source[eye][0]) + 1e-3))
    width, height = 1 + growth * (shape.eye_width - 1), 1 + growth * (shape.eye_height - 1) * (0.3 + 0.7 * openness)
    target[eye] = centre + (outwards, shape.eye_rise) + (source[eye] - centre) * (width, height)
    lift = (source[eye, 1].max() - centre[1]) * (height - 1) + shape.eye_rise + shape.brow_rise
    middle = source[brow].mean(0)
    target[brow] = middle + (source[brow] - middle) * (1 + (width - 1) / 2, 1) + (outwards, lift)
