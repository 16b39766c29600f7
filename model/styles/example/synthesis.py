"""Guided patch synthesis: a picture made of patches of a style picture S, so that guides over it agree with those of T.

Minimises, over 5 x 5 patches, the squared differences of colours and of guides, with all of S used evenly (StyLit,
Fišer et al. 2016; FaceStyle, Fišer et al. 2017), from coarse to fine: search and voting take turns. The search is
coherent (Ashikhmin 2001), with random tries in windows around places that are known, or were found on the level before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch

from model.common.errors import InputError
from model.styles.example import patches
from model.styles.example.styleblit import Torch

FINEST_SCALE = 16.0  # steps of a colour of weight 1 in the arithmetic
LARGEST_ERROR = 2.0**31 - 1
REACH = 200  # pixels around a place within which is tried, on each level
FOCUS = 4  # exponent that gathers tries around their places, where more of them are of use
PHASES = 0, 3, 1, 2  # every fourth pixel is improved at a time, and then what is used is counted again


@dataclass(frozen=True, eq=False)
class Guide:
    """Maps over S `[H, W, C]` and over T `[h, w, C]`, with levels from 0 to 255, and their weight: that of the colours
    is 1."""

    source: np.ndarray
    target: np.ndarray
    weight: float = 1.0


@dataclass(frozen=True)
class Settings:
    """How to synthesise.

    patch: its side; uniformity: the price of using pixels once more than on average; levels: of the pyramid, None for
    all; votes: rounds of search and voting on each; searches: passes in each round, with so many random `tries`; stop:
    levels of a change from which on a pixel is looked at again; extra: one more round with patches of 3 x 3, which is
    sharper; style_weight: of the colours.
    """

    patch: int = 5
    uniformity: float = 3500.0
    levels: int | None = None
    votes: int = 6
    searches: int = 3
    tries: int = 4
    stop: int = 5
    extra: bool = False
    style_weight: float = 1.0


USUAL = Settings()


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A result: picture uint8 `[h, w, C]`; field, (x, y) of S for each pixel, int32 `[h, w, 2]`; and the mean error of
    its patches."""

    picture: np.ndarray
    field: np.ndarray
    energy: float


def synthesize(
    style: np.ndarray, guides: Sequence[Guide], settings: Settings = USUAL, *, places: np.ndarray | None = None,
    start: np.ndarray | None = None, reach: int = REACH, device: torch.device | str = "cpu",
    progress: Callable[[float], None] = lambda share: None,
) -> Synthesis:  # fmt: skip
    """Make a picture of patches of `style`, uint8 `[H, W, C]`, as the guides, one at least, ask for it.

    Args:
        places: where in S the pixels of T lie, (x, y), float32 `[h, w, 2]`, where that is known: tries are made there.
        start: a field to begin with, on the coarsest level; (x, y), float32 `[h, w, 2]`. None: the best of all there.
        reach: pixels around places, or around what the level before has found, within which is tried.
        progress: is told which share is done.

    Raises InputError for guides that don't fit each other, and for pictures that are too small.
    """
    check(style, guides, settings)
    tools = _tools(torch.device(device))
    count, rng, field, done = level_count(style, guides, settings), np.random.default_rng(0), None, 0.0
    for number in reversed(range(count)):
        level = _Level(style, guides, settings, number)
        if field is not None:
            field = level.doubled(field)
        elif start is not None:
            field = level.shrunken(start)
        else:
            field = tools.nearest(level)
        near = field.copy() if places is None else level.shrunken(places)
        field = _search(level, tools, field, near, reach, settings, rng)
        done += 0.25**number
        progress(done / sum(0.25**each for each in range(count)))
    if settings.extra and settings.patch > 3:
        settings = replace(settings, patch=3, uniformity=0.0)
        level = _Level(style, guides, settings, 0)
        field = _search(level, tools, field, field.copy(), 1, settings, rng)
    return Synthesis(tools.vote(field, style, settings.patch).astype(np.uint8), field, level.energy(tools, field))


def matched(
    style: np.ndarray, guides: Sequence[Guide], picture: np.ndarray, settings: Settings = USUAL
) -> Synthesis:  # fmt: skip
    """The best patches of `style` that are found for a picture as it is, uint8 `[h, w, C]`, and their mean error; how
    often they are used costs nothing. Raises InputError as `synthesize`, and for a picture of another size."""
    check(style, guides, settings)
    if picture.shape != (*guides[0].target.shape[:2], style.shape[2]):
        raise InputError("The picture is not of the size of the target maps: give the one that was made with them.")
    settings = replace(settings, uniformity=0.0)
    tools, rng, field = _tools(torch.device("cpu")), np.random.default_rng(0), None
    for number in reversed(range(level_count(style, guides, settings))):
        level = _Level(style, guides, settings, number)
        field = tools.nearest(level) if field is None else level.doubled(field)
        target = level.target(level.colours(picture))
        errors, near, everywhere = tools.errors(target, level, field), field.copy(), np.ones(level.size, bool)
        for _ in range(settings.votes * settings.searches):
            shares = _shares(rng, settings.tries)
            field, errors = tools.improve(target, level, field, errors, everywhere, near, REACH, shares)
    return Synthesis(picture, field, float(errors.mean() / level.unit**2))


def check(style: np.ndarray, guides: Sequence[Guide], settings: Settings = USUAL) -> None:
    """Raise InputError for guides that don't fit each other or the style, and for pictures that are too small."""
    if not guides:
        raise InputError("There is no guide: give at least one pair of maps.")
    for number, guide in enumerate(guides, 1):
        for name, own, wanted in (
            ("source", guide.source.shape[:2], style.shape[:2]),
            ("target", guide.target.shape[:2], guides[0].target.shape[:2]),
        ):
            if own != wanted:
                told = f"the {name} map of guide {number} has {own[1]} x {own[0]} pixels"
                whose = "the style picture" if name == "source" else "that of guide 1"
                raise InputError(f"{told}, but {whose} {wanted[1]} x {wanted[0]}: give maps of the same size.")
        if guide.source.shape[2] != guide.target.shape[2]:
            counts = guide.source.shape[2], guide.target.shape[2]
            raise InputError(f"the maps of guide {number} have {counts[0]} and {counts[1]} channels: give two alike.")
    if min(*style.shape[:2], *guides[0].target.shape[:2]) < 2 * settings.patch + 1:
        raise InputError(
            f"Pictures need {2 * settings.patch + 1} x {2 * settings.patch + 1} pixels or more for patches."
        )


def level_count(style: np.ndarray, guides: Sequence[Guide], settings: Settings) -> int:
    """How many levels the pyramid has: as many as asked for, while two patches fit into the smallest one."""
    side, count = min(*style.shape[:2], *guides[0].target.shape[:2]), 1
    while count != settings.levels and side // 2**count >= 2 * settings.patch + 1:
        count += 1
    return count


class _Level:
    """One level of the pyramid: colours and guides, reduced 2^number times, as features of whole numbers."""

    def __init__(self, style: np.ndarray, guides: Sequence[Guide], settings: Settings, number: int):
        sizes = [[max(side // 2**number, 1) for side in each.shape[:2]] for each in (style, guides[0].target)]
        self.factors = [np.float32(np.divide(own[::-1], each.shape[1::-1])) for own, each in
                        zip(sizes, (style, guides[0].target), strict=True)]  # fmt: skip
        self.patch, self.size = settings.patch, tuple(sizes[1])
        weights = [settings.style_weight, *(guide.weight for guide in guides)]
        # As fine as whole numbers of 32 bits allow, for the largest error that there can be.
        self.unit = min(FINEST_SCALE, np.sqrt(LARGEST_ERROR / (self.patch**2 * 255.0**2 * max(sum(weights), 1e-6))))
        self._step = self.unit * np.sqrt(settings.style_weight / style.shape[2])
        self._style_weight = settings.style_weight
        self.style = self._features(style, sizes[0], settings.style_weight)
        self._own = np.concatenate(
            [self._features(guide.target, sizes[1], guide.weight) for guide in guides], axis=2, dtype=np.int16
        )
        self.source = np.concatenate(
            [self.style, *(self._features(guide.source, sizes[0], guide.weight) for guide in guides)], axis=2,
            dtype=np.int16,
        )  # fmt: skip
        uses = self.size[0] * self.size[1] / (sizes[0][0] * sizes[0][1]) * self.patch**2  # of a pixel on average
        self.price = settings.uniformity * self.unit**2 / (self.patch**2 * uses)
        self.change = max(settings.stop * self._step, 1)

    def _features(self, values: np.ndarray, size: Sequence[int], weight: float) -> np.ndarray:
        scaled = values.astype(np.float32) * np.float32(self.unit * np.sqrt(weight / values.shape[2]))
        if tuple(size) != values.shape[:2]:
            few = (scaled[..., first : first + 4] for first in range(0, scaled.shape[2], 4))  # as many as OpenCV takes
            scaled = np.dstack([cv2.resize(each, tuple(size[::-1]), interpolation=cv2.INTER_AREA) for each in few])
        return scaled.reshape(*size, -1).round().astype(np.int16)

    def target(self, colours: np.ndarray | None) -> np.ndarray:
        """Features of T with these colours, as of the style; None: those of guides, beside colours that are all one.
        There is a border as wide as a patch's radius."""
        radius = self.patch // 2
        if colours is None:
            colours = np.zeros((*self.size, self.style.shape[2]), np.int16)
        whole = np.concatenate([colours, self._own], axis=2, dtype=np.int16)
        return np.pad(whole, ((radius, radius), (radius, radius), (0, 0)), mode="edge")

    def colours(self, picture: np.ndarray) -> np.ndarray:
        """Those of a picture of T at its full size, on this level, as features."""
        return self._features(picture, self.size, self._style_weight)

    def _inside(self, field: np.ndarray) -> np.ndarray:
        radius, (height, width) = self.patch // 2, self.source.shape[:2]
        most = np.array((width - 1 - radius, height - 1 - radius))
        return np.ascontiguousarray(np.clip(field, radius, most).astype(np.int32))

    def shrunken(self, field: np.ndarray) -> np.ndarray:
        """A field of the full size on this level."""
        there = cv2.resize(np.float32(field), self.size[::-1], interpolation=cv2.INTER_NEAREST)
        return self._inside(np.floor((there + 0.5) * self.factors[0]))

    def doubled(self, field: np.ndarray) -> np.ndarray:
        """The field of the level before on this one."""
        rows, columns = (np.arange(side) for side in self.size)
        row, column = (
            np.minimum(each // 2, side - 1) for each, side in zip((rows, columns), field.shape, strict=False)
        )
        odd = np.stack(np.meshgrid(columns % 2, rows % 2), axis=-1)
        return self._inside(2 * field[row[:, None], column] + odd)

    def energy(self, tools: "_Tools", field: np.ndarray) -> float:
        """Mean error of the patches of what is voted from a field, in squared levels."""
        target = self.target(tools.vote(field, self.style, self.patch))
        return float(tools.errors(target, self, field).mean() / self.unit**2)


def _search(
    level: _Level, tools: "_Tools", field: np.ndarray, near: np.ndarray, reach: int, settings: Settings,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Search and vote in turns on a level; returns the field."""
    colours, is_open = tools.vote(field, level.style, level.patch), np.ones(level.size, bool)
    around = np.ones((level.patch, level.patch), np.uint8)
    for _ in range(settings.votes):
        target = level.target(colours)
        errors = tools.errors(target, level, field)
        for _ in range(settings.searches):
            shares = _shares(rng, settings.tries)
            field, errors = tools.improve(target, level, field, errors, is_open, near, reach, shares)
        before, colours = colours, tools.vote(field, level.style, level.patch)
        changed = np.abs(colours - before).max(axis=2) >= level.change
        is_open = cv2.dilate(changed.astype(np.uint8), around) > 0
        if not is_open.any():
            break
    return field


def _shares(rng: np.random.Generator, tries: int) -> np.ndarray:
    """Where in their windows random tries are made, in [0, 1), most in the middle: float32 `[tries, TILE, TILE, 2]`."""
    away = 2 * rng.random((tries, patches.TILE, patches.TILE, 2), np.float32) - 1
    return np.minimum(0.5 + 0.5 * np.sign(away) * away**FOCUS, np.float32(1 - 1e-6)).astype(np.float32)


class _Tools:
    """The steps on the CPU, in Numba."""

    def __init__(self, kernels: ModuleType):
        self._kernels = kernels

    def nearest(self, level: _Level) -> np.ndarray:
        source = level.source.copy()
        source[..., : level.style.shape[2]] = 0  # nothing is known of the colours yet
        return self._kernels.nearest(level.target(None), source, level.patch, *level.size)

    def errors(self, target: np.ndarray, level: _Level, field: np.ndarray) -> np.ndarray:
        return self._kernels.errors_of(target, level.source, level.patch, field)

    def improve(
        self, target: np.ndarray, level: _Level, field: np.ndarray, errors: np.ndarray, is_open: np.ndarray,
        near: np.ndarray, reach: int, shares: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        for phase in PHASES:
            prices = self._kernels.prices_of(field, *level.source.shape[:2], level.patch, level.price)
            self._kernels.improve(
                target, level.source, level.patch, field, errors, prices, is_open, near, reach, shares, phase
            )
        return field, errors

    def vote(self, field: np.ndarray, values: np.ndarray, patch: int) -> np.ndarray:
        return self._kernels.vote(field, values, patch)


class _OnDevice(_Tools):
    """The same in the functions of the reference: NumPy, or PyTorch on a device."""

    def __init__(self, xp: Any):
        self._xp = xp

    def _taken(self, *arrays: np.ndarray) -> list[Any]:
        return [self._xp.asarray(np.ascontiguousarray(array)) for array in arrays]

    def nearest(self, level: _Level) -> np.ndarray:
        source = level.source.copy()
        source[..., : level.style.shape[2]] = 0
        target, source = self._taken(level.target(None), source)
        return _fetched(patches.nearest(target, source, level.patch, level.size, self._xp))

    def errors(self, target: np.ndarray, level: _Level, field: np.ndarray) -> np.ndarray:
        rows, columns = (each.reshape(-1) for each in np.indices(level.size))
        target, source, rows, columns, flat = self._taken(target, level.source, rows, columns, field.reshape(-1, 2))
        found = patches.errors_of(target, source, rows, columns, patches.whole(flat), level.patch)
        return _fetched(found.reshape(level.size), np.int64)

    def improve(
        self, target: np.ndarray, level: _Level, field: np.ndarray, errors: np.ndarray, is_open: np.ndarray,
        near: np.ndarray, reach: int, shares: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        xp = self._xp
        target, source, field, errors, is_open, near, shares = self._taken(
            target, level.source, field, errors, is_open, near, shares
        )
        field, near = patches.whole(field), patches.whole(near)
        for phase in PHASES:
            prices = patches.prices_of(field, level.source.shape[:2], level.patch, level.price, xp)
            field, errors = patches.improve(
                target, source, level.patch, field, errors, prices, is_open, near, reach, shares, phase, xp
            )
        return _fetched(field), _fetched(errors, np.int64)

    def vote(self, field: np.ndarray, values: np.ndarray, patch: int) -> np.ndarray:
        field, values = self._taken(field, values)
        return _fetched(patches.vote(patches.whole(field), values, patch, self._xp), np.int16)


def _fetched(array: Any, dtype: type = np.int32) -> np.ndarray:
    return (array.cpu().numpy() if isinstance(array, torch.Tensor) else array).astype(dtype)


def _tools(device: torch.device) -> _Tools:
    if device.type == "cuda":
        return _OnDevice(Torch(device))
    from model.styles.example import patch_kernels  # Numba takes a second to import

    return _Tools(patch_kernels)
