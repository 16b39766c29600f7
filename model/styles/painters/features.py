"""Mouths and eyes that are open where the painting has closed ones, or the reverse: taken from another painting."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from model.faces.landmarks import EYES, MOUTH, face_size, open_eye, open_mouth
from model.styles.painters.carried import Carrier, Seen

UNLIKE, PLAIN = 0.5, 0.25  # differences in openness: from where on others are taken, and are plainly closed or open
QUICK = 0.08  # seconds in which another one fades in
GROWN, SOFT = 0.13, 0.05  # eye distances that are taken around them, and the blur of the border


def open_eyes(landmarks: np.ndarray) -> float:
    """How open the eyes are, from 0 to 1."""
    return float(np.mean([open_eye(landmarks[eye]) for eye in EYES]))


class Feature:
    """One of the two, over time. openness: of landmarks; parts: slices of these."""

    def __init__(self, openness: Callable[[np.ndarray], float], parts: Sequence[slice]):
        self._openness, self._parts = openness, parts
        self._other: Carrier | None = None
        self._share = 0.0

    def choose(self, frame: Seen, used: Carrier, kept: Sequence[Carrier]) -> bool:
        """Decide which painting the feature is taken from: the one in use, or another one that was kept, the last ones
        first. Whether a painting of this very frame would be good to have."""
        now = self._openness(frame.landmarks)

        def fits(carrier: Carrier) -> bool:
            return abs(self._openness(carrier.painting.landmarks) - now) < UNLIKE

        others = [] if fits(used) else [each for each in kept if each is not used and fits(each)]
        if others and self._other not in others:
            self._other, self._share = others[-1], 0.0
        step = (frame.time - frame.before.time) / QUICK if frame.before else 1.0
        self._share = float(np.clip(self._share + (step if others else -step), 0, 1))
        return not fits(used) and not others and min(now, 1 - now) < PLAIN

    def laid_over(self, picture: np.ndarray, frame: Seen, boil: np.ndarray | None) -> np.ndarray:
        """A painted frame with the feature of the other painting, in place."""
        if self._share == 0 or self._other is None:
            return picture
        size, unit = picture.shape[:2], face_size(frame.landmarks)
        other = self._other(frame, boil)[0]
        for part in self._parts:
            points = frame.landmarks[part]
            away = round((GROWN + 3 * SOFT) * unit)
            left, top = np.clip(points.min(axis=0).astype(int) - away, 0, size[::-1])
            right, bottom = np.clip(points.max(axis=0).astype(int) + away, 0, size[::-1])
            if right <= left or bottom <= top:
                continue
            outside = np.ones((bottom - top, right - left), np.uint8)
            cv2.fillConvexPoly(outside, cv2.convexHull((points - (left, top)).round().astype(np.int32)), 0)
            near = (cv2.distanceTransform(outside, cv2.DIST_L2, 3) < GROWN * unit).astype(np.float32)
            mask = self._share * cv2.GaussianBlur(near, (0, 0), SOFT * unit)
            here = np.s_[top:bottom, left:right]
            picture[here] = cv2.blendLinear(
                np.ascontiguousarray(other[here]), np.ascontiguousarray(picture[here]), mask, 1 - mask
            )
        return picture


def features() -> list[Feature]:
    return [Feature(open_mouth, [MOUTH]), Feature(open_eyes, EYES)]
