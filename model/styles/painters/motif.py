"""What painters in colour see in a photo: its tones and colours composed, a face as they know faces to be."""

from dataclasses import dataclass

import cv2
import numpy as np

from model.common.errors import InputError
from model.faces.landmarks import BROWS, EYES, MOUTH
from model.styles.painters import sight
from model.styles.painters.subject import Subject
from model.styles.painters.values import between

INNER_LIPS = slice(60, 68)
LIGHTEST, LEAST_LIGHT, MOST_GAIN = 0.985, 88.0, 4.0  # of a dim photo: this part of its L is raised to that, so far
GREY = 4.0  # mean chroma of photos without colour, which are painted on
SEPIA = (5.0, 11.0)  # a, b in the lights
TONE = 25.0  # distance in L from the middle at which lights are warm and shadows cool
LIFTED = (25.0, 50.0)  # mean L of a person from which the picture is lifted, and from which in full
COLOURFUL = 38.0  # chroma of colours that are hardly raised any more
RUDDIEST = 19.0  # mean a of a face, beyond which it is flushed or badly lit, and is calmed
PALEST = 14.0  # mean b of a face, below which it is in blue light, and is warmed
LEAST_GOLD = 0.65  # b of skin, as a part of its a, for it not to be pink all over
FINE = 0.55  # fineness from which detail of the photo is kept; 0.4 above it, all is
FACE_WEIGHT = 3.0  # of the face against the rest of the person, where tones are measured


@dataclass(frozen=True)
class Motif:
    """How a photo is seen; the values are explained in the painters' .toml files."""

    texture_scale: float = between(0, 0.2)
    texture_contrast: float = between(0, 40)
    crispness: float = between(0, 0.1)
    fine_detail: float = between(0, 3)
    clear_eyes: float = between(0, 2)
    quiet_teeth: float = between(0, 1)
    zones: float = between(0, 3)
    contrast: float = between(0.3, 3)
    local_contrast: float = between(0, 4)
    lift: float = between(-30, 30)
    saturation: float = between(0, 4)
    warm_lights: float = between(-30, 30)
    cool_shadows: float = between(-30, 30)

    def seen(self, subject: Subject, matte: np.ndarray) -> np.ndarray:
        """The photo as the painter sees it, Lab float32 `[H, W, 3]`; `matte` is the person's, see `sight.cut_out`."""
        unit = subject.eye_distance
        photo = _exposed(sight.to_lab(subject.rgb))
        fine = np.clip(2.5 * (subject.fineness - FINE), 0, 1)
        lab = sight.without_texture(photo, self.texture_scale * unit, self.texture_contrast)
        lab += self.fine_detail * fine[..., None] * (photo - lab)
        lab = sight.crisp_lab(lab, self.crispness * unit, 1 - 0.6 * fine)
        if subject.landmarks is not None:
            lab = _clear_eyes(lab, subject, self.clear_eyes)
            lab = _quiet_teeth(lab, subject, self.quiet_teeth)
            lab = _zoned(lab, subject, self.zones)
        return self._composed(lab, unit, matte + FACE_WEIGHT * subject.face, _is_grey(photo))

    def _composed(self, lab: np.ndarray, unit: float, weight: np.ndarray, is_grey: bool) -> np.ndarray:
        """Tones and colours around the mean of the person."""
        middle = float(np.average(lab[..., 0], weights=weight + 1e-6))
        lab[..., 0] = sight.contrasted(lab[..., 0], middle, 0.5 * unit, self.contrast, self.local_contrast)
        light = np.tanh((lab[..., 0] - middle) / TONE)
        if is_grey:
            lab[..., 1:] += np.float32(SEPIA) * sight.logistic((lab[..., :1] - 28) / 7)
        lift = self.lift * min(max((middle - LIFTED[0]) / (LIFTED[1] - LIFTED[0]), 0), 1)  # dark skin stays dark
        lab[..., 0] += lift * np.clip(lab[..., 0] / 50, 0, 1)
        chroma = np.hypot(lab[..., 1], lab[..., 2])
        lab[..., 1:] *= (1 + (self.saturation - 1) * np.exp(-((chroma / COLOURFUL) ** 2)))[..., None]
        turn = np.where(light > 0, self.warm_lights, self.cool_shadows) * light
        lab[..., 1] += 0.4 * np.abs(turn)
        lab[..., 2] += turn
        lab[..., 0] = lab[..., 0].clip(2, 99)
        return lab.astype(np.float32)


def check_lists(painter: object, *alike: str, **counts: int) -> None:
    """Raise InputError unless the lists named in `alike` are equally long, and those in `counts` that long."""
    if len({len(getattr(painter, name)) for name in alike}) > 1:
        raise InputError(
            f"The painter's lists {', '.join(alike)} must be equally long: give one number each per layer."
        )
    for name, count in counts.items():
        if len(getattr(painter, name)) != count:
            raise InputError(
                f"The painter's list {name!r} must have {count} numbers, not {len(getattr(painter, name))}."
            )


def _exposed(lab: np.ndarray) -> np.ndarray:
    """A dim photo raised so that its lights are light; others as they are."""
    light = max(float(np.quantile(lab[::4, ::4, 0], LIGHTEST)), 1.0)
    return lab * np.float32(min(max(LEAST_LIGHT / light, 1.0), MOST_GAIN))


def _is_grey(lab: np.ndarray) -> bool:
    """Whether a photo is black and white."""
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean()) < GREY


def _clear_eyes(lab: np.ndarray, subject: Subject, strength: float) -> np.ndarray:
    """Eyes as painters see them: more contrast between white, iris and pupil, and more colour."""
    for eye in EYES:
        mask = _filled(subject, eye, 0.02)
        middle = float(np.average(lab[..., 0], weights=mask + 1e-9))
        change = (0.6 * (lab[..., 0] - middle) + 4) * np.clip(lab[..., 0] / 20, 0, 1)
        lab[..., 0] += strength * mask * change
        lab[..., 1:] *= (1 + 0.4 * strength * mask)[..., None]
    return lab


def _quiet_teeth(lab: np.ndarray, subject: Subject, strength: float) -> np.ndarray:
    """Teeth become one light shape, in which the gaps between them are only hinted at."""
    together = sight.blur(lab, 0.04 * subject.eye_distance)
    teeth = np.clip((together[..., 0] - 32) / 18, 0, 1) * np.clip((22 - together[..., 1]) / 10, 0, 1)
    mask = strength * _filled(subject, INNER_LIPS, 0.012) * teeth
    return lab + mask[..., None] * (together + np.float32((3, 0, -2)) - lab)


def _zoned(lab: np.ndarray, subject: Subject, strength: float) -> np.ndarray:
    """The three zones of colour in a face, as painters teach them: golden forehead, ruddy middle, cool chin. Skin that
    is flushed, or pale in blue light, is brought nearer to skin in daylight before."""
    brows, mouth = subject.landmarks[BROWS].mean(axis=0), subject.landmarks[MOUTH].mean(axis=0)
    down = (mouth - brows) / max(float((mouth - brows) @ (mouth - brows)), 1.0)
    y, x = (np.arange(side, dtype=np.float32) for side in lab.shape[:2])
    height = (x[None] - brows[0]) * down[0] + (y[:, None] - brows[1]) * down[1]  # 0 at the brows, 1 at the mouth
    forehead, chin = sight.logistic(-(height + 0.15) / 0.1), sight.logistic((height - 1.15) / 0.1)
    ruddy = np.exp(-(((height - 0.5) / 0.33) ** 2))
    face = strength * subject.face
    mean_a, mean_b = (np.average(lab[..., channel], weights=face + 1e-9) for channel in (1, 2))
    lab[..., 1] -= face * max(mean_a - RUDDIEST, 0)
    lab[..., 2] += face * min(max(PALEST - mean_b, 0), 10)
    # None in the dark, and none on skin that is red already.
    room = face * np.clip(lab[..., 0] / 60, 0, 1.2) * np.clip((27 - lab[..., 1]) / 13, 0, 1)
    lab[..., 1] += room * (5 * ruddy - chin - forehead)
    lab[..., 2] += room * (ruddy - 4 * chin + 3 * forehead)
    lab[..., 2] += face * np.clip(LEAST_GOLD * lab[..., 1] - lab[..., 2], 0, 10)
    return lab


def _filled(subject: Subject, part: slice, softness: float) -> np.ndarray:
    """Soft mask `[H, W]` of the convex shape of landmarks; softness in eye distances."""
    mask = np.zeros(subject.rgb.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(subject.landmarks[part].astype(np.int32)), 1.0)
    return sight.blur(mask, max(softness * subject.eye_distance, 0.6))
