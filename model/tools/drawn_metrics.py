"""How close a VToonify-D comes to the drawn teacher, on pairs that it was not trained on.

python -m model.tools.drawn_metrics --pairs PAIRS --ckpt checkpoint/starter/vtoonify_s_d.pt"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import DEVICES, PRECISIONS, pick_device, pick_precision
from model.common.errors import InputError
from model.common.hub import EXEMPLAR_FILE
from model.common.tables import markdown_table
from model.common.tensors import to_tensor, to_uint8
from model.training.data.drawn_pairs import EYE_WEIGHT, feature_weights
from model.training.data.shards import StoredPair, index_pairs, kind_of, split_held_out
from model.training.drawn.raster import to_lab
from model.vtoonify import VToonify

CHEEKS = ((1, 3, 48, 31), (15, 13, 54, 35))  # landmarks around skin that every face shows
COLUMNS = {
    "l1": "L1",  # mean absolute difference to the teacher's drawing in levels of 255, of the result
    "l1_photo": "L1 of the photo",
    "l1_eyes": "L1, eyes",  # of the result at the eyes
    "gradient": "gradient energy",  # as a share of the drawing's
    "skin": "skin L",  # mean lightness (Lab) of the cheeks less the photo's, in the result
    "skin_teacher": "skin L, teacher",
}


@dataclass
class Options:
    pairs: list[str] = option([], "pairs of the drawn teacher: folders or .tar files", nargs="+", metavar="SHARDS")
    ckpt: str = option("checkpoint/starter/vtoonify_s_d.pt", "VToonify-D; its exstyle_code.npy lies beside it")
    device: str = option("auto", "where to compute", choices=DEVICES)
    precision: str = option("auto", "precision of the network", choices=PRECISIONS)


def compare(result: np.ndarray, pair: StoredPair) -> dict[str, float]:
    """The metrics of COLUMNS for one result at degree 1, RGB uint8 of the pair's size."""
    photo, target, facts = pair.picture("photo"), pair.picture("full"), pair.facts()
    drawn, bare = np.float32(facts["landmarks_full"]), cheek_lightness(photo, np.float32(facts["landmarks"]))
    eyes = feature_weights(drawn, len(photo)) > 0.9 * EYE_WEIGHT
    return {
        "l1": l1(result, target),
        "l1_photo": l1(photo, target),
        "l1_eyes": l1(result[eyes], target[eyes]),
        "gradient": gradient_energy(result) / gradient_energy(target),
        "skin": cheek_lightness(result, drawn) - bare,
        "skin_teacher": cheek_lightness(target, drawn) - bare,
    }


def l1(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference in levels of 255."""
    return float(np.abs(first.astype(np.float32) - second).mean())


def gradient_energy(picture: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels, in both directions."""
    picture = picture.astype(np.float32)
    return float(sum(np.abs(np.diff(picture, axis=axis)).mean() for axis in (0, 1)))


def cheek_pixels(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The pixels `[N, 3]` of both cheeks of a picture RGB uint8, `landmarks [68, 2]`."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for cheek in CHEEKS:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(landmarks[list(cheek)]).astype(np.int32)), 1)
    return picture[mask > 0]


def cheek_lightness(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Mean L (0..100) of both cheeks, as `cheek_pixels`; 0 where they are not to be seen."""
    cheeks = cheek_pixels(picture, landmarks)
    return float(to_lab(cheeks[None])[..., 0].mean()) if len(cheeks) else 0.0


@torch.no_grad()
def measure(network: VToonify, codes: dict[str, np.ndarray], pairs: Iterable[StoredPair], dtype: torch.dtype) -> dict:
    """Means of `compare` over `pairs`, by style: `{style: {metric: value}}`; `count` says over how many."""
    device, found = next(network.parameters()).device, {}
    for pair in pairs:
        if pair.style not in codes:
            raise InputError(f"{pair.shard} holds pairs of the style {pair.style}, which is none of {', '.join(codes)}")
        w_plus = network.zplus_to_wplus(torch.from_numpy(codes[pair.style]).to(device))
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            y = network(student_view(pair.picture("photo"), network.config.scale).to(device), w_plus, 1.0)
        found.setdefault(pair.style, []).append(compare(to_uint8(y[0]).cpu().numpy(), pair))
    means = {style: {name: fmean(one[name] for one in found[style]) for name in COLUMNS} for style in sorted(found)}
    return {style: row | {"count": len(found[style])} for style, row in means.items()}


def student_view(photo: np.ndarray, scale: int) -> Tensor:
    """Input `[1, 3, S/scale, S/scale]` made of a photo RGB uint8 `[S, S, 3]`."""
    return to_tensor(cv2.resize(photo, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA))[None]


def main() -> None:
    options = cli.parse(Options, __doc__)
    if not options.pairs:
        raise InputError("--pairs is missing: give folders of generate_data.py --teacher drawn.")
    pairs = index_pairs(options.pairs)
    if (kind := kind_of(pairs)) != "drawn":
        raise InputError(f"{options.pairs[0]} holds {kind} pairs: give drawn ones.")
    device = pick_device(options.device)
    network = checkpoints.load_vtoonify(options.ckpt).to(device)
    if not network.has_degree or network.config.parsing_channels:
        raise InputError(f"{options.ckpt} was not trained on drawn pairs: give a model that was.")
    codes = checkpoints.load_exemplars(Path(options.ckpt).with_name(EXEMPLAR_FILE))
    found = measure(network, codes, split_held_out(pairs)[1], pick_precision(options.precision, device))
    shown = {name: "{:.0%}" if name == "gradient" else "{:.1f}" for name in COLUMNS}
    rows = [[style, row["count"], *(shown[name].format(row[name]) for name in COLUMNS)] for style, row in found.items()]
    print(markdown_table(["style", "pairs", *COLUMNS.values()], rows))


if __name__ == "__main__":
    cli.run(main)
