"""Make a student for phones: from photos and a style to a small network, measured and exported.

    python -m model.mobile --photos FOLDER --teacher drawn --style ink --name phone
    python -m model.mobile --photos FOLDER --teacher ugatit --style_images PICTURES --name phone
    python -m model.mobile --recipe mine.toml
    python style_transfer.py --ckpt phone clip.mp4

The stages are programs of their own: pictures of the style are drawn or given, a U-GAT-IT learns them where there are
no pairs, a teacher makes pairs of the photos, the worst are left out, the student learns, is measured on others' photos
(--held_out) and exported. Ctrl-C stops; the same command goes on. All files are in checkpoint/NAME/.
"""

import sys

from model.common import cli
from model.common.errors import InputError
from model.common.files import alone
from model.common.hub import CHECKPOINTS
from model.mobile.options import Options, words_of
from model.mobile.stages import needs, stages_of
from model.training import chain


def make_student(options: Options) -> None:
    """Go through all stages that are left. Raises InputError for what can't work, before anything is written; else as
    `chain.go_through`."""
    options.check()
    stages = stages_of(options)
    chain.check(stages, "this student", options.until, options.redo)
    for path in needs(options):
        if not path.is_file():
            raise InputError(f"{path} does not exist: check the name.")
    photos = options.fingerprint()
    options.differing(stages, photos=photos)
    if options.dry_run:
        chain.show(stages)
        return
    with alone(options.work / ".lock", str(options.folder)):
        options.keep(stages, photos=photos)
        if not chain.go_through(stages, options.folder, options.until, options.redo):
            return
    is_usual = options.folder.parent.resolve() == CHECKPOINTS.resolve()
    name = options.name if is_usual else options.folder
    print(
        f"The student is ready: python style_transfer.py --ckpt {name} clip.mp4; others' formats are in {name}/export."
    )


def main() -> None:
    """Parse the command line and the recipe, and make the student."""
    options = cli.parse(Options, __doc__)
    if options.recipe:
        options = cli.parse(Options, __doc__, [*words_of(options.recipe, options), *sys.argv[1:]])
    make_student(options)


if __name__ == "__main__":
    cli.run(main)
