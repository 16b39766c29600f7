"""Networks that look at pictures: parsing, optical flow, and VGG's features."""

from pathlib import Path
from typing import TypeVar

import torch

from model.bisenet import BiSeNet
from model.common import weight_files as files
from model.common.errors import InputError
from model.common.hub import ensure_vgg
from model.perceptual import CaffeVGG19, Likeness, Perceptual, TorchvisionVGG19, VGG19Features, from_caffe
from model.raft import RAFT, to_torchvision_names

CAFFE_VGG = "Caffe's VGG-19 (vgg19.npy)"
Vgg = TypeVar("Vgg", bound=VGG19Features)


def load_parser(path: str | Path) -> BiSeNet:
    """The face parser. File: its state dict."""
    return files.load_network(BiSeNet, path, "a BiSeNet face parser")


def load_optical_flow(path: str | Path) -> RAFT:
    """RAFT. File: its state dict, with the names of raft-things.pth or torchvision's."""
    return files.load_network(RAFT, path, "a RAFT (large) optical flow model", rename=to_torchvision_names)


def load_perceptual(without: str = "--perc_loss 0") -> Perceptual:
    """LPIPS with trained weights; at first use VGG-16 is fetched. InputError when it can't be had or is another, which
    names the options that do `without`."""
    path, expected, network = ensure_vgg(without), "torchvision's VGG-16", Perceptual()
    try:
        weights = files.named_tensors(files.read_contents(path, expected), path, expected)
        features = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
        files.fill(network, features, path, expected)
    except InputError as error:
        reason = f"{error}".rstrip(".")
        raise InputError(f"{reason}; delete it, and it is fetched again, or go on with {without}.") from error
    return network


def load_vgg19(path: str | Path) -> VGG19Features:
    """Features of VGG-19. File: torchvision's state dict."""
    return _fill_vgg19(VGG19Features(), path)


def load_likeness(path: str | Path) -> Likeness:
    """Differences of VGG-19's features. File: torchvision's state dict."""
    return _fill_vgg19(Likeness(), path)


def _fill_vgg19(network: Vgg, path: str | Path) -> Vgg:
    expected, known = "torchvision's VGG-19", network.state_dict()
    weights = files.named_tensors(files.read_contents(path, expected), path, expected)
    files.fill(network, {name: value for name, value in weights.items() if name in known}, path, expected)
    return network.eval()


def load_cartoon_vgg19(path: str | Path) -> CaffeVGG19:
    """conv4_4 of VGG-19, for White-box cartoonisation. File: Caffe's weights as vgg19.npy, a pickled dictionary
    `{"conv1_1": [filter [h, w, in, out], bias], ...}`, or torchvision's state dict."""
    if not files.is_array_file(path):
        return _fill_vgg19(TorchvisionVGG19(), path)
    layers = files.read_pickled_layers(path, CAFFE_VGG)
    network, arrays = CaffeVGG19(), {}
    for layer, found in layers.items():
        if layer.startswith("conv"):
            if len(found) != 2:
                raise files.not_one(path, CAFFE_VGG, f"{layer} has {len(found)} arrays, not filter and bias")
            arrays |= {
                f"{layer}.{kind}": torch.tensor(array) for kind, array in zip(("filter", "bias"), found, strict=True)
            }
    known = network.state_dict()
    weights = {name: value.float() for name, value in from_caffe(arrays).items() if name in known}
    files.fill(network, weights, path, CAFFE_VGG)
    return network.eval()
