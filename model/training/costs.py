"""What steps of the training program cost, gone through with tensors that have shapes but no contents.

Only the weights are real, so the published size needs two or three GiB and no GPU.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from model.bisenet import BiSeNet
from model.dualstylegan import DualStyleGAN
from model.perceptual import Perceptual
from model.psp import CODE_COUNT, CODE_SIZE, PSPEncoder
from model.stylegan2 import Generator
from model.training.accelerator import make_engine, to_device
from model.training.data.pair import Pair
from model.training.data.views import window_side
from model.training.distill import Distillation
from model.training.meter import Meter, Work
from model.training.options import DualOptions, ToonifyOptions
from model.training.pretrain import Pretraining
from model.training.teachers.base import NetworkTeacher
from model.training.teachers.dualstyle import DualStyleTeacher
from model.training.teachers.toonify import ToonifyTeacher
from model.training.trainer import Run
from model.vtoonify import Backbone

TERA = 1e12

TF32_SHARE = 1 / 2
"""Of the bfloat16 rate: PyTorch lets convolutions of float32 run on tensor cores, in their TF32 mode."""

LAUNCH = 1e-5
"""Seconds that PyTorch needs to start an operation on a GPU, about: small ones take no less."""

UPDATE_PASSES = 16
"""Times that Adam and the average go over the learning weights, about: each reads and writes several arrays."""

HELPERS = {"critic": "discriminator", "perceptual": "LPIPS"}
"""Networks that judge results in distillation, by their names in a run."""


@dataclass(frozen=True)
class Hardware:
    """Rates that a GPU really achieves."""

    tflops: float
    """Of bfloat16, in 10^12 operations a second."""
    bandwidth: float
    """Of memory, in 10^12 bytes a second."""

    def meter(self) -> Meter:
        """A meter for work on it."""
        rates = {torch.bfloat16: self.tflops * TERA, torch.float32: self.tflops * TF32_SHARE * TERA}
        return Meter(rates, self.bandwidth * TERA, LAUNCH)


@dataclass(frozen=True)
class Case:
    """A way to train."""

    backbone: Backbone
    pretrain: bool
    precision: str
    config: str = "published"
    checkpointing: bool = False
    batch: int = 1


@dataclass(frozen=True)
class Cost:
    """Of one step, or of a teacher's part in it."""

    static: int
    """Bytes that are always there: weights, and what learns has an average and Adam's moments, too."""
    peak: int
    """Bytes beside them at the worst moment: the batch, activations, gradients, passing results."""
    flops: dict[str, float]
    """Floating-point operations, forward and backward."""
    seconds: float


def make_run(case: Case, device: str = "cpu") -> Run:
    """A run with random weights, as the training program makes it, but that no file is read."""
    dual = case.backbone == "dualstylegan"
    options = (DualOptions if dual else ToonifyOptions)(
        config=case.config, precision=case.precision, pretrain=case.pretrain, batch=case.batch, device=device
    ).resolved()
    has_perceptual = options.perc_loss > 0 and not case.pretrain
    options = replace(options, encoder_path="", perc_loss=0.0)
    generator = (DualStyleGAN if dual else Generator)(options.recipe.network.generator)
    make = Pretraining if case.pretrain else Distillation
    run = make(options, make_engine(options), ["style"], generator.state_dict())
    if has_perceptual:
        run.perceptual = Perceptual().to(run.engine.device)
    return run


def make_pair(run: Run, batch: int) -> Pair:
    """Random numbers in the shapes of a real batch."""
    network = run.options.recipe.network
    generator, side, channels = network.generator, network.in_size, 3 + network.parsing_channels
    pair = Pair(
        x=torch.rand(batch, channels, side, side),
        w_plus=torch.randn(batch, generator.rows, generator.style_dim),
        degree=torch.rand(batch),
        style=torch.zeros(batch, dtype=torch.int64),
    )
    if run.options.pretrain:
        low = generator.structure_size
        feature = torch.randn(batch, generator.channels[low], low, low)
        return pair | Pair(feature=feature, skip=torch.randn(batch, 3, low, low))
    moved = torch.rand(batch, channels, window_side(side), window_side(side))
    target, offset = side * network.scale, torch.zeros(batch, 2, dtype=torch.int64)
    return pair | Pair(y=torch.rand(batch, 3, target, target), moved=moved, offset=offset)


def halves(run: Run) -> list[int]:
    """A step of each part of a run that costs the same throughout: the flicker loss comes in the second half."""
    return [0] if run.options.pretrain else [0, run.options.iter - 1]


def estimate_step(run: Run, case: Case, hardware: Hardware) -> Cost:
    """The mean step of `run`, which lies on the CPU and doesn't change, in the way of `case`; without a teacher."""
    run.network.checkpointing = case.checkpointing
    pair = make_pair(run, case.batch)
    work, learning = go_through(run, pair, hardware), 4 * sum(count_parameters(run, True).values())
    return Cost(
        static=size_of(run.ema, *networks(run).values()) + 2 * learning,
        peak=work.peak + sum(value.nbytes for value in pair.values()),
        flops=work.flops,
        seconds=work.seconds + UPDATE_PASSES * learning / (hardware.bandwidth * TERA),
    )


def go_through(run: Run, pair: Pair, hardware: Hardware) -> Work:
    """The work of the mean step of `run`, up to the gradients, on fake tensors."""
    meter, steps = hardware.meter(), halves(run)

    def descend(optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, float]:
        """In place of `Run.descend`: losses without contents can't be looked at, nor may they move the weights."""
        meter.phase = "backward"
        run.engine.backward(sum(losses.values()))
        optimizer.zero_grad()
        meter.phase = "forward"
        return {}

    meter.phase, run.descend = "forward", descend
    with FakeTensorMode(allow_non_fake_inputs=True), meter:
        for run.step in steps:
            tensors = {key: value for key, value in pair.items() if key != "offset"}
            # Offsets stay numbers: the flicker loss reads them.
            run.learn(to_device(tensors, run.engine) | {"offset": np.zeros((len(pair["x"]), 2), np.int64)})
    del run.descend
    return meter.work(len(steps))


def flops_by_network(run: Run, hardware: Hardware) -> dict[str, dict[str, float]]:
    """Floating-point operations of the mean step for one pair, forward and backward: what each network adds."""
    run.network.checkpointing = False
    pair, found = make_pair(run, 1), {}
    helpers = {name: getattr(run, name) for name in HELPERS if getattr(run, name, None) is not None}
    whole = go_through(run, pair, hardware).flops
    for name in helpers:
        setattr(run, name, None)
        rest = go_through(run, pair, hardware).flops
        found[HELPERS[name]] = {phase: whole[phase] - rest[phase] for phase in whole}
        whole = rest
    for name, helper in helpers.items():
        setattr(run, name, helper)
    return {"VToonify": whole} | found


def networks(run: Run) -> dict[str, nn.Module]:
    """The networks of a run by name, but for the average."""
    found = {"VToonify": run.network} | {HELPERS[name]: getattr(run, name, None) for name in HELPERS}
    return {name: network for name, network in found.items() if network is not None}


def count_parameters(run: Run, learning: bool) -> dict[str, int]:
    """Parameters of each network that learn, or that don't."""
    return {
        name: sum(value.numel() for value in network.parameters() if value.requires_grad == learning)
        for name, network in networks(run).items()
    }


def size_of(*modules: nn.Module) -> int:
    """Bytes of all parameters and buffers; what modules share counts once."""
    tensors = {id(t): t.nbytes for module in modules for t in (*module.parameters(), *module.buffers())}
    return sum(tensors.values())


def estimate_teacher(run: Run, batch: int, hardware: Hardware) -> Cost:
    """What a teacher of `run` does for the mean step."""
    steps, meter = halves(run), hardware.meter()
    with FakeTensorMode(allow_non_fake_inputs=True):
        teacher = make_teacher(run)
        with meter:
            for step in steps:
                teach(teacher, run.options.pretrain, batch, late=step > 0)
    work = meter.work(len(steps))
    return Cost(size_of(teacher), work.peak, {"forward": sum(work.flops.values())}, work.seconds)


def make_teacher(run: Run) -> NetworkTeacher:
    """A teacher for `run`, with random weights."""
    options, config = run.options, run.options.recipe.network.generator
    has_encoder = not options.pretrain and (config.rows, config.style_dim) == (CODE_COUNT, CODE_SIZE)
    helpers = {"style_encoder": PSPEncoder() if has_encoder else None, "parser": BiSeNet(), "dtype": run.dtype}
    if options.backbone == "toonify":
        return ToonifyTeacher(Generator(config), Generator(config), options, **helpers)
    exemplars = {"style": np.zeros((1, config.rows, config.style_dim), np.float32)}
    return DualStyleTeacher(DualStyleGAN(config), exemplars, options, **helpers)


@torch.no_grad()
def teach(teacher: NetworkTeacher, pretrain: bool, batch: int, late: bool) -> None:
    """What `teacher` does for a batch, but for the affine transform, whose extent depends on the numbers drawn.

    late: whether in the second half of a run, where variant D shows another photo than its style encoder sees.
    """
    numbers, dual = range(batch), isinstance(teacher, DualStyleTeacher)
    if pretrain:
        teacher.sample_features(numbers, float(late)).pair()
        return
    latent = teacher.latent(numbers)
    for _ in range(2 if dual and late and teacher.style_encoder is not None else 1):
        photo = teacher.render(teacher.photos, latent.w_plus, noise=latent.noise)
    code = latent.w_plus.clone()
    code[:, teacher.config.structure_rows :] = teacher.colour_code(latent.w_plus, photo)
    if dual:
        weights = torch.ones(batch, teacher.config.rows)
        teacher.render(teacher.dual, latent.w_plus, code, weights, noise=latent.noise)
    else:
        teacher.render(teacher.cartoons, code, noise=latent.noise)
    teacher.parse(photo)
