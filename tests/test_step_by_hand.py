"""Steps of training against the same steps written out from the formulas, in float64, on tiny networks.

Only the forward passes of VToonify and of the discriminator are the program's. Losses, gradients' totals, Adam and the
moving average are spelled out here.
"""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from model import checkpoints
from model.dualstylegan import DualStyleGAN, ModRes
from model.stylegan2 import Generator
from model.training import losses
from model.training.options import RECIPES, TINY, DualOptions, ToonifyOptions
from model.training.stages import Distillation, Pretraining
from model.training.student import VToonifyTrainer
from model.training.trainer import make_accelerator

SIDE, WINDOW = 32, 24  # pixels of the input and of the moved camera's; results are four times as large
# Of 4 steps the last two are taken: the flicker loss is 0 in step 2 and has half its weight in step 3.
BATCH, STEPS, FIRST = 4, 4, 2
STYLES = ["ink", "clay", "film"]
LR, BETA1, BETA2, EPSILON, HALF_LIFE = 1e-3, 0.9, 0.99, 1e-8, 10_000
ADV, REC, PERC, MSK, TMP = 0.01, 0.1, 0.01, 0.0005, 1.0
TOONIFY, DUAL = (ToonifyOptions, Generator), (DualOptions, DualStyleGAN)


@pytest.fixture(autouse=True)
def doubles(monkeypatch):
    """Float64 throughout, also where the program narrows to float32."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Distance(nn.Module):
    """Stands in for LPIPS: differentiable, not quadratic, `[B]`."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.sin() - b.sin()).square().mean((1, 2, 3))


@pytest.fixture
def make_run(monkeypatch):
    """A function that makes a run of variant T or D on a random generator, averaged as at the published size."""
    monkeypatch.setattr(checkpoints, "load_perceptual", Distance)
    monkeypatch.setitem(RECIPES, "tiny", replace(RECIPES["tiny"], young_average=False))

    def make_run(variant: tuple, pretrain: bool = False, **changes) -> VToonifyTrainer:
        make_options, make_backbone = variant
        losses = {"adv_loss": ADV, "grec_loss": REC, "perc_loss": PERC, "tmp_loss": TMP}
        settings = {"config": "tiny", "batch": BATCH, "lr": LR, "iter": STEPS, "start_iter": FIRST, "device": "cpu"}
        options = make_options(**losses | settings | {"precision": "fp32", "pretrain": pretrain} | changes)
        options = replace(options.resolved(), encoder_path="")
        options.check()
        torch.manual_seed(3)
        backbone = make_backbone(TINY)
        for module in backbone.modules():
            if isinstance(module, ModRes):  # begins as nearly nothing
                nn.init.normal_(module.conv[0].weight)
        styles = STYLES if variant is DUAL else ["ink"]
        source = SimpleNamespace(styles=styles, stored=0, backbone=backbone.state_dict())
        return (Pretraining if pretrain else Distillation)(options, make_accelerator(options), source)

    return make_run


def draw_batch(variant: tuple, seed: int) -> dict[str, Tensor]:
    """Random numbers in the place of a batch of both stages; degrees, styles and windows differ."""
    torch.manual_seed(seed)
    dual, width = variant is DUAL, TINY.channels[TINY.structure_size]
    return {
        "x": torch.randn(BATCH, 3 + 19, SIDE, SIDE) / 2,
        "y": torch.rand(BATCH, 3, 4 * SIDE, 4 * SIDE) * 2 - 1,
        "w_plus": torch.randn(BATCH, TINY.w_layers, TINY.style_dim),
        "degree": torch.tensor([0.4, 1.0, 0.0, 0.8]).roll(seed) if dual else torch.ones(BATCH),
        "style": torch.tensor([2, 0, 1, 2]).roll(seed) if dual else torch.zeros(BATCH, dtype=torch.int64),
        "moved": torch.randn(BATCH, 3 + 19, WINDOW, WINDOW) / 2,
        "offset": torch.randint(0, 4 * (SIDE - WINDOW) + 1, (BATCH, 2)),
        "feature": torch.randn(BATCH, width, SIDE // 8, SIDE // 8),
        "skip": torch.randn(BATCH, 3, SIDE // 8, SIDE // 8),
    }


def advance(run: VToonifyTrainer, *batches: dict) -> dict[str, float]:
    run.batches = iter(batches)
    return run.advance()


def softplus(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).sum() / a.numel()


def averaged(pictures: Tensor, height: int, width: int | None = None) -> Tensor:
    """Means over squares of pixels, `[B, C, height, width]`, `width` as `height` where it is not given."""
    factor = pictures.shape[-2] // height
    return pictures.reshape(*pictures.shape[:2], height, factor, width or height, factor).mean((3, 5))


class Adam:
    """Kingma & Ba (2015), algorithm 1."""

    def __init__(self, parameters: dict[str, Tensor]):
        self.parameters, self.steps = parameters, 0
        self.mean = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.square = {name: torch.zeros_like(value) for name, value in parameters.items()}

    def descend(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        self.steps += 1
        for (name, value), g in zip(self.parameters.items(), gradients, strict=True):
            self.mean[name] = BETA1 * self.mean[name] + (1 - BETA1) * g
            self.square[name] = BETA2 * self.square[name] + (1 - BETA2) * g**2
            mean = self.mean[name] / (1 - BETA1**self.steps)
            square = self.square[name] / (1 - BETA2**self.steps)
            value.data = value.data - LR * mean / (square.sqrt() + EPSILON)


class ByHand:
    """A copy of a run at its beginning, and the steps that it should take."""

    def __init__(self, run: VToonifyTrainer, parts: list[str]):
        self.network = copy.deepcopy(run.network)
        named = self.network.named_parameters()
        learning = {name: value for name, value in named if name.split(".")[0] in parts}
        self.average = {name: value.detach().clone() for name, value in learning.items()}
        self.adam = Adam(learning)
        if isinstance(run, Distillation):
            self.discriminator = copy.deepcopy(run.discriminator)
            self.discriminator_adam = Adam(dict(self.discriminator.named_parameters()))

    def pretrain(self, batch: dict) -> dict[str, float]:
        """Match feature and skip image at the structure size, mean squared each."""
        encoded = self.network.encode(batch["x"], batch["w_plus"], batch["degree"])
        found = {name: mean_square(getattr(encoded, name), batch[name]) for name in ("feature", "skip")}
        return self.finish(found)

    def distil(self, batch: dict, ramp: float) -> dict[str, float]:
        """The discriminator's step, then the generator's."""
        y, masks = self.network.forward_with_masks(batch["x"], batch["w_plus"], batch["degree"])
        of_fake = softplus(self.judge(y.detach(), batch)).mean()
        loss = ADV * (of_fake + softplus(-self.judge(batch["y"], batch)).mean())
        self.discriminator_adam.descend(loss)
        return {"discriminator": loss.item()} | self.finish(self.generator_losses(y, masks, batch, ramp))

    def generator_losses(self, y: Tensor, masks: list, batch: dict, ramp: float) -> dict[str, Tensor]:
        target, degree, half = batch["y"], batch["degree"], 2 * SIDE
        found = {
            "mse": REC * mean_square(y, target),
            # Summed over the batch of 4 that the published program gives to a GPU, the mean times 4 for any other.
            "lpips": PERC * 4 * Distance()(averaged(y, half), averaged(target, half)).mean(),
            "adversarial": ADV * softplus(-self.judge(y, batch)).mean(),
        }
        if masks:
            bound = 0.9 * (1 - degree) ** 2 + 0.1
            excess = [(mask.mean((1, 2, 3)) - bound).clamp(min=0) for mask in masks]
            assert any((0 < item.count_nonzero() < BATCH) for item in excess)  # on both sides of the bound
            found["mask"] = MSK * sum(item.mean() for item in excess)
        if ramp:
            moved, side = self.network(batch["moved"], batch["w_plus"], degree), 4 * WINDOW
            corners = batch["offset"].tolist()
            still = torch.stack([item[:, r : r + side, c : c + side] for item, (r, c) in zip(y, corners, strict=True)])
            found["flicker"] = TMP * ramp * mean_square(still, moved)
        return found

    def judge(self, pictures: Tensor, batch: dict) -> Tensor:
        """Logits of the pictures, averaged to the discriminator's size; 4 of them are a group."""
        condition = () if self.discriminator.num_styles is None else (batch["degree"], batch["style"])
        return self.discriminator(averaged(pictures, 64), *condition)

    def finish(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """One step along the gradient, and the average's; returns the losses."""
        self.adam.descend(sum(losses.values()))
        decay = 0.5 ** (BATCH / HALF_LIFE)
        for name, value in self.adam.parameters.items():
            self.average[name] = decay * self.average[name] + (1 - decay) * value.detach()
        return {name: loss.item() for name, loss in losses.items()}


def assert_close(found: dict, wanted: dict) -> None:
    """Nearly as exact as float64 is; moments of the gradient span many orders of magnitude."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        value = torch.as_tensor(value).detach()
        atol = 1e-11 * value.abs().max().item()
        torch.testing.assert_close(torch.as_tensor(found[name]).detach(), value, rtol=1e-9, atol=atol, msg=name)


def assert_same_run(run: VToonifyTrainer, hand: ByHand) -> None:
    """Weights, average and moments of the gradients: of the network, and of the discriminator where there is one."""
    own, learning = dict(run.network.named_parameters()), hand.adam.parameters
    averaged = dict(run.ema.named_parameters())
    assert_close({name: own[name] for name in run.learning}, learning)
    assert_close({name: averaged[name] for name in run.learning}, hand.average)
    compared = [(run.optimizer, own, hand.adam)]
    if isinstance(run, Distillation):
        judging = dict(run.discriminator.named_parameters())
        assert_close(judging, hand.discriminator_adam.parameters)
        compared.append((run.discriminator_optimizer, judging, hand.discriminator_adam))
    for optimizer, parameters, adam in compared:
        for key, wanted in (("exp_avg", adam.mean), ("exp_avg_sq", adam.square)):
            assert_close({name: optimizer.state[parameters[name]][key] for name in wanted}, wanted)


@pytest.mark.parametrize("variant", [TOONIFY, DUAL], ids=["T", "D"])
@pytest.mark.parametrize("pretrain", [False, True], ids=["distillation", "pretraining"])
def test_two_steps_of(make_run, variant, pretrain):
    run = make_run(variant, pretrain)
    parts = ["encoder"] if pretrain else ["encoder", "fusion_out", "fusion_skip"]
    hand, before = ByHand(run, parts), copy.deepcopy(run.network.state_dict())
    for step, ramp in ((2, 0.0), (3, 0.5)):
        batch = draw_batch(variant, seed=step)
        assert run.step == step
        found, wanted = advance(run, batch), hand.pretrain(batch) if pretrain else hand.distil(batch, ramp)
        assert pretrain or ("flicker" in found, "mask" in found) == (step == 3, variant is DUAL)
        assert_close(found, wanted)
        assert_same_run(run, hand)
    for state in (run.network.state_dict(), run.ema.state_dict()):  # the rest is the same to the bit
        changed = {name.split(".")[0] for name, value in state.items() if not torch.equal(value, before[name])}
        assert changed == set(parts)


@pytest.mark.parametrize("adversarial", [0.0, ADV])
def test_two_batches_of_four_are_as_one_of_eight(make_run, adversarial):
    """All but what the generator learns from the discriminator, whose step lies between the two batches."""
    batches = [draw_batch(DUAL, seed) for seed in (1, 2)]
    whole = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    states = []
    for settings, given in (({"accumulate": 2}, batches), ({"batch": 2 * BATCH}, [whole])):
        run = make_run(DUAL, start_iter=3, adv_loss=adversarial, **settings)
        found = advance(run, *given)
        found.pop("adversarial", None)
        part = run.discriminator if adversarial else run.network
        states.append((found, part.state_dict()))
    (found, weights), (wanted, wanted_weights) = states
    assert_close(found, wanted)
    assert_close(weights, wanted_weights)


def test_absolute_losses_of_drawn_pairs():
    """Weighted L1, and L1 of differences in both directions, summed over three scales."""
    result, target, weight = *(torch.rand(2, BATCH, 3, 16, 24) * 2 - 1), torch.rand(BATCH, 1, 16, 24) * 7 + 1
    found = {name: getattr(losses, name)(result, target, weight) for name in ("weighted_l1", "gradient_l1")}
    wanted = {"weighted_l1": ((result - target).abs() * weight).mean(), "gradient_l1": 0.0}
    for n in (1, 2, 4):
        x, w = (averaged(tensor, 16 // n, 24 // n) for tensor in (result - target, weight))
        wanted["gradient_l1"] += ((x[..., 1:] - x[..., :-1]).abs() * w[..., 1:]).mean()
        wanted["gradient_l1"] += ((x[..., 1:, :] - x[..., :-1, :]).abs() * w[..., 1:, :]).mean()
    assert_close(found, wanted)


def test_the_flicker_loss_rises_over_the_second_half():
    assert [losses.flicker_ramp(step, 100) for step in (0, 49, 50, 75, 100)] == [0, 0, 0, 0.5, 1]
