"""Draw pictures of a style with a generator: what an unpaired network, or another generator, learns from.

    python -m model.mobile.draw --stylegan_path cartoon.pt --count 500 --out drawn
    python -m model.mobile.draw --stylegan_path cartoon.pt --codes inverted/codes.npy --out drawn
    python -m model.mobile.draw --stylegan_path cartoon.pt --through second.pt --encoder_path e4e.pt --out drawn
    python -m model.mobile.pick --drawn drawn --keep 3 17 40-52 --out picked

Codes are random (variety) or those of chosen photos (control). With --through, an encoder reads each picture and a
second generator draws it again, in its style. Sheets with the pictures' numbers are for choosing by hand: train on the
picked ones, beside the first, once more from the base.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from model import checkpoints
from model.common import cli
from model.common.cli import check_ranges, option
from model.common.devices import DEVICES, pick_device
from model.common.errors import InputError
from model.common.files import write_whole
from model.common.tensors import to_uint8
from model.stylegan2 import Generator
from model.training.data.sampling import layer_noise
from model.training.data.shards import encode_picture
from model.training.options import BACKBONES, RECIPES, ToonifyOptions
from model.training.own.encoders import FaceEncoder
from model.training.own.sheet import mean_code

COLUMNS, ROWS, CELL = 10, 8, 160  # of a sheet; pixels a side
SHEETS = "sheets"  # folder of the sheets, beside the pictures
INK, PAPER = (0, 0, 0), (255, 255, 255)


@dataclass
class Options:
    """Options of the command line."""

    stylegan_path: str = option(ToonifyOptions.finetunegan_path, "generator of the style", metavar="FILE")
    out: str = option("", "folder for the pictures; those that are there stay", metavar="FOLDER")
    count: int = option(500, "random pictures to draw", least=1)
    truncation: float = option(0.7, "how far from the mean code, as a share: less is plainer", least=0, most=1)
    codes: str = option("", "codes in w+ (.npy) instead of random ones", metavar="FILE")
    through: str = option("", "second generator, which draws each picture again", metavar="FILE")
    encoder_path: str = option("", "encoder that reads pictures for --through", metavar="FILE")
    config: str = option("published", "sizes", choices=BACKBONES["toonify"])
    seed: int = option(0, "seed of random codes", least=0)
    device: str = option("auto", "where to compute", choices=DEVICES)

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        check_ranges(self)
        if not self.out:
            raise InputError("--out is missing: name a folder for the pictures; it is made.")
        if bool(self.through) != bool(self.encoder_path):
            raise InputError("--through and --encoder_path belong together: give both, or none.")


class Artist:
    """Draws picture after picture; number n follows from the seed and n alone."""

    def __init__(self, options: Options):
        sizes, device = RECIPES[options.config].network.generator, pick_device(options.device)
        self.options = options
        self.generator = self._load(options.stylegan_path, device)
        self.codes = self._codes(options.codes, sizes) if options.codes else None
        self.mean = None if options.codes else mean_code(self.generator)
        self.second = self._load(options.through, device) if options.through else None
        self.encoder = FaceEncoder.load(options.encoder_path, self.second) if self.second else None

    def _load(self, path: str, device: torch.device) -> Generator:
        sizes = RECIPES[self.options.config].network.generator
        return checkpoints.load_generator(path, sizes).requires_grad_(False).to(device)

    @staticmethod
    def _codes(path: str, sizes) -> Tensor:
        codes = checkpoints.load_codes(path, sizes.w_layers, sizes.style_dim)
        codes = np.concatenate(list(codes.values())) if isinstance(codes, dict) else codes
        return torch.from_numpy(codes)

    def __len__(self) -> int:
        return self.options.count if self.codes is None else len(self.codes)

    @torch.no_grad()
    def __getitem__(self, number: int) -> np.ndarray:
        """RGB uint8 `[S, S, 3]`."""
        config, weight = self.generator.config, self.generator.input["input"]
        if self.codes is None:
            rng = np.random.default_rng((self.options.seed, number))
            z = torch.from_numpy(rng.standard_normal((1, 1, config.style_dim), dtype=np.float32)).to(weight)
            w = self.generator.mapping(z).repeat(1, config.w_layers, 1)
            code = torch.lerp(self.mean.expand_as(w), w, self.options.truncation)
        else:
            code = self.codes[number : number + 1].to(weight)
        noise = layer_noise(config, [number], weight.device)
        picture = self.generator(code, noise).clamp(-1, 1)
        if self.second is not None:
            picture = self.second(self.encoder.w_codes(picture), noise)
        return to_uint8(picture)[0].cpu().numpy()


def contact_sheets(paths: list[Path]) -> Iterator[np.ndarray]:
    """Sheets of small pictures with their numbers, RGB uint8 `[H, W, 3]`."""
    for first in range(0, len(paths), COLUMNS * ROWS):
        part = paths[first : first + COLUMNS * ROWS]
        rows = -(-len(part) // COLUMNS)
        sheet = np.full((rows * CELL, COLUMNS * CELL, 3), PAPER, np.uint8)
        for place, path in enumerate(part):
            top, left = (side * CELL for side in divmod(place, COLUMNS))
            small = cv2.resize(cv2.imread(str(path)), (CELL, CELL), interpolation=cv2.INTER_AREA)
            sheet[top : top + CELL, left : left + CELL] = small[..., ::-1]
            for colour, thickness in ((PAPER, 4), (INK, 1)):
                where = left + 4, top + CELL - 6
                cv2.putText(
                    sheet, str(first + place), where, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, thickness, cv2.LINE_AA
                )
        yield sheet


def draw(options: Options) -> Path:
    """Draw what is missing, then the sheets; returns the folder."""
    options.check()
    artist, out = Artist(options), Path(options.out)
    paths = [out / f"{number:05d}.png" for number in range(len(artist))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    for number in tqdm(missing, unit="picture", disable=not missing):
        bgr = np.ascontiguousarray(artist[number][..., ::-1])
        write_whole(paths[number], cv2.imencode(".png", bgr)[1].tobytes())
    for number, sheet in enumerate(contact_sheets(paths)):
        write_whole(out / SHEETS / f"{number:03d}.jpg", encode_picture(sheet))
    return out


def main() -> None:
    """Parse the command line, draw, and say where the pictures are."""
    out = draw(cli.parse(Options, __doc__))
    print(f"The pictures are in {out}: look at {out / SHEETS}, and choose with python -m model.mobile.pick.")


if __name__ == "__main__":
    cli.run(main)
