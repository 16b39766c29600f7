"""Refine extrinsic style codes, so that a DualStyleGAN draws its exemplars more closely (Yang et al., CVPR 2022).

    python -m model.training.own.refine --data FOLDER --codes checkpoint/mine --generator_path
    checkpoint/mine/generator.pt

Colours may move fast, structure must not: what is refined too far draws its own exemplar and no other face. The sheet
shows each exemplar, and what is drawn from its codes before and after; if faces lose their likeness, take the codes as
they were. A run that was stopped goes on with --resume.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model import checkpoints
from model.common import cli
from model.common.cli import option
from model.common.devices import pick_device
from model.common.files import write_whole
from model.config import GeneratorConfig
from model.dualstylegan import DualStyleGAN
from model.training import losses
from model.training.data.pictures import PictureFolder
from model.training.data.sampling import layer_noise
from model.training.data.shards import encode_picture
from model.training.options import DualOptions
from model.training.own import invert
from model.training.own.codes import EXSTYLE_FILE, load_code_pairs
from model.training.own.destylize import SHEET_ROWS
from model.training.own.judges import load_distance, load_features
from model.training.own.parts import PartOptions, check, in_parts
from model.training.own.sheet import small

REFINED_FILE = "refined_exstyle_code.npy"  # as published
NOISE_RATE = 0.1
WEIGHTS = {"perceptual": 1.0, "contextual": 1.0, "noise": 1e5}
MOST_STRUCTURE = 0.02  # of its learning rate: at 0.1, exemplars were refined away


@dataclass
class Options(PartOptions):
    """Options of the command line."""

    data: str = option("", "folder of the exemplars: aligned pictures", metavar="FOLDER", free=True)
    codes: str = option(
        "", "folder with exstyle_code.npy and instyle_code.npy; gets the result", metavar="FOLDER", free=True
    )
    generator_path: str = option(DualOptions.stylegan_path, "DualStyleGAN that was fine-tuned to them", free=True)
    critic_path: str = option("", "file with a discriminator, for --judge critic", metavar="FILE", free=True)
    steps: int = option(100, "steps of optimisation", least=1)
    lr_colour: float = option(0.01, "learning rate of the layers of colour; cartoons: 0.1", least=0)
    lr_structure: float = option(0.005, "learning rate of the layers of structure", least=0, most=MOST_STRUCTURE)
    name: str = option("refine", "name of the run")


def terms(
    dual: DualStyleGAN, w_plus: Tensor, exstyle: Tensor, noises: Sequence[Tensor], pictures: Tensor,
    distance: Callable, features: Callable,
) -> dict[str, Tensor]:  # fmt: skip
    """Terms of the loss, `[B]` each, before `WEIGHTS`, for exemplars `[B, 3, S, S]`: w_plus, their intrinsic codes in
    w+, exstyle, extrinsic ones in z+, both `[B, layers, D]`; noises: one map a layer, `[B, 1, H, W]`; distance and
    features: as those of `judges`."""
    result = dual(w_plus, dual.generator.mapping(exstyle), [1.0] * dual.config.w_layers, noises)
    size = min(invert.COMPARED_SIZE, result.shape[-1])
    result, pictures = invert.resized(result, size), invert.resized(pictures, size)
    pairs = zip(features(result)[2], features(pictures)[2], strict=True)
    textures = torch.stack([losses.contextual(one[None], other[None]) for one, other in pairs])
    found = {"perceptual": distance(result, pictures), "contextual": textures}
    return found | {"noise": invert.noise_correlation(noises)}


def weighted(found: dict[str, Tensor]) -> Tensor:
    """The loss `[B]` of its terms."""
    return sum(WEIGHTS[name] * term for name, term in found.items())


class Refiner:
    """The networks, exemplars and codes of a run; called with numbers of exemplars, it gives their refined codes."""

    def __init__(self, options: Options, sizes: GeneratorConfig):
        self.options, self.device = options, pick_device(options.device)
        self.pictures = PictureFolder(options.data, sizes.size)
        self.extrinsic, self.intrinsic = load_code_pairs(options.codes, self.pictures.names, sizes)
        dual = checkpoints.load_dualstylegan(options.generator_path, sizes)
        self.dual = dual.requires_grad_(False).to(self.device)
        path = options.critic_path or options.generator_path
        self.distance = load_distance(options, path, sizes, self.device)
        self.features = load_features(options, path, sizes, self.device)

    def __call__(self, part: Sequence[int]) -> dict:
        numbers, first = list(part), self.dual.config.structure_layers
        pictures = torch.stack([self.pictures[number] for number in numbers]).to(self.device)
        with torch.no_grad():
            w_plus = self.dual.generator.mapping(self.intrinsic[numbers].to(self.device))
        start = self.extrinsic[numbers].to(self.device)
        structure, colour = (half.clone().requires_grad_() for half in start.tensor_split([first], dim=1))
        seeds = [self.options.seed + number for number in numbers]
        noises = [noise.clone().requires_grad_() for noise in layer_noise(self.dual.config, seeds, self.device)]
        groups = [([colour], self.options.lr_colour), ([structure], self.options.lr_structure), (noises, NOISE_RATE)]
        optimizer = torch.optim.Adam([{"params": values, "lr": rate} for values, rate in groups])
        before = self._drawn(w_plus, start, noises)
        for _ in range(self.options.steps):
            exstyle = torch.cat([structure, colour], 1)
            found = terms(self.dual, w_plus, exstyle, noises, pictures, self.distance, self.features)
            optimizer.zero_grad()
            weighted(found).sum().backward()
            optimizer.step()
            with torch.no_grad():
                for noise in noises:
                    noise.copy_(invert.standardised(noise))
        refined = torch.cat([structure, colour], 1).detach()
        after = self._drawn(w_plus, refined, noises)
        found = {"refined": refined.cpu()}
        if numbers[0] < SHEET_ROWS:
            found["shown"] = torch.stack([small(each) for each in (pictures, before, after)]).cpu()
        return found

    @torch.no_grad()
    def _drawn(self, w_plus: Tensor, exstyle: Tensor, noises: Sequence[Tensor]) -> Tensor:
        weights = [1.0] * self.dual.config.w_layers
        return self.dual(w_plus, self.dual.generator.mapping(exstyle), weights, noises).clamp(-1, 1)


def refine(options: Options) -> Path:
    """Refine the codes of all exemplars; returns the file that has them. Errors and interrupts as for `in_parts`."""
    check(options, "data", "codes")
    sizes = options.recipe.network.generator
    print(options.told(), flush=True)
    work = Refiner(options, sizes)
    sums = [zlib.crc32(codes.numpy().tobytes()) for codes in work.extrinsic]
    data = {"codes": dict(zip(work.pictures.names, sums, strict=True))}
    parts = in_parts(options, data, len(sums), work)
    codes = torch.cat([part["refined"] for part in parts])[:, None].numpy()
    out = Path(options.codes, REFINED_FILE)
    checkpoints.save_exemplars(out, dict(zip(work.pictures.names, codes, strict=True)))
    shown = torch.cat([part["shown"] for part in parts if "shown" in part], dim=1)[:, :SHEET_ROWS]
    write_whole(out.with_name("refined.jpg"), encode_picture(invert.sheet(*shown)))
    return out


def main() -> None:
    """Parse the command line, refine, and say where the result is."""
    out = refine(cli.parse(Options, __doc__))
    print(f"The refined codes are {out}; those before are {out.with_name(EXSTYLE_FILE)}.")


if __name__ == "__main__":
    cli.run(main)
