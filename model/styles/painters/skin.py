"""Which parts of a person are skin, and which hair or clothes: by colour, and by where the face is."""

import cv2
import numpy as np

from model.faces.landmarks import BROWS
from model.styles.example.skin import fair_hair
from model.styles.painters.flats import shape_of
from model.styles.painters.likeness import blurred, step
from model.styles.painters.subject import Subject

CHEEKS = [1, 2, 3, 4, 12, 13, 14, 15, 31, 35, 29]  # landmarks that have skin between them
CHIN = 8  # landmark
FOREHEAD = 0.3  # height of what is taken for forehead, as a part of that from brows to chin
LIT = 20  # percent of the skin that is taken for shadow and does not tell its colour
COLOURLESS = 8.0  # chroma of skin in a black and white photo, at most
CROWN = 1.5  # how much nearer to the skin's a colour must be above the brows, where hair is likely
HAT = 0.9  # how much more a lack of colour counts on the forehead
USUAL_SKIN = (70.0, 14.0, 20.0)  # Lab, where no face is known


def skin_of(subject: Subject, lab: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Lab of the skin in the light, mask float32 `[H, W]` of all the person's skin). `lab` is the photo's, smoothed.

    In the face nearly all is skin, and on the forehead what is no fringe: a little darker than the skin at most.
    Elsewhere its colour tells.
    """
    points = subject.landmarks
    if points is None:
        return np.float32(USUAL_SKIN), np.zeros(matte.shape, np.float32)
    cheeks = shape_of(subject, _hull(points[CHEEKS])) > 0.5
    here = lab[cheeks] if cheeks.any() else lab.reshape(-1, 3)
    colour = np.median(here[here[:, 0] >= np.percentile(here[:, 0], LIT)], axis=0)
    light, a, b = np.moveaxis(lab - colour, -1, 0)
    tint = np.hypot(a, b)

    up = points[BROWS].mean(axis=0) - points[CHIN]
    rows, columns = np.mgrid[: matte.shape[0], : matte.shape[1]].astype(np.float32)
    height = ((columns - points[CHIN][0]) * up[0] + (rows - points[CHIN][1]) * up[1]) / max(
        up @ up, 1e-6
    )  # 1 at the brows
    strict = 1 + (CROWN - 1) * step(height, 0.9, 1.1)
    skin = step(strict * np.hypot(light / 2.2, 1.6 * tint), 24, 16) * matte
    if np.hypot(*colour[1:]) < COLOURLESS:  # clothes may be as grey as the skin
        skin = skin * step(blurred(subject.face, 0.4 * subject.eye_distance), 0.02, 0.2)
    # Skin pales only in the light: what is greyer and no lighter is a hat.
    greyer = step(np.hypot(lab[..., 1], lab[..., 2]) - np.hypot(*colour[1:]), 0, -6) * step(light, 12, 2)
    forehead = _hull(np.concatenate([points[BROWS], points[BROWS] + FOREHEAD * up]))
    for outline, darker, lighter, grey, most in ((_below_brows(subject), 6, 6, 0, 34), (forehead, 1.3, 4, HAT, 26)):
        away = np.hypot(np.where(light < 0, light / darker, light / lighter), tint * (1 + grey * greyer))
        skin = np.maximum(skin, step(away, most, most - 8) * step(shape_of(subject, outline), 0.3, 0.7))
    skin = skin * (1 - fair_hair(lab, points, matte))
    whole = cv2.medianBlur((255 * skin).astype(np.uint8), 2 * round(0.03 * subject.eye_distance) + 1)
    return colour, whole.astype(np.float32) / 255


def strands_of(subject: Subject, skin: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Mask float32 `[H, W]` of what is drawn along its own directions: hair and clothes, not skin, eyes and mouth."""
    if subject.landmarks is None:
        return matte
    face = cv2.GaussianBlur(shape_of(subject, _below_brows(subject)), (0, 0), 0.05 * subject.eye_distance)
    return matte * (1 - skin) * step(face, 0.6, 0.2)


def _below_brows(subject: Subject) -> np.ndarray:
    return _hull(subject.landmarks[: BROWS.stop])


def _hull(points: np.ndarray) -> np.ndarray:
    return cv2.convexHull(points.astype(np.float32))[:, 0]
