"""What of a large job is done, noted in the folder of the results."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.common.cli import free_options
from model.common.errors import InputError
from model.common.hub import CHECKPOINTS
from model.inference.options import Options
from model.styles.presets import choose_preset

FILE_NAME = "manifest.jsonl"


class Manifest:
    """One line of JSON for each content that is done, in `folder`; several processes may add lines."""

    def __init__(self, folder: Path):
        self._path = folder / FILE_NAME
        self._done: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._done[entry["content"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue  # a line that was being written when the power went

    def has(self, content: str, options: Options) -> bool:
        """Whether `content` is done: the same file, options and model files, and its result is still there."""
        entry = self._done.get(content)
        if entry is None or any(entry.get(name) != fact for name, fact in facts_of(content, options).items()):
            return False
        return (self._path.parent / entry["result"]).is_file()

    def add(self, content: str, options: Options, result: Path) -> None:
        """Note that `result`, a file in the folder, was made of `content`."""
        entry = facts_of(content, options) | {"result": result.name}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def facts_of(content: str, options: Options) -> dict[str, Any]:
    """All that a result depends on, as JSON can hold it: content, options that change the look, files of the models.

    Raises InputError where the state of a file can't be read.
    """
    free = free_options(Options)
    given = {name: value for name, value in asdict(options).items() if name not in free}
    files = [value for name, value in given.items() if name.endswith("_path") and value]
    for preset in {options.ckpt, *(choice.preset for choice in options.choices.values())} - {None}:
        files += [CHECKPOINTS / file for file in choose_preset(preset).files]
    return {
        "content": content,
        "state": state_of(content),  # numbered photos have none: their names are what is known
        "look": given,
        "files": {str(file): state_of(file) for file in sorted(map(str, files))},
    }


def state_of(path: str | Path) -> list[int] | None:
    """Size in bytes and time of the last change in ns; None where there is no such file. InputError if none is told."""
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the permissions.") from error
    return [state.st_size, state.st_mtime_ns]
