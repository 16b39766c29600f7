"""Superpixels as the paper of White-box cartoonisation has them: Felzenszwalb's, of which neighbours that are alike are
merged (selective search: Uijlings et al., IJCV 2013)."""

import heapq
from dataclasses import dataclass

import cv2
import numpy as np

SCALE, SIGMA, LEAST_SIZE = 10, 0.8, 100  # of the first regions, in pixels
PAIRS = 200  # of neighbours, at which merging ends
COLOUR_BINS, TEXTURE_POINTS, TEXTURE_RADIUS = 25, 8, 1.0


@dataclass(eq=False)
class Region:
    """What is compared of one."""

    size: int
    box: np.ndarray  # top, left, bottom, right, the last two outside
    colours: np.ndarray  # shares of the bins of each channel, which add up to 1
    textures: np.ndarray

    def likeness(self, other: "Region", pixels: int) -> float:
        """Similarity of colours, textures, and how small both are and how well they fill their box, 0 to 4."""
        box = self._joint_box(other)
        fill = 1 - ((box[2] - box[0]) * (box[3] - box[1]) - self.size - other.size) / pixels
        alike = np.minimum(self.colours, other.colours).sum() + np.minimum(self.textures, other.textures).sum()
        return float(alike + 1 - (self.size + other.size) / pixels + fill)

    def joined(self, other: "Region") -> "Region":
        """Both as one."""
        size = self.size + other.size
        colours, textures = (
            (self.size * one + other.size * two) / size
            for one, two in ((self.colours, other.colours), (self.textures, other.textures))
        )
        return Region(size, self._joint_box(other), colours, textures)

    def _joint_box(self, other: "Region") -> np.ndarray:
        return np.r_[np.minimum(self.box[:2], other.box[:2]), np.maximum(self.box[2:], other.box[2:])]


def merged_regions(rgb: np.ndarray, pairs: int = PAIRS) -> np.ndarray:
    """Labels `[H, W]` of the regions of an RGB uint8 picture, merged, the most alike first, until no more than `pairs`
    pairs are neighbours."""
    from skimage.segmentation import felzenszwalb

    labels = felzenszwalb(rgb, scale=SCALE, sigma=SIGMA, min_size=LEAST_SIZE)
    regions = dict(enumerate(_regions(rgb, labels)))
    near = _neighbours(labels, len(regions))
    queue = [(-regions[a].likeness(regions[b], labels.size), a, b) for a in near for b in near[a] if a < b]
    count, became, first_new = len(queue), {}, len(regions)
    heapq.heapify(queue)
    while count > pairs:
        _, a, b = heapq.heappop(queue)
        if a not in regions or b not in regions:
            continue
        new = first_new + len(became) // 2
        regions[new] = regions.pop(a).joined(regions.pop(b))
        became[a] = became[b] = new
        others = (near.pop(a) | near.pop(b)) - {a, b}
        near[new], count = others, count - 1
        for other in others:
            count -= len(near[other] & {a, b}) - 1  # who was near both is near one now
            near[other] = near[other] - {a, b} | {new}
            heapq.heappush(queue, (-regions[new].likeness(regions[other], labels.size), other, new))
    return np.unique(_followed(became, int(labels.max()) + 1)[labels], return_inverse=True)[1].reshape(labels.shape)


def _followed(became: dict[int, int], count: int) -> np.ndarray:
    """What each of the first `count` regions became in the end."""
    found = np.arange(count)
    for number in range(count):
        last = number
        while last in became:
            last = became[last]
        found[number] = last
    return found


def _regions(rgb: np.ndarray, labels: np.ndarray) -> list[Region]:
    from skimage.feature import local_binary_pattern

    count, flat = int(labels.max()) + 1, labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(int)
    colours = [_shares(flat, lab[:, channel] * COLOUR_BINS // 256, count, COLOUR_BINS) for channel in range(3)]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    patterns = local_binary_pattern(grey, TEXTURE_POINTS, TEXTURE_RADIUS, "uniform").astype(int).ravel()
    textures = _shares(flat, patterns, count, TEXTURE_POINTS + 2)
    rows, columns = np.indices(labels.shape).reshape(2, -1)
    top, left = (np.full(count, labels.size) for _ in range(2))
    bottom, right = (np.zeros(count, int) for _ in range(2))
    for low, high, place in ((top, bottom, rows), (left, right, columns)):
        np.minimum.at(low, flat, place)
        np.maximum.at(high, flat, place + 1)
    boxes = np.stack([top, left, bottom, right], 1)
    colours = np.concatenate(colours, 1) / 3
    return [Region(int(sizes[n]), boxes[n], colours[n], textures[n]) for n in range(count)]


def _shares(labels: np.ndarray, bins: np.ndarray, count: int, bin_count: int) -> np.ndarray:
    """Share of each bin in each region, `[count, bin_count]`."""
    found = np.bincount(labels * bin_count + bins, minlength=count * bin_count).reshape(count, bin_count)
    return found / found.sum(1, keepdims=True).clip(1)


def _neighbours(labels: np.ndarray, count: int) -> dict[int, set[int]]:
    near: dict[int, set[int]] = {number: set() for number in range(count)}
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        edge = one != other
        for a, b in np.unique(np.stack([one[edge], other[edge]], 1), axis=0).tolist():
            near[a].add(b)
            near[b].add(a)
    return near
