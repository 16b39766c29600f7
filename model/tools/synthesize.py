"""Make a picture of patches of a style picture, as guides ask for it: what the program ebsynth does.

python -m model.tools.synthesize --style S.png --guide a_S.png a_T.png --weight 2 --guide b_S.png b_T.png --out O.png

With --fit, the mean error of another program's result is told, in the same way as of ours.
A weight is that of the style or guide before it. The options have ebsynth's names, too (-style, -output, …).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.common import cli
from model.common.devices import pick_device
from model.common.errors import InputError
from model.common.files import bytes_of, write_whole
from model.media.files import WRITTEN_PHOTOS, open_frames

QUALITY = 95  # of JPEG results
MOST = 1000000  # what weights and other numbers may be
HELP = {
    "uniformity": "price of using pixels of the style once more than on average",
    "patchsize": "side of the patches in pixels, odd",
    "pyramidlevels": "levels of the pyramid; nothing: as many as there can be",
    "searchvoteiters": "rounds of search and voting on each level",
    "searchiters": "passes of the search in each round (-patchmatchiters is the same)",
    "stopthreshold": "levels of a change from which on a pixel is looked at again",
}
NAMES = dict(zip(HELP, ("uniformity", "patch", "levels", "votes", "searches", "stop"), strict=True))


class _Guide(argparse.Action):
    """Adds a pair of maps, with no weight yet."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        namespace.guides = [*namespace.guides, SimpleNamespace(paths=values, weight=None)]


class _Weight(argparse.Action):
    """Gives a weight to the guide before it, or to the style."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        if not 0 <= values <= MOST:
            parser.error(f"--weight is {values:g}: give a number from 0 to {MOST}")
        if namespace.guides:
            namespace.guides[-1].weight = values
        elif namespace.style:
            namespace.style_weight = values
        else:
            parser.error("--weight goes behind the --style or --guide that it is of")


def _parser(usual: Any) -> argparse.ArgumentParser:
    """The command line; `usual`: settings with the defaults."""
    parser = cli.OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(guides=[], style_weight=1.0)

    def add(name: str, *others: str, **settings: Any) -> None:
        parser.add_argument(f"--{name}", f"-{name}", *others, **settings)

    add("style", metavar="S", help="the style picture")
    add("guide", nargs=2, action=_Guide, metavar=("SOURCE", "TARGET"), help="maps over the style, and over the result")
    add("weight", type=float, action=_Weight, metavar="W", help="of the style (default: 1) or the guide before it "
        "(default: 1 by the number of guides)")  # fmt: skip
    add("output", "--out", default="output.png", metavar="FILE", help="the result (default: %(default)s)")
    for name, help in HELP.items():
        default = getattr(usual, NAMES[name])
        more = ["-patchmatchiters"] if name == "searchiters" else []
        kind = float if name == "uniformity" else int
        add(name, *more, type=kind, default=default, metavar="N",
            help=help + ("" if default is None else f" (default: {default:g})"))  # fmt: skip
    add(
        "fit",
        metavar="PICTURE",
        help="make nothing, and tell the mean error of a picture that another program has made",
    )
    add("extrapass3x3", action="store_true", help="one more round with patches of 3 x 3, which is sharper")
    add("device", "--backend", "-backend", choices=("cpu", "cuda"), default="cpu",
        help="where to compute; the CPU is faster (default: %(default)s)")  # fmt: skip
    return parser


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for what cannot work, before anything is read."""
    if not options.style or not options.guides:
        raise InputError(f"There is no --{'guide' if options.style else 'style'}: --help shows what is needed.")
    for name, least in (("uniformity", 0), ("pyramidlevels", 1), ("searchvoteiters", 1), ("searchiters", 1),
                        ("stopthreshold", 0)):  # fmt: skip
        value = getattr(options, name)
        if value is not None and not least <= value <= MOST:
            raise InputError(f"--{name} is {value:g}: give a number from {least} to {MOST}.")
    if not 3 <= options.patchsize < MOST or options.patchsize % 2 == 0:
        raise InputError(f"--patchsize is {options.patchsize}: give an odd number from 3 on.")
    out = Path(options.output)
    if out.suffix.lower() not in WRITTEN_PHOTOS:
        raise InputError(f"{out} is no name for a result: give one that ends in {' or '.join(WRITTEN_PHOTOS)}.")
    if out.is_dir():
        raise InputError(f"{out} is a folder: give the result another name.")
    read = [options.style, *(path for each in options.guides for path in each.paths)]
    if any(os.path.realpath(path) == os.path.realpath(out) for path in read) and not options.fit:
        raise InputError(f"{out} is read as well: give the result another name.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out.parent} is no folder: make it first, or write elsewhere.")


def read_picture(name: str) -> np.ndarray:
    """A picture, RGB uint8 `[H, W, 3]`. InputError for anything else."""
    with open_frames(name) as source:
        if source.is_video:
            raise InputError(f"{name} is a video: give a picture.")
        return source.first.rgb


def read_maps(paths: Sequence[str]) -> list[np.ndarray]:
    """Maps that belong together, uint8 `[H, W, C]`: of one channel if both are grey, else of three."""
    maps = [read_picture(path) for path in paths]
    is_grey = all((each == each[..., :1]).all() for each in maps)
    return [each[..., :1] if is_grey else each for each in maps]


def main() -> None:
    from model.styles.example.synthesis import Guide, Settings, matched, synthesize

    parser = _parser(Settings())
    parser.words = sys.argv[1:]
    options = parser.parse_args()
    _check(options)
    usual, out = 1 / len(options.guides), Path(options.output)
    style = read_picture(options.style)
    guides = [
        Guide(*read_maps(each.paths), weight=usual if each.weight is None else each.weight) for each in options.guides
    ]
    settings = Settings(
        **{own: getattr(options, name) for name, own in NAMES.items()}, extra=options.extrapass3x3,
        style_weight=options.style_weight,
    )  # fmt: skip
    if options.fit:
        result = matched(style, guides, read_picture(options.fit), settings)
        print(f"{options.fit}: mean error {result.energy:.0f}")
        return
    with tqdm(total=100, unit="%", disable=None) as bar:
        result = synthesize(
            style, guides, settings, device=pick_device(options.device),
            progress=lambda share: bar.update(round(100 * share) - bar.n),
        )  # fmt: skip
    kind = WRITTEN_PHOTOS[out.suffix.lower()]
    quality = {"quality": QUALITY} if kind == "JPEG" else {}
    write_whole(out, bytes_of(Image.fromarray(result.picture).save, kind, **quality))
    print(f"{options.style} → {out}, mean error {result.energy:.0f}")


if __name__ == "__main__":
    cli.run(main)
