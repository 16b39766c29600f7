"""The person in a portrait, cut out by a small network (checkpoint/drawn/README.md), for the drawn teacher and for
`--full_frame`."""

from functools import cache
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.common.tensors import to_tensor
from model.common.weight_files import load_network
from model.faces.landmarks import BROWS, face_size, portrait_square

WEIGHTS = Path(__file__).parents[2] / "checkpoint" / "drawn" / "matte.pt"
SIDE = 128  # of the portraits that the network was trained on
ROOM = 1.25  # side of what the network is given around a face, in sides of an FFHQ portrait
WIDTHS = (16, 24, 40, 64, 64)
# GrabCut corrects the network's outline in a copy with eyes so far apart and no side longer, so many times over.
CUT_EYES, CUT_SIDE, CUT_ROUNDS = 40.0, 256, 3
FOREHEAD = 0.38  # of the height from chin to brows, above those: what is surely face
RATHER = 0.8  # matte from which on what is deep inside of it is a head
# The matte from which on what is so near to the face, in eye distances, is the person for sure; up to which all is
# background in a photo; and the same in a painting, where that is only what is so far away.
SURE, SURE_NEAR, SURE_BEHIND, PAINTED_BEHIND, PAINTED_FAR = 0.98, 0.35, 0.03, 0.1, 1.0
PAINTED_NEAR, FRAME = 0.45, 3  # eye distances around a painted face that may be head; pixels of border behind it
UNSURE, DEEP = 0.1, 0.2  # eye distances inside of what is surely person that are not; the same of heads
BEHEADED = 0.5  # share of the person above the brows that is left at least, or else the outline is not corrected
_network_in_use = Lock()  # the number of threads is that of the whole process


def _block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class MatteNet(nn.Module):
    """U-Net: RGB [B, 3, H, W] in [-1, 1] to logits of the person [B, 1, H, W]; H, W multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.down = nn.ModuleList(nn.Sequential(_block(i, o, stride=2), _block(o, o)) for i, o in pairs)
        self.up = nn.ModuleList(_block(i + o, o) for i, o in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            x = up(torch.cat([_double(x), skip], 1))
        return _double(self.head(x))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def load_matte(path: str | Path = WEIGHTS) -> MatteNet:
    """The network in a file that holds its state dict."""
    return load_network(MatteNet, path, "a person matte")


@cache
def _network() -> nn.Module:
    """The network with its norms folded into the convolutions, which halves the time."""
    network = load_matte()
    for block in network.modules():
        if isinstance(block, nn.Sequential) and isinstance(block[0], nn.Conv2d):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    return network


def person_matte(rgb: np.ndarray) -> np.ndarray:
    """Matte [H, W] float32 in [0, 1] of the person in a portrait [H, W, 3] uint8. Deterministic."""
    return cv2.resize(_matte(cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)), (rgb.shape[1], rgb.shape[0]))


def matte_around(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """As `person_matte`, for any framing of a face with landmarks `[68, 2]`: the network gets it in the framing that
    it was trained on, and a little more around."""
    centre, side = portrait_square(landmarks)
    scale = SIDE / (ROOM * side)
    matrix = np.float32([[scale, 0, SIDE / 2 - scale * centre[0]], [0, scale, SIDE / 2 - scale * centre[1]]])
    factor = max(int(1 / scale), 1)  # whole pixels are averaged, the rest is interpolated
    small = cv2.resize(rgb, [max(side // factor, 1) for side in rgb.shape[1::-1]], interpolation=cv2.INTER_AREA)
    reduced = matrix * np.float32([[rgb.shape[1] / small.shape[1], rgb.shape[0] / small.shape[0], 1]])
    reduced[:, 2] += (reduced[:, :2].sum(axis=1) - matrix[:, :2].sum(axis=1)) / 2  # of the middles of pixels
    matte = _matte(cv2.warpAffine(small, reduced, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))
    size, flags = rgb.shape[1::-1], cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    return cv2.warpAffine(matte, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def cut_out(rgb: np.ndarray, landmarks: np.ndarray, painted: bool = False) -> np.ndarray:
    """As `matte_around`, with the outline where colours change (GrabCut, Rother et al. 2004): what the network took for
    a part of the person and looks like the background is left out, and the other way round. painted: the picture is a
    painting, of which the network for photos knows less. Slower: not for each frame of a clip."""
    matte = matte_around(rgb, landmarks)
    scale = min(CUT_EYES / max(face_size(landmarks), 1.0), CUT_SIDE / max(rgb.shape[:2]))
    size = [max(round(scale * side), 8) for side in rgb.shape[1::-1]]
    small, guess = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (rgb, matte))
    points = landmarks * np.float32(np.divide(size, rgb.shape[1::-1]))
    mask = _what_is_sure(guess, points, painted)
    if not {cv2.GC_FGD, cv2.GC_BGD} <= set(np.unique(mask)):
        return matte
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(small), mask, None, *models, CUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = cv2.medianBlur(np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255, 5)
    top = slice(max(int(points[BROWS, 1].mean()), 0))
    if (person[top] > 0).sum() < BEHEADED * (guess[top] > 0.5).sum():
        return matte
    whole = cv2.resize(cv2.GaussianBlur(person, (0, 0), 0.7), rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return whole.astype(np.float32) / 255


def _what_is_sure(guess: np.ndarray, points: np.ndarray, painted: bool) -> np.ndarray:
    """Mask uint8 `[H, W]` for GrabCut of what is surely, and what may be, person and background. guess: the matte;
    points: landmarks `[68, 2]`."""
    face = np.full(guess.shape, 255, np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(points.round().astype(np.int32)), 0)
    up = points[BROWS].mean(axis=0) - points[8]
    outline = np.concatenate([points, points[BROWS] + FOREHEAD * up])
    around = np.full(guess.shape, 255, np.uint8)
    cv2.fillConvexPoly(around, cv2.convexHull(outline.round().astype(np.int32)), 0)
    away = cv2.distanceTransform(around, cv2.DIST_L2, 3) / face_size(points)
    is_person = (guess > 0.5) | (painted & (away < PAINTED_NEAR))
    mask = np.where(is_person, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    if painted:
        mask[(guess < PAINTED_BEHIND) & (away > PAINTED_FAR)] = cv2.GC_BGD
        border = np.zeros(guess.shape, bool)
        beside = slice(max(int(points[8, 1]), 0))
        border[:FRAME] = border[beside, :FRAME] = border[beside, -FRAME:] = True
        mask[border & (guess < 0.5)] = cv2.GC_BGD
    else:
        mask[guess < SURE_BEHIND] = cv2.GC_BGD
    # Landmarks and matte may lie a little beyond the outline: a strip of wall would make all of the wall a person.
    is_sure = (face == 0) | ((away < SURE_NEAR) & (guess > SURE))
    is_head = (guess > RATHER) & (np.arange(len(guess))[:, None] < points[8, 1])  # shoulders it often makes up
    for certain, depth in ((is_sure, UNSURE), (is_head, DEEP)):
        inside = cv2.distanceTransform(certain.astype(np.uint8), cv2.DIST_L2, 3)
        mask[inside > depth * face_size(points)] = cv2.GC_FGD
    return mask


@torch.inference_mode()
def _matte(small: np.ndarray) -> np.ndarray:
    """The matte of what the network takes, by one thread: more of them wait for each other longer than they work."""
    with _network_in_use:
        network, threads = _network(), torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return torch.sigmoid(network(to_tensor(small)[None]))[0, 0].numpy()
        finally:
            torch.set_num_threads(threads)
