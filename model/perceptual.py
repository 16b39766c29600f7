"""LPIPS (Zhang et al., CVPR 2018) on VGG-16: how far two pictures are apart to the eye.

The `lpips` package brings the weights that were learnt for the comparison; VGG-16 is torchvision's.
"""

import socket
import urllib.error
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from model.common.errors import InputError
from model.common.weight_files import named_tensors, read_contents

VGG = "torchvision's VGG-16"

CONVOLUTIONS, UNUSED = "features.", "classifier."
"""Parts of VGG-16 in its file: distances are taken between convolutional features."""

ANSWER_WITHIN = 5.0
"""Seconds of silence after which the server is given up."""


class _NeededFillsOnly(TorchFunctionMode):
    """Leave out random starting values that nobody sees: they take ten times as long as all the rest.

    torchvision fills convolutions twice and keeps the second time, `kaiming_normal_`. The matrices of VGG-16 are nine
    tenths of it, and the package throws them away.
    """

    LEFT_OUT = (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_)

    def __torch_function__(self, function, types, arguments=(), named=None):
        named = named or {}
        return named["tensor"] if function in self.LEFT_OUT else function(*arguments, **named)


class Perceptual(nn.Module):
    """LPIPS v0.1 with VGG-16, frozen and always in evaluation mode: in training mode it would drop features out.

    VGG-16 is random at first: nothing is fetched here.
    """

    def __init__(self):
        super().__init__()
        # Imported here: it takes most of a second, and many runs do without a perceptual loss.
        import lpips

        with warnings.catch_warnings(), _NeededFillsOnly():
            warnings.simplefilter("ignore")  # the package calls torchvision in a way that is going out of use
            self.lpips = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `[B]` between `a` and `b`, `[B, 3, H, W]`, RGB in [-1, 1], H, W at least 16."""
        return self.lpips(a, b).flatten()

    def load_vgg(self, weights: Mapping[str, Tensor]) -> None:
        """Fill VGG-16 from `weights` with torchvision's names. Raises ValueError at the first one that differs."""
        own = self.lpips.net.state_dict()
        wanted = {_torchvision_name(name): name for name in own}
        for name, inside in wanted.items():
            if name not in weights:
                raise ValueError(f"parameter {name} is missing")
            if weights[name].shape != own[inside].shape:
                shapes = f"{list(weights[name].shape)}, not {list(own[inside].shape)}"
                raise ValueError(f"parameter {name} has shape {shapes}")
        for name in weights:
            if name not in wanted and not name.startswith(UNUSED):
                raise ValueError(f"parameter {name} is unexpected")
        self.lpips.net.load_state_dict({inside: weights[name] for name, inside in wanted.items()})


def _torchvision_name(name: str) -> str:
    """`slice2.5.weight` is torchvision's `features.5.weight`: slices keep the numbers of the layers."""
    return CONVOLUTIONS + name.split(".", 1)[1]


def load_perceptual() -> Perceptual:
    """LPIPS with trained weights; at first use VGG-16 (528 MB) is fetched into the cache of `torch.hub`.

    Raises InputError when the file can't be had or is another one.
    """
    path = ensure_vgg()
    try:
        weights = named_tensors(read_contents(path, VGG), path, VGG)
        network = Perceptual()
        network.load_vgg(weights)
    except ValueError as error:
        raise _unusable(f"{path} is not {VGG}: {error}") from error
    except InputError as error:
        raise _unusable(str(error).rstrip(".")) from error
    return network


def _unusable(reason: str) -> InputError:
    return InputError(f"{reason}; delete it, and it is fetched again, or go on with --perc_loss 0.")


def ensure_vgg() -> Path:
    """Path of VGG-16 in the cache of `torch.hub`, where it is fetched with a progress bar if it is not there yet."""
    from torchvision.models import VGG16_Weights

    url = VGG16_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    beginning_of_hash = path.stem.rpartition("-")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _short_patience():
            torch.hub.download_url_to_file(url, str(path), hash_prefix=beginning_of_hash)
    except (OSError, HTTPException, RuntimeError) as error:
        raise InputError(
            f"{path.name} (VGG-16, for the perceptual loss) is not on this machine and could not be fetched "
            f"({_reason(error)}): download {url} and put it at {path}, or go on with --perc_loss 0."
        ) from error
    return path


@contextmanager
def _short_patience() -> Iterator[None]:
    """Give up silent connections: `torch.hub` sets no limit, and the system's own is minutes."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWER_WITHIN)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)


def _reason(error: Exception) -> str:
    """One clause in place of the system's message."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    if isinstance(error, RuntimeError):  # torch.hub compares the beginning of the hash
        return "what came was damaged"
    if isinstance(error, (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError)):
        return "no connection to the server"
    return getattr(error, "strerror", None) or "no connection to the server"
