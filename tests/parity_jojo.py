"""JoJoGAN's mixed codes, its critic and its steps, as rows of one's own styles call them."""

import copy

import torch
from torch import Tensor

from model.training.own.critic import COMPARED, Critic
from model.training.own.jojo import learning_parts, make_optimizer, style_codes
from tests.parity_case import Case

SIZES = (512, 256, 128, 64, 32)


def critic(case: Case) -> Critic:
    return Critic(case.network("critic"))


def mixed_codes(case: Case) -> Tensor:
    faces = case.network("generator").mapping(case.inputs["z"])
    return style_codes(case.inputs["codes"], faces, case.params["rows"], case.params["strength"])


def feature(case: Case) -> Tensor:
    block = int(case.params["after"].removeprefix("convs."))
    return critic(case).features(case.inputs["image"])[COMPARED.index(block)]


def differences(case: Case) -> Tensor:
    network, pictures = critic(case), (case.inputs["fake"], case.inputs["real"])
    return torch.cat([*network.differences(*pictures), network(*pictures)])


def steps(case: Case) -> dict[str, Tensor]:
    """Losses of one step for each z, and the gradients of the first."""
    inputs, params = case.inputs, case.params
    generator, judge = copy.deepcopy(case.network("generator")), critic(case)
    learning = learning_parts(generator)
    for parameter in learning.values():
        parameter.requires_grad_(True)
    optimizer, losses, found = make_optimizer(learning.values(), params["lr"]), [], {}
    assert list(optimizer.param_groups[0]["betas"]) == params["betas"] and params["noise"] == "buffers"
    for z in inputs["z"]:
        codes = style_codes(inputs["codes"], generator.mapping(z), params["rows"], params.get("strength", 1.0))
        loss = judge(generator(codes, "fixed"), inputs["target"]).mean()
        optimizer.zero_grad()
        loss.backward()
        found = found or {f"first_gradient:{name}": value.grad.clone() for name, value in learning.items()}
        optimizer.step()
        losses.append(loss.detach())
    return found | {f"losses_of_{len(losses)}_steps": torch.stack(losses)}


BUILDERS = {}
CALLS = {
    "mixed_codes": mixed_codes,
    **{f"feature_{size}": feature for size in SIZES},
    "l1_of_each_level_then_their_mean": differences,
    **{f"losses_of_{count}_steps": steps for count in range(1, 10)},
    "first_gradient": steps,
}
