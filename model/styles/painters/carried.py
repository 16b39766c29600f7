"""A painted frame of a clip, carried to other frames: person and background move as they do in the photos.

The person goes with the landmarks, corrected by the optical flow between the photos; what is behind, with the camera.
All is matched with the photo that was painted, not with the frame before, so that nothing drifts.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.effects import dense_flow, warp
from model.faces.landmarks import face_size
from model.parsing.matting import matte_around
from model.styles.example.guides import positions
from model.styles.painters.camera import Backdrop
from model.styles.painters.likeness import blurred

REDUCED = 2  # movement is found in copies reduced so many times
COARSE = 4  # and what is smooth, in copies of these reduced so many times more
AROUND = 0.14  # eye distances that outlines reach beyond the person, and are carried with it
SOFT = 0.03  # blur of the border between person and background, in eye distances
EVEN = 0.06  # blur of the optical flow, in eye distances
FARTHEST = 0.5  # eye distances by which the flow may correct the landmarks
LEAST_PLACES = 12  # in the background, by which its movement is found
CORRECTED = 0.4  # share by which the camera is corrected in each frame: leaves that the wind moves do not shake it
STILL = 0.12  # pixels of the reduced frame up to which the camera is not moved
NEAR = 0.1  # eye distances from the person up to which nothing of the background is believed
RETURN, MOVING = 1.0, 5.0  # shares by which places return to where they match, a second and an eye distance
FAR = 0.012  # eye distances that are far: what is nearer is left alone, and what is farther returns faster
SURELY = 0.8, 1.0  # matte between which it is more and more sure that it is the person
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
    def small_matte(self) -> np.ndarray:
        return cv2.resize(self.matte, self.small.shape[1::-1], interpolation=cv2.INTER_AREA)

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
        lands = cv2.remap(hidden, mirrored, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
        mirrored = np.where(lands[..., None] > 0, border, mirrored).astype(np.float32)  # not on the person again
        return cv2.remap(self.picture, mirrored, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    @cached_property
    def backdrop(self) -> Backdrop:
        """What is behind in the reduced photo."""
        return Backdrop(self.small, self.free(self.small_matte))

    def free(self, matte: np.ndarray) -> np.ndarray:
        """Where a reduced matte float32 `[h, w]` leaves no doubt that it is not the person: bool."""
        side = 2 * round(NEAR * self.unit / REDUCED) + 1
        return cv2.erode((matte < 0.1).astype(np.uint8), np.ones((side, side), np.uint8)) > 0


@dataclass(eq=False)
class Seen:
    """A frame RGB uint8 `[h, w, 3]` with landmarks at a time in seconds, and the frame of the same size before it."""

    rgb: np.ndarray
    landmarks: np.ndarray
    time: float
    before: "Seen | None" = None

    @property
    def size(self) -> tuple[int, int]:
        return self.small.shape[:2]

    @cached_property
    def small(self) -> np.ndarray:
        return reduced(self.rgb)

    @cached_property
    def unit(self) -> float:
        """Eye distance in the reduced frame."""
        return face_size(self.landmarks) / REDUCED

    @cached_property
    def flow(self) -> np.ndarray:
        """Where the frame before shows each pixel of the reduced frame: displacements float32 `[h/2, w/2, 2]`."""
        return dense_flow(self.small, self.before.small)

    @cached_property
    def speed(self) -> float:
        """How fast the face moves, in eye distances a second."""
        if self.before is None:
            return 0.0
        x, y = np.clip(self.landmarks.round() / REDUCED, 0, np.array(self.size[::-1]) - 1).astype(int).T
        moved = float(np.linalg.norm(self.flow[y, x], axis=1).mean())
        return moved / self.unit / max(self.time - self.before.time, 1e-3)

    def forget(self) -> None:
        """All that came before."""
        self.before = None


class Carrier:
    """Carries one painting to the frames of a clip, in order: as they move from frame to frame, which is steady, and
    slowly back to where the photo that was painted matches, which does not drift."""

    def __init__(self, painting: Painting):
        self.painting = painting
        self._last: Seen | None = None
        self._places: np.ndarray | None = None  # where in the painting the person's pixels are, reduced
        self._matrix = np.eye(2, 3)  # to the painting behind, reduced
        self._shown: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # the person's, what is behind, and cover
        self.unlike = 0.0  # how much of the person in the last frame is not as in the photo that was painted

    def __call__(self, frame: Seen, boil: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A frame painted, RGB uint8 `[h, w, 3]`, and the person's mask in it, float32 `[h, w]`. boil: how far strokes
        are moved, float32 `[h, w, 2]`."""
        own, grid = self.painting, pixel_grid(*frame.rgb.shape[:2])
        self._follow(frame)
        away = cv2.resize(REDUCED * (self._places - pixel_grid(*frame.size)), frame.rgb.shape[1::-1])
        places = grid + away
        matrix = self._matrix * (1, 1, REDUCED)
        behind = cv2.transform(grid, matrix)
        if boil is not None:
            places, behind = places + boil, behind + boil
        cover, matte = (
            cv2.remap(mask, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for mask in (own.cover, own.matte)
        )
        x, y = cv2.split(places)
        self._shown = places, behind, cover
        # A person goes on below the painting; beyond its other edges, only who was cut off there does, and only where
        # the frame shows them.
        is_beyond = (x < 0) | (y < 0) | (x > own.matte.shape[1] - 1)
        cover[is_beyond] = np.interp(matte[is_beyond], SURELY, (0, 1))
        if (cover[is_beyond] > 0).any():
            cover[is_beyond] = np.minimum(cover, matte_around(frame.rgb, frame.landmarks))[is_beyond]
        person, back = (
            cv2.remap(picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
            for picture, where in ((own.picture, places), (own.behind, behind))
        )
        return cv2.blendLinear(person, back, cover, 1 - cover), matte

    def field(self) -> np.ndarray:
        """Where in the painting the pixels of the last frame come from, (x, y), float32 `[h, w, 2]`; only those of the
        person may be beyond its edges."""
        places, behind, cover = self._shown
        last = np.float32(self.painting.matte.shape[::-1]) - 1
        return np.where(cover[..., None] > 0.5, places, last - np.abs(np.abs(behind) % (2 * last) - last))

    def _follow(self, frame: Seen) -> None:
        """Update places and matrix for the next frame."""
        matched, matte = self._matched(frame)
        free = self.painting.free(matte)
        before, self._last = self._last, frame
        if before is None or frame.before is not before:
            self._places, self._matrix = matched, self._camera(frame, free, self._beside(frame))
            return
        step = (RETURN + MOVING * frame.speed) * (frame.time - before.time)
        sigma = EVEN * frame.unit
        around = _blurred_within(frame.flow, matte, sigma)
        moved = _carried(self._places, around + matte[..., None] * (frame.flow - around))
        lacking = cv2.resize(blurred(_coarse(matched - moved), sigma / COARSE), frame.size[::-1])
        far = np.linalg.norm(lacking, axis=2, keepdims=True) / (FAR * frame.unit)
        self._places = moved + np.minimum(step * far * far, 1) * lacking
        thought = self._unless_still(frame, self._moved(frame, free))
        seen = thought + CORRECTED * (self._camera(frame, free, thought) - thought)
        self._matrix = self._unless_still(frame, seen)

    def _matched(self, frame: Seen) -> tuple[np.ndarray, np.ndarray]:
        """Where in the painted photo the person's pixels are, by landmarks and optical flow, reduced (x, y); and the
        person's matte, float32."""
        own = self.painting
        to, there = ((points + 0.5) / REDUCED - 0.5 for points in (frame.landmarks, own.landmarks))
        near = positions(frame.size, to, there)
        seen, matte = (
            cv2.remap(each, near, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for each in (own.small, own.small_matte)
        )
        most = FARTHEST * frame.unit
        flow = np.clip(dense_flow(frame.small, seen, fast=True), -most, most)
        flow = _blurred_within(flow, matte, EVEN * frame.unit)
        self.unlike = _unlike(_grey(frame.small), _grey(warp(seen, flow)), matte, frame.unit)
        return _carried(near, flow), matte

    def _moved(self, frame: Seen, free: np.ndarray) -> np.ndarray:
        """The matrix to the painting behind, as the background has moved since the frame before."""
        here = pixel_grid(*frame.size)[4::8, 4::8][free[4::8, 4::8]]
        if len(here) < LEAST_PLACES:
            return self._matrix
        there = here + frame.flow[4::8, 4::8][free[4::8, 4::8]]
        moved, _ = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=0.5)
        return self._matrix if moved is None else self._matrix @ np.vstack([moved, (0, 0, 1)])

    def _unless_still(self, frame: Seen, matrix: np.ndarray) -> np.ndarray:
        """Another matrix to the painting behind; the one before where the two are next to the same."""
        height, width = frame.size
        corners = np.float64([[(0, 0), (width, 0), (0, height), (width, height)]])
        away = cv2.transform(corners, np.asarray(matrix, np.float64)) - cv2.transform(corners, self._matrix)
        return self._matrix if np.abs(away).max() < STILL else matrix

    def _beside(self, frame: Seen) -> np.ndarray:
        """The matrix to the painting behind where nothing is known of the camera: it stood still; or, in a picture of
        another size, it went with the face."""
        own = self.painting
        if own.small.shape == frame.small.shape:
            return np.eye(2, 3)
        matrix, _ = cv2.estimateAffinePartial2D(frame.landmarks / REDUCED, own.landmarks / REDUCED, method=cv2.LMEDS)
        return np.eye(2, 3) if matrix is None else matrix

    def _camera(self, frame: Seen, free: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """A matrix to the painting behind, corrected by what is seen where the frame is `free`, bool `[h/2, w/2]`."""
        own = self.painting
        return own.backdrop.found(frame.small, free, matrix) if own.small.shape == frame.small.shape else matrix


def reduced(rgb: np.ndarray) -> np.ndarray:
    size = tuple(max(side // REDUCED, 1) for side in rgb.shape[1::-1])
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def _blurred_within(flow: np.ndarray, matte: np.ndarray, sigma: float) -> np.ndarray:
    """A flow blurred within a person, and continued beyond."""
    small, share = _coarse(flow), _coarse(matte)
    near, wide = (
        blurred(small * share[..., None], size) / (blurred(share, size)[..., None] + 1e-6)
        for size in (sigma / COARSE, 6 * sigma / COARSE)
    )
    weight = np.minimum(5 * blurred(share, sigma / COARSE), 1)[..., None]
    return cv2.resize(wide + weight * (near - wide), flow.shape[1::-1])


def _carried(places: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Places `[h, w, 2]` that are carried by a flow, also from beyond the edge, where they go on as they do at it."""
    grid = pixel_grid(*flow.shape[:2])
    return grid + flow + warp(places - grid, flow)


def _coarse(values: np.ndarray) -> np.ndarray:
    size = tuple(-(-side // COARSE) for side in values.shape[1::-1])
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA)


def _unlike(grey: np.ndarray, seen: np.ndarray, matte: np.ndarray, unit: float) -> float:
    """How much of a person `matte` looks different in two pictures, apart from the light."""
    difference, person = _coarse(grey.astype(np.float32) - seen), _coarse(matte) > 0.5
    difference -= blurred(difference, LOCAL * unit / COARSE)
    return float(((np.abs(difference) > UNLIKE) & person).sum() / max(person.sum(), 1))
