"""Runs a program as Python does, so that Ctrl-C while it is still being imported ends it without a traceback.

python -m model.common.start model.training.finetune --help
python -m model.common.start /path/to/generate_data.py --help
"""

import runpy
import sys

from model.common.cli import EXIT_INTERRUPTED


def main() -> None:
    """Run the module or file that is named first, with all words that follow it."""
    del sys.argv[0]
    program = sys.argv[0]
    try:
        if program.endswith(".py"):
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
