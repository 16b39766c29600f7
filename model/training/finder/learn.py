"""Train the small face finder (`model/face_finder.py`) on portraits of one face each.

    python -m model.training.finder.learn --photos FOLDER FOLDER --out checkpoint/finder/face_finder.pt

Faces are labelled by the landmark detector; portraits without a sure face are left out. Ctrl-C keeps the state, from
which --resume goes on."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.tensors import image_grid
from model.common.weight_files import stored, write_contents
from model.face_finder import STRIDE, USUAL_SIZE, FaceFinder, faces_in
from model.training.finder.scenes import SIDE, Label, Scenes, find_photos, read_backgrounds, read_portraits
from model.training.options import SMALLEST_RATE, RunOptions
from model.training.train import run
from model.training.trainer import Trainer, mean_losses

HELD_OUT_EVERY = 16  # portraits
MEASURED, PREVIEWED = 200, 12  # scenes
NEAR = 0.35  # face sizes from the true place up to which a face counts as found
SPREAD = 0.18  # deviation of the target around a face, in face sizes; at least SMALLEST_SPREAD places
SMALLEST_SPREAD = 0.7
CERTAIN = 0.6  # value of the target from which on size and eyes are learnt there
PLACES = SIDE // STRIDE


@dataclass(frozen=True)
class Schedule:
    """What the engine asks a recipe for."""

    from_scratch: bool = True
    young_average: bool = True


@dataclass
class Options(RunOptions):
    """Options of the command line."""

    photos: list[str] = option(
        [], "folders of portraits, searched with subfolders", nargs="+", metavar="FOLDER", free=True
    )
    backgrounds: list[str] = option([], "folders of pictures without a face", nargs="+", metavar="FOLDER", free=True)
    out: str = option("", "file for the weights", metavar="FILE", free=True)
    iter: int = option(6000, "last training step", least=1, free=True)
    batch: int = option(24, "scenes in a step", least=1, free=True)
    accumulate: int = option(1, "batches whose gradients are added up", least=1, free=True)
    lr: float = option(2e-3, "highest learning rate", least=SMALLEST_RATE, free=True)
    name: str = option("face_finder", "name of the run")

    @property
    def recipe(self) -> Schedule:
        return Schedule()

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if not self.photos:
            raise InputError("--photos is missing: name folders of portraits.")
        if not self.out or Path(self.out).is_dir():
            raise InputError("--out names no file: give one for the weights, such as face_finder.pt.")
        super().check()


def targets(labels: list[Label]) -> tuple[np.ndarray, np.ndarray]:
    """What the network should say of a scene: how likely each place is one between eyes, `[h, w]`, and the other five
    outputs, `[5, h, w]`, of the face that is nearest to each place."""
    places = STRIDE * np.arange(PLACES) + (STRIDE - 1) / 2
    heat, values = np.zeros((PLACES, PLACES), np.float32), np.zeros((5, PLACES, PLACES), np.float32)
    for label in labels:
        (x, y), spread = label.middle, max(SPREAD * label.size, SMALLEST_SPREAD * STRIDE)
        # A whole place is the middle, so that there is one whose likelihood is 1.
        column, row = (places[np.abs(places - at).argmin()] for at in (x, y))
        bump = np.exp(-((places[None] - column) ** 2 + (places[:, None] - row) ** 2) / (2 * spread**2))
        is_nearest = bump > heat
        heat = np.maximum(heat, bump)
        values[0][is_nearest] = math.log(label.size / USUAL_SIZE)
        for number, at in enumerate(label.eyes.flatten(), start=1):
            offsets = (at - (places[None] if number % 2 else places[:, None])) / label.size
            values[number][is_nearest] = np.broadcast_to(offsets, heat.shape)[is_nearest]
    return heat.astype(np.float32), values


def loss_of(output: Tensor, heat: Tensor, values: Tensor) -> dict[str, Tensor]:
    """The focal loss of CenterNet (its eq. 1) and the mean absolute errors of sizes and eyes.
    output `[B, 6, h, w]`, heat `[B, h, w]`, values `[B, 5, h, w]`."""
    logit, is_face = output[:, 0], heat == 1
    sure, unsure = F.logsigmoid(logit), F.logsigmoid(-logit)
    likelihood = logit.sigmoid()
    at_faces = sure * (1 - likelihood) ** 2 * is_face
    elsewhere = unsure * likelihood**2 * (1 - heat) ** 4 * ~is_face
    focal = -(at_faces + elsewhere).sum() / is_face.sum().clamp(min=1)
    counts = (heat > CERTAIN).float()[:, None]
    errors = ((output[:, 1:] - values).abs() * counts).sum(dim=(0, 2, 3)) / counts.sum().clamp(min=1)
    return {"places": focal, "sizes": errors[0], "eyes": 2 * errors[1:].mean()}


def figures(network: FaceFinder, scenes: list[tuple[np.ndarray, list[Label]]]) -> dict[str, float]:
    """Shares of the faces that are found and of what is found that is a face; median error of the eyes in face
    sizes."""
    there, found, right, errors = 0, 0, 0, []
    for scene, labels in scenes:
        (output,) = network(as_input(scene)[None])
        faces = faces_in(output)
        there, found = there + len(labels), found + len(faces)
        for label in labels:
            near = [f for f in faces if np.linalg.norm(np.mean(f.eyes, axis=0) - label.middle) < NEAR * label.size]
            if near:
                right += 1
                errors.append(np.linalg.norm(near[0].eyes - label.eyes, axis=1).mean() / label.size)
    return {"recall": right / max(there, 1), "precision": right / max(found, 1),
            "eye error": float(np.median(errors)) if errors else math.nan}  # fmt: skip


def as_input(scene: np.ndarray) -> Tensor:
    """A scene `[H, W, 3]` in [0, 1] as the network takes it, `[3, H, W]`."""
    return torch.from_numpy(scene).permute(2, 0, 1) * 2 - 1


def drawn(scene: np.ndarray, found: list) -> np.ndarray:
    """A scene with circles where eyes were found."""
    scene = np.ascontiguousarray(scene)
    for face in found:
        for x, y in face.eyes:
            cv2.circle(scene, (round(x), round(y)), max(round(face.size / 6), 1), (0.1, 1.0, 0.2), 1)
    return scene


class FinderTrainer(Trainer):
    """Training of a face finder. What a step draws depends on the seed and the step alone."""

    gradient_clip = 5.0
    shares_gradients = True

    def __init__(self, options: Options, accelerator: Accelerator):
        photos = find_photos([*map(Path, options.photos)])
        portraits = read_portraits(photos, options.folder / "landmarks.pt")
        if len(portraits) < 2:
            raise InputError(
                f"a face was found in {len(portraits)} of {len(photos)} photos: give two portraits or more."
            )
        self.data = {"photos": sorted(path.name for path in photos)}
        backgrounds = read_backgrounds([*map(Path, options.backgrounds)])
        held_out = portraits[::HELD_OUT_EVERY]
        del portraits[::HELD_OUT_EVERY]
        self.scenes = Scenes(portraits, backgrounds)
        torch.manual_seed(options.seed)
        network = FaceFinder().to(memory_format=torch.channels_last)
        super().__init__(options, accelerator, network)
        self.in_state = list(network.state_dict())  # with the statistics of the norms
        self.optimizer = accelerator.prepare(
            torch.optim.AdamW([{"params": [*network.parameters()], "lr_factor": 1.0}], options.lr, weight_decay=1e-4)
        )
        fixed = Scenes(held_out, backgrounds)
        self.measured = [fixed.draw(np.random.default_rng((options.seed, 1, number))) for number in range(MEASURED)]

    def take_step(self) -> dict[str, float]:
        options, found = self.options, []
        self.network.train()
        for turn in range(options.accumulate):
            with self.accelerator.accumulate(self.network):
                scenes, heat, values = self._batch(turn)
                with self.accelerator.autocast():
                    output = self.network(scenes)
                found.append(self.descend(self.optimizer, loss_of(output.float(), heat, values)))
        for own, averaged in zip(self.network.buffers(), self.ema.buffers(), strict=True):
            averaged.copy_(own)
        return mean_losses(found)

    def _batch(self, turn: int) -> list[Tensor]:
        number = turn * self.accelerator.num_processes + self.accelerator.process_index
        rng = np.random.default_rng((self.options.seed, 0, self.step, number))
        drawn = [self.scenes.draw(rng) for _ in range(self.options.batch)]
        wanted = [targets(labels) for _, labels in drawn]
        parts = [np.stack([scene for scene, _ in drawn]) * 2 - 1, *map(np.stack, zip(*wanted, strict=True))]
        scenes, heat, values = (torch.from_numpy(part).to(self.accelerator.device) for part in parts)
        return [scenes.permute(0, 3, 1, 2), heat, values]

    @torch.no_grad()
    def preview(self) -> tuple[np.ndarray, dict[str, float]]:
        """Scenes of portraits that are held out, with the eyes that the average finds; how many it finds."""
        network = self.ema.float().cpu()
        shown = []
        for scene, _ in self.measured[:PREVIEWED]:
            shown.append(as_input(drawn(scene, faces_in(network(as_input(scene)[None])[0]))))
        found = figures(network, self.measured)
        self.ema.to(self.accelerator.device)
        return image_grid([torch.stack(shown[start::3]) for start in range(3)], cell=2 * SIDE), found

    def publish(self) -> Path:
        write_contents(self.options.out, stored(self.ema, half=True))
        return Path(self.options.out)


def main() -> None:
    """Parse the command line, train, and say where the weights are."""
    options = cli.parse(Options, __doc__)
    if result := run(options, partial(FinderTrainer, options)):
        print(f"The face finder is {result}.")


if __name__ == "__main__":
    cli.run(main)
