"""Golden rows of the translators: U-GAT-IT, White-box cartoonisation, AdaIN.

Sizes come from the parameters of the manifest; White-box rows are TensorFlow's: `[B, H, W, C]`, blue, green, red.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.adain import Adain, AdainDecoder, AdainEncoder, coral, restyle, statistics_of
from model.perceptual import CaffeVGG19, from_caffe
from model.training import losses
from model.training.gan.quality import sharpness
from model.training.unpaired import adain as adain_losses
from model.training.unpaired import ugatit as steps
from model.training.unpaired import whitebox as representations
from model.training.unpaired.edges import smooth_edges
from model.ugatit import ILN, AdaLIN, Ugatit, UgatitDiscriminator, UgatitGenerator, clip_rho, config_of
from model.whitebox import Whitebox, WhiteboxDiscriminator, double, from_tensorflow, guided_filter
from tests.parity_case import Case

Parameters = dict[str, Tensor]
NAMED = {"adain_transfer": ("adain_vgg", "adain_decoder"), "adain_loss": ("adain_vgg", "adain_decoder")}


def loaded(network: nn.Module, weights: Parameters) -> nn.Module:
    network.load_state_dict(weights, strict=True)
    return network.eval().requires_grad_(False)


def ugatit_discriminator(weights: Parameters) -> UgatitDiscriminator:
    convs = [value for name, value in weights.items() if re.fullmatch(r"model\.\d+\.weight_orig", name)]
    return loaded(UgatitDiscriminator(min(map(len, convs)), len(convs) + 1), weights)


def whole_ugatit(weights: Parameters) -> Ugatit:
    generator = {name.removeprefix("genA2B."): value for name, value in weights.items() if name.startswith("genA2B.")}
    return loaded(Ugatit(config_of(generator), len(weights["disLA.model.1.bias"])), weights)


def whitebox_discriminators(weights: Parameters) -> nn.ModuleDict:
    found = nn.ModuleDict()
    for name, channels in (("disc_blur", 3), ("disc_gray", 1)):
        ours, network = from_tensorflow(weights, name), WhiteboxDiscriminator(channels)
        vectors = {key: value for key, value in network.state_dict().items() if key.endswith("weight_v")}
        found[name] = loaded(network, vectors | ours)  # TensorFlow's program keeps one vector of each pair
    return found


NETWORKS: dict[str, Callable[[Parameters], nn.Module]] = {
    "ugatit_gen": lambda weights: loaded(UgatitGenerator(config_of(weights)), weights),
    "ugatit_gen_light": lambda weights: loaded(UgatitGenerator(config_of(weights)), weights),
    "ugatit_adalin": lambda weights: loaded(AdaLIN(weights["rho"].shape[1]), weights),
    "ugatit_iln": lambda weights: loaded(ILN(weights["rho"].shape[1]), weights),
    "ugatit_dis_local": ugatit_discriminator,
    "ugatit_dis_global": ugatit_discriminator,
    "ugatit_train_light": whole_ugatit,
    "ugatit_train_full": whole_ugatit,
    "adain_vgg": lambda weights: loaded(AdainEncoder(), weights),
    "adain_decoder": lambda weights: loaded(AdainDecoder(), weights),
    "whitebox_generator": lambda weights: loaded(Whitebox(), from_tensorflow(weights)),
    "whitebox_disc": whitebox_discriminators,
    "whitebox_vgg": lambda weights: loaded(CaffeVGG19(), from_caffe(weights)),
}
FREE = ("adain", "whitebox", "adain_transfer", "adain_loss")  # modules without parameters of their own


def answers(module: str) -> bool:
    return module in NETWORKS or module in FREE


def networks(module: str, parameters: Callable[[str], Parameters]) -> dict[str, nn.Module]:
    """What the rows of a module need, by name; `parameters` makes those of one network of the manifest."""
    names = NAMED.get(module, () if module in FREE else (module,))
    return {name: NETWORKS[name](parameters(name)) for name in names}


def call(row: dict, found: dict[str, nn.Module], inputs: dict, recent: dict) -> dict[str, Any]:
    """What the call of a row gives, by its name; `recent` may keep what other rows of the module want, too."""
    case = Case(row["call"], "", found, inputs, row.get("params", {}))
    family = row["module"].partition("_")[0]
    if "layout" in case.params:
        case.inputs = {name: rgb_first(x) for name, x in inputs.items()}
    if row["module"].startswith("ugatit_train"):
        return {row["call"]: of_training(case, found[row["module"]], recent)}
    answer = {"ugatit": of_ugatit, "adain": of_adain, "whitebox": of_whitebox}[family](case, row["module"])
    if "layout" in case.params and isinstance(answer, Tensor) and answer.ndim == 4 and answer.shape[1] == 3:
        answer = answer.flip(1)
    return {row["call"]: answer}


def rgb_first(x: Tensor) -> Tensor:
    """`[B, H, W, C]`, blue first → `[B, C, H, W]`, red first."""
    x = x.permute(0, 3, 1, 2)
    return x.flip(1) if x.shape[1] == 3 else x


def of_ugatit(case: Case, module: str) -> Tensor:
    network, x = case.networks[module], case.inputs.get("x")
    if module == "ugatit_adalin":
        return network(x, case.inputs["gamma"], case.inputs["beta"])
    if module == "ugatit_iln":
        return network(x)
    if case.call.startswith("all_rho"):
        network = deepcopy(network)
        clip_rho(network)
        return all_rho(network)
    if module.startswith("ugatit_dis"):
        network = deepcopy(network).train()
        for _ in range(case.params.get("train_forwards_before", case.params.get("forwards_before", 0))):
            network(x)
        network.train(case.params["mode"] == "train")
    picture_or_logit, attention, heat = network(x)
    answers = {"image": picture_or_logit, "logit": picture_or_logit, "cam_logit": attention, "heatmap": heat}
    return answers[case.call] if case.call in answers else network.state_dict()[case.call]


def all_rho(network: nn.Module, names: list[str] | None = None) -> Tensor:
    own = network.state_dict()
    names = names or sorted(name for name in own if name.endswith("rho"))
    return torch.cat([own[name].flatten() for name in names])


TRAINING_NAMES = (
    (r"cam_[AB]_of_(\w+)_(ones|zeros)", r"G.attention_\1"),
    (r"((?:cycle|identity)_[AB])", r"G.\1"),
)


def of_training(case: Case, before: Ugatit, recent: dict) -> Tensor:
    params = case.params
    run = {key: value for key, value in params.items() if key != "names" and not key.startswith("tolerance")}
    signature = json.dumps(run, sort_keys=True)
    if signature not in recent:
        recent.clear()
        with one_thread():
            recent[signature] = trained(before, case.inputs, params)
    after, terms = recent[signature]
    if match := re.fullmatch(r"losses_\w+_of_step_(\d+)", case.call):
        names = list(params["names"])
        for pattern, ours in TRAINING_NAMES:
            names = [re.sub(f"^{pattern}$", ours, name) for name in names]
        return torch.stack([terms[int(match[1]) - 1][name] for name in names])
    if case.call.startswith("all_rho"):
        return all_rho(after, params["names"])
    first, last = before.state_dict(), after.state_dict()
    return torch.stack([(last[name] - first[name]).mean() / params["lr"] for name in params["names"]])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """As the figures were made: Adam's first steps go by signs, and sums in another order change those of the smallest
    gradients."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def trained(before: Ugatit, inputs: dict[str, Tensor], params: dict) -> tuple[Ugatit, list[steps.Terms]]:
    """All steps, and what each step's losses were."""
    networks = deepcopy(before).train().requires_grad_(True)
    optimizers = tuple(
        steps.make_optimizer(part, params["lr"], params["weight_decay"])
        for part in (networks.generators, networks.discriminators)
    )
    terms = []
    for step in range(1, params["iteration"] + 1):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = steps.rate_at(step, params["iteration"], params["lr"])
        terms.append(steps.learn(networks, optimizers, inputs[f"A{step}"], inputs[f"B{step}"]))
    return networks, terms


def of_adain(case: Case, module: str) -> Tensor:
    inputs, params = case.inputs, case.params
    if module == "adain_vgg":
        found = case.networks[module].features(inputs["x"])
        return found[int(re.fullmatch(r"relu(\d)_1", case.call)[1]) - 1]
    if module == "adain_decoder":
        return case.networks[module](inputs["x"])
    if module == "adain":
        functions = {
            "mean": lambda: statistics_of(inputs["x"])[0],
            "std": lambda: statistics_of(inputs["x"])[1],
            "out": lambda: restyle(inputs["content"], statistics_of(inputs["style"])),
            "coral": lambda: coral(inputs["source"], inputs["target"]),
            "style_loss_of_features": lambda: adain_losses.style_distance(inputs["a"], inputs["b"]),
        }
        return functions[case.call]()
    network = Adain()
    network.encoder, network.decoder = case.networks["adain_vgg"], case.networks["adain_decoder"]
    if module == "adain_transfer":
        chosen = [inputs["style"][params["style_index"]]] if "style_index" in params else list(inputs["style"])
        statistics = network.style_statistics(chosen, params.get("weights"))
        return network(inputs["content"], statistics, params["alpha"])
    network.decoder.requires_grad_(True)
    terms = adain_losses.decoder_terms(network, inputs["content"], inputs["style"])
    if case.call in terms:
        return terms[case.call]
    weight = float(re.search(r"content_plus_(\S+)_style", case.call)[1])
    parameters = dict(network.decoder.named_parameters())
    chosen = [parameters[name] for name in params["names"]]
    gradients = torch.autograd.grad(terms["content"] + weight * terms["style"], chosen)
    return torch.stack([gradient.norm() for gradient in gradients])


def of_whitebox(case: Case, module: str) -> Tensor | np.ndarray:
    inputs, params = case.inputs, case.params
    if module == "whitebox_generator":
        network = case.networks[module]
        if match := re.fullmatch(r"filtered_r(\d+)_eps([\d.]+)", case.call):
            return network.cartoon(inputs["x"], int(match[1]), float(match[2]))
        return network(inputs["x"])
    if module == "whitebox_disc":
        return deepcopy(case.networks[module][case.call.removeprefix("logit_of_")]).train()(inputs["x"])
    if module == "whitebox_vgg":
        features = [case.networks[module](inputs[name]) for name in ("a", "b")]
        return representations.content(*features) if case.call == "content_loss" else features[0]
    functions = {
        "double_the_size": lambda: double(inputs["x"]),
        "guided_filter": lambda: guided_filter(inputs["x"], inputs["y"], params["r"], params["eps"]),
        "surface": lambda: representations.surface(inputs["x"]),
        "color_shift_of_first": lambda: grey(inputs["x"], params),
        "color_shift_of_second": lambda: grey(inputs["y"], params),
        "discriminator_and_generator_loss": lambda: torch.stack(
            [
                0.5 * losses.square_discrimination(inputs["fake"], inputs["real"]),
                losses.square_adversarial(inputs["fake"]),
            ]
        ),
        "total_variation": lambda: representations.total_variation(inputs["x"]),
        "adaptive_colour_in_levels_of_255": lambda: recoloured(inputs["x"].numpy(), params),
    }
    return functions[case.call]()


def grey(x: Tensor, params: dict) -> Tensor:
    return representations.texture(x, torch.tensor(params["weights_of_blue_green_red"]).flip(0))


def recoloured(noise: np.ndarray, params: dict) -> np.ndarray:
    """Blocks of noise of a given spread, each in its own colour; one pixel of each."""
    rows, columns, side = (int(number) for number in re.findall(r"\d+", params["labels"])[:3])
    labels = np.arange(rows * columns).reshape(rows, columns).repeat(side, 0).repeat(side, 1)
    picture = 128 + np.array(params["spread"])[labels][..., None] * noise
    return representations.adaptive_colour(picture, labels)[::side, ::side]


CALLS = {
    "edge_smooth": lambda case: smooth_edges(case.inputs["image"]),
    "sharpness": lambda case: np.array(sharpness(case.inputs["image"])),
}
BUILDERS = {}
