"""DualStyleGAN's third stage and refinement, as rows of one's own styles call them."""

import torch
from torch import Tensor

from model.training import losses
from model.training.own import dual_losses, refine
from model.training.own.judges import compared
from tests.parity_case import Case

BUILDERS = {}


def stage3(case: Case) -> dict[str, Tensor]:
    """Weighted terms of one paired step."""
    dual, inputs, params = case.network("dualstylegan"), case.inputs, case.params
    vgg, arcface = case.network("vgg19"), case.network("arcface")
    w_plus, weights = dual.generator.mapping(inputs["instyle"]), [1.0] * dual.config.w_layers
    result = dual(w_plus, inputs["exstyle_wplus"], weights, "fixed")
    photo = dual.generator(w_plus, "fixed")
    of_result, of_picture = compared(vgg, result), compared(vgg, inputs["picture"])
    return {
        "stage3_style": dual_losses.style_term(of_result, of_picture, params["CX"], params["FM"]),
        "stage3_id": params["id"] * losses.identity(arcface(result), arcface(photo)),
        "stage3_perceptual": params["perc"] * dual_losses.pair_term(of_result, of_picture),
        "stage3_reg": params["reg"] * dual_losses.change_term(dual.res.parameters()),
    }


def refinement(case: Case) -> dict[str, Tensor]:
    """Terms of the first step, their sum, and its gradients."""
    dual, inputs = case.network("dualstylegan"), case.inputs
    first = dual.config.structure_layers
    structure, colour = (part.clone().requires_grad_() for part in inputs["exstyle"].tensor_split([first], dim=1))
    judges = case.network("vgg16"), case.network("vgg19")
    w_plus = dual.generator.mapping(inputs["instyle"])
    terms = refine.terms(dual, w_plus, torch.cat([structure, colour], 1), inputs["noises"], inputs["picture"], *judges)
    total = refine.weighted(terms)
    gradients = torch.autograd.grad(total.sum(), [structure, colour])
    found = {f"refine_{name}": terms[term].squeeze() for name, term in refine_names.items()}
    named = {f"gradient_{part}": value for part, value in zip(("structure", "colour"), gradients, strict=True)}
    return found | named | {"refine_total": total.squeeze()}


refine_names = {"lpips": "perceptual", "cx": "contextual", "noise": "noise"}
CALLS = {
    **dict.fromkeys([f"stage3_{name}" for name in ("style", "id", "perceptual", "reg")], stage3),
    **dict.fromkeys([f"refine_{name}" for name in (*refine_names, "total")], refinement),
    **dict.fromkeys(("gradient_structure", "gradient_colour"), refinement),
}
