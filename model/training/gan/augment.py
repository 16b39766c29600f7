"""Adaptive discriminator augmentation (Karras et al., "Training GANs with Limited Data", 2020, Sec. 3 and app. B): a
discriminator sees real and generated pictures through the same random transforms, so that few pictures last longer.

A transform has an *amount* for each picture; 0 leaves the picture as it is. Amounts are drawn, pictures change.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erfinv
from torch import Tensor

from model.training.data.sampling import apply_affine

GEOMETRY = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
COLOURS = ("brightness", "contrast", "lumaflip", "hue", "saturation")
TRANSFORMS = (*GEOMETRY, *COLOURS, "imgfilter", "noise", "cutout")  # in the order in which they act
# Sets by the names that NVIDIA's program gives them: blits, geometry, colours; then filters, noise, cutout.
PIPES = {
    "none": (), "bg": GEOMETRY, "bgc": (*GEOMETRY, *COLOURS), "bgcf": TRANSFORMS[:13], "bgcfn": TRANSFORMS[:14],
    "bgcfnc": TRANSFORMS,
}  # fmt: skip
WHOLE_SHIFT = 1 / 8  # of the side: largest shift in whole pixels
SHIFT_STD, SCALE_STD, STRETCH_STD = 1 / 8, 0.2, 0.2  # of the side; of logarithms to base 2
BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD = 0.2, 0.5, 1.0  # the last two of logarithms to base 2
FILTER_STD, NOISE_STD = 1.0, 0.1  # of the logarithm to base 2 of a band's gain; of the standard deviation of noise
CUTOUT = 0.5  # side of the square that is cut out, in sides of the picture
BANDS = 4
BAND_POWER = np.array([10.0, 1.0, 1.0, 1.0]) / 13  # of natural pictures: overall power stays the same
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)  # low-pass of the wavelet
GREY_AXIS = np.ones(3) / math.sqrt(3)

Amounts = dict[str, np.ndarray]  # transform → `[B, ...]`


def draw_amounts(rng: np.random.Generator, count: int, probability: float, transforms: Sequence[str]) -> Amounts:
    """Amounts for `count` pictures, each transform with `probability` in [0, 1] and independently. What one transform
    draws depends on no other, so that sets of transforms can be compared."""
    found = {}
    for name, own in zip(TRANSFORMS, rng.spawn(len(TRANSFORMS)), strict=True):
        if name in transforms:
            amount = _amounts(name, own.random((count, BANDS)), own.standard_normal((count, BANDS)))
            # Two rotations are drawn, of which at least one happens with the probability.
            each = 1 - math.sqrt(1 - probability) if name == "rotate" else probability
            happens = own.random((count, BANDS)) < each
            one_by_one = name in ("rotate", "imgfilter")
            shape = (count, *[1] * (amount.ndim - 1))
            found[name] = amount * (happens[:, : amount.shape[-1]] if one_by_one else happens[:, 0].reshape(shape))
    return found


def amounts_at(percentile: float, count: int, transforms: Sequence[str]) -> Amounts:
    """All transforms at a `percentile` in (0, 1) of their range, as NVIDIA's program has them for its own tests: a
    normal amount is its deviation times erfinv(2q - 1)."""
    uniform, normal = np.full((count, BANDS), percentile), np.full((count, BANDS), erfinv(2 * percentile - 1))
    found = {name: _amounts(name, uniform, normal) for name in TRANSFORMS if name in transforms}
    if "rotate" in found:
        found["rotate"][:, 1] = 0.0
    return found


def _amounts(name: str, uniform: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Amounts of one transform from numbers `[B, 4]` that are uniform in [0, 1) and standard normal."""
    both_ways, one = 2 * uniform - 1, normal[:, 0]
    known = {
        "xflip": np.floor(2 * uniform[:, 0]),  # 1: mirrored
        "rotate90": np.floor(4 * uniform[:, 0]),  # quarter turns
        "xint": WHOLE_SHIFT * both_ways[:, :2],  # shift of x and y, in sides
        "scale": SCALE_STD * one,
        "rotate": math.pi * both_ways[:, :2],  # before and after the stretch
        "aniso": STRETCH_STD * one,
        "xfrac": SHIFT_STD * normal[:, :2],
        "brightness": BRIGHTNESS_STD * one,
        "contrast": CONTRAST_STD * one,
        "lumaflip": np.floor(2 * uniform[:, 0]),
        "hue": math.pi * both_ways[:, 0],
        "saturation": SATURATION_STD * one,
        "imgfilter": FILTER_STD * normal,
        "noise": NOISE_STD * np.abs(one),
        "cutout": np.concatenate([np.full((len(one), 1), CUTOUT), uniform[:, :2]], axis=1),  # side, centre x and y
    }
    return known[name]


def augment(images: Tensor, amounts: Amounts, generator: torch.Generator | None = None) -> Tensor:
    """Transform `images [B, C, H, W]`, about [-1, 1], by `amounts`; differentiable twice. Beyond the border lies the
    picture's reflection. generator: of the noise, on the CPU; None: torch's own."""
    if any(np.any(amounts.get(name, 0)) for name in GEOMETRY):
        images = _move(images, affine_matrices(amounts, len(images), *images.shape[-2:]))
    if any(np.any(amounts.get(name, 0)) for name in COLOURS):
        matrices = torch.from_numpy(colour_matrices(amounts, len(images))).to(images)
        images = torch.einsum("bij,bjhw->bihw", matrices[:, :3, :3], images) + matrices[:, :3, 3, None, None]
    if np.any(amounts.get("imgfilter", 0)):
        images = _filter(images, band_gains(amounts["imgfilter"]))
    if np.any(deviation := amounts.get("noise", 0)):
        noise = torch.randn(images.shape, generator=generator).to(images)
        images = images + noise * torch.from_numpy(np.asarray(deviation)).to(images).view(-1, 1, 1, 1)
    return _cut_out(images, amounts["cutout"]) if np.any(amounts.get("cutout", 0)) else images


def _move(images: Tensor, matrices: np.ndarray) -> Tensor:
    """`images` through their inverse affine `matrices [B, 3, 3]`; those of the identity are left alone."""
    moved = np.flatnonzero(np.abs(matrices - np.eye(3)).max((1, 2)) > 0)
    inverse = torch.from_numpy(matrices[moved].astype(np.float32)).to(images.device)
    if len(moved) == len(images):
        return apply_affine(images, inverse)
    moved = torch.from_numpy(moved).to(images.device)
    return images.index_copy(0, moved, apply_affine(images[moved], inverse))


def affine_matrices(amounts: Amounts, count: int, height: int, width: int) -> np.ndarray:
    """What takes the place of a pixel of the result, from the centre in pixels, to the one in the picture:
    `[B, 3, 3]`. The transforms act in the order of GEOMETRY."""

    def get(name: str, *columns: int) -> np.ndarray:
        return amounts.get(name, np.zeros((count, *columns)))

    sides, whole = np.array([width, height]), get("xint", 2)
    rotation, stretch, scale = get("rotate", 2), 2.0 ** get("aniso"), 2.0 ** get("scale")
    flip = 1 - 2 * get("xflip")
    matrices = _scale(flip, np.ones(count))
    matrices = matrices @ _rotate(-math.pi / 2 * get("rotate90"))
    matrices = matrices @ _shift(-np.round(whole * sides))
    matrices = matrices @ _scale(1 / scale, 1 / scale)
    matrices = matrices @ _rotate(rotation[:, 0])
    matrices = matrices @ _scale(1 / stretch, stretch)
    matrices = matrices @ _rotate(rotation[:, 1])
    return matrices @ _shift(-get("xfrac", 2) * sides)


def _scale(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    matrices = np.zeros((len(x), 3, 3))
    matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, 2, 2] = x, y, 1
    return matrices


def _rotate(angle: np.ndarray) -> np.ndarray:
    matrices, cos, sin = np.zeros((len(angle), 3, 3)), np.cos(angle), np.sin(angle)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = cos, -sin, sin, cos
    matrices[:, 2, 2] = 1
    return np.where(angle[:, None, None] == 0, np.eye(3), matrices)


def _shift(offset: np.ndarray) -> np.ndarray:
    matrices = np.tile(np.eye(3), (len(offset), 1, 1))
    matrices[:, :2, 2] = offset
    return matrices


def colour_matrices(amounts: Amounts, count: int) -> np.ndarray:
    """Affine maps of colours `[B, 4, 4]`, in the order of COLOURS. Brightness adds to all channels; the luma flip
    mirrors colours at the plane of no luma, hue turns them about the grey axis, saturation scales what is off it."""

    def get(name: str) -> np.ndarray:
        return amounts.get(name, np.zeros(count))[:, None, None]

    along = np.outer(GREY_AXIS, GREY_AXIS)
    x, y, z = GREY_AXIS
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    contrast, flip, hue, saturation = 2.0 ** get("contrast"), get("lumaflip"), get("hue"), 2.0 ** get("saturation")
    turn = np.cos(hue) * np.eye(3) + (1 - np.cos(hue)) * along + np.sin(hue) * cross  # Rodrigues' formula
    linear = (along + saturation * (np.eye(3) - along)) @ turn @ (np.eye(3) - 2 * flip * along) * contrast
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, :3] = linear
    matrices[:, :3, 3:] = linear @ np.ones((3, 1)) * get("brightness")
    return matrices


def band_gains(amounts: np.ndarray) -> np.ndarray:
    """Gains of the four frequency bands `[B, 4]` for `amounts [B, 4]`: each band in turn is amplified by 2^amount and
    the whole scaled to the same power."""
    gains = np.ones_like(amounts)
    for band in range(BANDS):
        raised = np.ones_like(amounts)
        raised[:, band] = 2.0 ** amounts[:, band]
        gains *= raised / np.sqrt((BAND_POWER * raised**2).sum(1, keepdims=True))
    return gains


def _filter_bank() -> np.ndarray:
    """Symmetric filters `[4, taps]`, low band first, that sum to the identity."""
    low = np.array(SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    lows, highs = (np.convolve(taps, taps[::-1]) / 2 for taps in (low, high))
    bank = np.eye(BANDS, 1)
    for band in range(1, BANDS):
        bank = np.stack([bank, np.zeros_like(bank)], axis=2).reshape(BANDS, -1)[:, :-1]
        bank = np.stack([np.convolve(row, lows) for row in bank])
        middle = (bank.shape[1] - len(highs)) // 2
        bank[band, middle : middle + len(highs)] += highs
    return bank


FILTER_BANK = _filter_bank()


def _filter(images: Tensor, gains: np.ndarray) -> Tensor:
    """Amplify the bands of each of `images [B, C, H, W]` by its `gains [B, 4]`, along both axes."""
    batch, channels, height, width = images.shape
    taps = torch.from_numpy(gains @ FILTER_BANK).to(images).repeat_interleave(channels, 0)
    margin = taps.shape[1] // 2
    mode = "reflect" if margin < min(height, width) else "replicate"
    x = F.pad(images, (margin,) * 4, mode=mode).reshape(1, batch * channels, height + 2 * margin, -1)
    x = F.conv2d(x, taps[:, None, None, :], groups=batch * channels)
    x = F.conv2d(x, taps[:, None, :, None], groups=batch * channels)
    return x.view(images.shape)


def _cut_out(images: Tensor, squares: np.ndarray) -> Tensor:
    """Blacken a square of each of `images [B, C, H, W]`; `squares [B, 3]`: side, centre x and y, in sides."""
    height, width = images.shape[-2:]
    side, x, y = (values.view(-1, 1) for values in torch.from_numpy(squares).to(images).unbind(1))
    across, down = ((torch.arange(n, device=images.device) + 0.5) / n for n in (width, height))
    beside, above = (across - x).abs() >= side / 2, (down - y).abs() >= side / 2
    return images * (beside[:, None, None, :] | above[:, None, :, None] | (side == 0)[:, None, None])
