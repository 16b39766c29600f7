"""Command lines derived from dataclasses: one field owns a name, a type, a default and its help.

    @dataclass
    class Options:
        style_degree: float = option(0.5, "style degree in [0, 1]")

    options = parse(Options, "Stylise photos.")
"""

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from model.errors import InputError

OptionsType = TypeVar("OptionsType")

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""


def option(default: Any, help: str, *, choices: Sequence | None = None, metavar: str | None = None, nargs=None) -> Any:
    """Dataclass field that becomes a command-line option; lists are copied for each instance."""
    metadata = {"help": help, "choices": choices, "metavar": metavar, "nargs": nargs}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong option in one sentence, without the usage of forty others."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message} (--help lists the options).\n")


def _value_type(annotation: Any) -> Any:
    """The type that one word of the command line is converted to: `list[int]` and `int | None` give `int`."""
    if isinstance(annotation, types.UnionType):
        annotation = next(arm for arm in annotation.__args__ if arm is not type(None))
    if typing.get_origin(annotation) in (list, tuple):
        annotation = typing.get_args(annotation)[0]
    return annotation


def build_parser(options: type, description: str) -> argparse.ArgumentParser:
    """Make a parser with one `--name` for each field of the dataclass `options`."""
    parser = OneLineParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        if not field.metadata:
            continue
        settings = {key: value for key, value in field.metadata.items() if value is not None}
        missing = field.default is dataclasses.MISSING
        default = field.default_factory() if missing else field.default
        settings["help"] = settings["help"].replace("%", "%%")
        if hints[field.name] is bool:
            parser.add_argument(f"--{field.name}", action="store_true", default=default, help=settings["help"])
            continue
        if default not in (None, []):
            settings["help"] += f" (default: {' '.join(map(str, default)) if isinstance(default, list) else default})"
        parser.add_argument(f"--{field.name}", type=_value_type(hints[field.name]), default=default, **settings)
    return parser


def parse(options: type[OptionsType], description: str, argv: Sequence[str] | None = None) -> OptionsType:
    """Read the command line into the dataclass `options`; a wrong option ends the program with code 2."""
    return options(**vars(build_parser(options, description).parse_args(argv)))


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` as a program: an `InputError` prints its sentence and exits with 2, Ctrl-C exits with 130."""
    name = Path(sys.argv[0]).name
    try:
        main()
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print(f"{name}: interrupted.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)
