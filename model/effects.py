"""What is done to pictures before and after the network, without one: crops put back into their frames, the motion
between pictures, noise taken out along it, dim light lifted and put back, black and white kept.
Pictures are RGB uint8 `[H, W, 3]`; a flow is float32 `[H, W, 2]`, displacements (x, y) in pixels."""

from collections.abc import Callable
from functools import reduce

import cv2
import numpy as np

from model.common.tensors import pixel_grid
from model.faces.crop import FaceCrop, MovingWindow, Window, between, blurred_for
from model.parsing.matting import person_matte

EDGE = 0.14  # width of the fade at the crop's edge, as a part of the crop's shorter side
GROW, SOFTEN = 0.02, 0.012  # of the mask, as parts of the crop's height, so that outlines and loose hair are in it
DOUBT = 0.5, 0.95  # matte below it: background, above it: person; half-sure patches of the background would be smudges
ADAPTED = 0.45  # as EDGE, of the fade to the frame's colours; a style would else leave a light patch on a dark coat
SEAM = 0.07  # how far colours are taken along the seam and into the person, as a part of the height
STEADINESS = 0.75  # part of the mask that is taken over from the frame before
STRIP = 256  # rows of a frame that are composed at a time
KEPT = 0.5  # share of the frame before, where both agree; more would be steadier still, and lag where light changes
NOISE = 8.0  # difference in levels at which that share has fallen to a third
AROUND = 5  # side of the square in which the difference is taken: noise is told from motion by its surroundings
SOFT_SIDE = 480  # height of a crop from which on masks and seams, which are soft, are found in a reduced copy
LEAST_FLOW_SIDE = 32  # pixels, below which OpenCV's flow of wide pictures crashes
LIT = 130.0  # level that the light parts of all well lit faces reach
LIFT, MOST_GAIN = 1.2, 10.0  # power of the gain: what is dim is lifted to LIT, what is dark beyond it; the largest gain
FACE_LIGHTS, CROP_LIGHTS = (0.8, 0.97), (0.95, 0.99)  # the light parts: from which to which share of a face, of a crop
KNEE, SIDES = 180.0, (165, 195)  # level from which on lifted light is compressed; what is darker, what lighter than it
SHIFT = 0.02  # how far a drawing moves the photo's edges, as a part of the crop's height
GREY = (3.0, 8.0)  # chroma (CIE Lab) of nearly all of a photo in black and white, and surely in colour (sepia is)
DARKEST = 32  # level of the light parts below which a photo is not lightened in full to judge its colour


class FullFrame:
    """Puts the crops of one face back, frame after frame, into frames enlarged by `scale` (1, 2 or 4)."""

    def __init__(self, scale: int):
        self.scale = scale
        self.forget()

    def forget(self) -> None:
        """Start the mask anew: the next crop has nothing to do with the one before."""
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def enlarge(self, rgb: np.ndarray) -> np.ndarray:
        """A frame uint8 `[H, W, 3]` at the size of the result."""
        height, width = rgb.shape[:2]
        size = (self.scale * width, self.scale * height)
        return rgb.copy() if self.scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)

    def __call__(self, whole, crop, result: np.ndarray, window: Window, share: float = 1.0) -> None:
        """Draw `result`, the stylised crop uint8 `[k·h, k·w, 3]`, into `whole` `[scale·H, scale·W, 3]`, in place.
        whole: from `enlarge`; crop: what `window` has of the frame, uint8 `[h, w, 3]`; share: opacity, from 0 to
        1. What it does not show of that is not drawn."""
        frame_size = whole.shape[0] // self.scale, whole.shape[1] // self.scale
        small = at_most(crop, SOFT_SIDE)
        mask = at_size(self.next_mask(small), crop) * edge_fade(window, frame_size)
        edges = self.scale * edges_in_frame(window.shown)
        (left, start), (right, end) = np.clip(np.round(edges), 0, whole.shape[1::-1]).astype(int)
        if end <= start or right <= left:
            return

        def placed(picture: np.ndarray) -> np.ndarray:
            """A picture of the whole window as it lies in a strip of what it covers, from `top` to `bottom`."""
            matrix = between(window.matrix, np.eye(2, 3), picture.shape[0] / crop.shape[0], self.scale)
            matrix[:, 2] -= left, top
            size = right - left, bottom - top
            return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

        own_colours = edge_fade(window, frame_size, ADAPTED) ** 2  # nearly 0 as far as the crop itself fades
        fine = blurred_for(result, self.scale / window.scale * crop.shape[0] / result.shape[0])
        offset = seam_offset(small, result, at_size(mask, small), at_size(own_colours, small))
        for top in range(start, end, STRIP):  # all of a large frame in float32 would take gigabytes
            bottom = min(top + STRIP, end)
            picture = placed(fine).astype(np.float32) + placed(offset)
            part = whole[top:bottom, left:right]
            mixed = part + share * placed(mask)[..., None] * (np.clip(picture, 0, 255) - part)
            part[:] = np.round(mixed).astype(np.uint8)

    def next_mask(self, crop: np.ndarray) -> np.ndarray:
        """Mask of the person in the next crop, float32 `[h, w]`: mostly the one before, moved with the person."""
        mask = person_mask(crop)
        if self._before is not None and self._before[1].shape == mask.shape:  # else the head has begun to be turned
            crop_before, mask_before = self._before
            moved = warp(mask_before, dense_flow(crop, crop_before, fast=True))
            mask = STEADINESS * moved + (1 - STEADINESS) * mask
        self._before = crop, mask
        return mask


def at_most(rgb: np.ndarray, height: int) -> np.ndarray:
    """A picture, reduced where it is higher than that."""
    return at_size(rgb, np.empty((height, round(height * rgb.shape[1] / rgb.shape[0])))) if len(rgb) > height else rgb


def at_size(picture: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A picture at the size of another one."""
    if picture.shape[:2] == other.shape[:2]:
        return picture
    reduces = len(picture) > len(other)
    return cv2.resize(picture, other.shape[1::-1], interpolation=cv2.INTER_AREA if reduces else cv2.INTER_LINEAR)


def edges_in_frame(window: FaceCrop | MovingWindow) -> np.ndarray:
    """Where the window lies: `[[left, top], [right, bottom]]` in pixels of the frame, from its outer corner."""
    corners = np.array([[-0.5, -0.5, 1], [window.width - 0.5, window.height - 0.5, 1]])
    return corners @ cv2.invertAffineTransform(window.matrix).T + 0.5


def person_mask(crop: np.ndarray) -> np.ndarray:
    """Soft mask float32 `[h, w]` of the person in a crop, a little larger than the person."""
    height = crop.shape[0]
    reach = 2 * max(round(GROW * height), 1) + 1
    sure = np.clip((person_matte(crop) - DOUBT[0]) / (DOUBT[1] - DOUBT[0]), 0, 1)
    mask = cv2.dilate(sure, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return cv2.GaussianBlur(mask, (0, 0), SOFTEN * height)


def edge_fade(window: Window, frame_size: tuple[int, int], part: float = EDGE) -> np.ndarray:
    """Float32 `[h, w]`: 1 inside what the window shows, falling to 0 towards those edges of it that lie within the
    frame `(H, W)`. part: how wide the fall is, as a part of the shorter side."""
    shown, fades = window.shown, []
    size = shown.width, shown.height
    for side, frame_side, start, end in zip(size, frame_size[::-1], *edges_in_frame(shown), strict=True):
        share = np.clip((np.arange(side) + 0.5) / (part * min(size)), 0, 1)
        rise = share * share * (3 - 2 * share)
        fades.append(np.where(start > 1, rise, 1) * np.where(end < frame_side - 1, rise[::-1], 1))
    across, down = fades
    fade = np.outer(down, across).astype(np.float32)
    if shown is window:
        return fade
    matrix, size = between(shown.matrix, window.matrix), (window.width, window.height)
    return cv2.warpAffine(fade, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def seam_offset(crop: np.ndarray, result: np.ndarray, mask: np.ndarray, own_colours: np.ndarray) -> np.ndarray:
    """What is added to the result of any size, float32 `[h, w, 3]` in levels, so that it meets the frame's colours at
    the seam. own_colours: float32 `[h, w]`, 1 where inside the person the style's colours stay, 0 where the frame's
    are taken."""
    height, width = crop.shape[:2]
    sigma = SEAM * height
    difference = crop - cv2.resize(result, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = cv2.GaussianBlur(np.clip(2 * mask - 1, 0, 1), (0, 0), sigma / 2)[..., None]

    def around(weights: np.ndarray) -> np.ndarray:
        """The mean difference around each pixel, weighted by `[h, w]`; 0 where there is no weight."""
        sums = cv2.GaussianBlur(difference * weights[..., None], (0, 0), sigma)
        return sums / (cv2.GaussianBlur(weights, (0, 0), sigma)[..., None] + 0.02)

    at_seam = around(4 * mask * (1 - mask)) * (1 - np.clip(2 * inside - 1, 0, 1))
    everywhere = around(mask)
    return (everywhere + own_colours[..., None] * (at_seam - everywhere)).astype(np.float32)


def dense_flow(first: np.ndarray, second: np.ndarray, fast: bool = False) -> np.ndarray:
    """Where `second` shows what each pixel of `first` shows (DIS; Kroeger et al., ECCV 2016).
    fast: three times as fast, a little less exact."""
    height, width = first.shape[:2]
    room = 0, max(0, LEAST_FLOW_SIDE - height), 0, max(0, LEAST_FLOW_SIDE - width)  # at the lower and right edges
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    grey = [cv2.copyMakeBorder(picture, *room, cv2.BORDER_REPLICATE) for picture in grey] if any(room) else grey
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    return cv2.DISOpticalFlow_create(preset).calc(*grey, None)[:height, :width]


def warp(picture: np.ndarray, flow: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Sample `[H, W]` or `[H, W, C]` where `flow` points; beyond the edge, the edge is repeated."""
    place = pixel_grid(*flow.shape[:2]) + flow
    return cv2.remap(picture, place, None, interpolation, borderMode=cv2.BORDER_REPLICATE)


class Denoiser:
    """Takes the noise of compression and sensors out of one face's crops, in order; another size begins anew. A cartoon
    repeats the noise of its photo, with more contrast where the style has more, and flickers. Each pixel is mixed with
    what was there in the frame before, brought into place by optical flow; where the two differ by more than noise does
    (a blink, a hand, a cut) it stays as it is."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """The next crop, RGB uint8 `[h, w, 3]`, without its noise."""
        steady = crop.astype(np.float32)
        if self._before is not None and self._before.shape == crop.shape:
            moved = warp(self._before, dense_flow(crop, _levels(self._before), fast=True), cv2.INTER_CUBIC)
            difference = cv2.blur(np.abs(crop - moved).max(axis=2), (AROUND, AROUND))
            steady += KEPT * np.exp(-((difference / NOISE) ** 2))[..., None] * (moved - crop)
        self._before = steady
        return _levels(steady)


def _levels(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def light_gain(crop: np.ndarray, landmarks: np.ndarray | None = None) -> float:
    """How many times as bright the face in a crop `[h, w, 3]` would be in good light: 1 for all that are well lit.
    `landmarks [68, 2]`; None: the whole crop is judged. What counts is the brightest channel: in good light it is much
    the same on dark and on light skin, so that nobody's skin is taken for dim light."""
    face, (start, end) = None, CROP_LIGHTS
    if landmarks is not None:
        inner = cv2.convexHull(landmarks[17:].astype(np.int32))  # from the brows to the lips, without any background
        (left, top), (right, bottom) = np.clip((inner.min((0, 1)), inner.max((0, 1)) + 1), 0, crop.shape[1::-1])
        mask = cv2.fillConvexPoly(np.zeros((bottom - top, right - left), np.uint8), inner - (left, top), 1)
        if mask.any():
            crop, face, (start, end) = crop[top:bottom, left:right], mask, FACE_LIGHTS
    counts = cv2.calcHist([_brightest(crop)], [0], face, [256], [0, 256]).ravel()
    shares = np.clip(np.cumsum(counts) / counts.sum(), start, end)
    level = np.diff(shares, prepend=start) @ np.arange(256) / (end - start)  # the mean of the light parts
    return float(np.clip((LIT / max(level, 1)) ** LIFT, 1, MOST_GAIN))


def in_good_light(crop: np.ndarray, gain: float) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """A crop `[h, w, 3]` made `gain` times as bright, and what makes its cartoon `[k·h, k·w, 3]` as dim as the crop.

    Lights are compressed where they would be clipped, and keep their hue. The cartoon is darkened as much as the crop
    around was lightened, so that the style's own changes are not made stronger. Where that differs, at edges, which
    drawings may move, pixels that are as light as compressed lights are darkened least, the others most.
    """
    if gain == 1:
        return crop, lambda cartoon: cartoon
    white, levels = max(gain * crop.max(), 255.0), np.arange(1, 256)
    up = np.interp(gain * levels, (0, KNEE, white), (0, KNEE, 255)) / levels
    down = np.interp(levels, SIDES, (1 / gain, 1))
    up, down = (np.float32([factors[0], *factors]) for factors in (up, down))  # by the level of the brightest channel
    light = _brightest(crop)

    def put_back(cartoon: np.ndarray) -> np.ndarray:
        if white == 255:  # nothing was compressed
            return cv2.convertScaleAbs(cartoon, alpha=1 / gain)
        around, size = np.ones((2 * round(SHIFT * len(crop)) + 1,) * 2, np.uint8), cartoon.shape[1::-1]
        least, most = (cv2.resize(1 / cv2.LUT(pick(light, around), up), size) for pick in (cv2.erode, cv2.dilate))
        return _times(cartoon, cv2.min(cv2.max(cv2.LUT(_brightest(cartoon), down), least), most))

    return _times(crop, cv2.LUT(light, up)), put_back


def _brightest(picture: np.ndarray) -> np.ndarray:  # of its channels, [h, w]
    return reduce(cv2.max, cv2.split(picture))


def _times(picture: np.ndarray, factor: np.ndarray) -> np.ndarray:  # [h, w, 3] by [h, w], rounded
    return cv2.merge([cv2.multiply(channel, factor, dtype=cv2.CV_8U) for channel in cv2.split(picture)])


def keep_grey(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The cartoon `[H, W, 3]` of a photo `[h, w, 3]`, both RGB uint8, without colour where the photo has none. In
    between its colours fade gradually, so that a video does not switch from one to the other. A dark photo has little
    chroma, but may be in colour: it is measured after lightening."""
    photo = photo[::2, ::2].astype(np.float32)
    white = max(np.percentile(photo, 98), DARKEST)
    lab = cv2.cvtColor(np.minimum(photo / white, 1), cv2.COLOR_RGB2LAB)
    chroma = np.percentile(np.hypot(lab[..., 1], lab[..., 2]), 98)
    share = float(np.clip((chroma - GREY[0]) / (GREY[1] - GREY[0]), 0, 1))
    if share == 1:
        return picture
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(picture, share, grey, 1 - share, 0)
