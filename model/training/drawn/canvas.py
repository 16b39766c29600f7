"""What a drawing is painted on: the warped photo, its regions and measures. Pictures are CIE Lab, float32."""

from collections import namedtuple
from dataclasses import dataclass

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.training.drawn.filters import blur, guided_filter, masked_blur, smoothstep, to_lab
from model.training.drawn.geometry import BROWS, EYES, INNER_MOUTH, FaceFrame, face_frame
from model.training.drawn.parsing import REGIONS, Parsing
from model.training.drawn.strokes import curve, polygon
from model.training.drawn.warp import Warp, displace

UPPER_LIP = ([48, 49, 50, 51, 52, 53, 54], [60, 61, 62, 63, 64])
LOWER_LIP = ([54, 55, 56, 57, 58, 59, 48], [60, 67, 66, 65, 64])
LEAST_SKIN = 50  # pixels of skin that a face must show for its colours to be measured
TYPICAL_SKIN = (60.0, 15.0, 18.0)  # Lab colour taken for the skin's where it does not (all hair, masks)
SAME_COLOUR = (7.0, 3.0)  # Lab distance at which a pixel near the background is none of it, and is a part of it
WELL_EXPOSED = 75.0  # lightness of the lightest parts of a photo from which it counts as well exposed


SkinTone = namedtuple("SkinTone", "lightness a b")  # median Lab colour of the photo's face


@dataclass
class Canvas:
    """A picture being painted. Masks are soft, `[H, W]` float32 in 0..1; Lab pictures `[H, W, 3]`."""

    lab: np.ndarray  # the paint
    photo: np.ndarray  # the warped photo, to measure on
    landmarks: np.ndarray  # [68, 2], warped
    frame: FaceFrame
    background: np.ndarray  # sharp where the photo has an edge, a soft fade where the parsing cuts through hair
    skin: np.ndarray  # face, ears and neck without the features
    face_skin: np.ndarray
    hair: np.ndarray
    features: np.ndarray  # eyes, brows, mouth
    tone: SkinTone
    white: float  # lightness of the photo's lightest parts
    smooth: np.ndarray | None = None  # edge-preserving version of the photo
    flow: np.ndarray | None = None  # unit vectors along its edges, [H, W, 2]

    def __post_init__(self) -> None:
        self.shape, self.eye_distance = self.lab.shape, self.frame.eye_distance
        self.face_pixels = self.face_skin > 0.6
        # 1 for a well exposed photo, less for a dark one.
        self.exposure = float(np.clip(self.white / WELL_EXPOSED, 0.3, 1))
        # Position (right, up) of each pixel from the root of the nose, in eye distances.
        self.position = self.frame.to_face(pixel_grid(*self.shape[:2]))
        self.details = np.maximum(self.features, self._glasses())

    @property
    def shows_skin(self) -> bool:
        """Whether enough of the face's skin is seen to measure on."""
        return self.face_pixels.sum() >= LEAST_SKIN

    def _glasses(self) -> np.ndarray:
        """Soft mask of dark lines around the eyes that are neither brow nor lid: the frames of glasses."""
        size = int(0.07 * self.eye_distance) | 1
        lightness = blur(self.photo[..., 0], 1.0)
        lines = cv2.morphologyEx(lightness, cv2.MORPH_BLACKHAT, np.ones((size, size), np.uint8))
        x, y = np.moveaxis(self.position, -1, 0)
        zone = smoothstep(1.25, 1.05, abs(x)) * smoothstep(0.45, 0.3, abs(y + 0.12))
        return (smoothstep(10, 18, lines / self.exposure) * zone * (1 - self.hair)).astype(np.float32)


def prepare(rgb: np.ndarray, parsing: Parsing, warp: Warp) -> Canvas:
    """Warp a photo `[H, W, 3]` uint8 and its regions to degree 1 and measure what the steps need to know."""
    field = warp.field(rgb.shape, 1.0)
    lab = to_lab(displace(rgb, field))
    regions = np.moveaxis(parsing.regions, -1, 0)
    region = {name: displace(mask, field, cv2.INTER_LINEAR) for name, mask in zip(REGIONS, regions, strict=True)}

    landmarks = warp.landmarks_at(1.0)
    frame = face_frame(landmarks)
    features = _feature_mask(lab.shape, landmarks, frame.up, frame.eye_distance)
    face_skin = region["skin"] * (1 - features)
    skin = np.clip(face_skin + (region["neck"] + region["ears"]) * (1 - features), 0, 1)
    measured = lab[face_skin > 0.6]
    tone = np.median(measured, 0).tolist() if len(measured) >= LEAST_SKIN else TYPICAL_SKIN
    return Canvas(
        lab=lab,
        photo=lab.copy(),
        landmarks=landmarks,
        frame=frame,
        background=_background_along_edges(region["background"], face_skin, lab, frame.eye_distance),
        skin=blur(skin, 1.5),
        face_skin=face_skin,
        hair=np.clip(region["hair"] * (1 - features), 0, 1),
        features=features,
        tone=SkinTone(*tone),
        white=float(np.percentile(lab[::4, ::4, 0], 98)),
    )


def _background_along_edges(background: np.ndarray, face: np.ndarray, lab: np.ndarray, unit: float) -> np.ndarray:
    """The parsing's `background [H, W]` with the edges of the picture. What lies close to it and has its very colour
    belongs to it: around a head, a margin left out would show as a halo."""
    mask = smoothstep(0.45, 0.95, background).astype(np.float32)
    unlike = np.linalg.norm(blur(lab, 0.02 * unit) - masked_blur(lab, mask, 0.2 * unit), axis=-1)
    close = smoothstep(0.02, 0.12, blur(mask, 0.2 * unit)) * (1 - face)
    mask = np.maximum(mask, smoothstep(*SAME_COLOUR, unlike) * close)
    return guided_filter(lab[..., 0], mask[..., None], max(2, int(0.08 * unit)), 40.0)[..., 0].clip(0, 1)


def _feature_mask(shape: tuple[int, ...], landmarks: np.ndarray, up: np.ndarray, unit: float) -> np.ndarray:
    parts = [brow_mask(shape, landmarks[brow], up, unit) for brow in BROWS]
    parts += [polygon(shape, curve(landmarks[eye], closed=True), 1.0) for eye in EYES]
    return np.clip(np.max([*parts, *lip_masks(shape, landmarks)], axis=0), 0, 1)


def brow_mask(shape: tuple[int, ...], line: np.ndarray, up: np.ndarray, unit: float) -> np.ndarray:
    """Soft band around the five landmarks `line` of a brow."""
    middle = curve(line, 8)
    thickness = np.interp(np.linspace(0, 1, len(middle)), [0, 0.35, 0.7, 1], [0.35, 1, 1, 0.35])[:, None] * 0.075 * unit
    return polygon(shape, np.vstack([middle + up * thickness * 0.55, (middle - up * thickness * 0.95)[::-1]]), 1.5)


def lip_masks(shape: tuple[int, ...], landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft masks of upper lip, lower lip and the inside of the mouth."""
    upper = np.vstack([curve(landmarks[UPPER_LIP[0]]), curve(landmarks[UPPER_LIP[1]])[::-1]])
    lower = np.vstack([curve(landmarks[LOWER_LIP[0]]), curve(landmarks[LOWER_LIP[1]])])
    inside = curve(landmarks[INNER_MOUTH], 6, closed=True)
    return polygon(shape, upper, 1.0), polygon(shape, lower, 1.0), polygon(shape, inside, 1.0)
