"""Codes of pictures, by the pictures' names, from files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.config import GeneratorConfig

EXSTYLE_FILE, INSTYLE_FILE = "exstyle_code.npy", "instyle_code.npy"  # as published


def load_picture_codes(path: str | Path, names: Sequence[str], config: GeneratorConfig) -> Tensor:
    """Codes `[n, layers, D]` of pictures called `names`, from a file in which each has its name, or that has as many,
    in their order. InputError for other sizes or numbers."""
    codes = checkpoints.load_codes(path, config.w_layers, config.style_dim)
    if isinstance(codes, dict):
        if missing := [name for name in names if name not in codes]:
            raise InputError(f"{path} has no code of {missing[0]}: invert all pictures of the folder.")
        codes = np.concatenate([codes[name] for name in names])
    if len(codes) != len(names):
        raise InputError(
            f"{path} has {len(codes)} codes, and there are {len(names)} pictures: invert the folder again."
        )
    return torch.from_numpy(codes)


def load_code_pairs(folder: str | Path, names: Sequence[str], config: GeneratorConfig) -> tuple[Tensor, Tensor]:
    """Extrinsic and intrinsic codes of exemplars in z+, as destylisation leaves them in a folder."""
    files = (Path(folder, file) for file in (EXSTYLE_FILE, INSTYLE_FILE))
    extrinsic, intrinsic = (load_picture_codes(file, names, config) for file in files)
    return extrinsic, intrinsic
