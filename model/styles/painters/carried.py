"""A painted frame of a clip, carried to other frames: person and background move as they do in the photos.

The person goes with the landmarks, corrected by the optical flow between the photos; what is behind goes with the camera.
All is matched with the photo that was painted, not with the frame before, so that nothing drifts.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.effects import dense_flow, warp
from model.faces.landmarks import face_size
from model.faces.steady import SteadyPoints
from model.styles.example.guides import positions

REDUCED = 2  # movement is found in copies reduced so many times
COARSE = 8  # and kept in a copy reduced so many times more
AROUND = 0.14  # eye distances that outlines reach beyond the person, and are carried with it
SOFT = 0.03  # blur of the border between person and background, in eye distances
EVEN = 0.06  # blur of the optical flow, in eye distances
FARTHEST = 0.5  # eye distances by which the flow may correct the landmarks
CORNERS, LEAST_CORNERS = 200, 12  # of the background, by which its movement is found
BACKGROUND_HERTZ, PERSON_HERTZ = 1.0, 3.0  # corners of the filters of movements at rest
LOCAL = 0.5  # blur, in eye distances, beyond which lightness may change without being a difference
UNLIKE = 24.0  # levels that are a difference


@dataclass(eq=False)
class Painting:
    """A photo RGB uint8 `[H, W, 3]` with landmarks `[68, 2]`, the person's matte float32 `[H, W]`, and its painting."""

    rgb: np.ndarray
    landmarks: np.ndarray
    matte: np.ndarray
    picture: np.ndarray

    @cached_property
    def unit(self) -> float:
        return face_size(self.landmarks)

    @cached_property
    def small(self) -> np.ndarray:
        return reduced(self.rgb)

    @cached_property
    def cover(self) -> np.ndarray:
        """How much of the painting belongs to the person, outlines included: float32 `[H, W]`."""
        away = cv2.distanceTransform((self.matte < 0.5).astype(np.uint8), cv2.DIST_L2, 3) / self.unit
        return cv2.GaussianBlur((away < AROUND).astype(np.float32), (0, 0), SOFT * self.unit)

    @cached_property
    def behind(self) -> np.ndarray:
        """The painting without the person, in whose place is a mirror image of what is around: RGB uint8."""
        hidden = (self.cover > 0.01).astype(np.uint8)
        if hidden.all() or not hidden.any():
            return self.picture
        rows, columns = np.nonzero(hidden == 0)
        _, nearest = cv2.distanceTransformWithLabels(
            hidden, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        border = np.zeros((nearest.max() + 1, 2), np.float32)
        border[nearest[rows, columns]] = np.stack([columns, rows], axis=1)
        border, here = border[nearest], pixel_grid(*hidden.shape)
        mirrored = np.where(hidden[..., None] > 0, 2 * border - here, here)
        return cv2.remap(self.picture, mirrored, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    @cached_property
    def corners(self) -> np.ndarray | None:
        """Corners in the background `[N, 1, 2]` of the reduced photo; None where it has too few."""
        side = 2 * round(0.1 * self.unit) + 1
        free = cv2.erode((self.matte < 0.1).astype(np.uint8), np.ones((side, side), np.uint8))
        free = cv2.resize(free, self.small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        found = cv2.goodFeaturesToTrack(_grey(self.small), CORNERS, 0.01, 6, mask=free)
        return None if found is None or len(found) < LEAST_CORNERS else found


def reduced(rgb: np.ndarray) -> np.ndarray:
    size = tuple(max(side // REDUCED, 1) for side in rgb.shape[1::-1])
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


class Carrier:
    """Carries one painting to the frames of a clip, in order. Movement is steadied over time."""

    def __init__(self, painting: Painting):
        self.painting = painting
        self._person = SteadyPoints(PERSON_HERTZ)
        self._camera = SteadyPoints(BACKGROUND_HERTZ)
        self._coarse: tuple[int, int] | None = None
        self._corners: np.ndarray | None = None
        self._matrix = np.eye(2, 3)
        self.unlike = 0.0  # how much of the person in the last frame is not as in the photo that was painted

    def __call__(
        self, rgb: np.ndarray, landmarks: np.ndarray, time: float, boil: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A frame RGB uint8 `[h, w, 3]` painted, and the person's mask float32 `[h, w]` in it. boil: how far strokes are
        moved, float32 `[h, w, 2]`."""
        own, size = self.painting, rgb.shape[:2]
        places = self._places(reduced(rgb), landmarks, time, size)
        x, y = cv2.split(cv2.transform(pixel_grid(*size), self._behind(rgb, time)))
        behind = np.dstack([x, y])
        if boil is not None:
            places, behind = places + boil, behind + boil
        cover = cv2.remap(own.cover, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        person, back = (
            cv2.remap(picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
            for picture, where in ((own.picture, places), (own.behind, behind))
        )
        picture = cv2.blendLinear(person, back, cover, 1 - cover)
        return picture, cv2.remap(own.matte, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _places(self, small: np.ndarray, landmarks: np.ndarray, time: float, size: tuple[int, int]) -> np.ndarray:
        """Where in the painting the pixels of the person in a frame are, (x, y), float32 `[h, w, 2]`."""
        own = self.painting
        to, there = ((points + 0.5) / REDUCED - 0.5 for points in (landmarks, own.landmarks))
        near = positions(small.shape[:2], to, there)
        seen = cv2.remap(own.small, near, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        whole = cv2.resize(own.matte, own.small.shape[1::-1], interpolation=cv2.INTER_AREA)
        matte = cv2.remap(whole, near, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        unit = face_size(landmarks) / REDUCED
        flow = np.clip(dense_flow(small, seen), -FARTHEST * unit, FARTHEST * unit)
        sigma = EVEN * unit
        weight = cv2.GaussianBlur(matte, (0, 0), sigma) + 1e-3
        flow = cv2.GaussianBlur(flow * matte[..., None], (0, 0), sigma) / weight[..., None]
        found = warp(near, flow)
        self.unlike = _unlike(_grey(small), _grey(warp(seen, flow)), matte, unit)
        coarse = tuple(max(side // COARSE, 1) for side in small.shape[1::-1])
        moved = cv2.resize(found - pixel_grid(*small.shape[:2]), coarse, interpolation=cv2.INTER_AREA)
        if coarse != self._coarse:
            self._person, self._coarse = SteadyPoints(PERSON_HERTZ), coarse
        moved = self._person(moved.reshape(-1, 2), time, unit).reshape(moved.shape)
        whole = cv2.resize(REDUCED * moved, size[::-1], interpolation=cv2.INTER_CUBIC)
        return whole + pixel_grid(*size)

    def _behind(self, rgb: np.ndarray, time: float) -> np.ndarray:
        """Affine matrix `[2, 3]` from a frame to the painting, by the corners of the background."""
        own, now = self.painting, reduced(rgb)
        if own.corners is None or own.small.shape != now.shape:
            return self._matrix
        start = own.corners if self._corners is None else self._corners
        moved, seen, _ = cv2.calcOpticalFlowPyrLK(
            _grey(own.small), _grey(now), own.corners, start.copy(), winSize=(21, 21), maxLevel=3, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
        )
        seen = seen[:, 0] > 0
        if seen.sum() < LEAST_CORNERS:
            return self._matrix
        matrix, fits = cv2.estimateAffinePartial2D(
            own.corners[seen], moved[seen], ransacReprojThreshold=1.5
        )  # here → there: corners of the painting in the frame
        if matrix is None or fits.sum() < LEAST_CORNERS:
            return self._matrix
        self._corners = cv2.transform(own.corners, matrix).astype(np.float32)
        height, width = rgb.shape[:2]
        frame = np.float32([(0, 0), (width, 0), (0, height)])
        back = cv2.invertAffineTransform(matrix)
        back[:, 2] *= REDUCED
        steady = self._camera(cv2.transform(frame[None], back)[0] - frame, time, self.painting.unit) + frame
        self._matrix = cv2.getAffineTransform(frame, steady.astype(np.float32))
        return self._matrix


def _unlike(grey: np.ndarray, seen: np.ndarray, matte: np.ndarray, unit: float) -> float:
    """How much of a person `matte` looks different in two pictures, apart from the light."""
    difference = cv2.GaussianBlur(grey.astype(np.float32) - seen, (0, 0), 0.05 * unit)
    difference -= cv2.GaussianBlur(difference, (0, 0), LOCAL * unit)
    return float(((np.abs(difference) > UNLIKE) & (matte > 0.5)).sum() / max((matte > 0.5).sum(), 1))
