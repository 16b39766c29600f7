"""What is done to the painted picture: mouths and eyes that the exemplar does not have, the tone of skin, detail,
area."""

from collections.abc import Sequence

import cv2
import numpy as np

from model.faces.landmarks import EYES, face_size, open_eye, open_mouth
from model.styles.example.exemplar import Exemplar
from model.styles.example.guides import Guides
from model.styles.example.labels import FEATURES, HAIR, SKIN, SMALL

LACKING = 1.5  # pixels of blur of the relief that is compared
SOFT = 1.5  # blur of the mask of the skin, in a small picture
FAIRER = (0.12, 0.45), (0.0, 0.75)  # hair by skin, more than the exemplar's, and how much of its colour is changed
FAIR_EDGE = 2.0  # pixels of blur of the mask of the hair
EVEN = 2.5  # blur of the light on skin, in a small picture
DETAIL = 0.6  # how much of the relief that the painting lacks, as of glasses, is laid over it
LIT, LIGHT_SKIN = 85, 195.0  # percentile of skin that is its lit part, and the grey level of that of light skin
TONES = (
    (0.35, 0.85),
    (0.6, 1.0),
)  # of a person's lit skin by that of light skin, and of the painted skin by the exemplar's
TONE_STEADY = 0.9  # share of the tone in the frame before
COLOURFUL = 26.0  # chroma of an exemplar's face, in Lab, from which on its tone is its own


def missing_parts(landmarks: np.ndarray, exemplar: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Soft mask float32 `[h, w]` of an open mouth and closed eyes where the exemplar's mouth is closed, and its eyes
    are open; None where there are none."""
    mask, around = np.zeros(size, np.float32), face_size(landmarks)
    share = open_mouth(landmarks) - open_mouth(exemplar)
    if share > 0:
        cv2.fillPoly(mask, [landmarks[60:].round().astype(np.int32)], share)
    for eye in EYES:
        share = open_eye(exemplar[eye]) - open_eye(landmarks[eye])
        if share > 0:
            points, reach = landmarks[eye].round().astype(np.int32), round(0.13 * around)
            near = _grown(cv2.boundingRect(points), 2 * reach, size)
            own = np.zeros_like(mask[near], np.uint8)
            cv2.fillPoly(own, [points - (near[1].start, near[0].start)], 255)
            own = cv2.dilate(own, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
            mask[near] = np.maximum(mask[near], own.astype(np.float32) * (share / 255))
    sigma = max(0.02 * around, 0.7)
    near = _grown(_rectangle(mask), round(4 * sigma) + 1, size)
    if near is None:
        return None
    mask[near] = cv2.GaussianBlur(mask[near], (0, 0), sigma)
    return mask


def _rectangle(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is above 0 in a mask float32."""
    return cv2.boundingRect(cv2.compare(mask, 0, cv2.CMP_GT))


def _grown(rectangle: Sequence[int], by: int, size: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns of a rectangle in a picture `(h, w)`, larger by so many pixels on all sides; None: it is
    empty."""
    left, top, width, height = rectangle
    rows, columns = (
        slice(min(max(start - by, 0), side), max(min(start + length + by, side), 0))
        for start, length, side in ((top, height, size[0]), (left, width, size[1]))
    )
    return None if rows.stop <= rows.start or columns.stop <= columns.start or width * height == 0 else (rows, columns)


def soft_skin(parts: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Soft mask float32 `[h, w]` of skin and features, of masks as `labels.parts_of` gives them."""
    person, skin, _, features, _ = cv2.split(parts.astype(np.float32))
    return cv2.resize(cv2.GaussianBlur(np.maximum(person * skin, features), (0, 0), SOFT), size[::-1])


class Finish:
    """Finishes the pictures of one person painted as an exemplar; keep_tone: whether skin is as light as it is."""

    def __init__(self, exemplar: Exemplar, keep_tone: bool):
        self._exemplar, self._keep_tone = exemplar, keep_tone
        self.forget()
        labels = exemplar.guides.labels
        skin = (labels == SKIN) | (labels == FEATURES)
        grey = cv2.cvtColor(exemplar.picture, cv2.COLOR_RGB2GRAY)
        self._shares = _shares(_counts(grey[skin]))
        self._colours = colours_by_level(exemplar.picture[skin], grey[skin])
        self._lit = float(np.percentile(grey[skin], LIT)) if skin.any() else LIGHT_SKIN
        hair = labels == HAIR
        self._hair = float(np.median(grey[hair])) if hair.any() else None

    def forget(self) -> None:
        """The frames before."""
        self._shade: float | None = None
        self._fair: np.ndarray | None = None  # what is added to hair that is fairer than the exemplar's

    def __call__(
        self, painted: np.ndarray, rgb: np.ndarray, landmarks: np.ndarray, guides: Guides, soft: np.ndarray,
        copied: np.ndarray, gain: float,
    ) -> np.ndarray:  # fmt: skip
        """RGB uint8 `[h, w, 3]`. soft: mask of the skin; copied: appearance of what was copied there, uint8 `[h, w]`;
        gain: how many times as light the photo is to be taken for good light."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        result, mask = painted.copy(), missing_parts(landmarks, self._exemplar.landmarks, guides.size)
        skin = cv2.calcHist([grey], [0], cv2.compare(guides.labels, SKIN, cv2.CMP_GE), [256], [0, 256]).ravel()
        if mask is not None and skin.any():
            near = _grown(_rectangle(mask), 0, guides.size)
            same = self._as_light_as(grey[near], skin)
            result[near] = painted[near] + mask[near][..., None] * (same - painted[near])
        else:
            mask = None
        if (near := _grown(_rectangle(soft), 0, guides.size)) is not None:  # nothing is added elsewhere
            detail = 2 * DETAIL * _lacking(guides.appearance, copied, near) * soft[near]  # relief is half of that
            if mask is not None:
                detail *= 1 - mask[near]
            detail += self._evenly_lit(result, grey, guides, soft)[near]
            result[near] = self._lighter(result[near], detail)
        result = self._as_fair(result, grey, guides)
        return self._toned(result, grey, guides, soft, gain) if self._keep_tone else result

    def _evenly_lit(self, painted: np.ndarray, grey: np.ndarray, guides: Guides, soft: np.ndarray) -> np.ndarray:
        """What makes skin far from the landmarks, such as the forehead's of the bald, which is made of pieces of the
        exemplar's skin, as evenly lit as the photo's: float32 `[h, w]`."""
        size = tuple(max(side // SMALL, 1) for side in guides.size[::-1])
        own, now, share, trust = (
            cv2.resize(each, size, interpolation=cv2.INTER_AREA)
            for each in (grey, cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY), soft, guides.trust)
        )
        skin = own[share > 0.5]
        if len(skin) == 0:
            return np.zeros(guides.size, np.float32)
        levels = np.interp(_shares(_counts(skin)), self._shares, np.arange(256)).astype(np.float32)
        share = share * (1 - trust.astype(np.float32) / 255)
        weights = cv2.GaussianBlur(share, (0, 0), EVEN) + 1e-3
        lacks = cv2.GaussianBlur(share * (cv2.LUT(own, levels) - now), (0, 0), EVEN) / weights
        return cv2.resize(share * lacks, guides.size[::-1])

    def _lighter(self, painted: np.ndarray, by: np.ndarray) -> np.ndarray:
        """A painting of skin made lighter `by` grey levels, float32 `[h, w]`: its colours change as the exemplar's do
        from tone to tone, RGB uint8."""
        grey = cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)
        to = cv2.add(grey, by, dtype=cv2.CV_8U)
        was, is_now = (cv2.LUT(cv2.merge([each] * 3), self._colours[None]) for each in (grey, to))
        return cv2.add(painted, is_now - was, dtype=cv2.CV_8U)

    def _as_fair(self, rgb: np.ndarray, grey: np.ndarray, guides: Guides) -> np.ndarray:
        """Hair brought nearer to the person's where that is fairer, by comparison with the skin, than the exemplar's:
        its strokes stay, their mean takes the exemplar's colour of that lightness."""
        labels, few = guides.labels[::SMALL, ::SMALL], grey[::SMALL, ::SMALL]
        hair, skin = labels == HAIR, few[labels >= SKIN]
        if self._hair is None or len(skin) == 0 or not hair.any():
            return rgb
        fairness = float(np.median(few[hair])) / max(float(np.percentile(skin, LIT)), 1.0)
        share = np.interp(fairness - self._hair / max(self._lit, 1.0), *FAIRER)
        wanted = self._colours[int(np.clip(fairness * self._lit, 0, 255))]
        fair = share * (wanted - rgb[::SMALL, ::SMALL][hair].mean(axis=0))
        self._fair = fair if self._fair is None else TONE_STEADY * self._fair + (1 - TONE_STEADY) * fair
        if np.abs(self._fair).max() < 1:
            return rgb
        is_hair = cv2.compare(guides.labels, HAIR, cv2.CMP_EQ)
        near = _grown(cv2.boundingRect(is_hair), round(4 * FAIR_EDGE) + 1, guides.size)
        mask = cv2.GaussianBlur(is_hair[near].astype(np.float32) / 255, (0, 0), FAIR_EDGE)
        rgb[near] = cv2.add(rgb[near], cv2.merge([mask * float(part) for part in self._fair]), dtype=cv2.CV_8U)
        return rgb

    def _as_light_as(self, grey: np.ndarray, skin: np.ndarray) -> np.ndarray:
        """The exemplar's colours of skin and features that are as light there as the photo is here: float32. skin:
        counts of the photo's grey levels there."""
        levels = np.interp(_shares(skin), self._shares, np.arange(256))
        return self._colours[np.clip(levels, 0, 255).astype(np.uint8)][grey]

    def _toned(self, rgb: np.ndarray, grey: np.ndarray, guides: Guides, soft: np.ndarray, gain: float) -> np.ndarray:
        """The painted skin as much darker than the exemplar's as the person's is than light skin."""
        skin = grey[::SMALL, ::SMALL][guides.labels[::SMALL, ::SMALL] == SKIN]
        if len(skin) == 0:
            return rgb
        own = gain * float(np.percentile(skin, LIT)) / LIGHT_SKIN
        tone = float(np.interp(own, *TONES))
        self._shade = tone if self._shade is None else TONE_STEADY * self._shade + (1 - TONE_STEADY) * tone
        if self._shade == 1 or (near := _grown(_rectangle(soft), 0, guides.size)) is None:
            return rgb
        rgb[near] = cv2.multiply(rgb[near], cv2.merge([1 - (1 - self._shade) * soft[near]] * 3), dtype=cv2.CV_8U)
        return rgb


def _lacking(appearance: np.ndarray, copied: np.ndarray, near: tuple[slice, slice]) -> np.ndarray:
    """What the appearance of the photo has and the painting has not, float32 of a part of the picture."""
    rows, columns = near
    rectangle = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    wide = _grown(rectangle, round(4 * LACKING) + 1, appearance.shape)
    blurred = cv2.GaussianBlur(cv2.subtract(appearance[wide], copied[wide], dtype=cv2.CV_32F), (0, 0), LACKING)
    top, left = rows.start - wide[0].start, columns.start - wide[1].start
    return blurred[top : top + rectangle[3], left : left + rectangle[2]]


def _counts(levels: np.ndarray) -> np.ndarray:
    """Histogram of grey levels uint8: int64 `[256]`."""
    return np.bincount(levels, minlength=256)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Which part of grey levels is up to each of 256, of their histogram: float64 `[256]`."""
    return np.cumsum(counts, dtype=np.float64) / max(counts.sum(), 1)


def colours_by_level(rgb: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Mean colour of the pixels of each grey level, float32 `[256, 3]`, smoothed; missing ones from their
    neighbours."""
    counts = np.bincount(grey, minlength=256).astype(np.float64)
    sums = np.stack([np.bincount(grey, rgb[:, k], minlength=256) for k in range(3)], axis=1)
    kernel = np.exp(-0.5 * (np.arange(-24, 25) / 8) ** 2)
    counts = np.convolve(counts, kernel, "same") + 1e-6
    sums = np.stack([np.convolve(sums[:, k], kernel, "same") for k in range(3)], axis=1)
    colours = sums / counts[:, None]
    known = np.nonzero(counts > 1)[0]
    if len(known) == 0:
        return np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    return np.stack([np.interp(np.arange(256), known, colours[known, k]) for k in range(3)], axis=1).astype(np.float32)


def is_colourful(exemplar: Exemplar) -> bool:
    """Whether the face of an exemplar has strong colours of its own."""
    lab = cv2.cvtColor(exemplar.picture, cv2.COLOR_RGB2LAB)[np.isin(exemplar.guides.labels, (SKIN, FEATURES))].astype(
        np.float32
    )
    return len(lab) > 0 and float(np.hypot(lab[:, 1] - 128, lab[:, 2] - 128).mean()) > COLOURFUL
