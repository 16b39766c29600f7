"""Encoders, ArcFace, VGG-19 and the losses on their outputs, as rows of one's own styles call them."""

import torch
from torch import Tensor

from model.arcface import ArcFace
from model.e4e import E4EEncoder
from model.perceptual import Perceptual, VGG19Features
from model.training import losses
from tests.parity_case import Case

BUILDERS = {"e4e": E4EEncoder, "arcface": ArcFace, "vgg19": VGG19Features, "vgg16": Perceptual}


def codes(case: Case) -> dict[str, Tensor]:
    whole = case.network("e4e")(case.inputs["face"])
    name = "codes_without_latent_avg"
    return {name: whole, f"{name}_minus_row_0": whole - whole[:, :1]}


def gradient(of: Tensor, by: Tensor) -> Tensor:
    return torch.autograd.grad(of, by)[0]


def contextual(case: Case) -> dict[str, Tensor]:
    x = case.inputs["x"].requires_grad_()
    loss = losses.contextual(x, case.inputs["y"], case.params["band_width"])
    return {"contextual_loss": loss, "contextual_loss_gradient_x": gradient(loss, x)}


def identity(case: Case) -> dict[str, Tensor]:
    arcface, fake = case.network("arcface"), case.inputs["fake"].requires_grad_()
    loss = losses.identity(arcface(fake), arcface(case.inputs["real"]))
    return {"id_loss": loss, "id_loss_gradient_fake": gradient(loss, fake)}


def features(case: Case) -> dict[str, Tensor]:
    found = case.network("vgg19")(case.inputs["image"])
    return {f"relu{number}_1": feature for number, feature in enumerate(found, 1)}


def weighted_features(case: Case) -> Tensor:
    fake, real = (case.network("vgg19")(case.inputs[name]) for name in ("fake", "real"))
    return losses.feature_l1(fake, real, case.params["weights"])


def gan_losses(case: Case) -> Tensor:
    real, fake = case.inputs["real"], case.inputs["fake"]
    return torch.stack([losses.discrimination(fake, real), losses.adversarial(fake)])


CALLS = {
    **dict.fromkeys(("codes_without_latent_avg", "codes_without_latent_avg_minus_row_0"), codes),
    **dict.fromkeys(("contextual_loss", "contextual_loss_gradient_x"), contextual),
    "embedding": lambda case: case.network("arcface")(case.inputs["face"]),
    **dict.fromkeys(("id_loss", "id_loss_gradient_fake"), identity),
    **{f"relu{number}_1": features for number in range(1, 6)},
    "l1_weighted": weighted_features,
    "discriminator_then_generator": gan_losses,
}
