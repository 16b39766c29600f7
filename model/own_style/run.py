"""Goes through the stages of a style, one program after the other."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from model.common.cli import EXIT_INTERRUPTED
from model.common.errors import InputError
from model.common.files import alone, write_whole
from model.common.hub import CHECKPOINTS, EXEMPLAR_FILE
from model.own_style.options import FEW, MANY, USUAL, Options
from model.own_style.stages import MINUTES, Stage, needs, stages_of
from model.styles.presets import ENCODER_FILE
from model.training.teachers.variants import NO_FILE

ROOT = Path(__file__).parents[2]
MEASURED_STEPS = 2  # before a stage, to tell how long it will take and how much memory
SPEED = re.compile(r"([\d.]+) steps/s .*peak memory ([\d.]+) GiB")
STEPS = re.compile(r"^iter: (\d+)$", re.MULTILINE)


def make_style(options: Options) -> None:
    """Go through all stages that are left, as far as `--until`. Raises InputError for what can't work, before anything
    is written; SystemExit with the code of a stage that failed, which has said why; KeyboardInterrupt when stopped."""
    options = options.resolved()
    options.check()
    paths = options.sources()
    stages = stages_of(options, len(paths))
    names = [stage.name for stage in stages]
    for option in ("until", "redo"):
        if (name := getattr(options, option)) and name not in names:
            raise InputError(f"--{option} is {name}: --kind {options.kind} has the stages {', '.join(names)}.")
    if options.dry_run:
        _show(options, stages)
        return
    for path in needs(options):
        if not path.is_file():
            raise InputError(
                f"{path} does not exist: put it there (checkpoint/README.md says whose it is), or name it."
            )
    _advise(options, len(paths))
    with alone(options.work / ".lock", str(options.folder)):
        options.begin(paths)
        _collect(options, paths)
        if options.redo:
            _forget(options, stages[names.index(options.redo) :])
        for number, stage in enumerate(stages, 1):
            _take(stage, f"{number}/{len(stages)} {stage.name}")
            if stage.name == options.until:
                what = f"look at {stage.see}; " if stage.see else ""
                print(f"Stopped after {stage.name} as asked: {what}the same command without --until goes on.")
                return
        _finish(options)


def _show(options: Options, stages: Sequence[Stage]) -> None:
    for number, stage in enumerate(stages, 1):
        state = "done" if stage.result.exists() else f"about {_minutes(options, stage)} min" * (not options.is_small)
        print(f"{number}. {stage.name}: {stage.does}{f' ({state})' if state else ''}")
        print(f"   {shlex.join(['python', *stage.command()[1:]])}")
    if not options.is_small:
        print("Minutes are estimates for a GPU like an A100; each stage measures its own before it begins.")


def _minutes(options: Options, stage: Stage) -> int:
    return MINUTES.get(f"{stage.name} {options.kind}", MINUTES.get(stage.name, 1))


def _advise(options: Options, count: int) -> None:
    """Tell what people who made styles before would have liked to know."""
    if options.kind != "jojo" and count < USUAL:
        careful = "the discriminator's first layers stay, and the rate is low"
        print(f"{count} pictures are few ({USUAL} to 300 are usual): {careful}.")
    if options.kind != "jojo" and count > MANY:
        print(f"{count} pictures are many: {USUAL} to 300 that are alike make a clearer style, and sooner.")
    if options.kind == "jojo" and count >= FEW:
        print(f"{count} pictures for one style: from so many, --kind toonify learns more than what they share.")


def _collect(options: Options, paths: Sequence[Path]) -> None:
    """Keep single pictures beside what is made of them; a folder is read where it is."""
    if options.picture:
        for path in paths:
            kept = options.work / "pictures" / path.name
            if not kept.exists():
                write_whole(kept, path.read_bytes())


def _forget(options: Options, stages: Sequence[Stage]) -> None:
    """Remove what these stages left, so that they are done again."""
    for stage in stages:
        if options.work in stage.result.parents or options.folder in stage.result.parents:  # not what others share
            stage.result.unlink(missing_ok=True)
        if stage.state is not None:
            shutil.rmtree(stage.state.parent, ignore_errors=True)


def _take(stage: Stage, title: str) -> None:
    """One stage, unless its result is there."""
    if stage.result.exists():
        print(f"{title}: done ({stage.result})", flush=True)
        return
    print(f"{title}: {stage.does}", flush=True)
    if stage.measures and not (stage.state and stage.state.exists()):
        print(f"  {_measure(stage)}", flush=True)
    started = time.monotonic()
    launch(stage.command(*(["--quiet"] if stage.measures else [])))
    if not stage.result.exists():
        raise InputError(f"{title} ended without {stage.result}: look at what it said above.")
    seen = f": look at {stage.see}" if stage.see else ""
    print(f"  {title}: took {_duration(time.monotonic() - started)}{seen}", flush=True)


def _measure(stage: Stage) -> str:
    """How long a stage will take and how much memory, by a few steps of it."""
    command = _found(stage.command(f"--measure={MEASURED_STEPS}"))
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    found, steps = SPEED.search(done.stdout), STEPS.search(done.stdout)
    if done.returncode == EXIT_INTERRUPTED:
        raise KeyboardInterrupt(GO_ON)
    if done.returncode or not found or not steps:
        sys.stderr.write(done.stderr)
        raise SystemExit(done.returncode or 1)
    seconds = int(steps[1]) / max(float(found[1]), 1e-3)
    return f"{steps[1]} steps, about {_duration(seconds)}, {found[2]} GiB of memory"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


GO_ON = "stopped; the same command goes on from here"


def environment() -> dict[str, str]:
    """Of the programs: they find each other wherever the command was given."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}


def _found(command: Sequence[str]) -> list[str]:
    """The command with the place of its program."""
    python, program, *words = command
    return [python, str(ROOT / program) if program.endswith(".py") else program, *words]


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


def _finish(options: Options) -> None:
    """Put beside the model what it needs, and say how to use it."""
    refined = options.work / "codes/refined_exstyle_code.npy"
    if options.kind == "dual":
        write_whole(options.folder / EXEMPLAR_FILE, refined.read_bytes())
    if options.is_small and options.style_encoder_path != NO_FILE:
        write_whole(options.folder / ENCODER_FILE, Path(options.style_encoder_path).read_bytes())
    is_usual = options.folder.parent.resolve() == CHECKPOINTS.resolve()
    name = options.name if is_usual else options.folder
    print(f"The style is ready: python style_transfer.py --ckpt {name} clip.mp4")
