"""A chain of programs, each with options, a result and perhaps a state: what is done is not done again, and what was
stopped goes on."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from model.common.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED, free_options
from model.common.errors import InputError
from model.common.files import write_whole

ROOT = Path(__file__).parents[2]
MEASURED_STEPS = 2  # before a stage, to tell how long it will take and how much memory
SPEED = re.compile(r"([\d.]+) steps/s .*peak memory ([\d.]+) GiB")
STEPS = re.compile(r"^iter: (\d+)$", re.MULTILINE)
GO_ON = "stopped; the same command goes on from here"
Words = list[str | Path]


@dataclass(frozen=True)
class Stage:
    """One program of the chain."""

    name: str
    does: str  # what it does, for people
    result: Path  # the file that is there when it is done
    module: str  # of the program, or the program's file at the top
    words: Words = field(default_factory=list)  # its options
    state: Path | None = None  # where a stopped run is resumed from
    measures: bool = False  # whether the program can tell its speed and memory beforehand
    see: Path | None = None  # a picture to look at
    packages: tuple[str, ...] = ()  # that it needs beside those of requirements.txt
    options: tuple[str, ...] = ()  # of the chain, that may still change as long as it isn't done
    folder: Path | None = None  # what is emptied when it is done again

    def command(self, *more: str) -> list[str]:
        """The command line, and for a run that was stopped the word that makes it go on."""
        program = [self.module] if self.module.endswith(".py") else ["-m", self.module]
        resumed = ["--resume"] if self.state and self.state.exists() else []
        return [sys.executable, *program, *map(str, self.words), *resumed, *more]


class Plan:
    """What the options of a chain have in common: a dataclass with a `name` and an `output` folder."""

    name: str
    output: str
    unkept: frozenset[str] = frozenset()  # options that a continuation may have otherwise, beside those that are free

    @property
    def folder(self) -> Path:
        """What belongs to the result: the finished model, and below `work` all that led to it."""
        return Path(self.output, self.name)

    @property
    def work(self) -> Path:
        return self.folder / "own"

    @property
    def plan_file(self) -> Path:
        """The options that the chain was begun with."""
        return self.work / "options.json"

    def keep(self, stages: Sequence["Stage"], **more: Any) -> None:
        """Note what a continuation has to agree with, and `more`, by the words for it; InputError where it does not.
        As long as no stage is done, all may change, and what an unfinished one has made of the old plan is removed."""
        if self.differing(stages, **more) and self.work.is_dir():
            for path in self.work.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
        write_whole(self.plan_file, json.dumps(self._kept(**more), indent=2) + "\n")

    def differing(self, stages: Sequence["Stage"], **more: Any) -> list[str]:
        """Names in which this differs from what the chain was begun with. InputError where something of it is done."""
        if not self.plan_file.exists():
            return []
        try:
            then = dict(json.loads(self.plan_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{self.plan_file} is damaged: choose another --name, or delete {self.folder}.") from error
        done = [stage for stage in stages if stage.result.exists() and self.folder in stage.result.parents]
        fixed = {name for stage in done for name in stage.options}
        open_still = {name for stage in stages for name in stage.options} - fixed
        now = self._kept(**more)
        names = [name for name, value in now.items() if name not in open_still and then.get(name) != value]
        if names and done:
            old = then.get(names[0])
            what = f"with --{names[0]} {old}" if old not in (None, "", False, []) else f"without --{names[0]}"
            what = "with other pictures" if names[0] in more else what
            raise InputError(f"{self.name} was begun {what}: use that, choose another --name, or delete {self.folder}.")
        return names

    def _kept(self, **more: Any) -> dict[str, Any]:
        free = free_options(type(self)) | self.unkept
        return {name: value for name, value in asdict(self).items() if name not in free} | more


def check(stages: Sequence[Stage], kind: str, until: str = "", redo: str = "") -> None:
    """Raise InputError where an option names no stage, of a chain of this `kind`, or a stage that `go_through` would
    take misses packages: now, not hours later."""
    names = [stage.name for stage in stages]
    for option, name in {"until": until, "redo": redo}.items():
        if name and name not in names:
            raise InputError(f"--{option} is {name}: {kind} has the stages {', '.join(names)}.")
    end = names.index(until) + 1 if until else len(stages)
    again = names.index(redo) if redo else end
    for number, stage in enumerate(stages[:end]):
        is_taken = number >= again or not stage.result.exists()
        if is_taken and not all(find_spec(package) for package in stage.packages):
            also = f", or stop before it: --until {names[number - 1]}" if number else ""
            raise InputError(f"The stage {stage.name} needs packages: pip install {' '.join(stage.packages)}{also}.")


def show(stages: Sequence[Stage], state_of: Callable[[Stage], str] = lambda stage: "") -> None:
    """List all stages with their commands; `state_of` says something of one that isn't done."""
    for number, stage in enumerate(stages, 1):
        state = "done" if stage.result.exists() else state_of(stage)
        print(f"{number}. {stage.name}: {stage.does}{f' ({state})' if state else ''}")
        print(f"   {shlex.join(['python', *stage.command()[1:]])}")


def go_through(stages: Sequence[Stage], folder: Path, until: str = "", redo: str = "") -> bool:
    """Take all stages that are left, as far as `until`; those from `redo` on are done again, as far as their results
    lie in `folder`. Returns whether all are done. Raises SystemExit with the code of a program that failed, which has
    said why; KeyboardInterrupt when stopped."""
    names = [stage.name for stage in stages]
    if redo:
        _forget(folder, stages[names.index(redo) :])
    for number, stage in enumerate(stages, 1):
        _take(stage, f"{number}/{len(stages)} {stage.name}")
        if stage.name == until:
            what = f"look at {stage.see}; " if stage.see else ""
            print(f"Stopped after {stage.name} as asked: {what}the same command without --until goes on.")
            return False
    return True


def _forget(folder: Path, stages: Sequence[Stage]) -> None:
    """Remove what these stages left, so that they are done again."""
    for stage in stages:
        if folder in stage.result.parents:  # not what others share
            stage.result.unlink(missing_ok=True)
        if stage.state is not None:
            shutil.rmtree(stage.state.parent, ignore_errors=True)
        if stage.folder is not None and folder in stage.folder.parents:
            shutil.rmtree(stage.folder, ignore_errors=True)


def _take(stage: Stage, title: str) -> None:
    """One stage, unless its result is there."""
    if stage.result.exists():
        print(f"{title}: done ({stage.result})", flush=True)
        return
    print(f"{title}: {stage.does}", flush=True)
    if stage.measures and not (stage.state and stage.state.exists()) and (measured := _measure(stage)):
        print(f"  {measured}", flush=True)
    started = time.monotonic()
    launch(stage.command(*(["--quiet"] if stage.measures else [])))
    if not stage.result.exists():
        raise InputError(f"{title} ended without {stage.result}: look at what it said above.")
    seen = f": look at {stage.see}" if stage.see else ""
    print(f"  {title}: took {_duration(time.monotonic() - started)}{seen}", flush=True)


def _measure(stage: Stage) -> str:
    """How long a stage will take and how much memory, by a few steps of it; empty where it has hardly more, or can't
    work, which it says itself when it begins."""
    command = _found(stage.command(f"--measure={MEASURED_STEPS}"))
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(GO_ON) from None
    found, steps = SPEED.search(done.stdout), STEPS.search(done.stdout)
    if done.returncode == EXIT_INTERRUPTED:
        raise KeyboardInterrupt(GO_ON)
    if done.returncode == EXIT_BAD_INPUT:
        return ""
    if done.returncode or not found or not steps:
        sys.stderr.write(done.stderr)
        raise SystemExit(done.returncode or 1)
    seconds = int(steps[1]) / max(float(found[1]), 1e-3)
    return f"{steps[1]} steps, about {_duration(seconds)}, {found[2]} GiB of memory"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def environment() -> dict[str, str]:
    """Of the programs: they find each other wherever the command was given."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}


def _found(command: Sequence[str]) -> list[str]:
    """The command with the place of its program, which is to end quietly also while it is imported."""
    python, *words = command
    if words[0] == "-m":
        return [python, "-m", "model.common.start", *words[1:]]
    if words[0].endswith(".py"):
        return [python, "-m", "model.common.start", str(ROOT / words[0]), *words[1:]]
    return list(command)


def launch(command: Sequence[str]) -> None:
    """Run a program to its end; what it says is seen. Stops with it: it keeps its state when it gets the signal."""
    # In a group of its own, so that Ctrl-C reaches it once, from here.
    group = {"process_group": 0} if os.name == "posix" else {}
    child = subprocess.Popen(_found(command), env=environment(), **group)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise KeyboardInterrupt(GO_ON) from None
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt(GO_ON)
    if code:
        raise SystemExit(code)
