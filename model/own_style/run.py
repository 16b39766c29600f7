"""Goes through the stages of a style, one program after the other."""

from collections.abc import Sequence
from pathlib import Path

from model.common.errors import InputError
from model.common.files import alone, write_whole
from model.common.hub import CHECKPOINTS, EXEMPLAR_FILE
from model.own_style.options import FEW, MANY, USUAL, Options
from model.own_style.stages import MINUTES, needs, stages_of
from model.styles.presets import ENCODER_FILE
from model.training import chain
from model.training.teachers.variants import NO_FILE


def make_style(options: Options) -> None:
    """Go through all stages that are left, as far as `--until`. Raises InputError for what can't work, before anything
    is written; SystemExit with the code of a stage that failed, which has said why; KeyboardInterrupt when stopped."""
    options = options.resolved()
    options.check()
    paths = options.sources()
    stages = stages_of(options, len(paths))
    chain.check(stages, f"--kind {options.kind}", options.until, options.redo)
    sources = [path.name for path in paths]
    options.differing(stages, sources=sources)
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
        options.keep(stages, sources=sources)
        _collect(options, paths)
        if chain.go_through(stages, options.folder, options.until, options.redo):
            _finish(options)


def _show(options: Options, stages: Sequence[chain.Stage]) -> None:
    chain.show(stages, lambda stage: f"about {_minutes(options, stage)} min" * (not options.is_small))
    if not options.is_small:
        print("Minutes are estimates for a GPU like an A100; each stage measures its own before it begins.")


def _minutes(options: Options, stage: chain.Stage) -> int:
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
