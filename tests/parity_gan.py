"""Golden rows of augmentation, penalties, the controller, averages and distances (`model.training.gan`)."""

import math

import numpy as np
import torch
from torch import Tensor

from model.training.gan.augment import amounts_at, augment
from model.training.gan.controller import Controller
from model.training.gan.quality import frechet_distance, kernel_distance
from model.training.gan.regularise import average_decay, gradient_penalty, path_lengths
from tests.parity_case import Case

NOISE = {"buffers": "fixed", "none": "none"}
ROSINALITY_MOST, NVIDIA_MOST = 1.0, math.inf


def of_augment(case: Case) -> Tensor:
    image = case.inputs["image"]
    return augment(image, amounts_at(case.params["percentile"], len(image), case.params["transforms"]))


def controlled(case: Case, pictures: float, every: int, most: float) -> Tensor:
    """The probability after each batch of logits."""
    control = Controller(case.params["target"], pictures, every, most)
    logits = case.inputs["logits"]
    return torch.tensor([control.note(batch.sign().sum().item(), len(batch)) for batch in logits])


def of_rosinality(case: Case) -> Tensor:
    return controlled(case, case.params["length"], case.params["every"], ROSINALITY_MOST)


def of_nvidia(case: Case) -> Tensor:
    return controlled(case, 1000 * case.params["kimg"], case.params["interval"], NVIDIA_MOST)


def decays(case: Case) -> Tensor:
    rows = case.params["batch_kimg_rampup_seen"]
    return torch.tensor([average_decay(batch, 1000 * kimg, seen, ramp) for batch, kimg, ramp, seen in rows])


def distance(measure) -> callable:
    def of_case(case: Case) -> Tensor:
        real, fake = (case.inputs[name].numpy() for name in ("real", "fake"))
        return np.array(measure(real, fake))

    return of_case


def penalised(case: Case) -> tuple[torch.nn.Module, Tensor]:
    """The discriminator, behind the transforms of the row where it has some, and its pictures."""
    judge, image = case.network("critic"), case.inputs["image"]
    if "transforms" not in case.params:
        return judge, image
    amounts = amounts_at(case.params["percentile"], len(image), case.params["transforms"])
    return lambda pictures: judge(augment(pictures, amounts)), image


def r1_penalty(case: Case) -> Tensor:
    return gradient_penalty(*penalised(case))


def r1_gradient(case: Case) -> Tensor:
    parameter = case.network("critic").get_parameter(case.argument).requires_grad_()
    (gradient,) = torch.autograd.grad(gradient_penalty(*penalised(case)), parameter)
    parameter.requires_grad_(False)
    return gradient


def path(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    generator, params = case.network("generator"), case.params
    one, other = generator.mapping(case.inputs["z"])
    first = params["other_code_from_row"]
    rows = generator.config.w_layers
    w_plus = torch.cat([one[:, None].repeat(1, first, 1), other[:, None].repeat(1, rows - first, 1)], dim=1)
    w_plus = w_plus if w_plus.requires_grad else w_plus.requires_grad_()
    noise = NOISE[params.get("noise", "none")]
    return path_lengths(generator, w_plus, case.inputs["pl_noise"], params["mean"], noise, params["decay"])


def path_values(case: Case) -> Tensor:
    penalty, mean, lengths = path(case)
    return torch.cat([penalty.view(1), mean.view(1), lengths])


def path_gradient(case: Case) -> Tensor:
    parameter = case.network("generator").get_parameter(case.argument).requires_grad_()
    (gradient,) = torch.autograd.grad(path(case)[0], parameter)
    parameter.requires_grad_(False)
    return gradient


BUILDERS = {}
CALLS = {
    "augment": of_augment,
    "ada_clamped": of_rosinality,
    "ada_unclamped_above": of_nvidia,
    "ema_beta": decays,
    "fid": distance(frechet_distance),
    "kid": distance(kernel_distance),
    "logit": lambda case: case.network("critic")(case.inputs["image"]),
    "r1_penalty": r1_penalty,
    "r1_penalty_behind_augmentation": r1_penalty,
    "r1_gradient": r1_gradient,
    "path_penalty_mean_lengths": path_values,
    "path_gradient": path_gradient,
}
