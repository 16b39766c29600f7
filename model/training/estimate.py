"""Estimate what a training step costs, without a GPU: memory, arithmetic, time.

    python -m model.training.estimate
    python -m model.training.estimate --measure --device cuda --batches 1 4

The steps of the training program are gone through with tensors that have shapes but no contents, so the published size
takes a few minutes and little memory on any machine. Memory is what PyTorch would hold at the worst moment: weights,
average, Adam's moments, the batch, activations, gradients and passing results; not the CUDA context, cuDNN's workspaces
or fragmentation, which take another one to three GiB. Of the teacher's work, random affine transforms are left out.
Time takes each operation by itself to be bound by arithmetic or by memory (roofline), at the rates that are given; a
step of distillation is the mean of the halves without and with the flicker loss. With --measure, steps with random
weights and random pairs are really run on --device and shown beside the estimate.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from model.bisenet import BiSeNet
from model.cli import option
from model.devices import DEVICES
from model.dualstylegan import DualStyleGAN
from model.errors import InputError
from model.perceptual import Perceptual
from model.psp import CODE_COUNT, CODE_SIZE, PSPEncoder
from model.stylegan2 import Generator
from model.training.distill import Critic, Distillation
from model.training.engine import make_engine, to_device
from model.training.meter import Meter
from model.training.network_teacher import NetworkTeacher, pool_face
from model.training.options import BACKBONES, DualOptions, ToonifyOptions
from model.training.pair import Pair
from model.training.pretrain import Pretraining
from model.training.run import Run
from model.training.student import DistillStudent, EncoderStudent
from model.training.teachers import DualStyleTeacher, ToonifyTeacher
from model.training.views import window_side
from model.vtoonify import Backbone

GIB, TERA = 1 << 30, 1e12

TF32_SHARE = 1 / 2
"""Of the bfloat16 rate: PyTorch lets convolutions of float32 use tensor cores in their TF32 mode."""

UPDATE_PASSES = 16
"""Times that Adam and the average go over the learning weights, about: each reads and writes several arrays."""

PARTS = {
    DistillStudent.__name__: "VToonify",
    EncoderStudent.__name__: "VToonify",
    Critic.__name__: "discriminator",
    Perceptual.__name__: "LPIPS",
}

OPTIONS = {"toonify": ToonifyOptions, "dualstylegan": DualOptions}
VARIANT = {"toonify": "T", "dualstylegan": "D"}


@dataclass
class Options:
    """Options of the command line."""

    config: str = option("published", "sizes", choices=list(BACKBONES["toonify"]))
    backbones: list[str] = option(list(OPTIONS), "variants", nargs="+", choices=list(OPTIONS))
    batches: list[int] = option([1, 2, 4, 8], "pairs in a step", nargs="+", metavar="B")
    tflops: float = option(
        100.0, "rate of bfloat16 arithmetic in TFLOP/s, half of it in float32; 100 is a third of an A100's peak"
    )
    bandwidth: float = option(1.2, "rate of memory in TB/s; 1.2 is 60% of an 80 GB A100's, a quarter of an H200's")
    measure: bool = option(False, "really run steps, on --device")
    device: str = option("auto", "where to measure", choices=DEVICES)
    steps: int = option(10, "steps to be timed, half of them with the flicker loss")
    json: bool = option(False, "print JSON instead of tables")

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        for name in ("batches", "tflops", "bandwidth", "steps"):
            value = getattr(self, name)
            if min(value if isinstance(value, list) else [value]) <= 0:
                raise InputError(f"--{name} is {value}: give more than 0.")


@dataclass(frozen=True)
class Case:
    """A way to train."""

    backbone: Backbone
    pretrain: bool
    precision: str
    checkpointing: bool = False
    batch: int = 1


@dataclass(frozen=True)
class Cost:
    """Of one step, in bytes, floating-point operations and seconds."""

    static: int
    """Weights, average and Adam's moments."""
    peak: int
    """What lives beside them at the worst moment, the batch with it."""
    flops: dict[str, int]
    seconds: float
    teacher_static: int = 0
    teacher_peak: int = 0
    teacher_seconds: float = 0.0
    measured_peak: int | None = None
    measured_seconds: float | None = None

    @property
    def memory(self) -> int:
        """Largest memory in training on live pairs; the teacher is at rest while VToonify learns."""
        return self.static + self.teacher_static + max(self.peak, self.teacher_peak)

    @property
    def rate(self) -> float:
        """Steps a second on live pairs."""
        return 1 / (self.seconds + self.teacher_seconds)


def make_run(case: Case, config: str, device: str) -> Run:
    """A run with random weights, as the training program makes it; no file is read."""
    # Accelerate keeps one state for a process, which has one precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    settings = {"precision": case.precision, "pretrain": case.pretrain, "batch": case.batch}
    options = OPTIONS[case.backbone](config=config, device=device, **settings).resolved()
    with_perceptual = options.perc_loss > 0
    options = replace(options, encoder_path="", perc_loss=0.0)
    generator = (DualStyleGAN if case.backbone == "dualstylegan" else Generator)(options.recipe.network.generator)
    make = Pretraining if case.pretrain else Distillation
    run = make(options, make_engine(options), ["style"], generator.state_dict())
    if with_perceptual and not case.pretrain:
        run.perceptual = Perceptual().to(run.engine.device)
    return run


def make_pair(run: Run, batch: int) -> Pair:
    """Random numbers of the shapes of real pairs, for both stages."""
    network = run.options.recipe.network
    generator, side = network.generator, network.in_size
    channels, window, low = 3 + network.parsing_channels, window_side(side), generator.structure_size
    pair = Pair(
        x=torch.rand(batch, channels, side, side),
        w_plus=torch.randn(batch, generator.rows, generator.style_dim),
        degree=torch.rand(batch),
        style=torch.zeros(batch, dtype=torch.int64),
    )
    if run.options.pretrain:
        feature = torch.randn(batch, generator.channels[low], low, low)
        return pair | Pair(feature=feature, skip=torch.randn(batch, 3, low, low))
    target = side * network.scale
    moved = torch.rand(batch, channels, window, window)
    offset = torch.zeros(batch, 2, dtype=torch.int64)
    return pair | Pair(y=torch.rand(batch, 3, target, target), moved=moved, offset=offset)


def halves(run: Run) -> list[int]:
    """A step of each part of a run that costs the same throughout."""
    return [0] if run.options.pretrain else [0, run.options.iter - 1]


def estimate(run: Run, case: Case, options: Options) -> Cost:
    """Go through steps of `run`; its own weights stay as they are."""
    run.network.checkpointing = case.checkpointing
    rates = options.tflops * TERA * (1 if case.precision == "bf16" else TF32_SHARE), options.bandwidth * TERA
    steps, pair = halves(run), make_pair(run, case.batch)
    run.descend = lambda optimizer, losses: _descend_blindly(run, optimizer, losses)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with Meter(*rates, PARTS) as learning:
            for run.step in steps:
                run.learn(_to_device(pair, run))
        teacher = make_teacher(run)
        with Meter(*rates) as teaching:
            for step in steps:
                teach(teacher, case, late=step > 0)
    del run.descend
    flops = {f"{part} {'backward' if back else 'forward'}": n for (part, back), n in learning.flops.items() if part}
    flops["teacher"] = sum(teaching.flops.values())
    weights = sum(p.numel() for module in _modules(run) for p in module.parameters() if p.requires_grad) * 4
    return Cost(
        static=_size(*_modules(run)) + 2 * weights,
        peak=learning.peak + sum(value.nbytes for value in pair.values()),
        flops={name: n // len(steps) for name, n in flops.items()},
        seconds=learning.seconds / len(steps) + UPDATE_PASSES * weights / rates[1],
        teacher_static=_size(teacher),
        teacher_peak=teaching.peak,
        teacher_seconds=teaching.seconds / len(steps),
    )


def _descend_blindly(run: Run, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, float]:
    """In place of `Run.descend`: losses without contents can't be looked at, nor may they move weights."""
    run.engine.backward(sum(losses.values()))
    optimizer.zero_grad()
    return {}


def _to_device(pair: Pair, run: Run) -> Pair:
    """As in training, but windows stay numbers, for the flicker loss reads them."""
    rest = {key: value for key, value in pair.items() if key != "offset"}
    return to_device(rest, run.engine) | {"offset": np.zeros((len(pair["x"]), 2), np.int64)}


def _modules(run: Run) -> list[nn.Module]:
    modules = [run.network, run.ema, getattr(run, "critic", None), getattr(run, "perceptual", None)]
    return [module for module in modules if module is not None]


def _size(*modules: nn.Module) -> int:
    """Bytes of all parameters and buffers; what modules share counts once."""
    tensors = {id(t): t.nbytes for module in modules for t in (*module.parameters(), *module.buffers())}
    return sum(tensors.values())


def make_teacher(run: Run) -> NetworkTeacher:
    """The teacher of `run` with random weights."""
    options, config = run.options, run.options.recipe.network.generator
    has_encoder = not options.pretrain and (config.rows, config.style_dim) == (CODE_COUNT, CODE_SIZE)
    helpers = {"style_encoder": PSPEncoder() if has_encoder else None, "parser": BiSeNet(), "dtype": run.dtype}
    if options.backbone == "toonify":
        return ToonifyTeacher(Generator(config), Generator(config), options, **helpers)
    exemplars = {"style": np.zeros((1, config.rows, config.style_dim), np.float32)}
    return DualStyleTeacher(DualStyleGAN(config), exemplars, options, **helpers)


@torch.no_grad()
def teach(teacher: NetworkTeacher, case: Case, late: bool) -> None:
    """What `teacher` does for a batch, but for the affine transform, whose size depends on the numbers drawn.

    `late`: in the second half of a run, where variant D makes a second photo, for the colours that are shown.
    """
    numbers = range(case.batch)
    if case.pretrain:
        teacher.sample_features(numbers, float(late)).pair()
        return
    latent = teacher.latent(numbers)
    dual = isinstance(teacher, DualStyleTeacher)
    for _ in range(2 if dual and late else 1):
        photo = teacher.render(teacher.photos, latent.w_plus, noise=latent.noise)
    code = latent.w_plus.clone()
    code[:, teacher.config.structure_rows :] = teacher.fine_rows(latent.w_plus, pool_face(photo))
    weights = torch.ones(case.batch, teacher.config.rows)
    if dual:
        teacher.render(teacher.dual, latent.w_plus, code, weights, noise=latent.noise)
    else:
        teacher.render(teacher.cartoons, code, noise=latent.noise)
    teacher.parse(photo)
