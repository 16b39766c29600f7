"""Stored pairs of network teachers: how samples become the parts of a pair, and are read back for training.

photo.jpg                P x P pixels, four times the input's side
cartoon.jpg              S x S pixels, published P
parsing.npz              `logits [C, P/2, P/2]` int8 and `step [C]` float32: their product are the parsing logits,
                         half a step off at most
code.npy                 `[layers, D]` float32, in w+
target.npz               `feature [C', s, s]` and `skip [3, s, s]`, float16
json                     `kind`, `teacher`, `seed` and `number` of the sample; `style` (name) and `style_index`;
                         `degree`, `attribute`, `affine`, `offset` as in Sample; `size` P, shape of the `code`,
                         number of `classes` C
"""

import io
import json

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.common.errors import InputError
from model.common.files import bytes_of
from model.common.tensors import to_tensor, to_uint8
from model.config import VToonifyConfig
from model.training.data.sampling import Batch, Sample, photo_side
from model.training.data.shards import StoredPair, damaged, encode_picture

LARGEST_LEVEL = 127  # logits are stored as whole numbers from -127 to 127


def one_of(sample: Sample, i: int) -> Sample:
    """Sample `i`, as a batch of one on the CPU."""
    return sample.each(lambda value: value[i : i + 1].cpu())


def encode_sample(sample: Sample, styles: list[str], facts: dict) -> dict[str, bytes]:
    """Part → bytes of a batch of one on the CPU, with further `facts` for the json. InputError for infinite numbers."""
    one = sample.each(lambda value: _finite(value[0]))
    pictures = {"photo": one.photo} | ({} if one.cartoon is None else {"cartoon": one.cartoon})
    parts = {f"{name}.jpg": encode_picture(to_uint8(picture).numpy()) for name, picture in pictures.items()}
    if one.logits is not None:
        parts["parsing.npz"] = bytes_of(np.savez_compressed, **quantise(one.logits))
    parts["code.npy"] = bytes_of(np.save, one.w_plus.float().numpy())
    if one.feature is not None:
        feature, skip = (_finite(value.half()).numpy() for value in (one.feature, one.skip))
        parts["target.npz"] = bytes_of(np.savez, feature=feature, skip=skip)
    style = int(one.style)
    known = {"kind": "features" if one.cartoon is None else "stylised", "style": styles[style], "style_index": style}
    known |= {"degree": float(one.degree), "attribute": int(one.attribute), "affine": one.affine.tolist()}
    known |= {"size": one.photo.shape[-1], "code": list(one.w_plus.shape)}
    known["classes"] = 0 if one.logits is None else len(one.logits)
    if one.offset is not None:
        known["offset"] = one.offset.tolist()
    return parts | {"json": json.dumps(known | facts).encode()}


def _finite(value: Tensor) -> Tensor:
    if not torch.isfinite(value).all():
        raise InputError("The teacher draws numbers that are not finite: its files don't fit each other.")
    return value


def quantise(logits: Tensor) -> dict[str, np.ndarray]:
    """Parsing logits `[C, h, w]` as whole `logits` int8 and one `step [C]` for each class."""
    step = logits.float().abs().amax(dim=(1, 2)) / LARGEST_LEVEL
    levels = logits / step.clamp(min=torch.finfo(step.dtype).tiny)[:, None, None]
    return {"logits": levels.round().to(torch.int8).numpy(), "step": step.numpy()}


def decode_sample(pair: StoredPair, styles: list[str]) -> Sample:
    """A batch of one, read from a pair of a network teacher. InputError when it is damaged or of other styles."""
    if pair.style not in styles:
        raise InputError(f"{pair.shard} holds pairs of the style {pair.style}, which is none of {', '.join(styles)}.")
    facts = pair.facts()
    found = {name: to_tensor(pair.picture(name)) for name in ("photo", "cartoon") if f"{name}.jpg" in pair.parts}
    found["logits"], (found["w_plus"],) = None, _read_arrays(pair, "code.npy")
    if "parsing.npz" in pair.parts:
        levels, step = _read_arrays(pair, "parsing.npz", "logits", "step")
        found["logits"] = levels.float() * step[:, None, None]
    if pair.kind == "features":
        found["feature"], found["skip"] = _read_arrays(pair, "target.npz", "feature", "skip")
    numbers = ("degree", "attribute", "affine", "offset")
    found |= {name: torch.tensor(facts[name]) for name in numbers if name in facts}
    return Sample(**found, style=torch.tensor(styles.index(pair.style))).each(lambda value: value[None])


def _read_arrays(pair: StoredPair, part: str, *names: str) -> list[Tensor]:
    """The arrays of these names in a .npz, or the one in a .npy. InputError when they can't be read."""
    try:
        found = np.load(io.BytesIO(pair.read(part)), allow_pickle=False)
        return [torch.from_numpy(array) for array in ([found[name] for name in names] if names else [found])]
    except Exception as error:  # on bytes that are no arrays numpy fails in every way there is
        raise damaged(pair.shard, f"{pair.key}.{part} holds no such arrays") from error


class TeacherPairs(Dataset):
    """Items of a Batch in the order of the pairs, over and over: they are independent draws, so nothing is shuffled."""

    def __init__(self, pairs: list[StoredPair], styles: list[str]):
        self.pairs, self.styles = pairs, styles

    def __getitem__(self, n: int) -> Batch:
        batch = decode_sample(self.pairs[n % len(self.pairs)], self.styles).batch()
        return {name: value[0] for name, value in batch.items()}


def check_sizes(pairs: list[StoredPair], config: VToonifyConfig) -> None:
    """Raise InputError for pairs whose pictures, codes or parsing maps are of other sizes than the network's."""
    generator = config.generator
    wanted = [photo_side(generator), [generator.w_layers, generator.style_dim], config.parsing_channels]
    for pair in {pair.shard: pair for pair in pairs}.values():  # all pairs of a shard are alike
        found = [pair.facts()[name] for name in ("size", "code", "classes")]
        if found != wanted:
            holds = f"{pair.shard} holds pairs of pictures, codes and parsing classes of the sizes {found}"
            raise InputError(f"{holds}, not {wanted}: give the --config of their network.")
