"""Train White-box cartoonisation (Wang and Yu, CVPR 2020): photos become cartoons whose surfaces, structures and
textures are those of a folder of cartoons. Scenes are learnt as well as faces.

    python -m model.training.whitebox --photos A --style_images B --vgg vgg19.npy --out mine.pt
    python style_transfer.py --ckpt mine.pt me.jpg

The network first learns to give photos back, then to make cartoons of them. Ctrl-C keeps the state, from which --resume
goes on.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.hub import vgg_on_disk
from model.common.tensors import image_grid
from model.perceptual import CaffeVGG19
from model.training.adversarial import AdversarialTrainer
from model.training.data.pictures import check_no_copies
from model.training.train import run
from model.training.trainer import weight_sum
from model.training.unpaired import memory
from model.training.unpaired import whitebox as representations
from model.training.unpaired.pictures import CroppedFolder
from model.training.unpaired.trainer import SETTLED, UnpairedOptions, UnpairedTrainer, one_by_one
from model.whitebox import MULTIPLE, RADIUS, Whitebox, WhiteboxDiscriminator, guided_filter

LARGER = 1.12  # sides of pictures / sides of what is cut out of them
EPSILON = 0.01  # of the guided filter behind the network while it learns
FACES_EVERY = 5  # batches
BETAS = (0.5, 0.99)  # of Adam
PIXEL_SHARE = 0.005  # weight of mean differences of pixels, where they stand in, by that of VGG-19's features
SQUARE = 4  # pixels a side of the squares whose mean colours are a photo's content then
VGG_PLACES = "Caffe's vgg19.npy, or https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


@dataclass
class Options(UnpairedOptions):
    """Options of the command line."""

    out: str = option("checkpoint/whitebox_own.pt", "file of the result, for --ckpt", free=True)
    iter: int = option(150_000, "last training step, those of --pretrain_iter among them", least=1, free=True)
    pretrain_iter: int = option(50_000, "first steps, in which it learns to give photos back", least=0)
    batch: int = option(16, "pictures of each folder that are computed at a time, for each process", least=1, free=True)
    lr: float = option(2e-4, "learning rate", least=1e-20, free=True)
    faces: str = option("", "folder of photos of faces, for every 5th batch", metavar="FOLDER", free=True)
    style_faces: str = option("", "folder of faces in the style, for every 5th batch", metavar="FOLDER", free=True)
    content: str = option(
        "vgg", "what photo and superpixels are compared by: vgg, features of VGG-19; pixels, which need no file; none",
        choices=["vgg", "pixels", "none"],
    )  # fmt: skip
    vgg: str = option(
        "", "VGG-19: vgg19.npy, or torchvision's file (default: that in torch's cache, if it is there)", metavar="FILE",
        free=True,
    )  # fmt: skip
    weights: str = option(
        "published", "of the losses: those of the published program, or of the paper", choices=["published", "paper"]
    )
    superpixels: str = option(
        "slic", "how pictures are segmented: slic, or as in the paper by felzenszwalb's, merged, in thrice the time",
        choices=["slic", "felzenszwalb"],
    )  # fmt: skip
    colouring: str = option(
        "mean", "colours of segments: mean, which the published program arrives at, or adaptive, as in the paper",
        choices=["mean", "adaptive"],
    )  # fmt: skip
    unfiltered: bool = option(
        False, "don't put the guided filter behind the network while it learns, which grain is blamed on"
    )
    init_path: str = option(
        "", "file to start from, for example the published network, with --pretrain_iter 0", free=True
    )
    workers: int = option(
        min(os.cpu_count() or 1, 16), "threads that find superpixels, which take most time on a GPU", least=1, free=True
    )
    name: str = option("whitebox", "name of the run")

    @property
    def vgg_file(self) -> Path | None:
        """The file of --vgg, or torchvision's where it is on disk; None where none is needed."""
        if self.content != "vgg":
            return None
        return Path(self.vgg) if self.vgg else vgg_on_disk(19)

    def check(self) -> None:
        super().check()
        if self.size % MULTIPLE:
            raise InputError(f"--size is {self.size}: give a multiple of {MULTIPLE}.")
        if self.pretrain_iter > self.iter:
            raise InputError(f"--pretrain_iter is {self.pretrain_iter}: give no more than --iter, {self.iter}.")
        if self.content == "vgg" and self.vgg_file is None:
            raise InputError(f"--vgg is missing: give {VGG_PLACES}, or --content pixels, which needs none.")

    def tell_memory(self) -> None:
        """Print what a step takes, or raise InputError where that is clearly too much."""
        with torch.device("meta"):
            network, judges = Whitebox(), make_judges()
            photo = torch.empty(self.batch, 3, self.size, self.size)
            vgg = CaffeVGG19() if self.content == "vgg" else nn.Identity()

        def passes() -> tuple:
            result = network(photo)
            result = result if self.unfiltered else guided_filter(photo, result, RADIUS, EPSILON)
            grey = representations.texture(result, torch.ones(3, device="meta"))
            judged = judges["surface"](representations.surface(result)), judges["texture"](grey)
            features = vgg(result)
            return judged, features, (features - features.detach()).abs().mean()

        advice = "lower --batch with a larger --accumulate, or --size, or add --precision bf16"
        memory.tell_memory(self, nn.ModuleList([network, judges, vgg]), network, passes, advice)


def make_judges() -> nn.ModuleDict:
    """The discriminators of surfaces and of textures."""
    return nn.ModuleDict({"surface": WhiteboxDiscriminator(3), "texture": WhiteboxDiscriminator(1)})


class WhiteboxTrainer(UnpairedTrainer, AdversarialTrainer):
    """The generator, whose average is the result, and two discriminators."""

    in_parts = (*AdversarialTrainer.in_parts, "warned")
    advice = "--weights paper may help, or fewer steps of --pretrain_iter"
    losses = ("photos", "pictures")  # of the two stages; all phases of a batch see the same

    def __init__(self, options: Options, accelerator: Accelerator):
        self.read_folders(options, round(options.size * LARGER), faces=False)
        self.faces, self.style_faces = self._of_faces(options)
        self.vgg: nn.Module | None = None
        if options.vgg_file is not None:
            self.vgg = checkpoints.load_cartoon_vgg19(options.vgg_file).to(accelerator.device)
            self.data["VGG-19"] = f"{weight_sum(self.vgg.parameters()):.6g}"
        torch.manual_seed(options.seed)
        is_begun = options.init_path and not options.resume
        super().__init__(options, accelerator, checkpoints.load_whitebox(options.init_path) if is_begun else Whitebox())
        self.discriminator = make_judges().to(accelerator.device)
        self.optimizer, self.discriminator_optimizer = (
            self._optimizer(module) for module in (self.network, self.discriminator)
        )
        self.pool = ThreadPoolExecutor(options.workers)
        self.weights = dict(representations.WEIGHTS[options.weights])
        share = (options.size / representations.SIDE) ** 2  # each mean weighs the same at any size
        self.weights |= {name: share * self.weights[name] for name in ("variation", "content", "structure")}
        if accelerator.is_main_process and options.content != "vgg":
            what = {"pixels": "pixels, for want of VGG-19", "none": "nothing"}[options.content]
            print(f"content and structure are compared by {what}", flush=True)

    @property
    def is_settled(self) -> bool:
        begin, end = self.options.pretrain_iter, self.options.iter
        return self.step >= begin + SETTLED * (end - begin)

    def _of_faces(self, options: Options) -> list[CroppedFolder]:
        """The folders that every 5th batch is of."""
        found, loaded = [], self.photos.size
        for name, other in (("faces", self.photos), ("style_faces", self.styles)):
            path = getattr(options, name)
            folder = CroppedFolder(path, options.size, loaded, f"--{name}") if path else other
            self.data[name] = folder.names if path else []
            found.append(folder)
        check_no_copies(*(folder.paths for folder in found))
        return found

    def _optimizer(self, networks: nn.Module) -> torch.optim.Optimizer:
        group = {"params": list(networks.parameters()), "lr_factor": 1.0}
        return self.accelerator.prepare(torch.optim.Adam([group], self.options.lr, BETAS))

    def learning_rate(self) -> float:
        return self.options.lr

    def take_step(self) -> dict[str, float]:
        if self.step < self.options.pretrain_iter:
            return self.phase(self.optimizer, "photos", self._identity)
        if self.step == self.options.pretrain_iter:
            self.optimizer.state.clear()  # the published program starts anew, with the weights alone
        with self.resting_judges():
            found = self.phase(self.optimizer, "pictures", self._cartoon)
        return found | self.phase(self.discriminator_optimizer, "pictures", self._discrimination)

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Photos, pictures of the style, and weights of grey."""
        is_of_faces = self.step % FACES_EVERY == 0
        photos, styles = (self.faces, self.style_faces) if is_of_faces else (self.photos, self.styles)
        photo, style = self.drawn(photos, rng), self.drawn(styles, rng)
        seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return photo, style, representations.draw_grey_weights(seeded)

    def result(self, photo: Tensor) -> Tensor:
        """Cartoons as losses see them, float32."""
        with self.accelerator.autocast():
            result = self.network(photo).float()
        return result if self.options.unfiltered else guided_filter(photo, result, RADIUS, EPSILON)

    def _identity(self, rng: np.random.Generator) -> dict[str, Tensor]:
        photo = self.drawn(self.photos, rng)
        with self.accelerator.autocast():
            result = self.network(photo).float()
        return {"pretraining": F.l1_loss(result, photo)}

    def _judged(self, pictures: Tensor, grey: Tensor) -> dict[str, Tensor]:
        surface, texture = representations.surface(pictures), representations.texture(pictures, grey)
        with self.accelerator.autocast():
            judges = self.discriminator
            return {"surface": judges["surface"](surface).float(), "texture": judges["texture"](texture).float()}

    def _cartoon(self, rng: np.random.Generator) -> dict[str, Tensor]:
        photo, _, grey = self._batch(rng)
        result, weights = self.result(photo), self.weights
        found = {"variation": weights["variation"] * representations.total_variation(result)}
        for name, logits in self._judged(result, grey).items():
            found[name] = weights[name] * (logits - 1).square().mean()
        if self.options.content == "none":
            return found
        flat = self.flattened(result)
        if self.vgg is None:
            shrink = partial(F.avg_pool2d, kernel_size=SQUARE)
            pairs = {"content": (shrink(result), shrink(photo)), "structure": (result, flat)}
            weights = representations.WEIGHTS[self.options.weights]
            return found | {name: PIXEL_SHARE * weights[name] * F.l1_loss(*pair) for name, pair in pairs.items()}
        with self.accelerator.autocast():
            of_result, of_photo, of_flat = (self.vgg(each).float() for each in (result, photo, flat))
        for name, other in (("content", of_photo), ("structure", of_flat)):
            found[name] = weights[name] * representations.content(of_result, other)
        return found

    def flattened(self, results: Tensor) -> Tensor:
        """Superpixels of results `[B, 3, H, W]` in flat colours, of the same shape."""
        paint = partial(representations.structure, segments=self.options.superpixels, colouring=self.options.colouring)
        pictures = results.detach().movedim(1, 3).cpu().numpy()
        flat = np.stack(list(self.pool.map(paint, pictures)))
        return torch.from_numpy(flat).movedim(3, 1).to(results.device)

    def _discrimination(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """How sure the discriminators are, too: squared errors, of which 0.25 is as good as chance."""
        photo, style, grey = self._batch(rng)
        with torch.no_grad():
            result = self.result(photo)
        fake, real = self._judged(result, grey), self._judged(style, grey)
        of_real = {name: (logits - 1).square().mean() for name, logits in real.items()}
        of_fake = {name: logits.square().mean() for name, logits in fake.items()}
        found = {"discriminator": 0.5 * sum(of_real.values()) + 0.5 * sum(of_fake.values())}
        for kind, errors in (("real", of_real), ("fake", of_fake)):
            found[f"D({kind})"] = torch.stack(list(errors.values())).mean().detach()
        return found

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Photo | cartoon, by the average | its superpixels | picture of the style; how far cartoons are from photos
        and from their superpixels, in levels of 255."""
        photos, styles = self.shown()
        (cartoons,) = one_by_one(lambda photo: (self._shown_by(photo),), photos)
        flat = self.flattened(cartoons)
        found = {"held_out_structure": 127.5 * (cartoons.clamp(-1, 1) - flat).abs().mean().item()}
        if self.step > self.options.pretrain_iter:
            found["held_out_change"] = self.change(photos, cartoons)
        return image_grid([photos, cartoons, flat, styles]), found

    def _shown_by(self, photo: Tensor) -> Tensor:
        """As `--ckpt` shows it."""
        with self.accelerator.autocast():
            result = self.ema(photo).float()
        return guided_filter(photo, result, RADIUS, 0.5 * EPSILON)

    def publish(self) -> Path:
        """Write the average."""
        if self.accelerator.is_main_process:
            checkpoints.save_whitebox(self.options.out, self.ema)
        self.accelerator.wait_for_everyone()
        return Path(self.options.out)


def train_whitebox(options: Options) -> Path | None:
    """Take all steps; results, interrupts and errors as for `run`."""
    options.check()
    options.tell_memory()
    return run(options, partial(WhiteboxTrainer, options))


def main() -> None:
    """Parse the command line, train, and say where the result is."""
    if result := train_whitebox(cli.parse(Options, __doc__)):
        print(f"The cartoon network is {result}: python style_transfer.py --ckpt {result} me.jpg")


if __name__ == "__main__":
    cli.run(main)
