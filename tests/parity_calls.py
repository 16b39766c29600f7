"""What each row of a cases file calls: builders of the networks and one function per module (see tests.parity)."""

import re

import numpy as np
import torch
from torch import Tensor, nn

from model.bisenet import BiSeNet
from model.config import VToonifyConfig
from model.discriminator import Discriminator
from model.dualstylegan import DualStyleGAN
from model.faces.crop import resize_frame
from model.faces.landmarks import align_face
from model.ops import blur_downsample
from model.parsing.smooth import parse, smooth_one, window
from model.psp import PSPEncoder
from model.raft import RAFT
from model.stylegan2 import Generator
from model.training.data.sampling import apply_affine
from model.vtoonify import VToonify

BUILDERS = {
    "stylegan2": Generator,
    "dualstylegan": DualStyleGAN,
    "vtoonify_t": lambda: VToonify(VToonifyConfig(backbone="toonify")),
    "vtoonify_d": VToonify,
    "discriminator_t": Discriminator,
    "discriminator_d": lambda: Discriminator(num_styles=17),
    "psp": PSPEncoder,
    "bisenet": BiSeNet,
    "raft": RAFT,
}
FUNCTIONS = "functions"  # the module name of calls that need no network
NOISE_MODES = {"buffers": "fixed", "none": "none"}
Inputs = Outputs = dict[str, Tensor | np.ndarray]


def call(row: dict, network: nn.Module | None, inputs: Inputs, figures: dict[str, np.ndarray]) -> Outputs:
    """What the call of a row gives by name, tensors [B, ...] or uint8 images [H, W, 3]; nothing for an unknown call."""
    name, params = row["call"], row.get("params", {})
    if isinstance(network, PSPEncoder):
        return {"codes_without_latent_avg": network(inputs["face"])}
    if isinstance(network, Discriminator):
        condition = [torch.tensor(params[key]) for key in ("degree", "style_index") if network.num_styles]
        return {"logit": network(inputs["image"], *condition)}
    if network is None:
        return call_function(name, inputs, params, figures)
    callers = {VToonify: call_vtoonify, BiSeNet: call_bisenet, RAFT: call_raft}
    return callers.get(type(network), call_generator)(network, name, inputs, params)


def call_generator(network: Generator | DualStyleGAN, name: str, inputs: Inputs, params: dict) -> Outputs:
    if name == "mapping":
        return {name: getattr(network, "generator", network).mapping(inputs["z"])}
    arguments = [params.get("truncation", 1.0) * inputs["w"]]
    if isinstance(network, DualStyleGAN):
        exemplar = None if name == "image_without_extrinsic_path" else inputs["exstyle"]
        arguments += [exemplar, params.get("interp_weights", [1.0] * 18)]
    noise = NOISE_MODES[params.get("noise", "buffers")]
    if match := re.fullmatch(r"(?:feature|skip)_(\d+)", name):
        feature, skip = network.features_at(*arguments, size=int(match[1]), noise=noise)
        return {f"feature_{match[1]}": feature, f"skip_{match[1]}": skip}
    return {name: network(*arguments, noise=noise)} if name.startswith("image") else {}


def call_vtoonify(network: VToonify, name: str, inputs: Inputs, params: dict) -> Outputs:
    if name == "zplus_to_wplus":
        return {name: network.zplus_to_wplus(inputs["zplus"])}
    degree = None if params.get("degree") is None else torch.tensor(params["degree"])
    image, masks = network.forward_with_masks(inputs["x"], inputs["w"], degree)
    encoded = network.encode(inputs["x"], inputs["w"], degree)
    outputs = {f"mask_{level}": mask for level, mask in enumerate(masks)}
    return {"image": image, "encoder_feature": encoded.feature, "encoder_skip": encoded.skip, **outputs}


def call_bisenet(network: BiSeNet, name: str, inputs: Inputs, _params: dict) -> Outputs:
    if name == "inference_parsing":
        return {name: parse(network, inputs["frame"])}
    image = inputs["image"]
    _, context8, context16 = network.cp(image)
    heads = {"aux16": network.conv_out16(context8), "aux32": network.conv_out32(context16)}
    settings = {"size": image.shape[-2:], "mode": "bilinear", "align_corners": True}
    enlarged = {head: nn.functional.interpolate(logits, **settings) for head, logits in heads.items()}
    return {"logits": network(image), **enlarged}


def call_raft(network: RAFT, _name: str, inputs: Inputs, params: dict) -> Outputs:
    low, high = params.get("range", (-1, 1))
    images = [2 * (inputs[image] - low) / (high - low) - 1 for image in ("image1", "image2")]
    network.iterations, steps = params["iters"], []
    with network.update_block.register_forward_hook(lambda module, args, output: steps.append(output[1])):
        return {"flow_up": network(*images), "flow_low": sum(steps)}


def smooth_clip(frames: Tensor, logits: Tensor, flows: Tensor, radius: int) -> Tensor:
    """Smoothed logits [T, C, H, W] of a whole clip, the reference of `Smoother`.
    frames: [T, 3, 2H, 2W] and logits: [T, C, 2H, 2W], enlarged; flows: [T, 2·radius + 1, 2, 2H, 2W], where flows[i, j]
    warps frame `window(i, T, radius)[j]` onto frame i."""
    smoothed = []
    for index, sources in enumerate(window(i, len(frames), radius) for i in range(len(frames))):
        others = [(place, source) for place, source in enumerate(sources) if place != radius]
        neighbours = [(frames[s], logits[s], flows[index, place], place - radius) for place, s in others]
        smoothed.append(smooth_one(frames[index], logits[index], neighbours, radius))
    return blur_downsample(torch.stack(smoothed))


def call_function(name: str, inputs: Inputs, params: dict, figures: dict[str, np.ndarray]) -> Outputs:
    image = inputs.get("image")
    calls = {
        "smooth": lambda: smooth_clip(inputs["frames"], inputs["logits"], inputs["flow"], params["window"]),
        "blur_downsample": lambda: blur_downsample(image),
        "affine": lambda: apply_affine(image, torch.tensor(params["matrix"], dtype=torch.float32)),
        "preprocess": lambda: resize_frame(image, params["scale"]),
        "align": lambda: align_face(image, figures[params["landmarks"]], 256),
    }
    return {name: calls[name]()} if name in calls else {}
