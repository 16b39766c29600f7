"""Command lines derived from dataclasses: a field made by `option` owns a name, a type, a default and its help.
And `run`, which makes a program of a function: one sentence for an error, Ctrl-C and the like as exit codes."""

import argparse
import dataclasses
import math
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from model.common.errors import InputError
from model.common.interrupts import raise_on_signals

OptionsType = TypeVar("OptionsType")

EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141  # the last two as a shell reports them
OPENER = re.compile(r"^(?:A|An|Cannot|No|The|There) ")  # lower case after the program's name; others may be a file's


def option(
    default: Any, help: str, *, least=-math.inf, most=math.inf, needs=None, free=False, bare=False, **for_argparse: Any
) -> Any:  # fmt: skip
    """Dataclass field that becomes a command-line option; lists are copied for each instance.
    least, most: range of a number, or of each number of a list; for_argparse: `choices`, `metavar`, `nargs`;
    needs: what a model must have for this to do anything, such as "degree"; see the reader of this metadata;
    free: the option may differ between a run and its continuation (`--resume`): it does not change the result;
    bare: a list whose words may also be given without the option's name."""
    about = {"help": help, "least": least, "most": most, "needs": needs, "free": free, "bare": bare}
    default = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return dataclasses.field(**default, metadata={**about, **for_argparse, "argparse": for_argparse})


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
    words: Sequence[str] = ()  # of the command line

    def error(self, message: str) -> NoReturn:
        if file := next((word for word in self.words if word.startswith("-") and Path(word).exists()), None):
            message = f"{file} looks like an option: write ./{file} to name the file"
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
    """Read the command line into the dataclass `options`; a wrong option ends the program with code 2.

    Raises InputError for numbers that are out of range. An option with several words may be given several times.
    """
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
        if field.metadata["argparse"].get("nargs") == "+":  # argparse would append to the default
            settings |= {"action": "extend", "default": None}
        parser.add_argument(f"--{field.name}", **settings, **field.metadata["argparse"])
    bare = [field for field in dataclasses.fields(options) if field.metadata.get("bare")]
    for field in bare:
        parser.add_argument(f"bare_{field.name}", nargs="*", metavar=field.name.upper(), help=f"as --{field.name}")
    parser.words = sys.argv[1:] if argv is None else argv
    values = vars(parser.parse_intermixed_args(argv) if bare else parser.parse_args(argv))
    for field in bare:
        words, named = values.pop(f"bare_{field.name}"), values[field.name]
        values[field.name] = [*words, *(named or [])] if words or named else None
    parsed = options(**{name: getattr(defaults, name) if value is None else value for name, value in values.items()})
    check_ranges(parsed)
    return parsed


def sentence(message: object) -> str:
    """`message` as it follows a name and a colon: on one line, with a small first letter and a full stop."""
    text = OPENER.sub(lambda opener: opener[0].lower(), " ".join(str(message).splitlines()))
    return text if text.endswith(".") else f"{text}."


def processes() -> tuple[int, int]:
    """Number of this process and how many there are, as torchrun and accelerate launch say."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def program_name() -> str:
    """Name of the program's file, or of its package."""
    program = Path(sys.argv[0])
    return program.parent.name if program.name == "__main__.py" else program.name


def say(message: object, all_processes: bool = False) -> None:
    """Print one sentence to stderr, after the program's name; of many processes the first speaks, or all do."""
    if all_processes or processes()[0] == 0:
        with suppress(OSError):  # the terminal may be gone
            print(f"{program_name()}: {sentence(message)}", file=sys.stderr, flush=True)


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` as a program: what a user can mend (`InputError`, and what the system says about files and memory) is
    one sentence and exit code 2, Ctrl-C is exit code 130."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # names that the terminal cannot show are no reason to stop
    asked = raise_on_signals()
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
    except Exception:
        if not asked:
            raise
        code, message = EXIT_INTERRUPTED, "interrupted"  # libraries that are being imported fail in their own ways
    if message is not None:
        say(message)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Give the program a stream to write to where its parent has closed one (`>&-`)."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    sys.stdout, sys.stderr = (
        stream or os.fdopen(number, "w") for number, stream in ((1, sys.stdout), (2, sys.stderr))
    )  # fmt: skip
