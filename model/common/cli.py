"""Command lines derived from dataclasses: a field made by `option` owns a name, a type, a default and its help.
Also what programs need besides: one sentence for an error, Ctrl-C held back while something is written, tables."""

import argparse
import dataclasses
import math
import os
import re
import signal
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from model.common.errors import InputError

OptionsType = TypeVar("OptionsType")

EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141  # the last two as a shell reports them
OPENER = re.compile(r"^(?:A|An|Cannot|No|The|There) ")  # lower case after the program's name; others may be a file's


def option(default: Any, help: str, *, least=-math.inf, most=math.inf, needs=None, free=False, **for_argparse) -> Any:
    """Dataclass field that becomes a command-line option; lists are copied for each instance.
    least, most: range of a number, or of each number of a list; for_argparse: `choices`, `metavar`, `nargs`;
    needs: what a model must have for this to do anything, such as "degree"; see the reader of this metadata;
    free: the option may differ between a run and its continuation (`--resume`): it does not change the result."""
    limits = {"least": least, "most": most, "needs": needs, "free": free}
    default = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return dataclasses.field(**default, metadata={"help": help, **limits, **for_argparse, "argparse": for_argparse})


def check_ranges(options: Any) -> None:
    """Raise InputError for the first number of a dataclass of options that is outside its field's range."""
    for field in dataclasses.fields(options):
        least, most = field.metadata.get("least", -math.inf), field.metadata.get("most", math.inf)
        value = getattr(options, field.name)
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int | float) and not least <= number <= most:
                wanted = f"{least:g} or more" if most == math.inf else f"a number from {least:g} to {most:g}"
                raise InputError(f"--{field.name} is {number}: give {wanted}.")


def free_options(options: type) -> set[str]:
    """Names of the options that may differ between a run and its continuation."""
    return {field.name for field in dataclasses.fields(options) if field.metadata.get("free")}


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong option in one sentence, without the usage of forty others."""

    SENTENCES = {
        "invalid float value: (.*)": r"\1 is not a number",
        "invalid int value: (.*)": r"\1 is not a whole number",
        "unrecognized arguments: (.*)": r"\1 belongs to no option",
        "^argument ": "",
    }

    def error(self, message: str) -> NoReturn:
        for pattern, replacement in self.SENTENCES.items():
            message = re.sub(pattern, replacement, message)
        say(f"{message}; --help lists the options")
        sys.exit(EXIT_BAD_INPUT)


def _value_type(annotation: Any) -> Any:
    """The type that one word of the command line is converted to: `list[int]` and `int | None` give `int`."""
    while arms := [arm for arm in typing.get_args(annotation) if arm is not type(None)]:
        annotation = arms[0]
    return annotation


def parse(options: type[OptionsType], description: str, argv: Sequence[str] | None = None) -> OptionsType:
    """Read the command line into the dataclass `options`; a wrong option ends the program with code 2."""
    parser = OneLineParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints, defaults = typing.get_type_hints(options), options()
    for field in dataclasses.fields(options):
        if not field.metadata:
            continue
        default, help = getattr(defaults, field.name), field.metadata["help"].replace("%", "%%")
        if hints[field.name] is bool:
            parser.add_argument(f"--{field.name}", action="store_true", default=default, help=help)
            continue
        if default not in (None, []):
            help += f" (default: {' '.join(map(str, default)) if isinstance(default, list) else default})"
        settings = {"type": _value_type(hints[field.name]), "default": default, "help": help}
        parser.add_argument(f"--{field.name}", **settings, **field.metadata["argparse"])
    return options(**vars(parser.parse_args(argv)))


def sentence(message: object) -> str:
    """`message` as it follows a name and a colon: on one line, with a small first letter and a full stop."""
    text = OPENER.sub(lambda opener: opener[0].lower(), " ".join(str(message).splitlines()))
    return text if text.endswith(".") else f"{text}."


def processes() -> tuple[int, int]:
    """Number of this process and how many there are, as torchrun and accelerate launch say."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def say(message: object, all_processes: bool = False) -> None:
    """Print one sentence to stderr, after the program's name; of many processes the first speaks, or all do."""
    if all_processes or processes()[0] == 0:
        print(f"{Path(sys.argv[0]).name}: {sentence(message)}", file=sys.stderr)


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` as a program: what a user can mend (`InputError`, and what the system says about files and memory) is
    one sentence and exit code 2, Ctrl-C is exit code 130."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # names that the terminal cannot show are no reason to stop
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` does what Ctrl-C does
    code, message = 0, None
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        code, message = EXIT_BAD_INPUT, error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains on its way out
        code = EXIT_BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code, message = EXIT_BAD_INPUT, f"{where}{error.strerror or error}"
    except MemoryError:
        code, message = EXIT_BAD_INPUT, "there is not enough memory: close other programs or take smaller pictures"
    except KeyboardInterrupt as interrupt:
        code, message = EXIT_INTERRUPTED, str(interrupt) or "interrupted"  # it may say what was kept
    if message is not None:
        say(message)
    sys.exit(code)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Within the block, put Ctrl-C and SIGTERM on a list instead of acting on them."""
    seen: list[int] = []
    numbers = signal.SIGINT, signal.SIGTERM
    previous = [signal.signal(number, lambda number, _: seen.append(number)) for number in numbers]
    try:
        yield seen
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is through, so that what it writes is not torn."""
    if threading.current_thread() is not threading.main_thread():  # no other thread may set handlers, or is hit
        yield
        return
    with noted_signals() as seen:
        yield
    if seen:
        signal.raise_signal(seen[0])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: int = 1) -> str:
    """A Markdown table; all but the first `text_columns` columns are aligned to the right."""
    align = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, align, *rows))


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the columns aligned to the left by spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
