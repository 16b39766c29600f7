"""What steps of the training program cost, gone through with tensors that have shapes but no contents.

Only the weights are real, so the published size needs two or three GiB and no GPU.
"""

import time
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
from model.training.distill import Critic, Distillation
from model.training.engine import make_engine, to_device
from model.training.meter import Meter
from model.training.network_teacher import NetworkTeacher, pool_face
from model.training.options import DualOptions, ToonifyOptions
from model.training.pair import Pair
from model.training.pretrain import Pretraining
from model.training.run import Run
from model.training.student import DistillStudent, EncoderStudent
from model.training.teachers import DualStyleTeacher, ToonifyTeacher
from model.training.views import window_side
from model.vtoonify import Backbone

TERA = 1e12

TF32_SHARE = 1 / 2
"""Of the bfloat16 rate: PyTorch lets convolutions of float32 run on tensor cores, in their TF32 mode."""

UPDATE_PASSES = 16
"""Times that Adam and the average go over the learning weights, about: each reads and writes several arrays."""

PARTS = {
    DistillStudent.__name__: "VToonify",
    EncoderStudent.__name__: "VToonify",
    Critic.__name__: "discriminator",
    Perceptual.__name__: "LPIPS",
}


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
        return Meter(rates, self.bandwidth * TERA, PARTS)


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
    """Of one step, in bytes, floating-point operations and seconds."""

    static: int
    """Weights of all networks, the average, Adam's moments."""
    peak: int
    """What lives beside them at the worst moment: the batch, activations, gradients, passing results."""
    flops: dict[str, int]
    seconds: float
    teacher_static: int = 0
    teacher_peak: int = 0
    teacher_flops: int = 0
    teacher_seconds: float = 0.0

    @property
    def memory(self) -> int:
        """At the worst moment of training on live pairs; the teacher is at rest while VToonify learns."""
        return self.static + self.teacher_static + max(self.peak, self.teacher_peak)

    @property
    def rate(self) -> float:
        """Steps a second on live pairs."""
        return 1 / (self.seconds + self.teacher_seconds)


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


def estimate(run: Run, case: Case, hardware: Hardware) -> Cost:
    """The mean step of `run`, which lies on the CPU and doesn't change, in the way of `case`."""
    run.network.checkpointing = case.checkpointing
    steps, pair = halves(run), make_pair(run, case.batch)
    run.descend = lambda optimizer, losses: _descend_blindly(run, optimizer, losses)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with hardware.meter() as learning:
            for run.step in steps:
                run.learn(_to_device(pair, run))
        teacher = make_teacher(run)
        with hardware.meter() as teaching:
            for step in steps:
                teach(teacher, case, late=step > 0)
    del run.descend
    learnt = 4 * sum(p.numel() for module in modules(run) for p in module.parameters() if p.requires_grad)
    updates = UPDATE_PASSES * learnt / (hardware.bandwidth * TERA)
    return Cost(
        static=size_of(*modules(run), run.ema) + 2 * learnt,
        peak=learning.peak + sum(value.nbytes for value in pair.values()),
        flops={
            f"{part}, {'backward' if back else 'forward'}": flops // len(steps)
            for (part, back), flops in learning.flops.items()
        },
        seconds=learning.seconds / len(steps) + updates,
        teacher_static=size_of(teacher),
        teacher_peak=teaching.peak,
        teacher_flops=sum(teaching.flops.values()) // len(steps),
        teacher_seconds=teaching.seconds / len(steps),
    )


def _descend_blindly(run: Run, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, float]:
    """In place of `Run.descend`: losses without contents can't be looked at, nor may they move weights."""
    run.engine.backward(sum(losses.values()))
    optimizer.zero_grad()
    return {}


def _to_device(pair: Pair, run: Run) -> Pair:
    """As in training, but that offsets stay numbers: the flicker loss reads them."""
    tensors = {key: value for key, value in pair.items() if key != "offset"}
    return to_device(tensors, run.engine) | {"offset": np.zeros((len(pair["x"]), 2), np.int64)}


def modules(run: Run) -> list[nn.Module]:
    """The networks of a run."""
    found = (run.network, getattr(run, "critic", None), getattr(run, "perceptual", None))
    return [module for module in found if module is not None]


def size_of(*networks: nn.Module) -> int:
    """Bytes of all parameters and buffers; what networks share counts once."""
    tensors = {id(t): t.nbytes for network in networks for t in (*network.parameters(), *network.buffers())}
    return sum(tensors.values())


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
def teach(teacher: NetworkTeacher, case: Case, late: bool) -> None:
    """What `teacher` does for a batch, but for the affine transform, whose extent depends on the numbers drawn.

    late: whether in the second half of a run, where variant D makes another photo, with the colours that are shown.
    """
    numbers = range(case.batch)
    if case.pretrain:
        teacher.sample_features(numbers, float(late)).pair()
        return
    latent, dual = teacher.latent(numbers), isinstance(teacher, DualStyleTeacher)
    for _ in range(2 if dual and late else 1):
        photo = teacher.render(teacher.photos, latent.w_plus, noise=latent.noise)
    code = latent.w_plus.clone()
    code[:, teacher.config.structure_rows :] = teacher.fine_rows(latent.w_plus, pool_face(photo))
    if dual:
        weights = torch.ones(case.batch, teacher.config.rows)
        teacher.render(teacher.dual, latent.w_plus, code, weights, noise=latent.noise)
    else:
        teacher.render(teacher.cartoons, code, noise=latent.noise)
    teacher.parse(photo)


def measure(run: Run, case: Case, hardware: Hardware, count: int) -> tuple[int, float]:
    """Bytes at the worst moment and seconds for a step: about `count` steps of `run`, on its device, without a teacher.

    On a CPU, memory is counted, not asked for.
    """
    run.network.checkpointing = case.checkpointing
    device, seconds, steps = run.engine.device, 0.0, halves(run)
    pair = to_device(make_pair(run, case.batch), run.engine)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    timed = max(count // len(steps), 1)
    for step in steps:
        for turn in range(-1, timed):  # the first one chooses algorithms and isn't timed
            if turn == 0:
                _wait(device)
                start = time.perf_counter()
            run.step = step
            run.advance([pair])
        _wait(device)
        seconds += (time.perf_counter() - start) / timed / len(steps)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), seconds
    with hardware.meter() as meter:
        run.step = steps[-1]
        run.advance([pair])
    moments = 2 * 4 * sum(p.numel() for module in modules(run) for p in module.parameters() if p.requires_grad)
    return size_of(*modules(run), run.ema) + moments + sum(v.nbytes for v in pair.values()) + meter.peak, seconds


def _wait(device: torch.device) -> None:
    """Until all work that was handed to `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
