"""Choose pictures of a folder by their numbers on its sheets.

python -m model.mobile.pick --drawn drawn --keep 3 17 40-52 --out picked
python -m model.mobile.pick --drawn drawn --drop 4 99-120 --out picked
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from model.common import cli
from model.common.cli import option
from model.common.errors import InputError
from model.common.files import write_whole

NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass
class Options:
    """Options of the command line."""

    drawn: str = option("", "folder of model.mobile.draw", metavar="FOLDER")
    keep: list[str] = option([], "numbers to keep, and ranges", nargs="+", metavar="N-M")
    drop: list[str] = option([], "instead, numbers to leave out", nargs="+", metavar="N-M")
    out: str = option("", "folder for copies of the chosen pictures", metavar="FOLDER")


def numbers_in(words: list[str], count: int) -> set[int]:
    """The numbers that words like 3 and 40-52 mean; InputError for others, and for numbers from `count` on."""
    found: set[int] = set()
    for word in words:
        match = NUMBERS.fullmatch(word)
        if not match:
            raise InputError(f"{word} is no number: write 3, or 40-52.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= count:
            raise InputError(f"{word} is none of the {count} pictures, whose numbers are 0 to {count - 1}.")
        found.update(range(first, last + 1))
    return found


def pick(options: Options) -> int:
    """Copy the chosen pictures; returns how many there are. InputError for what cannot be chosen."""
    folder = Path(options.drawn)
    paths = sorted(folder.glob("*.png")) if options.drawn else []
    if not paths:
        raise InputError(f"--drawn {options.drawn or 'is missing'}: name a folder with pictures of model.mobile.draw.")
    if bool(options.keep) == bool(options.drop):
        raise InputError("give --keep or --drop numbers, one of the two.")
    if not options.out:
        raise InputError("--out is missing: name a folder for the chosen pictures.")
    named = numbers_in(options.keep or options.drop, len(paths))
    chosen = [path for number, path in enumerate(paths) if (number in named) == bool(options.keep)]
    for path in chosen:
        write_whole(Path(options.out) / path.name, lambda partial, path=path: shutil.copyfile(path, partial))
    return len(chosen)


def main() -> None:
    """Parse the command line, copy, and say how many."""
    options = cli.parse(Options, __doc__)
    print(f"{pick(options)} pictures are in {options.out}.")


if __name__ == "__main__":
    cli.run(main)
