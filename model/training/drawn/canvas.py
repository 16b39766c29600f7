"""What a drawing is painted on: the warped photo, its regions and measures."""

from collections import namedtuple

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.training.drawn.geometry import BROWS, EYES, FaceFrame, face_frame
from model.training.drawn.parsing import REGIONS, Parsing
from model.training.drawn.raster import blur, curve, guided_filter, masked_blur, polygon, smoothstep, to_lab
from model.training.drawn.warp import Warp, displace

LEAST_SKIN = 50  # pixels of skin that a face must show for its colours to be measured
TYPICAL_SKIN = (60.0, 15.0, 18.0)  # Lab colour taken for the skin's where it does not (all hair, masks)
SAME_COLOUR = (7.0, 3.0)  # Lab distance at which a pixel near the background is none of it, and is a part of it
WELL_EXPOSED = 75.0  # lightness of the lightest parts of a photo from which it counts as well exposed

SkinTone = namedtuple("SkinTone", "lightness a b")  # median Lab colour of the photo's face


class Canvas:
    """A photo being painted over, at degree 1, and what the steps need to know of it. Pictures are `[H, W, 3]` float32
    in CIE Lab, masks `[H, W]` float32 in 0..1 and soft."""

    def __init__(self, rgb: np.ndarray, parsing: Parsing, warp: Warp):
        """Warp a photo `[H, W, 3]` uint8 and its regions, and measure them."""
        field = warp.field(rgb.shape, 1.0)
        self.photo = to_lab(displace(rgb, field))  # to measure on
        self.lab, self.shape = self.photo.copy(), self.photo.shape  # the paint
        self.landmarks = warp.landmarks_at(1.0)
        self.frame = face_frame(self.landmarks)
        self.eye_distance = unit = self.frame.eye_distance
        # Position (right, up) of each pixel from the root of the nose, in eye distances.
        self.position = self.frame.to_face(pixel_grid(*self.shape[:2]))

        regions = [displace(mask, field, cv2.INTER_LINEAR) for mask in np.moveaxis(parsing.regions, -1, 0)]
        region = dict(zip(REGIONS, regions, strict=True))
        parts = [brow_mask(self.shape, self.landmarks[brow], self.frame) for brow in BROWS]
        parts += [polygon(self.shape, curve(self.landmarks[eye], closed=True), 1.0) for eye in EYES]
        self.features = np.clip(np.max([*parts, *lip_masks(self.shape, self.landmarks)], axis=0), 0, 1)
        self.hair, self.face_skin = region["hair"] * (1 - self.features), region["skin"] * (1 - self.features)
        skin = self.face_skin + (region["neck"] + region["ears"]) * (1 - self.features)
        self.skin = blur(np.clip(skin, 0, 1), 1.5)
        self.background = _background_along_edges(region["background"], self.face_skin, self.photo, unit)

        self.face_pixels = self.face_skin > 0.6
        self.shows_skin = self.face_pixels.sum() >= LEAST_SKIN  # enough to measure on
        measured = self.photo[self.face_pixels]
        self.tone = SkinTone(*(np.median(measured, 0).tolist() if self.shows_skin else TYPICAL_SKIN))
        self.white = float(np.percentile(self.photo[::4, ::4, 0], 98))  # lightness of the lightest parts
        self.exposure = float(np.clip(self.white / WELL_EXPOSED, 0.3, 1))  # 1: well exposed, less: dark
        self.details = np.maximum(self.features, self._glasses())
        self.smooth = self.flow = None  # smoothed photo, and unit vectors along its edges [H, W, 2]: a step's work

    def _glasses(self) -> np.ndarray:
        """Mask of dark lines around the eyes that are neither brow nor lid: the frames of glasses."""
        window = np.ones((int(0.07 * self.eye_distance) | 1,) * 2, np.uint8)
        lines = cv2.morphologyEx(blur(self.photo[..., 0], 1.0), cv2.MORPH_BLACKHAT, window)
        x, y = np.moveaxis(self.position, -1, 0)
        zone = smoothstep(1.25, 1.05, abs(x)) * smoothstep(0.45, 0.3, abs(y + 0.12))
        return (smoothstep(10, 18, lines / self.exposure) * zone * (1 - self.hair)).astype(np.float32)


def _background_along_edges(background: np.ndarray, face: np.ndarray, lab: np.ndarray, unit: float) -> np.ndarray:
    """The parsing's `background [H, W]` with the edges of the picture. What lies close to it and has its very colour
    belongs to it: around a head, a margin left out would show as a halo."""
    mask = smoothstep(0.45, 0.95, background).astype(np.float32)
    unlike = np.linalg.norm(blur(lab, 0.02 * unit) - masked_blur(lab, mask, 0.2 * unit), axis=-1)
    close = smoothstep(0.02, 0.12, blur(mask, 0.2 * unit)) * (1 - face)
    mask = np.maximum(mask, smoothstep(*SAME_COLOUR, unlike) * close)
    return guided_filter(lab[..., 0], mask[..., None], max(2, int(0.08 * unit)), 40.0)[..., 0].clip(0, 1)


def brow_mask(shape: tuple[int, ...], line: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Soft band around the five landmarks `line` of a brow."""
    middle = curve(line, 8)
    thickness = np.interp(np.linspace(0, 1, len(middle)), [0, 0.35, 0.7, 1], [0.35, 1, 1, 0.35])[:, None]
    reach = frame.up * thickness * 0.075 * frame.eye_distance
    return polygon(shape, np.vstack([middle + reach * 0.55, (middle - reach * 0.95)[::-1]]), 1.5)


def lip_masks(shape: tuple[int, ...], landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft masks of upper lip, lower lip and the inside of the mouth."""
    upper = np.vstack([curve(landmarks[48:55]), curve(landmarks[60:65])[::-1]])
    lower = np.vstack([curve(landmarks[[*range(54, 60), 48]]), curve(landmarks[[60, 67, 66, 65, 64]])])
    inside = curve(landmarks[60:68], 6, closed=True)
    return polygon(shape, upper, 1.0), polygon(shape, lower, 1.0), polygon(shape, inside, 1.0)
