"""Inversion (DualStyleGAN's destylisation), as rows of one's own styles call it."""

import torch
from torch import Tensor

from model.training.own import invert
from tests.parity_case import Case

BUILDERS = {}
TERMS = {"lpips": "perceptual", "id": "identity", "reg": "spread", "noise": "noise"}


def step(case: Case) -> dict[str, Tensor]:
    """Terms of the first step, their sum, and its gradients."""
    codes, noises = case.inputs["zplus"], case.inputs["noises"]
    learning = [each.requires_grad_() for each in (codes, *noises)]
    judges = {"perceptual": case.network("vgg16"), "identity": case.network("arcface")}
    terms = invert.terms(case.network("generator"), codes, noises, case.inputs["picture"], **judges)
    found = {f"destylize_{name}": terms[term] for name, term in TERMS.items()}
    found["destylize_total"] = total = invert.weighted(terms)
    gradient, *gradients = torch.autograd.grad(total.sum(), learning)
    named = {f"gradient_noise:{layer}": value for layer, value in enumerate(gradients)}
    outputs = found | {"gradient_code": gradient} | named
    return {name: value.squeeze() if name in found else value for name, value in outputs.items()}


def picture(case: Case) -> Tensor:
    generator, truncation = case.network("generator"), case.params["truncation"]
    return invert.render(generator, case.inputs["zplus"], case.inputs["noises"], truncation=truncation)


CALLS = {
    "destylize_lr": lambda case: torch.tensor([invert.rate(t, case.params["lr"]) for t in case.params["t"]]),
    "noise_regularizer": lambda case: invert.noise_correlation(case.inputs["noises"], together=True),
    "noise_normalised": lambda case: invert.standardised(case.inputs["noise"], together=True),
    **dict.fromkeys([f"destylize_{name}" for name in (*TERMS, "total")], step),
    **dict.fromkeys(("gradient_code", "gradient_noise"), step),
    "image_of_zplus": picture,
}
